/*
 * Looks: which offsets of a range stand in events or events_skipped, at any
 * date; and the server's uptime, which decides about absent blocks.
 *
 * locality: main thread.  SQL and answers only: sending is clickhouse.h's.
 */

#ifndef LOADER_LOOK_H
#define LOADER_LOOK_H

#include "trk.h"


/* Zeroed memory is an empty answer. */
typedef struct {
    uint64_t  *offsets;         /* owned; ascending, each once */
    size_t     n;
    size_t     twice;           /* rows whose offset stood before: never */
    uint64_t   uptime;          /* of the server, seconds */
} loader_standing_t;


/* Appends the SELECT for offsets first to last.  Failure shows in
 * sql->failed. */
void loader_look_sql(trk_buf_t *sql, const char *topic, int32_t partition,
    int64_t first, int64_t last);

/* Reads its answer.  TRK_OK, TRK_NOMEM, TRK_CORRUPT: it is not one. */
TRK_MUSTCHECK int loader_look_read(loader_standing_t *standing,
    trk_str_t answer);

int loader_standing_has(const loader_standing_t *standing, uint64_t offset);
void loader_standing_reset(loader_standing_t *standing);


/* Appends the SELECT for the greatest offset that ever landed. */
void loader_landed_sql(trk_buf_t *sql, const char *topic, int32_t partition);

/* *landed is -1 if nothing has.  TRK_OK, TRK_CORRUPT. */
TRK_MUSTCHECK int loader_landed_read(trk_str_t answer, int64_t *landed);


/* Appends the prefix of the query_id of all inserts of a partition. */
void loader_query_prefix(trk_buf_t *out, const char *topic,
    int32_t partition);

/* Appends the statement that ends them all and waits until they have. */
void loader_kill_sql(trk_buf_t *sql, const char *topic, int32_t partition);

/* Appends s as a string literal. */
void loader_sql_string(trk_buf_t *sql, const char *s);


#endif /* LOADER_LOOK_H */
