/*
 * The book of one edge: which numbers it gave to events, and what became of
 * each.  It lies in memory that outlives its keeper, who may be killed
 * between any two instructions; whoever takes it over then goes on from
 * there.  So all stores are made in the order in which they stand, and what
 * holds after each of them is a valid book.
 *
 * One process at a time calls anything here.  The words of trk_book_t may be
 * read by all at any time.
 *
 * A number is open until its outcome is known; all up to `upto` are closed.
 * Of those only what is not simply safe is remembered, as ranges, until a
 * beat has told it.
 */

#ifndef TRK_BOOK_H
#define TRK_BOOK_H

#include "trk.h"


typedef enum {
    TRK_BOOK_OPEN = 1,  /* not acknowledged yet */
    TRK_BOOK_HASTY,     /* open, but acknowledged already */
    TRK_BOOK_SAFE,      /* Kafka has it, or the disk */
    TRK_BOOK_VOID,      /* will never be acknowledged */
    TRK_BOOK_LOST       /* was acknowledged, and is gone */
} trk_book_state_t;


/* Numbers, both ends included; in a list ascending, and never touching. */
typedef struct {
    uint64_t  first;
    uint64_t  last;
} trk_span_t;

/* Plain values; behind it lie two lists of spans, and a byte for each number
 * of the window. */
typedef struct {
    uint64_t  window;       /* numbers open at the same time, at most */
    uint64_t  nspans;       /* room of each list */
    uint64_t  opened;       /* the last number that was given */
    uint64_t  rejected;     /* of those, to rejected events */
    uint64_t  undoable;     /* of rejected, by the last open */
    uint64_t  upto;         /* all up to here are closed */
    uint64_t  told;         /* a delivered beat has said all up to here */
    uint64_t  beat;         /* the number of the last beat */
    uint64_t  merged;       /* gaps in the lists filled for want of room: */
    uint64_t  nvoid;        /*   safe numbers that they name */
    uint64_t  nlost;
} trk_book_t;

/* window: a power of two, spans: at least 2 */
#define trk_book_size(window, spans)                                          \
    (sizeof(trk_book_t) + 2 * (spans) * sizeof(trk_span_t) + (window))


/* Makes size(window, spans) bytes an empty book. */
void trk_book_init(trk_book_t *b, uint64_t window, uint64_t spans);

/* The first of n >= 1 numbers in a row, `rejected` of them for rejected
 * events; 0: too many are open.  hasty: acknowledged before the outcome is
 * known. */
uint64_t trk_book_open(trk_book_t *b, uint64_t n, uint64_t rejected,
    int hasty);

/* Gives back the n numbers of the last open; nothing carries them. */
void trk_book_undo(trk_book_t *b, uint64_t first, uint64_t n);

/* The outcome: SAFE, VOID or LOST.  1; 0: it has one already, which stays. */
int trk_book_close(trk_book_t *b, uint64_t seq, trk_book_state_t outcome);

/* Nobody will close the open ones any more: they are void, or lost if they
 * were hasty.  *nvoid, *nlost: how many. */
void trk_book_finish(trk_book_t *b, uint64_t *nvoid, uint64_t *nlost);

/* The ranges of (told, upto] that are void, or lost, into nspans of dst;
 * returns how many. */
size_t trk_book_void(const trk_book_t *b, trk_span_t *dst);
size_t trk_book_lost(const trk_book_t *b, trk_span_t *dst);

/* The number of the next beat: now (ms since the epoch), but greater than
 * the last one. */
uint64_t trk_book_number(trk_book_t *b, uint64_t now);

/* A beat of all up to there was delivered; its ranges are forgotten. */
void trk_book_tell(trk_book_t *b, uint64_t upto);


#endif /* TRK_BOOK_H */
