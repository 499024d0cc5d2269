
/*
 * The request body in one piece: a view of the only buffer if there is one,
 * else a copy in the request's pool of all buffers and of the temporary file.
 *
 * Reading that file blocks the event loop for a moment, as writing it did:
 * client_body_buffer_size is to be set so that it does not come to that.
 */


#include "ngx_http_track.h"


static ngx_int_t ngx_http_track_body_copy(ngx_http_request_t *r,
    ngx_chain_t *cl, u_char *p);
static off_t ngx_http_track_body_size(ngx_chain_t *cl);


ngx_int_t
ngx_http_track_body(ngx_http_request_t *r, size_t max, trk_str_t *body)
{
    off_t         size;
    u_char       *p;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = r->request_body ? r->request_body->bufs : NULL;
    size = ngx_http_track_body_size(cl);

    if (size == 0) {
        *body = trk_str("");
        return NGX_OK;
    }

    if ((uint64_t) size > max) {
        return NGX_DECLINED;
    }

    b = cl->buf;

    if (cl->next == NULL && !b->in_file) {
        *body = trk_str_of(b->pos, (size_t) size);
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, (size_t) size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *body = trk_str_of(p, (size_t) size);

    return ngx_http_track_body_copy(r, cl, p);
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


static ngx_int_t
ngx_http_track_body_copy(ngx_http_request_t *r, ngx_chain_t *cl, u_char *p)
{
    size_t      size;
    ssize_t     n;
    ngx_buf_t  *b;

    for ( /* void */ ; cl; cl = cl->next) {
        b = cl->buf;

        if (!b->in_file) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        ngx_http_track_count(ngx_http_track_worker, body_files, 1);

        size = (size_t) (b->file_last - b->file_pos);
        n = ngx_read_file(b->file, p, size, b->file_pos);

        if (n < 0 || (size_t) n != size) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "track: read %z of %uz bytes of a request body "
                          "from \"%V\"", n, size, &b->file->name);
            return NGX_ERROR;
        }

        p += size;
    }

    return NGX_OK;
}
