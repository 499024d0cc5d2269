/*
 * Taking a partition over: see takeover.h.
 */

#include "takeover.h"

#include "log.h"
#include "look.h"


#define METADATA_MAX  65536


/* Metadata that is not an intent of ours may say anything, so nothing can be
 * known about who is sending what. */

static int
read_committed(loader_t *loader, const char *topic, int32_t partition,
    trk_standing_t *standing, char error[LOADER_ERROR_MAX])
{
    int        rc;
    trk_str_t  text;
    trk_buf_t  metadata;

    trk_buf_init(&metadata, METADATA_MAX);

    rc = loader_consumer_committed(loader->consumer, topic, partition,
                                   LOADER_TAKEOVER_MS, &standing->committed,
                                   &metadata, error);
    if (rc != TRK_OK) {
        rc = TRK_AGAIN;
        goto done;
    }

    text = trk_str_of(metadata.p, metadata.n);
    standing->has_intent = (text.n != 0);

    if (metadata.failed
        || (text.n != 0
            && (trk_intent_parse(text, &standing->intent) != TRK_OK
                || standing->intent.first != standing->committed)))
    {
        snprintf(error, LOADER_ERROR_MAX, "the metadata of its committed "
                 "offset %lld is not this loader's: \"%.*s\"; commit the "
                 "offset anew without metadata to have it looked at from "
                 "there", (long long) standing->committed,
                 text.n < 100 ? (int) text.n : 100,
                 text.n ? (const char *) text.p : "");
        rc = TRK_CORRUPT;
    }

done:

    trk_buf_free(&metadata);

    return rc;
}


static int
end_inserts(loader_t *loader, const char *topic, int32_t partition,
    char error[LOADER_ERROR_MAX])
{
    int        rc;
    trk_buf_t  sql;

    trk_buf_init(&sql, 4096);
    loader_kill_sql(&sql, topic, partition);

    rc = sql.failed ? TRK_NOMEM
         : loader_clickhouse_query(loader->ch, trk_str_of(sql.p, sql.n), NULL,
                                   LOADER_TAKEOVER_MS, NULL, error);
    trk_buf_free(&sql);

    return rc == TRK_OK ? TRK_OK : TRK_AGAIN;
}


static int
read_landed(loader_t *loader, const char *topic, int32_t partition,
    int64_t *landed, char error[LOADER_ERROR_MAX])
{
    int        rc;
    trk_buf_t  sql, answer;

    trk_buf_init(&sql, 4096);
    trk_buf_init(&answer, 4096);
    loader_landed_sql(&sql, topic, partition);

    rc = sql.failed ? TRK_NOMEM
         : loader_clickhouse_query(loader->ch, trk_str_of(sql.p, sql.n), NULL,
                                   LOADER_TAKEOVER_MS, &answer, error);

    if (rc == TRK_OK
        && loader_landed_read(trk_str_of(answer.p, answer.n), landed)
           != TRK_OK)
    {
        snprintf(error, LOADER_ERROR_MAX, "ClickHouse gives no number for "
                 "the greatest offset that landed");
        rc = TRK_CORRUPT;
    }

    trk_buf_free(&sql);
    trk_buf_free(&answer);

    return rc == TRK_OK ? TRK_OK : TRK_AGAIN;
}


static int
judge(const trk_standing_t *standing, const char *topic, int32_t partition,
    trk_plan_t *plan, char error[LOADER_ERROR_MAX])
{
    if (trk_plan_make(plan, standing) != TRK_OK) {
        snprintf(error, LOADER_ERROR_MAX, "its log ends at %lld, but %lld was "
                 "committed and %lld stands in ClickHouse: the topic was made "
                 "anew or cut; rows of both would share offsets",
                 (long long) standing->high, (long long) standing->committed,
                 (long long) standing->landed);
        return TRK_CORRUPT;
    }

    if (plan->lost_from != TRK_OFFSET_NONE) {
        loader_log(LOADER_LOG_ERROR, "%s/%d: Kafka has removed offsets %lld "
                   "to %lld before they were loaded: its retention is "
                   "shorter than the loader was away", topic, (int) partition,
                   (long long) plan->lost_from, (long long) plan->lost_to);
    }

    loader_log(LOADER_LOG_INFO, "%s/%d: taken at %lld, committed %lld%s, "
               "landed %lld, log [%lld, %lld)", topic, (int) partition,
               (long long) plan->start, (long long) standing->committed,
               plan->has_intent ? " with an intent" : "",
               (long long) standing->landed, (long long) standing->low,
               (long long) standing->high);

    return TRK_OK;
}


int
loader_takeover(loader_t *loader, const char *topic, int32_t partition,
    trk_plan_t *plan, char error[LOADER_ERROR_MAX])
{
    int             rc;
    trk_standing_t  standing;

    memset(&standing, 0, sizeof(standing));

    rc = read_committed(loader, topic, partition, &standing, error);

    if (rc == TRK_OK
        && loader_consumer_log(loader->consumer, topic, partition,
                               LOADER_TAKEOVER_MS, &standing.low,
                               &standing.high, error)
           != TRK_OK)
    {
        rc = TRK_AGAIN;
    }

    if (rc == TRK_OK) {
        rc = end_inserts(loader, topic, partition, error);
    }

    if (rc == TRK_OK) {
        rc = read_landed(loader, topic, partition, &standing.landed, error);
    }

    return rc == TRK_OK ? judge(&standing, topic, partition, plan, error)
                        : rc;
}
