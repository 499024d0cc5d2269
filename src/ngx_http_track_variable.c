
/*
 * Variables for log_format, map and limit_req.
 *
 *   $track_result    accepted, partial, rejected; unanswered: the client left
 *                    before its events were safe; or the code of the error
 *                    that refused the request
 *   $track_events    events judged         $track_rejected   of those
 *   $track_ack_time  seconds from the verdict to an answer that says "safe"
 *   $track_ip        the client's address as track_ip leaves it, anywhere
 *   $track_source    of the write key, from the preaccess phase on
 *
 * Elsewhere they are not found.  What is logged is read after the request's
 * cleanup handlers and before its pool goes.
 */


#include "ngx_http_track.h"


static ngx_int_t ngx_http_track_variable_result(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static const char *ngx_http_track_variable_verdict(ngx_http_track_ctx_t *ctx);
static ngx_int_t ngx_http_track_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_track_variable_ack_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_track_variable_ip(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_track_variable_source(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_track_variable_text(ngx_http_variable_value_t *v,
    ngx_str_t *text);


static ngx_http_variable_t  ngx_http_track_variable_list[] = {

    { ngx_string("track_result"), NULL, ngx_http_track_variable_result,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("track_events"), NULL, ngx_http_track_variable_number,
      offsetof(ngx_http_track_ctx_t, events), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("track_rejected"), NULL, ngx_http_track_variable_number,
      offsetof(ngx_http_track_ctx_t, rejected), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("track_ack_time"), NULL, ngx_http_track_variable_ack_time,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("track_ip"), NULL, ngx_http_track_variable_ip,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("track_source"), NULL, ngx_http_track_variable_source,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_track_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_track_variable_list; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_track_variable_result(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              text;
    ngx_http_track_ctx_t  *ctx;

    ctx = ngx_http_track_ctx(r);

    if (ctx == NULL || (ctx->events == 0 && ctx->error == TRK_ERR_NONE)) {
        v->not_found = 1;
        return NGX_OK;
    }

    text.data = (u_char *) ngx_http_track_variable_verdict(ctx);
    text.len = ngx_strlen(text.data);

    return ngx_http_track_variable_text(v, &text);
}


static const char *
ngx_http_track_variable_verdict(ngx_http_track_ctx_t *ctx)
{
    if (ctx->error != TRK_ERR_NONE) {
        return trk_error_name((trk_error_code_t) ctx->error);
    }

    if (!ctx->safe) {
        return "unanswered";
    }

    if (ctx->rejected == ctx->events) {
        return "rejected";
    }

    return ctx->rejected ? "partial" : "accepted";
}


static ngx_int_t
ngx_http_track_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              text;
    ngx_http_track_ctx_t  *ctx;

    ctx = ngx_http_track_ctx(r);

    if (ctx == NULL || ctx->events == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    text.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "%ui",
                           *(ngx_uint_t *) ((u_char *) ctx + data))
               - text.data;

    return ngx_http_track_variable_text(v, &text);
}


static ngx_int_t
ngx_http_track_variable_ack_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              text;
    ngx_http_track_ctx_t  *ctx;

    ctx = ngx_http_track_ctx(r);

    if (ctx == NULL || !ctx->safe) {
        v->not_found = 1;
        return NGX_OK;
    }

    text.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + 4);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "%M.%03M", ctx->ack_time / 1000,
                           ctx->ack_time % 1000)
               - text.data;

    return ngx_http_track_variable_text(v, &text);
}


static ngx_int_t
ngx_http_track_variable_ip(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                   text;
    ngx_uint_t                  signals;
    ngx_http_track_headers_t    headers;
    ngx_http_track_loc_conf_t  *tlcf;

    tlcf = ngx_http_track_location(r);

    if (tlcf == NULL) {
        tlcf = ngx_http_get_module_loc_conf(r, ngx_http_track_module);
    }

    signals = 0;

    if (tlcf->honor) {
        ngx_http_track_headers(r, &headers);
        signals = headers.signals;
    }

    if (ngx_http_track_ip(r, tlcf, signals, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    if (text.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_track_variable_text(v, &text);
}


static ngx_int_t
ngx_http_track_variable_source(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_track_ctx_t      *ctx;
    const trk_image_source_t  *source;

    ctx = ngx_http_track_known(r);

    if (ctx == NULL
        || (ctx->source.len == 0
            && (ngx_http_track_key(r, ctx, &source) != TRK_ERR_NONE
                || source == NULL)))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_track_variable_text(v, &ctx->source);
}


static ngx_int_t
ngx_http_track_variable_text(ngx_http_variable_value_t *v, ngx_str_t *text)
{
    v->len = text->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = text->data;

    return NGX_OK;
}
