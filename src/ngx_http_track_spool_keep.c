
/*
 * Housekeeping of the spool, one job at a time, each begun in the event loop
 * (_begin functions), done in a thread (_work) and ended in the loop (_done).
 * In this order, as they are due:
 *
 *   marks    of records that Kafka has, see _spool_mark
 *   unlink   of segments that are done
 *   usage    every 10 s, by the leader: what all spools of the path take; the
 *            first time by whoever is first, since nothing is taken before
 *   meta     once Kafka's cluster is known
 *   load     an adopted segment is gone through: what of it waits
 *   remove   an adopted spool that is empty
 *   adopt    every 10 s: a spool that nobody owns becomes ours
 */


#include "ngx_http_track_spool_inner.h"


static ngx_uint_t ngx_http_track_spool_finished(
    ngx_http_track_spool_t *spool, ngx_http_track_segment_t *segment);
static ngx_int_t ngx_http_track_spool_unlink_begin(
    ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_unlink_work(void *data);
static void ngx_http_track_spool_unlink_done(ngx_http_track_spool_t *spool);
static ngx_int_t ngx_http_track_spool_meta_begin(
    ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_meta_work(void *data);
static void ngx_http_track_spool_meta_done(ngx_http_track_spool_t *spool);
static ngx_int_t ngx_http_track_spool_remove_begin(
    ngx_http_track_spool_t *spool);
static ngx_uint_t ngx_http_track_spool_told(ngx_http_track_spool_t *spool,
    ngx_http_track_home_t *home);
static void ngx_http_track_spool_remove_work(void *data);
static void ngx_http_track_spool_remove_done(ngx_http_track_spool_t *spool);
static ngx_int_t ngx_http_track_spool_usage_begin(
    ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_usage_work(void *data);
static void ngx_http_track_spool_usage_done(ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_last_work(void *data);
static void ngx_http_track_spool_last_segment(ngx_http_track_spool_t *spool,
    ngx_http_track_home_t *home, ngx_http_track_segment_t *segment);


void
ngx_http_track_spool_keep_init(ngx_http_track_spool_t *spool)
{
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    keeper->job.spool = spool;
    keeper->job.data = keeper;
    keeper->fd = -1;

    ngx_http_track_spool_marks_init(spool);

    /* workers that start together do not all look at the same moment */

    keeper->adopt_at = ngx_current_msec + ngx_pid % 16 * 8;
    keeper->usage_at = ngx_current_msec;
}


void
ngx_http_track_spool_keep(ngx_http_track_spool_t *spool)
{
    ngx_uint_t                      i;
    ngx_http_track_spool_keeper_t  *keeper;
    static ngx_int_t              (*begin[])(ngx_http_track_spool_t *spool) = {
        ngx_http_track_spool_marks_begin,
        ngx_http_track_spool_unlink_begin,
        ngx_http_track_spool_usage_begin,
        ngx_http_track_spool_meta_begin,
        ngx_http_track_spool_load_begin,
        ngx_http_track_spool_remove_begin,
        ngx_http_track_spool_adopt_begin
    };

    if (spool->keeper.job.busy || spool->closing) {
        return;
    }

    keeper = &spool->keeper;

    for (i = 0; i < sizeof(begin) / sizeof(begin[0]); i++) {

        if (keeper->failed[i]
            && (ngx_msec_int_t) (keeper->not_before[i] - ngx_current_msec)
               > 0)
        {
            continue;
        }

        keeper->failed[i] = 0;
        keeper->step = i;

        if (begin[i](spool) == NGX_OK) {
            return;
        }
    }
}


/* The steps behind it get their turn meanwhile. */

void
ngx_http_track_spool_keep_failed(ngx_http_track_spool_t *spool)
{
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    ngx_http_track_spool_say_once(spool, keeper->error);

    keeper->failed[keeper->step] = 1;
    keeper->not_before[keeper->step] = ngx_current_msec
                                       + NGX_HTTP_TRACK_SPOOL_SCAN;
    ngx_http_track_spool_keep(spool);
}


ngx_int_t
ngx_http_track_spool_start(ngx_http_track_spool_t *spool,
    void (*work)(void *data), void (*done)(ngx_http_track_spool_t *spool))
{
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    keeper->rc = 0;
    keeper->error[0] = '\0';
    keeper->job.work = work;
    keeper->job.done = done;

    return ngx_http_track_spool_post(&keeper->job);
}


void
ngx_http_track_spool_say_once(ngx_http_track_spool_t *spool,
    const char *sentence)
{
    uint32_t                        hash;
    ngx_uint_t                      i;
    ngx_http_track_spool_keeper_t  *keeper;

    if (sentence[0] == '\0') {
        return;
    }

    keeper = &spool->keeper;
    hash = ngx_crc32_short((u_char *) sentence, ngx_strlen(sentence));

    for (i = 0; i < keeper->nsaid; i++) {
        if (keeper->said[i] == hash) {
            return;
        }
    }

    if (keeper->nsaid == sizeof(keeper->said) / sizeof(keeper->said[0])) {
        keeper->nsaid = 0;
    }

    keeper->said[keeper->nsaid++] = hash;

    ngx_log_error(NGX_LOG_ERR, spool->worker->log, 0,
                  "track: spool \"%s\": %s", spool->path, sentence);
}


ngx_http_track_segment_t *
ngx_http_track_spool_find(ngx_http_track_spool_t *spool,
    ngx_uint_t (*f)(ngx_http_track_spool_t *spool,
                    ngx_http_track_segment_t *segment))
{
    ngx_queue_t               *q, *s;
    ngx_http_track_home_t     *home;
    ngx_http_track_segment_t  *segment;

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        for (s = ngx_queue_head(&home->segments);
             s != ngx_queue_sentinel(&home->segments);
             s = ngx_queue_next(s))
        {
            segment = ngx_queue_data(s, ngx_http_track_segment_t, queue);

            if (f(spool, segment)) {
                return segment;
            }
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_track_spool_finished(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment)
{
    return segment->ended && segment->open == 0 && segment->chunks == 0
           && segment != spool->drain.segment
           && !(segment->stuck
                && (ngx_msec_int_t) (segment->unlink_at - ngx_current_msec)
                   > 0);
}


static ngx_int_t
ngx_http_track_spool_unlink_begin(ngx_http_track_spool_t *spool)
{
    ngx_http_track_segment_t       *segment;
    ngx_http_track_spool_keeper_t  *keeper;

    segment = ngx_http_track_spool_find(spool, ngx_http_track_spool_finished);

    if (segment == NULL) {
        return NGX_DECLINED;
    }

    keeper = &spool->keeper;
    keeper->home = segment->home;
    keeper->number = segment->number;
    keeper->segment = segment;
    keeper->fd = segment->fd;

    return ngx_http_track_spool_start(spool, ngx_http_track_spool_unlink_work,
                                      ngx_http_track_spool_unlink_done);
}


static void
ngx_http_track_spool_unlink_work(void *data)
{
    ngx_http_track_spool_keeper_t *keeper = data;

    if (keeper->fd != -1) {
        (void) close(keeper->fd);
    }

    /* of a spool that could not even be made there is no file */

    if (keeper->home->dir.dir != -1) {
        keeper->rc = ngx_http_track_spool_io_unlink(&keeper->home->dir,
                                               keeper->number, keeper->error);
    }
}


static void
ngx_http_track_spool_unlink_done(ngx_http_track_spool_t *spool)
{
    ngx_http_track_segment_t       *segment;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;
    segment = keeper->segment;
    segment->fd = -1;

    if (keeper->rc == -1) {

        /* the others are not to wait for it */

        segment->stuck = 1;
        segment->unlink_at = ngx_current_msec + NGX_HTTP_TRACK_SPOOL_SCAN;

        ngx_http_track_spool_say_once(spool, keeper->error);
        ngx_http_track_spool_keep(spool);
        return;
    }

    ngx_http_track_spool_unreserve(spool,
                          (size_t) (segment->end - TRK_SPOOL_HEADER),
                          segment->rejected);
    ngx_http_track_segment_free(segment);
    ngx_http_track_spool_keep(spool);
}


static ngx_int_t
ngx_http_track_spool_meta_begin(ngx_http_track_spool_t *spool)
{
    const char                     *cluster;
    ngx_http_track_spool_keeper_t  *keeper;

    if (spool->own->dir.dir == -1
        || spool->own->dir.meta.cluster[0] != '\0')
    {
        return NGX_DECLINED;
    }

    cluster = ngx_http_track_kafka_cluster(spool->worker);

    if (cluster == NULL || ngx_strlen(cluster) > TRK_SPOOL_CLUSTER_MAX) {
        return NGX_DECLINED;
    }

    keeper = &spool->keeper;
    keeper->home = spool->own;
    (void) ngx_cpystrn((u_char *) keeper->cluster, (u_char *) cluster,
                       sizeof(keeper->cluster));

    return ngx_http_track_spool_start(spool, ngx_http_track_spool_meta_work,
                                      ngx_http_track_spool_meta_done);
}


static void
ngx_http_track_spool_meta_work(void *data)
{
    ngx_http_track_spool_keeper_t *keeper = data;

    ngx_http_track_spool_dir_t  dir;

    /* the writer may be copying the original */

    dir = keeper->home->dir;
    keeper->rc = ngx_http_track_spool_io_meta(&dir, keeper->cluster,
                                              keeper->error);
}


static void
ngx_http_track_spool_meta_done(ngx_http_track_spool_t *spool)
{
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    if (keeper->rc == -1) {
        ngx_http_track_spool_keep_failed(spool);
        return;
    }

    ngx_memcpy(spool->own->dir.meta.cluster, keeper->cluster,
               sizeof(keeper->cluster));
    ngx_http_track_spool_keep(spool);
}


static ngx_int_t
ngx_http_track_spool_remove_begin(ngx_http_track_spool_t *spool)
{
    ngx_queue_t                    *q;
    ngx_http_track_home_t          *home;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        /* what is set aside is the operator's to take away: looked for
         * as often as for spools to be adopted */

        if (home == spool->own || !home->whole || home->unread
            || home->loaded < home->nnumbers
            || !ngx_queue_empty(&home->segments)
            || (home->aside != -1
                && ngx_current_msec - home->looked_at
                   < NGX_HTTP_TRACK_SPOOL_SCAN))
        {
            continue;
        }

        if (!ngx_http_track_spool_told(spool, home)) {
            continue;
        }

        home->looked_at = ngx_current_msec;
        keeper->home = home;

        return ngx_http_track_spool_start(spool,
                                          ngx_http_track_spool_remove_work,
                                          ngx_http_track_spool_remove_done);
    }

    return NGX_DECLINED;
}


/*
 * While the ledger still says that records lie in this spool, its folder is all
 * that makes somebody say otherwise if this worker is killed: it is kept until
 * that was delivered, but not for ever where there is no ledger.
 */

static ngx_uint_t
ngx_http_track_spool_told(ngx_http_track_spool_t *spool,
    ngx_http_track_home_t *home)
{
    if (home->empty_at == 0) {
        home->empty_at = ngx_max(ngx_current_msec, 1);
    }

    return ngx_http_track_ledger_told(spool->worker, &home->holding)
           || ngx_current_msec - home->empty_at > NGX_HTTP_TRACK_SPOOL_TELL;
}


static void
ngx_http_track_spool_remove_work(void *data)
{
    ngx_http_track_spool_keeper_t *keeper = data;

    keeper->rc = ngx_http_track_spool_io_remove(keeper->job.spool->path,
                                                &keeper->home->dir,
                                                keeper->error);
}


static void
ngx_http_track_spool_remove_done(ngx_http_track_spool_t *spool)
{
    ngx_http_track_home_t          *home;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;
    home = keeper->home;

    if (keeper->rc == -1) {
        ngx_http_track_spool_say_once(spool, keeper->error);
    }

    if (keeper->rc != 1) {
        home->aside = ngx_max(home->aside, 0);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, spool->worker->log, 0,
                  "track: adopted spool %s was drained and removed",
                  home->dir.edge);

    ngx_http_track_home_free(home);
    ngx_http_track_spool_keep(spool);
}


static ngx_int_t
ngx_http_track_spool_usage_begin(ngx_http_track_spool_t *spool)
{
    ngx_http_track_worker_t        *wk;
    ngx_http_track_spool_keeper_t  *keeper;

    wk = spool->worker;
    keeper = &spool->keeper;

    if ((wk->epoch == 0 && wk->sh->spool_known)
        || (ngx_msec_int_t) (keeper->usage_at - ngx_current_msec) > 0)
    {
        return NGX_DECLINED;
    }

    keeper->usage_at = ngx_current_msec + NGX_HTTP_TRACK_SPOOL_SCAN;
    keeper->known = wk->sh->spool_known;
    keeper->before = (off_t) wk->sh->spool_bytes;

    return ngx_http_track_spool_start(spool, ngx_http_track_spool_usage_work,
                                      ngx_http_track_spool_usage_done);
}


static void
ngx_http_track_spool_usage_work(void *data)
{
    ngx_http_track_spool_keeper_t *keeper = data;

    keeper->usage = ngx_http_track_spool_io_usage(keeper->job.spool->path,
                                                  keeper->error);
}


/*
 * Reservations of killed workers are in the count, and what lies in the path
 * without having been reserved is not: both are set right.  What others
 * write meanwhile is counted as they do it.
 */

static void
ngx_http_track_spool_usage_done(ngx_http_track_spool_t *spool)
{
    ngx_uint_t                      i;
    ngx_atomic_int_t                rejected;
    ngx_http_track_shm_t           *sh;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;
    sh = spool->worker->sh;

    if (keeper->usage == -1) {
        ngx_http_track_spool_keep_failed(spool);
        return;
    }

    ngx_shmtx_lock(&spool->worker->shpool->mutex);

    /* of several that make the first count only one may add it */

    if (keeper->known == sh->spool_known) {
        (void) ngx_atomic_fetch_add(&sh->spool_bytes,
                         (ngx_atomic_int_t) (keeper->usage - keeper->before)
                         + (ngx_atomic_int_t) spool->buffered);
        sh->spool_known = 1;
    }

    ngx_shmtx_unlock(&spool->worker->shpool->mutex);

    rejected = 0;

    for (i = 0; i < NGX_HTTP_TRACK_SLOTS; i++) {
        if (sh->slots[i].life && ngx_http_track_lives(sh->slots[i].life)) {
            rejected += (ngx_atomic_int_t) sh->slots[i].spool_rejected;
        }
    }

    sh->spool_rejected = (ngx_atomic_uint_t) rejected;

    ngx_http_track_spool_keep(spool);
}


/*
 * The threads of the pool have ended, and so has what they had begun; whether
 * its `done` was called does not matter any more.
 */

void
ngx_http_track_spool_keep_exit(ngx_http_track_spool_t *spool, ngx_msec_t ms)
{
    ngx_queue_t            *q;
    ngx_http_track_home_t  *home;

    if (spool->keeper.job.busy && !spool->keeper.job.finished) {
        return;
    }

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);
        home->told = ngx_http_track_ledger_told(spool->worker,
                                                &home->holding);
    }

    (void) ngx_http_track_spool_within(ngx_http_track_spool_last_work, spool,
                                       ms);
}


/* in a thread, with nobody beside it */

static void
ngx_http_track_spool_last_work(void *data)
{
    ngx_queue_t                    *q, *s;
    ngx_http_track_home_t          *home;
    ngx_http_track_spool_t         *spool = data;
    ngx_http_track_segment_t       *segment;

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        if (home->dir.dir == -1) {
            continue;
        }

        for (s = ngx_queue_head(&home->segments);
             s != ngx_queue_sentinel(&home->segments);
             s = ngx_queue_next(s))
        {
            segment = ngx_queue_data(s, ngx_http_track_segment_t, queue);
            ngx_http_track_spool_last_segment(spool, home, segment);
        }

        if (home->whole && home->told) {
            (void) ngx_http_track_spool_io_remove(spool->path, &home->dir,
                                                  spool->keeper.error);
        }
    }
}


static void
ngx_http_track_spool_last_segment(ngx_http_track_spool_t *spool,
    ngx_http_track_home_t *home, ngx_http_track_segment_t *segment)
{
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    if (segment->open == 0) {
        (void) ngx_http_track_spool_io_unlink(&home->dir, segment->number,
                                              keeper->error);
        return;
    }

    /* of one that is folded they are there */

    if (segment->states == NULL) {
        return;
    }

    /* all of them: those of a job that was busy may not have come that far */

    keeper->nmarks = segment->written;
    keeper->marks = malloc(keeper->nmarks ? keeper->nmarks : 1);

    if (keeper->marks == NULL) {
        return;
    }

    segment->mark_from = 0;
    ngx_http_track_spool_marks_take(keeper, segment);

    (void) ngx_http_track_spool_io_mark(&home->dir, segment->number, 0,
                                        keeper->marks, keeper->nmarks,
                                        keeper->error);
    free(keeper->marks);
}
