/*
 * JSON numbers as machine numbers and times.  See trk_json.h, which declares
 * these.
 */

#include "trk_json.h"
#include "trk_time.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>


#define TRK_EXPONENT_MAX  100000000     /* beyond any text's digits */

/* More never change what a double is rounded to, but for whether there are
 * any: of a value half way between two doubles 767 can count. */
#define TRK_DOUBLE_DIGITS  800
#define TRK_DOUBLE_TEXT    (TRK_DOUBLE_DIGITS + 40)


/* A number's text taken apart: 0.DIGITS times ten to the power of point. */
typedef struct {
    const uint8_t  *p;          /* mantissa, may have a dot inside */
    int64_t         point;
    int64_t         ndigits;    /* first to last digit that is not 0 */
    int             negative;
} trk_decimal_t;


static int trk_number_short(trk_str_t text, int64_t *v);
static void trk_decimal_parse(trk_str_t text, trk_decimal_t *d);
static int64_t trk_decimal_exponent(const uint8_t *p, const uint8_t *end);
static void trk_decimal_shorten(trk_str_t text, char *dst);


int
trk_number_int64(trk_str_t text, int64_t *v)
{
    int64_t         i;
    uint64_t        u, max;
    trk_decimal_t   d;
    const uint8_t  *p;

    if (trk_number_short(text, v)) {
        return TRK_OK;
    }

    trk_decimal_parse(text, &d);

    if (d.ndigits == 0) {
        *v = 0;
        return TRK_OK;
    }

    if (d.point < d.ndigits) {
        return TRK_INVALID;
    }

    *v = d.negative ? INT64_MIN : INT64_MAX;

    if (d.point > 19) {
        return TRK_LIMIT;
    }

    for (u = 0, i = 0, p = d.p; i < d.point; i++) {

        u *= 10;

        if (i < d.ndigits) {
            p += *p == '.';
            u += *p++ - '0';
        }
    }

    /* 19 digits fit in 64 bits without a sign */

    max = d.negative ? (uint64_t) INT64_MAX + 1 : INT64_MAX;

    if (u > max) {
        return TRK_LIMIT;
    }

    *v = d.negative ? (int64_t) (0 - u) : (int64_t) u;

    return TRK_OK;
}


/* 1: the text is digits alone, as most are, and so few that *v holds them. */

static inline int
trk_number_short(trk_str_t text, int64_t *v)
{
    size_t   i;
    int64_t  sum;

    for (i = 0, sum = 0; i < text.n && i < 18; i++) {

        if (text.p[i] < '0' || text.p[i] > '9') {
            return 0;
        }

        sum = sum * 10 + (text.p[i] - '0');
    }

    if (i < text.n) {
        return 0;
    }

    *v = sum;

    return 1;
}


static void
trk_decimal_parse(trk_str_t text, trk_decimal_t *d)
{
    int             seen_dot;
    int64_t         n;
    const uint8_t  *p, *end;

    memset(d, 0, sizeof(*d));

    p = text.p;
    end = text.p + text.n;

    if (*p == '-') {
        d->negative = 1;
        p++;
    }

    /* n counts digits from the first that is not 0 */

    for (n = 0, seen_dot = 0; p < end && (*p | 0x20) != 'e'; p++) {

        if (*p == '.') {
            seen_dot = 1;
            continue;
        }

        if (*p != '0' || n > 0) {

            if (n++ == 0) {
                d->p = p;
            }

            if (*p != '0') {
                d->ndigits = n;
            }

            d->point += !seen_dot;

        } else {
            d->point -= seen_dot;
        }
    }

    d->point += trk_decimal_exponent(p, end);
}


static int64_t
trk_decimal_exponent(const uint8_t *p, const uint8_t *end)
{
    int      negative;
    int64_t  e;

    if (p == end) {
        return 0;
    }

    p++;
    negative = *p == '-';

    if (*p == '-' || *p == '+') {
        p++;
    }

    for (e = 0; p < end && e < TRK_EXPONENT_MAX; p++) {
        e = e * 10 + (*p - '0');
    }

    return negative ? -e : e;
}


/* strtod() is exact; it wants a NUL, which text in a body does not have.
 * Nothing in nginx or the loader leaves the "C" locale. */

int
trk_number_double(trk_str_t text, double *v)
{
    char  copy[TRK_DOUBLE_TEXT];

    if (text.n < sizeof(copy)) {
        memcpy(copy, text.p, text.n);
        copy[text.n] = '\0';

    } else {
        trk_decimal_shorten(text, copy);
    }

    *v = strtod(copy, NULL);

    return isinf(*v) ? TRK_LIMIT : TRK_OK;
}


/* A number that rounds to the same double, in less than TRK_DOUBLE_TEXT
 * bytes with its NUL. */

static void
trk_decimal_shorten(trk_str_t text, char *dst)
{
    int64_t         i;
    trk_decimal_t   d;
    const uint8_t  *p;

    trk_decimal_parse(text, &d);

    if (d.negative) {
        *dst++ = '-';
    }

    *dst++ = '0';
    *dst++ = '.';

    for (i = 0, p = d.p; i < d.ndigits && i < TRK_DOUBLE_DIGITS; i++) {
        p += *p == '.';
        *dst++ = (char) *p++;
    }

    /* the last digit that counts is not 0, so what is left out is not 0 */

    if (i < d.ndigits) {
        *dst++ = '1';
    }

    (void) snprintf(dst, 32, "0e%lld", (long long) d.point);
}


int
trk_json_time(const trk_json_t *json, uint32_t i, int64_t *ms)
{
    uint8_t  text[TRK_JSON_SHORT];

    switch (json->nodes[i].type) {

    case TRK_JSON_STRING:
        return trk_time_parse(trk_json_short(json, i, text), ms) == TRK_OK
               ? TRK_OK : TRK_INVALID;

    case TRK_JSON_NUMBER:
        return trk_number_int64(trk_json_text(json, i), ms) == TRK_OK
               && *ms >= TRK_TIME_MIN && *ms <= TRK_TIME_MAX
               ? TRK_OK : TRK_INVALID;

    default:
        return TRK_INVALID;
    }
}
