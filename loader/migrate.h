/*
 * track-loader migrate: brings PostgreSQL, ClickHouse and Kafka to what this
 * version needs.  Runs on the main thread of a process that does only this.
 */

#ifndef LOADER_MIGRATE_H
#define LOADER_MIGRATE_H

#include "conf.h"


/*
 * Under one PostgreSQL advisory lock (others wait): applies the files of
 * migrations/postgres and migrations/clickhouse that schema_migrations of
 * that database does not have, in the order of their names, each entered
 * with its SHA-256; refuses when a file that was applied has changed since;
 * then makes the topics that are missing.  Prints a line for each thing
 * done.  May be run again, and after a failure at any point.
 * TRK_OK, TRK_NOMEM; TRK_INVALID, TRK_IO: error is a sentence.
 */
TRK_MUSTCHECK int loader_migrate(const loader_conf_t *conf,
    char error[LOADER_ERROR_MAX]);


#endif /* LOADER_MIGRATE_H */
