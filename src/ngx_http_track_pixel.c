
/*
 * track_pixel: an event in the arguments of a GET, for mails and pages
 * without scripts.  The arguments become the JSON text that a POST would have
 * carried and go its way; only the answer is an image.
 */


#include "ngx_http_track.h"
#include "trk_query.h"


#define NGX_HTTP_TRACK_PIXEL_KEEP  16384


static ngx_int_t ngx_http_track_pixel_handler(ngx_http_request_t *r);
static void ngx_http_track_pixel_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_track_pixel_event(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk);


/* one transparent pixel */

static u_char  ngx_http_track_pixel_gif[] = {
    'G', 'I', 'F', '8', '9', 'a',
    1, 0, 1, 0, 0x80, 0, 0,                     /* 1 x 1, two colors */
    0, 0, 0, 0xFF, 0xFF, 0xFF,
    0x21, 0xF9, 4, 1, 0, 0, 0, 0,               /* the first is transparent */
    0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0,            /* an image of all of it */
    2, 2, 0x44, 1, 0,                           /* clear, color 0, end */
    0x3B
};


char *
ngx_http_track_pixel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_loc_conf_t  *tlcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (tlcf->enabled) {
        return tlcf->pixel ? "is duplicate"
                           : "and \"track\" cannot share a location";
    }

    tlcf->enabled = 1;
    tlcf->pixel = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_track_pixel_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_track_pixel_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_track_ctx_t  *ctx;

    rc = ngx_http_track_enter(r, NGX_HTTP_GET|NGX_HTTP_HEAD,
                              "GET, HEAD, OPTIONS", &ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx->pixel = 1;
    ctx->type = TRK_BODY_JSON;

    /* there is none as a rule; then that is known at once */

    rc = ngx_http_read_client_request_body(r,
                                          ngx_http_track_pixel_body_handler);

    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}


static void
ngx_http_track_pixel_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;
    rc = ngx_http_track_pixel_event(r, wk);

    trk_request_trim(&wk->request);

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}


static ngx_int_t
ngx_http_track_pixel_event(ngx_http_request_t *r, ngx_http_track_worker_t *wk)
{
    ngx_int_t           rc;
    const trk_image_t  *image;

    image = ngx_http_track_schema(wk);

    if (image == NULL) {
        return ngx_http_track_refuse(r, TRK_ERR_NO_SCHEMA, SIZE_MAX);
    }

    /* no longer bounded by what a body before was inflated to */

    trk_buf_reset(&wk->body, NGX_HTTP_TRACK_PIXEL_KEEP);
    wk->body.max = NGX_MAX_INT32_VALUE;

    rc = trk_query_event(&wk->body, &wk->request.json, image,
                         ngx_http_track_str(r->args));

    if (rc == TRK_INVALID) {
        return ngx_http_track_refuse(r, TRK_ERR_INVALID_UTF8, SIZE_MAX);
    }

    if (rc != TRK_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_track_judge(r, wk, trk_str_of(wk->body.p, wk->body.n));
}


void
ngx_http_track_pixel_answer(ngx_http_track_answer_t *answer, ngx_str_t *type)
{
    if (answer->status == NGX_HTTP_NO_CONTENT) {
        answer->status = NGX_HTTP_OK;
    }

    answer->body.len = sizeof(ngx_http_track_pixel_gif);
    answer->body.data = ngx_http_track_pixel_gif;
    ngx_str_set(type, "image/gif");
}
