
/*
 * The live ring: the last verdicts with their events, for track_live.
 */


#ifndef _NGX_HTTP_TRACK_LIVE_H_INCLUDED_
#define _NGX_HTTP_TRACK_LIVE_H_INCLUDED_


ngx_int_t ngx_http_track_live_init(ngx_http_track_worker_t *wk);
void ngx_http_track_live_tick(ngx_http_track_worker_t *wk);
void ngx_http_track_live_exit(ngx_http_track_worker_t *wk);

/* All events of the request that wk->request holds, judged; no lock, no
 * system call.  Only if wk->live. */
void ngx_http_track_live_add(ngx_http_track_worker_t *wk,
    ngx_http_request_t *r);

ngx_int_t ngx_http_track_live_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_TRACK_LIVE_H_INCLUDED_ */
