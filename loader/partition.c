/*
 * The life of one partition: see partition.h.  What is sent for a batch, and
 * what comes back, is in delivery.c.
 *
 * Two batches: `open` is filled from Kafka while `current` is on its way.
 * When `open` is full too the partition is paused; what arrives all the same
 * waits in `held`, in order.
 */

#include "partition.h"

#include <stdlib.h>

#include "delivery.h"
#include "log.h"
#include "metrics.h"
#include "takeover.h"


#define RETRY_MS        500         /* of a take-over; doubles */
#define RETRY_MAX       30000
#define LOST_MS         30000       /* still assigned after that: take it */
#define POLL_MS         1000        /* a turn at least this often */
#define SCHEMA_MS       100         /* while one is being read */


loader_partition_t *
loader_partition_create(loader_t *loader, const char *topic, int32_t number,
    size_t index)
{
    loader_partition_t  *p;

    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }

    p->loader = loader;
    p->number = number;
    p->index = index;
    p->machine.random = (uint32_t) (loader_now() + number);
    p->topic = strdup(topic);
    p->open = loader_batch_create(topic, number);
    p->current = loader_batch_create(topic, number);
    trk_buf_init(&p->body, LOADER_BODY_MAX);

    if (p->topic == NULL || p->open == NULL || p->current == NULL) {
        loader_partition_free(p);
        return NULL;
    }

    return p;
}


void
loader_partition_free(loader_partition_t *p)
{
    if (p == NULL) {
        return;
    }

    loader_delivery_drop(p);
    loader_records_reset(&p->held);
    loader_batch_free(p->open);
    loader_batch_free(p->current);
    trk_buf_free(&p->body);
    free(p->topic);
    free(p);
}


int
loader_partition_is(const loader_partition_t *p, const char *topic,
    int32_t number)
{
    return p->number == number && strcmp(p->topic, topic) == 0;
}


/* What the partition holds, entered into the sum of all. */

static void
account(loader_partition_t *p)
{
    size_t  bytes;

    bytes = loader_batch_bytes(p->open) + loader_batch_bytes(p->current)
            + p->held.bytes + p->body.cap;

    p->loader->bytes += bytes - p->bytes;
    p->bytes = bytes;
}


static void
pause_partition(loader_partition_t *p)
{
    if (!p->paused) {
        p->paused = 1;
        loader_consumer_pause(p->loader->consumer, p->topic, p->number);
    }
}


static void
resume_partition(loader_partition_t *p)
{
    if (p->paused) {
        p->paused = 0;
        loader_consumer_resume(p->loader->consumer, p->topic, p->number);
    }
}


static void
drop(loader_partition_t *p)
{
    p->tenure++;
    p->end = TRK_OFFSET_NONE;

    loader_delivery_drop(p);
    loader_records_reset(&p->held);
    loader_batch_reset(p->open);
    loader_batch_reset(p->current);
    account(p);
}


void
loader_partition_retake(loader_partition_t *p, const char *why)
{
    loader_log(LOADER_LOG_WARN, "%s/%d: is taken over anew: %s", p->topic,
               (int) p->number, why);

    drop(p);
    pause_partition(p);

    p->state = LOADER_PARTITION_TAKING;
    p->retry_at = loader_monotonic();
}


void
loader_partition_lose(loader_partition_t *p)
{
    loader_metric_add(LOADER_M_FENCED, 1);

    drop(p);
    pause_partition(p);

    p->state = LOADER_PARTITION_LOST;
    p->retry_at = loader_monotonic() + LOST_MS;
}


/* One try.  TRK_OK: p is owned from p->next on. */

static int
take(loader_partition_t *p)
{
    int                 rc;
    char                error[LOADER_ERROR_MAX];
    loader_log_level_t  level;

    rc = loader_takeover(p->loader, p->topic, p->number, &p->plan, error);

    if (rc == TRK_OK) {
        loader_metric_add(LOADER_M_TAKEOVERS, 1);
        p->state = LOADER_PARTITION_OWNED;
        p->next = p->plan.start;
        p->done = p->plan.start;
        p->retry_ms = 0;
        return TRK_OK;
    }

    p->retry_ms = p->retry_ms ? p->retry_ms * 2 : RETRY_MS;
    p->retry_ms = p->retry_ms < RETRY_MAX ? p->retry_ms : RETRY_MAX;
    p->retry_at = loader_monotonic() + p->retry_ms;

    /* who does not answer for one partition would not for the next: they are
     * not waited for one after the other */

    if (rc == TRK_AGAIN) {
        p->loader->take_at = loader_monotonic() + RETRY_MS;
    }

    level = (rc == TRK_CORRUPT) ? LOADER_LOG_ERROR : LOADER_LOG_WARN;

    loader_log_limited(&p->limits[level], level, "%s/%d: is not taken%s: %s",
                       p->topic, (int) p->number, rc == TRK_CORRUPT ? ""
                       : " yet", error);

    return rc;
}


int64_t
loader_partition_assigned(loader_partition_t *p)
{
    drop(p);

    p->paused = 1;
    p->state = LOADER_PARTITION_TAKING;
    p->retry_at = loader_monotonic();
    p->retry_ms = 0;

    /* a commit of an earlier tenure that librdkafka still holds back must not
     * be overtaken: what it writes would be read by the next owner */

    if (p->commits > 0 || p->retry_at < p->loader->take_at
        || take(p) != TRK_OK)
    {
        return LOADER_CONSUMER_LATER;
    }

    p->paused = 0;

    return p->next;
}


void
loader_partition_revoked(loader_partition_t *p)
{
    drop(p);
    resume_partition(p);        /* the next assignment begins unpaused */
    p->state = LOADER_PARTITION_AWAY;
}


void
loader_partition_orphaned(loader_partition_t *p)
{
    loader_partition_revoked(p);
    p->commits = 0;
}


/* The second part of a take-over outside of a rebalance. */

static void
take_later(loader_partition_t *p)
{
    char  error[LOADER_ERROR_MAX];

    if (p->commits > 0 || loader_monotonic() < p->loader->take_at
        || take(p) != TRK_OK)
    {
        return;
    }

    if (loader_consumer_begin(p->loader->consumer, p->topic, p->number,
                              p->next, error)
        == TRK_OK)
    {
        p->paused = 0;
        return;
    }

    loader_log_limited(&p->limits[LOADER_LOG_WARN], LOADER_LOG_WARN,
                       "%s/%d: is not taken yet: %s", p->topic,
                       (int) p->number, error);

    p->state = LOADER_PARTITION_TAKING;
    p->retry_at = loader_monotonic() + RETRY_MS;
}


/* No room in the open batch.  An intent's range must come whole, whatever it
 * takes: its blocks cannot be made otherwise. */

static int
is_full(const loader_partition_t *p)
{
    const loader_batch_t  *open;

    open = p->open;

    if (open->records == 0) {
        return 0;
    }

    if (open->sealed) {
        return 1;
    }

    if (open->range.exact) {
        return 0;
    }

    return trk_batch_full(&p->loader->limits, open->records,
                          loader_batch_bytes(open), loader_batch_dates(open))
           || p->loader->bytes >= p->loader->conf->memory;
}


static int
is_ripe(const loader_partition_t *p, int64_t now)
{
    return trk_batch_ripe(&p->loader->limits, loader_batch_dates(p->open),
                          now - p->open->since);
}


static void
cut(loader_partition_t *p, int64_t now)
{
    loader_batch_t  *batch;

    batch = p->open;
    p->open = p->current;
    p->current = batch;

    loader_delivery_begin(p, now);
}


/* TRK_OK: the record is in the open batch. */

static int
admit(loader_partition_t *p, const loader_message_t *msg, trk_str_t key,
    int64_t now)
{
    int  rc;

    p->schema_wait = 0;

    if (is_full(p)) {
        return TRK_LIMIT;
    }

    rc = loader_batch_add(p->open, &p->plan, p->loader->schema, msg, key,
                          now);

    p->schema_wait = (rc == TRK_AGAIN);
    account(p);

    if (rc == TRK_NOMEM) {
        loader_partition_retake(p, "no memory for its batch");
    }

    return rc;
}


/* Everything before p->end has arrived: what was expected of an intent's or a
 * look's range and is not there will not come. */

static void
close_range(loader_partition_t *p)
{
    if (loader_records_first(&p->held) != NULL) {
        return;
    }

    if (p->open->records == 0) {
        if (p->end != TRK_OFFSET_NONE) {
            trk_plan_pass(&p->plan, p->end);
        }

    } else if (p->open->range.bound != TRK_OFFSET_LAST
               && p->end > p->open->range.bound)
    {
        p->open->sealed = 1;
    }
}


static void
settle(loader_partition_t *p, int64_t now)
{
    loader_record_t  *record;

    while (p->state == LOADER_PARTITION_OWNED) {
        close_range(p);

        if (!loader_partition_busy(p) && !p->loader->stopping
            && p->open->records > 0
            && (is_full(p) || (!p->open->range.exact && is_ripe(p, now))))
        {
            cut(p, now);
        }

        record = loader_records_first(&p->held);

        if (record == NULL
            || admit(p, &record->msg, record->key, now) != TRK_OK)
        {
            break;
        }

        loader_records_shift(&p->held);
    }

    if (p->state != LOADER_PARTITION_OWNED) {
        return;
    }

    if (is_full(p) || loader_records_first(&p->held) != NULL) {
        pause_partition(p);
    } else {
        resume_partition(p);
    }
}


void
loader_partition_message(loader_partition_t *p, const loader_message_t *msg,
    trk_str_t key)
{
    int64_t  now;

    /* a client may deliver a record twice (librdkafka before 2.1.1); before a
     * take-over all that comes is from a wrong position */

    if (p->state != LOADER_PARTITION_OWNED || msg->offset < p->next) {
        return;
    }

    now = loader_monotonic();
    p->next = msg->offset + 1;
    loader_metric_add(LOADER_M_RECORDS, 1);

    if (loader_records_first(&p->held) == NULL
        && admit(p, msg, key, now) == TRK_OK)
    {
        if (is_full(p)) {
            settle(p, now);
        }
        return;
    }

    if (p->state != LOADER_PARTITION_OWNED) {
        return;
    }

    if (loader_records_add(&p->held, msg, key, NULL) != TRK_OK) {
        loader_partition_retake(p, "no memory for a record");
        return;
    }

    settle(p, now);
}


void
loader_partition_end(loader_partition_t *p, int64_t offset)
{
    if (p->state == LOADER_PARTITION_OWNED) {
        p->end = offset;
    }
}


void
loader_partition_position_lost(loader_partition_t *p, const char *error)
{
    if (p->state == LOADER_PARTITION_OWNED) {
        loader_partition_retake(p, error);
    }
}


static int64_t
owned_turn(loader_partition_t *p, int64_t now)
{
    int64_t  due;

    loader_delivery_turn(p, now);
    account(p);
    settle(p, now);

    due = now + POLL_MS;

    if (p->schema_wait || p->building) {
        due = now + SCHEMA_MS;
    }

    if (p->machine.state == TRK_BATCH_WAIT && p->machine.wake < due) {
        due = p->machine.wake;
    }

    if (!loader_partition_busy(p) && p->open->records > 0
        && p->open->since + p->loader->limits.age < due)
    {
        due = p->open->since + p->loader->limits.age;
    }

    return due;
}


int64_t
loader_partition_turn(loader_partition_t *p)
{
    int64_t  now;

    now = loader_monotonic();

    if (p->state == LOADER_PARTITION_LOST && now >= p->retry_at) {
        p->state = LOADER_PARTITION_TAKING;
    }

    if (p->state == LOADER_PARTITION_TAKING && now >= p->retry_at
        && !p->loader->stopping)
    {
        take_later(p);
    }

    switch (p->state) {

    case LOADER_PARTITION_OWNED:
        return owned_turn(p, now);

    case LOADER_PARTITION_AWAY:
        return now + POLL_MS;

    default:
        return p->retry_at > now ? p->retry_at : now + SCHEMA_MS;
    }
}


int
loader_partition_busy(const loader_partition_t *p)
{
    return p->machine.state != TRK_BATCH_IDLE;
}


void
loader_partition_view(const loader_partition_t *p,
    loader_partition_view_t *view)
{
    int64_t  high;

    high = (p->state == LOADER_PARTITION_OWNED)
           ? loader_consumer_high(p->loader->consumer, p->topic, p->number)
           : -1;

    view->state = p->state;
    view->paused = p->paused;
    view->looking = p->plan.has_intent || p->plan.look_to != TRK_OFFSET_NONE;
    view->lag = high > p->done ? high - p->done : 0;
}
