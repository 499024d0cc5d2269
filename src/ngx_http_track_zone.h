
/*
 * The zone: what workers share, and what outlives them and reloads.
 *
 * Plain values only, since old and new workers share it at different
 * addresses of everything else.  It is laid out once, from its size, and
 * nothing in it is ever freed:
 *
 *   ngx_http_track_shm_t | live ring | books
 *
 * What is read or written in one word needs no lock; lease, texts and names
 * of series are under shpool->mutex, and every state that a killed holder
 * may leave them in is valid.
 */


#ifndef _NGX_HTTP_TRACK_ZONE_H_INCLUDED_
#define _NGX_HTTP_TRACK_ZONE_H_INCLUDED_


#define NGX_HTTP_TRACK_ZONE_MAGIC   0x74726b7a
#define NGX_HTTP_TRACK_ZONE_LAYOUT  4   /* of the structures below */
#define NGX_HTTP_TRACK_ZONE_SUFFIX  "/track-4"  /* the same number */
#define NGX_HTTP_TRACK_ZONE_LINE    64  /* of the cache */
#define NGX_HTTP_TRACK_SLOTS        1024
#define NGX_HTTP_TRACK_STRIPES      16
#define NGX_HTTP_TRACK_SERIES       1000
#define NGX_HTTP_TRACK_BOOK_SIZE    82112   /* see _ledger.h */
#define NGX_HTTP_TRACK_BOOKS_MIN    4
#define NGX_HTTP_TRACK_BOOKS_MAX    1024
#define NGX_HTTP_TRACK_RING_MIN     16
#define NGX_HTTP_TRACK_RING_MAX     1000
#define NGX_HTTP_TRACK_RING_TEXT    4080


/*
 * What is counted since the zone was made, over reloads and deaths.
 *
 * X(name, metric, labels, help): name in JSON, track_<metric>_total{labels}
 * for Prometheus, whose lines of one metric must stand together and have the
 * same help.  docs/METRICS.md lists them, and a test compares.
 */

#define NGX_HTTP_TRACK_COUNTERS(X)                                            \
    X(requests, "requests", "",                                               \
      "Requests to locations with track or track_pixel")                      \
    X(answers_2xx, "answers", "class=\"2xx\"",                                \
      "Answers to them by class of status")                                   \
    X(answers_4xx, "answers", "class=\"4xx\"",                                \
      "Answers to them by class of status")                                   \
    X(answers_5xx, "answers", "class=\"5xx\"",                                \
      "Answers to them by class of status")                                   \
    X(preflights, "preflights", "",                                           \
      "CORS preflight requests answered")                                     \
    X(clients_gone, "clients_gone", "",                                       \
      "Clients that left before their answer")                                \
    X(body_files, "body_files", "",                                           \
      "Bodies that came by way of a temporary file")                          \
    X(body_gzip, "body_gzip", "",                                             \
      "Bodies that were inflated")                                            \
    X(privacy_signals, "privacy_signals", "",                                 \
      "Requests whose privacy signal was honored")                            \
    X(events_acked, "events_acked", "",                                       \
      "Events, accepted and kept rejected ones, that were acknowledged")      \
    X(events_failed, "events_failed", "",                                     \
      "Events answered with 503: their outcome is open or they are lost")     \
    X(ack_timeouts, "ack_timeouts", "",                                       \
      "Requests that Kafka did not confirm within track_ack_timeout")         \
    X(direct_switches, "direct_switches", "",                                 \
      "Times a worker began to spool without asking Kafka first")             \
    X(kafka_delivered, "kafka_reports", "outcome=\"delivered\"",              \
      "Delivery reports of Kafka's producer by outcome")                      \
    X(kafka_failed, "kafka_reports", "outcome=\"failed\"",                    \
      "Delivery reports of Kafka's producer by outcome")                      \
    X(kafka_refused, "kafka_reports", "outcome=\"refused\"",                  \
      "Delivery reports of Kafka's producer by outcome")                      \
    X(kafka_no_topic, "kafka_reports", "outcome=\"no_topic\"",                \
      "Delivery reports of Kafka's producer by outcome")                      \
    X(late_reports, "late_reports", "",                                       \
      "Delivery reports that came after the answer")                          \
    X(queue_full, "queue_full", "",                                           \
      "Requests that found no room in the producer's queue")                  \
    X(producers, "producers", "",                                             \
      "Producers made, one for each worker and for each fatal error")         \
    X(spool_records, "spool_appended", "",                                    \
      "Records written to the spool")                                         \
    X(spool_written, "spool_written_bytes", "",                               \
      "Bytes written to the spool")                                           \
    X(spool_syncs, "spool_syncs", "",                                         \
      "Syncs of the spool, each for all that waited")                         \
    X(spool_failures, "spool_failures", "",                                   \
      "Writes and syncs of the spool that failed")                            \
    X(spool_full, "spool_full", "",                                           \
      "Records that the spool had no room for")                               \
    X(spool_delivered, "spool_delivered", "",                                 \
      "Records of the spool that Kafka has since")                            \
    X(spool_aside, "spool_aside", "reason=\"refused\"",                       \
      "Records of the spool set aside, for the operator to look at")          \
    X(spool_corrupt, "spool_aside", "reason=\"corrupt\"",                     \
      "Records of the spool set aside, for the operator to look at")          \
    X(spool_adopted, "spool_adopted", "",                                     \
      "Spools taken over from workers that ended")                            \
    X(ledger_beats, "ledger_beats", "",                                       \
      "Beats of the ledger that Kafka has")                                   \
    X(ledger_void, "ledger_events", "outcome=\"void\"",                       \
      "Numbered events that are not safe: never acknowledged, or lost")       \
    X(ledger_lost, "ledger_events", "outcome=\"lost\"",                       \
      "Numbered events that are not safe: never acknowledged, or lost")       \
    X(ledger_merged, "ledger_merged", "",                                     \
      "Ranges of the ledger that were merged for want of room")               \
    X(ledger_full, "ledger_full", "",                                         \
      "Requests refused because too many events were open")                   \
    X(ledger_unbooked, "ledger_unbooked", "",                                 \
      "Workers that found no room for their book")                            \
    X(live_listeners, "live_listeners_accepted", "",                          \
      "Listeners of track_live that were let in")                             \
    X(live_refused, "live_refused", "",                                       \
      "Listeners of track_live that were turned away")                        \
    X(live_skipped, "live_skipped", "",                                       \
      "Verdicts that listeners of track_live were too slow for")              \
    X(schema_changes, "schema_changes", "",                                   \
      "Schemas that came into force")                                         \
    X(schema_failures, "schema_failures", "",                                 \
      "Schemas that could not be read or built")


/* milliseconds; a last bucket takes what is longer */

#define NGX_HTTP_TRACK_ACK_BUCKETS                                            \
    { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000 }
#define NGX_HTTP_TRACK_ACK_NBUCKETS  13


/* of requests answered; by what they were answered for */

typedef struct {
    ngx_atomic_t                 buckets[NGX_HTTP_TRACK_ACK_NBUCKETS + 1];
    ngx_atomic_t                 sum;           /* ms */
} ngx_http_track_histogram_t;


typedef struct {
#define NGX_HTTP_TRACK_COUNTER(name, metric, labels, help)  ngx_atomic_t name;
    NGX_HTTP_TRACK_COUNTERS(NGX_HTTP_TRACK_COUNTER)
#undef NGX_HTTP_TRACK_COUNTER
    ngx_atomic_t                 errors[TRK_ERR_COUNT];
    ngx_http_track_histogram_t   acks[NGX_HTTP_TRACK_ACK_NONE + 1];
    ngx_atomic_t                 series[NGX_HTTP_TRACK_SERIES];
} ngx_http_track_counters_t;


/*
 * Counters stand in stripes, and a worker counts in the one of its slot:
 * with few workers none waits for another's cache line.  A stripe belongs to
 * nobody, so those who die take nothing along; the sum of all is the count.
 */

typedef struct {
    ngx_http_track_counters_t    counters;
    u_char                       pad[NGX_HTTP_TRACK_ZONE_LINE];
} ngx_http_track_stripe_t;


typedef enum {
    NGX_HTTP_TRACK_ACCEPTED = 0,
    NGX_HTTP_TRACK_REJECTED
} ngx_http_track_verdict_e;


/*
 * Whose events a series counts.  len 0: nobody's, and what it has counted
 * belongs to "other", which is the series 0 and 1, one a verdict.
 */

typedef struct {
    ngx_atomic_t                 len;           /* of type */
    uint32_t                     hash;
    uint32_t                     verdict;       /* ngx_http_track_verdict_e */
    u_char                       type[TRK_EVENT_TYPE_MAX];
} ngx_http_track_series_t;


/*
 * A verdict of the live ring.  Whoever writes may be stopped or killed at
 * any instruction, and be a lap behind when it goes on: a reader believes
 * what has the number that it looks for and the checksum.
 */

typedef struct {
    ngx_atomic_t                 number;        /* from 1; 0: being written */
    uint32_t                     checksum;      /* of number, len and text */
    uint32_t                     len;           /* of text */
    u_char                       text[NGX_HTTP_TRACK_RING_TEXT];
} ngx_http_track_ring_t;


/* what the schema thread of the leader, or the producer of a worker, is at */

typedef enum {
    NGX_HTTP_TRACK_CONNECTING = 0,
    NGX_HTTP_TRACK_UP,
    NGX_HTTP_TRACK_DOWN
} ngx_http_track_state_e;


/*
 * One living worker; life 0: free.
 *
 * X(name, metric, help): gauges that each worker sets for itself; the sum
 * over the living ones is shown as track_<metric>.
 */

#define NGX_HTTP_TRACK_GAUGES(X)                                              \
    X(queue, "kafka_queue", "Messages that the producers hold")               \
    X(waiting, "waiting", "Requests that wait for their acknowledgement")     \
    X(direct, "direct", "Workers that spool without asking Kafka first")      \
    X(spool_bytes, "spool_bytes",                                             \
      "Bytes of spooled records that Kafka does not have yet")                \
    X(spool_records, "spool_records",                                         \
      "Spooled records that Kafka does not have yet")                         \
    X(open, "ledger_open", "Numbered events whose outcome is open")           \
    X(listeners, "live_listeners", "Listeners of track_live")

typedef struct {
    ngx_atomic_t                 life;          /* see _life.c */
    ngx_atomic_t                 started;       /* seconds, wall clock */
    ngx_atomic_t                 kafka;         /* ngx_http_track_state_e */
    ngx_atomic_t                 generation;    /* of the image it maps */
    ngx_atomic_t                 spool_oldest;  /* ms, wall clock; 0: none */
    ngx_atomic_t                 spool_rejected;    /* bytes, for the quota */
    u_char                       edge[NGX_HTTP_TRACK_EDGE_LEN];
#define NGX_HTTP_TRACK_GAUGE(name, metric, help)  ngx_atomic_t  name;
    NGX_HTTP_TRACK_GAUGES(NGX_HTTP_TRACK_GAUGE)
#undef NGX_HTTP_TRACK_GAUGE
} ngx_http_track_slot_t;


typedef struct {
    uint32_t                     magic;
    uint32_t                     layout;
    uint32_t                     size;          /* of this structure */
    uint32_t                     path_hash;     /* of track_schema_file */

    /* the image in force, see ngx_http_track_schema.c; 0: none yet */
    ngx_atomic_t                 generation;
    ngx_atomic_t                 published;     /* seconds, wall clock */

    /* who builds the first image of a fresh zone, and until when */
    ngx_atomic_t                 restored;
    ngx_atomic_t                 restore_pid;
    ngx_atomic_t                 restore_until; /* ms, monotonic */

    /* who leads, and until when; under mutex */
    ngx_atomic_t                 lease_epoch;
    ngx_atomic_t                 lease_pid;
    ngx_atomic_t                 lease_until;   /* ms, monotonic */

    /* what the leader's thread last said; under mutex */
    ngx_atomic_t                 postgres;      /* ngx_http_track_state_e */
    char                         postgres_error[NGX_HTTP_TRACK_ERROR_LEN];
    char                         schema_error[NGX_HTTP_TRACK_ERROR_LEN];

    /* bytes of all spools of the path, for its quota: reserved by whoever
     * writes, set right by the leader's scan */
    ngx_atomic_t                 spool_known;       /* it was counted once */
    ngx_atomic_t                 spool_bytes;
    ngx_atomic_t                 spool_rejected;    /* of rejected events */

    /* entries of what follows this structure */
    uint32_t                     nring;
    uint32_t                     nbooks;

    ngx_atomic_t                 ring_head;     /* number of the last one */
    ngx_atomic_t                 ring_life;     /* when the zone was made */

    ngx_http_track_slot_t        slots[NGX_HTTP_TRACK_SLOTS];
    ngx_http_track_series_t      series[NGX_HTTP_TRACK_SERIES];
    ngx_http_track_stripe_t      stripes[NGX_HTTP_TRACK_STRIPES];
} ngx_http_track_shm_t;


/* Counts in this worker's stripe; errors[code] is a name too. */
#define ngx_http_track_count(wk, name, n)                                     \
    (void) ngx_atomic_fetch_add(&(wk)->counters->name, n)


/* ngx_http_track_zone.c */

char *ngx_http_track_zone_add(ngx_conf_t *cf,
    ngx_http_track_main_conf_t *tmcf, ngx_str_t *name, size_t size);
ngx_int_t ngx_http_track_slot_take(ngx_http_track_worker_t *wk);
void ngx_http_track_slot_leave(ngx_http_track_worker_t *wk);

/* What holds verdict n of the live ring, as long as it is the last nring. */
#define ngx_http_track_zone_ring(sh, n)                                       \
    (ngx_http_track_rings(sh) + (n) % (sh)->nring)

#define ngx_http_track_rings(sh)                                              \
    ((ngx_http_track_ring_t *)                                                \
     ngx_align_ptr((sh) + 1, NGX_HTTP_TRACK_ZONE_LINE))

/* Area i < sh->nbooks of the ledger's books: NGX_HTTP_TRACK_BOOK_SIZE bytes,
 * aligned to 64, all zero in a fresh zone. */
#define ngx_http_track_zone_book(sh, i)                                       \
    ((void *) ((u_char *) (ngx_http_track_rings(sh) + (sh)->nring)            \
               + (size_t) (i) * NGX_HTTP_TRACK_BOOK_SIZE))


/* ngx_http_track_life.c */

#define NGX_HTTP_TRACK_PID_BITS  22     /* Linux has no greater process ids */

/* One word for the life of a process: its id, and above it when it was
 * started. */
ngx_atomic_uint_t ngx_http_track_life(ngx_pid_t pid);
ngx_pid_t ngx_http_track_life_pid(ngx_atomic_uint_t life);

/* Whether that process lives. */
ngx_uint_t ngx_http_track_lives(ngx_atomic_uint_t life);

/* Whether any process of that id lives: for words that time makes void. */
ngx_uint_t ngx_http_track_alive(ngx_atomic_uint_t pid);


/* ngx_http_track_count.c */

/* All events of the judged wk->request, by type, verdict and error; image is
 * what they were judged by. */
void ngx_http_track_count_events(ngx_http_track_worker_t *wk,
    const trk_image_t *image);

/* A request answered for what ack says, ms after its events were ready. */
void ngx_http_track_count_ack(ngx_http_track_worker_t *wk,
    ngx_http_track_ack_e ack, ngx_msec_t ms);

/* The counts of all stripes, added up. */
void ngx_http_track_count_sum(ngx_http_track_shm_t *sh,
    ngx_http_track_counters_t *sum);

/* Ends the series of types that the image no longer defines: what they
 * counted goes to "other". */
void ngx_http_track_count_retire(ngx_http_track_worker_t *wk,
    const trk_image_t *image);

/* Forgets which series the types of an unmapped image had. */
void ngx_http_track_count_exit(ngx_http_track_worker_t *wk);


#endif /* _NGX_HTTP_TRACK_ZONE_H_INCLUDED_ */
