
/*
 * The client's address, as much of it as track_ip lets out, and lines of ours
 * that do not show more.
 *
 * nginx writes the address and the request line into every line that it logs
 * for a connection.  Its own lines cannot be changed; ours go to the log of
 * the cycle instead where that must not be.
 */


#include "ngx_http_track.h"
#include "trk_ip.h"


static size_t ngx_http_track_ip_bytes(struct sockaddr *sockaddr, u_char **p);


ngx_int_t
ngx_http_track_ip(ngx_http_request_t *r, ngx_http_track_loc_conf_t *tlcf,
    ngx_uint_t signals, ngx_str_t *ip)
{
    char     text[TRK_IP_MAX];
    size_t   n;
    u_char  *p;

    ngx_str_null(ip);

    if (tlcf->ip == NGX_HTTP_TRACK_IP_OFF || signals) {
        return NGX_OK;
    }

    n = ngx_http_track_ip_bytes(r->connection->sockaddr, &p);

    if (n == 4 && tlcf->ip == NGX_HTTP_TRACK_IP_FULL) {
        *ip = r->connection->addr_text;
        return NGX_OK;
    }

    n = trk_ip_text(text, p, n, tlcf->ip == NGX_HTTP_TRACK_IP_TRUNCATED);

    if (n == 0) {
        return NGX_OK;
    }

    ip->data = ngx_pnalloc(r->pool, n);
    if (ip->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ip->data, text, n);
    ip->len = n;

    return NGX_OK;
}


/* 0: a socket in the file system */

static size_t
ngx_http_track_ip_bytes(struct sockaddr *sockaddr, u_char **p)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    *p = NULL;

    switch (sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sockaddr;
        *p = (u_char *) &sin->sin_addr;
        return 4;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sockaddr;
        *p = (u_char *) &sin6->sin6_addr;
        return 16;
#endif

    default:
        return 0;
    }
}


ngx_log_t *
ngx_http_track_log(ngx_http_request_t *r)
{
    ngx_http_track_ctx_t  *ctx;

    ctx = ngx_http_track_ctx(r);

    return ctx && ctx->quiet ? ngx_http_track_worker->log
                             : r->connection->log;
}
