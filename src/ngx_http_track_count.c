
/*
 * Counting: what the zone's stripes add up, and which series an event's type
 * has.  Event loop of a worker; the way of an event takes no lock.
 *
 * There are at most NGX_HTTP_TRACK_SERIES of them, each made when the first
 * event of its type and verdict comes.  A worker keeps the series of each
 * type of the image that it maps, so an event costs one addition.  What finds
 * no series is counted as "other": types that are not defined, or too many.
 * The series of a type that is not defined any more ends (its counts belong to
 * "other" from then on, which never goes back) and may serve another type.
 */


#include "ngx_http_track_metric.h"
#include "trk_hash.h"


#define NGX_HTTP_TRACK_UNKNOWN  0xffff      /* series of a type, not asked */


static ngx_uint_t ngx_http_track_series(ngx_http_track_worker_t *wk,
    const trk_image_t *image, const trk_image_type_t *type,
    ngx_http_track_verdict_e verdict);
static ngx_int_t ngx_http_track_series_reset(ngx_http_track_worker_t *wk,
    const trk_image_t *image);
static ngx_uint_t ngx_http_track_series_find(ngx_http_track_worker_t *wk,
    trk_str_t name, ngx_http_track_verdict_e verdict);
static void ngx_http_track_series_begin(ngx_http_track_worker_t *wk,
    ngx_uint_t n, trk_str_t name, ngx_http_track_verdict_e verdict);


ngx_uint_t  ngx_http_track_buckets[] = NGX_HTTP_TRACK_ACK_BUCKETS;


void
ngx_http_track_count_events(ngx_http_track_worker_t *wk,
    const trk_image_t *image)
{
    size_t                     i, k, run;
    ngx_uint_t                 series, last;
    trk_event_t               *event;
    trk_request_t             *req;
    ngx_http_track_verdict_e   verdict;

    req = &wk->request;
    last = 0;
    run = 0;

    for (i = 0; i < req->nevents; i++) {
        event = &req->events[i];

        verdict = event->nviolations ? NGX_HTTP_TRACK_REJECTED
                                     : NGX_HTTP_TRACK_ACCEPTED;

        for (k = 0; k < event->nviolations; k++) {
            ngx_http_track_count(wk,
                   errors[req->violations[event->violations + k].code], 1);
        }

        series = ngx_http_track_series(wk, image, event->type, verdict);

        if (series != last && run) {
            ngx_http_track_count(wk, series[last], run);
            run = 0;
        }

        last = series;
        run++;
    }

    if (run) {
        ngx_http_track_count(wk, series[last], run);
    }
}


static ngx_uint_t
ngx_http_track_series(ngx_http_track_worker_t *wk, const trk_image_t *image,
    const trk_image_type_t *type, ngx_http_track_verdict_e verdict)
{
    uint16_t  *series;

    if (type == NULL
        || (wk->series_of != wk->generation
            && ngx_http_track_series_reset(wk, image) != NGX_OK))
    {
        return verdict;
    }

    series = &wk->series[2 * type->index + verdict];

    if (*series == NGX_HTTP_TRACK_UNKNOWN) {
        *series = (uint16_t) ngx_http_track_series_find(wk,
                                   trk_image_type_name(image, type), verdict);
    }

    return *series;
}


/* Another image is mapped.  Series of types that are gone are ended here, so
 * that whoever needs one finds it free. */

static ngx_int_t
ngx_http_track_series_reset(ngx_http_track_worker_t *wk,
    const trk_image_t *image)
{
    size_t  size;

    ngx_http_track_count_exit(wk);

    size = 2 * sizeof(uint16_t) * image->ntypes;

    wk->series = ngx_alloc(size, wk->log);
    if (wk->series == NULL) {
        return NGX_ERROR;
    }

    ngx_memset(wk->series, 0xff, size);
    wk->series_of = wk->generation;

    ngx_http_track_count_retire(wk, image);

    return NGX_OK;
}


void
ngx_http_track_count_exit(ngx_http_track_worker_t *wk)
{
    if (wk->series) {
        ngx_free(wk->series);
        wk->series = NULL;
    }

    wk->series_of = 0;
}


static ngx_uint_t
ngx_http_track_series_find(ngx_http_track_worker_t *wk, trk_str_t name,
    ngx_http_track_verdict_e verdict)
{
    uint32_t                  hash;
    ngx_uint_t                n, found;
    ngx_http_track_series_t  *s;

    /* "other" is defined by somebody: it cannot be told from ours */

    if (name.n == 5 && ngx_memcmp(name.p, "other", 5) == 0) {
        return verdict;
    }

    s = wk->sh->series;
    hash = trk_hash(name);
    found = verdict;

    ngx_shmtx_lock(&wk->shpool->mutex);

    for (n = 2; n < NGX_HTTP_TRACK_SERIES; n++) {

        if (s[n].len == 0) {
            found = found == verdict ? n : found;
            continue;
        }

        if (s[n].hash == hash && s[n].verdict == verdict
            && s[n].len == name.n
            && ngx_memcmp(s[n].type, name.p, name.n) == 0)
        {
            found = n;
            break;
        }
    }

    if (found != verdict && s[found].len == 0) {
        ngx_http_track_series_begin(wk, found, name, verdict);
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    return found;
}


/* Under the mutex.  What an earlier type has counted moves to "other". */

static void
ngx_http_track_series_begin(ngx_http_track_worker_t *wk, ngx_uint_t n,
    trk_str_t name, ngx_http_track_verdict_e verdict)
{
    ngx_uint_t                  i;
    ngx_atomic_uint_t           count;
    ngx_http_track_series_t    *s;
    ngx_http_track_counters_t  *c;

    s = &wk->sh->series[n];

    for (i = 0; i < NGX_HTTP_TRACK_STRIPES; i++) {
        c = &wk->sh->stripes[i].counters;
        count = c->series[n];

        if (count) {
            (void) ngx_atomic_fetch_add(&c->series[s->verdict], count);
            (void) ngx_atomic_fetch_add(&c->series[n],
                                        -(ngx_atomic_int_t) count);
        }
    }

    s->hash = trk_hash(name);
    s->verdict = verdict;
    ngx_memcpy(s->type, name.p, name.n);

    ngx_memory_barrier();

    s->len = name.n;
}


/*
 * A name is looked up outside the mutex, since the image may be on disk: it
 * may change meanwhile, and is compared again before its series ends.  A
 * worker that still has an older image goes on counting there, for "other".
 */

void
ngx_http_track_count_retire(ngx_http_track_worker_t *wk,
    const trk_image_t *image)
{
    ngx_uint_t                n;
    ngx_http_track_series_t  *s, copy;

    for (n = 2; n < NGX_HTTP_TRACK_SERIES; n++) {
        s = &wk->sh->series[n];

        if (s->len == 0) {
            continue;
        }

        ngx_memcpy(&copy, s, sizeof(ngx_http_track_series_t));

        if (trk_image_type(image, trk_str_of(copy.type,
                                  ngx_min(copy.len, TRK_EVENT_TYPE_MAX))))
        {
            continue;
        }

        ngx_shmtx_lock(&wk->shpool->mutex);

        if (ngx_memcmp(s, &copy, sizeof(ngx_http_track_series_t)) == 0) {
            s->len = 0;
        }

        ngx_shmtx_unlock(&wk->shpool->mutex);
    }
}


void
ngx_http_track_count_ack(ngx_http_track_worker_t *wk,
    ngx_http_track_ack_e ack, ngx_msec_t ms)
{
    ngx_uint_t  n;

    for (n = 0; n < NGX_HTTP_TRACK_ACK_NBUCKETS; n++) {
        if (ms <= ngx_http_track_buckets[n]) {
            break;
        }
    }

    ngx_http_track_count(wk, acks[ack].buckets[n], 1);
    ngx_http_track_count(wk, acks[ack].sum, ms);
}


/* All members are of one kind, so they are added up as an array. */

void
ngx_http_track_count_sum(ngx_http_track_shm_t *sh,
    ngx_http_track_counters_t *sum)
{
    ngx_uint_t     i, n;
    ngx_atomic_t  *to, *from;

    ngx_memzero(sum, sizeof(ngx_http_track_counters_t));

    to = (ngx_atomic_t *) sum;

    for (i = 0; i < NGX_HTTP_TRACK_STRIPES; i++) {
        from = (ngx_atomic_t *) &sh->stripes[i].counters;

        for (n = 0;
             n < sizeof(ngx_http_track_counters_t) / sizeof(ngx_atomic_t);
             n++)
        {
            to[n] += from[n];
        }
    }
}
