
/*
 * All of librdkafka.  Event loop of a worker, but for what checks the
 * configuration.
 *
 * The library has threads of its own, none of which runs a line of ours:
 * delivery reports, errors and log lines are queued by it and served by
 * rd_kafka_poll() in the event loop.  Bytes of a message are not copied: they
 * are its sender's until the report.
 */


#include "ngx_http_track.h"
#include "ngx_http_track_kafka.h"

#include <librdkafka/rdkafka.h>


#define NGX_HTTP_TRACK_RDKAFKA_FRAME  512       /* bytes around a record */
#define NGX_HTTP_TRACK_RDKAFKA_BATCH  1024      /* messages, at most */

#define NGX_HTTP_TRACK_RDKAFKA_IDEMPOTENT  0x020500ff /* safe from 2.5 on */


static rd_kafka_conf_t *ngx_http_track_rdkafka_conf(
    ngx_http_track_main_conf_t *tmcf, char *error);
static ngx_int_t ngx_http_track_rdkafka_set(void *conf, const char *name,
    const char *value, char *error);
static size_t ngx_http_track_rdkafka_number(rd_kafka_conf_t *conf,
    const char *name);
static void ngx_http_track_rdkafka_limits(ngx_http_track_worker_t *wk,
    rd_kafka_conf_t *conf);
static ngx_http_track_outcome_e ngx_http_track_rdkafka_outcome(
    rd_kafka_resp_err_t err);
static void ngx_http_track_rdkafka_report_cb(rd_kafka_t *rk,
    const rd_kafka_message_t *message, void *opaque);
static void ngx_http_track_rdkafka_told(ngx_http_track_kafka_t *k,
    const rd_kafka_message_t *message);
static void ngx_http_track_rdkafka_error_cb(rd_kafka_t *rk, int err,
    const char *reason, void *opaque);
static void ngx_http_track_rdkafka_log_cb(const rd_kafka_t *rk, int level,
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

    rc = ngx_http_track_rdkafka_set(conf, (char *) property->key.data,
                                    (char *) property->value.data, error);
    rd_kafka_conf_destroy(conf);

    return rc;
}


ngx_int_t
ngx_http_track_kafka_check(ngx_http_track_main_conf_t *tmcf, char *error)
{
    size_t            timeout;
    rd_kafka_conf_t  *conf;

    conf = ngx_http_track_rdkafka_conf(tmcf, error);
    if (conf == NULL) {
        return NGX_ERROR;
    }

    timeout = ngx_http_track_rdkafka_number(conf, "message.timeout.ms");

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
ngx_http_track_rdkafka_conf(ngx_http_track_main_conf_t *tmcf, char *error)
{
    rd_kafka_conf_t  *conf;

    conf = rd_kafka_conf_new();

    /* before that version its own errors could end the producer */

    if (((unsigned) rd_kafka_version() < NGX_HTTP_TRACK_RDKAFKA_IDEMPOTENT
         || ngx_http_track_rdkafka_set(conf, "enable.idempotence", "true",
                                       error)
            == NGX_OK)
        && ngx_http_track_properties(tmcf, ngx_http_track_rdkafka_set, conf,
                                     error)
           == NGX_OK)
    {
        return conf;
    }

    rd_kafka_conf_destroy(conf);

    return NULL;
}


static ngx_int_t
ngx_http_track_rdkafka_set(void *conf, const char *name, const char *value,
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
ngx_http_track_rdkafka_number(rd_kafka_conf_t *conf, const char *name)
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
ngx_http_track_rdkafka_open(ngx_http_track_worker_t *wk, int fd, char *error)
{
    static const uint64_t    one = 1;
    rd_kafka_conf_t         *conf;
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    if (k->batch == NULL) {
        k->max_batch = NGX_HTTP_TRACK_RDKAFKA_BATCH;
        k->batch = ngx_calloc(k->max_batch * sizeof(rd_kafka_message_t),
                              wk->log);
        if (k->batch == NULL) {
            ngx_http_track_say(error, "no memory");
            return NGX_ERROR;
        }
    }

    conf = ngx_http_track_rdkafka_conf(wk->conf, error);
    if (conf == NULL) {
        return NGX_ERROR;
    }

    rd_kafka_conf_set_opaque(conf, k);
    rd_kafka_conf_set_dr_msg_cb(conf, ngx_http_track_rdkafka_report_cb);
    rd_kafka_conf_set_error_cb(conf, ngx_http_track_rdkafka_error_cb);
    rd_kafka_conf_set_log_cb(conf, ngx_http_track_rdkafka_log_cb);

    ngx_http_track_rdkafka_limits(wk, conf);

    k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error,
                         NGX_HTTP_TRACK_ERROR_LEN);

    if (k->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return NGX_ERROR;
    }

    (void) rd_kafka_set_log_queue(k->rk, NULL);

    k->queue = rd_kafka_queue_get_main(k->rk);

    rd_kafka_queue_io_event_enable(k->queue, fd, &one, sizeof(one));

    return NGX_OK;
}


static void
ngx_http_track_rdkafka_limits(ngx_http_track_worker_t *wk,
    rd_kafka_conf_t *conf)
{
    ngx_http_track_kafka_t  *k;

    k = wk->kafka;

    k->max_pending = ngx_http_track_rdkafka_number(conf,
                                             "queue.buffering.max.messages");
    k->max_bytes = ngx_http_track_rdkafka_number(conf,
                                         "queue.buffering.max.kbytes") * 1024;
    wk->max_records = k->max_bytes;
    wk->max_record = ngx_http_track_rdkafka_number(conf, "message.max.bytes")
                     - NGX_HTTP_TRACK_RDKAFKA_FRAME;
}


ngx_int_t
ngx_http_track_rdkafka_topic(ngx_http_track_kafka_t *k,
    ngx_http_track_topic_t *topic, char *error)
{
    rd_kafka_topic_conf_t  *conf;

    conf = rd_kafka_default_topic_conf_dup(k->rk);
    rd_kafka_topic_conf_set_opaque(conf, topic);

    topic->handle = rd_kafka_topic_new(k->rk, (char *) topic->name.data,
                                       conf);
    if (topic->handle == NULL) {
        ngx_http_track_say(error, "topic \"%s\" cannot be used: %s",
                           (char *) topic->name.data,
                           rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_topic_conf_destroy(conf);
        return NGX_ERROR;
    }

    topic->asked = 0;

    return NGX_OK;
}


struct rd_kafka_s *
ngx_http_track_rdkafka_release(ngx_http_track_kafka_t *k)
{
    rd_kafka_t  *rk;
    ngx_uint_t   i;

    ngx_http_track_rdkafka_silence(k);
    rd_kafka_queue_destroy(k->queue);

    for (i = 0; i < k->ntopics; i++) {
        if (k->topics[i]->handle) {
            rd_kafka_topic_destroy(k->topics[i]->handle);
            k->topics[i]->handle = NULL;
        }
    }

    if (k->cluster) {
        rd_kafka_mem_free(k->rk, k->cluster);
        k->cluster = NULL;
    }

    rk = k->rk;
    k->rk = NULL;

    return rk;
}


void
ngx_http_track_rdkafka_silence(ngx_http_track_kafka_t *k)
{
    rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
}


void
ngx_http_track_rdkafka_destroy(struct rd_kafka_s *rk)
{
    rd_kafka_destroy(rk);
}


/*
 * The library has no call for it that does not block.  But a message to a
 * partition that no topic has is reported as soon as the topic is known,
 * with an error that tells a missing partition from a missing topic.
 */

void
ngx_http_track_rdkafka_ask(ngx_http_track_kafka_t *k,
    ngx_http_track_topic_t *topic)
{
    if (topic->asked || topic->handle == NULL) {
        return;
    }

    if (rd_kafka_produce(topic->handle, NGX_MAX_INT32_VALUE, 0, NULL, 0,
                         NULL, 0, NULL)
        == 0)
    {
        k->probes++;
        topic->asked = 1;
        return;
    }

    switch (rd_kafka_last_error()) {

    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        topic->asked = 1;
        break;

    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        topic->asked = 1;
        ngx_http_track_kafka_missing(k, topic,
                                   rd_kafka_err2str(rd_kafka_last_error()));
        break;

    default: /* a full queue, a broken producer: another time */
        break;
    }
}


void
ngx_http_track_rdkafka_produce(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *messages, size_t n)
{
    size_t                     i;
    rd_kafka_topic_t          *topic;
    rd_kafka_message_t        *batch;
    ngx_http_track_message_t  *m;

    batch = k->batch;
    topic = k->topics[messages->topic]->handle;

    for (i = 0; i < n; i++) {
        m = &messages[i];

        batch[i].key = m->key_len ? m->key : NULL;
        batch[i].key_len = m->key_len;
        batch[i].payload = m->value;
        batch[i].len = m->value_len;
        batch[i]._private = m;
    }

    (void) rd_kafka_produce_batch(topic, RD_KAFKA_PARTITION_UA, 0, batch,
                                  (int) n);

    for (i = 0; i < n; i++) {
        if (batch[i].err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            continue;
        }

        m = &messages[i];
        m->too_large = (batch[i].err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);

        ngx_http_track_kafka_refused(k, m,
                              ngx_http_track_rdkafka_outcome(batch[i].err),
                              rd_kafka_err2str(batch[i].err));
    }
}


static ngx_http_track_outcome_e
ngx_http_track_rdkafka_outcome(rd_kafka_resp_err_t err)
{
    switch (err) {

    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return NGX_HTTP_TRACK_DELIVERED;

    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
        return NGX_HTTP_TRACK_REFUSED;

    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return NGX_HTTP_TRACK_NO_TOPIC;

    default:
        return NGX_HTTP_TRACK_FAILED;
    }
}


void
ngx_http_track_rdkafka_poll(ngx_http_track_kafka_t *k)
{
    k->served = 0;

    (void) rd_kafka_poll(k->rk, 0);
}


void
ngx_http_track_rdkafka_flush(ngx_http_track_kafka_t *k, ngx_msec_t ms)
{
    (void) rd_kafka_flush(k->rk, (int) ms);
}


void
ngx_http_track_rdkafka_purge(ngx_http_track_kafka_t *k)
{
    (void) rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE
                                 |RD_KAFKA_PURGE_F_INFLIGHT
                                 |RD_KAFKA_PURGE_F_NON_BLOCKING);
}


void
ngx_http_track_rdkafka_cluster(ngx_http_track_kafka_t *k)
{
    if (k->cluster == NULL) {
        k->cluster = rd_kafka_clusterid(k->rk, 0);
    }
}


/* locality: the event loop, inside rd_kafka_poll() or rd_kafka_flush() */

static void
ngx_http_track_rdkafka_report_cb(rd_kafka_t *rk,
    const rd_kafka_message_t *message, void *opaque)
{
    size_t                     size;
    ngx_http_track_topic_t    *topic;
    ngx_http_track_kafka_t    *k;
    ngx_http_track_message_t  *m;
    ngx_http_track_outcome_e   outcome;

    k = opaque;
    m = message->_private;

    if (m == NULL) {
        ngx_http_track_rdkafka_told(k, message);
        return;
    }

    outcome = ngx_http_track_rdkafka_outcome(message->err);
    topic = k->topics[m->topic];
    size = m->key_len + m->value_len;

    if (outcome == NGX_HTTP_TRACK_DELIVERED) {
        topic->proven = ngx_max(topic->proven, size);
    }

    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        ngx_http_track_kafka_large(k, m);

    } else {
        ngx_http_track_kafka_report(k, m, outcome,
                                    rd_kafka_err2str(message->err));
    }

    /* a flush would end at a yield */

    if (++k->served >= NGX_HTTP_TRACK_KAFKA_ROUND && !k->leaving) {
        rd_kafka_yield(rk);
    }
}


/* The answer to rdkafka_ask(); none, if Kafka was away too long. */

static void
ngx_http_track_rdkafka_told(ngx_http_track_kafka_t *k,
    const rd_kafka_message_t *message)
{
    ngx_http_track_topic_t  *topic;

    k->probes--;
    topic = rd_kafka_topic_opaque(message->rkt);

    if (ngx_http_track_rdkafka_outcome(message->err)
        != NGX_HTTP_TRACK_NO_TOPIC)
    {
        topic->asked = 0;
        return;
    }

    if (message->err != RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
        ngx_http_track_kafka_missing(k, topic,
                                     rd_kafka_err2str(message->err));
    }
}


/* locality: the event loop, inside rd_kafka_poll() */

static void
ngx_http_track_rdkafka_error_cb(rd_kafka_t *rk, int err, const char *reason,
    void *opaque)
{
    char  text[NGX_HTTP_TRACK_ERROR_LEN];

    if (err == RD_KAFKA_RESP_ERR__FATAL) {
        (void) rd_kafka_fatal_error(rk, text, sizeof(text));
        ngx_http_track_kafka_fatal(opaque, text);
        return;
    }

    ngx_http_track_kafka_error(opaque,
                               err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
                               reason);
}


/* locality: the event loop, inside rd_kafka_poll(), by log.queue */

static void
ngx_http_track_rdkafka_log_cb(const rd_kafka_t *rk, int level,
    const char *fac, const char *buf)
{
    ngx_http_track_kafka_log(rd_kafka_opaque(rk), level, fac, buf);
}
