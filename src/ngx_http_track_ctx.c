
/*
 * The context of a request, found again after an internal redirect: that
 * forgets the contexts of all modules, but not what a pool is to clean up.
 */


#include "ngx_http_track.h"


static void ngx_http_track_ctx_cleanup(void *data);


ngx_http_track_ctx_t *
ngx_http_track_ctx_make(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_track_ctx_t  *ctx;

    ctx = ngx_http_track_ctx(r);

    if (ctx) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_track_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_track_ctx_cleanup;

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_track_ctx_t));

    ngx_http_set_ctx(r, ctx, ngx_http_track_module);

    return ctx;
}


ngx_http_track_ctx_t *
ngx_http_track_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_track_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_track_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_track_ctx_cleanup) {
            ctx = cln->data;
            ngx_http_set_ctx(r, ctx, ngx_http_track_module);
            return ctx;
        }
    }

    return NULL;
}


/* only its address means something */

static void
ngx_http_track_ctx_cleanup(void *data)
{
    /* void */
}
