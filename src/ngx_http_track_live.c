
/*
 * The live ring, written: one verdict after another, by all workers, without
 * a lock; and read back.
 *
 * A writer takes the next number, which names its place, and writes there.
 * It may be stopped or killed in the midst, or go on when others have long
 * been writing at the same place: the checksum, over text and number, shows
 * what does not belong together, and such a verdict is passed over.
 *
 * A verdict is JSON of one line:
 *
 *   {"verdict":"accepted","event_type":…,"event":"{…}","event_id":…,
 *    "received_at":…,"ip":…,"user_agent":…,"source":…,"schema_version":…}
 *
 * "event" is its text as sent, as a string, cut at 2 KB ("truncated", "size");
 * of rejected ones there are "errors", too.  Privacy is that of the records:
 * the same functions of lib/ write it, from the same origin.
 */


#include "ngx_http_track.h"
#include "trk_answer.h"
#include "trk_crc32c.h"


#define NGX_HTTP_TRACK_LIVE_CUT        2048     /* bytes of an event */
#define NGX_HTTP_TRACK_LIVE_CUT_BRIEF  384
#define NGX_HTTP_TRACK_LIVE_TYPE       256      /* of event_type, as written */
#define NGX_HTTP_TRACK_LIVE_AGENT      256


typedef enum {
    NGX_HTTP_TRACK_LIVE_FULL = 0,
    NGX_HTTP_TRACK_LIVE_BRIEF           /* fits, whatever was sent */
} ngx_http_track_live_e;


static void ngx_http_track_live_event(trk_buf_t *b, trk_request_t *req,
    trk_event_t *event, const trk_origin_t *origin,
    ngx_http_track_live_e form);
static void ngx_http_track_live_text(trk_buf_t *b, trk_request_t *req,
    trk_event_t *event, ngx_uint_t no_ids, size_t cut);
static void ngx_http_track_live_codes(trk_buf_t *b, trk_request_t *req,
    trk_event_t *event);
static void ngx_http_track_live_origin(trk_buf_t *b,
    const trk_origin_t *origin, ngx_http_track_live_e form);
static void ngx_http_track_live_put(ngx_http_track_worker_t *wk,
    trk_buf_t *b);
static uint32_t ngx_http_track_live_checksum(uint32_t low, uint32_t len,
    u_char *text);


void
ngx_http_track_live_add(ngx_http_track_worker_t *wk,
    const trk_origin_t *origin)
{
    size_t          i;
    trk_buf_t      *b;
    trk_request_t  *req;

    req = &wk->request;
    b = &wk->verdict;

    for (i = 0; i < req->nevents; i++) {
        trk_buf_reset(b, NGX_HTTP_TRACK_RING_TEXT);
        ngx_http_track_live_event(b, req, &req->events[i], origin,
                                  NGX_HTTP_TRACK_LIVE_FULL);

        if (b->failed) {
            trk_buf_reset(b, NGX_HTTP_TRACK_RING_TEXT);
            ngx_http_track_live_event(b, req, &req->events[i], origin,
                                      NGX_HTTP_TRACK_LIVE_BRIEF);
        }

        ngx_http_track_live_put(wk, b);
    }
}


static void
ngx_http_track_live_event(trk_buf_t *b, trk_request_t *req,
    trk_event_t *event, const trk_origin_t *origin,
    ngx_http_track_live_e form)
{
    char       id[TRK_UUID_LEN];
    trk_str_t  type;

    if (event->nviolations) {
        trk_buf_lit(b, "{\"verdict\":\"rejected\"");

    } else {
        trk_buf_lit(b, "{\"verdict\":\"accepted\"");
    }

    /* as it was sent: a string, for of what else was sent as a type the text
     * may have line ends, which would end the line of a listener */

    type = event->event_type
           && req->json.nodes[event->event_type].type == TRK_JSON_STRING
           ? trk_json_text(&req->json, event->event_type) : trk_null;

    if (type.n && type.n <= NGX_HTTP_TRACK_LIVE_TYPE) {
        trk_buf_lit(b, ",\"event_type\":");
        trk_buf_str(b, type);
    }

    ngx_http_track_live_text(b, req, event, origin->no_ids,
                             form == NGX_HTTP_TRACK_LIVE_FULL
                             ? NGX_HTTP_TRACK_LIVE_CUT
                             : NGX_HTTP_TRACK_LIVE_CUT_BRIEF);

    if (event->nviolations) {
        trk_buf_lit(b, ",\"errors\":");

        if (form == NGX_HTTP_TRACK_LIVE_FULL) {
            trk_answer_errors(b, req, event);

        } else {
            ngx_http_track_live_codes(b, req, event);
        }
    }

    if (event->has_event_id || event->nviolations == 0) {
        trk_uuid_format(&event->event_id, id);
        trk_buf_lit(b, ",\"event_id\":\"");
        trk_buf_add(b, id, sizeof(id));
        trk_buf_byte(b, '"');
    }

    ngx_http_track_live_origin(b, origin, form);
}


static void
ngx_http_track_live_text(trk_buf_t *b, trk_request_t *req,
    trk_event_t *event, ngx_uint_t no_ids, size_t cut)
{
    size_t  size, start, name;

    start = b->n;
    trk_buf_lit(b, ",\"event\":");
    name = b->n;

    size = trk_reject_text(b, req, event, no_ids, cut);

    if (b->n == name) {
        b->n = start;
    }

    if (size > cut || b->n == start) {
        trk_buf_lit(b, ",\"truncated\":true,\"size\":");
        trk_buf_uint(b, size);
    }
}


/* Names of fields and messages may be long, codes are not. */

static void
ngx_http_track_live_codes(trk_buf_t *b, trk_request_t *req,
    trk_event_t *event)
{
    size_t       i;
    const char  *code;

    for (i = 0; i < event->nviolations; i++) {
        code = trk_error_name(req->violations[event->violations + i].code);

        trk_buf_byte(b, i ? ',' : '[');
        trk_buf_lit(b, "{\"code\":\"");
        trk_buf_add(b, code, ngx_strlen(code));
        trk_buf_lit(b, "\"}");
    }

    trk_buf_byte(b, ']');
}


static void
ngx_http_track_live_origin(trk_buf_t *b, const trk_origin_t *origin,
    ngx_http_track_live_e form)
{
    trk_origin_t  o;

    o = *origin;
    o.user_agent.n = ngx_min(o.user_agent.n, NGX_HTTP_TRACK_LIVE_AGENT);
    o.edge = trk_null;
    o.seq = 0;

    if (form == NGX_HTTP_TRACK_LIVE_BRIEF) {
        o.user_agent = trk_null;
    }

    trk_record_when(b, "received_at", o.received_at);
    trk_record_origin(b, &o);
    trk_buf_byte(b, '}');
}


void
ngx_http_track_live_body(ngx_http_track_worker_t *wk, trk_str_t body,
    size_t size, trk_error_code_t code, size_t offset,
    const trk_origin_t *origin)
{
    size_t        start, cut;
    trk_buf_t    *b;
    trk_origin_t  o;

    b = &wk->verdict;
    o = *origin;
    o.edge = trk_null;
    o.seq = 0;
    o.user_agent.n = ngx_min(o.user_agent.n, NGX_HTTP_TRACK_LIVE_AGENT);

    for (cut = NGX_HTTP_TRACK_LIVE_CUT; ; cut = NGX_HTTP_TRACK_LIVE_CUT_BRIEF)
    {
        body.n = trk_reject_cut(body, cut);

        trk_buf_reset(b, NGX_HTTP_TRACK_RING_TEXT);
        trk_buf_lit(b, "{\"verdict\":\"rejected\"");
        start = b->n;

        trk_reject_body(b, body, size, code, offset, &o);

        if (!b->failed) {
            b->p[start] = ',';      /* was the record's opening brace */
            break;
        }

        if (cut == NGX_HTTP_TRACK_LIVE_CUT_BRIEF) {
            return;
        }
    }

    ngx_http_track_live_put(wk, b);
}


static void
ngx_http_track_live_put(ngx_http_track_worker_t *wk, trk_buf_t *b)
{
    uint64_t                n;
    ngx_http_track_ring_t  *slot;

    if (b->failed) {
        return;
    }

    n = ngx_atomic_fetch_add(&wk->sh->ring_head, 1) + 1;
    slot = ngx_http_track_zone_ring(wk->sh, n);

    slot->number = 0;

    ngx_memory_barrier();

    slot->len = (uint32_t) b->n;
    ngx_memcpy(slot->text, b->p, b->n);
    slot->checksum = ngx_http_track_live_checksum((uint32_t) n,
                                                  (uint32_t) b->n, b->p);

    ngx_memory_barrier();

    slot->number = n;
}


size_t
ngx_http_track_live_read(ngx_http_track_worker_t *wk, uint64_t n,
    u_char *text)
{
    uint32_t                len, checksum;
    ngx_http_track_ring_t  *slot;

    slot = ngx_http_track_zone_ring(wk->sh, n);

    if (slot->number != n) {
        return 0;
    }

    ngx_memory_barrier();

    checksum = slot->checksum;
    len = ngx_min(slot->len, NGX_HTTP_TRACK_RING_TEXT);
    ngx_memcpy(text, slot->text, len);

    ngx_memory_barrier();

    if (slot->number != n
        || checksum != ngx_http_track_live_checksum((uint32_t) n, len, text))
    {
        return 0;
    }

    return len;
}


static uint32_t
ngx_http_track_live_checksum(uint32_t low, uint32_t len, u_char *text)
{
    uint32_t  crc;

    crc = trk_crc32c(0, &low, sizeof(uint32_t));
    crc = trk_crc32c(crc, &len, sizeof(uint32_t));

    return trk_crc32c(crc, text, len);
}
