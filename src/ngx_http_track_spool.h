
/*
 * The spool: what Kafka does not take in time, on disk until it does.  All
 * calls from the event loop; files are written and read in thread tasks.
 */


#ifndef _NGX_HTTP_TRACK_SPOOL_H_INCLUDED_
#define _NGX_HTTP_TRACK_SPOOL_H_INCLUDED_


#include "trk_seqset.h"


typedef struct ngx_http_track_segment_s      ngx_http_track_segment_t;
typedef struct ngx_http_track_spool_batch_s  ngx_http_track_spool_batch_t;


/* where a record lies in the spool; segment NULL: nowhere */

typedef struct {
    ngx_http_track_segment_t    *segment;
    uint32_t                     index;
} ngx_http_track_place_t;


typedef void (*ngx_http_track_spool_pt)(ngx_http_track_spool_batch_t *batch,
    ngx_uint_t ok);

/* messages that become safe together; the spool's until its handler was
 * called, however long the disk takes */

struct ngx_http_track_spool_batch_s {
    ngx_http_track_message_t   **messages;
    size_t                       n;
    ngx_http_track_spool_pt      handler;
    void                        *data;          /* the caller's */
    ngx_queue_t                  queue;         /* the spool's */
};


/* "track_spool path [max_size=10g] [segment=64m] [pool=default] | off" */
char *ngx_http_track_spool_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* With a fresh zone, in the master: how much lies in the path already, so that
 * max_size holds from the first record on.  Without an answer (this user may
 * not read it) the workers count before they spool. */
void ngx_http_track_spool_count(ngx_http_track_main_conf_t *tmcf,
    ngx_http_track_shm_t *sh);

/* NGX_OK too if track_spool is off; no file is touched here. */
ngx_int_t ngx_http_track_spool_init(ngx_http_track_worker_t *wk);

/* The last call of exit_process, after the producer has ended. */
void ngx_http_track_spool_exit(ngx_http_track_worker_t *wk);

/*
 * Appends the messages, in order; their bytes are copied at once, and each
 * gets its place.  NGX_OK: the handler will be called, never from inside
 * here, with ok 1 when all of them are on the disk, or 0.  NGX_DECLINED: no
 * room, or the disk fails; nothing was taken.
 *
 * A message that is `held` by the producer is left alone by the drain until
 * one of done and release is called for it; others are drained.
 */
ngx_int_t ngx_http_track_spool_append(ngx_http_track_worker_t *wk,
    ngx_http_track_spool_batch_t *batch);

/* Kafka has it after all. */
void ngx_http_track_spool_done(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *m);

/* The producer has given it up: the drain's from now on. */
void ngx_http_track_spool_release(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *m);

/* for the ledger: an edge of which records lie in a spool of this worker, its
 * own or an adopted one's */

typedef struct {
    u_char                       edge[NGX_HTTP_TRACK_EDGE_LEN];
    ngx_uint_t                   own;           /* unsigned  own:1; */
    ngx_uint_t                   changes;       /* of held, counted */
    trk_seqset_t                 held;          /* safe, not in Kafka yet */
} ngx_http_track_holding_t;

/* The i-th of them, for now; NULL: there are no more.  One whose last record
 * was drained is no longer among them, but for the worker's own. */
const ngx_http_track_holding_t *ngx_http_track_spool_holding(
    ngx_http_track_worker_t *wk, ngx_uint_t i);

/* Where the spool of an edge is.  NGX_OK: ours, with all of it among the
 * holdings; NGX_DECLINED: somebody else's, or not known yet; NGX_DONE: there
 * is none, a look at the path that began after `since` (ngx_current_msec) did
 * not find it, or track_spool is off. */
ngx_int_t ngx_http_track_spool_where(ngx_http_track_worker_t *wk,
    const u_char *edge, ngx_msec_t since);

/* exit_process: writes and syncs what is appended, blocking, for at most ms;
 * handlers are called from inside here.  The only call that blocks. */
void ngx_http_track_spool_flush(ngx_http_track_worker_t *wk, ngx_msec_t ms);


#endif /* _NGX_HTTP_TRACK_SPOOL_H_INCLUDED_ */
