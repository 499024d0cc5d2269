
/*
 * What the files of the spool share: _spool (life), _spool_segment (records
 * in memory), _spool_append, _spool_write (group commit), _spool_drain and
 * _spool_piece, _spool_keep (housekeeping), _spool_mark, _spool_adopt.  All of
 * it belongs to the event loop of one worker, but for what a job that is busy
 * points to: that belongs to its thread until its `done` is called.
 */


#ifndef _NGX_HTTP_TRACK_SPOOL_INNER_H_INCLUDED_
#define _NGX_HTTP_TRACK_SPOOL_INNER_H_INCLUDED_


#include "ngx_http_track.h"
#include "ngx_http_track_spool_io.h"


#define NGX_HTTP_TRACK_SPOOL_TICK     1000      /* ms: gauges */
#define NGX_HTTP_TRACK_SPOOL_SCAN     10000     /* ms: adoption, quota */
#define NGX_HTTP_TRACK_SPOOL_TELL     60000     /* ms: for the ledger to hear
                                                   that a spool is empty */
#define NGX_HTTP_TRACK_SPOOL_HUNG     5000      /* ms without an answer */
#define NGX_HTTP_TRACK_SPOOL_BUFFER   (64 * 1024 * 1024)    /* unwritten */
#define NGX_HTTP_TRACK_SPOOL_TOPICS   16        /* held back at a time */
#define NGX_HTTP_TRACK_SPOOL_RUNS     16        /* of numbers, of a segment */


typedef struct ngx_http_track_home_s  ngx_http_track_home_t;
typedef struct ngx_http_track_job_s   ngx_http_track_job_t;


/* One after another in a thread of the pool; there are three, so that a
 * disk that hangs takes three threads of it at most. */

struct ngx_http_track_job_s {
    ngx_thread_task_t            task;
    ngx_http_track_spool_t      *spool;
    void                       (*work)(void *data);     /* in the thread */
    void                       (*done)(ngx_http_track_spool_t *spool);
    void                        *data;          /* of work */
    ngx_atomic_t                 finished;      /* written by the thread */
    ngx_msec_t                   began;
    ngx_uint_t                   busy;          /* unsigned  busy:1; */
};


/* Records from index on have the numbers from seq on, up to the next run. */

typedef struct {
    uint32_t                     index;
    uint64_t                     seq;
} ngx_http_track_spool_run_t;


/* a segment of a spool; records are on the disk up to `size` */

struct ngx_http_track_segment_s {
    ngx_queue_t                  queue;         /* in home's segments */
    ngx_http_track_home_t       *home;
    uint32_t                     number;
    int                          fd;            /* to write; -1 */
    off_t                        size;          /* written and synced */
    off_t                        end;           /* appended */
    u_char                      *states;        /* ..._spool_state_e; NULL:
                                                   it is folded */
    uint32_t                     room;          /* of states */
    uint32_t                     n;             /* records appended */
    uint32_t                     written;       /* of those, on the disk */
    uint32_t                     open;          /* neither DONE nor APART */
    uint32_t                     held;          /* of those, HELD */
    uint32_t                     waits;         /* the drain's, on the disk */
    off_t                        cursor;        /* all before it is done */
    uint32_t                     cursor_index;
    uint32_t                     chunks;        /* that point here */
    uint32_t                     mark_from;     /* marks to be written: */
    uint32_t                     mark_to;       /*   [from, to) */
    uint32_t                     round;         /* of marks, the last with it */
    int64_t                      oldest;        /* ms, wall clock; 0: none */
    size_t                       rejected;      /* bytes */
    ngx_http_track_spool_run_t   runs[NGX_HTTP_TRACK_SPOOL_RUNS];
    ngx_uint_t                   nruns;
    uint32_t                     numbered;      /* records that runs cover */
    ngx_msec_t                   unlink_at;     /* again, if stuck */
    unsigned                     ended:1;       /* takes no more records */
    unsigned                     patchy:1;      /* indexes without a record */
    unsigned                     stuck:1;       /* could not be unlinked */
};


/* a spool that this worker owns: its own, or an adopted one */

struct ngx_http_track_home_s {
    ngx_queue_t                  queue;         /* in spool's homes */
    ngx_http_track_spool_dir_t   dir;           /* dir -1: not made yet */
    ngx_http_track_holding_t     holding;
    ngx_queue_t                  segments;      /* in order */
    off_t                        aside;         /* bytes; -1: none */
    uint32_t                    *numbers;       /* of segments to be loaded */
    size_t                       nnumbers;
    size_t                       loaded;        /* of those: tried */
    size_t                       unread;        /* the first so many failed */
    ngx_msec_t                   load_at;       /*   and are tried again */
    ngx_msec_t                   looked_at;     /* whether it is empty */
    ngx_msec_t                   empty_at;      /* since then; 0: it is not */
    unsigned                     unsure:1;      /* whether for our cluster */
    unsigned                     whole:1;       /* all were tried once */
    unsigned                     told:1;        /* to the ledger, at exit */
};


/* records of one segment that are written together */

typedef struct {
    ngx_queue_t                  queue;         /* in spool's chunks */
    ngx_queue_t                  batches;
    ngx_http_track_segment_t    *segment;
    off_t                        offset;
    uint32_t                     first;         /* index */
    uint32_t                     n;
    size_t                       rejected;      /* bytes */
    trk_buf_t                    bytes;
} ngx_http_track_chunk_t;


typedef struct {
    ngx_http_track_job_t         job;
    ngx_http_track_spool_write_t write;
    ngx_http_track_spool_dir_t   dir;           /* made if it is -1 */
    const char                  *path;
    char                         cluster[TRK_SPOOL_CLUSTER_MAX + 1];
    int                          stale;         /* fd to be closed first */
    int                          rc;
    char                         error[NGX_HTTP_TRACK_SPOOL_ERROR];
} ngx_http_track_spool_writer_t;


/* a record that was read to be drained; text of it lies in drain's text */

typedef struct {
    trk_spool_record_t           record;        /* views by offset until */
    size_t                       text;          /*   all is read */
    uint32_t                     lost;          /* DAMAGED: indexes */
    ngx_http_track_outcome_e     outcome;       /* of one that is SENT */
    ngx_uint_t                   topic;         /* likewise */
    unsigned                     refused:8;     /* so often, when alone */
    unsigned                     suspect:1;     /* refused, maybe as part of */
    unsigned                     apart:1;       /*   a batch; to be set aside */
} ngx_http_track_item_t;


typedef enum {
    NGX_HTTP_TRACK_DRAIN_IDLE = 0,      /* nothing waits */
    NGX_HTTP_TRACK_DRAIN_READS,         /* job */
    NGX_HTTP_TRACK_DRAIN_SENDS,         /* reports are due */
    NGX_HTTP_TRACK_DRAIN_ASIDE,         /* job */
    NGX_HTTP_TRACK_DRAIN_PAUSES         /* timer */
} ngx_http_track_drain_e;


typedef struct {
    ngx_http_track_job_t         job;
    ngx_http_track_drain_e       phase;
    ngx_event_t                  timer;
    ngx_event_t                  settled;       /* posted */
    ngx_msec_t                   backoff;       /* 0: all goes well */
    ngx_msec_t                   rest;          /* likewise, of passes */
    ngx_uint_t                   pending;       /* reports */
    ngx_uint_t                   sent;          /* records, last time */
    ngx_uint_t                   suspects;      /* of the piece */
    unsigned                     probe:1;       /* one record at a time */
    unsigned                     cut:1;         /* more of the piece waits */
    unsigned                     failed:1;      /* some of the piece */
    unsigned                     left:1;        /* behind, in this pass */

    /* where it is */
    ngx_http_track_segment_t    *segment;       /* NULL: between passes */
    off_t                        offset;        /* of what was read last */
    uint32_t                     index;

    /* of the job: what to read, or to set aside */
    ngx_http_track_spool_dir_t  *dir;
    uint32_t                     number;
    off_t                        end;           /* read no further: */
    uint32_t                     written;       /*   as many records */
    uint32_t                     folded;        /* marks to be read, too, */
    u_char                      *states;        /*   if so */
    off_t                        next;
    uint32_t                     next_index;
    int                          rc;
    char                         error[NGX_HTTP_TRACK_SPOOL_ERROR];
    trk_buf_t                    text;
    ngx_http_track_item_t       *items;
    size_t                       nitems;
    size_t                       room;
    ngx_http_track_message_t    *messages;      /* nitems */
    trk_spool_record_t          *aside;
    size_t                       naside;
    size_t                       room_aside;

    struct {
        ngx_uint_t               topic;
        ngx_msec_t               until;
    }                            topics[NGX_HTTP_TRACK_SPOOL_TOPICS];
    ngx_uint_t                   ntopics;
    ngx_uint_t                   next_topic;    /* to make room */
    int64_t                      now;           /* ms, for aside.seg */
} ngx_http_track_spool_drain_t;


/* housekeeping: one thing at a time */

typedef struct {
    ngx_http_track_job_t         job;
    ngx_http_track_home_t       *home;
    ngx_http_track_segment_t    *segment;
    uint32_t                     number;
    uint32_t                     from;          /* marks */
    u_char                      *marks;
    size_t                       nmarks;
    int                          fd;            /* to be closed; -1 */
    ngx_http_track_home_t       *found;         /* adopted */
    ngx_http_track_spool_loaded_t  loaded;
    trk_seqset_t                 seqs;          /* of loaded */
    off_t                        usage;
    off_t                        before;        /* the zone's, and whether */
    ngx_uint_t                   known;         /*   that was known */
    char                         cluster[TRK_SPOOL_CLUSTER_MAX + 1];
    int                          rc;
    char                         error[NGX_HTTP_TRACK_SPOOL_ERROR];
    u_char                      *edges;         /* of the path, last scan */
    size_t                       nedges;
    ngx_uint_t                   scanned;       /* there was one, */
    ngx_msec_t                   scanned_at;    /*   begun then */
    ngx_msec_t                   adopt_began;
    u_char                      *seen;          /* of the job's scan */
    size_t                       nseen;
    size_t                       room;

    ngx_uint_t                   step;          /* what the job is at */
    ngx_msec_t                   not_before[8]; /* of each step, */
    uint8_t                      failed[8];     /*   if it failed last */
    ngx_msec_t                   adopt_at;
    ngx_msec_t                   usage_at;
    ngx_event_t                  soon;          /* timer: marks */
    ngx_msec_t                   marked_at;     /* the last round's end */
    ngx_uint_t                   marking;       /* a round is under way */
    uint32_t                     round;
    char                         refused[NGX_HTTP_TRACK_SPOOL_ERROR];
    uint32_t                     said[16];      /* hashes of sentences */
    ngx_uint_t                   nsaid;
} ngx_http_track_spool_keeper_t;


struct ngx_http_track_spool_s {
    ngx_http_track_worker_t     *worker;
    const char                  *path;
    ngx_queue_t                  homes;         /* adopted ones first */
    ngx_http_track_home_t       *own;
    ngx_event_t                  timer;
    ngx_uint_t                   closing;       /* exit_process */

    /* writing */
    ngx_http_track_segment_t    *active;
    uint32_t                     number;        /* of the last segment */
    ngx_queue_t                  chunks;        /* the first may be the job's */
    size_t                       buffered;
    ngx_event_t                  begin;         /* posted */
    ngx_msec_t                   written_at;
    ngx_msec_t                   failing_until; /* if failing */
    ngx_uint_t                   failing;
    ngx_uint_t                   retrying;
    ngx_http_track_mute_t        mute_full;
    ngx_http_track_mute_t        mute_write;

    ngx_http_track_spool_writer_t  writer;
    ngx_http_track_spool_drain_t   drain;
    ngx_http_track_spool_keeper_t  keeper;

    ngx_atomic_t                 beat;          /* of the event loop */
    ngx_uint_t                   hung;          /* a job; it was told */
    ngx_uint_t                   guarded;       /* a guard runs */
};


/* ngx_http_track_spool.c */

/* Hands the job to the pool.  NGX_ERROR: it is busy, or nobody takes it. */
ngx_int_t ngx_http_track_spool_post(ngx_http_track_job_t *job);

/* Runs f(data) in a thread of its own, for at most ms: NGX_OK; NGX_AGAIN: it
 * is still at it, and data must stay. */
ngx_int_t ngx_http_track_spool_within(void (*f)(void *data), void *data,
    ngx_msec_t ms);

#define ngx_http_track_spool_now()                                            \
    ((int64_t) ngx_cached_time->sec * 1000 + (int64_t) ngx_cached_time->msec)


/* ngx_http_track_spool_segment.c */

ngx_http_track_segment_t *ngx_http_track_segment_add(
    ngx_http_track_home_t *home, uint32_t number);
void ngx_http_track_segment_free(ngx_http_track_segment_t *segment);

/* Makes room for n records more.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_track_segment_room(ngx_http_track_segment_t *segment,
    size_t n);

/* The message is its next record; there is room. */
void ngx_http_track_segment_place(ngx_http_track_segment_t *segment,
    ngx_http_track_message_t *m);

/* The number of a record that we appended; 0: not known any more. */
uint64_t ngx_http_track_segment_seq(ngx_http_track_segment_t *segment,
    uint32_t index);

/* A record leaves the drain's hands, and the spool: state DONE or APART. */
void ngx_http_track_spool_close_record(ngx_http_track_segment_t *segment,
    uint32_t index, u_char state, uint64_t seq);

/* Forgets the states of its records, or of all segments, where nobody needs
 * them now. */
void ngx_http_track_segment_fold(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment);
void ngx_http_track_spool_fold(ngx_http_track_spool_t *spool);

/* The marks of its records become their states; owned from now on. */
void ngx_http_track_segment_unfold(ngx_http_track_segment_t *segment,
    u_char *states);


/* ngx_http_track_spool_append.c */

/* As append, for what waits after a failure. */
ngx_int_t ngx_http_track_spool_admit(ngx_http_track_spool_t *spool,
    ngx_http_track_spool_batch_t *batch);

/* Bytes are no longer on the disk, or never came there. */
void ngx_http_track_spool_unreserve(ngx_http_track_spool_t *spool,
    size_t size, size_t rejected);


/* ngx_http_track_spool_write.c */

void ngx_http_track_spool_write_init(ngx_http_track_spool_t *spool);

/* Makes the active segment take no more; it is unlinked when it is done. */
void ngx_http_track_spool_write_end(ngx_http_track_spool_t *spool);


/* ngx_http_track_spool_drain.c */

void ngx_http_track_spool_drain_init(ngx_http_track_spool_t *spool);

/* exit_process: no report comes any more. */
void ngx_http_track_spool_drain_exit(ngx_http_track_spool_t *spool);

/* Something waits; now: Kafka is known to answer, so no pause. */
void ngx_http_track_spool_drain_wake(ngx_http_track_spool_t *spool,
    ngx_uint_t now);


/* Goes on after a piece was dealt with. */
void ngx_http_track_drain_go_on(ngx_http_track_spool_t *spool);


/* ngx_http_track_spool_piece.c */

/* In a thread: reads drain's items. */
void ngx_http_track_drain_read_work(void *data);

/* Whether any record that waits lay where the damage is. */
ngx_uint_t ngx_http_track_drain_lost(ngx_http_track_spool_drain_t *drain,
    ngx_http_track_item_t *item);

/* NGX_OK: a job has begun to set aside what is to be, and will go on. */
ngx_int_t ngx_http_track_drain_aside(ngx_http_track_spool_t *spool);


/* ngx_http_track_spool_keep.c */

void ngx_http_track_spool_keep_init(ngx_http_track_spool_t *spool);

/* Begins what is due, if the job is not busy. */
void ngx_http_track_spool_keep(ngx_http_track_spool_t *spool);

/* The first segment for which f is true. */
ngx_http_track_segment_t *ngx_http_track_spool_find(
    ngx_http_track_spool_t *spool,
    ngx_uint_t (*f)(ngx_http_track_spool_t *spool,
                    ngx_http_track_segment_t *segment));

/* exit_process: marks, and what is empty, for at most ms. */
void ngx_http_track_spool_keep_exit(ngx_http_track_spool_t *spool,
    ngx_msec_t ms);

/* NGX_OK: begun; NGX_ERROR: the pool does not take it. */
ngx_int_t ngx_http_track_spool_start(ngx_http_track_spool_t *spool,
    void (*work)(void *data), void (*done)(ngx_http_track_spool_t *spool));

/* What the job was at has failed: said once, and left for a while. */
void ngx_http_track_spool_keep_failed(ngx_http_track_spool_t *spool);

/* Logs what would be found again at each look. */
void ngx_http_track_spool_say_once(ngx_http_track_spool_t *spool,
    const char *sentence);


/* ngx_http_track_spool_mark.c */

void ngx_http_track_spool_marks_init(ngx_http_track_spool_t *spool);

/* There are marks to be written. */
void ngx_http_track_spool_mark_soon(ngx_http_track_spool_t *spool);

/* NGX_OK: begun; NGX_DECLINED: it is not due. */
ngx_int_t ngx_http_track_spool_marks_begin(ngx_http_track_spool_t *spool);

/* The job's marks are those of [mark_from, mark_from + nmarks). */
void ngx_http_track_spool_marks_take(ngx_http_track_spool_keeper_t *keeper,
    ngx_http_track_segment_t *segment);


/* ngx_http_track_spool_adopt.c */

/* NGX_OK: begun; NGX_DECLINED: it is not due. */
ngx_int_t ngx_http_track_spool_adopt_begin(ngx_http_track_spool_t *spool);

/* Likewise: goes through a segment of an adopted spool. */
ngx_int_t ngx_http_track_spool_load_begin(ngx_http_track_spool_t *spool);

/* Decides of what was adopted before our cluster was known. */
void ngx_http_track_spool_adopt_sure(ngx_http_track_spool_t *spool);

void ngx_http_track_home_free(ngx_http_track_home_t *home);


#endif /* _NGX_HTTP_TRACK_SPOOL_INNER_H_INCLUDED_ */
