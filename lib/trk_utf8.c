/*
 * UTF-8.  See trk_utf8.h.
 */

#include "trk_utf8.h"


#define trk_utf8_tail(c)  (((c) & 0xC0) == 0x80)


/* The ranges of the second byte are the table of RFC 3629, section 4. */

size_t
trk_utf8_next(const uint8_t *p, size_t n)
{
    uint8_t  low, high;

    if (p[0] < 0x80) {
        return 1;
    }

    if (p[0] < 0xC2 || p[0] > 0xF4) {
        return 0;
    }

    if (p[0] < 0xE0) {
        return n >= 2 && trk_utf8_tail(p[1]) ? 2 : 0;
    }

    low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;

    if (n < 3 || p[1] < low || p[1] > high || !trk_utf8_tail(p[2])) {
        return 0;
    }

    if (p[0] < 0xF0) {
        return 3;
    }

    return n >= 4 && trk_utf8_tail(p[3]) ? 4 : 0;
}


size_t
trk_utf8_put(uint8_t *dst, uint32_t cp)
{
    if (cp < 0x80) {
        dst[0] = (uint8_t) cp;
        return 1;
    }

    if (cp < 0x800) {
        dst[0] = (uint8_t) (0xC0 | cp >> 6);
        dst[1] = (uint8_t) (0x80 | (cp & 0x3F));
        return 2;
    }

    if (cp < 0x10000) {
        dst[0] = (uint8_t) (0xE0 | cp >> 12);
        dst[1] = (uint8_t) (0x80 | (cp >> 6 & 0x3F));
        dst[2] = (uint8_t) (0x80 | (cp & 0x3F));
        return 3;
    }

    dst[0] = (uint8_t) (0xF0 | cp >> 18);
    dst[1] = (uint8_t) (0x80 | (cp >> 12 & 0x3F));
    dst[2] = (uint8_t) (0x80 | (cp >> 6 & 0x3F));
    dst[3] = (uint8_t) (0x80 | (cp & 0x3F));

    return 4;
}
