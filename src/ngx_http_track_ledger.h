
/*
 * The ledger: each number that this worker gives to an event, and what
 * became of it; docs/FORMATS.md says what others read of it.
 *
 * Books lie in the zone and outlive their workers, see lib/trk_book.h.  One
 * process keeps a book: its worker, and when that has died, whichever worker
 * sees it first, or, if it had a spool, the one that has adopted the spool.
 * What a process has to say of an edge goes out by its voice for it.
 */


#ifndef _NGX_HTTP_TRACK_LEDGER_H_INCLUDED_
#define _NGX_HTTP_TRACK_LEDGER_H_INCLUDED_


#include "trk_beat.h"
#include "trk_book.h"


#define NGX_HTTP_TRACK_BOOK_WINDOW  65536
#define NGX_HTTP_TRACK_BOOK_SPANS   512
#define NGX_HTTP_TRACK_BEAT_PARTS   4


/* what closes a number */

typedef enum {
    NGX_HTTP_TRACK_SAFE = TRK_BOOK_SAFE,    /* Kafka or the spool has it */
    NGX_HTTP_TRACK_VOID = TRK_BOOK_VOID,    /* never acknowledged */
    NGX_HTTP_TRACK_LOST = TRK_BOOK_LOST     /* acknowledged, and gone */
} ngx_http_track_close_e;


/*
 * A book in the zone.  It is taken by keeper, filled, and valid from when
 * worker is set; it is given back in the other order.
 */

typedef struct {
    ngx_atomic_t                 keeper;        /* its life; 0: free */
    ngx_atomic_t                 worker;        /* pid of that life; 0: none */
    ngx_atomic_t                 started;       /* ms since the epoch */
    ngx_atomic_t                 spooled;       /* it may have a spool */
    u_char                       edge[NGX_HTTP_TRACK_EDGE_LEN];
    trk_book_t                   book;          /* and what lies behind */
} ngx_http_track_book_t;


/*
 * What this process says of one edge.  What lies in its spool is known by a
 * state: 0 is nothing, and another number comes with every change.
 */

typedef struct {
    ngx_queue_t                  queue;         /* in the ledger's voices */
    u_char                       edge[NGX_HTTP_TRACK_EDGE_LEN];
    ngx_http_track_book_t       *book;          /* NULL: of a spool alone */
    ngx_uint_t                   own;           /* unsigned  own:1; */
    ngx_uint_t                   ended;         /* unsigned  ended:1; */
    ngx_uint_t                   spooled;       /* unsigned  spooled:1; */
    ngx_uint_t                   merged;        /* of book, when last seen */
    ngx_uint_t                   told;          /* state that was delivered */
    uint64_t                     n;             /* of the last beat */
    ngx_msec_t                   next;          /* beat, whatever happens */

    /* the beat on its way */
    ngx_uint_t                   pending;       /* parts without a report */
    ngx_uint_t                   failed;        /* of those */
    ngx_uint_t                   telling;       /* state */
    ngx_uint_t                   ending;        /* unsigned  ending:1; */
    uint64_t                     upto;
    trk_buf_t                    text;
    ngx_http_track_message_t    *messages;      /* BEAT_PARTS of them */
} ngx_http_track_voice_t;


/* what a beat says of a spool, as a number */
#define ngx_http_track_ledger_state(held)  ((held)->changes + 1)


/* ngx_http_track_ledger.c */

/* A worker that finds no book goes on without: its events stand outside the
 * ledger, and the log says so. */
ngx_int_t ngx_http_track_ledger_init(ngx_http_track_worker_t *wk);

/* Once a tick: beats, and the books of the dead. */
void ngx_http_track_ledger_tick(ngx_http_track_worker_t *wk);

/* After all reports that there will be and the spool's last sync, and before
 * the producer ends, which may deliver the last beat still. */
void ngx_http_track_ledger_exit(ngx_http_track_worker_t *wk);

/* The first of n numbers in a row, of which `rejected` are for rejected
 * events; 0: too many are open.  hasty: they are acknowledged before their
 * outcome is known. */
uint64_t ngx_http_track_ledger_open(ngx_http_track_worker_t *wk, size_t n,
    size_t rejected, ngx_uint_t hasty);

/* The n numbers of the last open are given back: nothing carries them. */
void ngx_http_track_ledger_undo(ngx_http_track_worker_t *wk, uint64_t first,
    size_t n);

/* Before the answer that rests on it.  Closing twice: the first counts. */
void ngx_http_track_ledger_close(ngx_http_track_worker_t *wk, uint64_t seq,
    ngx_http_track_close_e how);

/* Before this worker's own spool gets its folder. */
void ngx_http_track_ledger_spooled(ngx_http_track_worker_t *wk);

/* The spool of another edge is ours now: all of its records are known, none
 * was drained yet. */
void ngx_http_track_ledger_adopted(ngx_http_track_worker_t *wk,
    const u_char *edge);

/* Whether the ledger has been told what lies in that spool now. */
ngx_uint_t ngx_http_track_ledger_told(ngx_http_track_worker_t *wk,
    const ngx_http_track_holding_t *held);

/* All that the voice had to say of its book has been delivered. */
void ngx_http_track_ledger_closed(ngx_http_track_voice_t *v);


/* ngx_http_track_beat.c */

ngx_int_t ngx_http_track_beat_init(ngx_http_track_worker_t *wk);

/* Room for the beats of a voice.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_track_beat_room(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v);

/* Sends a beat if there is something new to say, or nothing was said for too
 * long.  held: what lies in the edge's spool; NULL: nothing. */
void ngx_http_track_beat(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v, const ngx_http_track_holding_t *held);


struct ngx_http_track_ledger_s {
    ngx_http_track_voice_t       own;
    ngx_queue_t                  voices;        /* own is one of them */
    uint64_t                     seq;           /* numbers without a book */
    ngx_msec_t                  *dead;          /* when each book's keeper
                                                   was first seen dead; 0 */
    trk_span_t                  *spans;         /* of the beat being made */
    size_t                       host_len;
    u_char                       host[TRK_BEAT_HOST];
    ngx_http_track_mute_t        mute;
};


#endif /* _NGX_HTTP_TRACK_LEDGER_H_INCLUDED_ */
