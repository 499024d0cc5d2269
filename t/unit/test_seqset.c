/*
 * Sets of sequence numbers, against an array of flags.
 */

#include "tap.h"
#include "trk_seqset.h"


#define N  200000


static uint32_t  state = 1;


static uint32_t
rnd(uint32_t n)
{
    state = state * 1664525 + 1013904223;

    return (state >> 8) % n;
}


/* Whether set and flags[0..N) hold the same, by its runs and by has(). */
static int
same(const trk_seqset_t *set, const uint8_t *flags, uint64_t base)
{
    uint64_t  i, n, first, last, next;

    n = 0;
    next = 0;

    for (i = 0; i < N; i++) {
        n += flags[i];

        if (flags[i] != trk_seqset_has(set, base + i)) {
            return 0;
        }
    }

    while (trk_seqset_next(set, base + next, &first, &last)) {

        for (i = next; i < first - base; i++) {
            if (flags[i]) {
                return 0;
            }
        }

        for (i = first - base; i <= last - base; i++) {
            if (!flags[i]) {
                return 0;
            }
        }

        n -= last - first + 1;
        next = last - base + 1;
    }

    return n == 0;
}


static void
simple(void)
{
    uint64_t      first, last;
    trk_seqset_t  set;

    memset(&set, 0, sizeof(set));

    ok(!trk_seqset_next(&set, 0, &first, &last), "an empty set has no runs");
    ok(!trk_seqset_has(&set, 5), "nor members");
    trk_seqset_remove(&set, 5);

    is_int(trk_seqset_add(&set, 5), TRK_OK, "one is added");
    is_int(trk_seqset_add(&set, 5), TRK_OK, "twice");
    is_int(set.count, 1, "and counted once");
    ok(trk_seqset_next(&set, 0, &first, &last) && first == 5 && last == 5,
       "it is a run of its own");
    ok(!trk_seqset_next(&set, 6, &first, &last), "the only one");

    is_int(trk_seqset_add(&set, 5 + (UINT64_C(1) << 40)), TRK_LIMIT,
           "too far beyond");
    is_int(trk_seqset_add(&set, 100000), TRK_OK, "pages between are absent");
    is_int(trk_seqset_add(&set, 100001), TRK_OK, "and the next");
    ok(trk_seqset_next(&set, 6, &first, &last) && first == 100000
       && last == 100001, "a run of two");

    trk_seqset_remove(&set, 5);
    trk_seqset_remove(&set, 100000);
    trk_seqset_remove(&set, 100001);
    is_int(set.count, 0, "empty again");
    is_int(trk_seqset_add(&set, 5 + (UINT64_C(1) << 40)), TRK_OK,
           "an empty set begins anywhere");
    is_int(trk_seqset_add(&set, 5), TRK_LIMIT, "too far before");

    trk_seqset_free(&set);
}


/* Numbers in a row take no memory, however many they are. */
static void
dense(void)
{
    uint64_t      i, first, last;
    trk_seqset_t  set;

    memset(&set, 0, sizeof(set));

    for (i = 10; i < 200000; i++) {
        if (trk_seqset_add(&set, i) != TRK_OK) {
            break;
        }
    }

    ok(i == 200000 && set.count == 200000 - 10, "a long run");
    ok(set.pages[1] && set.pages[1] == set.pages[2]
       && set.pages[1] == set.pages[5], "its full pages are the same");
    ok(trk_seqset_next(&set, 0, &first, &last) && first == 10
       && last == 199999, "the run is whole");
    is_int(trk_seqset_add(&set, 70000), TRK_OK, "one of them again");
    is_int(set.count, 200000 - 10, "counts once");

    trk_seqset_remove(&set, 70000);
    ok(set.pages[1] != set.pages[2] && set.pages[1] == set.pages[5],
       "one is taken out: that page is for itself");
    ok(!trk_seqset_has(&set, 70000) && trk_seqset_has(&set, 69999)
       && trk_seqset_has(&set, 70001), "without that one");
    ok(trk_seqset_next(&set, 70000, &first, &last) && first == 70001
       && last == 199999, "and the run is two");

    is_int(trk_seqset_add(&set, 70000), TRK_OK, "back again");
    ok(set.pages[1] == set.pages[2], "it is one of them again");

    trk_seqset_free(&set);
}


static void
random_walk(uint64_t base)
{
    size_t        i, round;
    uint32_t      from, n, add;
    uint8_t      *flags;
    trk_seqset_t  set;

    memset(&set, 0, sizeof(set));
    flags = calloc(1, N);

    for (round = 0; round < 60; round++) {
        from = rnd(N);
        n = rnd(rnd(2) ? 100 : 50000);
        add = rnd(2);

        for (i = from; i < from + n && i < N; i++) {
            flags[i] = (uint8_t) add;

            if (add) {
                if (trk_seqset_add(&set, base + i) != TRK_OK) {
                    break;
                }

            } else {
                trk_seqset_remove(&set, base + i);
            }
        }

        if (!same(&set, flags, base)) {
            break;
        }
    }

    is_int(round, 60, "as an array of flags, from %llu on",
           (unsigned long long) base);

    trk_seqset_free(&set);
    free(flags);
}


int
main(void)
{
    simple();
    dense();
    random_walk(0);
    random_walk(32768);
    random_walk(UINT64_C(1) << 50);

    return done();
}
