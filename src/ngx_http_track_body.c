
/*
 * The text of a request body in one piece: a view of the only buffer if
 * there is one, else in a buffer of the worker, that the next body uses
 * again: a copy of all buffers and of the temporary file, or what they
 * inflate to.
 *
 * Reading that file blocks the event loop for a moment, as writing it did:
 * client_body_buffer_size is to be set so that it does not come to that.
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_BODY_KEEP  (256 * 1024)


static ngx_int_t ngx_http_track_body_inflate(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, size_t max, ngx_http_track_body_t *body);
static ngx_int_t ngx_http_track_body_whole(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, size_t size, trk_str_t *text);
static off_t ngx_http_track_body_size(ngx_chain_t *cl);
static ngx_int_t ngx_http_track_body_magic(ngx_http_request_t *r,
    ngx_chain_t *cl, ngx_uint_t *gzip);
static ngx_int_t ngx_http_track_body_copy(ngx_http_request_t *r,
    ngx_chain_t *cl, u_char *p, size_t n);


ngx_int_t
ngx_http_track_body(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx,
    size_t max, ngx_http_track_body_t *body)
{
    off_t                     size;
    ngx_uint_t                gzip;
    ngx_chain_t              *cl;
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    trk_buf_reset(&wk->body, NGX_HTTP_TRACK_BODY_KEEP);

    cl = r->request_body ? r->request_body->bufs : NULL;
    size = ngx_http_track_body_size(cl);

    if ((uint64_t) size > max) {
        body->code = TRK_ERR_REQUEST_TOO_LARGE;
        return NGX_DECLINED;
    }

    if (size > 0 && r->request_body->temp_file) {
        ngx_http_track_count(wk, body_files, 1);
    }

    body->code = TRK_ERR_NONE;
    body->size = (size_t) size;
    gzip = ctx->gzip;

    if (!gzip && ngx_http_track_body_magic(r, cl, &gzip) != NGX_OK) {
        return NGX_ERROR;
    }

    if (gzip) {
        ngx_http_track_count(wk, body_gzip, 1);
        return ngx_http_track_body_inflate(r, wk, max, body);
    }

    return ngx_http_track_body_whole(r, wk, body->size, &body->text);
}


static ngx_int_t
ngx_http_track_body_inflate(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, size_t max, ngx_http_track_body_t *body)
{
    ngx_int_t                  rc;
    ngx_chain_t               *cl;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->client_max_body_size > 0
        && (uint64_t) clcf->client_max_body_size < max)
    {
        max = (size_t) clcf->client_max_body_size;
    }

    cl = r->request_body ? r->request_body->bufs : NULL;

    rc = ngx_http_track_inflate(wk, cl, max, &wk->body, &body->code,
                                ngx_http_track_log(r));

    if (rc == NGX_DECLINED && body->code == TRK_ERR_BAD_ENCODING) {

        /* to be kept as it came */

        trk_buf_reset(&wk->body, NGX_HTTP_TRACK_BODY_KEEP);

        if (ngx_http_track_body_whole(r, wk,
                                  ngx_min(body->size, TRK_REJECT_BYTES_MAX),
                                  &body->text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (rc == NGX_OK) {
        body->text = trk_str_of(wk->body.p, wk->body.n);
        body->size = wk->body.n;
    }

    return rc;
}


void
ngx_http_track_body_trim(ngx_http_track_worker_t *wk)
{
    trk_buf_reset(&wk->body, NGX_HTTP_TRACK_BODY_KEEP);
}


/* The first `size` bytes as they came. */

static ngx_int_t
ngx_http_track_body_whole(ngx_http_request_t *r, ngx_http_track_worker_t *wk,
    size_t size, trk_str_t *text)
{
    u_char       *p;
    ngx_chain_t  *cl;

    if (size == 0) {
        *text = trk_str("");
        return NGX_OK;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL && !cl->buf->in_file) {
        *text = trk_str_of(cl->buf->pos, size);
        return NGX_OK;
    }

    wk->body.max = NGX_MAX_INT32_VALUE;
    p = trk_buf_reserve(&wk->body, size);

    if (p == NULL) {
        return NGX_ERROR;
    }

    *text = trk_str_of(p, size);

    return ngx_http_track_body_copy(r, cl, p, size);
}


static off_t
ngx_http_track_body_size(ngx_chain_t *cl)
{
    off_t  size;

    for (size = 0; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    return size;
}


/* No JSON begins like gzip, so a beacon, which cannot have the header
 * without a preflight, needs none. */

static ngx_int_t
ngx_http_track_body_magic(ngx_http_request_t *r, ngx_chain_t *cl,
    ngx_uint_t *gzip)
{
    u_char  magic[2];

    if (ngx_http_track_body_size(cl) < (off_t) sizeof(magic)) {
        return NGX_OK;
    }

    if (ngx_http_track_body_copy(r, cl, magic, sizeof(magic)) != NGX_OK) {
        return NGX_ERROR;
    }

    *gzip = magic[0] == 0x1f && magic[1] == 0x8b;

    return NGX_OK;
}


/* The first n bytes of a body that has as many. */

static ngx_int_t
ngx_http_track_body_copy(ngx_http_request_t *r, ngx_chain_t *cl, u_char *p,
    size_t n)
{
    size_t      size;
    ngx_buf_t  *b;

    for ( /* void */ ; cl && n > 0; cl = cl->next) {
        b = cl->buf;
        size = (size_t) ngx_min(ngx_buf_size(b), (off_t) n);

        if (!b->in_file) {
            ngx_memcpy(p, b->pos, size);

        } else if (ngx_http_track_body_read(b->file, p, size, b->file_pos,
                                            ngx_http_track_log(r))
                   != NGX_OK)
        {
            return NGX_ERROR;
        }

        p += size;
        n -= size;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_track_body_read(ngx_file_t *file, u_char *p, size_t n, off_t at,
    ngx_log_t *log)
{
    ssize_t  got;

    while (n > 0) {
        got = ngx_read_file(file, p, n, at);

        if (got <= 0) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "track: %uz bytes at %O of a request body are not "
                          "in \"%V\"", n, at, &file->name);
            return NGX_ERROR;
        }

        p += got;
        at += got;
        n -= (size_t) got;
    }

    return NGX_OK;
}
