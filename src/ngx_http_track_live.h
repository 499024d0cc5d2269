
/*
 * The live ring: the last verdicts with their events, for track_live.
 */


#ifndef _NGX_HTTP_TRACK_LIVE_H_INCLUDED_
#define _NGX_HTTP_TRACK_LIVE_H_INCLUDED_


/* track_live */
char *ngx_http_track_live(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Only if some location has track_live: wk->live then. */
ngx_int_t ngx_http_track_live_init(ngx_http_track_worker_t *wk);
void ngx_http_track_live_exit(ngx_http_track_worker_t *wk);

/* All events of the judged wk->request, accepted ones with their event_id,
 * under the origin that their records have (no edge, no seq: it is the same
 * for all).  No lock, no system call.  Only if wk->live. */
void ngx_http_track_live_add(ngx_http_track_worker_t *wk,
    const trk_origin_t *origin);

/* A body refused as a whole; arguments as of trk_reject_body().  Likewise. */
void ngx_http_track_live_body(ngx_http_track_worker_t *wk, trk_str_t body,
    size_t size, trk_error_code_t code, size_t offset,
    const trk_origin_t *origin);

/* Verdict n as its JSON, of NGX_HTTP_TRACK_RING_TEXT bytes at most: its
 * length; 0: it is not whole, because it is being written, or its writer was
 * killed, or it is overwritten. */
size_t ngx_http_track_live_read(ngx_http_track_worker_t *wk, uint64_t n,
    u_char *text);


/* ngx_http_track_listen.c: those who read it */

ngx_int_t ngx_http_track_listen_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_TRACK_LIVE_H_INCLUDED_ */
