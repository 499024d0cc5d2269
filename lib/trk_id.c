/*
 * UUIDs and hex.  See trk_id.h.
 */

#include "trk_id.h"


static const char  trk_hex_digits[] = "0123456789abcdef";


int
trk_uuid_parse(trk_str_t s, trk_uuid_t *u)
{
    int     high, low;
    size_t  i, k;

    if (s.n != TRK_UUID_LEN) {
        return TRK_INVALID;
    }

    for (i = 0, k = 0; i < TRK_UUID_LEN; /* void */ ) {

        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (s.p[i++] != '-') {
                return TRK_INVALID;
            }

            continue;
        }

        high = trk_hex_digit(s.p[i]);
        low = trk_hex_digit(s.p[i + 1]);

        if (high == -1 || low == -1) {
            return TRK_INVALID;
        }

        u->b[k++] = (uint8_t) (high << 4 | low);
        i += 2;
    }

    return TRK_OK;
}


int
trk_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
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


int
trk_uuid_is_nil(const trk_uuid_t *u)
{
    static const trk_uuid_t  nil;

    return memcmp(u, &nil, sizeof(nil)) == 0;
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
