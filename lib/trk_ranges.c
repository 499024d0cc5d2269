/*
 * Sets of numbers as a sorted array of ranges.
 *
 * What is spooled comes in order and leaves nearly in order, so the array
 * stays short, and adding touches its end: moving memory in its middle is
 * rare.
 */

#include "trk_ranges.h"

#include <stdlib.h>


#define TRK_RANGES_FIRST  8             /* spans of an empty set */


int
trk_ranges_init(trk_ranges_t *r, size_t max)
{
    memset(r, 0, sizeof(trk_ranges_t));

    r->spans = malloc(TRK_RANGES_FIRST * sizeof(trk_span_t));

    if (r->spans == NULL) {
        return TRK_NOMEM;
    }

    r->cap = TRK_RANGES_FIRST;
    r->max = max;

    return TRK_OK;
}


void
trk_ranges_free(trk_ranges_t *r)
{
    free(r->spans);
    memset(r, 0, sizeof(trk_ranges_t));
}


void
trk_ranges_clear(trk_ranges_t *r)
{
    r->n = 0;
}


/* The first span that ends at seq or behind it; n: none does. */
static size_t
trk_ranges_find(const trk_ranges_t *r, uint64_t seq)
{
    size_t  low, high, mid;

    low = 0;
    high = r->n;

    if (high > 0 && r->spans[high - 1].last < seq) {
        return high;
    }

    while (low < high) {
        mid = low + (high - low) / 2;

        if (r->spans[mid].last < seq) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return low;
}


/* Fills all gaps of up to that many numbers. */
static void
trk_ranges_fill(trk_ranges_t *r, uint64_t gap)
{
    size_t  i, n;

    n = 0;

    for (i = 1; i < r->n; i++) {

        if (r->spans[i].first - r->spans[n].last - 1 <= gap) {
            r->spans[n].last = r->spans[i].last;
            r->merged++;

        } else {
            r->spans[++n] = r->spans[i];
        }
    }

    r->n = n + 1;
}


/* Room for one span more.  A quarter is freed at once, so that a set at its
 * bound is not searched for gaps each time. */
static void
trk_ranges_room(trk_ranges_t *r)
{
    size_t       cap;
    uint64_t     gap;
    trk_span_t  *spans;

    if (r->n < r->cap) {
        return;
    }

    cap = r->cap * 2 < r->max ? r->cap * 2 : r->max;

    if (cap > r->cap) {
        spans = realloc(r->spans, cap * sizeof(trk_span_t));

        if (spans) {
            r->spans = spans;
            r->cap = cap;
            return;
        }
    }

    for (gap = 1; r->n > r->cap - r->cap / 4; gap *= 2) {
        trk_ranges_fill(r, gap);
    }
}


/* Spans i to j - 1 go. */
static void
trk_ranges_erase(trk_ranges_t *r, size_t i, size_t j)
{
    memmove(r->spans + i, r->spans + j, (r->n - j) * sizeof(trk_span_t));
    r->n -= j - i;
}


static void
trk_ranges_insert(trk_ranges_t *r, size_t i, uint64_t first, uint64_t last)
{
    memmove(r->spans + i + 1, r->spans + i, (r->n - i) * sizeof(trk_span_t));
    r->spans[i] = (trk_span_t) { first, last };
    r->n++;
}


void
trk_ranges_add(trk_ranges_t *r, uint64_t first, uint64_t last)
{
    size_t  i, j;

    trk_ranges_room(r);

    /* i to j - 1 overlap or touch */

    i = trk_ranges_find(r, first - 1);

    for (j = i; j < r->n && r->spans[j].first - 1 <= last; j++) { /* void */ }

    if (i == j) {
        trk_ranges_insert(r, i, first, last);
        return;
    }

    if (first < r->spans[i].first) {
        r->spans[i].first = first;
    }

    if (last < r->spans[j - 1].last) {
        last = r->spans[j - 1].last;
    }

    r->spans[i].last = last;

    trk_ranges_erase(r, i + 1, j);
}


void
trk_ranges_remove(trk_ranges_t *r, uint64_t first, uint64_t last)
{
    size_t       i, j;
    trk_span_t  *span;

    trk_ranges_room(r);

    i = trk_ranges_find(r, first);

    if (i < r->n && r->spans[i].first < first) {
        span = &r->spans[i];

        if (span->last > last) {
            trk_ranges_insert(r, i + 1, last + 1, span->last);
        }

        r->spans[i].last = first - 1;
        i++;
    }

    for (j = i; j < r->n && r->spans[j].last <= last; j++) { /* void */ }

    trk_ranges_erase(r, i, j);

    if (i < r->n && r->spans[i].first <= last) {
        r->spans[i].first = last + 1;
    }
}
