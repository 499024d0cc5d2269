/*
 * UUIDs and hex.  See trk_id.h.
 */

#include "trk_id.h"


static const char  trk_hex_digits[] = "0123456789abcdef";


/* one more than the value of a hex digit; 0: it is none */

static const uint8_t  trk_hex_values[256] = {
    ['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ['A'] = 11, 12, 13, 14, 15, 16,
    ['a'] = 11, 12, 13, 14, 15, 16
};


int
trk_uuid_parse(trk_str_t s, trk_uuid_t *u)
{
    size_t   i;
    uint8_t  high, low, wrong;

    static const uint8_t  at[sizeof(u->b)] = {
        0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34
    };

    if (s.n != TRK_UUID_LEN || s.p[8] != '-' || s.p[13] != '-'
        || s.p[18] != '-' || s.p[23] != '-')
    {
        return TRK_INVALID;
    }

    for (i = 0, wrong = 0; i < sizeof(u->b); i++) {
        high = trk_hex_values[s.p[at[i]]];
        low = trk_hex_values[s.p[at[i] + 1]];

        wrong |= (high == 0) | (low == 0);
        u->b[i] = (uint8_t) ((high - 1U) << 4 | (low - 1U));
    }

    return wrong ? TRK_INVALID : TRK_OK;
}


int
trk_hex_digit(uint8_t c)
{
    return trk_hex_values[c] - 1;
}


void
trk_uuid_format(const trk_uuid_t *u, char *dst)
{
    trk_hex(dst, u->b, 4);
    dst[8] = '-';
    trk_hex(dst + 9, u->b + 4, 2);
    dst[13] = '-';
    trk_hex(dst + 14, u->b + 6, 2);
    dst[18] = '-';
    trk_hex(dst + 19, u->b + 8, 2);
    dst[23] = '-';
    trk_hex(dst + 24, u->b + 10, 6);
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
        dst[2 * i] = trk_hex_digits[p[i] >> 4];
        dst[2 * i + 1] = trk_hex_digits[p[i] & 15];
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
