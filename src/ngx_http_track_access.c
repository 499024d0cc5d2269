
/*
 * Who sends: what a request's headers say of that, the write key and its
 * source.  Runs before the body is read, in the content phase, or earlier
 * when a variable asks.
 *
 * A browser's key is public: it tells sources apart and bounds them, and
 * proves nothing.  No line of ours ever shows one.
 */


#include "ngx_http_track.h"
#include "trk_origin.h"
#include "trk_sha256.h"


static ngx_http_core_loc_conf_t *ngx_http_track_refused_location(
    ngx_http_request_t *r);
static ngx_http_core_loc_conf_t *ngx_http_track_static_location(
    ngx_http_location_tree_node_t *node, ngx_str_t *path);
static void ngx_http_track_read(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);
static ngx_uint_t ngx_http_track_header_is(ngx_table_elt_t *h, char *name);
static void ngx_http_track_header_read(ngx_table_elt_t *h,
    ngx_http_track_headers_t *headers);
static trk_error_code_t ngx_http_track_access(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);
static ngx_uint_t ngx_http_track_key_sent(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx, ngx_str_t *key);
static ngx_uint_t ngx_http_track_source_allows(ngx_http_track_ctx_t *ctx,
    const trk_image_t *image, const trk_image_source_t *source);


ngx_http_track_loc_conf_t *
ngx_http_track_location(ngx_http_request_t *r)
{
    ngx_http_track_ctx_t       *ctx;
    ngx_http_core_loc_conf_t   *clcf;
    ngx_http_track_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_track_module);

    if (tlcf->serves) {
        return tlcf;
    }

    if (!r->internal) {
        return NULL;
    }

    ctx = ngx_http_track_ctx(r);

    if (ctx && ctx->conf) {
        return ctx->conf;
    }

    if (!r->error_page && r->err_status == 0) {

        /* a rewrite */

        return NULL;
    }

    clcf = ngx_http_track_refused_location(r);

    if (clcf == NULL) {
        return NULL;
    }

    tlcf = clcf->loc_conf[ngx_http_track_module.ctx_index];

    return tlcf->serves ? tlcf : NULL;
}


/*
 * The location of what was refused before any module saw it, and is on its
 * error page now: by the path it came with, in nginx's own tables, exact names
 * before the longest prefix.  Regular expressions are not asked: they would
 * write into the request.
 */

static ngx_http_core_loc_conf_t *
ngx_http_track_refused_location(ngx_http_request_t *r)
{
    u_char                     *end;
    ngx_str_t                   path;
    ngx_http_core_srv_conf_t   *cscf;
    ngx_http_core_loc_conf_t   *clcf, *found;

    path = r->unparsed_uri;

    if (path.len == 0) {
        return NULL;
    }

    end = ngx_strlchr(path.data, path.data + path.len, '?');

    if (end) {
        path.len = end - path.data;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    clcf = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];
    found = NULL;

    /* locations within locations */

    while (clcf) {
        clcf = ngx_http_track_static_location(clcf->static_locations, &path);

        if (clcf) {
            found = clcf;
        }
    }

    return found;
}


/* As nginx does it. */

static ngx_http_core_loc_conf_t *
ngx_http_track_static_location(ngx_http_location_tree_node_t *node,
    ngx_str_t *path)
{
    size_t                     len, n;
    u_char                    *p;
    ngx_int_t                  rc;
    ngx_http_core_loc_conf_t  *found;

    p = path->data;
    len = path->len;
    found = NULL;

    while (node) {
        n = ngx_min(len, (size_t) node->len);
        rc = ngx_filename_cmp(p, node->name, n);

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;

        } else if (len < (size_t) node->len) {
            node = node->left;

        } else if (len == (size_t) node->len) {
            return node->exact ? node->exact : node->inclusive;

        } else if (node->inclusive) {
            found = node->inclusive;
            node = node->tree;
            p += n;
            len -= n;

        } else {
            node = node->right;
        }
    }

    return found;
}


ngx_http_track_ctx_t *
ngx_http_track_known(ngx_http_request_t *r)
{
    ngx_http_track_ctx_t       *ctx;
    ngx_http_track_loc_conf_t  *tlcf;

    tlcf = ngx_http_track_location(r);
    if (tlcf == NULL) {
        return NULL;
    }

    ctx = ngx_http_track_ctx_make(r);
    if (ctx == NULL) {
        return NULL;
    }

    if (ctx->conf != tlcf) {

        /* a redirect or an "if" may have changed it since */

        ctx->conf = tlcf;
        ctx->has_key = 0;
        ngx_str_null(&ctx->source);
        ngx_http_track_read(r, ctx);
    }

    return ctx;
}


static void
ngx_http_track_read(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    ngx_http_track_headers(r, &ctx->headers);

    ctx->headers.allowed = ngx_http_track_cors_allowed(r, ctx);
    ctx->signals = ctx->conf->honor && ctx->headers.signals;

    /* arguments may be a key, or a pixel's identifiers */

    ctx->quiet = ctx->conf->ip != NGX_HTTP_TRACK_IP_FULL || ctx->signals
                 || r->args.len;
}


void
ngx_http_track_headers(ngx_http_request_t *r,
    ngx_http_track_headers_t *headers)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_memzero(headers, sizeof(ngx_http_track_headers_t));

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        ngx_http_track_header_read(&h[i], headers);
    }
}


/* of the same length */

static ngx_uint_t
ngx_http_track_header_is(ngx_table_elt_t *h, char *name)
{
    return ngx_strncasecmp(h->key.data, (u_char *) name, h->key.len) == 0;
}


static void
ngx_http_track_header_read(ngx_table_elt_t *h,
    ngx_http_track_headers_t *headers)
{
    ngx_str_t  *value;

    switch (h->key.len) {

    case sizeof("DNT") - 1:
        headers->signals |= ngx_http_track_header_is(h, "DNT")
                            && h->value.len == 1 && h->value.data[0] == '1';
        return;

    case sizeof("Sec-GPC") - 1:
        headers->signals |= ngx_http_track_header_is(h, "Sec-GPC")
                            && h->value.len == 1 && h->value.data[0] == '1';
        return;

    case sizeof("Origin") - 1:
        value = ngx_http_track_header_is(h, "Origin") ? &headers->origin
                                                      : NULL;
        break;

    case sizeof("X-Track-Key") - 1:
        value = ngx_http_track_header_is(h, "X-Track-Key") ? &headers->key
                                                           : NULL;
        break;

    case sizeof("Access-Control-Request-Method") - 1:
        value = ngx_http_track_header_is(h, "Access-Control-Request-Method")
                ? &headers->method : NULL;
        break;

    default:
        return;
    }

    if (value == NULL) {
        return;
    }

    if (value->data) {
        ngx_str_set(value, "?");
        return;
    }

    *value = h->value;
}


ngx_int_t
ngx_http_track_enter(ngx_http_request_t *r, ngx_uint_t methods, char *allow,
    ngx_http_track_ctx_t **ctx)
{
    trk_error_code_t  code;

    if (r != r->main) {

        /* what this location says of privacy is not known yet */

        ngx_log_error(NGX_LOG_ERR, ngx_http_track_worker->log, 0,
                      "track: a subrequest has no body of its own: "
                      "auth_request and the like need another location");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_track_count(ngx_http_track_worker, requests, 1);

    *ctx = ngx_http_track_known(r);

    /* the address not before: realip may have set it in between */

    if (*ctx == NULL
        || ngx_http_track_ip(r, (*ctx)->conf, (*ctx)->signals, &(*ctx)->ip)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_track_options(r, *ctx);
    }

    if (!(r->method & methods)) {
        return ngx_http_track_not_allowed(r, allow);
    }

    if ((*ctx)->signals) {
        ngx_http_track_count(ngx_http_track_worker, privacy_signals, 1);
    }

    code = ngx_http_track_access(r, *ctx);

    return code == TRK_ERR_NONE ? NGX_DECLINED
                                : ngx_http_track_refuse(r, code, SIZE_MAX);
}


static trk_error_code_t
ngx_http_track_access(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    trk_error_code_t           code;
    const trk_image_source_t  *source;

    if (!ctx->headers.allowed) {
        return TRK_ERR_ORIGIN_NOT_ALLOWED;
    }

    code = ngx_http_track_key(r, ctx, &source);

    if (code != TRK_ERR_NONE || source == NULL) {
        return code;
    }

    return ngx_http_track_source_allows(ctx,
                                ngx_http_track_schema(ngx_http_track_worker),
                                source)
           ? TRK_ERR_NONE : TRK_ERR_ORIGIN_NOT_ALLOWED;
}


trk_error_code_t
ngx_http_track_key(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx,
    const trk_image_source_t **source)
{
    trk_str_t           name;
    ngx_str_t           key;
    const trk_image_t  *image;

    *source = NULL;

    if (ctx->conf->key == NGX_HTTP_TRACK_KEY_OFF) {
        return TRK_ERR_NONE;
    }

    if (!ngx_http_track_key_sent(r, ctx, &key)) {
        return ctx->conf->key == NGX_HTTP_TRACK_KEY_REQUIRED
               ? TRK_ERR_MISSING_KEY : TRK_ERR_NONE;
    }

    image = ngx_http_track_schema(ngx_http_track_worker);

    if (image == NULL) {
        return TRK_ERR_NO_SCHEMA;
    }

    if (!ctx->has_key) {
        trk_sha256(ngx_http_track_str(key), ctx->key);
    }

    *source = trk_image_key(image, ctx->key);

    if (*source == NULL) {
        ctx->has_key = 0;
        return TRK_ERR_UNKNOWN_KEY;
    }

    if (ctx->has_key) {
        return TRK_ERR_NONE;
    }

    name = trk_image_source_name(image, *source);

    ctx->source.data = ngx_pnalloc(r->pool, name.n);
    if (ctx->source.data == NULL) {
        return TRK_ERR_UNAVAILABLE;
    }

    ngx_memcpy(ctx->source.data, name.p, name.n);
    ctx->source.len = name.n;
    ctx->has_key = 1;

    return TRK_ERR_NONE;
}


/* The header, or where beacons must put it: the argument "key", in lower case
 * as everywhere: of a pixel's arguments, "Key" is a field.  Keys are made of
 * characters that no client encodes. */

static ngx_uint_t
ngx_http_track_key_sent(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx,
    ngx_str_t *key)
{
    *key = ctx->headers.key;

    if (key->len) {
        return 1;
    }

    return ngx_http_arg(r, (u_char *) "key", 3, key) == NGX_OK && key->len
           && ngx_memcmp(key->data - 4, "key=", 4) == 0;
}


/* The page's own host is no exception here: several sites may share this
 * server, each with a source of its own. */

static ngx_uint_t
ngx_http_track_source_allows(ngx_http_track_ctx_t *ctx,
    const trk_image_t *image, const trk_image_source_t *source)
{
    uint32_t           i;
    trk_origin_text_t  origin;

    if (source->norigins == 0 || ctx->headers.origin.data == NULL) {
        return 1;
    }

    if (trk_origin_read(&origin, ngx_http_track_str(ctx->headers.origin))
        != TRK_OK)
    {
        return 0;
    }

    for (i = 0; i < source->norigins; i++) {
        if (trk_origin_match(trk_origin_str(&origin),
                             trk_image_source_origin(image, source, i)))
        {
            return 1;
        }
    }

    return 0;
}
