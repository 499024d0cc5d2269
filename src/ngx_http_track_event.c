
/*
 * Accepted events become Kafka records: ids, numbers, and what the edge
 * knows of the request.  Everything is written into one buffer of the worker
 * that the producer copies from at once.
 */


#include "ngx_http_track.h"

#include <sys/random.h>


#define NGX_HTTP_TRACK_UUID_RANDOM   10
#define NGX_HTTP_TRACK_RECORDS_KEEP  (1024 * 1024)


static ngx_int_t ngx_http_track_event_mint(ngx_http_track_worker_t *wk,
    trk_event_t *event, int64_t now);
static ngx_int_t ngx_http_track_event_random(ngx_http_track_worker_t *wk,
    u_char *dst, size_t n);


ngx_int_t
ngx_http_track_event_records(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, size_t *n)
{
    size_t                     i, start;
    u_char                    *p;
    trk_buf_t                 *out;
    ngx_time_t                *tp;
    trk_event_t               *event;
    trk_origin_t               origin;
    ngx_http_track_ctx_t      *ctx;
    ngx_http_track_message_t  *message;

    ctx = ngx_http_track_ctx(r);
    out = &wk->records;
    trk_buf_reset(out, NGX_HTTP_TRACK_RECORDS_KEEP);
    out->max = wk->max_records;

    tp = ngx_timeofday();

    ngx_memzero(&origin, sizeof(trk_origin_t));
    origin.received_at = (int64_t) tp->sec * 1000 + tp->msec;
    origin.ip = ngx_http_track_str(ctx->ip);
    origin.source = ngx_http_track_str(ctx->source);
    origin.no_ids = ctx->signals;
    origin.schema_version = trk_str_of(wk->version, wk->version_len);
    origin.edge = trk_str_of(wk->edge, NGX_HTTP_TRACK_EDGE_LEN);

    if (r->headers_in.user_agent) {
        origin.user_agent =
                          ngx_http_track_str(r->headers_in.user_agent->value);
    }

    message = wk->messages;

    for (i = 0; i < wk->request.nevents; i++) {
        event = &wk->request.events[i];

        if (event->nviolations) {
            continue;
        }

        if (!event->has_event_id
            && ngx_http_track_event_mint(wk, event, origin.received_at)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        origin.seq = ++wk->seq;

        start = out->n;
        trk_record_key(out, &wk->request, event, &origin);
        message->key_len = out->n - start;

        trk_record_write(out, &wk->request, event, &origin);
        message->value_len = out->n - start - message->key_len;

        if (out->failed == TRK_LIMIT
            || message->key_len + message->value_len > wk->max_record)
        {
            return NGX_DECLINED;
        }

        message++;
    }

    *n = (size_t) (message - wk->messages);

    /* the buffer has stopped moving */

    p = out->p;

    for (message = wk->messages; message < wk->messages + *n; message++) {
        message->key = p;
        message->value = p + message->key_len;
        p = message->value + message->value_len;
    }

    return out->failed ? NGX_ERROR : NGX_OK;
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
