/*
 * One batch of one partition on its way from Kafka to ClickHouse, as a pure
 * state machine (design: Loader): intent, inserts by date, looks, dead
 * letters, commit.  It holds no rows, does no I/O and reads no clock: it says
 * what to do next, one thing at a time, and is told what came of it.
 *
 *     cut -> INTENT -> SEND, one for each date -> DEAD -> COMMIT -> idle
 *
 * A failed SEND leaves doubt: KILL what may still run, SEND the same block
 * with the same token, and LOOK whether its rows stand.  An earlier owner's
 * range begins in doubt (RESEND), or with a LOOK that decides what is sent.
 * Every other failure waits, with backoff and jitter, and tries again.
 *
 * What keeps a row from standing twice:
 *   - range, rows and token of a block never change once it may have been
 *     sent, so the server drops what it has had before;
 *   - nothing is sent later than TRK_BATCH_INTENT_MS after its intent was
 *     committed: a process that slept asks first whether it still owns;
 *   - a block that was answered but is absent gets a new token only if the
 *     server has started since the intent (it may have died between writing
 *     the token and the rows), and the new token's number is in a new intent
 *     before it is used.
 */

#ifndef TRK_BATCH_H
#define TRK_BATCH_H

#include "trk_intent.h"


#define TRK_BATCH_INTENT_MS    60000    /* an intent is good for so long */
#define TRK_BATCH_BACKOFF_MS   100      /* first wait; doubles */
#define TRK_BATCH_BACKOFF_MAX  15000
#define TRK_BATCH_HOLD_MS      50
#define TRK_BATCH_DATES        32       /* blocks of a batch, unless exact */


typedef enum {
    TRK_BATCH_IDLE = 0,
    TRK_BATCH_INTENT,       /* the intent's commit is under way */
    TRK_BATCH_KILL,         /* KILL QUERY for this partition's inserts is */
    TRK_BATCH_SEND,         /* the insert of blocks[current] is */
    TRK_BATCH_LOOK,         /* the look at [first, last] is */
    TRK_BATCH_DEAD,         /* the dead letters' reports are awaited */
    TRK_BATCH_COMMIT,       /* the commit of last + 1 is under way */
    TRK_BATCH_WAIT,         /* nothing is, until `wake` */
    TRK_BATCH_LOST          /* the group gave the partition to another */
} trk_batch_state_t;

/* What the machine wants done.  All but the last three are answered by one
 * event. */
typedef enum {
    TRK_DO_NOTHING = 0,
    TRK_DO_INTENT,
    TRK_DO_KILL,
    TRK_DO_SEND,
    TRK_DO_LOOK,
    TRK_DO_DEAD,
    TRK_DO_COMMIT,
    TRK_DO_FINISH,          /* all is done: free it, cut the next */
    TRK_DO_FORGET           /* lost: free it, touch nothing any more */
} trk_batch_do_t;

typedef enum {
    TRK_ON_OK,
    TRK_ON_FAILED,          /* no, or unknown whether */
    TRK_ON_FENCED,          /* of a commit: the partition is not ours */
    TRK_ON_HOLD,            /* nothing was begun: ask again soon */
    TRK_ON_TICK             /* time has passed */
} trk_batch_event_t;

/* The block of one event_date. */
typedef struct {
    int32_t   day;          /* days since the epoch */
    uint32_t  rows;
    uint32_t  absent;       /* rows the last look did not find */
    uint32_t  token;        /* number of its token, from 1 */
    uint8_t   answered;     /* the server has said yes to this token */
    uint8_t   done;         /* and that is proof enough, or a look was */
} trk_batch_block_t;

typedef struct {
    trk_batch_state_t   state;
    trk_range_mode_t    mode;
    trk_intent_t        intent;     /* as committed, or about to be */
    trk_batch_block_t  *blocks;     /* owned */
    size_t              nblocks;
    size_t              cap;
    size_t              current;    /* DO_SEND: the block */
    size_t              ndead;

    int64_t             asked;      /* monotonic ms of the last DO_INTENT */
    int64_t             known;      /* and of the one that was confirmed */
    int64_t             wake;       /* WAIT: monotonic ms */
    uint32_t            failures;   /* in a row */
    uint32_t            stuck;      /* looks in a row that found no way out */
    uint32_t            holes;      /* new tokens taken */
    uint32_t            random;     /* jitter; any seed */

    uint8_t             committed;  /* the intent, with its present content */
    uint8_t             kill;       /* a KILL is due */
    uint8_t             doubt;      /* an answer is no proof: look */
    uint8_t             looked;     /* LOOK: the first look is done */
    uint8_t             dead_done;
} trk_batch_t;


/* Zeroed memory is an idle batch.  Frees what it owns; idle again. */
void trk_batch_reset(trk_batch_t *b);

/* A block, by ascending day: before trk_batch_begin(), or, in LOOK mode,
 * before the first look's TRK_ON_OK.  TRK_NOMEM. */
TRK_MUSTCHECK int trk_batch_add(trk_batch_t *b, int32_t day, uint32_t rows);

/*
 * An idle batch begins.  intent->at is now (ms since the epoch), its token 1;
 * of a range that an earlier owner has left, they are that owner's.  Returns
 * TRK_DO_INTENT.  mono is monotonic ms, here and below.
 */
trk_batch_do_t trk_batch_begin(trk_batch_t *b, trk_range_mode_t mode,
    const trk_intent_t *intent, int64_t mono);

/*
 * The answer to what was last to be done, or TRK_ON_TICK; what does not fit
 * the state is ignored.  Returns the next thing to do.
 */
trk_batch_do_t trk_batch_step(trk_batch_t *b, trk_batch_event_t event,
    int64_t mono);

/*
 * The answer to DO_LOOK: blocks[].absent are set (of the first look of LOOK
 * mode: the blocks themselves, and ndead).  started is when the server
 * started, and now is now, both ms since the epoch by one clock.
 */
trk_batch_do_t trk_batch_looked(trk_batch_t *b, int64_t started, int64_t now,
    int64_t mono);


/* When an open batch is cut. */
typedef struct {
    size_t   rows;
    size_t   bytes;
    int64_t  age;           /* ms, of its first record */
} trk_batch_limits_t;

/* No room for another record. */
int trk_batch_full(const trk_batch_limits_t *limits, size_t records,
    size_t bytes, size_t dates);

/* Old enough to be cut although not full.  Each date is an insert of its own,
 * so more than 4 of them are allowed more time. */
int trk_batch_ripe(const trk_batch_limits_t *limits, size_t dates,
    int64_t age);


#endif /* TRK_BATCH_H */
