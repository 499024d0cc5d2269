
/*
 * Writing what was appended to the spool: group commit.
 *
 * One job at a time writes and syncs the first chunk of the queue, in a
 * thread; what comes meanwhile fills the next one, so that one sync serves
 * all that wait for it.  Runs in the event loop, but for _work.
 *
 * A write or sync that fails ends its file for ever: after an error the
 * kernel may have dropped what it could not write, and a second fsync() says
 * nothing of it.  What waited goes to a new segment once, then fails; for a
 * second after that everything is declined at once.
 */


#include "ngx_http_track_spool_inner.h"


#define NGX_HTTP_TRACK_SPOOL_REST   1000        /* ms after a failure */


static void ngx_http_track_spool_begin_handler(ngx_event_t *ev);
static void ngx_http_track_spool_begin(ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_aim(ngx_http_track_spool_t *spool);
static int ngx_http_track_spool_stale(ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_write_work(void *data);
static void ngx_http_track_spool_write_done(ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_written(ngx_http_track_spool_t *spool,
    ngx_http_track_chunk_t *chunk);
static void ngx_http_track_spool_hold(ngx_http_track_spool_t *spool,
    ngx_http_track_spool_batch_t *batch);
static void ngx_http_track_spool_failed(ngx_http_track_spool_t *spool,
    ngx_uint_t last, const char *error);
static void ngx_http_track_spool_give_up(ngx_http_track_spool_t *spool,
    ngx_queue_t *waiting);
static void ngx_http_track_spool_take_back(
    ngx_http_track_spool_batch_t *batch);
static void ngx_http_track_spool_chunk_free(ngx_http_track_spool_t *spool,
    ngx_http_track_chunk_t *chunk);
static void ngx_http_track_spool_abandon(ngx_http_track_spool_t *spool);


void
ngx_http_track_spool_write_init(ngx_http_track_spool_t *spool)
{
    ngx_http_track_spool_writer_t  *writer;

    writer = &spool->writer;

    ngx_queue_init(&spool->chunks);

    spool->begin.handler = ngx_http_track_spool_begin_handler;
    spool->begin.data = spool;
    spool->begin.log = spool->worker->log;

    writer->path = spool->path;
    writer->stale = -1;
    writer->job.spool = spool;
    writer->job.work = ngx_http_track_spool_write_work;
    writer->job.done = ngx_http_track_spool_write_done;
    writer->job.data = writer;
}


/* Posted, so that all requests of one round of the loop are in one chunk. */

static void
ngx_http_track_spool_begin_handler(ngx_event_t *ev)
{
    ngx_http_track_spool_begin(ev->data);
}


static void
ngx_http_track_spool_begin(ngx_http_track_spool_t *spool)
{
    if (spool->writer.job.busy || spool->closing
        || ngx_queue_empty(&spool->chunks))
    {
        return;
    }

    ngx_http_track_spool_aim(spool);

    if (ngx_http_track_spool_post(&spool->writer.job) != NGX_OK) {
        ngx_http_track_spool_failed(spool, 1, "the thread pool is full");
    }
}


/* The first chunk is what is written next. */

static void
ngx_http_track_spool_aim(ngx_http_track_spool_t *spool)
{
    const char                     *cluster;
    ngx_queue_t                    *q;
    ngx_http_track_chunk_t         *chunk;
    ngx_http_track_spool_writer_t  *writer;

    q = ngx_queue_head(&spool->chunks);
    chunk = ngx_queue_data(q, ngx_http_track_chunk_t, queue);
    writer = &spool->writer;
    writer->dir = spool->own->dir;

    if (writer->dir.dir == -1) {
        cluster = ngx_http_track_kafka_cluster(spool->worker);
        (void) ngx_cpystrn((u_char *) writer->cluster,
                           (u_char *) (cluster ? cluster : ""),
                           sizeof(writer->cluster));

        ngx_http_track_ledger_spooled(spool->worker);
    }

    if (chunk->segment->fd == -1 && writer->stale == -1) {
        writer->stale = ngx_http_track_spool_stale(spool);
    }

    writer->write.p = chunk->bytes.p;
    writer->write.n = chunk->bytes.n;
    writer->write.offset = chunk->offset;
    writer->write.number = chunk->segment->number;
    writer->write.fd = chunk->segment->fd;
    writer->write.now = ngx_http_track_spool_now();
}


/* The file of a segment that has ended, to be closed in a thread; -1. */

static int
ngx_http_track_spool_stale(ngx_http_track_spool_t *spool)
{
    int                        fd;
    ngx_queue_t               *q;
    ngx_http_track_segment_t  *segment;

    for (q = ngx_queue_last(&spool->own->segments);
         q != ngx_queue_sentinel(&spool->own->segments);
         q = ngx_queue_prev(q))
    {
        segment = ngx_queue_data(q, ngx_http_track_segment_t, queue);

        if (segment->ended && segment->chunks == 0 && segment->fd != -1) {
            fd = segment->fd;
            segment->fd = -1;
            return fd;
        }
    }

    return -1;
}


/* in a thread */

static void
ngx_http_track_spool_write_work(void *data)
{
    ngx_http_track_spool_writer_t *writer = data;

    if (writer->stale != -1) {
        (void) close(writer->stale);
        writer->stale = -1;
    }

    if (writer->dir.dir == -1) {
        writer->rc = ngx_http_track_spool_io_create(writer->path,
                              &writer->dir, writer->cluster, writer->error);
        if (writer->rc == -1) {
            return;
        }
    }

    writer->rc = ngx_http_track_spool_io_write(&writer->dir, &writer->write,
                                               writer->error);
}


static void
ngx_http_track_spool_write_done(ngx_http_track_spool_t *spool)
{
    ngx_queue_t                    *q;
    ngx_http_track_chunk_t         *chunk;
    ngx_http_track_spool_writer_t  *writer;

    writer = &spool->writer;

    if (spool->own->dir.dir == -1) {
        spool->own->dir = writer->dir;
    }

    q = ngx_queue_head(&spool->chunks);
    chunk = ngx_queue_data(q, ngx_http_track_chunk_t, queue);
    chunk->segment->fd = writer->write.fd;

    if (writer->rc == -1) {
        ngx_http_track_spool_failed(spool, 0, writer->error);

    } else {
        spool->retrying = 0;
        spool->written_at = ngx_current_msec;
        ngx_http_track_spool_written(spool, chunk);
    }

    ngx_http_track_spool_begin(spool);
}


static void
ngx_http_track_spool_written(ngx_http_track_spool_t *spool,
    ngx_http_track_chunk_t *chunk)
{
    ngx_queue_t                   *q;
    ngx_http_track_worker_t       *wk;
    ngx_http_track_segment_t      *segment;
    ngx_http_track_spool_batch_t  *batch;

    wk = spool->worker;
    segment = chunk->segment;

    for (q = ngx_queue_head(&chunk->batches);
         q != ngx_queue_sentinel(&chunk->batches);
         q = ngx_queue_next(q))
    {
        batch = ngx_queue_data(q, ngx_http_track_spool_batch_t, queue);
        ngx_http_track_spool_hold(spool, batch);
    }

    segment->home->holding.changes++;
    segment->written = chunk->first + chunk->n;
    segment->size = chunk->offset + (off_t) chunk->bytes.n;

    ngx_http_track_count(wk, spool_records, chunk->n);
    ngx_http_track_count(wk, spool_written, chunk->bytes.n);
    ngx_http_track_count(wk, spool_syncs, 1);

    /* a handler may append, never to this chunk */

    while (!ngx_queue_empty(&chunk->batches)) {
        q = ngx_queue_head(&chunk->batches);
        batch = ngx_queue_data(q, ngx_http_track_spool_batch_t, queue);

        ngx_queue_remove(q);
        batch->handler(batch, 1);
    }

    ngx_http_track_spool_chunk_free(spool, chunk);

    if (segment->waits) {
        ngx_http_track_spool_drain_wake(spool, 0);
    }
}


/* It is on the disk, and not in Kafka, but for what was reported since. */

static void
ngx_http_track_spool_hold(ngx_http_track_spool_t *spool,
    ngx_http_track_spool_batch_t *batch)
{
    size_t                     i;
    ngx_http_track_message_t  *m;
    ngx_http_track_segment_t  *segment;

    for (i = 0; i < batch->n; i++) {
        m = batch->messages[i];
        segment = m->place.segment;

        if (segment == NULL) {
            continue;
        }

        if (segment->states[m->place.index] == NGX_HTTP_TRACK_SPOOL_WAITS) {
            segment->waits++;
        }

        if (trk_seqset_add(&segment->home->holding.held, m->seq) != TRK_OK) {
            ngx_log_error(NGX_LOG_ERR, spool->worker->log, 0,
                          "track: no memory for the numbers of the spool, "
                          "the ledger will miss some");
        }
    }
}


/*
 * The file of the first chunk has ended.  All that waits goes to a new
 * segment; if that fails as well, nowhere.
 */

static void
ngx_http_track_spool_failed(ngx_http_track_spool_t *spool, ngx_uint_t last,
    const char *error)
{
    ngx_uint_t                     muted;
    ngx_queue_t                   *q, waiting;
    ngx_http_track_spool_batch_t  *batch;

    last |= spool->retrying;

    ngx_http_track_count(spool->worker, spool_failures, 1);

    if (ngx_http_track_unmute(&spool->mute_write, &muted)) {
        ngx_log_error(NGX_LOG_ERR, spool->worker->log, 0,
                      "track: spool \"%s\": %s; %s (%ui more of this line)",
                      spool->path, error,
                      last ? "events that Kafka does not take are refused"
                           : "a new segment is tried", muted);
    }

    ngx_queue_init(&waiting);
    ngx_http_track_spool_write_end(spool);
    ngx_http_track_spool_give_up(spool, &waiting);

    spool->retrying = !last;

    if (last) {
        spool->failing = 1;
        spool->failing_until = ngx_current_msec + NGX_HTTP_TRACK_SPOOL_REST;
    }

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        batch = ngx_queue_data(q, ngx_http_track_spool_batch_t, queue);

        ngx_queue_remove(q);

        if (last || ngx_http_track_spool_admit(spool, batch) != NGX_OK) {
            batch->handler(batch, 0);
        }
    }
}


/* Drops all chunks; what waits for them is put into that queue, and lies
 * nowhere any more. */

static void
ngx_http_track_spool_give_up(ngx_http_track_spool_t *spool,
    ngx_queue_t *waiting)
{
    ngx_queue_t               *q;
    ngx_http_track_chunk_t    *chunk;
    ngx_http_track_segment_t  *segment;

    while (!ngx_queue_empty(&spool->chunks)) {
        q = ngx_queue_head(&spool->chunks);
        chunk = ngx_queue_data(q, ngx_http_track_chunk_t, queue);
        segment = chunk->segment;
        segment->ended = 1;

        while (!ngx_queue_empty(&chunk->batches)) {
            q = ngx_queue_head(&chunk->batches);
            ngx_queue_remove(q);
            ngx_queue_insert_tail(waiting, q);
            ngx_http_track_spool_take_back(ngx_queue_data(q,
                                       ngx_http_track_spool_batch_t, queue));
        }

        segment->end = ngx_min(segment->end, chunk->offset);
        segment->rejected -= chunk->rejected;

        ngx_http_track_spool_unreserve(spool, chunk->bytes.n,
                                       chunk->rejected);
        ngx_http_track_spool_chunk_free(spool, chunk);
    }
}


static void
ngx_http_track_spool_take_back(ngx_http_track_spool_batch_t *batch)
{
    size_t                   i;
    ngx_http_track_place_t  *place;

    for (i = 0; i < batch->n; i++) {
        place = &batch->messages[i]->place;

        if (place->segment) {
            ngx_http_track_spool_close_record(place->segment, place->index,
                                              NGX_HTTP_TRACK_SPOOL_DONE, 0);
            place->segment = NULL;
            place->index = 0;
        }
    }
}


static void
ngx_http_track_spool_chunk_free(ngx_http_track_spool_t *spool,
    ngx_http_track_chunk_t *chunk)
{
    ngx_queue_remove(&chunk->queue);

    spool->buffered -= chunk->bytes.n;
    chunk->segment->chunks--;

    trk_buf_free(&chunk->bytes);
    ngx_free(chunk);
}


void
ngx_http_track_spool_write_end(ngx_http_track_spool_t *spool)
{
    if (spool->active) {
        spool->active->ended = 1;
        spool->active = NULL;
    }
}


void
ngx_http_track_spool_flush(ngx_http_track_worker_t *wk, ngx_msec_t ms)
{
    ngx_msec_t                      until;
    ngx_http_track_spool_t         *spool;
    ngx_http_track_spool_writer_t  *writer;

    spool = wk->spool;

    if (spool == NULL) {
        return;
    }

    spool->closing = 1;
    writer = &spool->writer;
    ngx_time_update();
    until = ngx_current_msec + ms;

    /* threads of the pool have ended, but for one that hangs */

    if (writer->job.busy && writer->job.finished) {
        writer->job.busy = 0;
        ngx_http_track_spool_write_done(spool);
    }

    while (!writer->job.busy && !ngx_queue_empty(&spool->chunks)) {
        ngx_time_update();

        if ((ngx_msec_int_t) (until - ngx_current_msec) <= 0) {
            break;
        }

        ngx_http_track_spool_aim(spool);
        writer->job.busy = 1;

        if (ngx_http_track_spool_within(ngx_http_track_spool_write_work,
                                        writer, until - ngx_current_msec)
            != NGX_OK)
        {
            break;
        }

        writer->job.busy = 0;
        ngx_http_track_spool_write_done(spool);
    }

    ngx_http_track_spool_abandon(spool);
}


/* Time is over; a thread may still read the chunks. */

static void
ngx_http_track_spool_abandon(ngx_http_track_spool_t *spool)
{
    ngx_queue_t                   *q, *b;
    ngx_http_track_chunk_t        *chunk;
    ngx_http_track_spool_batch_t  *batch;

    for (q = ngx_queue_head(&spool->chunks);
         q != ngx_queue_sentinel(&spool->chunks);
         q = ngx_queue_next(q))
    {
        chunk = ngx_queue_data(q, ngx_http_track_chunk_t, queue);

        while (!ngx_queue_empty(&chunk->batches)) {
            b = ngx_queue_head(&chunk->batches);
            batch = ngx_queue_data(b, ngx_http_track_spool_batch_t, queue);

            ngx_queue_remove(b);
            batch->handler(batch, 0);
        }
    }
}
