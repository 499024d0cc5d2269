/*
 * SHA-256.  See trk_sha256.h.  Names and numbers of sections are those of
 * FIPS 180-4.
 */

#include "trk_sha256.h"


#define TRK_SHA256_BLOCK  64

#define trk_ror(x, n)  ((x) >> (n) | (x) << (32 - (n)))


static void trk_sha256_block(uint32_t hash[8], const uint8_t *p);
static void trk_sha256_rounds(uint32_t hash[8], const uint32_t w[64]);
static inline void trk_sha256_round(uint32_t a, uint32_t b, uint32_t c,
    uint32_t *d, uint32_t e, uint32_t f, uint32_t g, uint32_t *h,
    uint32_t kw);
static uint32_t trk_sha256_word(const uint8_t *p);


/* 4.2.2: of the cube roots of the first 64 primes */

static const uint32_t  trk_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
    0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
    0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};


void
trk_sha256(trk_str_t s, uint8_t digest[TRK_SHA256_LEN])
{
    size_t    i, rest, n;
    uint8_t   tail[2 * TRK_SHA256_BLOCK];
    uint32_t  hash[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

    for (i = 0; s.n - i >= TRK_SHA256_BLOCK; i += TRK_SHA256_BLOCK) {
        trk_sha256_block(hash, s.p + i);
    }

    /* 5.1.1: a one bit, zeros, and the length in bits at the block's end */

    rest = s.n - i;
    n = rest < TRK_SHA256_BLOCK - 8 ? TRK_SHA256_BLOCK : sizeof(tail);

    memset(tail, 0, sizeof(tail));

    if (rest > 0) {
        memcpy(tail, s.p + i, rest);
    }

    tail[rest] = 0x80;

    for (i = 0; i < 8; i++) {
        tail[n - 1 - i] = (uint8_t) ((uint64_t) s.n * 8 >> (8 * i));
    }

    for (i = 0; i < n; i += TRK_SHA256_BLOCK) {
        trk_sha256_block(hash, tail + i);
    }

    for (i = 0; i < TRK_SHA256_LEN; i++) {
        digest[i] = (uint8_t) (hash[i / 4] >> (24 - 8 * (i % 4)));
    }
}


/* 6.2.2, step 1 */

static void
trk_sha256_block(uint32_t hash[8], const uint8_t *p)
{
    size_t    t;
    uint32_t  w[64], s0, s1;

    for (t = 0; t < 16; t++) {
        w[t] = trk_sha256_word(p + 4 * t);
    }

    for ( /* void */ ; t < 64; t++) {
        s0 = trk_ror(w[t - 15], 7) ^ trk_ror(w[t - 15], 18) ^ w[t - 15] >> 3;
        s1 = trk_ror(w[t - 2], 17) ^ trk_ror(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }

    trk_sha256_rounds(hash, w);
}


static void
trk_sha256_rounds(uint32_t hash[8], const uint32_t w[64])
{
    size_t           t;
    uint32_t         a, b, c, d, e, f, g, h;
    const uint32_t  *k;

    a = hash[0];
    b = hash[1];
    c = hash[2];
    d = hash[3];
    e = hash[4];
    f = hash[5];
    g = hash[6];
    h = hash[7];

    for (t = 0; t < 64; t += 8, w += 8) {
        k = trk_sha256_k + t;

        trk_sha256_round(a, b, c, &d, e, f, g, &h, k[0] + w[0]);
        trk_sha256_round(h, a, b, &c, d, e, f, &g, k[1] + w[1]);
        trk_sha256_round(g, h, a, &b, c, d, e, &f, k[2] + w[2]);
        trk_sha256_round(f, g, h, &a, b, c, d, &e, k[3] + w[3]);
        trk_sha256_round(e, f, g, &h, a, b, c, &d, k[4] + w[4]);
        trk_sha256_round(d, e, f, &g, h, a, b, &c, k[5] + w[5]);
        trk_sha256_round(c, d, e, &f, g, h, a, &b, k[6] + w[6]);
        trk_sha256_round(b, c, d, &e, f, g, h, &a, k[7] + w[7]);
    }

    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
    hash[5] += f;
    hash[6] += g;
    hash[7] += h;
}


/* 6.2.2, step 3 for one t; instead of moving a to h along, the next round
 * names them one further */

static inline void
trk_sha256_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e,
    uint32_t f, uint32_t g, uint32_t *h, uint32_t kw)
{
    *h += (trk_ror(e, 6) ^ trk_ror(e, 11) ^ trk_ror(e, 25))
          + ((e & f) ^ (~e & g)) + kw;
    *d += *h;
    *h += (trk_ror(a, 2) ^ trk_ror(a, 13) ^ trk_ror(a, 22))
          + ((a & b) ^ (a & c) ^ (b & c));
}


static uint32_t
trk_sha256_word(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}
