/*
 * A quick hash for tables whose keys come from the schema.  It does not
 * resist somebody who chooses the keys, and need not: senders choose only
 * what is looked up, and chains are as long as the schema made them.
 */

#ifndef TRK_HASH_H
#define TRK_HASH_H

#include "trk.h"


/* Eight bytes a step: xor, multiply by an odd constant, fold down. */
static inline uint32_t
trk_hash(trk_str_t s)
{
    size_t          n;
    uint64_t        h, w;
    const uint8_t  *p;

    h = s.n * 0x9E3779B97F4A7C15ULL;

    for (p = s.p, n = s.n; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * 0xD6E8FEB86659FD93ULL;
        h ^= h >> 32;
    }

    for (w = 0; n > 0; n--) {
        w = w << 8 | *p++;
    }

    h = (h ^ w) * 0xD6E8FEB86659FD93ULL;

    return (uint32_t) (h ^ h >> 32);
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
