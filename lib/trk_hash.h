/*
 * A quick hash for tables whose keys come from the schema.  It does not
 * resist somebody who chooses the keys, and need not: senders choose only
 * what is looked up, and chains are as long as the schema made them.
 */

#ifndef TRK_HASH_H
#define TRK_HASH_H

#include "trk.h"
#include "trk_word.h"


/* Eight bytes a step: xor, multiply by an odd constant, fold down.  Up to
 * seven bytes are left: n, which is in h, and w tell all of them. */
static inline uint32_t
trk_hash(trk_str_t s)
{
    size_t          n;
    uint32_t        low, high;
    uint64_t        h, w;
    const uint8_t  *p;

    h = s.n * 0x9E3779B97F4A7C15ULL;

    for (p = s.p, n = s.n; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * 0xD6E8FEB86659FD93ULL;
        h ^= h >> 32;
    }

    if (n >= 4) {
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        w = (uint64_t) high << 32 | low;

    } else if (n > 0) {
        w = (uint64_t) p[0] << 16 | (uint64_t) p[n / 2] << 8 | p[n - 1];

    } else {
        w = 0;
    }

    h = (h ^ w) * 0xD6E8FEB86659FD93ULL;

    return (uint32_t) (h ^ h >> 32);
}


/* Of a name of n bytes by its ends alone: tells the names of an object's
 * members apart, mostly, in the time that two loads take.  The factors are
 * those by which no two names of an event, of a context or of a record have
 * the same last six bits, and none of an event or of a context the same last
 * four. */
#define trk_hash_ends(n, first, last)  ((n) * 8U + (first) * 3U + (last) * 5U)


/* A table of names that never change, found by their ends: where a name
 * stands in it, if it is there.  A name is put there with its ends spelled
 * out, since C takes no character of a literal as a constant; two that want
 * one place do not compile. */

#define TRK_NAME_SLOTS  16

#define trk_name_slot(n, first, last)                                         \
    (trk_hash_ends(n, first, last) % TRK_NAME_SLOTS)

static inline unsigned
trk_name_find(trk_str_t s)
{
    return s.n ? (unsigned) trk_name_slot(s.n, s.p[0], s.p[s.n - 1]) : 0;
}

/* trk_str_eq() for what is expected to be equal and short: no call. */
static inline int
trk_name_eq(trk_str_t a, trk_str_t b)
{
    return a.n == b.n && trk_word_eq(a.p, b.p, a.n);
}


/* Of a SHA-256 digest, any bytes of which are a hash. */
static inline uint32_t
trk_hash_digest(const uint8_t *digest)
{
    uint32_t  h;

    memcpy(&h, digest, sizeof(h));

    return h;
}


#endif /* TRK_HASH_H */
