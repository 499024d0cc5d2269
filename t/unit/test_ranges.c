/*
 * Sets of ranges against an array of flags, in random operations; and at
 * their bound.
 */

#include "tap.h"
#include "trk_ranges.h"


#define UNIVERSE  300


static uint32_t
next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}


/* 1: ascending, never touching, and, if exact, just the flagged numbers;
 * else at least those. */
static int
agrees(const trk_ranges_t *r, const char *flags, int exact)
{
    char      seen[UNIVERSE + 1] = { 0 };
    size_t    i;
    uint64_t  k;

    for (i = 0; i < r->n; i++) {
        if (r->spans[i].first > r->spans[i].last
            || r->spans[i].first < 1 || r->spans[i].last > UNIVERSE
            || (i > 0 && r->spans[i].first <= r->spans[i - 1].last + 1))
        {
            return 0;
        }

        for (k = r->spans[i].first; k <= r->spans[i].last; k++) {
            seen[k] = 1;
        }
    }

    for (k = 1; k <= UNIVERSE; k++) {
        if (exact ? seen[k] != flags[k] : seen[k] < flags[k]) {
            return 0;
        }
    }

    return 1;
}


/* Returns how many of the rounds went wrong. */
static int
rounds(size_t max, int exact, uint32_t seed)
{
    int           i, k, wrong;
    char          flags[UNIVERSE + 1] = { 0 };
    uint64_t      first, last;
    trk_ranges_t  r;

    wrong = 0;

    if (trk_ranges_init(&r, max) != TRK_OK) {
        return -1;
    }

    for (i = 0; i < 20000; i++) {
        first = next(&seed) % UNIVERSE + 1;
        last = first + next(&seed) % (next(&seed) % 4 ? 3 : 40);
        last = last > UNIVERSE ? UNIVERSE : last;

        /* phases in which the set grows, and in which it shrinks */

        k = next(&seed) % 100 < (i / 500 % 2 ? 75u : 25u);

        if (k) {
            trk_ranges_add(&r, first, last);

        } else {
            trk_ranges_remove(&r, first, last);
        }

        memset(flags + first, k, last - first + 1);

        wrong += !agrees(&r, flags, exact) || r.n > max;
    }

    ok(exact == (r.merged == 0), "%zu spans at most: %llu gaps filled", max,
       (unsigned long long) r.merged);

    trk_ranges_clear(&r);
    wrong += r.n != 0;
    trk_ranges_free(&r);

    return wrong;
}


static void
edges(void)
{
    trk_ranges_t  r;

    is_int(trk_ranges_init(&r, 8), TRK_OK, "a set");

    trk_ranges_remove(&r, 1, 10);
    is_int(r.n, 0, "nothing out of nothing");

    trk_ranges_add(&r, 1, 1);
    trk_ranges_add(&r, UINT64_MAX - 1, UINT64_MAX - 1);
    is_int(r.n, 2, "the ends");

    trk_ranges_add(&r, 2, UINT64_MAX - 2);
    ok(r.n == 1 && r.spans[0].first == 1
       && r.spans[0].last == UINT64_MAX - 1, "everything is one span");

    trk_ranges_remove(&r, 5, 5);
    ok(r.n == 2 && r.spans[0].last == 4 && r.spans[1].first == 6,
       "a hole makes two");

    trk_ranges_free(&r);
}


int
main(void)
{
    edges();

    is_int(rounds(UNIVERSE, 1, 1), 0, "with room: always exact");
    is_int(rounds(8, 0, 2), 0, "with room for 8: never too little");
    is_int(rounds(20, 0, 3), 0, "with room for 20: never too little");

    return done();
}
