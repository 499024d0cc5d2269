
/*
 * The ledger: each number that this worker gives to an event, and what
 * became of it.  See lib/trk_book.h.
 */


#ifndef _NGX_HTTP_TRACK_LEDGER_H_INCLUDED_
#define _NGX_HTTP_TRACK_LEDGER_H_INCLUDED_


/* what closes a number */

typedef enum {
    NGX_HTTP_TRACK_SAFE = 1,    /* Kafka or the spool has it */
    NGX_HTTP_TRACK_VOID,        /* never acknowledged */
    NGX_HTTP_TRACK_LOST         /* acknowledged, and gone */
} ngx_http_track_close_e;


ngx_int_t ngx_http_track_ledger_init(ngx_http_track_worker_t *wk);

/* Once a tick: beats, and the books of the dead. */
void ngx_http_track_ledger_tick(ngx_http_track_worker_t *wk);

/* Before the producer ends. */
void ngx_http_track_ledger_exit(ngx_http_track_worker_t *wk);

/* The first of n numbers in a row; 0: too many are open.  hasty: they are
 * acknowledged before their outcome is known. */
uint64_t ngx_http_track_ledger_open(ngx_http_track_worker_t *wk, size_t n,
    ngx_uint_t hasty);

/* The last n numbers opened are given back: nothing carries them. */
void ngx_http_track_ledger_undo(ngx_http_track_worker_t *wk, uint64_t first,
    size_t n);

/* Before the answer that rests on it.  Closing twice: the first counts. */
void ngx_http_track_ledger_close(ngx_http_track_worker_t *wk, uint64_t seq,
    ngx_http_track_close_e how);


#endif /* _NGX_HTTP_TRACK_LEDGER_H_INCLUDED_ */
