
/*
 * Reads the zone for track_status: counters of all stripes, series by name,
 * gauges of the workers that live.  Event loop.
 */


#include "ngx_http_track_metric.h"


static void ngx_http_track_metrics_events(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m);
static void ngx_http_track_metrics_schema(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m);
static void ngx_http_track_metrics_leader(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m);
static void ngx_http_track_metrics_workers(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m);


const char  *ngx_http_track_acks[] = { "kafka", "spool", "none" };
const char  *ngx_http_track_verdicts[] = { "accepted", "rejected" };


ngx_http_track_metrics_t *
ngx_http_track_metrics(ngx_http_track_worker_t *wk, ngx_pool_t *pool)
{
    ngx_http_track_metrics_t  *m;

    m = ngx_pcalloc(pool, sizeof(ngx_http_track_metrics_t));
    if (m == NULL) {
        return NULL;
    }

    m->image = ngx_http_track_schema(wk);

    if (m->image) {
        ngx_http_track_count_retire(wk, m->image);
    }

    ngx_http_track_metrics_events(wk, m);
    ngx_http_track_metrics_schema(wk, m);
    ngx_http_track_metrics_leader(wk, m);
    ngx_http_track_metrics_workers(wk, m);

    m->spool_max = wk->conf->spool.len ? (uint64_t) wk->conf->spool_size : 0;
    /* for a moment less may be reserved than was given back */

    m->spool_used = ngx_max((ngx_atomic_int_t) wk->sh->spool_bytes, 0);

    return m;
}


/* Under the mutex, which holds off who moves counts from one series to
 * another: "other" must never be seen to go back. */

static void
ngx_http_track_metrics_events(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m)
{
    size_t                    len;
    uint64_t                  count;
    ngx_uint_t                n;
    ngx_http_track_series_t  *s;
    ngx_http_track_events_t  *e;

    m->nevents = 2;
    m->events[NGX_HTTP_TRACK_REJECTED].verdict = NGX_HTTP_TRACK_REJECTED;

    ngx_shmtx_lock(&wk->shpool->mutex);

    ngx_http_track_count_sum(wk->sh, &m->counters);

    for (n = 0; n < NGX_HTTP_TRACK_SERIES; n++) {
        s = &wk->sh->series[n];
        count = m->counters.series[n];
        len = ngx_min(s->len, TRK_EVENT_TYPE_MAX);

        if (n < 2 || len == 0) {
            m->events[n < 2 ? n : s->verdict].count += count;
            continue;
        }

        ngx_memcpy(m->types[n], s->type, len);

        e = &m->events[m->nevents++];
        e->type = trk_str_of(m->types[n], len);
        e->verdict = s->verdict;
        e->count = count;
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    for (n = 0; n < m->nevents; n++) {
        e = &m->events[n];

        if (e->verdict == NGX_HTTP_TRACK_ACCEPTED) {
            m->accepted += e->count;

        } else {
            m->rejected += e->count;
        }
    }
}


static void
ngx_http_track_metrics_schema(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m)
{
    time_t  age;

    if (m->image == NULL) {
        return;
    }

    age = ngx_time() - (time_t) wk->sh->published;

    m->schema_loaded = 1;
    m->schema_number = m->image->version;
    m->schema_age = ngx_max(age, 0);
    m->schema_types = m->image->ntypes;
    m->schema_bytes = m->image->size;
}


static void
ngx_http_track_metrics_leader(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m)
{
    ngx_http_track_shm_t  *sh;

    sh = wk->sh;

    ngx_shmtx_lock(&wk->shpool->mutex);

    m->leader_pid = sh->lease_pid;
    m->postgres = sh->postgres;
    ngx_memcpy(m->postgres_error, sh->postgres_error,
               NGX_HTTP_TRACK_ERROR_LEN);
    ngx_memcpy(m->schema_error, sh->schema_error, NGX_HTTP_TRACK_ERROR_LEN);

    ngx_shmtx_unlock(&wk->shpool->mutex);

    m->leader = m->leader_pid && ngx_http_track_alive(m->leader_pid);
    m->postgres_up = m->leader && m->postgres == NGX_HTTP_TRACK_UP;
}


/* Killed workers leave their slots, and gauges, behind. */

static void
ngx_http_track_metrics_workers(ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m)
{
    int64_t                 age;
    ngx_uint_t              i;
    ngx_time_t             *tp;
    ngx_http_track_slot_t  *slot;

    tp = ngx_timeofday();

    for (i = 0; i < NGX_HTTP_TRACK_SLOTS; i++) {
        slot = &wk->sh->slots[i];

        if (slot->life == 0 || !ngx_http_track_lives(slot->life)) {
            continue;
        }

        m->workers++;
        m->kafka_up += (slot->kafka == NGX_HTTP_TRACK_UP);

#define NGX_HTTP_TRACK_GAUGE(name, metric, help)  m->name += slot->name;
        NGX_HTTP_TRACK_GAUGES(NGX_HTTP_TRACK_GAUGE)
#undef NGX_HTTP_TRACK_GAUGE

        if (slot->spool_oldest) {
            age = tp->sec - (int64_t) (slot->spool_oldest / 1000);
            m->spool_age = ngx_max((int64_t) m->spool_age, age);
        }
    }
}
