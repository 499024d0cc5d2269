
/*
 * Adoption: a worker has ended and left records behind.  Every 10 s each
 * worker looks through the path; whoever gets the lock of a spool that nobody
 * holds owns it for life, drains it, and removes it.  One spool a look, and
 * the next look at once, so that several workers share what there is.
 *
 * A spool that was written for another Kafka cluster than ours is left alone.
 * While we do not know ours, one that names a cluster is held, but not
 * drained.
 */


#include "ngx_http_track_spool_inner.h"


static void ngx_http_track_spool_adopt_work(void *data);
static int ngx_http_track_spool_adopt_edge(const char *edge, void *data);
static ngx_uint_t ngx_http_track_spool_adopt_see(
    ngx_http_track_spool_keeper_t *keeper, const char *edge);
static int ngx_http_track_spool_adopt_take(
    ngx_http_track_spool_keeper_t *keeper, ngx_http_track_home_t *home);
static void ngx_http_track_spool_adopt_foreign(ngx_http_track_home_t *home,
    const char *ours, char *sentence);
static void ngx_http_track_spool_adopt_aside(
    ngx_http_track_spool_keeper_t *keeper, ngx_http_track_home_t *home);
static void ngx_http_track_spool_adopt_done(ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_load_work(void *data);
static void ngx_http_track_spool_load_done(ngx_http_track_spool_t *spool);
static ngx_http_track_segment_t *ngx_http_track_spool_loaded(
    ngx_http_track_home_t *home, ngx_http_track_spool_loaded_t *loaded,
    trk_seqset_t *seqs);


ngx_int_t
ngx_http_track_spool_adopt_begin(ngx_http_track_spool_t *spool)
{
    const char                     *cluster;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    if (ngx_exiting
        || (ngx_msec_int_t) (keeper->adopt_at - ngx_current_msec) > 0)
    {
        return NGX_DECLINED;
    }

    keeper->adopt_at = ngx_current_msec + NGX_HTTP_TRACK_SPOOL_SCAN;
    keeper->adopt_began = ngx_current_msec;
    keeper->found = NULL;
    keeper->nseen = 0;
    keeper->refused[0] = '\0';

    cluster = ngx_http_track_kafka_cluster(spool->worker);
    (void) ngx_cpystrn((u_char *) keeper->cluster,
                       (u_char *) (cluster ? cluster : ""),
                       sizeof(keeper->cluster));

    return ngx_http_track_spool_start(spool, ngx_http_track_spool_adopt_work,
                                      ngx_http_track_spool_adopt_done);
}


/* in a thread, and what follows */

static void
ngx_http_track_spool_adopt_work(void *data)
{
    ngx_http_track_spool_keeper_t *keeper = data;

    keeper->rc = ngx_http_track_spool_io_edges(keeper->job.spool->path,
                                           ngx_http_track_spool_adopt_edge,
                                           keeper, keeper->error);
}


static int
ngx_http_track_spool_adopt_edge(const char *edge, void *data)
{
    ngx_http_track_home_t          *home;
    ngx_http_track_spool_keeper_t  *keeper = data;

    if (!ngx_http_track_spool_adopt_see(keeper, edge)) {
        return -1;
    }

    if (keeper->found) {
        return 0;
    }

    home = calloc(1, sizeof(ngx_http_track_home_t));
    if (home == NULL) {
        return -1;
    }

    memcpy(home->dir.edge, edge, NGX_HTTP_TRACK_EDGE_LEN);
    memcpy(home->holding.edge, edge, NGX_HTTP_TRACK_EDGE_LEN);

    if (ngx_http_track_spool_adopt_take(keeper, home) == 1) {
        keeper->found = home;

    } else {
        free(home);
    }

    return 0;
}


static ngx_uint_t
ngx_http_track_spool_adopt_see(ngx_http_track_spool_keeper_t *keeper,
    const char *edge)
{
    u_char  *more;

    if (keeper->nseen == keeper->room) {
        more = realloc(keeper->seen, (keeper->room * 2 + 16)
                                     * NGX_HTTP_TRACK_EDGE_LEN);
        if (more == NULL) {
            return 0;
        }

        keeper->seen = more;
        keeper->room = keeper->room * 2 + 16;
    }

    memcpy(keeper->seen + keeper->nseen++ * NGX_HTTP_TRACK_EDGE_LEN, edge,
           NGX_HTTP_TRACK_EDGE_LEN);

    return 1;
}


/* 1: home is ours now. */

static int
ngx_http_track_spool_adopt_take(ngx_http_track_spool_keeper_t *keeper,
    ngx_http_track_home_t *home)
{
    int    rc;
    char  *cluster;

    rc = ngx_http_track_spool_io_take(keeper->job.spool->path, &home->dir,
                                      keeper->refused);
    if (rc != 1) {
        return rc;
    }

    cluster = home->dir.meta.cluster;

    home->unsure = (cluster[0] != '\0' && keeper->cluster[0] == '\0');

    if (cluster[0] != '\0' && !home->unsure
        && strcmp(cluster, keeper->cluster) != 0)
    {
        ngx_http_track_spool_adopt_foreign(home, keeper->cluster,
                                           keeper->refused);
        rc = 0;

    } else if (ngx_http_track_spool_io_list(&home->dir, &home->numbers,
                                            &home->nnumbers, &home->aside,
                                            keeper->refused)
               == -1)
    {
        rc = 0;

    } else if (home->aside > 0) {
        ngx_http_track_spool_adopt_aside(keeper, home);
    }

    if (rc == 0) {
        ngx_http_track_spool_io_close(&home->dir);
    }

    return rc;
}


static void
ngx_http_track_spool_adopt_foreign(ngx_http_track_home_t *home,
    const char *ours, char *sentence)
{
    ngx_http_track_spool_io_say(sentence, "spool %s is for the Kafka cluster "
                                "%.64s, not for ours, %.64s: it is left "
                                "alone", home->dir.edge,
                                home->dir.meta.cluster, ours);
}


/* What was set aside is on this disk, and nowhere else. */

static void
ngx_http_track_spool_adopt_aside(ngx_http_track_spool_keeper_t *keeper,
    ngx_http_track_home_t *home)
{
    int                            rc;
    trk_spool_record_t             record;
    ngx_http_track_spool_reader_t  rd;

    rc = ngx_http_track_spool_io_open(&home->dir, &rd, TRK_SPOOL_ASIDE, 0, 0,
                                      -1, keeper->refused);
    if (rc == 0) {

        do {
            rc = ngx_http_track_spool_io_next(&rd, &record, keeper->refused);

            if (rc == TRK_OK && record.seq
                && trk_seqset_add(&home->holding.held, record.seq) != TRK_OK)
            {
                rc = TRK_NOMEM;
            }

        } while (rc == TRK_OK || rc == TRK_CORRUPT);
    }

    ngx_http_track_spool_io_shut(&rd);
}


/* in the event loop again */

static void
ngx_http_track_spool_adopt_done(ngx_http_track_spool_t *spool)
{
    u_char                         *edges;
    ngx_http_track_home_t          *home;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;
    home = keeper->found;

    ngx_http_track_spool_say_once(spool, keeper->refused);

    if (keeper->rc == -1) {
        ngx_http_track_spool_say_once(spool, keeper->error);

    } else {

        /* the list of this look for that of the last one, and its memory */

        edges = keeper->edges;
        keeper->edges = keeper->seen;
        keeper->nedges = keeper->nseen;
        keeper->seen = edges;
        keeper->room = 0;
        keeper->scanned = 1;
        keeper->scanned_at = keeper->adopt_began;
    }

    if (home) {
        ngx_queue_init(&home->segments);
        ngx_queue_insert_tail(&spool->own->queue, &home->queue);

        keeper->adopt_at = ngx_current_msec;

        if (home->nnumbers == 0) {
            home->whole = 1;
            ngx_http_track_ledger_adopted(spool->worker, home->holding.edge);
        }

        ngx_http_track_count(spool->worker, spool_adopted, 1);
        ngx_log_error(NGX_LOG_NOTICE, spool->worker->log, 0,
                      "track: adopted spool %s with %uz segments",
                      home->dir.edge, home->nnumbers);
    }

    ngx_http_track_spool_keep(spool);
}


ngx_int_t
ngx_http_track_spool_load_begin(ngx_http_track_spool_t *spool)
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

        if (home->unread && home->whole && home->loaded == home->nnumbers
            && (ngx_msec_int_t) (home->load_at - ngx_current_msec) <= 0)
        {
            home->nnumbers = home->unread;
            home->unread = 0;
            home->loaded = 0;
        }

        if (home->loaded < home->nnumbers) {
            keeper->home = home;
            keeper->number = home->numbers[home->loaded];
            ngx_memzero(&keeper->seqs, sizeof(trk_seqset_t));

            return ngx_http_track_spool_start(spool,
                                              ngx_http_track_spool_load_work,
                                              ngx_http_track_spool_load_done);
        }
    }

    return NGX_DECLINED;
}


static void
ngx_http_track_spool_load_work(void *data)
{
    ngx_http_track_spool_keeper_t *keeper = data;

    keeper->rc = ngx_http_track_spool_io_load(&keeper->home->dir,
                                     keeper->number, &keeper->loaded,
                                     &keeper->seqs, keeper->error);
}


static void
ngx_http_track_spool_load_done(ngx_http_track_spool_t *spool)
{
    ngx_http_track_home_t          *home;
    ngx_http_track_segment_t       *segment;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;
    home = keeper->home;

    if (keeper->rc == 0) {
        segment = ngx_http_track_spool_loaded(home, &keeper->loaded,
                                              &keeper->seqs);
        if (segment == NULL) {
            keeper->rc = -1;

        } else {
            ngx_http_track_segment_fold(spool, segment);
        }
    }

    trk_seqset_free(&keeper->seqs);

    if (keeper->rc == -1) {

        /* the others are not to wait for it, nor is it to be forgotten */

        ngx_http_track_spool_say_once(spool, keeper->error);
        home->numbers[home->unread++] = keeper->number;
        home->load_at = ngx_current_msec + NGX_HTTP_TRACK_SPOOL_SCAN;
    }

    if (++home->loaded == home->nnumbers) {

        if (!home->whole) {
            home->whole = 1;
            ngx_http_track_ledger_adopted(spool->worker, home->holding.edge);
        }

        ngx_http_track_spool_drain_wake(spool, 0);
    }

    ngx_http_track_spool_keep(spool);
}


static ngx_http_track_segment_t *
ngx_http_track_spool_loaded(ngx_http_track_home_t *home,
    ngx_http_track_spool_loaded_t *loaded, trk_seqset_t *seqs)
{
    uint64_t                   first, last;
    ngx_http_track_segment_t  *segment;

    segment = ngx_http_track_segment_add(home, loaded->number);

    if (segment == NULL) {
        free(loaded->states);
        return NULL;
    }

    segment->size = loaded->size;
    segment->end = loaded->size + loaded->torn;
    segment->states = loaded->states;
    segment->n = loaded->n;
    segment->written = loaded->n;
    segment->open = loaded->waits;
    segment->waits = loaded->waits;
    segment->oldest = loaded->oldest;
    segment->rejected = loaded->rejected;
    segment->patchy = (loaded->bad || loaded->lost);
    segment->ended = 1;

    for (last = 0; trk_seqset_next(seqs, last, &first, &last); last++) {
        for ( /* void */ ; first <= last; first++) {

            if (trk_seqset_add(&home->holding.held, first) != TRK_OK) {
                ngx_http_track_segment_free(segment);
                return NULL;
            }
        }
    }

    home->holding.changes++;

    return segment;
}


void
ngx_http_track_spool_adopt_sure(ngx_http_track_spool_t *spool)
{
    char                    sentence[NGX_HTTP_TRACK_SPOOL_ERROR];
    const char             *cluster;
    ngx_queue_t            *q, *next;
    ngx_http_track_home_t  *home;

    cluster = ngx_http_track_kafka_cluster(spool->worker);

    /* no job of ours is at any of them, and the drain never was */

    if (cluster == NULL || spool->keeper.job.busy) {
        return;
    }

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = next)
    {
        next = ngx_queue_next(q);
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        if (!home->unsure) {
            continue;
        }

        home->unsure = 0;

        if (ngx_strcmp(home->dir.meta.cluster, cluster) != 0) {
            ngx_http_track_spool_adopt_foreign(home, cluster, sentence);
            ngx_http_track_spool_say_once(spool, sentence);
            ngx_http_track_home_free(home);
        }
    }
}


void
ngx_http_track_home_free(ngx_http_track_home_t *home)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&home->segments)) {
        q = ngx_queue_head(&home->segments);
        ngx_http_track_segment_free(ngx_queue_data(q,
                                           ngx_http_track_segment_t, queue));
    }

    ngx_http_track_spool_io_close(&home->dir);

    ngx_queue_remove(&home->queue);
    trk_seqset_free(&home->holding.held);
    free(home->numbers);
    free(home);
}
