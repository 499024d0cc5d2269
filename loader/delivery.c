/*
 * A batch on its way: see delivery.h.
 *
 * run() carries out one thing after the other; whatever cannot be begun is
 * told to the machine as a failure, so that there is one way to try again.
 */

#include "delivery.h"

#include <stdio.h>
#include <unistd.h>

#include "metrics.h"
#include "trk_time.h"


#define BODY_KEEP   (8 * 1024 * 1024)   /* of the buffer, between batches */
#define PARAMS_MAX  4096
#define SQL_MAX     (1024 * 1024)
#define DAY_MS      86400000LL


static void run(loader_partition_t *p, trk_batch_do_t what, int64_t now);


static void
step(loader_partition_t *p, trk_batch_event_t event)
{
    int64_t  now;

    now = loader_monotonic();
    run(p, trk_batch_step(&p->machine, event, now), now);
}


static trk_batch_do_t
commit(loader_partition_t *p, int64_t offset, trk_str_t metadata, int64_t now)
{
    if (loader_consumer_commit(p->loader->consumer, p->topic, p->number,
                               offset, metadata, p, p->tenure)
        != TRK_OK)
    {
        return trk_batch_step(&p->machine, TRK_ON_FAILED, now);
    }

    p->commits++;

    return TRK_DO_NOTHING;
}


static trk_batch_do_t
do_intent(loader_partition_t *p, int64_t now)
{
    char    text[TRK_INTENT_MAX];
    size_t  n;

    n = trk_intent_format(&p->machine.intent, text);

    return commit(p, p->machine.intent.first, trk_str_of(text, n), now);
}


static trk_batch_do_t
do_commit(loader_partition_t *p, int64_t now)
{
    return commit(p, p->machine.intent.last + 1, trk_null, now);
}


void
loader_partition_committed(loader_partition_t *p, uint64_t tenure,
    loader_commit_t result, const char *error)
{
    p->commits--;

    if (tenure != p->tenure) {
        return;
    }

    switch (result) {

    case LOADER_COMMIT_OK:
        loader_metric_add(LOADER_M_COMMITS, 1);
        step(p, TRK_ON_OK);
        return;

    case LOADER_COMMIT_FENCED:
        loader_log(LOADER_LOG_INFO, "%s/%d: is another loader's now: %s",
                   p->topic, (int) p->number, error);
        step(p, TRK_ON_FENCED);
        return;

    default:
        loader_log_limited(&p->limits[LOADER_LOG_WARN], LOADER_LOG_WARN,
                       "%s/%d: offsets are not committed, will be tried "
                       "again: %s", p->topic, (int) p->number, error);
        step(p, TRK_ON_FAILED);
    }
}


/* What a request's failure means to a person. */

static void
complain(loader_partition_t *p, const char *what, loader_ch_result_t result,
    const char *error)
{
    loader_log_level_t  level;

    loader_metric_set(LOADER_M_CLICKHOUSE_UP, result != LOADER_CH_AWAY);

    level = (result == LOADER_CH_AWAY || result == LOADER_CH_BUSY)
            ? LOADER_LOG_WARN : LOADER_LOG_ERROR;

    loader_log_limited(&p->limits[level], level, "%s/%d: %s of offsets %lld "
                       "to %lld failed, is tried until it succeeds, later "
                       "records wait: %s", p->topic, (int) p->number, what,
                       (long long) p->machine.intent.first,
                       (long long) p->machine.intent.last, error);
}


/* Starts the statement in p->body. */

static trk_batch_do_t
ask(loader_partition_t *p, loader_ch_done_pt done, int64_t now)
{
    p->started = now;
    p->request = p->body.failed ? NULL
                 : loader_clickhouse_start(p->loader->ch, NULL,
                                           trk_str_of(p->body.p, p->body.n),
                                           NULL, NULL,
                                           p->loader->conf->clickhouse_timeout,
                                           done, p);

    return p->request ? TRK_DO_NOTHING
                      : trk_batch_step(&p->machine, TRK_ON_FAILED, now);
}


static void
killed(void *data, loader_ch_result_t result, trk_str_t out,
    const char *error)
{
    loader_partition_t  *p;

    (void) out;
    p = data;
    p->request = NULL;

    if (result != LOADER_CH_OK) {
        complain(p, "the end of a doubtful insert", result, error);
        step(p, TRK_ON_FAILED);
        return;
    }

    step(p, TRK_ON_OK);
}


static trk_batch_do_t
do_kill(loader_partition_t *p, int64_t now)
{
    trk_buf_reset(&p->body, BODY_KEEP);
    loader_kill_sql(&p->body, p->topic, p->number);

    return ask(p, killed, now);
}


/* LOOK: decodes what does not stand, as far as the schema allows. */

static void
build(loader_partition_t *p)
{
    int      rc;
    int64_t  now, wall;

    now = loader_monotonic();
    rc = loader_batch_build(p->current, p->loader->schema, &p->standing, now);

    if (rc == TRK_OK) {
        rc = loader_batch_declare(p->current, &p->machine);
    }

    if (rc == TRK_NOMEM) {
        loader_partition_retake(p, "no memory for its batch");
        return;
    }

    p->building = (rc == TRK_AGAIN);

    if (!p->building) {
        wall = loader_now();
        run(p, trk_batch_looked(&p->machine, 0, wall, now), now);
    }
}


/* The rows of the last look are compared with what was sent. */

static void
compare(loader_partition_t *p)
{
    int64_t   now, wall;
    uint32_t  holes, stuck;

    now = loader_monotonic();
    wall = loader_now();
    holes = p->machine.holes;
    stuck = p->machine.stuck;

    loader_batch_compare(p->current, &p->machine, &p->standing);

    run(p, trk_batch_looked(&p->machine,
                            wall - (int64_t) p->standing.uptime * 1000,
                            wall, now), now);

    if (p->machine.holes > holes) {
        loader_metric_add(LOADER_M_HOLES, 1);
        loader_log(LOADER_LOG_WARN, "%s/%d: ClickHouse had died between a "
                   "block's token and its rows: it is sent under a new one",
                   p->topic, (int) p->number);

    } else if (p->machine.stuck > stuck) {
        loader_log_limited(&p->limits[LOADER_LOG_ERROR], LOADER_LOG_ERROR,
                       "%s/%d: ClickHouse has accepted offsets %lld to "
                       "%lld, but not all of them stand; looking again "
                       "until they do", p->topic, (int) p->number,
                       (long long) p->machine.intent.first,
                       (long long) p->machine.intent.last);
    }
}


static void
looked(void *data, loader_ch_result_t result, trk_str_t out,
    const char *error)
{
    loader_partition_t  *p;

    p = data;
    p->request = NULL;
    loader_metric_add(LOADER_M_LOOKS, 1);

    if (result == LOADER_CH_OK
        && loader_look_read(&p->standing, out) != TRK_OK)
    {
        result = LOADER_CH_DATA;
        error = "the answer is not one";
    }

    if (result != LOADER_CH_OK) {
        complain(p, "a look", result, error);
        step(p, TRK_ON_FAILED);
        return;
    }

    if (p->standing.twice > 0) {
        loader_log(LOADER_LOG_ERROR, "%s/%d: %zu rows stand twice between "
                   "offsets %lld and %lld", p->topic, (int) p->number,
                   p->standing.twice, (long long) p->machine.intent.first,
                   (long long) p->machine.intent.last);
    }

    if (p->machine.mode == TRK_RANGE_LOOK && !p->machine.looked) {
        build(p);
    } else {
        compare(p);
    }
}


static trk_batch_do_t
do_look(loader_partition_t *p, int64_t now)
{
    trk_buf_reset(&p->body, BODY_KEEP);
    loader_look_sql(&p->body, p->topic, p->number, p->machine.intent.first,
                    p->machine.intent.last);

    return ask(p, looked, now);
}


static void
sent(void *data, loader_ch_result_t result, trk_str_t out, const char *error)
{
    loader_partition_t  *p;

    (void) out;
    p = data;
    p->request = NULL;

    if (result != LOADER_CH_OK) {
        loader_metric_add(LOADER_M_INSERT_RETRIES, 1);
        complain(p, "the insert", result, error);
        step(p, TRK_ON_FAILED);
        return;
    }

    loader_metric_set(LOADER_M_CLICKHOUSE_UP, 1);
    loader_metric_add(LOADER_M_INSERTS, 1);
    loader_metric_add(LOADER_M_INSERT_BYTES, (int64_t) p->body.n);
    loader_metric_add(LOADER_M_INSERT_MS, loader_monotonic() - p->started);

    step(p, TRK_ON_OK);
}


/* "topic/3/100-199/2025-05-03", and "/2" if that is its token's number. */

static void
block_name(trk_buf_t *out, const loader_partition_t *p)
{
    char                      date[TRK_TIME_LEN];
    const trk_batch_block_t  *block;

    block = &p->machine.blocks[p->machine.current];
    trk_time_format(block->day * DAY_MS, date);

    trk_buf_add(out, p->topic, strlen(p->topic));
    trk_buf_byte(out, '/');
    trk_buf_int(out, p->number);
    trk_buf_byte(out, '/');
    trk_buf_int(out, p->machine.intent.first);
    trk_buf_byte(out, '-');
    trk_buf_int(out, p->machine.intent.last);
    trk_buf_byte(out, '/');
    trk_buf_add(out, date, 10);

    if (block->token > 1) {
        trk_buf_byte(out, '/');
        trk_buf_uint(out, block->token);
    }
}


static void
insert_params(trk_buf_t *params, const loader_partition_t *p)
{
    trk_buf_lit(params, "&async_insert=0&insert_deduplicate=1"
                "&deduplicate_blocks_in_dependent_materialized_views=1"
                "&materialized_views_ignore_errors=0&optimize_on_insert=0"
                "&insert_deduplication_token=");
    block_name(params, p);
    trk_buf_byte(params, '\0');
}


/* Names topic and partition first, so that all of a partition's inserts can
 * be found; differs from every other, also of a killed process. */

static void
insert_id(trk_buf_t *id, loader_partition_t *p)
{
    loader_query_prefix(id, p->topic, p->number);
    trk_buf_int(id, p->machine.intent.first);
    trk_buf_byte(id, '-');
    trk_buf_int(id, p->machine.intent.last);
    trk_buf_byte(id, '/');
    trk_buf_int(id, getpid());
    trk_buf_byte(id, '-');
    trk_buf_int(id, loader_now());
    trk_buf_byte(id, '-');
    trk_buf_uint(id, p->attempts++);
    trk_buf_byte(id, '\0');
}


static loader_ch_request_t *
start_insert(loader_partition_t *p, loader_block_t *block)
{
    trk_str_t             statement;
    trk_buf_t             sql, params, id;
    loader_ch_request_t  *request;

    trk_buf_init(&sql, SQL_MAX);
    trk_buf_init(&params, PARAMS_MAX);
    trk_buf_init(&id, PARAMS_MAX);

    trk_buf_lit(&sql, "INSERT INTO " LOADER_DATABASE ".events (");
    loader_block_columns(block, &sql);
    trk_buf_lit(&sql, ") FORMAT Native");
    insert_params(&params, p);
    insert_id(&id, p);

    request = NULL;
    trk_buf_reset(&p->body, BODY_KEEP);

    if (loader_block_native(block, &p->body) == TRK_OK
        && !sql.failed && !params.failed && !id.failed)
    {
        statement = trk_str_of(sql.p, sql.n);
        request = loader_clickhouse_start(p->loader->ch, &statement,
                                          trk_str_of(p->body.p, p->body.n),
                                          (char *) params.p, (char *) id.p,
                                          p->loader->conf->clickhouse_timeout,
                                          sent, p);
    }

    trk_buf_free(&sql);
    trk_buf_free(&params);
    trk_buf_free(&id);

    return request;
}


static trk_batch_do_t
do_send(loader_partition_t *p, int64_t now)
{
    loader_block_t  *block;

    block = loader_rows_block(p->current->rows, p->machine.current);

    if (!loader_schema_ready(p->loader->schema,
                             loader_block_generation(block)))
    {
        return trk_batch_step(&p->machine, TRK_ON_HOLD, now);
    }

    p->started = now;
    p->request = start_insert(p, block);

    return p->request ? TRK_DO_NOTHING
                      : trk_batch_step(&p->machine, TRK_ON_FAILED, now);
}


/* 16 bits of partition, 24 of tenure, 24 of the letter's place. */

static uint64_t
make_tag(const loader_partition_t *p, size_t i)
{
    return (uint64_t) p->index << 48 | (p->tenure & 0xffffff) << 24
           | (i & 0xffffff);
}


size_t
loader_partition_of_tag(uint64_t tag)
{
    return tag >> 48;
}


/* Returns 0 if the producer takes no more for now. */

static int
produce_dead(loader_partition_t *p, size_t i)
{
    int               rc;
    char              error[LOADER_ERROR_MAX];
    loader_dead_t     dead;
    loader_record_t  *record;

    record = &p->current->dead.v[i];

    /* of a batch in doubt: it may have been a row under an earlier schema */

    if (record->state != LOADER_DEAD_NEW
        || loader_standing_has(&p->standing, (uint64_t) record->msg.offset))
    {
        return 1;
    }

    dead = (loader_dead_t) {
        .topic = trk_str_of(p->topic, strlen(p->topic)),
        .partition = p->number,
        .offset = record->msg.offset,
        .time = record->msg.time,
        .key = record->key,
        .value = record->msg.value,
        .reason = record->reason
    };

    rc = loader_producer_dead(p->loader->producer, &dead, make_tag(p, i),
                              error);

    if (rc == TRK_OK) {
        record->state = LOADER_DEAD_SENT;
        p->reports++;
        return 1;
    }

    if (rc == TRK_INVALID) {
        p->dead_failed = 1;
        loader_log_limited(&p->limits[LOADER_LOG_ERROR], LOADER_LOG_ERROR,
                       "%s/%d: the dead letter of offset %lld is not "
                       "taken, later records wait: %s", p->topic,
                       (int) p->number, (long long) dead.offset, error);
    }

    return 0;
}


static trk_batch_do_t
do_dead(loader_partition_t *p, int64_t now)
{
    size_t  i;

    p->dead_failed = 0;

    for (i = p->current->dead.head; i < p->current->dead.n; i++) {
        if (!produce_dead(p, i)) {
            break;
        }
    }

    if (p->reports > 0) {
        return TRK_DO_NOTHING;
    }

    if (i == p->current->dead.n) {
        return trk_batch_step(&p->machine, TRK_ON_OK, now);
    }

    return trk_batch_step(&p->machine, p->dead_failed ? TRK_ON_FAILED
                          : TRK_ON_HOLD, now);
}


void
loader_partition_dead(loader_partition_t *p, uint64_t tag, int ok,
    const char *error)
{
    size_t            i;
    loader_record_t  *record;

    i = tag & 0xffffff;

    if (tag != make_tag(p, i) || p->machine.state != TRK_BATCH_DEAD
        || i >= p->current->dead.n)
    {
        return;
    }

    record = &p->current->dead.v[i];
    record->state = ok ? LOADER_DEAD_DONE : LOADER_DEAD_NEW;

    if (!ok) {
        p->dead_failed = 1;
        loader_log_limited(&p->limits[LOADER_LOG_ERROR], LOADER_LOG_ERROR,
                       "%s/%d: the dead letter of offset %lld is not "
                       "delivered, is tried until it is, later records "
                       "wait: %s", p->topic, (int) p->number,
                       (long long) record->msg.offset, error);
    }

    if (--p->reports > 0) {
        return;
    }

    /* the queue may have been too full for all of them */

    if (p->dead_failed) {
        step(p, TRK_ON_FAILED);
    } else {
        run(p, TRK_DO_DEAD, loader_monotonic());
    }
}


static void
finish(loader_partition_t *p)
{
    size_t  i;

    for (i = 0; i < p->machine.nblocks; i++) {
        loader_metric_add(LOADER_M_ROWS, p->machine.blocks[i].rows);
    }

    loader_metric_add(LOADER_M_DEAD, (int64_t) p->machine.ndead);
    loader_metric_add(LOADER_M_BATCHES, 1);

    p->done = p->machine.intent.last + 1;

    loader_delivery_drop(p);
    loader_batch_reset(p->current);
}


static void
run(loader_partition_t *p, trk_batch_do_t what, int64_t now)
{
    while (what != TRK_DO_NOTHING) {

        switch (what) {

        case TRK_DO_INTENT:
            what = do_intent(p, now);
            break;

        case TRK_DO_KILL:
            what = do_kill(p, now);
            break;

        case TRK_DO_SEND:
            what = do_send(p, now);
            break;

        case TRK_DO_LOOK:
            what = do_look(p, now);
            break;

        case TRK_DO_DEAD:
            what = do_dead(p, now);
            break;

        case TRK_DO_COMMIT:
            what = do_commit(p, now);
            break;

        case TRK_DO_FINISH:
            finish(p);
            return;

        default: /* TRK_DO_FORGET */
            loader_partition_lose(p);
            return;
        }
    }
}


void
loader_delivery_begin(loader_partition_t *p, int64_t now)
{
    trk_intent_t     intent;
    loader_batch_t  *batch;

    batch = p->current;

    if (batch->range.exact) {
        intent = p->plan.intent;

    } else {
        intent = (trk_intent_t) {
            .first = batch->first,
            .last = batch->last,
            .at = loader_now(),
            .token = 1
        };
    }

    trk_plan_pass(&p->plan, batch->last + 1);

    /* what a look decides about is entered after it */

    if (batch->range.mode != TRK_RANGE_LOOK
        && loader_batch_declare(batch, &p->machine) != TRK_OK)
    {
        loader_partition_retake(p, "no memory for its batch");
        return;
    }

    run(p, trk_batch_begin(&p->machine, batch->range.mode, &intent, now),
        now);
}


void
loader_delivery_turn(loader_partition_t *p, int64_t now)
{
    if (p->building) {
        build(p);
        return;
    }

    run(p, trk_batch_step(&p->machine, TRK_ON_TICK, now), now);
}


void
loader_delivery_drop(loader_partition_t *p)
{
    if (p->request != NULL) {
        loader_clickhouse_drop(p->loader->ch, p->request);
        p->request = NULL;
    }

    trk_batch_reset(&p->machine);
    loader_standing_reset(&p->standing);
    trk_buf_reset(&p->body, BODY_KEEP);

    p->building = 0;
    p->reports = 0;
    p->dead_failed = 0;
}
