
/*
 * Answers.  They are sent as they are, so error_page does not replace them;
 * it does replace nginx's own (405, and 413 by client_max_body_size).
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_ANSWER_KEEP  16384


static void ngx_http_track_response_count(ngx_uint_t status);
static ngx_int_t ngx_http_track_response_ack(ngx_http_request_t *r);


ngx_int_t
ngx_http_track_send(ngx_http_request_t *r, ngx_http_track_answer_t *answer)
{
    ngx_int_t              rc;
    ngx_buf_t             *b;
    ngx_str_t              type;
    ngx_chain_t            out;
    ngx_http_track_ctx_t  *ctx;

    ctx = ngx_http_track_ctx(r);
    ngx_str_set(&type, "application/json");

    if (ctx && ctx->pixel && answer->status < NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_track_pixel_answer(answer, &type);
    }

    /* does nothing if the body was read */

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_track_response_count(answer->status);

    r->headers_out.status = answer->status;

    if (answer->status == NGX_HTTP_TRACK_UNPROCESSABLE) {

        /* nginx has no line for it */

        ngx_str_set(&r->headers_out.status_line, "422 Unprocessable Entity");
    }

    if (ngx_http_track_response_ack(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (answer->status == NGX_HTTP_SERVICE_UNAVAILABLE
        && ngx_http_track_response_header(r, "Retry-After",
                                          NGX_HTTP_TRACK_RETRY)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (answer->body.len == 0) {
        r->header_only = 1;

        /* unlike 204, others would be sent as the head of a chunked body */

        if (answer->status != NGX_HTTP_NO_CONTENT) {
            r->headers_out.content_length_n = 0;
        }

        return ngx_http_send_header(r);
    }

    r->headers_out.content_type = type;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.content_length_n = answer->body.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = answer->body.data;
    b->last = answer->body.data + answer->body.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* Where the events are that the answer speaks of. */

static ngx_int_t
ngx_http_track_response_ack(ngx_http_request_t *r)
{
    ngx_http_track_ctx_t  *ctx;

    static char  *where[] = { "kafka", "spool", "none" };

    ctx = ngx_http_track_ctx(r);

    if (ctx == NULL || !ctx->kept) {
        return NGX_OK;
    }

    return ngx_http_track_response_header(r, "X-Track-Ack", where[ctx->ack]);
}


ngx_int_t
ngx_http_track_refuse(ngx_http_request_t *r, trk_error_code_t code,
    size_t offset)
{
    ngx_http_track_answer_t  answer;

    if (ngx_http_track_refusal(r, code, offset, &answer) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_track_send(r, &answer);
}


ngx_int_t
ngx_http_track_refusal(ngx_http_request_t *r, trk_error_code_t code,
    size_t offset, ngx_http_track_answer_t *answer)
{
    ngx_http_track_ctx_t     *ctx;
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;
    ctx = ngx_http_track_ctx(r);

    if (ctx) {
        ctx->error = code;
    }

    ngx_http_track_count(wk, errors[code], 1);

    ngx_log_error(NGX_LOG_INFO, ngx_http_track_log(r), 0,
                  "track: request refused: %s", trk_error_name(code));

    answer->status = trk_error_status(code);

    trk_buf_reset(&wk->answer, NGX_HTTP_TRACK_ANSWER_KEEP);
    trk_answer_error(&wk->answer, code, offset);

    return ngx_http_track_answer_body(r, &answer->body);
}


ngx_int_t
ngx_http_track_answer_body(ngx_http_request_t *r, ngx_str_t *body)
{
    trk_buf_t  *out;

    out = &ngx_http_track_worker->answer;

    body->len = out->n;
    body->data = ngx_pnalloc(r->pool, out->n);

    if (body->data == NULL || out->failed) {
        return NGX_ERROR;
    }

    ngx_memcpy(body->data, out->p, out->n);

    return NGX_OK;
}


ngx_int_t
ngx_http_track_not_allowed(ngx_http_request_t *r, char *allow)
{
    if (ngx_http_track_response_header(r, "Allow", allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_track_response_count(NGX_HTTP_NOT_ALLOWED);

    return NGX_HTTP_NOT_ALLOWED;
}


static void
ngx_http_track_response_count(ngx_uint_t status)
{
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    if (status < NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_track_count(wk, answers_2xx, 1);

    } else if (status < NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_http_track_count(wk, answers_4xx, 1);

    } else {
        ngx_http_track_count(wk, answers_5xx, 1);
    }
}


ngx_int_t
ngx_http_track_response_header(ngx_http_request_t *r, char *name, char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value.len = ngx_strlen(value);
    h->value.data = (u_char *) value;
    h->lowcase_key = NULL;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}
