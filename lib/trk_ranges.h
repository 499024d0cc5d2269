/*
 * Sets of numbers as ranges, bounded: which seqs of an edge a spool holds.
 * Numbers are 1 and above.  An object belongs to the thread that uses it.
 */

#ifndef TRK_RANGES_H
#define TRK_RANGES_H

#include "trk.h"


/* Both ends included; in a list ascending, and never touching. */
typedef struct {
    uint64_t  first;
    uint64_t  last;
} trk_span_t;

typedef struct {
    trk_span_t  *spans;
    size_t       n;
    size_t       cap;
    size_t       max;       /* spans; never more */
    uint64_t     merged;    /* gaps that were filled for want of room */
} trk_ranges_t;


/* An empty set of at most max (>= 8) spans.  TRK_NOMEM. */
TRK_MUSTCHECK int trk_ranges_init(trk_ranges_t *r, size_t max);
void trk_ranges_free(trk_ranges_t *r);

/*
 * Both never fail.  A set that has no room, or finds no memory, for one span
 * more fills its smallest gaps first: from then on it may name numbers that
 * are not in it, never the other way round.  They stay until clear.
 */
void trk_ranges_add(trk_ranges_t *r, uint64_t first, uint64_t last);
void trk_ranges_remove(trk_ranges_t *r, uint64_t first, uint64_t last);

void trk_ranges_clear(trk_ranges_t *r);


#endif /* TRK_RANGES_H */
