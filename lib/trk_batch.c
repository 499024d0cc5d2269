/*
 * The batch state machine: see trk_batch.h.  What remains to be done is kept
 * as facts about the batch; an event changes facts, and advance() reads the
 * next step from them, so that every way into a situation leads out of it
 * alike.
 */

#include "trk_batch.h"

#include <stdlib.h>


void
trk_batch_reset(trk_batch_t *b)
{
    uint32_t  random;

    random = b->random;

    free(b->blocks);
    memset(b, 0, sizeof(*b));

    b->random = random;
}


int
trk_batch_add(trk_batch_t *b, int32_t day, uint32_t rows)
{
    size_t              cap;
    trk_batch_block_t  *blocks;

    if (b->nblocks == b->cap) {
        cap = b->cap ? b->cap * 2 : 4;

        blocks = realloc(b->blocks, cap * sizeof(*blocks));
        if (blocks == NULL) {
            return TRK_NOMEM;
        }

        b->blocks = blocks;
        b->cap = cap;
    }

    b->blocks[b->nblocks++] = (trk_batch_block_t) {
        .day = day, .rows = rows, .token = 1
    };

    return TRK_OK;
}


static trk_batch_do_t
enter(trk_batch_t *b, trk_batch_state_t state, trk_batch_do_t what)
{
    b->state = state;

    return what;
}


static trk_batch_do_t
ask_intent(trk_batch_t *b, int64_t mono)
{
    b->asked = mono;

    return enter(b, TRK_BATCH_INTENT, TRK_DO_INTENT);
}


static int
all_done(const trk_batch_t *b)
{
    size_t  i;

    for (i = 0; i < b->nblocks; i++) {
        if (!b->blocks[i].done) {
            return 0;
        }
    }

    return 1;
}


/* The first thing that is not yet true of the batch, in the order in which
 * they must become true. */

static trk_batch_do_t
advance(trk_batch_t *b, int64_t mono)
{
    size_t  i;

    if (!b->committed) {
        return ask_intent(b, mono);
    }

    if (b->kill) {
        return enter(b, TRK_BATCH_KILL, TRK_DO_KILL);
    }

    if (b->mode == TRK_RANGE_LOOK && !b->looked) {
        return enter(b, TRK_BATCH_LOOK, TRK_DO_LOOK);
    }

    for (i = 0; i < b->nblocks; i++) {
        if (b->blocks[i].answered) {
            continue;
        }

        if (mono - b->known >= TRK_BATCH_INTENT_MS) {
            return ask_intent(b, mono);
        }

        b->current = i;
        return enter(b, TRK_BATCH_SEND, TRK_DO_SEND);
    }

    if (b->doubt && !all_done(b)) {
        return enter(b, TRK_BATCH_LOOK, TRK_DO_LOOK);
    }

    if (b->ndead && !b->dead_done) {
        return enter(b, TRK_BATCH_DEAD, TRK_DO_DEAD);
    }

    return enter(b, TRK_BATCH_COMMIT, TRK_DO_COMMIT);
}


static uint32_t
next_random(uint32_t x)
{
    x = x ? x : 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;

    return x;
}


/* Exponential, and between half and all of it by chance: loaders that failed
 * together do not come back together. */

static trk_batch_do_t
back_off(trk_batch_t *b, int64_t mono)
{
    uint32_t  delay, shift;

    shift = b->failures < 16 ? b->failures : 16;
    delay = (uint32_t) TRK_BATCH_BACKOFF_MS << shift;
    delay = delay < TRK_BATCH_BACKOFF_MAX ? delay : TRK_BATCH_BACKOFF_MAX;

    b->failures++;
    b->random = next_random(b->random);
    b->wake = mono + delay / 2 + b->random % (delay / 2 + 1);

    return enter(b, TRK_BATCH_WAIT, TRK_DO_NOTHING);
}


trk_batch_do_t
trk_batch_begin(trk_batch_t *b, trk_range_mode_t mode,
    const trk_intent_t *intent, int64_t mono)
{
    b->mode = mode;
    b->intent = *intent;
    b->intent.look = (mode == TRK_RANGE_LOOK);
    b->doubt = (mode != TRK_RANGE_PLAIN);

    return advance(b, mono);
}


/* The confirmed thing becomes a fact.  In doubt an answer to a SEND is only
 * an answer; else it is proof. */

static void
confirm(trk_batch_t *b)
{
    switch (b->state) {

    case TRK_BATCH_INTENT:
        b->committed = 1;
        b->known = b->asked;
        break;

    case TRK_BATCH_KILL:
        b->kill = 0;
        break;

    case TRK_BATCH_SEND:
        b->blocks[b->current].answered = 1;
        b->blocks[b->current].done = !b->doubt;
        break;

    default: /* TRK_BATCH_DEAD */
        b->dead_done = 1;
        break;
    }

    /* A send that follows a failed one shows nothing new until it is looked
     * at: the backoff goes on from where it was while looks find no way. */

    if (!b->stuck) {
        b->failures = 0;
    }
}


static trk_batch_do_t
succeed(trk_batch_t *b, int64_t mono)
{
    if (b->state == TRK_BATCH_COMMIT) {
        return enter(b, TRK_BATCH_IDLE, TRK_DO_FINISH);
    }

    if (b->state == TRK_BATCH_LOOK) {
        return TRK_DO_NOTHING;      /* trk_batch_looked() tells that */
    }

    confirm(b);

    return advance(b, mono);
}


static trk_batch_do_t
fail(trk_batch_t *b, int64_t mono)
{
    if (b->state == TRK_BATCH_SEND) {
        b->kill = 1;
        b->doubt = 1;
    }

    return back_off(b, mono);
}


static int
under_way(const trk_batch_t *b)
{
    return b->state >= TRK_BATCH_INTENT && b->state <= TRK_BATCH_COMMIT;
}


trk_batch_do_t
trk_batch_step(trk_batch_t *b, trk_batch_event_t event, int64_t mono)
{
    if (event == TRK_ON_TICK) {
        return (b->state == TRK_BATCH_WAIT && mono >= b->wake)
               ? advance(b, mono) : TRK_DO_NOTHING;
    }

    if (!under_way(b)) {
        return TRK_DO_NOTHING;
    }

    switch (event) {

    case TRK_ON_OK:
        return succeed(b, mono);

    case TRK_ON_HOLD:
        b->wake = mono + TRK_BATCH_HOLD_MS;
        return enter(b, TRK_BATCH_WAIT, TRK_DO_NOTHING);

    case TRK_ON_FENCED:
        if (b->state == TRK_BATCH_INTENT || b->state == TRK_BATCH_COMMIT) {
            return enter(b, TRK_BATCH_LOST, TRK_DO_FORGET);
        }
        return TRK_DO_NOTHING;

    default: /* TRK_ON_FAILED */
        return fail(b, mono);
    }
}


/* A block that was answered: does it stand?  If not, it is sent again, under
 * a new token only where that cannot make rows stand twice.  Returns 1 where
 * nothing but waiting is left. */

static int
judge(trk_batch_t *b, trk_batch_block_t *block, int restarted, int *hole)
{
    if (block->absent == 0) {
        block->done = 1;
        return 0;
    }

    block->answered = 0;

    if (block->absent < block->rows) {
        return 1;                   /* a block is atomic: this cannot be */
    }

    if (block->token < b->intent.token) {
        block->token++;
        return 0;
    }

    if (restarted) {
        *hole = 1;
        block->token++;
        return 0;
    }

    return 1;
}


static trk_batch_do_t
judge_all(trk_batch_t *b, int64_t started, int64_t now, int64_t mono)
{
    int     hole, stuck;
    size_t  i;

    hole = 0;
    stuck = 0;

    for (i = 0; i < b->nblocks; i++) {
        if (!b->blocks[i].done) {
            stuck |= judge(b, &b->blocks[i], started >= b->intent.at, &hole);
        }
    }

    if (hole) {
        b->intent.token++;
        b->intent.at = now;
        b->committed = 0;
        b->holes++;
    }

    if (stuck) {
        b->stuck++;
        return back_off(b, mono);
    }

    b->stuck = 0;
    b->failures = 0;

    return advance(b, mono);
}


trk_batch_do_t
trk_batch_looked(trk_batch_t *b, int64_t started, int64_t now, int64_t mono)
{
    if (b->state != TRK_BATCH_LOOK) {
        return TRK_DO_NOTHING;
    }

    if (b->mode == TRK_RANGE_LOOK && !b->looked) {
        b->looked = 1;
        b->failures = 0;
        return advance(b, mono);
    }

    return judge_all(b, started, now, mono);
}


int
trk_batch_full(const trk_batch_limits_t *limits, size_t records, size_t bytes,
    size_t dates)
{
    return records >= limits->rows || bytes >= limits->bytes
           || dates >= TRK_BATCH_DATES;
}


int
trk_batch_ripe(const trk_batch_limits_t *limits, size_t dates, int64_t age)
{
    int64_t  quarters;

    quarters = dates > 4 ? (int64_t) dates : 4;

    return age * 4 >= limits->age * quarters;
}
