
/*
 * What the producer has to say: reports for the senders of messages, which
 * are counted here, and sentences for the log.  All of it in the event loop,
 * inside the library's poll, but for what it did not take in the first place.
 */


#include "ngx_http_track.h"
#include "ngx_http_track_kafka.h"


static void ngx_http_track_kafka_not_taken(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m, ngx_http_track_outcome_e outcome,
    const char *why);


void
ngx_http_track_kafka_refused(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m, ngx_http_track_outcome_e outcome,
    const char *why)
{
    if (k->refused == NULL) {
        ngx_post_event(k->connection->read, &ngx_posted_events);
    }

    ngx_http_track_kafka_not_taken(k, m, outcome, why);

    m->outcome = outcome;
    m->next = NULL;

    *k->last = m;
    k->last = &m->next;
}


void
ngx_http_track_kafka_report_refused(ngx_http_track_kafka_t *k)
{
    ngx_http_track_message_t  *m;

    while (k->refused) {
        m = k->refused;
        k->refused = m->next;

        if (k->refused == NULL) {
            k->last = &k->refused;
        }

        ngx_http_track_kafka_report(k, m, m->outcome, NULL);
    }
}


void
ngx_http_track_kafka_large(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m)
{
    ngx_http_track_topic_t  *topic;

    topic = k->topics[m->topic];
    topic->large = ngx_max(topic->large, m->key_len + m->value_len);

    m->next = k->large;
    k->large = m;
}


/* A cluster refuses whole batches for one record.  That is the largest of
 * them, unless the topic has taken such a one before: the others may be
 * tried again. */

void
ngx_http_track_kafka_report_large(ngx_http_track_kafka_t *k)
{
    size_t                     size;
    ngx_uint_t                 i;
    ngx_http_track_topic_t    *topic;
    ngx_http_track_message_t  *m, *list;

    list = k->large;

    if (list == NULL) {
        return;
    }

    k->large = NULL;

    while (list) {
        m = list;
        list = m->next;

        topic = k->topics[m->topic];
        size = m->key_len + m->value_len;

        m->too_large = (size == topic->large && size > topic->proven);

        ngx_http_track_kafka_report(k, m, m->too_large
                                          ? NGX_HTTP_TRACK_REFUSED
                                          : NGX_HTTP_TRACK_FAILED,
                                    m->too_large ? "it is too large"
                                    : "its batch is too large; batch.size of "
                                      "track_kafka_property may help");
    }

    for (i = 0; i < k->ntopics; i++) {
        k->topics[i]->large = 0;
    }
}


void
ngx_http_track_kafka_report(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m, ngx_http_track_outcome_e outcome,
    const char *why)
{
    k->pending--;
    k->bytes -= m->key_len + m->value_len;
    m->held = 0;

    if (outcome == NGX_HTTP_TRACK_DELIVERED) {
        m->delivered = 1;
        k->delivered++;

    } else if (why) {
        ngx_http_track_kafka_not_taken(k, m, outcome, why);
    }

    m->handler(m, outcome);
}


static void
ngx_http_track_kafka_not_taken(ngx_http_track_kafka_t *k,
    ngx_http_track_message_t *m, ngx_http_track_outcome_e outcome,
    const char *why)
{
    char                     *remedy;
    ngx_uint_t                muted;
    ngx_http_track_worker_t  *wk;

    wk = k->worker;
    remedy = "";

    switch (outcome) {

    case NGX_HTTP_TRACK_NO_TOPIC:
        ngx_http_track_count(wk, kafka_no_topic, 1);
        remedy = ": make it (track-loader migrate), or allow this client to "
                 "write to it";
        break;

    case NGX_HTTP_TRACK_REFUSED:
        ngx_http_track_count(wk, kafka_refused, 1);

        if (m->too_large) {
            remedy = ": raise the topic's max.message.bytes";
        }

        break;

    default:
        ngx_http_track_count(wk, kafka_failed, 1);
        break;
    }

    if (ngx_http_track_unmute(&k->mute_report, &muted)) {
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: Kafka did not take an event for topic "
                      "\"%V\": %s%s (%ui more of this line)",
                      &k->topics[m->topic]->name, why, remedy, muted);
    }
}


void
ngx_http_track_kafka_missing(ngx_http_track_kafka_t *k,
    ngx_http_track_topic_t *topic, const char *why)
{
    ngx_log_error(NGX_LOG_ERR, k->worker->log, 0,
                  "track: topic \"%V\" cannot be written to: %s: make it "
                  "(track-loader migrate), or allow this client to write to "
                  "it", &topic->name, why);
}


void
ngx_http_track_kafka_fatal(ngx_http_track_kafka_t *k, const char *why)
{
    k->fatal = 1;
    k->retry_at = ngx_current_msec + ngx_max(k->backoff,
                                             NGX_HTTP_TRACK_KAFKA_TIMER);
    k->worker->slot->kafka = NGX_HTTP_TRACK_DOWN;

    ngx_log_error(NGX_LOG_ERR, k->worker->log, 0,
                  "track: the Kafka producer is broken and will be replaced: "
                  "%s", why);
}


void
ngx_http_track_kafka_error(ngx_http_track_kafka_t *k, ngx_uint_t down,
    const char *why)
{
    ngx_uint_t  muted;

    if (down) {
        k->worker->slot->kafka = NGX_HTTP_TRACK_DOWN;
    }

    if (ngx_http_track_unmute(&k->mute_error, &muted)) {
        ngx_log_error(NGX_LOG_ERR, k->worker->log, 0,
                      "track: Kafka: %s (%ui more of this line)", why, muted);
    }
}


void
ngx_http_track_kafka_log(ngx_http_track_kafka_t *k, int level,
    const char *facility, const char *text)
{
    ngx_uint_t  muted, nginx_level;

    /* told as an error, too, and the same sentence twice is once too often */

    if (ngx_strcmp(facility, "FAIL") == 0) {
        return;
    }

    /* syslog's levels are nginx's but for one; nothing of theirs is alert */

    nginx_level = ngx_max((ngx_uint_t) level + 1, NGX_LOG_ERR);

    muted = 0;

    if (nginx_level <= NGX_LOG_WARN
        && !ngx_http_track_unmute(&k->mute_log, &muted))
    {
        return;
    }

    ngx_log_error(nginx_level, k->worker->log, 0,
                  "track: librdkafka %s: %s (%ui more of this line)",
                  facility, text, muted);
}
