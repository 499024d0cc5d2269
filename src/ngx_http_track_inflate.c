
/*
 * Bodies in gzip: inflated piece by piece, as they lie in the request's
 * buffers or in its temporary file, into a buffer of the worker.  All of
 * zlib is in this file.
 *
 * A sender costs us no more than the bounds below, whatever he sends: the
 * text is never larger than what would be taken uncompressed, and beyond
 * NGX_HTTP_TRACK_INFLATE_FREE bytes not larger than
 * NGX_HTTP_TRACK_INFLATE_RATIO times what it came in.  (A thousand would be
 * possible; batches of events that share everything but their ids reach
 * some forty.)  Both are looked at while inflating.
 *
 * One gzip stream is a body.  What stands behind its end is refused, also
 * another stream, which RFC 1952 would allow: no client makes any, and what
 * two readers of a request understand differently is a way past one of them.
 */


#include "ngx_http_track.h"

#include <zlib.h>


#define NGX_HTTP_TRACK_INFLATE_FREE   65536
#define NGX_HTTP_TRACK_INFLATE_RATIO  256
#define NGX_HTTP_TRACK_INFLATE_STEP   16384     /* bytes made room for */


/* Made at the first gzip body and reused for all others: 40 KB in zlib. */

struct ngx_http_track_inflate_s {
    z_stream                     stream;
    size_t                       max;           /* bytes of text */
    ngx_uint_t                   ended;         /* unsigned  ended:1; */
    u_char                       piece[16384];  /* of a temporary file */
};


static ngx_http_track_inflate_t *ngx_http_track_inflate_begin(
    ngx_http_track_worker_t *wk, ngx_log_t *log);
static ngx_int_t ngx_http_track_inflate_buf(ngx_http_track_inflate_t *inf,
    ngx_buf_t *b, trk_buf_t *out, trk_error_code_t *code, ngx_log_t *log);
static ngx_int_t ngx_http_track_inflate_piece(ngx_http_track_inflate_t *inf,
    u_char *p, size_t n, trk_buf_t *out, trk_error_code_t *code);
static ngx_uint_t ngx_http_track_inflate_bomb(z_stream *stream);


ngx_int_t
ngx_http_track_inflate(ngx_http_track_worker_t *wk, ngx_chain_t *cl,
    size_t max, trk_buf_t *out, trk_error_code_t *code, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_track_inflate_t  *inf;

    inf = ngx_http_track_inflate_begin(wk, log);
    if (inf == NULL) {
        return NGX_ERROR;
    }

    /* the byte beyond tells too much from just enough */

    inf->max = max;
    out->max = max + 1;

    for ( /* void */ ; cl; cl = cl->next) {
        rc = ngx_http_track_inflate_buf(inf, cl->buf, out, code, log);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (!inf->ended) {
        *code = TRK_ERR_BAD_ENCODING;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_http_track_inflate_t *
ngx_http_track_inflate_begin(ngx_http_track_worker_t *wk, ngx_log_t *log)
{
    int                        rc;
    ngx_http_track_inflate_t  *inf;

    inf = wk->inflate;

    if (inf == NULL) {
        inf = ngx_calloc(sizeof(ngx_http_track_inflate_t), log);
        if (inf == NULL) {
            return NULL;
        }

        /* 16: a gzip header and trailer, nothing else */

        rc = inflateInit2(&inf->stream, MAX_WBITS + 16);

        if (rc != Z_OK) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "track: inflateInit2() failed: %d", rc);
            ngx_free(inf);
            return NULL;
        }

        wk->inflate = inf;

    } else if (inflateReset(&inf->stream) != Z_OK) {
        ngx_log_error(NGX_LOG_ALERT, log, 0, "track: inflateReset() failed");
        return NULL;
    }

    inf->ended = 0;

    return inf;
}


static ngx_int_t
ngx_http_track_inflate_buf(ngx_http_track_inflate_t *inf, ngx_buf_t *b,
    trk_buf_t *out, trk_error_code_t *code, ngx_log_t *log)
{
    off_t      at;
    size_t     n;
    ngx_int_t  rc;

    if (!b->in_file) {
        return ngx_http_track_inflate_piece(inf, b->pos,
                                            (size_t) (b->last - b->pos), out,
                                            code);
    }

    for (at = b->file_pos; at < b->file_last; at += n) {

        n = (size_t) ngx_min((off_t) sizeof(inf->piece), b->file_last - at);

        if (ngx_http_track_body_read(b->file, inf->piece, n, at, log)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_http_track_inflate_piece(inf, inf->piece, n, out, code);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* Each round takes input or fills what there is room for. */

static ngx_int_t
ngx_http_track_inflate_piece(ngx_http_track_inflate_t *inf, u_char *p,
    size_t n, trk_buf_t *out, trk_error_code_t *code)
{
    int        rc;
    size_t     room;
    z_stream  *stream;

    stream = &inf->stream;
    stream->next_in = p;
    stream->avail_in = (uInt) n;

    do {
        if (inf->ended) {
            *code = TRK_ERR_BAD_ENCODING;
            return n > 0 ? NGX_DECLINED : NGX_OK;
        }

        room = ngx_min(NGX_HTTP_TRACK_INFLATE_STEP, out->max - out->n);
        stream->next_out = trk_buf_reserve(out, room);

        if (stream->next_out == NULL) {
            return NGX_ERROR;
        }

        stream->avail_out = (uInt) (out->cap - out->n);
        rc = inflate(stream, Z_NO_FLUSH);
        out->n = (size_t) (stream->next_out - out->p);

        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
            *code = TRK_ERR_BAD_ENCODING;
            return rc == Z_MEM_ERROR ? NGX_ERROR : NGX_DECLINED;
        }

        if (out->n > inf->max || ngx_http_track_inflate_bomb(stream)) {
            *code = TRK_ERR_REQUEST_TOO_LARGE;
            return NGX_DECLINED;
        }

        inf->ended = rc == Z_STREAM_END;

    } while (stream->avail_in > 0 || (stream->avail_out == 0 && !inf->ended));

    return NGX_OK;
}


static ngx_uint_t
ngx_http_track_inflate_bomb(z_stream *stream)
{
    return stream->total_out > NGX_HTTP_TRACK_INFLATE_FREE
           && stream->total_out / NGX_HTTP_TRACK_INFLATE_RATIO
              > stream->total_in;
}


void
ngx_http_track_inflate_exit(ngx_http_track_worker_t *wk)
{
    if (wk->inflate) {
        (void) inflateEnd(&wk->inflate->stream);
        ngx_free(wk->inflate);
        wk->inflate = NULL;
    }
}
