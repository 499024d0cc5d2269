
/*
 * A wait: what _wait, which parks requests and answers them, and _deliver,
 * which sees to it that their messages become safe, know of it.
 */


#ifndef _NGX_HTTP_TRACK_WAIT_H_INCLUDED_
#define _NGX_HTTP_TRACK_WAIT_H_INCLUDED_


/* memory for waits, in blocks of one size, kept for the worker's life */

#define NGX_HTTP_TRACK_WAIT_SIZES  2

typedef struct {
    size_t                       size;
    ngx_uint_t                   left;          /* not allocated yet */
    ngx_queue_t                  free;          /* warm ones first */
} ngx_http_track_blocks_t;


/*
 * One allocation with the messages of a request and all their bytes, outside
 * of the request's pool: Kafka and spool may need them longer than the client
 * waits.  It is open until the outcome is decided (and, but for track_ack
 * none, told); it lives until the producer holds no message of it and the
 * spool has answered.
 */

struct ngx_http_track_wait_s {
    ngx_http_request_t          *request;       /* NULL: untied */
    ngx_http_track_worker_t     *worker;
    size_t                       held;          /* by the producer */
    size_t                       unsafe;        /* neither there nor spooled */
    ngx_queue_t                  turn;          /* if queued */

    unsigned                     ack:2;         /* ngx_http_track_ack_e */
    unsigned                     open:1;
    unsigned                     queued:1;      /* has something to do */
    unsigned                     spooling:1;
    unsigned                     spooled:1;     /* something of it */
    unsigned                     late:1;        /* Kafka had its time */
    unsigned                     failed:1;      /* news: the producer, */
    unsigned                     broken:1;      /* the spool */
    unsigned                     too_large:1;

    /* of the first cache line was what each report needs */

    ngx_queue_t                  queue;         /* while open: by deadline */
    ngx_http_cleanup_t          *cleanup;
    ngx_http_track_answer_t      answer;        /* in the request's pool */
    ngx_msec_t                   timeout;       /* of Kafka, then of spool */
    ngx_msec_t                   deadline;
    ngx_uint_t                   lane;
    ngx_http_track_spool_batch_t  batch;        /* if spooling */
    ngx_http_track_blocks_t     *blocks;        /* it is of; NULL: of none */
    size_t                       n;

    ngx_http_track_message_t     messages[];
};


struct ngx_http_track_waits_s {
    ngx_queue_t                 *lanes;         /* by timeout: oldest first */
    ngx_queue_t                  patient;       /* without a deadline */
    ngx_queue_t                  turn;          /* with something to do */
    ngx_uint_t                   parked;        /* requests; at max of them */
    ngx_uint_t                   max;           /* all goes to the spool */
    ngx_uint_t                   direct;        /* to the spool first */
    ngx_uint_t                   let_go;        /* of a leaving worker */
    ngx_msec_t                   delivered;     /* the last good report */
    ngx_msec_t                   probed;        /* the last try since */
    ngx_event_t                  timer;         /* of the first deadline */
    ngx_event_t                  next;          /* another turn */
    ngx_http_track_blocks_t      blocks[NGX_HTTP_TRACK_WAIT_SIZES];
    ngx_http_track_mute_t        mute_timeout;
    ngx_http_track_mute_t        mute_spool;
};


/* ngx_http_track_wait.c */

/* A wait of r with copies of the worker's first n messages, open, in no
 * queue yet; freed by the caller if nothing takes them.  NULL: no memory. */
ngx_http_track_wait_t *ngx_http_track_wait_create(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, size_t n, ngx_http_track_answer_t *answer);

/* Parks the request.  NGX_DONE, or what finalizes it. */
ngx_int_t ngx_http_track_wait_park(ngx_http_track_wait_t *w);

/* Answers at once, for track_ack none.  Returns what finalizes it. */
ngx_int_t ngx_http_track_wait_hasty(ngx_http_track_wait_t *w);

/* A new deadline, a timeout from now, or none: nobody waits for it. */
void ngx_http_track_wait_again(ngx_http_track_wait_t *w);
void ngx_http_track_wait_patiently(ngx_http_track_wait_t *w);

/* The outcome: all is safe, or code. */
void ngx_http_track_wait_close(ngx_http_track_wait_t *w,
    trk_error_code_t code);

/* Gives its memory back; settle: if nobody needs it any more. */
void ngx_http_track_wait_free(ngx_http_track_wait_t *w);
void ngx_http_track_wait_settle(ngx_http_track_wait_t *w);

/* In direct mode: whether it is time to try Kafka with a request.  The drain
 * and the ledger do so, too, but may have nothing to send. */
ngx_uint_t ngx_http_track_wait_probe(ngx_http_track_worker_t *wk);

/* From now on all goes to the spool, until Kafka is heard of. */
void ngx_http_track_wait_direct(ngx_http_track_worker_t *wk);

/* It has something to do, outside of whose callback this is. */
void ngx_http_track_wait_queue(ngx_http_track_wait_t *w);


/* ngx_http_track_deliver.c */

/* Of a message's wait; see ngx_http_track_report_pt. */
void ngx_http_track_deliver_report(ngx_http_track_message_t *m,
    ngx_http_track_outcome_e outcome);

/* Does what is to do for a queued wait. */
void ngx_http_track_deliver_turn(ngx_http_track_wait_t *w);

/* The deadline is over. */
void ngx_http_track_deliver_timeout(ngx_http_track_wait_t *w);

/* exit_process: hands to the spool what is not safe, and gives up what is not
 * then.  How many messages that were. */
size_t ngx_http_track_deliver_save(ngx_http_track_wait_t *w);
size_t ngx_http_track_deliver_give_up(ngx_http_track_wait_t *w);


#endif /* _NGX_HTTP_TRACK_WAIT_H_INCLUDED_ */
