
/*
 * Appending to the spool: messages become records of a chunk, in memory, and
 * get their place in a segment.  _spool_write brings chunks to the disk.
 * Runs in the event loop.
 */


#include "ngx_http_track_spool_inner.h"


static ngx_int_t ngx_http_track_spool_reserve(ngx_http_track_spool_t *spool,
    size_t size, size_t rejected);
static void ngx_http_track_spool_full(ngx_http_track_spool_t *spool,
    size_t n, const char *why);
static void ngx_http_track_spool_record(ngx_http_track_spool_t *spool,
    ngx_http_track_message_t *m, trk_spool_record_t *record);
static ngx_int_t ngx_http_track_spool_put(ngx_http_track_spool_t *spool,
    ngx_http_track_spool_batch_t *batch, size_t size, size_t rejected);
static ngx_http_track_segment_t *ngx_http_track_spool_segment(
    ngx_http_track_spool_t *spool, size_t size, size_t n);
static ngx_http_track_chunk_t *ngx_http_track_spool_chunk(
    ngx_http_track_spool_t *spool, ngx_http_track_segment_t *segment);


ngx_int_t
ngx_http_track_spool_append(ngx_http_track_worker_t *wk,
    ngx_http_track_spool_batch_t *batch)
{
    size_t                   i;
    ngx_http_track_spool_t  *spool;

    spool = wk->spool;

    if (spool == NULL) {
        return NGX_DECLINED;
    }

    if (spool->failing) {

        if ((ngx_msec_int_t) (spool->failing_until - ngx_current_msec) > 0) {
            return NGX_DECLINED;
        }

        spool->failing = 0;
    }

    for (i = 0; i < batch->n; i++) {
        batch->messages[i]->place.index = 0;
    }

    return ngx_http_track_spool_admit(spool, batch);
}


ngx_int_t
ngx_http_track_spool_admit(ngx_http_track_spool_t *spool,
    ngx_http_track_spool_batch_t *batch)
{
    size_t              i, size, rejected, one;
    trk_spool_record_t  record;

    size = 0;
    rejected = 0;

    for (i = 0; i < batch->n; i++) {
        ngx_http_track_spool_record(spool, batch->messages[i], &record);

        one = trk_spool_record_size(&record);
        size += one;
        rejected += batch->messages[i]->rejected ? one : 0;

        if (one > TRK_SPOOL_RECORD_MAX) {
            ngx_http_track_spool_full(spool, batch->n,
                                      "a record of more than 16 MiB");
            return NGX_DECLINED;
        }
    }

    if (size > NGX_HTTP_TRACK_SPOOL_BUFFER - spool->buffered) {
        ngx_http_track_spool_full(spool, batch->n,
                                  "the disk does not keep up");
        return NGX_DECLINED;
    }

    /* the master could not count, or has come to a spool by a reload */

    if (!spool->worker->sh->spool_known) {
        ngx_http_track_spool_full(spool, batch->n,
                                  "what it holds is not counted yet");
        return NGX_DECLINED;
    }

    if (ngx_http_track_spool_reserve(spool, size, rejected) != NGX_OK) {
        ngx_http_track_spool_full(spool, batch->n, "max_size is reached");
        return NGX_DECLINED;
    }

    if (ngx_http_track_spool_put(spool, batch, size, rejected) != NGX_OK) {
        ngx_http_track_spool_unreserve(spool, size, rejected);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* Both counts may be below zero for a moment, when the leader sets them. */

static ngx_int_t
ngx_http_track_spool_reserve(ngx_http_track_spool_t *spool, size_t size,
    size_t rejected)
{
    off_t                  max;
    ngx_atomic_int_t       sum, part;
    ngx_http_track_shm_t  *sh;

    sh = spool->worker->sh;
    max = spool->worker->conf->spool_size;

    sum = (ngx_atomic_int_t) ngx_atomic_fetch_add(&sh->spool_bytes, size);
    part = (ngx_atomic_int_t) ngx_atomic_fetch_add(&sh->spool_rejected,
                                                   rejected);

    if (sum + (off_t) size <= max
        && (rejected == 0 || part + (off_t) rejected <= max / 2))
    {
        return NGX_OK;
    }

    ngx_http_track_spool_unreserve(spool, size, rejected);

    return NGX_DECLINED;
}


void
ngx_http_track_spool_unreserve(ngx_http_track_spool_t *spool, size_t size,
    size_t rejected)
{
    ngx_http_track_shm_t  *sh;

    sh = spool->worker->sh;

    (void) ngx_atomic_fetch_add(&sh->spool_bytes, -(ngx_atomic_int_t) size);
    (void) ngx_atomic_fetch_add(&sh->spool_rejected,
                                -(ngx_atomic_int_t) rejected);
}


static void
ngx_http_track_spool_full(ngx_http_track_spool_t *spool, size_t n,
    const char *why)
{
    ngx_uint_t  muted;

    ngx_http_track_count(spool->worker, spool_full, n);

    if (ngx_http_track_unmute(&spool->mute_full, &muted)) {
        ngx_log_error(NGX_LOG_ERR, spool->worker->log, 0,
                      "track: no room in the spool \"%s\": %s; events are "
                      "refused (%ui more of this line)", spool->path, why,
                      muted);
    }
}


static void
ngx_http_track_spool_record(ngx_http_track_spool_t *spool,
    ngx_http_track_message_t *m, trk_spool_record_t *record)
{
    ngx_str_t  *topics;

    topics = spool->worker->conf->topics.elts;

    record->index = 0;
    record->kind = m->rejected ? TRK_SPOOL_REJECTED : TRK_SPOOL_ACCEPTED;
    record->seq = m->seq;
    record->at = ngx_http_track_spool_now();
    record->topic = ngx_http_track_str(topics[m->topic]);
    record->key = trk_str_of(m->key, m->key_len);
    record->value = trk_str_of(m->value, m->value_len);
}


/* Appends what has been admitted, all of it to one chunk. */

static ngx_int_t
ngx_http_track_spool_put(ngx_http_track_spool_t *spool,
    ngx_http_track_spool_batch_t *batch, size_t size, size_t rejected)
{
    size_t                     i, before;
    trk_spool_record_t         record;
    trk_spool_segment_t        names;
    ngx_http_track_chunk_t    *chunk;
    ngx_http_track_segment_t  *segment;

    segment = ngx_http_track_spool_segment(spool, size, batch->n);
    chunk = segment ? ngx_http_track_spool_chunk(spool, segment) : NULL;

    if (chunk == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(names.edge, spool->own->dir.edge, TRK_SPOOL_EDGE);
    names.number = segment->number;
    before = chunk->bytes.n;

    for (i = 0; i < batch->n; i++) {
        ngx_http_track_spool_record(spool, batch->messages[i], &record);
        record.index = segment->n + (uint32_t) i;
        trk_spool_record_write(&chunk->bytes, &names, &record);
    }

    if (chunk->bytes.failed) {
        chunk->bytes.failed = TRK_OK;
        chunk->bytes.n = before;
        return NGX_ERROR;
    }

    for (i = 0; i < batch->n; i++) {
        ngx_http_track_segment_place(segment, batch->messages[i]);
    }

    if (segment->oldest == 0) {
        segment->oldest = ngx_http_track_spool_now();
    }

    segment->end += (off_t) size;
    segment->rejected += rejected;
    chunk->rejected += rejected;
    chunk->n += (uint32_t) batch->n;
    spool->buffered += size;

    ngx_queue_insert_tail(&chunk->batches, &batch->queue);
    ngx_post_event(&spool->begin, &ngx_posted_events);

    return NGX_OK;
}


/* The active segment, or a new one, with room for n records more. */

static ngx_http_track_segment_t *
ngx_http_track_spool_segment(ngx_http_track_spool_t *spool, size_t size,
    size_t n)
{
    ngx_http_track_segment_t  *segment;

    segment = spool->active;

    if (segment && segment->n
        && (size_t) segment->end + size > spool->worker->conf->spool_segment)
    {
        ngx_http_track_spool_write_end(spool);
        segment = NULL;
    }

    if (segment == NULL) {
        segment = ngx_http_track_segment_add(spool->own, spool->number + 1);
        if (segment == NULL) {
            return NULL;
        }

        spool->number++;
        spool->active = segment;
    }

    return ngx_http_track_segment_room(segment, n) == NGX_OK ? segment : NULL;
}


/* What may still be added to: not the one that is being written. */

static ngx_http_track_chunk_t *
ngx_http_track_spool_chunk(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment)
{
    ngx_queue_t             *q;
    ngx_http_track_chunk_t  *chunk;

    if (!ngx_queue_empty(&spool->chunks)) {
        q = ngx_queue_last(&spool->chunks);
        chunk = ngx_queue_data(q, ngx_http_track_chunk_t, queue);

        if (chunk->segment == segment
            && !(spool->writer.job.busy && q == ngx_queue_head(&spool->chunks)))
        {
            return chunk;
        }
    }

    chunk = ngx_calloc(sizeof(ngx_http_track_chunk_t), spool->worker->log);
    if (chunk == NULL) {
        return NULL;
    }

    ngx_queue_init(&chunk->batches);
    trk_buf_init(&chunk->bytes, 2 * NGX_HTTP_TRACK_SPOOL_BUFFER);

    chunk->segment = segment;
    chunk->offset = segment->end;
    chunk->first = segment->n;

    segment->chunks++;
    ngx_queue_insert_tail(&spool->chunks, &chunk->queue);

    return chunk;
}
