
/*
 * The life of this worker's producer, in the event loop.  The library itself
 * is in _rdkafka.
 *
 * Reports wake the loop by an eventfd.  The wake-up is written only when an
 * empty queue gets something, so whoever leaves some in it, since one round
 * is bounded, posts the event again; a slow timer covers what is lost all
 * the same.
 *
 * A producer is made in init_process, since threads do not survive fork(),
 * and again after a fatal error.  Kafka being away is no error here: messages
 * wait in the queue until message.timeout.ms.
 */


#include "ngx_http_track.h"
#include "ngx_http_track_kafka.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>


#define NGX_HTTP_TRACK_KAFKA_DRAIN    10000     /* ms, of a graceful exit */
#define NGX_HTTP_TRACK_KAFKA_FLUSH    100       /* ms, after the last sync */
#define NGX_HTTP_TRACK_KAFKA_BACKOFF  30000     /* ms, at most */
#define NGX_HTTP_TRACK_KAFKA_TOPICS   256       /* of configuration and spool */

#define NGX_HTTP_TRACK_KAFKA_MMAP     (4 * 1024 * 1024)
#define NGX_HTTP_TRACK_KAFKA_TRIM     (32 * 1024 * 1024)
#define NGX_HTTP_TRACK_KAFKA_PAD      (1024 * 1024)


static void ngx_http_track_kafka_malloc(void);
static ngx_int_t ngx_http_track_kafka_start(ngx_http_track_worker_t *wk);
static ngx_int_t ngx_http_track_kafka_topic_add(ngx_http_track_worker_t *wk,
    ngx_str_t *name);
static ngx_int_t ngx_http_track_kafka_room(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *messages, size_t n);
static void ngx_http_track_kafka_run(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *messages, size_t n);
static void ngx_http_track_kafka_handler(ngx_event_t *rev);
static void ngx_http_track_kafka_timer_handler(ngx_event_t *ev);
static void ngx_http_track_kafka_drain(ngx_http_track_worker_t *wk);
static void ngx_http_track_kafka_serve(ngx_http_track_worker_t *wk);
static void ngx_http_track_kafka_count(ngx_http_track_kafka_t *k);
static void ngx_http_track_kafka_gauge(ngx_http_track_kafka_t *k);
static void ngx_http_track_kafka_restart(ngx_http_track_worker_t *wk);
static void *ngx_http_track_kafka_destroy(void *data);


ngx_int_t
ngx_http_track_kafka_init(ngx_http_track_worker_t *wk)
{
    int                      fd;
    ngx_str_t               *name;
    ngx_uint_t               i;
    ngx_http_track_kafka_t  *k;

    k = ngx_calloc(sizeof(ngx_http_track_kafka_t), wk->log);
    if (k == NULL) {
        return NGX_ERROR;
    }

    wk->kafka = k;

    k->worker = wk;
    k->last = &k->refused;
    k->topics = ngx_calloc(NGX_HTTP_TRACK_KAFKA_TOPICS
                           * sizeof(ngx_http_track_topic_t *), wk->log);
    if (k->topics == NULL) {
        return NGX_ERROR;
    }

    name = wk->conf->topics.elts;

    for (i = 0; i < wk->conf->topics.nelts; i++) {
        if (ngx_http_track_kafka_topic_add(wk, &name[i]) == NGX_ERROR) {
            return NGX_ERROR;
        }
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

    ngx_http_track_kafka_malloc();

    (void) ngx_http_track_kafka_start(wk);

    ngx_add_timer(&k->timer, NGX_HTTP_TRACK_KAFKA_TIMER);

    return NGX_OK;
}


/* The library's buffer of a batch is about a megabyte, which by default is
 * mapped and unmapped each time: 0.4 us an event in batches. */

static void
ngx_http_track_kafka_malloc(void)
{
#ifdef __GLIBC__
    (void) mallopt(M_MMAP_THRESHOLD, NGX_HTTP_TRACK_KAFKA_MMAP);
    (void) mallopt(M_TRIM_THRESHOLD, NGX_HTTP_TRACK_KAFKA_TRIM);
    (void) mallopt(M_TOP_PAD, NGX_HTTP_TRACK_KAFKA_PAD);
#endif
}


/* A new life of the producer; without success, a time for the next try. */

static ngx_int_t
ngx_http_track_kafka_start(ngx_http_track_worker_t *wk)
{
    char                     error[NGX_HTTP_TRACK_ERROR_LEN];
    ngx_uint_t               i;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;
    k->backoff = ngx_min(ngx_max(k->backoff * 2, NGX_HTTP_TRACK_KAFKA_TIMER),
                         NGX_HTTP_TRACK_KAFKA_BACKOFF);
    k->retry_at = ngx_current_msec + k->backoff;

    if (ngx_http_track_rdkafka_open(wk, k->connection->fd, error) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: no Kafka producer; next try in %M ms: %s",
                      k->backoff, error);
        return NGX_ERROR;
    }

    for (i = 0; i < k->ntopics; i++) {
        if (ngx_http_track_rdkafka_topic(k, k->topics[i], error) != NGX_OK) {
            ngx_log_error(NGX_LOG_ERR, wk->log, 0, "track: %s", error);
            continue;
        }

        if (i < wk->conf->topics.nelts) {
            ngx_http_track_rdkafka_ask(k, k->topics[i]);
        }
    }

    k->fatal = 0;
    wk->slot->kafka = NGX_HTTP_TRACK_CONNECTING;
    ngx_http_track_count(wk, producers, 1);

    /* what was queued before raised no event */

    ngx_post_event(k->connection->read, &ngx_posted_events);

    return NGX_OK;
}


ngx_int_t
ngx_http_track_kafka_topic(ngx_http_track_worker_t *wk, ngx_str_t *name)
{
    char                     error[NGX_HTTP_TRACK_ERROR_LEN];
    ngx_int_t                n;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;
    n = ngx_http_track_kafka_topic_add(wk, name);

    if (n == NGX_ERROR || k->rk == NULL) {
        return NGX_ERROR;
    }

    if (k->topics[n]->handle == NULL
        && ngx_http_track_rdkafka_topic(k, k->topics[n], error) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return n;
}


/* The number of the topic, which is kept for good.  NGX_ERROR: no room. */

static ngx_int_t
ngx_http_track_kafka_topic_add(ngx_http_track_worker_t *wk, ngx_str_t *name)
{
    ngx_uint_t               i;
    ngx_http_track_topic_t  *topic;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    for (i = 0; i < k->ntopics; i++) {
        topic = k->topics[i];

        if (topic->name.len == name->len
            && ngx_memcmp(topic->name.data, name->data, name->len) == 0)
        {
            return (ngx_int_t) i;
        }
    }

    if (k->ntopics == NGX_HTTP_TRACK_KAFKA_TOPICS) {
        return NGX_ERROR;
    }

    topic = ngx_calloc(sizeof(ngx_http_track_topic_t) + name->len + 1,
                       wk->log);
    if (topic == NULL) {
        return NGX_ERROR;
    }

    topic->name.len = name->len;
    topic->name.data = (u_char *) (topic + 1);
    ngx_memcpy(topic->name.data, name->data, name->len);

    k->topics[k->ntopics++] = topic;

    return (ngx_int_t) i;
}


const char *
ngx_http_track_kafka_cluster(ngx_http_track_worker_t *wk)
{
    /* the spool asks at the very end, too */

    if (wk->kafka == NULL || wk->kafka->rk == NULL) {
        return NULL;
    }

    ngx_http_track_rdkafka_cluster(wk->kafka);

    return wk->kafka->cluster;
}


ngx_int_t
ngx_http_track_kafka_produce(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *messages, size_t n)
{
    size_t                   i, run;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (ngx_http_track_kafka_room(wk, messages, n) != NGX_OK) {
        return NGX_DECLINED;
    }

    for (i = 0; i < n; i += run) {

        for (run = 1; i + run < n && run < k->max_batch; run++) {
            if (messages[i + run].topic != messages[i].topic) {
                break;
            }
        }

        ngx_http_track_kafka_run(k, &messages[i], run);
    }

    k->timer.cancelable = k->let_go;

    return NGX_OK;
}


/* For all: half of them would be queued if the queue were full. */

static ngx_int_t
ngx_http_track_kafka_room(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *messages, size_t n)
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
        bytes += messages[i].key_len + messages[i].value_len;
    }

    if ((k->max_pending && k->pending + k->probes + n > k->max_pending)
        || k->bytes + bytes > k->max_bytes)
    {
        ngx_http_track_count(wk, queue_full, 1);

        if (ngx_http_track_unmute(&k->mute_full, &muted)) {
            ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                          "track: the queue to Kafka is full (%ui events, "
                          "%uz bytes): Kafka is too slow, or away; the queue's "
                          "size is queue.buffering.max.kbytes of "
                          "track_kafka_property (%ui more of this line)",
                          k->pending, k->bytes, muted);
        }

        return NGX_DECLINED;
    }

    k->bytes += bytes;
    k->pending += n;

    return NGX_OK;
}


static void
ngx_http_track_kafka_run(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *messages, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        messages[i].held = 1;
        messages[i].delivered = 0;
        messages[i].too_large = 0;
    }

    if (k->topics[messages->topic]->handle) {
        ngx_http_track_rdkafka_produce(k, messages, n);
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_http_track_kafka_refused(k, &messages[i], NGX_HTTP_TRACK_NO_TOPIC,
                                     "no handle");
    }
}


static void
ngx_http_track_kafka_handler(ngx_event_t *rev)
{
    uint64_t                  n;
    ngx_connection_t         *c;
    ngx_http_track_kafka_t   *k;
    ngx_http_track_worker_t  *wk;

    c = rev->data;
    wk = c->data;
    k = wk->kafka;

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ERR, wk->log, ngx_errno,
                      "track: read() of eventfd failed");
    }

    /* worker_shutdown_timeout is over: nothing holds this worker any more */

    if (c->close && ngx_exiting) {
        k->let_go = 1;
        ngx_http_track_wait_let_go(wk);
    }

    ngx_http_track_kafka_serve(wk);
}


static void
ngx_http_track_kafka_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                i;
    ngx_connection_t         *c;
    ngx_http_track_kafka_t   *k;
    ngx_http_track_worker_t  *wk;

    c = ev->data;
    wk = c->data;
    k = wk->kafka;

    ngx_http_track_kafka_serve(wk);

    if (k->rk == NULL || k->fatal) {
        ngx_http_track_kafka_restart(wk);

    } else {
        for (i = 0; i < wk->conf->topics.nelts; i++) {
            ngx_http_track_rdkafka_ask(k, k->topics[i]);
        }
    }

    if (ngx_exiting) {
        ngx_http_track_kafka_drain(wk);
    }

    ngx_add_timer(&k->timer, NGX_HTTP_TRACK_KAFKA_TIMER);
}


/*
 * While reports are due the timer keeps a graceful exit waiting, so that
 * they come through the event loop.  It lets the worker go when that takes
 * too long, or when Kafka is away and the spool has what was promised.
 */

static void
ngx_http_track_kafka_drain(ngx_http_track_worker_t *wk)
{
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    /* an exiting worker may still produce, for a body that comes slowly */

    if (k->pending == 0) {
        k->drain_until = 0;

    } else if (k->drain_until == 0) {
        k->drain_until = ngx_current_msec + NGX_HTTP_TRACK_KAFKA_DRAIN;

    } else if ((ngx_msec_int_t) (k->drain_until - ngx_current_msec) <= 0) {
        k->let_go = 1;
    }

    if (ngx_http_track_wait_hopeless(wk)) {
        k->let_go = 1;
    }

    ngx_http_track_kafka_gauge(k);
}


static void
ngx_http_track_kafka_serve(ngx_http_track_worker_t *wk)
{
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    ngx_http_track_kafka_report_refused(k);

    if (k->rk) {
        ngx_http_track_rdkafka_poll(k);
        ngx_http_track_kafka_report_large(k);
        ngx_http_track_kafka_count(k);

        if (k->served >= NGX_HTTP_TRACK_KAFKA_ROUND) {
            ngx_post_event(k->connection->read, &ngx_posted_next_events);
        }
    }

    ngx_http_track_kafka_gauge(k);
    ngx_http_track_wait_finish(wk);
}


/* A round is over. */

static void
ngx_http_track_kafka_count(ngx_http_track_kafka_t *k)
{
    ngx_http_track_worker_t  *wk;

    wk = k->worker;

    if (k->delivered) {
        k->backoff = 0;
        wk->slot->kafka = NGX_HTTP_TRACK_UP;

        ngx_http_track_count(wk, kafka_delivered, k->delivered);
        ngx_http_track_wait_delivered(wk);

        k->delivered = 0;
    }
}


static void
ngx_http_track_kafka_gauge(ngx_http_track_kafka_t *k)
{
    k->worker->slot->queue = k->pending;
    k->timer.cancelable = (k->pending == 0 || k->let_go);
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
    struct rd_kafka_s       *rk;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (ngx_exiting
        || (ngx_msec_int_t) (k->retry_at - ngx_current_msec) > 0)
    {
        return;
    }

    if (k->rk) {
        ngx_http_track_rdkafka_purge(k);

        if (k->pending || k->probes) {
            return;
        }

        rk = ngx_http_track_rdkafka_release(k);

        if (pthread_create(&tid, NULL, ngx_http_track_kafka_destroy, rk)
            == 0)
        {
            (void) pthread_detach(tid);
        }
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

    ngx_http_track_rdkafka_destroy(data);

    return NULL;
}


void
ngx_http_track_kafka_flush(ngx_http_track_worker_t *wk, ngx_msec_t ms)
{
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;
    k->leaving = 1;

    ngx_http_track_kafka_report_refused(k);

    if (k->rk && k->pending) {
        ngx_http_track_rdkafka_flush(k, ms);
        ngx_http_track_kafka_report_large(k);
        ngx_http_track_kafka_count(k);
    }
}


/* The ledger's last beat may still be under way.  Destroying the producer
 * joins threads; with Kafka away that may last, and the process ends
 * anyway. */

void
ngx_http_track_kafka_exit(ngx_http_track_worker_t *wk)
{
    ngx_uint_t               i;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (wk->slot->kafka == NGX_HTTP_TRACK_UP) {
        ngx_http_track_kafka_flush(wk, NGX_HTTP_TRACK_KAFKA_FLUSH);
    }

    if (k->rk) {
        ngx_http_track_rdkafka_silence(k);
    }

    ngx_close_connection(k->connection);

    if (k->rk) {
        if (k->pending || k->probes
            || wk->slot->kafka == NGX_HTTP_TRACK_DOWN)
        {
            return;
        }

        ngx_http_track_rdkafka_destroy(ngx_http_track_rdkafka_release(k));
    }

    for (i = 0; i < k->ntopics; i++) {
        ngx_free(k->topics[i]);
    }

    ngx_free(k->batch);
    ngx_free(k->topics);
    ngx_free(k);

    wk->kafka = NULL;
}
