
/*
 * What _kafka, the life of the producer in the event loop, and _rdkafka, all
 * of librdkafka, know of it.  The library's types are only named here.
 */


#ifndef _NGX_HTTP_TRACK_KAFKA_H_INCLUDED_
#define _NGX_HTTP_TRACK_KAFKA_H_INCLUDED_


#define NGX_HTTP_TRACK_KAFKA_ROUND    1000      /* reports a round */
#define NGX_HTTP_TRACK_KAFKA_TIMER    1000      /* ms */


typedef struct {
    ngx_str_t                    name;          /* NUL-terminated */
    struct rd_kafka_topic_s     *handle;        /* NULL: no producer */

    size_t                       proven;        /* bytes of the largest record
                                                   that the cluster took */
    size_t                       large;         /* of those it refuses now */
    ngx_uint_t                   asked;         /* whether it exists */
} ngx_http_track_topic_t;


struct ngx_http_track_kafka_s {
    struct rd_kafka_s           *rk;            /* NULL: between two lives */
    struct rd_kafka_queue_s     *queue;
    struct rd_kafka_message_s   *batch;         /* max_batch of them */
    ngx_http_track_worker_t     *worker;

    ngx_http_track_topic_t     **topics;        /* by number */
    ngx_uint_t                   ntopics;
    char                        *cluster;       /* its id; NULL: not known */

    ngx_connection_t            *connection;    /* of the eventfd */
    ngx_event_t                  timer;

    /* messages that the library did not take, to be reported */
    ngx_http_track_message_t    *refused;
    ngx_http_track_message_t   **last;
    ngx_http_track_message_t    *large;         /* see kafka_large() */

    ngx_uint_t                   pending;       /* without a report */
    size_t                       bytes;         /* of those */
    ngx_uint_t                   probes;        /* questions under way */
    ngx_uint_t                   max_pending;   /* 0: of bytes alone */
    size_t                       max_bytes;
    size_t                       max_batch;
    ngx_uint_t                   served;        /* in this round, */
    ngx_uint_t                   delivered;     /* of those */

    ngx_msec_t                   retry_at;      /* next life */
    ngx_msec_t                   backoff;
    ngx_msec_t                   drain_until;   /* 0: not exiting */
    unsigned                     fatal:1;
    unsigned                     let_go:1;      /* a drain took too long */
    unsigned                     leaving:1;     /* exit_process */

    ngx_http_track_mute_t        mute_report;
    ngx_http_track_mute_t        mute_error;
    ngx_http_track_mute_t        mute_log;
    ngx_http_track_mute_t        mute_full;
};


/* ngx_http_track_rdkafka.c */

/* A producer, awake, its events announced by `fd`; with its limits.
 * NGX_ERROR: error has a sentence. */
ngx_int_t ngx_http_track_rdkafka_open(ngx_http_track_worker_t *wk, int fd,
    char *error);

/* Lets go of all that holds the producer, which the caller then destroys:
 * that joins threads, and may last. */
struct rd_kafka_s *ngx_http_track_rdkafka_release(ngx_http_track_kafka_t *k);
void ngx_http_track_rdkafka_destroy(struct rd_kafka_s *rk);

/* A handle for a topic of this producer.  NGX_ERROR: error. */
ngx_int_t ngx_http_track_rdkafka_topic(ngx_http_track_kafka_t *k,
    ngx_http_track_topic_t *topic, char *error);

/* Asks whether the topic exists; the answer is a log line, if it does not. */
void ngx_http_track_rdkafka_ask(ngx_http_track_kafka_t *k,
    ngx_http_track_topic_t *topic);

/* Hands over n <= max_batch messages of one topic, for which there is room.
 * What is not taken is refused(). */
void ngx_http_track_rdkafka_produce(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *messages, size_t n);

/* Serves reports: at most a round of them, or, blocking, for ms. */
void ngx_http_track_rdkafka_poll(ngx_http_track_kafka_t *k);
void ngx_http_track_rdkafka_flush(ngx_http_track_kafka_t *k, ngx_msec_t ms);

/* Reports all that is queued or on its way as failed. */
void ngx_http_track_rdkafka_purge(ngx_http_track_kafka_t *k);

/* The cluster's id into k->cluster, if it is known now. */
void ngx_http_track_rdkafka_cluster(ngx_http_track_kafka_t *k);


/* No more wake-ups: the descriptor is about to be closed. */
void ngx_http_track_rdkafka_silence(ngx_http_track_kafka_t *k);


/* ngx_http_track_kafka_report.c */

/* Calls the handlers of what was refused(). */
void ngx_http_track_kafka_report_refused(ngx_http_track_kafka_t *k);

/* The library did not take m: its handler is to be called. */
void ngx_http_track_kafka_refused(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m, ngx_http_track_outcome_e outcome,
    const char *why);

/* Kafka finds it, or the batch that it was in, too large.  Who is to blame is
 * seen when the round is over. */
void ngx_http_track_kafka_large(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m);
void ngx_http_track_kafka_report_large(ngx_http_track_kafka_t *k);

/* One report, in the library's poll; why: its words, if it is a bad one. */
void ngx_http_track_kafka_report(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m, ngx_http_track_outcome_e outcome,
    const char *why);

/* The answer to rdkafka_ask(). */
void ngx_http_track_kafka_missing(ngx_http_track_kafka_t *k,
    ngx_http_track_topic_t *topic, const char *why);

/* The producer is broken, or says something. */
void ngx_http_track_kafka_fatal(ngx_http_track_kafka_t *k, const char *why);
void ngx_http_track_kafka_error(ngx_http_track_kafka_t *k, ngx_uint_t down,
    const char *why);
void ngx_http_track_kafka_log(ngx_http_track_kafka_t *k, int level,
    const char *facility, const char *text);


#endif /* _NGX_HTTP_TRACK_KAFKA_H_INCLUDED_ */
