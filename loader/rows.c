/*
 * From records to blocks.  See rows.h.
 *
 * A record is read as a whole before anything of it is appended: what it
 * leaves behind is a row or a reason, never half a row.
 */

#include "block.h"
#include "cells.h"
#include "metrics.h"
#include "trk_clean.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>


#define LOADER_ROWS_SPARE  2        /* empty blocks kept for later */
#define LOADER_ROWS_SUM    64       /* rows between two exact sums of bytes */
#define LOADER_TEXT_MAX    (1 << 30)
#define LOADER_TEXT_KEEP   65536


struct loader_rows_s {
    char             *topic;
    int32_t           partition;
    uint64_t          seed;
    loader_block_t  **blocks;   /* by day; then empty ones */
    size_t            nblocks;  /* in use */
    size_t            nalloc;   /* with those that are empty */
    size_t            cap;
    size_t            count;
    size_t            bytes;    /* as last summed, and guessed since */
    trk_record_t      rec;      /* of the last call */
    loader_cells_t    cells;    /* of the last record */
    trk_buf_t         text;     /* decoded value */
    trk_buf_t         name;     /* decoded name */
    char              version[TRK_SCHEMA_VERSION_MAX];  /* not covered */
    size_t            version_len;
};


static int loader_rows_read(loader_rows_t *rows,
    const loader_snapshot_t *snap, const loader_message_t *msg,
    int any_version, char *reason);
static int loader_rows_covered(loader_rows_t *rows,
    const loader_snapshot_t *snap);
static int loader_rows_dead(char *reason, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int loader_rows_time(loader_rows_t *rows, const loader_message_t *msg,
    trk_clean_time_t *t, char *reason);

static loader_block_t *loader_rows_day(loader_rows_t *rows, int32_t day);
static loader_block_t *loader_rows_spare(loader_rows_t *rows);
static int loader_rows_append(loader_rows_t *rows, loader_block_t *block,
    const loader_snapshot_t *snap, const loader_message_t *msg,
    const trk_clean_time_t *t);
static void loader_rows_origin(loader_rows_t *rows, loader_block_t *block,
    const loader_message_t *msg, const trk_clean_time_t *t);
static void loader_rows_strings(loader_rows_t *rows, loader_block_t *block);
static void loader_rows_numbers(loader_rows_t *rows, loader_block_t *block);
static int loader_rows_field(loader_rows_t *rows, loader_block_t *block,
    const loader_snapshot_t *snap, const loader_cell_t *cell);
static int loader_rows_value(loader_rows_t *rows, trk_native_t *col,
    size_t row, const loader_cell_t *cell);
static int loader_rows_elements(loader_rows_t *rows, trk_native_t *col,
    size_t row, uint32_t value);
static int loader_rows_extra(loader_rows_t *rows, loader_block_t *block,
    const loader_cell_t *cell);
static trk_str_t loader_rows_text(loader_rows_t *rows, uint32_t value);
static void loader_rows_sum(loader_rows_t *rows, size_t guess);


loader_rows_t *
loader_rows_create(const char *topic, int32_t partition)
{
    loader_rows_t  *rows;

    rows = calloc(1, sizeof(loader_rows_t));
    if (rows == NULL) {
        return NULL;
    }

    rows->topic = strdup(topic);
    if (rows->topic == NULL) {
        free(rows);
        return NULL;
    }

    /* no entropy yet, early at boot: then the seed is 0 */
    if (getrandom(&rows->seed, sizeof(rows->seed), GRND_NONBLOCK) == -1) {
        rows->seed = 0;
    }

    rows->partition = partition;
    trk_record_init(&rows->rec);
    loader_cells_init(&rows->cells);
    trk_buf_init(&rows->text, LOADER_TEXT_MAX);
    trk_buf_init(&rows->name, LOADER_TEXT_MAX);

    return rows;
}


void
loader_rows_free(loader_rows_t *rows)
{
    size_t  i;

    if (rows == NULL) {
        return;
    }

    for (i = 0; i < rows->nalloc; i++) {
        loader_block_free(rows->blocks[i]);
    }

    trk_record_free(&rows->rec);
    trk_buf_free(&rows->text);
    trk_buf_free(&rows->name);
    free(rows->blocks);
    loader_cells_free(&rows->cells);
    free(rows->topic);
    free(rows);
}


void
loader_rows_reset(loader_rows_t *rows)
{
    size_t  i;

    for (i = LOADER_ROWS_SPARE; i < rows->nalloc; i++) {
        loader_block_free(rows->blocks[i]);
    }

    if (rows->nalloc > LOADER_ROWS_SPARE) {
        rows->nalloc = LOADER_ROWS_SPARE;
    }

    for (i = 0; i < rows->nalloc; i++) {
        loader_block_reset(rows->blocks[i], 0);
    }

    trk_buf_reset(&rows->text, LOADER_TEXT_KEEP);
    trk_buf_reset(&rows->name, LOADER_TEXT_KEEP);
    trk_json_trim(&rows->rec.json);

    rows->nblocks = 0;
    rows->count = 0;
    rows->bytes = 0;
}


int
loader_rows_add(loader_rows_t *rows, const loader_snapshot_t *snap,
    const loader_message_t *msg, int any_version,
    char reason[LOADER_REASON_MAX])
{
    int                rc;
    loader_block_t    *block;
    trk_clean_time_t   t;

    rc = loader_rows_read(rows, snap, msg, any_version, reason);
    if (rc != TRK_OK) {
        return rc;
    }

    rc = loader_rows_time(rows, msg, &t, reason);
    if (rc != TRK_OK) {
        return rc;
    }

    block = loader_rows_day(rows, t.day);
    if (block == NULL) {
        return TRK_NOMEM;
    }

    rc = loader_rows_append(rows, block, snap, msg, &t);
    if (rc != TRK_OK) {
        return rc;
    }

    rows->count++;
    loader_metric_add(LOADER_M_REPLACED, t.replaced);
    loader_rows_sum(rows, msg->value.n);

    return TRK_OK;
}


/* Everything of a record that can fail, but for its time. */

static int
loader_rows_read(loader_rows_t *rows, const loader_snapshot_t *snap,
    const loader_message_t *msg, int any_version, char *reason)
{
    int            rc;
    trk_record_t  *rec;

    rec = &rows->rec;

    if (msg->value.p == NULL || msg->value.n == 0) {
        return loader_rows_dead(reason, "the record has no value");
    }

    rc = trk_record_read(rec, msg->value.p, msg->value.n);

    if (rc == TRK_INVALID) {
        return loader_rows_dead(reason, "%s", rec->error);
    }

    if (rc != TRK_OK) {
        return rc;
    }

    if (rec->schema_version && !any_version) {
        rc = loader_rows_covered(rows, snap);
        if (rc != TRK_OK) {
            return rc;
        }
    }

    return loader_cells_read(&rows->cells, rec, snap, reason);
}


static int
loader_rows_covered(loader_rows_t *rows, const loader_snapshot_t *snap)
{
    trk_str_t  version;

    version = loader_rows_text(rows, rows->rec.schema_version);

    if (rows->text.failed) {
        return rows->text.failed;
    }

    if (loader_snapshot_covers(snap, version)) {
        return TRK_OK;
    }

    /* what is not covered is a version, and so not longer than one */

    memcpy(rows->version, version.p, version.n);
    rows->version_len = version.n;

    return TRK_AGAIN;
}


static int
loader_rows_dead(char *reason, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(reason, LOADER_REASON_MAX, fmt, args);
    va_end(args);

    return TRK_INVALID;
}


static int
loader_rows_time(loader_rows_t *rows, const loader_message_t *msg,
    trk_clean_time_t *t, char *reason)
{
    int                  rc;
    const trk_record_t  *rec;

    rec = &rows->rec;

    rc = trk_clean_time(t, rec->has_timestamp ? &rec->timestamp : NULL,
                        rec->has_received_at ? &rec->received_at : NULL,
                        msg->time >= 0 ? &msg->time : NULL);

    if (rc == TRK_OK) {
        return TRK_OK;
    }

    if (!rec->has_received_at && msg->time < 0) {
        return loader_rows_dead(reason, "received_at is missing, and Kafka"
                                " has no timestamp for the record");
    }

    return loader_rows_dead(reason, "its time is outside 1970-01-01 to"
                            " 2149-06-06, which event_date can hold");
}


/* The block of a day, made if it is not there.  Blocks are in order of their
 * days; there are few. */

static loader_block_t *
loader_rows_day(loader_rows_t *rows, int32_t day)
{
    size_t           i;
    loader_block_t  *block;

    for (i = rows->nblocks; i > 0 && rows->blocks[i - 1]->day >= day; i--) {
        if (rows->blocks[i - 1]->day == day) {
            return rows->blocks[i - 1];
        }
    }

    block = loader_rows_spare(rows);
    if (block == NULL) {
        return NULL;
    }

    memmove(&rows->blocks[i + 1], &rows->blocks[i],
            (rows->nblocks - i) * sizeof(loader_block_t *));
    rows->blocks[i] = block;
    rows->nblocks++;
    loader_block_reset(block, day);

    return block;
}


/* An empty block, out of its place at blocks[nblocks], which is free then. */

static loader_block_t *
loader_rows_spare(loader_rows_t *rows)
{
    size_t            cap;
    loader_block_t   *block, **blocks;

    if (rows->nblocks < rows->nalloc) {
        return rows->blocks[rows->nblocks];
    }

    if (rows->nalloc == rows->cap) {
        cap = rows->cap ? rows->cap * 2 : 8;

        blocks = realloc(rows->blocks, cap * sizeof(loader_block_t *));
        if (blocks == NULL) {
            return NULL;
        }

        rows->blocks = blocks;
        rows->cap = cap;
    }

    block = loader_block_create(rows->seed);
    if (block != NULL) {
        rows->nalloc++;
    }

    return block;
}


static int
loader_rows_append(loader_rows_t *rows, loader_block_t *block,
    const loader_snapshot_t *snap, const loader_message_t *msg,
    const trk_clean_time_t *t)
{
    int     rc;
    size_t  i;

    loader_rows_origin(rows, block, msg, t);
    loader_rows_numbers(rows, block);
    loader_rows_strings(rows, block);

    for (i = 0; i < rows->cells.n; i++) {
        rc = loader_rows_field(rows, block, snap, &rows->cells.list[i]);
        if (rc != TRK_OK) {
            return rc;
        }
    }

    for (i = 0; i < rows->cells.n; i++) {
        if (rows->cells.list[i].field == -1) {
            rc = loader_rows_extra(rows, block, &rows->cells.list[i]);
            if (rc != TRK_OK) {
                return rc;
            }
        }
    }

    return loader_block_row(block);
}


/* Columns that do not come out of the record's text. */

static void
loader_rows_origin(loader_rows_t *rows, loader_block_t *block,
    const loader_message_t *msg, const trk_clean_time_t *t)
{
    size_t     row;
    trk_str_t  topic;

    row = block->rows;
    topic = trk_str_of(rows->topic, strlen(rows->topic));

    trk_native_put_uint(loader_block_base(block, LOADER_C_EVENT_DATE), row,
                        (uint64_t) t->day);
    trk_native_put_int(loader_block_base(block, LOADER_C_EVENT_TIME), row,
                       t->ms);

    if (t->replaced) {
        trk_native_put_uint(loader_block_base(block,
                                              LOADER_C_EVENT_TIME_REPLACED),
                            row, 1);
    }

    trk_native_put_string(loader_block_base(block, LOADER_C_KAFKA_TOPIC), row,
                          topic);
    trk_native_put_uint(loader_block_base(block, LOADER_C_KAFKA_PARTITION),
                        row, (uint64_t) rows->partition);
    trk_native_put_uint(loader_block_base(block, LOADER_C_KAFKA_OFFSET), row,
                        (uint64_t) msg->offset);

    if (msg->time >= 0) {
        trk_native_put_int(loader_block_base(block, LOADER_C_KAFKA_TIME), row,
                           msg->time);
    }
}


static void
loader_rows_numbers(loader_rows_t *rows, loader_block_t *block)
{
    size_t               row;
    const trk_record_t  *rec;

    row = block->rows;
    rec = &rows->rec;

    trk_native_put_uuid(loader_block_base(block, LOADER_C_EVENT_ID), row,
                        &rec->event_id);

    if (rec->has_received_at) {
        trk_native_put_int(loader_block_base(block, LOADER_C_RECEIVED_AT),
                           row, rec->received_at);
    }

    if (rec->has_sent_at) {
        trk_native_put_int(loader_block_base(block, LOADER_C_SENT_AT), row,
                           rec->sent_at);
    }

    if (rec->has_seq) {
        trk_native_put_uint(loader_block_base(block, LOADER_C_SEQ), row,
                            rec->seq);
    }
}


static void
loader_rows_strings(loader_rows_t *rows, loader_block_t *block)
{
    size_t               i;
    const trk_record_t  *rec;

    rec = &rows->rec;

    const struct {
        loader_column_e  column;
        uint32_t         node;
    } strings[] = {
        { LOADER_C_EVENT_TYPE, rec->event_type },
        { LOADER_C_USER_ID, rec->user_id },
        { LOADER_C_SESSION_ID, rec->session_id },
        { LOADER_C_ANONYMOUS_ID, rec->anonymous_id },
        { LOADER_C_IP, rec->ip },
        { LOADER_C_USER_AGENT, rec->user_agent },
        { LOADER_C_SOURCE, rec->source },
        { LOADER_C_CONTEXT, rec->context },
        { LOADER_C_SCHEMA_VERSION, rec->schema_version },
        { LOADER_C_EDGE, rec->edge },
    };

    for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {

        if (strings[i].node == 0) {
            continue;
        }

        trk_native_put_string(loader_block_base(block, strings[i].column),
                              block->rows,
                              loader_rows_text(rows, strings[i].node));

        if (rows->text.failed) {
            block->failed = rows->text.failed;
        }
    }
}


/* Puts a cell into its typed column.  One whose column the block has with
 * another type, from an older snapshot, is left to fields_extra. */

static int
loader_rows_field(loader_rows_t *rows, loader_block_t *block,
    const loader_snapshot_t *snap, const loader_cell_t *cell)
{
    int            rc;
    trk_native_t  *col;

    if (cell->field == -1) {
        return TRK_OK;
    }

    col = loader_block_field(block, snap, (uint32_t) cell->field);

    if (col == NULL) {
        return block->failed ? block->failed
                             : loader_rows_extra(rows, block, cell);
    }

    rc = loader_rows_value(rows, col, block->rows, cell);
    if (rc != TRK_OK) {
        block->failed = rc;
    }

    return rc;
}


static int
loader_rows_value(loader_rows_t *rows, trk_native_t *col, size_t row,
    const loader_cell_t *cell)
{
    switch (col->type) {

    case TRK_NATIVE_NULL_INT64:
    case TRK_NATIVE_NULL_DATETIME:
    case TRK_NATIVE_NULL_BOOL:
        trk_native_put_int(col, row, cell->i);
        break;

    case TRK_NATIVE_NULL_FLOAT64:
        trk_native_put_double(col, row, cell->d);
        break;

    case TRK_NATIVE_STRINGS:
        return loader_rows_elements(rows, col, row, cell->value);

    default:
        trk_native_put_string(col, row, cell->raw
                              ? trk_json_text(&rows->rec.json, cell->value)
                              : loader_rows_text(rows, cell->value));
    }

    return rows->text.failed ? rows->text.failed : trk_native_failed(col);
}


static int
loader_rows_elements(loader_rows_t *rows, trk_native_t *col, size_t row,
    uint32_t value)
{
    uint32_t                i;
    const trk_json_node_t  *nodes;

    nodes = rows->rec.json.nodes;
    trk_native_put_row(col, row);

    for (i = value + 1; i < nodes[value].next; i = nodes[i].next) {
        trk_native_put_element(col, loader_rows_text(rows, i));

        if (rows->text.failed) {
            return rows->text.failed;
        }
    }

    return trk_native_failed(col);
}


static int
loader_rows_extra(loader_rows_t *rows, loader_block_t *block,
    const loader_cell_t *cell)
{
    trk_str_t      name, value;
    trk_native_t  *col;

    col = loader_block_base(block, LOADER_C_FIELDS_EXTRA);

    if (col->rows <= block->rows) {
        trk_native_put_row(col, block->rows);
    }

    trk_buf_reset(&rows->name, LOADER_TEXT_KEEP);
    name = trk_json_string(&rows->rec.json, cell->name, &rows->name);
    value = loader_rows_text(rows, cell->value);

    if (rows->name.failed || rows->text.failed) {
        return rows->name.failed ? rows->name.failed : rows->text.failed;
    }

    trk_native_put_pair(col, name, value);
    loader_metric_add(LOADER_M_EXTRA, 1);

    return TRK_OK;
}


/* A string decoded; anything else as it is written.  Good until the next
 * call; rows->text.failed says that it is not. */

static trk_str_t
loader_rows_text(loader_rows_t *rows, uint32_t value)
{
    const trk_json_t  *json;

    json = &rows->rec.json;
    trk_buf_reset(&rows->text, LOADER_TEXT_KEEP);

    if (json->nodes[value].type != TRK_JSON_STRING) {
        return trk_json_text(json, value);
    }

    return trk_json_string(json, value, &rows->text);
}


/* Exact sums look at every column, so they are made now and then. */

static void
loader_rows_sum(loader_rows_t *rows, size_t guess)
{
    size_t  i;

    if (rows->count % LOADER_ROWS_SUM) {
        rows->bytes += guess;
        return;
    }

    for (i = 0, rows->bytes = 0; i < rows->nblocks; i++) {
        rows->bytes += loader_block_bytes(rows->blocks[i]);
    }
}


trk_str_t
loader_rows_version(const loader_rows_t *rows)
{
    return trk_str_of(rows->version, rows->version_len);
}


size_t
loader_rows_count(const loader_rows_t *rows)
{
    return rows->count;
}


size_t
loader_rows_bytes(const loader_rows_t *rows)
{
    return rows->bytes;
}


size_t
loader_rows_blocks(const loader_rows_t *rows)
{
    return rows->nblocks;
}


loader_block_t *
loader_rows_block(loader_rows_t *rows, size_t i)
{
    return rows->blocks[i];
}
