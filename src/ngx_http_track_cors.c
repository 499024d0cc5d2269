
/*
 * Pages of other origins: who of them may send (track_cors), preflights, and
 * a header filter that lets them read every answer of the location, nginx's
 * own included: without it a browser shows a 413 or a 429 to nobody.
 *
 * Cookies and the like are never asked for, so "*" is as safe as a list.
 */


#include "ngx_http_track.h"
#include "trk_origin.h"


static ngx_uint_t ngx_http_track_cors_any(ngx_http_track_loc_conf_t *tlcf);
static ngx_int_t ngx_http_track_cors_preflight(ngx_http_request_t *r,
    ngx_uint_t pixel);
static ngx_int_t ngx_http_track_cors_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_track_cors_headers(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);
static ngx_int_t ngx_http_track_cors_status(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);
static ngx_int_t ngx_http_track_cors_origin(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);
static ngx_uint_t ngx_http_track_cors_has_retry(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


char *
ngx_http_track_cors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_loc_conf_t  *tlcf = conf;

    ngx_str_t          *value, *pattern;
    ngx_uint_t          i;
    trk_origin_text_t   text;

    if (tlcf->cors != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        tlcf->cors = NULL;
        return NGX_CONF_OK;
    }

    tlcf->cors = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                  sizeof(ngx_str_t));
    if (tlcf->cors == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (trk_origin_pattern(&text, ngx_http_track_str(value[i]))
            != TRK_OK
            || (cf->args->nelts > 2 && ngx_strcmp(value[i].data, "*") == 0))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid origin \"%V\", it must be "
                               "scheme://host[:port] without a path, "
                               "https://*.example.com, \"null\", or \"*\" "
                               "or \"off\" alone", &value[i]);
            return NGX_CONF_ERROR;
        }

        pattern = ngx_array_push(tlcf->cors);
        if (pattern == NULL) {
            return NGX_CONF_ERROR;
        }

        pattern->len = text.n;
        pattern->data = ngx_pnalloc(cf->pool, text.n);
        if (pattern->data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memcpy(pattern->data, text.text, text.n);
    }

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_http_track_cors_allowed(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    ngx_str_t          *pattern;
    ngx_uint_t          i;
    trk_origin_text_t   text;

    if (ctx->headers.origin.data == NULL || ctx->conf->cors == NULL
        || ngx_http_track_cors_any(ctx->conf))
    {
        return 1;
    }

    if (trk_origin_read(&text, ngx_http_track_str(ctx->headers.origin))
        != TRK_OK)
    {
        return 0;
    }

    pattern = ctx->conf->cors->elts;

    for (i = 0; i < ctx->conf->cors->nelts; i++) {
        if (trk_origin_match(trk_origin_str(&text),
                             ngx_http_track_str(pattern[i])))
        {
            return 1;
        }
    }

    return r->headers_in.host
           && trk_origin_is_host(trk_origin_str(&text),
                              ngx_http_track_str(r->headers_in.host->value));
}


static ngx_uint_t
ngx_http_track_cors_any(ngx_http_track_loc_conf_t *tlcf)
{
    ngx_str_t  *pattern;

    pattern = tlcf->cors->elts;

    return pattern[0].len == 1 && pattern[0].data[0] == '*';
}


ngx_int_t
ngx_http_track_options(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    ngx_uint_t                pixel;
    ngx_http_track_answer_t   answer;

    pixel = ctx->conf->pixel;

    if (!ctx->headers.allowed) {
        return ngx_http_track_refuse(r, TRK_ERR_ORIGIN_NOT_ALLOWED, SIZE_MAX);
    }

    if (ngx_http_track_response_header(r, "Allow",
                                       pixel ? "GET, HEAD, OPTIONS"
                                             : "POST, OPTIONS")
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->conf->cors && ctx->headers.origin.data
        && ctx->headers.method.data
        && ngx_http_track_cors_preflight(r, pixel) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&answer, sizeof(ngx_http_track_answer_t));
    answer.status = NGX_HTTP_NO_CONTENT;

    return ngx_http_track_send(r, &answer);
}


static ngx_int_t
ngx_http_track_cors_preflight(ngx_http_request_t *r, ngx_uint_t pixel)
{
    ngx_http_track_count(ngx_http_track_worker, preflights, 1);

    if (ngx_http_track_response_header(r, "Access-Control-Allow-Methods",
                                       pixel ? "GET, HEAD" : "POST")
        != NGX_OK
        || ngx_http_track_response_header(r, "Access-Control-Allow-Headers",
                                          "Content-Type, Content-Encoding, "
                                          "X-Track-Key")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* browsers take no more than a day, some no more than two hours */

    return ngx_http_track_response_header(r, "Access-Control-Max-Age",
                                          "86400");
}


static ngx_int_t
ngx_http_track_cors_filter(ngx_http_request_t *r)
{
    ngx_http_track_ctx_t  *ctx;

    ctx = r == r->main ? ngx_http_track_known(r) : NULL;

    if (ctx && ngx_http_track_cors_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_track_cors_headers(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    if (ngx_http_track_cors_status(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->conf->pixel
        && ngx_http_track_response_header(r, "Cache-Control", "no-store")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->conf->cors == NULL) {
        return NGX_OK;
    }

    if (ngx_http_track_response_header(r, "Vary", "Origin") != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_track_cors_origin(r, ctx);
}


/* What a status needs: 429 and 503 a time, whoever made them, unless he has
 * said it himself; our 401 a scheme, one that no browser has a dialog for. */

static ngx_int_t
ngx_http_track_cors_status(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    switch (r->headers_out.status) {

    case NGX_HTTP_TOO_MANY_REQUESTS:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return ngx_http_track_cors_has_retry(r)
               ? NGX_OK
               : ngx_http_track_response_header(r, "Retry-After",
                                                NGX_HTTP_TRACK_RETRY);

    case NGX_HTTP_UNAUTHORIZED:
        return ctx->error == TRK_ERR_MISSING_KEY
               || ctx->error == TRK_ERR_UNKNOWN_KEY
               ? ngx_http_track_response_header(r, "WWW-Authenticate",
                                                "X-Track-Key")
               : NGX_OK;

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_http_track_cors_origin(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    ngx_uint_t        any;
    ngx_table_elt_t  *h;

    any = ngx_http_track_cors_any(ctx->conf);

    if (!any && (ctx->headers.origin.data == NULL || !ctx->headers.allowed)) {
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));
    h->hash = 1;
    ngx_str_set(&h->key, "Access-Control-Allow-Origin");
    ngx_str_set(&h->value, "*");

    if (!any) {
        h->value = ctx->headers.origin;
    }

    return ngx_http_track_response_header(r, "Access-Control-Expose-Headers",
                                          "Date, Retry-After, X-Track-Ack");
}


static ngx_uint_t
ngx_http_track_cors_has_retry(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash && h[i].key.len == sizeof("Retry-After") - 1
            && ngx_strncasecmp(h[i].key.data, (u_char *) "Retry-After",
                               sizeof("Retry-After") - 1)
               == 0)
        {
            return 1;
        }
    }
}


void
ngx_http_track_cors_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_track_cors_filter;
}
