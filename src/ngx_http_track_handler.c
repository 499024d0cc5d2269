
/*
 * The way of one request: headers, body, verdict, records, Kafka, answer.
 *
 * The body is judged as a whole before anything is produced.  All between
 * the body and the producer happens in one go, in buffers of the worker that
 * the next request uses again; what a parked request needs later lies in its
 * own pool.
 */


#include "ngx_http_track.h"


static trk_error_code_t ngx_http_track_check_headers(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);
static size_t ngx_http_track_max_body(ngx_http_track_loc_conf_t *tlcf);
static void ngx_http_track_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_track_take(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf);
static ngx_int_t ngx_http_track_verdict(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_answer_t *answer);


ngx_int_t
ngx_http_track_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    trk_error_code_t       code;
    ngx_http_track_ctx_t  *ctx;

    rc = ngx_http_track_enter(r, NGX_HTTP_POST, "POST, OPTIONS", &ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    code = ngx_http_track_check_headers(r, ctx);

    if (code != TRK_ERR_NONE) {
        return ngx_http_track_refuse(r, code, SIZE_MAX);
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_track_body_handler);

    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}


static trk_error_code_t
ngx_http_track_check_headers(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    trk_error_code_t            code;
    ngx_http_track_loc_conf_t  *tlcf;

    code = ngx_http_track_media(r, ctx);
    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_track_module);

    if (code == TRK_ERR_NONE
        && r->headers_in.content_length_n > 0
        && (uint64_t) r->headers_in.content_length_n
           > ngx_http_track_max_body(tlcf))
    {
        code = TRK_ERR_REQUEST_TOO_LARGE;
    }

    return code;
}


/* More than that cannot be taken, whatever client_max_body_size says: all
 * events at their largest, and a batch's context. */

static size_t
ngx_http_track_max_body(ngx_http_track_loc_conf_t *tlcf)
{
    if (tlcf->max_event_size
        > NGX_MAX_INT32_VALUE / ((size_t) tlcf->max_events + 1))
    {
        return NGX_MAX_INT32_VALUE;
    }

    return tlcf->max_event_size * ((size_t) tlcf->max_events + 1);
}


static void
ngx_http_track_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_track_worker_t    *wk;
    ngx_http_track_loc_conf_t  *tlcf;

    wk = ngx_http_track_worker;
    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_track_module);

    rc = ngx_http_track_take(r, wk, tlcf);

    trk_request_trim(&wk->request);
    ngx_http_track_body_trim(wk);

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}


static ngx_int_t
ngx_http_track_take(ngx_http_request_t *r, ngx_http_track_worker_t *wk,
    ngx_http_track_loc_conf_t *tlcf)
{
    ngx_int_t              rc;
    ngx_http_track_body_t  body;

    rc = ngx_http_track_body(r, ngx_http_track_ctx(r),
                             ngx_http_track_max_body(tlcf), &body);

    if (rc == NGX_OK) {
        return ngx_http_track_judge(r, wk, body.text);
    }

    return rc == NGX_DECLINED
           ? ngx_http_track_deliver_body(r, wk, tlcf, &body, SIZE_MAX)
           : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


ngx_int_t
ngx_http_track_judge(ngx_http_request_t *r, ngx_http_track_worker_t *wk,
    trk_str_t text)
{
    ngx_int_t                   rc;
    trk_limits_t                limits;
    const trk_image_t          *image;
    ngx_http_track_ctx_t       *ctx;
    ngx_http_track_body_t       body;
    ngx_http_track_answer_t     answer;
    ngx_http_track_loc_conf_t  *tlcf;

    ctx = ngx_http_track_ctx(r);
    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_track_module);
    image = ngx_http_track_schema(wk);

    if (image == NULL) {
        return ngx_http_track_refuse(r, TRK_ERR_NO_SCHEMA, SIZE_MAX);
    }

    limits.max_events = (size_t) tlcf->max_events;
    limits.max_event_size = tlcf->max_event_size;
    limits.source = ctx->has_key ? trk_image_key(image, ctx->key) : NULL;

    if (ctx->has_key && limits.source == NULL) {

        /* revoked while the body came */

        return ngx_http_track_refuse(r, TRK_ERR_UNKNOWN_KEY, SIZE_MAX);
    }

    rc = trk_request_judge(&wk->request, image, &limits, ctx->type, text.p,
                           text.n);

    if (rc == TRK_INVALID) {
        body.text = text;
        body.size = text.n;
        body.code = wk->request.error;

        return ngx_http_track_deliver_body(r, wk, tlcf, &body,
                                           wk->request.offset);
    }

    if (rc != TRK_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->events = wk->request.nevents;
    ctx->rejected = wk->request.nrejected;

    ngx_http_track_count_events(wk, image);

    if (ngx_http_track_verdict(r, wk, &answer) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_track_deliver(r, wk, tlcf, &answer);
}


/* What the client is told if all that is to be kept is safe. */

static ngx_int_t
ngx_http_track_verdict(ngx_http_request_t *r, ngx_http_track_worker_t *wk,
    ngx_http_track_answer_t *answer)
{
    trk_request_t  *req;

    req = &wk->request;

    if (req->nrejected == 0) {
        answer->status = NGX_HTTP_NO_CONTENT;
        ngx_str_null(&answer->body);
        return NGX_OK;
    }

    answer->status = req->nrejected < req->nevents
                     ? NGX_HTTP_OK : NGX_HTTP_TRACK_UNPROCESSABLE;

    trk_buf_reset(&wk->answer, 65536);
    trk_answer_rejected(&wk->answer, req);

    return ngx_http_track_answer_body(r, &answer->body);
}
