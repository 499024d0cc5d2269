/*
 * loader.conf: INI, read once at start.  Every key stands in one table in
 * conf.c with its kind, default and description; loader.conf.example is
 * printed from that table.  Immutable after loading, so any thread may read.
 */

#ifndef LOADER_CONF_H
#define LOADER_CONF_H

#include <stdio.h>

#include "trk.h"


/* The database of all tables; the files of migrations/clickhouse name it. */
#define LOADER_DATABASE  "track"

#define LOADER_ERROR_MAX  512       /* bytes of an error sentence, with NUL */


typedef struct {
    char  *key;
    char  *value;
} loader_property_t;

/* Strings are owned and never NULL.  Times are ms, sizes bytes. */
typedef struct {
    char               *path;               /* of the file itself */

    /* [kafka] */
    char               *kafka_brokers;      /* host:port, … */
    char               *kafka_group;        /* group.id */
    char               *kafka_instance;     /* group.instance.id; if not set,
                                               host and hash of path */
    char               *topic;              /* of events */
    char               *rejected_topic;
    char               *dead_topic;
    char               *ledger_topic;
    uint64_t            partitions;         /* of topic, when made */
    loader_property_t  *properties;         /* [kafka.properties] */
    size_t              nproperties;

    /* [clickhouse] */
    char               *clickhouse_url;     /* http://host:port, no path */
    char               *clickhouse_user;    /* "": the server's default */
    char               *clickhouse_password; /* from either key */
    uint64_t            clickhouse_timeout; /* an insert or query may take */

    /* [postgres] */
    char               *postgres;           /* libpq conninfo */

    /* [batch]: what comes first cuts */
    uint64_t            batch_rows;
    uint64_t            batch_bytes;
    uint64_t            batch_age;

    /* [memory] */
    uint64_t            memory;             /* all open batches together */

    /* [http] */
    char               *http_listen;        /* address:port; "": none */

    /* [migrate] */
    char               *migrate_postgres;   /* conninfo; of the owner */
    char               *migrate_directory;  /* has postgres/, clickhouse/ */
} loader_conf_t;


/* Reads the file.  TRK_OK; TRK_INVALID: error says file, line and what to do;
 * TRK_NOMEM.  On failure *conf is NULL. */
TRK_MUSTCHECK int loader_conf_load(loader_conf_t **conf, const char *path,
    char error[LOADER_ERROR_MAX]);
void loader_conf_free(loader_conf_t *conf);

/* Prints the file with every key at its default, described. */
void loader_conf_example(FILE *out);


#endif /* LOADER_CONF_H */
