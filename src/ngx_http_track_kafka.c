
/*
 * The producer of this worker: all of librdkafka.
 *
 * The library has threads of its own, none of which runs a line of ours:
 * delivery reports, errors and log lines are queued by it and served by
 * rd_kafka_poll() in the event loop, woken by an eventfd.  The wake-up is
 * written only when an empty queue gets something, so whoever leaves some in
 * it, since one round is bounded, posts the event again; a slow timer covers
 * what is lost all the same.
 *
 * A producer is made in init_process, since threads do not survive fork(),
 * and again after a fatal error.  Kafka being away is no error here: events
 * wait in the queue until message.timeout.ms, their requests until
 * track_ack_timeout.
 */


#include "ngx_http_track.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <sys/eventfd.h>


#define NGX_HTTP_TRACK_KAFKA_ROUND    1000      /* reports a round */
#define NGX_HTTP_TRACK_KAFKA_TIMER    1000      /* ms */
#define NGX_HTTP_TRACK_KAFKA_DRAIN    10000     /* ms, of a graceful exit */
#define NGX_HTTP_TRACK_KAFKA_FLUSH    700       /* ms, of a fast exit */
#define NGX_HTTP_TRACK_KAFKA_BACKOFF  30000     /* ms, at most */
#define NGX_HTTP_TRACK_KAFKA_FRAME    512       /* bytes around a record */

#define NGX_HTTP_TRACK_KAFKA_IDEMPOTENT  0x020500ff /* safe from 2.5 on */


struct ngx_http_track_kafka_s {
    rd_kafka_t                  *rk;            /* NULL: between two lives */
    rd_kafka_queue_t            *queue;
    rd_kafka_topic_t           **topics;
    rd_kafka_message_t          *messages;      /* of one batch */

    ngx_connection_t            *connection;    /* of the eventfd */
    ngx_event_t                  timer;

    ngx_uint_t                   pending;       /* without a report */
    size_t                       bytes;         /* of those */
    ngx_uint_t                   max_pending;   /* 0: of bytes alone */
    size_t                       max_bytes;
    ngx_uint_t                   served;        /* in this round */

    ngx_msec_t                   retry_at;      /* next life */
    ngx_msec_t                   backoff;
    ngx_msec_t                   drain_until;   /* 0: not exiting */
    ngx_uint_t                   fatal;         /* unsigned  fatal:1; */

    ngx_http_track_mute_t        mute_report;
    ngx_http_track_mute_t        mute_error;
    ngx_http_track_mute_t        mute_log;
    ngx_http_track_mute_t        mute_full;
};


static rd_kafka_conf_t *ngx_http_track_kafka_conf(
    ngx_http_track_main_conf_t *tmcf, char *error);
static ngx_int_t ngx_http_track_kafka_set(void *conf, const char *name,
    const char *value, char *error);
static size_t ngx_http_track_kafka_number(rd_kafka_conf_t *conf,
    const char *name);
static void ngx_http_track_kafka_limits(ngx_http_track_worker_t *wk,
    rd_kafka_conf_t *conf);
static ngx_int_t ngx_http_track_kafka_start(ngx_http_track_worker_t *wk);
static ngx_int_t ngx_http_track_kafka_start_topics(
    ngx_http_track_worker_t *wk);
static void ngx_http_track_kafka_let_go(ngx_http_track_worker_t *wk);
static void ngx_http_track_kafka_restart(ngx_http_track_worker_t *wk);
static void *ngx_http_track_kafka_destroy(void *data);
static void ngx_http_track_kafka_handler(ngx_event_t *rev);
static void ngx_http_track_kafka_timer_handler(ngx_event_t *ev);
static void ngx_http_track_kafka_serve(ngx_http_track_worker_t *wk);
static void ngx_http_track_kafka_gauge(ngx_http_track_worker_t *wk);
static void ngx_http_track_kafka_not_taken(ngx_http_track_worker_t *wk,
    rd_kafka_topic_t *topic, rd_kafka_resp_err_t err);
static ngx_int_t ngx_http_track_kafka_room(ngx_http_track_worker_t *wk,
    size_t n);
static void ngx_http_track_kafka_report_cb(rd_kafka_t *rk,
    const rd_kafka_message_t *message, void *opaque);
static void ngx_http_track_kafka_error_cb(rd_kafka_t *rk, int err,
    const char *reason, void *opaque);
static void ngx_http_track_kafka_log_cb(const rd_kafka_t *rk, int level,
    const char *fac, const char *buf);


ngx_int_t
ngx_http_track_kafka_check_property(ngx_keyval_t *property, char *error)
{
    ngx_int_t         rc;
    rd_kafka_conf_t  *conf;

    if (ngx_http_track_property_refused(property, error)) {
        return NGX_ERROR;
    }

    conf = rd_kafka_conf_new();

    rc = ngx_http_track_kafka_set(conf, (char *) property->key.data,
                                  (char *) property->value.data, error);
    rd_kafka_conf_destroy(conf);

    return rc;
}


ngx_int_t
ngx_http_track_kafka_check(ngx_http_track_main_conf_t *tmcf, char *error)
{
    size_t            timeout;
    rd_kafka_conf_t  *conf;

    conf = ngx_http_track_kafka_conf(tmcf, error);
    if (conf == NULL) {
        return NGX_ERROR;
    }

    timeout = ngx_http_track_kafka_number(conf, "message.timeout.ms");

    rd_kafka_conf_destroy(conf);

    /* 0: for ever */

    if (timeout != 0 && timeout <= tmcf->max_ack_timeout) {
        ngx_http_track_say(error, "\"message.timeout.ms\" of "
                           "track_kafka_property (%zu) must exceed every "
                           "track_ack_timeout (%lu ms)", timeout,
                           (unsigned long) tmcf->max_ack_timeout);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static rd_kafka_conf_t *
ngx_http_track_kafka_conf(ngx_http_track_main_conf_t *tmcf, char *error)
{
    rd_kafka_conf_t  *conf;

    conf = rd_kafka_conf_new();

    /* before that version its own errors could end the producer */

    if (((unsigned) rd_kafka_version() < NGX_HTTP_TRACK_KAFKA_IDEMPOTENT
         || ngx_http_track_kafka_set(conf, "enable.idempotence", "true",
                                     error)
            == NGX_OK)
        && ngx_http_track_properties(tmcf, ngx_http_track_kafka_set, conf,
                                     error)
           == NGX_OK)
    {
        return conf;
    }

    rd_kafka_conf_destroy(conf);

    return NULL;
}


static ngx_int_t
ngx_http_track_kafka_set(void *conf, const char *name, const char *value,
    char *error)
{
    char  reason[NGX_HTTP_TRACK_ERROR_LEN];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason))
        != RD_KAFKA_CONF_OK)
    {
        ngx_http_track_say(error, "is refused by librdkafka %s: %s",
                           rd_kafka_version_str(), reason);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static size_t
ngx_http_track_kafka_number(rd_kafka_conf_t *conf, const char *name)
{
    char     value[64];
    size_t   size;
    ssize_t  number;

    size = sizeof(value);

    if (rd_kafka_conf_get(conf, name, value, &size) != RD_KAFKA_CONF_OK) {
        return 0;
    }

    number = ngx_atosz((u_char *) value, ngx_strlen(value));

    return number == NGX_ERROR ? 0 : (size_t) number;
}


ngx_int_t
ngx_http_track_kafka_init(ngx_http_track_worker_t *wk)
{
    int                      fd;
    ngx_http_track_kafka_t  *k;

    k = ngx_calloc(sizeof(ngx_http_track_kafka_t), wk->log);
    if (k == NULL) {
        return NGX_ERROR;
    }

    wk->kafka = k;

    k->topics = ngx_calloc(wk->conf->topics.nelts
                           * sizeof(rd_kafka_topic_t *), wk->log);
    k->messages = ngx_calloc(wk->conf->max_events
                             * sizeof(rd_kafka_message_t), wk->log);

    if (k->topics == NULL || k->messages == NULL) {
        return NGX_ERROR;
    }

    /* librdkafka writes to it under a lock: never blocking */

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, wk->log, ngx_errno, "eventfd() failed");
        return NGX_ERROR;
    }

    k->connection = ngx_http_track_watch(fd, ngx_http_track_kafka_handler, wk,
                                         wk->log);
    if (k->connection == NULL) {
        return NGX_ERROR;
    }

    k->timer.handler = ngx_http_track_kafka_timer_handler;
    k->timer.data = k->connection;
    k->timer.log = wk->log;
    k->timer.cancelable = 1;

    (void) ngx_http_track_kafka_start(wk);

    ngx_add_timer(&k->timer, NGX_HTTP_TRACK_KAFKA_TIMER);

    return NGX_OK;
}


/* A new life of the producer; without success, a time for the next try. */

static ngx_int_t
ngx_http_track_kafka_start(ngx_http_track_worker_t *wk)
{
    char                     error[NGX_HTTP_TRACK_ERROR_LEN];
    static const uint64_t    one = 1;
    rd_kafka_conf_t         *conf;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;
    k->backoff = ngx_min(ngx_max(k->backoff * 2, NGX_HTTP_TRACK_KAFKA_TIMER),
                         NGX_HTTP_TRACK_KAFKA_BACKOFF);
    k->retry_at = ngx_current_msec + k->backoff;

    conf = ngx_http_track_kafka_conf(wk->conf, error);

    if (conf) {
        rd_kafka_conf_set_opaque(conf, wk);
        rd_kafka_conf_set_dr_msg_cb(conf, ngx_http_track_kafka_report_cb);
        rd_kafka_conf_set_error_cb(conf, ngx_http_track_kafka_error_cb);
        rd_kafka_conf_set_log_cb(conf, ngx_http_track_kafka_log_cb);

        ngx_http_track_kafka_limits(wk, conf);

        k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));

        if (k->rk == NULL) {
            rd_kafka_conf_destroy(conf);
        }
    }

    if (k->rk == NULL) {
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: no Kafka producer, all events are refused; "
                      "next try in %M ms: %s", k->backoff, error);
        return NGX_ERROR;
    }

    (void) rd_kafka_set_log_queue(k->rk, NULL);

    k->queue = rd_kafka_queue_get_main(k->rk);

    if (ngx_http_track_kafka_start_topics(wk) != NGX_OK) {
        ngx_http_track_kafka_let_go(wk);
        rd_kafka_destroy(k->rk);
        k->rk = NULL;
        return NGX_ERROR;
    }

    k->fatal = 0;
    wk->slot->kafka = NGX_HTTP_TRACK_CONNECTING;

    rd_kafka_queue_io_event_enable(k->queue, k->connection->fd, &one,
                                   sizeof(one));

    /* what was queued before raised no event */

    ngx_post_event(k->connection->read, &ngx_posted_events);

    return NGX_OK;
}


static void
ngx_http_track_kafka_limits(ngx_http_track_worker_t *wk,
    rd_kafka_conf_t *conf)
{
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    k->max_pending = ngx_http_track_kafka_number(conf,
                                             "queue.buffering.max.messages");
    k->max_bytes = ngx_http_track_kafka_number(conf,
                                         "queue.buffering.max.kbytes") * 1024;
    wk->max_records = k->max_bytes;
    wk->max_record = ngx_http_track_kafka_number(conf, "message.max.bytes")
                     - NGX_HTTP_TRACK_KAFKA_FRAME;
}


static ngx_int_t
ngx_http_track_kafka_start_topics(ngx_http_track_worker_t *wk)
{
    ngx_str_t               *name;
    ngx_uint_t               i;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;
    name = wk->conf->topics.elts;

    for (i = 0; i < wk->conf->topics.nelts; i++) {
        k->topics[i] = rd_kafka_topic_new(k->rk, (char *) name[i].data, NULL);

        if (k->topics[i] == NULL) {
            ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                          "track: topic \"%V\" cannot be used: %s", &name[i],
                          rd_kafka_err2str(rd_kafka_last_error()));
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Of what holds a producer, which must be gone before it is destroyed. */

static void
ngx_http_track_kafka_let_go(ngx_http_track_worker_t *wk)
{
    ngx_uint_t               i;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    rd_kafka_queue_destroy(k->queue);

    for (i = 0; i < wk->conf->topics.nelts; i++) {
        if (k->topics[i]) {
            rd_kafka_topic_destroy(k->topics[i]);
            k->topics[i] = NULL;
        }
    }
}


ngx_int_t
ngx_http_track_kafka_hand_over(ngx_http_track_worker_t *wk, ngx_uint_t topic,
    size_t n, ngx_http_track_wait_t *w, ngx_uint_t *failed)
{
    size_t                     i;
    rd_kafka_message_t        *message;
    rd_kafka_resp_err_t        err;
    ngx_http_track_kafka_t    *k;
    ngx_http_track_message_t  *m;

    k = wk->kafka;

    if (ngx_http_track_kafka_room(wk, n) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_memzero(k->messages, n * sizeof(rd_kafka_message_t));

    for (i = 0; i < n; i++) {
        m = &wk->messages[i];
        message = &k->messages[i];

        message->key = m->key;
        message->key_len = m->key_len;
        message->payload = m->value;
        message->len = m->value_len;
        message->_private = w;
    }

    (void) rd_kafka_produce_batch(k->topics[topic], RD_KAFKA_PARTITION_UA,
                                  RD_KAFKA_MSG_F_COPY, k->messages, (int) n);
    *failed = 0;
    err = RD_KAFKA_RESP_ERR_NO_ERROR;

    for (i = 0; i < n; i++) {
        message = &k->messages[i];

        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            (*failed)++;
            err = message->err;
            continue;
        }

        k->pending++;
        k->bytes += message->len + message->key_len;
    }

    if (*failed) {
        ngx_http_track_kafka_not_taken(wk, k->topics[topic], err);
    }

    ngx_http_track_kafka_gauge(wk);

    return NGX_OK;
}


static void
ngx_http_track_kafka_not_taken(ngx_http_track_worker_t *wk,
    rd_kafka_topic_t *topic, rd_kafka_resp_err_t err)
{
    ngx_uint_t  muted;

    if (ngx_http_track_unmute(&wk->kafka->mute_report, &muted)) {
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: Kafka did not take an event for topic "
                      "\"%s\": %s%s (%ui more of this line)",
                      rd_kafka_topic_name(topic), rd_kafka_err2str(err),
                      err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
                      || err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                      ? ": make it (track-loader migrate)" : "", muted);
    }
}


/* For the whole batch: half of it would be written if the queue were full. */

static ngx_int_t
ngx_http_track_kafka_room(ngx_http_track_worker_t *wk, size_t n)
{
    size_t                   i, bytes;
    ngx_uint_t               muted;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (k->rk == NULL || k->fatal) {
        return NGX_DECLINED;
    }

    bytes = 0;

    for (i = 0; i < n; i++) {
        bytes += wk->messages[i].key_len + wk->messages[i].value_len;
    }

    if ((k->max_pending && k->pending + n > k->max_pending)
        || k->bytes + bytes > k->max_bytes)
    {
        ngx_http_track_count(wk, queue_full, 1);

        if (ngx_http_track_unmute(&k->mute_full, &muted)) {
            ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                          "track: the queue to Kafka is full (%ui events, "
                          "%uz bytes), events are refused (%ui more of this "
                          "line)", k->pending, k->bytes, muted);
        }

        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_track_kafka_handler(ngx_event_t *rev)
{
    uint64_t                  n;
    ngx_connection_t         *c;
    ngx_http_track_worker_t  *wk;

    c = rev->data;
    wk = c->data;

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ERR, wk->log, ngx_errno,
                      "track: read() of eventfd failed");
    }

    ngx_http_track_kafka_serve(wk);
}


/*
 * While reports are due the timer keeps a graceful exit waiting, so that
 * they come through the event loop; once none is, it lets the worker go.
 */

static void
ngx_http_track_kafka_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_http_track_kafka_t   *k;
    ngx_http_track_worker_t  *wk;

    c = ev->data;
    wk = c->data;
    k = wk->kafka;

    ngx_http_track_kafka_serve(wk);

    if (k->rk == NULL || k->fatal) {
        ngx_http_track_kafka_restart(wk);
    }

    /* an exiting worker may still produce, for a body that comes slowly */

    if (!ngx_exiting || k->pending == 0) {
        k->drain_until = 0;

    } else if (k->drain_until == 0) {
        k->drain_until = ngx_current_msec + NGX_HTTP_TRACK_KAFKA_DRAIN;

    } else if ((ngx_msec_int_t) (k->drain_until - ngx_current_msec) <= 0) {
        return;
    }

    ngx_add_timer(&k->timer, NGX_HTTP_TRACK_KAFKA_TIMER);
}


static void
ngx_http_track_kafka_serve(ngx_http_track_worker_t *wk)
{
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (k->rk == NULL) {
        return;
    }

    k->served = 0;

    (void) rd_kafka_poll(k->rk, 0);

    if (k->served >= NGX_HTTP_TRACK_KAFKA_ROUND) {
        ngx_post_event(k->connection->read, &ngx_posted_next_events);
    }

    ngx_http_track_kafka_gauge(wk);
    ngx_http_track_wait_finish(wk);
}


static void
ngx_http_track_kafka_gauge(ngx_http_track_worker_t *wk)
{
    wk->slot->queue = wk->kafka->pending;
    wk->kafka->timer.cancelable = (wk->kafka->pending == 0);
}


/*
 * A fatal error ends a producer: all later calls fail, what is queued is
 * purged, what is on its way is still reported.  Then a new one is made.
 * Destroying the old one joins its threads, which may sit in a name server's
 * silence, so that is left to a thread.
 */

static void
ngx_http_track_kafka_restart(ngx_http_track_worker_t *wk)
{
    pthread_t                tid;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (ngx_exiting
        || (ngx_msec_int_t) (k->retry_at - ngx_current_msec) > 0)
    {
        return;
    }

    if (k->rk) {
        (void) rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE
                                     |RD_KAFKA_PURGE_F_INFLIGHT
                                     |RD_KAFKA_PURGE_F_NON_BLOCKING);

        if (k->pending) {
            return;
        }

        rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
        ngx_http_track_kafka_let_go(wk);

        if (pthread_create(&tid, NULL, ngx_http_track_kafka_destroy, k->rk)
            == 0)
        {
            (void) pthread_detach(tid);
        }

        k->rk = NULL;
    }

    if (ngx_http_track_kafka_start(wk) == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, wk->log, 0,
                      "track: a new Kafka producer was made");
    }
}


static void *
ngx_http_track_kafka_destroy(void *data)
{
    sigset_t  set;

    sigfillset(&set);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL);

    rd_kafka_destroy(data);

    return NULL;
}


/*
 * No event is served any more, so nobody is answered here; what is queued
 * was not acknowledged, and gets what time there is.  A graceful exit has
 * drained already.  Destroying the producer joins threads; with Kafka away
 * that may last, and the process ends anyway.
 */

void
ngx_http_track_kafka_exit(ngx_http_track_worker_t *wk)
{
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (k->rk) {
        rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);

        if (k->pending) {
            (void) rd_kafka_flush(k->rk, ngx_terminate
                                         ? NGX_HTTP_TRACK_KAFKA_FLUSH : 0);
        }

        if (k->pending) {
            ngx_log_error(NGX_LOG_WARN, wk->log, 0,
                          "track: %ui events were not delivered to Kafka, "
                          "none of them was acknowledged", k->pending);
        }
    }

    ngx_close_connection(k->connection);

    if (k->rk) {
        if (k->pending || wk->slot->kafka == NGX_HTTP_TRACK_DOWN) {
            return;
        }

        ngx_http_track_kafka_let_go(wk);
        rd_kafka_destroy(k->rk);
    }

    ngx_free(k->messages);
    ngx_free(k->topics);
    ngx_free(k);

    wk->kafka = NULL;
}


/* locality: the event loop, inside rd_kafka_poll() */

static void
ngx_http_track_kafka_report_cb(rd_kafka_t *rk,
    const rd_kafka_message_t *message, void *opaque)
{
    ngx_uint_t                ok;
    ngx_http_track_kafka_t   *k;
    ngx_http_track_worker_t  *wk;

    wk = opaque;
    k = wk->kafka;

    k->pending--;
    k->bytes -= message->len + message->key_len;

    ok = (message->err == RD_KAFKA_RESP_ERR_NO_ERROR);

    if (ok) {
        k->backoff = 0;
        wk->slot->kafka = NGX_HTTP_TRACK_UP;
        ngx_http_track_count(wk, events_acked, 1);

    } else {
        ngx_http_track_count(wk, events_failed, 1);
        ngx_http_track_kafka_not_taken(wk, message->rkt, message->err);
    }

    ngx_http_track_wait_report(message->_private, ok);

    /* a terminated worker's flush would end at a yield */

    if (++k->served >= NGX_HTTP_TRACK_KAFKA_ROUND && !ngx_terminate) {
        rd_kafka_yield(rk);
    }
}


/* locality: the event loop, inside rd_kafka_poll() */

static void
ngx_http_track_kafka_error_cb(rd_kafka_t *rk, int err, const char *reason,
    void *opaque)
{
    char                      text[NGX_HTTP_TRACK_ERROR_LEN];
    ngx_uint_t                muted;
    ngx_http_track_kafka_t   *k;
    ngx_http_track_worker_t  *wk;

    wk = opaque;
    k = wk->kafka;

    if (err == RD_KAFKA_RESP_ERR__FATAL) {
        (void) rd_kafka_fatal_error(rk, text, sizeof(text));

        k->fatal = 1;
        k->retry_at = ngx_current_msec + ngx_max(k->backoff,
                                                 NGX_HTTP_TRACK_KAFKA_TIMER);
        wk->slot->kafka = NGX_HTTP_TRACK_DOWN;

        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: the Kafka producer is broken and will be "
                      "replaced: %s", text);
        return;
    }

    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        wk->slot->kafka = NGX_HTTP_TRACK_DOWN;
    }

    if (ngx_http_track_unmute(&k->mute_error, &muted)) {
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: Kafka: %s (%ui more of this line)", reason,
                      muted);
    }
}


/* locality: the event loop, inside rd_kafka_poll(), by log.queue */

static void
ngx_http_track_kafka_log_cb(const rd_kafka_t *rk, int level, const char *fac,
    const char *buf)
{
    ngx_uint_t                muted, nginx_level;
    ngx_http_track_worker_t  *wk;

    wk = rd_kafka_opaque(rk);

    /* syslog's levels are nginx's but for one; nothing of theirs is alert */

    nginx_level = ngx_max((ngx_uint_t) level + 1, NGX_LOG_ERR);

    if (nginx_level <= NGX_LOG_WARN) {
        if (!ngx_http_track_unmute(&wk->kafka->mute_log, &muted)) {
            return;
        }
    }

    ngx_log_error(nginx_level, wk->log, 0, "track: librdkafka %s: %s", fac,
                  buf);
}
