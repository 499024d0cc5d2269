/*
 * Eight bytes of text at once: the first byte is the lowest of the word,
 * whatever the machine.
 */

#ifndef TRK_WORD_H
#define TRK_WORD_H

#include <stdint.h>
#include <string.h>


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


/*
 * The top bit of each byte that a JSON string cannot hold as it is, or that
 * is not ASCII: a control, a quote, a backslash, 0x80 and above.  Bits above
 * the lowest one that is set may be wrong, since a borrow goes up.
 */
static inline uint64_t
trk_word_special(uint64_t w)
{
    return ((w - TRK_WORD_ONES * 0x20)
            | ((w ^ TRK_WORD_ONES * '"') - TRK_WORD_ONES)
            | ((w ^ TRK_WORD_ONES * '\\') - TRK_WORD_ONES)
            | w)
           & TRK_WORD_TOPS;
}


/* Which byte the lowest bit of hit, which is not 0, belongs to. */
static inline unsigned
trk_word_first(uint64_t hit)
{
    return (unsigned) __builtin_ctzll(hit) / 8;
}


#endif /* TRK_WORD_H */
