/*
 * The content of a batch: see batch.h.
 */

#include "batch.h"

#include <stdlib.h>


loader_batch_t *
loader_batch_create(const char *topic, int32_t partition)
{
    loader_batch_t  *batch;

    batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }

    batch->rows = loader_rows_create(topic, partition);
    if (batch->rows == NULL) {
        free(batch);
        return NULL;
    }

    return batch;
}


void
loader_batch_free(loader_batch_t *batch)
{
    if (batch == NULL) {
        return;
    }

    loader_batch_reset(batch);
    loader_rows_free(batch->rows);
    free(batch);
}


void
loader_batch_reset(loader_batch_t *batch)
{
    loader_rows_reset(batch->rows);
    loader_records_reset(&batch->raw);
    loader_records_reset(&batch->dead);

    batch->records = 0;
    batch->sealed = 0;
}


size_t
loader_batch_bytes(const loader_batch_t *batch)
{
    return loader_rows_bytes(batch->rows) + batch->raw.bytes
           + batch->dead.bytes;
}


size_t
loader_batch_dates(const loader_batch_t *batch)
{
    return loader_rows_blocks(batch->rows);
}


static int
decode(loader_batch_t *batch, loader_schema_t *schema,
    const loader_message_t *msg, trk_str_t key, int64_t now)
{
    int                       rc;
    char                      reason[LOADER_REASON_MAX];
    const loader_snapshot_t  *snap;

    snap = loader_schema_current(schema);
    if (snap == NULL) {
        return TRK_AGAIN;
    }

    rc = loader_rows_add(batch->rows, snap, msg, 0, reason);

    if (rc == TRK_AGAIN) {
        rc = loader_schema_want(schema, loader_rows_version(batch->rows),
                                now);
        if (rc != TRK_OK) {
            return TRK_AGAIN;
        }

        snap = loader_schema_current(schema);
        rc = loader_rows_add(batch->rows, snap, msg, 1, reason);
    }

    if (rc == TRK_INVALID) {
        rc = loader_records_add(&batch->dead, msg, key, reason);
    }

    return rc == TRK_OK ? TRK_OK : TRK_NOMEM;
}


static void
begin(loader_batch_t *batch, const trk_plan_t *plan, int64_t offset,
    int64_t now)
{
    batch->range = trk_plan_range(plan, offset);
    batch->first = batch->range.exact ? plan->intent.first : offset;
    batch->last = batch->range.bound;
    batch->since = now;
}


int
loader_batch_add(loader_batch_t *batch, const trk_plan_t *plan,
    loader_schema_t *schema, const loader_message_t *msg, trk_str_t key,
    int64_t now)
{
    int  rc;

    if (batch->sealed) {
        return TRK_LIMIT;
    }

    if (batch->records == 0) {
        begin(batch, plan, msg->offset, now);

    } else if (msg->offset > batch->range.bound) {
        batch->sealed = 1;
        return TRK_LIMIT;
    }

    rc = (batch->range.mode == TRK_RANGE_LOOK)
         ? loader_records_add(&batch->raw, msg, key, NULL)
         : decode(batch, schema, msg, key, now);

    if (rc != TRK_OK) {
        return rc;
    }

    batch->records++;
    batch->last = batch->range.exact ? batch->range.bound : msg->offset;
    batch->sealed = (msg->offset == batch->range.bound);

    return TRK_OK;
}


int
loader_batch_build(loader_batch_t *batch, loader_schema_t *schema,
    const loader_standing_t *standing, int64_t now)
{
    int               rc;
    loader_record_t  *record;

    while ((record = loader_records_first(&batch->raw)) != NULL) {

        if (!loader_standing_has(standing, (uint64_t) record->msg.offset)) {
            rc = decode(batch, schema, &record->msg, record->key, now);
            if (rc != TRK_OK) {
                return rc;
            }
        }

        loader_records_shift(&batch->raw);
    }

    return TRK_OK;
}


int
loader_batch_declare(loader_batch_t *batch, trk_batch_t *machine)
{
    size_t           i;
    loader_block_t  *block;

    for (i = 0; i < loader_rows_blocks(batch->rows); i++) {
        block = loader_rows_block(batch->rows, i);

        if (trk_batch_add(machine, loader_block_day(block),
                          (uint32_t) loader_block_count(block))
            != TRK_OK)
        {
            return TRK_NOMEM;
        }
    }

    machine->ndead = batch->dead.n - batch->dead.head;

    return TRK_OK;
}


void
loader_batch_compare(loader_batch_t *batch, trk_batch_t *machine,
    const loader_standing_t *standing)
{
    size_t           i, k, n;
    uint32_t         absent;
    loader_block_t  *block;
    const uint64_t  *offsets;

    for (i = 0; i < machine->nblocks; i++) {
        block = loader_rows_block(batch->rows, i);
        offsets = loader_block_offsets(block);
        n = loader_block_count(block);
        absent = 0;

        for (k = 0; k < n; k++) {
            absent += !loader_standing_has(standing, offsets[k]);
        }

        machine->blocks[i].absent = absent;
    }
}
