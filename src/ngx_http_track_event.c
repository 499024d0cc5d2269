
/*
 * Judged events become Kafka records: ids, numbers, and what the edge knows
 * of the request; rejected ones too, where they are kept.  Everything is
 * written into one buffer of the worker, from where it is copied once, into
 * memory that lasts as long as Kafka needs it.
 */


#include "ngx_http_track.h"

#include <sys/random.h>


#define NGX_HTTP_TRACK_UUID_RANDOM   10
#define NGX_HTTP_TRACK_RECORDS_KEEP  (1024 * 1024)
#define NGX_HTTP_TRACK_ORIGIN_KEEP   4096


static void ngx_http_track_event_begin(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, trk_origin_t *origin);
static ngx_int_t ngx_http_track_event_record(ngx_http_track_worker_t *wk,
    trk_event_t *event, trk_origin_t *origin, ngx_http_track_message_t *m);
static ngx_uint_t ngx_http_track_event_oversized(
    ngx_http_track_worker_t *wk, ngx_http_track_message_t *m);
static ngx_int_t ngx_http_track_event_mint(ngx_http_track_worker_t *wk,
    trk_event_t *event, int64_t now);
static ngx_int_t ngx_http_track_event_random(ngx_http_track_worker_t *wk,
    u_char *dst, size_t n);


size_t
ngx_http_track_event_count(ngx_http_track_worker_t *wk,
    ngx_http_track_loc_conf_t *tlcf, size_t *rejected)
{
    *rejected = tlcf->rejected_index == NGX_HTTP_TRACK_NOWHERE
                ? 0 : wk->request.nrejected;

    return wk->request.nevents - wk->request.nrejected + *rejected;
}


ngx_int_t
ngx_http_track_event_records(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf,
    uint64_t seq)
{
    size_t                     i;
    trk_event_t               *event;
    trk_origin_t               origin;
    ngx_http_track_message_t  *m;

    ngx_http_track_event_begin(r, wk, &origin);

    /* what is the same in all of them is written once */

    trk_buf_reset(&wk->origin, NGX_HTTP_TRACK_ORIGIN_KEEP);
    trk_record_fixed(&wk->origin, &origin);

    if (wk->origin.failed) {
        return NGX_ERROR;
    }

    origin.fixed = trk_str_of(wk->origin.p, wk->origin.n);

    m = wk->messages;

    for (i = 0; i < wk->request.nevents; i++) {
        event = &wk->request.events[i];

        if (event->nviolations
            && tlcf->rejected_index == NGX_HTTP_TRACK_NOWHERE)
        {
            continue;
        }

        origin.seq = seq++;
        m->topic = event->nviolations ? tlcf->rejected_index
                                      : tlcf->topic_index;
        m->rejected = event->nviolations > 0;

        if (ngx_http_track_event_record(wk, event, &origin, m) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_http_track_event_oversized(wk, m)) {
            return NGX_DECLINED;
        }

        m++;
    }

    if (wk->live) {
        origin.fixed = trk_null;
        ngx_http_track_live_add(wk, &origin);
    }

    return wk->records.failed ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_track_event_body(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf,
    ngx_http_track_body_t *body, size_t offset, uint64_t seq)
{
    trk_origin_t               origin;
    ngx_http_track_message_t  *m;

    ngx_http_track_event_begin(r, wk, &origin);

    origin.seq = seq;

    m = wk->messages;
    ngx_memzero(m, sizeof(ngx_http_track_message_t));

    m->topic = tlcf->rejected_index;
    m->rejected = 1;
    m->seq = seq;

    trk_reject_body(&wk->records, body->text, body->size, body->code, offset,
                    &origin);
    m->value_len = wk->records.n;

    if (wk->live) {
        ngx_http_track_live_body(wk, body->text, body->size, body->code,
                                 offset, &origin);
    }

    if (ngx_http_track_event_oversized(wk, m)) {
        return NGX_DECLINED;
    }

    return wk->records.failed ? NGX_ERROR : NGX_OK;
}


void
ngx_http_track_event_show(ngx_http_request_t *r, ngx_http_track_worker_t *wk,
    ngx_http_track_body_t *body, size_t offset)
{
    trk_origin_t  origin;

    if (wk->live == NULL) {
        return;
    }

    ngx_http_track_event_begin(r, wk, &origin);

    if (body) {
        ngx_http_track_live_body(wk, body->text, body->size, body->code,
                                 offset, &origin);
    } else {
        ngx_http_track_live_add(wk, &origin);
    }
}


/* Empties the worker's records and says what the edge knows of r. */

static void
ngx_http_track_event_begin(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, trk_origin_t *origin)
{
    ngx_time_t            *tp;
    ngx_http_track_ctx_t  *ctx;

    trk_buf_reset(&wk->records, NGX_HTTP_TRACK_RECORDS_KEEP);
    wk->records.max = wk->max_records;

    tp = ngx_timeofday();
    ctx = ngx_http_track_ctx(r);

    ngx_memzero(origin, sizeof(trk_origin_t));

    origin->received_at = (int64_t) tp->sec * 1000 + tp->msec;
    origin->ip = ngx_http_track_str(ctx->ip);
    origin->source = ngx_http_track_str(ctx->source);
    origin->schema_version = trk_str_of(wk->version, wk->version_len);
    origin->edge = trk_str_of(wk->edge, NGX_HTTP_TRACK_EDGE_LEN);
    origin->no_ids = ctx->signals;

    if (r->headers_in.user_agent) {
        origin->user_agent =
                          ngx_http_track_str(r->headers_in.user_agent->value);
    }
}


/* Appends one event's key and record.  The buffer may still move, so m gets
 * their lengths alone. */

static ngx_int_t
ngx_http_track_event_record(ngx_http_track_worker_t *wk, trk_event_t *event,
    trk_origin_t *origin, ngx_http_track_message_t *m)
{
    size_t      start;
    trk_buf_t  *out;

    out = &wk->records;
    start = out->n;

    m->key = NULL;
    m->value = NULL;
    m->seq = origin->seq;
    m->place.segment = NULL;
    m->held = 0;
    m->delivered = 0;
    m->spooled = 0;
    m->too_large = 0;

    if (m->rejected) {
        trk_reject_key(out, event);
        m->key_len = out->n - start;
        trk_reject_event(out, &wk->request, event, origin);

    } else {
        if (!event->has_event_id
            && ngx_http_track_event_mint(wk, event, origin->received_at)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        trk_record_key(out, &wk->request, event, origin);
        m->key_len = out->n - start;
        trk_record_write(out, &wk->request, event, origin);
    }

    m->value_len = out->n - start - m->key_len;

    return NGX_OK;
}


/* More bytes than could ever be produced. */

static ngx_uint_t
ngx_http_track_event_oversized(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *m)
{
    return wk->records.failed == TRK_LIMIT
           || m->key_len + m->value_len > wk->max_record;
}


static ngx_int_t
ngx_http_track_event_mint(ngx_http_track_worker_t *wk, trk_event_t *event,
    int64_t now)
{
    u_char  random[NGX_HTTP_TRACK_UUID_RANDOM];

    if (ngx_http_track_event_random(wk, random, sizeof(random)) != NGX_OK) {
        return NGX_ERROR;
    }

    trk_uuid_v7(&event->event_id, now, random);

    return NGX_OK;
}


ngx_int_t
ngx_http_track_event_edge(ngx_http_track_worker_t *wk)
{
    u_char  random[NGX_HTTP_TRACK_EDGE_LEN / 2];

    if (ngx_http_track_event_random(wk, random, sizeof(random)) != NGX_OK) {
        return NGX_ERROR;
    }

    trk_hex((char *) wk->edge, random, sizeof(random));

    return NGX_OK;
}


/* Out of a pool, so that the kernel is asked once for a hundred ids; filled
 * after fork() only, and nothing of it is handed out twice. */

static ngx_int_t
ngx_http_track_event_random(ngx_http_track_worker_t *wk, u_char *dst,
    size_t n)
{
    ssize_t  got;

    while (wk->random_left < n) {
        got = getrandom(wk->random, sizeof(wk->random), 0);

        if (got == -1) {
            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            ngx_log_error(NGX_LOG_ERR, wk->log, ngx_errno,
                          "getrandom() failed");
            return NGX_ERROR;
        }

        wk->random_left = (size_t) got;
    }

    wk->random_left -= n;
    ngx_memcpy(dst, wk->random + wk->random_left, n);

    return NGX_OK;
}
