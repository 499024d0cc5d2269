/*
 * What an owner of a Kafka partition leaves for the next one, and what the
 * next one makes of it (design: Loader).
 *
 * Before anything of a batch is sent, its first offset is committed with the
 * intent as metadata; the group's generation fences that commit, so whoever
 * reads it knows the only range that an earlier owner may still be sending.
 * Pure: the loader reads and writes what stands here.
 */

#ifndef TRK_INTENT_H
#define TRK_INTENT_H

#include "trk.h"


#define TRK_INTENT_MAX   160            /* bytes of its text */
#define TRK_OFFSET_NONE  ((int64_t) -1)
#define TRK_OFFSET_LAST  INT64_MAX


typedef struct {
    int64_t   first;        /* offsets, both included */
    int64_t   last;
    int64_t   at;           /* ms since the epoch: first sent not before */
    uint32_t  token;        /* greatest token number that may be in use */
    int       look;         /* sent was what a look had found absent */
} trk_intent_t;


/* {"first":a,"last":b,"at":ms[,"token":n][,"look":true]}, no NUL; returns its
 * length, at most TRK_INTENT_MAX. */
size_t trk_intent_format(const trk_intent_t *intent, char *dst);

/* TRK_INVALID: not such a text, a member we do not know included: it may come
 * from a version that means something else by it.  TRK_NOMEM. */
TRK_MUSTCHECK int trk_intent_parse(trk_str_t text, trk_intent_t *intent);


/* How the records of a range must be treated. */
typedef enum {
    TRK_RANGE_PLAIN,    /* nobody can have sent any of it */
    TRK_RANGE_RESEND,   /* an intent: its very blocks again, then a look */
    TRK_RANGE_LOOK      /* may stand: look first, send what is absent */
} trk_range_mode_t;

/* A partition as its new owner finds it. */
typedef struct {
    int64_t       committed;    /* TRK_OFFSET_NONE: no committed offset */
    int           has_intent;
    trk_intent_t  intent;
    int64_t       landed;       /* greatest offset among the rows, or NONE */
    int64_t       low;          /* first offset of Kafka's log */
    int64_t       high;         /* one beyond the last */
} trk_standing_t;

/* What follows from it, and what is still to be passed.  Lives as long as the
 * partition is owned. */
typedef struct {
    int64_t       start;        /* consume from here */
    int           has_intent;   /* [intent.first, intent.last] is ahead */
    trk_intent_t  intent;
    int64_t       look_to;      /* up to here rows may stand, or NONE */
    int64_t       lost_from;    /* Kafka removed [lost_from, lost_to] before */
    int64_t       lost_to;      /*   they were loaded; NONE: nothing lost */
} trk_plan_t;

/*
 * TRK_OK; TRK_CORRUPT: rows, commit or intent lie beyond the end of the log:
 * it was made anew or cut, and must not be taken, for its offsets no longer
 * name what the rows say they do.
 */
TRK_MUSTCHECK int trk_plan_make(trk_plan_t *plan,
    const trk_standing_t *standing);


/* The range a batch beginning at a record may cover. */
typedef struct {
    trk_range_mode_t  mode;
    int64_t           bound;    /* no offset above it; TRK_OFFSET_LAST */
    int               exact;    /* the intent's: neither less nor more */
} trk_range_t;

trk_range_t trk_plan_range(const trk_plan_t *plan, int64_t offset);

/* All below offset has been cut into batches: what lies behind is forgotten. */
void trk_plan_pass(trk_plan_t *plan, int64_t offset);


#endif /* TRK_INTENT_H */
