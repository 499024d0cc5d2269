/*
 * A histogram of times: 64 buckets for every power of two, so that a
 * percentile is at most 1.6 % too large.
 */

#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>


#define HISTOGRAM_STEPS    64
#define HISTOGRAM_BUCKETS  (59 * HISTOGRAM_STEPS)


typedef struct {
    uint64_t  count;
    uint64_t  max;
    uint64_t  buckets[HISTOGRAM_BUCKETS];
} histogram_t;


static inline unsigned
histogram_index(uint64_t v)
{
    unsigned  shift;

    if (v < HISTOGRAM_STEPS) {
        return (unsigned) v;
    }

    /* v >> shift is within [64, 128) */

    shift = 57 - (unsigned) __builtin_clzll(v);

    return (shift + 1) * HISTOGRAM_STEPS
           + (unsigned) (v >> shift) - HISTOGRAM_STEPS;
}


/* The smallest value above the bucket. */

static inline uint64_t
histogram_bound(unsigned i)
{
    unsigned  shift;

    if (i < HISTOGRAM_STEPS) {
        return i + 1;
    }

    shift = i / HISTOGRAM_STEPS - 1;

    return (uint64_t) (i % HISTOGRAM_STEPS + HISTOGRAM_STEPS + 1) << shift;
}


static inline void
histogram_add(histogram_t *h, uint64_t v)
{
    h->count++;
    h->buckets[histogram_index(v)]++;

    if (v > h->max) {
        h->max = v;
    }
}


/* What `share` of the values do not exceed; 0 without values. */

static inline uint64_t
histogram_percentile(const histogram_t *h, double share)
{
    unsigned  i;
    uint64_t  wanted, seen;

    wanted = (uint64_t) (share * (double) h->count);
    seen = 0;

    for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];

        if (seen > wanted) {
            return histogram_bound(i) < h->max ? histogram_bound(i) : h->max;
        }
    }

    return h->max;
}


#endif /* HISTOGRAM_H */
