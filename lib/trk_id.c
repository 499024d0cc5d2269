/*
 * UUIDs and hex.  See trk_id.h.
 */

#include "trk_id.h"
#include "trk_word.h"


static uint64_t trk_unhex_eight(uint8_t *dst, const uint8_t *a,
    const uint8_t *b);


/* the two digits of each byte */

static const char  trk_hex_pairs[] =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
    "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
    "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
    "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
    "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
    "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";


/* where in a UUID's text the digits of each byte stand */

static const uint8_t  trk_uuid_at[16] = {
    0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34
};


/* one more than the value of a hex digit; 0: it is none */

static const uint8_t  trk_hex_values[256] = {
    ['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ['A'] = 11, 12, 13, 14, 15, 16,
    ['a'] = 11, 12, 13, 14, 15, 16
};


int
trk_uuid_parse(trk_str_t s, trk_uuid_t *u)
{
    uint64_t  wrong;

    if (s.n != TRK_UUID_LEN || s.p[8] != '-' || s.p[13] != '-'
        || s.p[18] != '-' || s.p[23] != '-')
    {
        return TRK_INVALID;
    }

    wrong = trk_unhex_eight(u->b, s.p, s.p + 4);
    wrong |= trk_unhex_eight(u->b + 4, s.p + 9, s.p + 14);
    wrong |= trk_unhex_eight(u->b + 8, s.p + 19, s.p + 24);
    wrong |= trk_unhex_eight(u->b + 12, s.p + 28, s.p + 32);

    return wrong ? TRK_INVALID : TRK_OK;
}


/*
 * Four bytes of eight hex digits, which stand in two places, all at once.  A
 * sum takes the top bit of a byte that is not below a bound; no byte carries
 * into the next, since those that are not ASCII are looked for first and have
 * no top bit in the sums.  Not 0: others are among the digits.
 */

static inline uint64_t
trk_unhex_eight(uint8_t *dst, const uint8_t *a, const uint8_t *b)
{
    uint8_t   text[8];
    uint64_t  w, low, digit, letter, small;

    memcpy(text, a, 4);
    memcpy(text + 4, b, 4);

    w = trk_word(text);
    low = w & ~TRK_WORD_TOPS;
    small = low | TRK_WORD_ONES * 0x20;

    digit = (low + TRK_WORD_ONES * (0x80 - '0'))
            & ~(low + TRK_WORD_ONES * (0x7F - '9'));
    letter = (small + TRK_WORD_ONES * (0x80 - 'a'))
             & ~(small + TRK_WORD_ONES * (0x7F - 'f')) & TRK_WORD_TOPS;

    /* the value of a letter is 9 more than its low half says */

    low = (low & TRK_WORD_ONES * 0x0F) + (letter >> 7) * 9;
    low = (low << 4 | low >> 8) & 0x00FF00FF00FF00FFULL;
    low = (low | low >> 8) & 0x0000FFFF0000FFFFULL;
    low |= low >> 16;

    dst[0] = (uint8_t) low;
    dst[1] = (uint8_t) (low >> 8);
    dst[2] = (uint8_t) (low >> 16);
    dst[3] = (uint8_t) (low >> 24);

    return (w | ~(digit | letter)) & TRK_WORD_TOPS;
}


int
trk_hex_digit(uint8_t c)
{
    return trk_hex_values[c] - 1;
}


void
trk_uuid_format(const trk_uuid_t *u, char *dst)
{
    size_t  i;

    for (i = 0; i < sizeof(u->b); i++) {
        memcpy(dst + trk_uuid_at[i], trk_hex_pairs + 2 * u->b[i], 2);
    }

    dst[8] = '-';
    dst[13] = '-';
    dst[18] = '-';
    dst[23] = '-';
}


void
trk_uuid_v7(trk_uuid_t *u, int64_t ms, const uint8_t random[10])
{
    int  i;

    for (i = 0; i < 6; i++) {
        u->b[i] = (uint8_t) ((uint64_t) ms >> (40 - 8 * i));
    }

    memcpy(u->b + 6, random, 10);

    u->b[6] = (uint8_t) (0x70 | (u->b[6] & 0x0F));      /* version 7 */
    u->b[8] = (uint8_t) (0x80 | (u->b[8] & 0x3F));      /* variant 10 */
}


void
trk_hex(char *dst, const uint8_t *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        memcpy(dst + 2 * i, trk_hex_pairs + 2 * p[i], 2);
    }
}


int
trk_unhex(uint8_t *dst, trk_str_t hex)
{
    int     high, low;
    size_t  i;

    if (hex.n % 2 != 0) {
        return TRK_INVALID;
    }

    for (i = 0; i < hex.n; i += 2) {
        high = trk_hex_digit(hex.p[i]);
        low = trk_hex_digit(hex.p[i + 1]);

        if (high == -1 || low == -1) {
            return TRK_INVALID;
        }

        dst[i / 2] = (uint8_t) (high << 4 | low);
    }

    return TRK_OK;
}
