/*
 * The content of a batch: the records of one partition from one offset to
 * another, decoded as they come, or, where a look must come first (LOOK),
 * kept until it is known which of them stand.
 *
 * locality: main thread.  What becomes of a batch is lib/trk_batch's.
 */

#ifndef LOADER_BATCH_H
#define LOADER_BATCH_H

#include "look.h"
#include "records.h"
#include "schema.h"
#include "trk_batch.h"


typedef struct {
    trk_range_t        range;
    int64_t            first;       /* offsets; of an exact range, its ends */
    int64_t            last;
    int64_t            since;       /* monotonic ms of the first record */
    size_t             records;
    int                sealed;      /* nothing may be added any more */
    loader_rows_t     *rows;
    loader_records_t   raw;         /* LOOK: not decoded yet */
    loader_records_t   dead;
} loader_batch_t;


/* NULL: no memory. */
loader_batch_t *loader_batch_create(const char *topic, int32_t partition);
void loader_batch_free(loader_batch_t *batch);
void loader_batch_reset(loader_batch_t *batch);

size_t loader_batch_bytes(const loader_batch_t *batch);
size_t loader_batch_dates(const loader_batch_t *batch);

/*
 * The next record.  An empty batch takes it as its first, and its range from
 * the plan.
 *
 * TRK_OK       it is in.
 * TRK_LIMIT    it belongs to the next batch; this one is sealed.
 * TRK_AGAIN    it needs a schema that is being read: the same again, later.
 * TRK_NOMEM    the batch is broken.
 */
TRK_MUSTCHECK int loader_batch_add(loader_batch_t *batch,
    const trk_plan_t *plan, loader_schema_t *schema,
    const loader_message_t *msg, trk_str_t key, int64_t now);

/*
 * LOOK: decodes the kept records that do not stand.  TRK_OK; TRK_AGAIN: a
 * schema is being read, the same again later; TRK_NOMEM: broken.
 */
TRK_MUSTCHECK int loader_batch_build(loader_batch_t *batch,
    loader_schema_t *schema, const loader_standing_t *standing, int64_t now);

/* Enters the blocks into the machine, and the number of dead letters.
 * TRK_NOMEM. */
TRK_MUSTCHECK int loader_batch_declare(loader_batch_t *batch,
    trk_batch_t *machine);

/* Sets how many rows of each of the machine's blocks do not stand. */
void loader_batch_compare(loader_batch_t *batch, trk_batch_t *machine,
    const loader_standing_t *standing);


#endif /* LOADER_BATCH_H */
