/*
 * The consumer of the group: see consumer.h.  Main thread only.
 *
 * One partition a commit call: a call for two, of which one was refused, said
 * NO_ERROR for both elements (librdkafka 2.0.2).  Assignors are the eager
 * ones: with cooperative ones a commit during a rebalance may lose the
 * assignment before 2.10.
 */

#include "consumer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <librdkafka/rdkafka.h>

#include "kafka.h"
#include "log.h"
#include "metrics.h"


#define PROBE_EVERY     2000        /* ms between probes of an absent Kafka */
#define PROBE_TIMEOUT   200
#define CALM_MS         30000       /* without a broken connection */


/* A commit under way, so that its result finds its partition. */
typedef struct commit_s  commit_t;

struct commit_s {
    void      *partition;
    uint64_t   tenure;
    commit_t  *next;
    commit_t  *prev;
};

struct loader_consumer_s {
    rd_kafka_t                        *rk;
    rd_kafka_queue_t                  *messages;
    rd_kafka_queue_t                  *results;     /* of commits */
    int                                fd;
    const loader_consumer_handlers_t  *handlers;
    void                              *data;
    commit_t                          *commits;
    int64_t                            probe_at;    /* monotonic ms */
    int64_t                            broken_at;   /* monotonic ms, 0: never */
    loader_log_limit_t                 limit;
};


/* session.timeout.ms is short, so that another loader takes over soon after a
 * death; as a static member a restarted one has its partitions back at once
 * all the same.  Before librdkafka 2.2 the client also sleeps for the error
 * backoff (500 ms by default) whenever its queue is full: a backlog was loaded
 * at half the speed. */

static const loader_kafka_property_t  defaults[] = {
    { "session.timeout.ms", "6000" },
    { "heartbeat.interval.ms", "1000" },
    { "max.poll.interval.ms", "300000" },
    { "queued.max.messages.kbytes", "16384" },
    { "fetch.max.bytes", "8388608" },
    { "max.partition.fetch.bytes", "2097152" },
    { "fetch.wait.max.ms", "100" },
    { "fetch.error.backoff.ms", "20" },
    { "reconnect.backoff.max.ms", "2000" },
    { "topic.metadata.refresh.interval.ms", "30000" },
    { "check.crcs", "true" },
    { "socket.keepalive.enable", "true" },
    { NULL, NULL }
};


static rd_kafka_topic_partition_list_t *
one_partition(const char *topic, int32_t number, int64_t offset)
{
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, number)->offset = offset;

    return list;
}


static void
assign(loader_consumer_t *consumer, rd_kafka_topic_partition_list_t *list)
{
    int                               i;
    int64_t                           offset;
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_t       *part;
    rd_kafka_topic_partition_list_t  *later;

    later = rd_kafka_topic_partition_list_new(list->cnt + 1);

    for (i = 0; i < list->cnt; i++) {
        part = &list->elems[i];
        offset = consumer->handlers->assigned(consumer->data, part->topic,
                                              part->partition);
        part->offset = offset;

        if (offset == LOADER_CONSUMER_LATER) {
            part->offset = RD_KAFKA_OFFSET_BEGINNING;
            rd_kafka_topic_partition_list_add(later, part->topic,
                                              part->partition);
        }
    }

    err = rd_kafka_assign(consumer->rk, list);

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && later->cnt > 0) {
        err = rd_kafka_pause_partitions(consumer->rk, later);
    }

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        loader_log(LOADER_LOG_ERROR, "the assignment of %d partitions "
                   "failed: %s", list->cnt, rd_kafka_err2str(err));
    }

    rd_kafka_topic_partition_list_destroy(later);
}


static void
unassign(loader_consumer_t *consumer,
    const rd_kafka_topic_partition_list_t *list)
{
    int  i;

    for (i = 0; i < list->cnt; i++) {
        consumer->handlers->revoked(consumer->data, list->elems[i].topic,
                                    list->elems[i].partition);
    }

    rd_kafka_assign(consumer->rk, NULL);
}


static void
rebalance_cb(rd_kafka_t *rk, rd_kafka_resp_err_t err,
    rd_kafka_topic_partition_list_t *list, void *opaque)
{
    loader_consumer_t  *consumer;

    (void) rk;
    consumer = opaque;

    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        loader_metric_set(LOADER_M_KAFKA_UP, 1);
        assign(consumer, list);
        return;
    }

    if (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        loader_log(LOADER_LOG_ERROR, "rebalance failed: %s",
                   rd_kafka_err2str(err));
    }

    unassign(consumer, list);
}


/*
 * Fenced as a static member: another loader has our name, or our earlier self
 * did it.  When the session ends while the broker is away the client joins
 * under a new member id, and a request that had waited with the old one is
 * answered as a twin's would be.
 */

static void
fenced(loader_consumer_t *consumer)
{
    if (consumer->broken_at != 0
        && loader_monotonic() - consumer->broken_at < CALM_MS)
    {
        consumer->handlers->fatal(consumer->data, 1, "the group has fenced "
                                  "this loader after Kafka was away: joining "
                                  "it anew");
        return;
    }

    consumer->handlers->fatal(consumer->data, 0, "another loader has joined "
                              "the group with this one's group.instance.id: "
                              "give each its own (loader.conf, [kafka] "
                              "instance)");
}


static void
fatal(loader_consumer_t *consumer)
{
    char                 text[256], error[LOADER_ERROR_MAX];
    rd_kafka_resp_err_t  err;

    err = rd_kafka_fatal_error(consumer->rk, text, sizeof(text));

    if (err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        fenced(consumer);
        return;
    }

    snprintf(error, sizeof(error), "the Kafka client has failed for good: %s",
             text);
    consumer->handlers->fatal(consumer->data, 0, error);
}


static void
error_cb(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    loader_consumer_t  *consumer;

    (void) rk;
    consumer = opaque;

    if (err == RD_KAFKA_RESP_ERR__FATAL) {
        fatal(consumer);
        return;
    }

    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        loader_metric_set(LOADER_M_KAFKA_UP, 0);
    }

    consumer->broken_at = loader_monotonic();
    loader_log_limited(&consumer->limit, LOADER_LOG_WARN, "Kafka: %s",
                       reason);
}


static int
subscribe(loader_consumer_t *consumer, const char *topic,
    char error[LOADER_ERROR_MAX])
{
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_list_t  *list;

    list = one_partition(topic, RD_KAFKA_PARTITION_UA, 0);
    err = rd_kafka_subscribe(consumer->rk, list);
    rd_kafka_topic_partition_list_destroy(list);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        snprintf(error, LOADER_ERROR_MAX, "topic \"%s\" cannot be subscribed: "
                 "%s", topic, rd_kafka_err2str(err));
        return TRK_INVALID;
    }

    return TRK_OK;
}


static rd_kafka_t *
make_client(loader_consumer_t *consumer, const loader_conf_t *conf,
    char error[LOADER_ERROR_MAX])
{
    char                           text[256];
    rd_kafka_t                    *rk;
    rd_kafka_conf_t               *rkc;
    const loader_kafka_property_t  ours[] = {
        { "group.id", conf->kafka_group },
        { "group.instance.id", conf->kafka_instance },
        { "client.id", "track-loader" },
        { "enable.auto.commit", "false" },
        { "enable.auto.offset.store", "false" },
        { "enable.partition.eof", "true" },
        { "auto.offset.reset", "error" },
        { "isolation.level", "read_committed" },
        { "partition.assignment.strategy", "range,roundrobin" },
        { NULL, NULL }
    };

    rkc = loader_kafka_conf(conf, defaults, ours, error);
    if (rkc == NULL) {
        return NULL;
    }

    rd_kafka_conf_set_opaque(rkc, consumer);
    rd_kafka_conf_set_rebalance_cb(rkc, rebalance_cb);
    rd_kafka_conf_set_error_cb(rkc, error_cb);

    rk = rd_kafka_new(RD_KAFKA_CONSUMER, rkc, text, sizeof(text));
    if (rk == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "Kafka consumer: %s", text);
        rd_kafka_conf_destroy(rkc);
        return NULL;
    }

    return rk;
}


static int
make_queues(loader_consumer_t *consumer, char error[LOADER_ERROR_MAX])
{
    consumer->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (consumer->fd == -1) {
        snprintf(error, LOADER_ERROR_MAX, "eventfd: %s", strerror(errno));
        return TRK_INVALID;
    }

    rd_kafka_poll_set_consumer(consumer->rk);

    consumer->messages = rd_kafka_queue_get_consumer(consumer->rk);
    consumer->results = rd_kafka_queue_new(consumer->rk);

    loader_kafka_notify(consumer->messages, consumer->fd);
    loader_kafka_notify(consumer->results, consumer->fd);

    return TRK_OK;
}


int
loader_consumer_create(loader_consumer_t **out, const loader_conf_t *conf,
    const loader_consumer_handlers_t *handlers, void *data,
    char error[LOADER_ERROR_MAX])
{
    loader_consumer_t  *consumer;

    *out = NULL;

    consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory for a consumer");
        return TRK_NOMEM;
    }

    consumer->fd = -1;
    consumer->handlers = handlers;
    consumer->data = data;
    consumer->rk = make_client(consumer, conf, error);

    if (consumer->rk == NULL
        || make_queues(consumer, error) != TRK_OK
        || subscribe(consumer, conf->topic, error) != TRK_OK)
    {
        loader_consumer_free(consumer);
        return TRK_INVALID;
    }

    *out = consumer;

    return TRK_OK;
}


void
loader_consumer_free(loader_consumer_t *consumer)
{
    commit_t  *commit;

    if (consumer == NULL) {
        return;
    }

    if (consumer->messages != NULL) {
        rd_kafka_queue_destroy(consumer->messages);
        rd_kafka_queue_destroy(consumer->results);
    }

    if (consumer->rk != NULL) {
        rd_kafka_destroy_flags(consumer->rk,
                               RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }

    while ((commit = consumer->commits) != NULL) {
        consumer->commits = commit->next;
        free(commit);
    }

    if (consumer->fd != -1) {
        close(consumer->fd);
    }

    free(consumer);
}


static void
take_message(loader_consumer_t *consumer, const rd_kafka_message_t *rkm)
{
    const char                        *topic;
    trk_str_t                          key;
    loader_message_t                   msg;
    rd_kafka_timestamp_type_t          type;
    const loader_consumer_handlers_t  *handlers;

    handlers = consumer->handlers;
    topic = rkm->rkt ? rd_kafka_topic_name(rkm->rkt) : "";

    switch (rkm->err) {

    case RD_KAFKA_RESP_ERR_NO_ERROR:
        msg.value = trk_str_of(rkm->payload, rkm->len);
        msg.offset = rkm->offset;
        msg.time = rd_kafka_message_timestamp(rkm, &type);
        key = trk_str_of(rkm->key, rkm->key_len);
        handlers->message(consumer->data, topic, rkm->partition, &msg, key);
        return;

    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        handlers->end(consumer->data, topic, rkm->partition, rkm->offset);
        return;

    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        handlers->position_lost(consumer->data, topic, rkm->partition,
                                rd_kafka_message_errstr(rkm));
        return;

    case RD_KAFKA_RESP_ERR__FATAL:
        fatal(consumer);
        return;

    default:
        loader_log_limited(&consumer->limit, LOADER_LOG_WARN, "Kafka: %s",
                           rd_kafka_message_errstr(rkm));
    }
}


static loader_commit_t
commit_result(rd_kafka_resp_err_t err)
{
    switch (err) {

    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return LOADER_COMMIT_OK;

    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
    case RD_KAFKA_RESP_ERR__FATAL:
        return LOADER_COMMIT_FENCED;

    default:
        return LOADER_COMMIT_FAILED;
    }
}


static void
take_result(loader_consumer_t *consumer, rd_kafka_event_t *event)
{
    commit_t                         *commit, done;
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_list_t  *list;

    commit = rd_kafka_event_opaque(event);
    err = rd_kafka_event_error(event);
    list = rd_kafka_event_topic_partition_list(event);

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && list != NULL && list->cnt > 0) {
        err = list->elems[0].err;
    }

    done = *commit;

    if (done.prev != NULL) {
        done.prev->next = done.next;
    } else {
        consumer->commits = done.next;
    }

    if (done.next != NULL) {
        done.next->prev = done.prev;
    }

    free(commit);

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        loader_metric_set(LOADER_M_KAFKA_UP, 1);
    }

    consumer->handlers->committed(consumer->data, done.partition, done.tenure,
                                  commit_result(err), rd_kafka_err2str(err));
}


static void
serve_results(loader_consumer_t *consumer)
{
    rd_kafka_event_t  *event;

    while ((event = rd_kafka_queue_poll(consumer->results, 0)) != NULL) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
            take_result(consumer, event);
        }

        rd_kafka_event_destroy(event);
    }
}


/* librdkafka says when all brokers are gone, but not when one is back: that
 * shows only when it has something to say. */

static void
probe(loader_consumer_t *consumer)
{
    int64_t                          now;
    const struct rd_kafka_metadata  *metadata;

    now = loader_monotonic();

    if (loader_metric_get(LOADER_M_KAFKA_UP) || now < consumer->probe_at) {
        return;
    }

    if (rd_kafka_metadata(consumer->rk, 0, NULL, &metadata, PROBE_TIMEOUT)
        == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        rd_kafka_metadata_destroy(metadata);
        loader_metric_set(LOADER_M_KAFKA_UP, 1);
    }

    consumer->probe_at = loader_monotonic() + PROBE_EVERY;
}


int
loader_consumer_serve(loader_consumer_t *consumer, size_t max)
{
    size_t               i;
    rd_kafka_message_t  *rkm;

    loader_kafka_drain(consumer->fd);
    serve_results(consumer);
    probe(consumer);

    for (i = 0; i < max; i++) {
        rkm = rd_kafka_consumer_poll(consumer->rk, 0);
        if (rkm == NULL) {
            return 0;
        }

        take_message(consumer, rkm);
        rd_kafka_message_destroy(rkm);
    }

    return 1;
}


int
loader_consumer_fd(const loader_consumer_t *consumer)
{
    return consumer->fd;
}


int
loader_consumer_commit(loader_consumer_t *consumer, const char *topic,
    int32_t number, int64_t offset, trk_str_t metadata, void *partition,
    uint64_t tenure)
{
    commit_t                         *commit;
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_list_t  *list;

    commit = calloc(1, sizeof(*commit));
    if (commit == NULL) {
        return TRK_INVALID;
    }

    commit->partition = partition;
    commit->tenure = tenure;

    list = one_partition(topic, number, offset);
    list->elems[0].metadata = metadata.n ? (void *) metadata.p : NULL;
    list->elems[0].metadata_size = metadata.n;

    err = rd_kafka_commit_queue(consumer->rk, list, consumer->results, NULL,
                                commit);

    list->elems[0].metadata = NULL;     /* the caller's; the list frees it */
    list->elems[0].metadata_size = 0;
    rd_kafka_topic_partition_list_destroy(list);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        free(commit);
        return TRK_INVALID;
    }

    commit->next = consumer->commits;

    if (commit->next != NULL) {
        commit->next->prev = commit;
    }

    consumer->commits = commit;

    return TRK_OK;
}


int
loader_consumer_committed(loader_consumer_t *consumer, const char *topic,
    int32_t partition, int timeout, int64_t *offset, trk_buf_t *metadata,
    char error[LOADER_ERROR_MAX])
{
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_t       *part;
    rd_kafka_topic_partition_list_t  *list;

    list = one_partition(topic, partition, RD_KAFKA_OFFSET_INVALID);
    part = &list->elems[0];

    err = rd_kafka_committed(consumer->rk, list, timeout);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        err = part->err;
    }

    *offset = part->offset < 0 ? -1 : part->offset;

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        trk_buf_add(metadata, part->metadata, part->metadata_size);

    } else {
        snprintf(error, LOADER_ERROR_MAX, "the committed offset cannot be "
                 "read: %s", rd_kafka_err2str(err));
    }

    rd_kafka_topic_partition_list_destroy(list);

    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? TRK_OK : TRK_IO;
}


int
loader_consumer_log(loader_consumer_t *consumer, const char *topic,
    int32_t partition, int timeout, int64_t *low, int64_t *high,
    char error[LOADER_ERROR_MAX])
{
    rd_kafka_resp_err_t  err;

    err = rd_kafka_query_watermark_offsets(consumer->rk, topic, partition,
                                           low, high, timeout);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return TRK_OK;
    }

    snprintf(error, LOADER_ERROR_MAX, "the log's ends cannot be read: %s",
             rd_kafka_err2str(err));

    return TRK_IO;
}


int64_t
loader_consumer_high(loader_consumer_t *consumer, const char *topic,
    int32_t partition)
{
    int64_t  low, high;

    return rd_kafka_get_watermark_offsets(consumer->rk, topic, partition,
                                          &low, &high)
           == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 ? high : -1;
}


void
loader_consumer_pause(loader_consumer_t *consumer, const char *topic,
    int32_t partition)
{
    rd_kafka_topic_partition_list_t  *list;

    list = one_partition(topic, partition, 0);
    rd_kafka_pause_partitions(consumer->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}


void
loader_consumer_resume(loader_consumer_t *consumer, const char *topic,
    int32_t partition)
{
    rd_kafka_topic_partition_list_t  *list;

    list = one_partition(topic, partition, 0);
    rd_kafka_resume_partitions(consumer->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}


int
loader_consumer_begin(loader_consumer_t *consumer, const char *topic,
    int32_t partition, int64_t offset, char error[LOADER_ERROR_MAX])
{
    rd_kafka_error_t                 *failed;
    rd_kafka_resp_err_t               err;
    rd_kafka_topic_partition_list_t  *list;

    list = one_partition(topic, partition, offset);

    failed = rd_kafka_seek_partitions(consumer->rk, list, 5000);
    if (failed != NULL) {
        err = rd_kafka_error_code(failed);
        rd_kafka_error_destroy(failed);

    } else {
        err = list->elems[0].err;
    }

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_resume_partitions(consumer->rk, list);

    } else {
        snprintf(error, LOADER_ERROR_MAX, "offset %lld cannot be sought: %s",
                 (long long) offset, rd_kafka_err2str(err));
    }

    rd_kafka_topic_partition_list_destroy(list);

    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? TRK_OK : TRK_IO;
}
