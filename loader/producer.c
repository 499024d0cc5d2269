/*
 * Dead letters and topics: see producer.h; and what kafka.h promises to
 * consumer.c.  Main thread only, except log_cb(), which librdkafka calls from
 * threads of its own.
 *
 * Idempotence stays off: in librdkafka 2.0.2 a time-out turns it into a fatal
 * error, and a dead letter may stand twice (its coordinates tell).
 */

#include "producer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <librdkafka/rdkafka.h>

#include "kafka.h"
#include "log.h"


#define ADMIN_TIMEOUT   30000       /* ms */
#define RETENTION       "604800000" /* 7 days, ms */

/* A dead letter is its record and some headers: its topic's limit is a bit
 * above the brokers' default for all others. */
#define RECORD_MAX      "10485760"
#define DEAD_MAX        "2097152"


struct loader_producer_s {
    rd_kafka_t           *rk;
    rd_kafka_queue_t     *reports;
    int                   fd;
    const char           *topic;
    loader_dead_done_pt   done;
    void                 *data;
};


static const loader_kafka_property_t  defaults[] = {
    { "message.timeout.ms", "30000" },
    { "queue.buffering.max.kbytes", "65536" },
    { "reconnect.backoff.max.ms", "2000" },
    { "linger.ms", "5" },
    { "socket.keepalive.enable", "true" },
    { NULL, NULL }
};

static const loader_kafka_property_t  ours[] = {
    { "client.id", "track-loader" },
    { "acks", "all" },
    { "message.max.bytes", RECORD_MAX },
    { NULL, NULL }
};


/* What exactly-once rests on, or what consumer.c and producer.c expect. */

static const char *const  reserved[] = {
    "acks", "allow.auto.create.topics", "auto.commit.enable",
    "auto.commit.interval.ms", "auto.offset.reset", "bootstrap.servers",
    "client.id", "delivery.report.only.error", "enable.auto.commit",
    "enable.auto.offset.store", "enable.gapless.guarantee",
    "enable.idempotence", "enable.partition.eof", "group.id",
    "group.instance.id", "group.protocol.type", "isolation.level",
    "log.queue", "metadata.broker.list", "offset.store.method",
    "partition.assignment.strategy", "plugin.library.paths",
    "internal.termination.signal", "request.required.acks",
    "topic.blacklist", "transactional.id", NULL
};


static void
log_cb(const rd_kafka_t *rk, int level, const char *facility,
    const char *text)
{
    static loader_log_limit_t  limits[2];

    (void) rk;

    /* CONFWARN: consumer and producer share [kafka.properties], and each
     * warns of what is the other's */

    if (level > 4 || strcmp(facility, "CONFWARN") == 0) {
        return;
    }

    loader_log_limited(&limits[level > 3], level > 3 ? LOADER_LOG_WARN
                       : LOADER_LOG_ERROR, "librdkafka: %s: %s", facility,
                       text);
}


static int
set_property(rd_kafka_conf_t *rc, const char *key, const char *value,
    char error[LOADER_ERROR_MAX])
{
    char  text[256];

    if (rd_kafka_conf_set(rc, key, value, text, sizeof(text))
        == RD_KAFKA_CONF_OK)
    {
        return TRK_OK;
    }

    snprintf(error, LOADER_ERROR_MAX, "Kafka property %s: %s", key, text);

    return TRK_INVALID;
}


static int
set_user_property(rd_kafka_conf_t *rc, const loader_property_t *property,
    char error[LOADER_ERROR_MAX])
{
    size_t  i;

    for (i = 0; reserved[i] != NULL; i++) {
        if (strcmp(property->key, reserved[i]) == 0) {
            snprintf(error, LOADER_ERROR_MAX, "[kafka.properties] %s cannot "
                     "be set: what the loader promises rests on it",
                     property->key);
            return TRK_INVALID;
        }
    }

    return set_property(rc, property->key, property->value, error);
}


struct rd_kafka_conf_s *
loader_kafka_conf(const loader_conf_t *conf,
    const loader_kafka_property_t *base,
    const loader_kafka_property_t *ours, char error[LOADER_ERROR_MAX])
{
    int               rc;
    size_t            i;
    rd_kafka_conf_t  *rkc;

    rkc = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(rkc, log_cb);

    rc = set_property(rkc, "bootstrap.servers", conf->kafka_brokers, error);

    for (i = 0; rc == TRK_OK && base[i].key != NULL; i++) {
        rc = set_property(rkc, base[i].key, base[i].value, error);
    }

    for (i = 0; rc == TRK_OK && i < conf->nproperties; i++) {
        rc = set_user_property(rkc, &conf->properties[i], error);
    }

    for (i = 0; rc == TRK_OK && ours[i].key != NULL; i++) {
        rc = set_property(rkc, ours[i].key, ours[i].value, error);
    }

    if (rc != TRK_OK) {
        rd_kafka_conf_destroy(rkc);
        return NULL;
    }

    return rkc;
}


int
loader_kafka_check(const loader_conf_t *conf, char error[LOADER_ERROR_MAX])
{
    rd_kafka_conf_t                      *rkc;
    static const loader_kafka_property_t  none = { NULL, NULL };

    rkc = loader_kafka_conf(conf, &none, &none, error);
    if (rkc == NULL) {
        return TRK_INVALID;
    }

    rd_kafka_conf_destroy(rkc);

    return TRK_OK;
}


void
loader_kafka_notify(struct rd_kafka_queue_s *queue, int fd)
{
    static const uint64_t  one = 1;

    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof(one));
}


void
loader_kafka_drain(int fd)
{
    uint64_t  n;
    ssize_t   rc;

    do {
        rc = read(fd, &n, sizeof(n));
    } while (rc == -1 && errno == EINTR);
}


static void
report_cb(rd_kafka_t *rk, const rd_kafka_message_t *rkm, void *opaque)
{
    loader_producer_t  *producer;

    (void) rk;
    producer = opaque;

    producer->done(producer->data, (uint64_t) (uintptr_t) rkm->_private,
                   rkm->err == RD_KAFKA_RESP_ERR_NO_ERROR,
                   rd_kafka_err2str(rkm->err));
}


static rd_kafka_t *
make_client(const loader_conf_t *conf, loader_producer_t *producer,
    char error[LOADER_ERROR_MAX])
{
    char              text[256];
    rd_kafka_t       *rk;
    rd_kafka_conf_t  *rkc;

    rkc = loader_kafka_conf(conf, defaults, ours, error);
    if (rkc == NULL) {
        return NULL;
    }

    if (producer != NULL) {
        rd_kafka_conf_set_opaque(rkc, producer);
        rd_kafka_conf_set_dr_msg_cb(rkc, report_cb);
    }

    rk = rd_kafka_new(RD_KAFKA_PRODUCER, rkc, text, sizeof(text));
    if (rk == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "Kafka producer: %s", text);
        rd_kafka_conf_destroy(rkc);
    }

    return rk;
}


int
loader_producer_create(loader_producer_t **out, const loader_conf_t *conf,
    loader_dead_done_pt done, void *data, char error[LOADER_ERROR_MAX])
{
    loader_producer_t  *producer;

    *out = NULL;

    producer = calloc(1, sizeof(*producer));
    if (producer == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory for a producer");
        return TRK_NOMEM;
    }

    producer->topic = conf->dead_topic;
    producer->done = done;
    producer->data = data;
    producer->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (producer->fd == -1) {
        snprintf(error, LOADER_ERROR_MAX, "eventfd: %s", strerror(errno));

    } else {
        producer->rk = make_client(conf, producer, error);
    }

    if (producer->rk == NULL) {
        loader_producer_free(producer, 0);
        return TRK_INVALID;
    }

    producer->reports = rd_kafka_queue_get_main(producer->rk);
    loader_kafka_notify(producer->reports, producer->fd);
    *out = producer;

    return TRK_OK;
}


static void
ignore_report(void *data, uint64_t tag, int ok, const char *error)
{
    (void) data;
    (void) tag;
    (void) ok;
    (void) error;
}


void
loader_producer_free(loader_producer_t *producer, int timeout)
{
    if (producer == NULL) {
        return;
    }

    if (producer->rk != NULL) {
        producer->done = ignore_report;

        if (rd_kafka_flush(producer->rk, timeout)
            != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE
                           | RD_KAFKA_PURGE_F_INFLIGHT
                           | RD_KAFKA_PURGE_F_NON_BLOCKING);
            rd_kafka_poll(producer->rk, 100);
        }

        rd_kafka_queue_destroy(producer->reports);
        rd_kafka_destroy(producer->rk);
    }

    if (producer->fd != -1) {
        close(producer->fd);
    }

    free(producer);
}


static int
add_header(rd_kafka_headers_t *headers, const char *name, const char *value,
    size_t n)
{
    return rd_kafka_header_add(headers, name, -1, value, (ssize_t) n)
           == RD_KAFKA_RESP_ERR_NO_ERROR ? TRK_OK : TRK_NOMEM;
}


static rd_kafka_headers_t *
make_headers(const loader_dead_t *dead)
{
    int                  n, m;
    char                 partition[16], offset[32];
    rd_kafka_headers_t  *headers;

    headers = rd_kafka_headers_new(4);

    n = snprintf(partition, sizeof(partition), "%d", (int) dead->partition);
    m = snprintf(offset, sizeof(offset), "%lld", (long long) dead->offset);

    if (add_header(headers, "track-reason", dead->reason,
                   strlen(dead->reason)) != TRK_OK
        || add_header(headers, "track-topic", (const char *) dead->topic.p,
                      dead->topic.n) != TRK_OK
        || add_header(headers, "track-partition", partition, (size_t) n)
           != TRK_OK
        || add_header(headers, "track-offset", offset, (size_t) m) != TRK_OK)
    {
        rd_kafka_headers_destroy(headers);
        return NULL;
    }

    return headers;
}


int
loader_producer_dead(loader_producer_t *producer, const loader_dead_t *dead,
    uint64_t tag, char error[LOADER_ERROR_MAX])
{
    rd_kafka_resp_err_t  err;
    rd_kafka_headers_t  *headers;

    headers = make_headers(dead);
    if (headers == NULL) {
        return TRK_AGAIN;
    }

    err = rd_kafka_producev(producer->rk,
              RD_KAFKA_V_TOPIC(producer->topic),
              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
              RD_KAFKA_V_VALUE((void *) dead->value.p, dead->value.n),
              RD_KAFKA_V_KEY((void *) dead->key.p, dead->key.n),
              RD_KAFKA_V_TIMESTAMP(dead->time > 0 ? dead->time : 0),
              RD_KAFKA_V_HEADERS(headers),
              RD_KAFKA_V_OPAQUE((void *) (uintptr_t) tag),
              RD_KAFKA_V_END);

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return TRK_OK;
    }

    rd_kafka_headers_destroy(headers);      /* ours again after a failure */

    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        return TRK_AGAIN;
    }

    snprintf(error, LOADER_ERROR_MAX, "topic \"%s\": %s", producer->topic,
             rd_kafka_err2str(err));

    return TRK_INVALID;
}


void
loader_producer_serve(loader_producer_t *producer)
{
    loader_kafka_drain(producer->fd);

    while (rd_kafka_poll(producer->rk, 0) > 0) { /* void */ }
}


int
loader_producer_fd(const loader_producer_t *producer)
{
    return producer->fd;
}


static int
count_brokers(rd_kafka_t *rk, char error[LOADER_ERROR_MAX])
{
    int                              n;
    rd_kafka_resp_err_t              err;
    const struct rd_kafka_metadata  *metadata;

    err = rd_kafka_metadata(rk, 0, NULL, &metadata, ADMIN_TIMEOUT);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        snprintf(error, LOADER_ERROR_MAX, "Kafka does not answer: %s",
                 rd_kafka_err2str(err));
        return -1;
    }

    n = metadata->broker_cnt;
    rd_kafka_metadata_destroy(metadata);

    return n;
}


static rd_kafka_NewTopic_t *
describe_topic(const char *name, int partitions, int brokers, int dead,
    char error[LOADER_ERROR_MAX])
{
    char                  text[256];
    rd_kafka_NewTopic_t  *topic;

    topic = rd_kafka_NewTopic_new(name, partitions, brokers < 3 ? brokers : 3,
                                  text, sizeof(text));
    if (topic == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "topic \"%s\": %s", name, text);
        return NULL;
    }

    rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "delete");
    rd_kafka_NewTopic_set_config(topic, "retention.ms", RETENTION);
    rd_kafka_NewTopic_set_config(topic, "min.insync.replicas",
                                 brokers < 2 ? "1" : "2");
    if (dead) {
        rd_kafka_NewTopic_set_config(topic, "max.message.bytes", DEAD_MAX);
    }

    return topic;
}


/* What the broker said of one topic. */

static int
read_result(rd_kafka_event_t *event, const char *name, FILE *out,
    char error[LOADER_ERROR_MAX])
{
    size_t                              n;
    rd_kafka_resp_err_t                 err;
    const rd_kafka_topic_result_t     **topics;
    const rd_kafka_CreateTopics_result_t  *result;

    err = rd_kafka_event_error(event);
    result = rd_kafka_event_CreateTopics_result(event);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR || result == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "topic \"%s\" cannot be made: %s",
                 name, rd_kafka_event_error_string(event));
        return TRK_IO;
    }

    topics = rd_kafka_CreateTopics_result_topics(result, &n);
    err = n ? rd_kafka_topic_result_error(topics[0])
            : RD_KAFKA_RESP_ERR_UNKNOWN;

    if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        return TRK_OK;
    }

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        snprintf(error, LOADER_ERROR_MAX, "topic \"%s\" cannot be made: %s",
                 name, n ? rd_kafka_topic_result_error_string(topics[0])
                         : "the broker says nothing of it");
        return TRK_INVALID;
    }

    fprintf(out, "kafka: topic %s made\n", name);

    return TRK_OK;
}


static int
create_topic(rd_kafka_t *rk, rd_kafka_NewTopic_t *topic, const char *name,
    FILE *out, char error[LOADER_ERROR_MAX])
{
    int                rc;
    rd_kafka_event_t  *event;
    rd_kafka_queue_t  *queue;

    queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, ADMIN_TIMEOUT);

    if (event == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "topic \"%s\" cannot be made: no "
                 "answer from Kafka", name);
        rc = TRK_IO;

    } else {
        rc = read_result(event, name, out, error);
        rd_kafka_event_destroy(event);
    }

    rd_kafka_queue_destroy(queue);

    return rc;
}


static int
create_topics(rd_kafka_t *rk, const loader_conf_t *conf, FILE *out,
    char error[LOADER_ERROR_MAX])
{
    int                   rc, brokers;
    size_t                i;
    rd_kafka_NewTopic_t  *topic;
    const char           *names[] = { conf->topic, conf->rejected_topic,
                                      conf->dead_topic, conf->ledger_topic };

    brokers = count_brokers(rk, error);
    if (brokers < 1) {
        return TRK_IO;
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        topic = describe_topic(names[i], i ? 1 : (int) conf->partitions,
                               brokers, names[i] == conf->dead_topic, error);
        if (topic == NULL) {
            return TRK_INVALID;
        }

        rc = create_topic(rk, topic, names[i], out, error);
        rd_kafka_NewTopic_destroy(topic);

        if (rc != TRK_OK) {
            return rc;
        }
    }

    return TRK_OK;
}


int
loader_topics_create(const loader_conf_t *conf, FILE *out,
    char error[LOADER_ERROR_MAX])
{
    int          rc;
    rd_kafka_t  *rk;

    rk = make_client(conf, NULL, error);
    if (rk == NULL) {
        return TRK_INVALID;
    }

    rc = create_topics(rk, conf, out, error);
    rd_kafka_destroy(rk);

    return rc;
}
