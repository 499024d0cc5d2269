/*
 * One block of rows for track.events: the base columns and the columns of
 * the fields its rows use.  Inside of rows.c; the calls for others stand in
 * rows.h.  locality: main thread.
 */

#ifndef LOADER_BLOCK_H
#define LOADER_BLOCK_H

#include "rows.h"


/* X(symbol, column, type): in the order in which they are written. */
#define LOADER_COLUMNS(X)                                                     \
    X(EVENT_TYPE, "event_type", LC_STRING)                                    \
    X(EVENT_ID, "event_id", UUID)                                             \
    X(EVENT_DATE, "event_date", DATE)                                         \
    X(EVENT_TIME, "event_time", DATETIME)                                     \
    X(EVENT_TIME_REPLACED, "event_time_replaced", BOOL)                       \
    X(RECEIVED_AT, "received_at", DATETIME)                                   \
    X(SENT_AT, "sent_at", DATETIME)                                           \
    X(USER_ID, "user_id", STRING)                                             \
    X(SESSION_ID, "session_id", STRING)                                       \
    X(ANONYMOUS_ID, "anonymous_id", STRING)                                   \
    X(IP, "ip", STRING)                                                       \
    X(USER_AGENT, "user_agent", STRING)                                       \
    X(SOURCE, "source", LC_STRING)                                            \
    X(CONTEXT, "context", STRING)                                             \
    X(SCHEMA_VERSION, "schema_version", LC_STRING)                            \
    X(EDGE, "edge", LC_STRING)                                                \
    X(SEQ, "seq", UINT64)                                                     \
    X(KAFKA_TOPIC, "kafka_topic", LC_STRING)                                  \
    X(KAFKA_PARTITION, "kafka_partition", UINT32)                             \
    X(KAFKA_OFFSET, "kafka_offset", UINT64)                                   \
    X(KAFKA_TIME, "kafka_time", DATETIME)                                     \
    X(FIELDS_EXTRA, "fields_extra", MAP)


typedef enum {
#define LOADER_COLUMN_ENUM(symbol, column, type)  LOADER_C_##symbol,
    LOADER_COLUMNS(LOADER_COLUMN_ENUM)
#undef LOADER_COLUMN_ENUM
    LOADER_C_COUNT
} loader_column_e;


#define LOADER_COLUMN_NAME  (2 + TRK_FIELD_NAME_MAX)    /* f_<name> */

typedef struct {
    trk_native_t  values;
    uint8_t       name[LOADER_COLUMN_NAME];
    size_t        len;
} loader_column_t;

/* The row being built is row `rows`; a block counts it when it is whole. */
struct loader_block_s {
    int32_t           day;
    size_t            rows;
    uint64_t          generation;
    loader_column_t  *columns;          /* base, then fields */
    size_t            ncolumns;
    size_t            cap;
    uint32_t         *map;              /* field of a snapshot -> column; 0:
                                           not looked for yet */
    size_t            nmap;
    uint64_t          map_generation;   /* of that snapshot; 0: none */
    uint64_t          seed;
    int               failed;           /* TRK_NOMEM; sticky until reset */
};


/* NULL: no memory. */
loader_block_t *loader_block_create(uint64_t seed);
void loader_block_free(loader_block_t *block);

/* Empties the block for rows of another day. */
void loader_block_reset(loader_block_t *block, int32_t day);

/* The values of a base column. */
trk_native_t *loader_block_base(loader_block_t *block, loader_column_e c);

/* The values of field f of snap, whose column is made when it is first
 * needed.  NULL: no memory (block->failed), or the block has this name with
 * another type, from an older snapshot. */
trk_native_t *loader_block_field(loader_block_t *block,
    const loader_snapshot_t *snap, uint32_t f);

/* Counts the row, whose fields the caller has checked for failure (a row uses
 * few of many columns).  TRK_OK; TRK_NOMEM, TRK_LIMIT: the block is broken. */
TRK_MUSTCHECK int loader_block_row(loader_block_t *block);

/* Memory in use, what filling up its columns will take included. */
size_t loader_block_bytes(const loader_block_t *block);


#endif /* LOADER_BLOCK_H */
