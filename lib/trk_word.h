/*
 * Many bytes of text at once: eight in a word, of which the first byte is the
 * lowest, whatever the machine; and those that a JSON string holds as they
 * are, in chunks of the widest kind that every machine of its architecture
 * has: 16 with SSE2, which all of x86-64 has, else a word.  Nothing beyond
 * the end of a text is ever read.
 */

#ifndef TRK_WORD_H
#define TRK_WORD_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(TRK_WORDS_ONLY)
#include <emmintrin.h>
#define TRK_CHUNK  16
#else
#define TRK_CHUNK  8
#endif


#define TRK_WORD_ONES  0x0101010101010101ULL
#define TRK_WORD_TOPS  0x8080808080808080ULL


/* The eight bytes at p. */
static inline uint64_t
trk_word(const uint8_t *p)
{
    uint64_t  w;

    memcpy(&w, p, 8);

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif

    return w;
}


/* The n bytes at a are those at b: two loads of each, which overlap, if there
 * are 4 to 16 of them. */
static inline int
trk_word_eq(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint32_t  a4[2], b4[2];
    uint64_t  a8[2], b8[2];

    if (n >= 8 && n <= 16) {
        memcpy(&a8[0], a, 8);
        memcpy(&b8[0], b, 8);
        memcpy(&a8[1], a + n - 8, 8);
        memcpy(&b8[1], b + n - 8, 8);

        return ((a8[0] ^ b8[0]) | (a8[1] ^ b8[1])) == 0;
    }

    if (n >= 4 && n < 8) {
        memcpy(&a4[0], a, 4);
        memcpy(&b4[0], b, 4);
        memcpy(&a4[1], a + n - 4, 4);
        memcpy(&b4[1], b + n - 4, 4);

        return ((a4[0] ^ b4[0]) | (a4[1] ^ b4[1])) == 0;
    }

    return n == 0 || memcmp(a, b, n) == 0;
}


/*
 * What of the TRK_CHUNK bytes at p a JSON string cannot hold as it is, or is
 * not ASCII: a control, a quote, a backslash, 0x80 and above.  0: none;
 * else trk_chunk_first() tells the first one.
 */

#if TRK_CHUNK == 16

static inline uint64_t
trk_chunk_special(const uint8_t *p)
{
    __m128i  v, low, hit;

    /* only the top bit of each byte counts; taken with its sign, a byte that
     * is not ASCII is below a space, too */

    v = _mm_loadu_si128((const __m128i *) (const void *) p);
    low = _mm_subs_epi8(v, _mm_set1_epi8(' '));
    hit = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                       _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

    return (unsigned) _mm_movemask_epi8(_mm_or_si128(hit, low));
}

#define trk_chunk_first(hit)  ((unsigned) __builtin_ctz((unsigned) (hit)))

#else

/* Bits above the lowest one that is set may be wrong, since a borrow goes
 * up. */

static inline uint64_t
trk_chunk_special(const uint8_t *p)
{
    uint64_t  w;

    w = trk_word(p);

    return ((w - TRK_WORD_ONES * 0x20)
            | ((w ^ TRK_WORD_ONES * '"') - TRK_WORD_ONES)
            | ((w ^ TRK_WORD_ONES * '\\') - TRK_WORD_ONES)
            | w)
           & TRK_WORD_TOPS;
}

#define trk_chunk_first(hit)  ((unsigned) __builtin_ctzll(hit) / 8)

#endif


/* The first byte from p on that a JSON string cannot hold as it is, or that
 * is not ASCII; end: there is none. */
static inline const uint8_t *
trk_plain(const uint8_t *p, const uint8_t *end)
{
    uint64_t  hit;

    for ( /* void */ ; end - p >= TRK_CHUNK; p += TRK_CHUNK) {
        hit = trk_chunk_special(p);

        if (hit) {
            return p + trk_chunk_first(hit);
        }
    }

    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


#endif /* TRK_WORD_H */
