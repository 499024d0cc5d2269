/*
 * track-spool drain: all of librdkafka in it.  What the module's drain does,
 * blocking: a window of records is sent, all reports are awaited, what Kafka
 * has is marked, and so on.  It stops at the first failure that another try
 * may cure: the rest stays where it is.
 */

#include "spool.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>


#define DRAIN_WINDOW   1000             /* records */
#define DRAIN_BYTES    (1024 * 1024)
#define DRAIN_CLUSTER  10000            /* ms, to learn the cluster's id */
#define DRAIN_REPORTS  40000            /* ms; more than message.timeout.ms */


/* a record of the window */
typedef struct {
    trk_spool_record_t    record;
    size_t                text;         /* where its text begins */
    int                   reported;
    rd_kafka_resp_err_t   err;
} item_t;

typedef struct {
    const spool_options_t       *options;
    rd_kafka_t                  *rk;
    char                         cluster[TRK_SPOOL_CLUSTER_MAX + 1];
    ngx_http_track_spool_dir_t   dir;
    item_t                       items[DRAIN_WINDOW];
    size_t                       nitems;
    size_t                       pending;
    trk_buf_t                    text;
    uint8_t                     *states;        /* of the segment */
    uint64_t                     sent;
    uint64_t                     apart;
    uint64_t                     left;
    int                          worst;
    char                         error[512];
} drain_t;


static void
report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    item_t   *item = message->_private;
    drain_t  *drain = opaque;

    (void) rk;

    item->err = message->err;
    item->reported = 1;
    drain->pending--;
}


/* What another try would not cure, for what the record is. */
static int
refused(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
           || err == RD_KAFKA_RESP_ERR_INVALID_MSG
           || err == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE
           || err == RD_KAFKA_RESP_ERR_INVALID_RECORD;
}


static int
set(rd_kafka_conf_t *conf, const char *name, const char *value,
    drain_t *drain)
{
    return rd_kafka_conf_set(conf, name, value, drain->error,
                             sizeof(drain->error))
           == RD_KAFKA_CONF_OK ? 0 : -1;
}


static int
set_property(rd_kafka_conf_t *conf, const char *property, drain_t *drain)
{
    int          rc;
    char        *name;
    const char  *value;

    value = strchr(property, '=');

    if (value == NULL) {
        (void) snprintf(drain->error, sizeof(drain->error),
                        "-X takes NAME=VALUE, not \"%s\"", property);
        return -1;
    }

    name = strndup(property, (size_t) (value - property));

    if (name == NULL) {
        return -1;
    }

    rc = set(conf, name, value + 1, drain);
    free(name);

    return rc;
}


/* The producer; properties of the user cannot weaken acks. */
static int
start(drain_t *drain)
{
    size_t                  i;
    rd_kafka_conf_t        *conf;
    const spool_options_t  *options;

    options = drain->options;
    conf = rd_kafka_conf_new();

    if (set(conf, "message.timeout.ms", "30000", drain) == -1) {
        goto failed;
    }

    for (i = 0; i < options->nproperties; i++) {
        if (set_property(conf, options->properties[i], drain) == -1) {
            goto failed;
        }
    }

    if (set(conf, "bootstrap.servers", options->brokers, drain) == -1
        || set(conf, "acks", "all", drain) == -1
        || set(conf, "delivery.report.only.error", "false", drain) == -1
        || set(conf, "partitioner", "murmur2_random", drain) == -1)
    {
        goto failed;
    }

    rd_kafka_conf_set_opaque(conf, drain);
    rd_kafka_conf_set_dr_msg_cb(conf, report);

    drain->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, drain->error,
                             sizeof(drain->error));
    if (drain->rk) {
        return 0;
    }

failed:

    rd_kafka_conf_destroy(conf);

    return -1;
}


static int
learn_cluster(drain_t *drain)
{
    char  *id;

    id = rd_kafka_clusterid(drain->rk, DRAIN_CLUSTER);

    if (id == NULL) {
        (void) snprintf(drain->error, sizeof(drain->error),
                        "Kafka at %s does not answer",
                        drain->options->brokers);
        return -1;
    }

    (void) snprintf(drain->cluster, sizeof(drain->cluster), "%s", id);
    rd_kafka_mem_free(drain->rk, id);

    return 0;
}


static int
send_one(drain_t *drain, item_t *item)
{
    char                  topic[TRK_SPOOL_TOPIC_MAX + 1];
    rd_kafka_resp_err_t   err;

    memcpy(topic, item->record.topic.p, item->record.topic.n);
    topic[item->record.topic.n] = '\0';

    err = rd_kafka_producev(drain->rk, RD_KAFKA_V_TOPIC(topic),
                            RD_KAFKA_V_KEY(item->record.key.p,
                                           item->record.key.n),
                            RD_KAFKA_V_VALUE((void *) item->record.value.p,
                                             item->record.value.n),
                            RD_KAFKA_V_OPAQUE(item), RD_KAFKA_V_END);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        item->err = err;
        item->reported = 1;
        return -1;
    }

    drain->pending++;

    return 0;
}


/* Adds a record to the window; its bytes are copied. */
static void
take(drain_t *drain, const trk_spool_record_t *record)
{
    size_t   start;
    item_t  *item;

    item = &drain->items[drain->nitems++];
    memset(item, 0, sizeof(*item));
    item->record = *record;
    item->text = drain->text.n;

    trk_buf_str(&drain->text, record->topic);
    trk_buf_str(&drain->text, record->key);
    start = drain->text.n;
    trk_spool_flag(&drain->text, record->value);
    item->record.value.n = drain->text.n - start;
}


static void
send_window(drain_t *drain)
{
    size_t  i;

    for (i = 0; i < drain->nitems; i++) {
        trk_spool_record_lie(&drain->items[i].record,
                             drain->text.p + drain->items[i].text);

        if (send_one(drain, &drain->items[i]) == -1
            && !refused(drain->items[i].err))
        {
            break;
        }
    }

    (void) rd_kafka_flush(drain->rk, DRAIN_REPORTS);
}


/* On the disk before it is marked. */
static int
set_aside(drain_t *drain, const trk_spool_record_t *record, char *error)
{
    trk_spool_record_t  copy;

    copy = *record;

    if (ngx_http_track_spool_io_aside(&drain->dir, &copy, 1,
                                      (int64_t) time(NULL) * 1000, error)
        == -1)
    {
        return -1;
    }

    drain->states[record->index] = TRK_SPOOL_APART;
    drain->apart++;

    return 0;
}


/* The marks of the window, and of what lies between its records. */
static int
mark(drain_t *drain, uint32_t number, char *error)
{
    int        rc;
    uint8_t    state;
    uint32_t   i, first, last;
    trk_buf_t  marks;

    first = drain->items[0].record.index;
    last = drain->items[drain->nitems - 1].record.index;

    trk_buf_init(&marks, SIZE_MAX);

    for (i = first; i <= last; i++) {
        state = drain->states[i];
        trk_buf_byte(&marks, state == TRK_SPOOL_DONE
                             || state == TRK_SPOOL_APART ? state : 0);
    }

    if (marks.failed) {
        ngx_http_track_spool_io_say(error, "no memory for marks");
        return -1;
    }

    rc = ngx_http_track_spool_io_mark(&drain->dir, number, first, marks.p,
                                      marks.n, error);
    trk_buf_free(&marks);

    return rc;
}


/* A broker that refuses a record refuses all that came in one batch with it:
 * what was refused is tried alone. */
static void
send_alone(drain_t *drain)
{
    size_t   i;
    item_t  *item;

    for (i = 0; i < drain->nitems; i++) {
        item = &drain->items[i];

        if (item->reported && refused(item->err)) {
            item->reported = 0;

            if (send_one(drain, item) == 0) {
                (void) rd_kafka_flush(drain->rk, DRAIN_REPORTS);
            }
        }
    }
}


/* Sends, waits, and writes down what became of it.  0: on; -1: stop. */
static int
window(drain_t *drain, uint32_t number)
{
    int       rc;
    char      error[NGX_HTTP_TRACK_SPOOL_ERROR];
    size_t    i;
    item_t   *item;

    if (drain->nitems == 0) {
        return 0;
    }

    send_window(drain);
    send_alone(drain);

    rc = 0;

    for (i = 0; i < drain->nitems && rc == 0; i++) {
        item = &drain->items[i];

        if (item->reported && item->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            drain->states[item->record.index] = TRK_SPOOL_DONE;
            drain->sent++;

        } else if (item->reported && refused(item->err)) {
            rc = set_aside(drain, &item->record, error);

        } else {
            (void) snprintf(error, sizeof(error), "Kafka did not take a "
                            "record for topic \"%.*s\": %s",
                            (int) item->record.topic.n, item->record.topic.p,
                            item->reported ? rd_kafka_err2str(item->err)
                                           : "no report");
            rc = -1;
        }
    }

    /* of those behind a failure, too: what was delivered is not sent again */

    for ( /* void */ ; i < drain->nitems; i++) {
        item = &drain->items[i];

        if (item->reported && item->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            drain->states[item->record.index] = TRK_SPOOL_DONE;
            drain->sent++;
        }
    }

    if (mark(drain, number, error) == -1) {
        rc = -1;
    }

    if (rc == -1) {
        spool_complain(drain->dir.edge, error);
    }

    drain->nitems = 0;
    trk_buf_reset(&drain->text, 4 * DRAIN_BYTES);

    return rc;
}


/* Damaged bytes go to aside.seg, in pieces, before they are marked. */
static int
set_damage_aside(drain_t *drain, uint32_t number,
    const trk_spool_record_t *damage)
{
    char                error[NGX_HTTP_TRACK_SPOOL_ERROR];
    trk_spool_record_t  piece;

    if (drain->states[damage->index] != NGX_HTTP_TRACK_SPOOL_BAD) {
        return 0;
    }

    piece = *damage;
    piece.value.n = 0;

    while (piece.value.p < damage->value.p + damage->value.n) {
        piece.value.p += piece.value.n;
        piece.value.n = (size_t) (damage->value.p + damage->value.n
                                  - piece.value.p);
        if (piece.value.n == 0) {
            break;
        }

        piece.value.n = piece.value.n < DRAIN_BYTES ? piece.value.n
                                                    : DRAIN_BYTES;

        if (ngx_http_track_spool_io_aside(&drain->dir, &piece, 1,
                                          (int64_t) time(NULL) * 1000, error)
            == -1)
        {
            spool_complain(drain->dir.edge, error);
            return -1;
        }
    }

    drain->states[damage->index] = TRK_SPOOL_APART;
    drain->apart++;

    if (ngx_http_track_spool_io_mark(&drain->dir, number, damage->index,
                                     &drain->states[damage->index], 1, error)
        == -1)
    {
        spool_complain(drain->dir.edge, error);
        return -1;
    }

    return 0;
}


/* 0: nothing of it waits any more. */
static int
segment_records(drain_t *drain, uint32_t number,
    const ngx_http_track_spool_loaded_t *loaded)
{
    int                            rc;
    char                           error[NGX_HTTP_TRACK_SPOOL_ERROR];
    trk_spool_record_t             record;
    ngx_http_track_spool_reader_t  rd;

    rc = ngx_http_track_spool_io_open(&drain->dir, &rd, number, 0, 0,
                                      loaded->size, error);
    while (rc == 0) {

        rc = ngx_http_track_spool_io_next(&rd, &record, error);

        if (rc == TRK_OK
            && loaded->states[record.index] == NGX_HTTP_TRACK_SPOOL_WAITS)
        {
            take(drain, &record);

            if (drain->nitems == DRAIN_WINDOW || drain->text.n > DRAIN_BYTES) {
                rc = window(drain, number);
            }

        } else if (rc == TRK_CORRUPT) {
            rc = set_damage_aside(drain, number, &record);
        }
    }

    ngx_http_track_spool_io_shut(&rd);

    if (rc != TRK_NOTFOUND) {

        if (rc > 0) {
            spool_complain(drain->dir.edge, error);
        }

        return -1;
    }

    return window(drain, number);
}


static int
segment(drain_t *drain, uint32_t number)
{
    int                            rc;
    char                           error[NGX_HTTP_TRACK_SPOOL_ERROR];
    uint32_t                       i;
    ngx_http_track_spool_loaded_t  loaded;

    if (ngx_http_track_spool_io_load(&drain->dir, number, &loaded, NULL,
                                     error)
        == -1)
    {
        spool_complain(drain->dir.edge, error);
        return -1;
    }

    drain->states = loaded.states;
    rc = loaded.waits ? segment_records(drain, number, &loaded) : 0;

    for (i = 0; i < loaded.n; i++) {
        drain->left += loaded.states[i] == NGX_HTTP_TRACK_SPOOL_WAITS
                       || loaded.states[i] == NGX_HTTP_TRACK_SPOOL_BAD;
    }

    free(loaded.states);

    if (rc == 0
        && ngx_http_track_spool_io_unlink(&drain->dir, number, error) == -1)
    {
        spool_complain(drain->dir.edge, error);
        rc = -1;
    }

    return rc;
}


/* All of one that is ours now. */
static int
spool(drain_t *drain)
{
    int        rc;
    char       error[NGX_HTTP_TRACK_SPOOL_ERROR];
    off_t      aside;
    size_t     i, n;
    uint32_t  *numbers;

    if (drain->dir.meta.cluster[0]
        && strcmp(drain->dir.meta.cluster, drain->cluster) != 0)
    {
        (void) snprintf(error, sizeof(error), "it is for the Kafka cluster "
                        "%.64s, not for %.64s: left alone",
                        drain->dir.meta.cluster, drain->cluster);
        spool_complain(drain->dir.edge, error);
        return -1;
    }

    rc = ngx_http_track_spool_io_list(&drain->dir, &numbers, &n, &aside,
                                      error);

    for (i = 0; rc == 0 && i < n; i++) {
        if (segment(drain, numbers[i]) == -1) {
            free(numbers);
            return -1;
        }
    }

    free(numbers);

    if (rc == 0) {
        rc = ngx_http_track_spool_io_remove(drain->options->path, &drain->dir,
                                            error);
    }

    if (rc == -1) {
        spool_complain(drain->dir.edge, error);
    }

    return rc == -1 ? -1 : 0;
}


static int
drain_one(const char *edge, void *data)
{
    int       rc;
    char      error[NGX_HTTP_TRACK_SPOOL_ERROR];
    drain_t  *drain = data;

    memcpy(drain->dir.edge, edge, sizeof(drain->dir.edge));
    drain->sent = drain->apart = drain->left = 0;

    rc = ngx_http_track_spool_io_take(drain->options->path, &drain->dir,
                                      error);
    if (rc != 1) {
        spool_complain(edge, rc == 0 ? "a living nginx owns it, and drains it"
                                     : error);
        drain->worst = SPOOL_BAD;
        return 0;
    }

    rc = spool(drain);

    printf("%s  %llu records sent, %llu set aside%s\n", edge,
           (unsigned long long) drain->sent,
           (unsigned long long) drain->apart, rc == -1 ? ", the rest stays"
                                                       : "");
    if (rc == -1) {
        drain->worst = SPOOL_BAD;
    }

    ngx_http_track_spool_io_close(&drain->dir);

    return 0;
}


int
spool_drain(const spool_options_t *options)
{
    int       worst;
    char      error[NGX_HTTP_TRACK_SPOOL_ERROR];
    drain_t  *drain;

    if (options->brokers == NULL) {
        spool_complain("", "drain needs --brokers");
        return SPOOL_MISUSE;
    }

    drain = calloc(1, sizeof(*drain));

    if (drain == NULL) {
        spool_complain("", "no memory");
        return SPOOL_MISUSE;
    }

    drain->options = options;
    drain->dir.dir = drain->dir.lock = -1;
    trk_buf_init(&drain->text, 64 * 1024 * 1024);

    if (start(drain) == -1 || learn_cluster(drain) == -1) {
        spool_complain("", drain->error);
        drain->worst = SPOOL_MISUSE;

    } else if (options->edge) {
        (void) drain_one(options->edge, drain);

    } else if (ngx_http_track_spool_io_edges(options->path, drain_one, drain,
                                             error)
               == -1)
    {
        spool_complain("", error);
        drain->worst = SPOOL_MISUSE;
    }

    if (drain->rk) {
        rd_kafka_destroy(drain->rk);
    }

    worst = drain->worst;
    trk_buf_free(&drain->text);
    free(drain);

    return worst;
}
