/*
 * The rows of one batch: records of one partition, decoded as they are
 * consumed into blocks, one for each event_date (an insert of one block of
 * one date is atomic).
 *
 * locality: main thread.  No Kafka, no ClickHouse, no clock here: the same
 * records with the same snapshot give the same blocks, bit by bit.
 */

#ifndef LOADER_ROWS_H
#define LOADER_ROWS_H

#include "snapshot.h"
#include "trk_record.h"


#define LOADER_REASON_MAX  256      /* bytes, with NUL */


/* A record and where it stood.  Views are the caller's, needed during the
 * call only. */
typedef struct {
    trk_str_t  value;               /* p is NULL: a tombstone */
    int64_t    offset;
    int64_t    time;                /* Kafka's timestamp, ms; -1: none */
} loader_message_t;

typedef struct loader_rows_s   loader_rows_t;
typedef struct loader_block_s  loader_block_t;


/* An empty batch of one partition; topic is copied.  NULL: no memory. */
loader_rows_t *loader_rows_create(const char *topic, int32_t partition);
void loader_rows_free(loader_rows_t *rows);

/* Empties the batch; keeps usual memory for the next. */
void loader_rows_reset(loader_rows_t *rows);

/*
 * Decodes a record and appends its row.
 *
 * TRK_OK       it is in one of the blocks.
 * TRK_INVALID  it is for the dead-letter topic; reason is a sentence.
 *              Nothing was appended.
 * TRK_AGAIN    (only with any_version 0) snap does not cover the record's
 *              schema_version, see loader_rows_version().  Nothing was
 *              appended.
 * TRK_NOMEM, TRK_LIMIT
 *              the batch is broken: reset it and begin anew at its first
 *              record.  (A block holds at most 1 GiB a column.)
 */
TRK_MUSTCHECK int loader_rows_add(loader_rows_t *rows,
    const loader_snapshot_t *snap, const loader_message_t *msg,
    int any_version, char reason[LOADER_REASON_MAX]);

/* After TRK_AGAIN: the schema_version that is not covered. */
trk_str_t loader_rows_version(const loader_rows_t *rows);

size_t loader_rows_count(const loader_rows_t *rows);    /* rows */
size_t loader_rows_bytes(const loader_rows_t *rows);    /* memory in use */

/* The blocks, by date ascending: i < loader_rows_blocks().  They belong to
 * the batch and live until its reset. */
size_t loader_rows_blocks(const loader_rows_t *rows);
loader_block_t *loader_rows_block(loader_rows_t *rows, size_t i);


/* event_date, in days since the epoch. */
int32_t loader_block_day(const loader_block_t *block);
size_t loader_block_count(const loader_block_t *block);

/* Kafka's offset of each row, ascending if records were added in order. */
const uint64_t *loader_block_offsets(const loader_block_t *block);

/* Columns of this schema generation must exist before the block is sent. */
uint64_t loader_block_generation(const loader_block_t *block);

/* Appends the column list of INSERT INTO track.events (…) FORMAT Native,
 * without the parentheses, quoted. */
void loader_block_columns(loader_block_t *block, trk_buf_t *out);

/* Appends the block's bytes.  TRK_OK, TRK_NOMEM, TRK_LIMIT (out->max). */
TRK_MUSTCHECK int loader_block_native(loader_block_t *block, trk_buf_t *out);


#endif /* LOADER_ROWS_H */
