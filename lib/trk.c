/*
 * String views and growing buffers.  See trk.h.
 */

#include "trk.h"
#include "trk_digits.h"
#include "trk_utf8.h"
#include "trk_word.h"

#include <stdlib.h>


static int trk_buf_grow(trk_buf_t *b, size_t n);
static void trk_buf_json_control(trk_buf_t *b, uint8_t c);


int
trk_str_cmp(trk_str_t a, trk_str_t b)
{
    int     rc;
    size_t  n;

    n = a.n < b.n ? a.n : b.n;
    rc = n ? memcmp(a.p, b.p, n) : 0;

    if (rc != 0) {
        return rc;
    }

    return (a.n > b.n) - (a.n < b.n);
}


void
trk_buf_init(trk_buf_t *b, size_t max)
{
    memset(b, 0, sizeof(*b));
    b->max = max;
}


void
trk_buf_free(trk_buf_t *b)
{
    free(b->p);
    b->p = NULL;
    b->n = 0;
    b->cap = 0;
}


void
trk_buf_reset(trk_buf_t *b, size_t keep)
{
    if (b->cap > keep) {
        trk_buf_free(b);
    }

    b->n = 0;
    b->failed = TRK_OK;
}


uint8_t *
trk_buf_reserve_more(trk_buf_t *b, size_t n)
{
    if (b->failed || trk_buf_grow(b, n) != TRK_OK) {
        return NULL;
    }

    return b->p + b->n;
}


static int
trk_buf_grow(trk_buf_t *b, size_t n)
{
    size_t    cap;
    uint8_t  *p;

    if (n > b->max || b->n > b->max - n) {
        b->failed = TRK_LIMIT;
        return TRK_LIMIT;
    }

    /* doubled, so that many small appends cost one copy each on average */

    cap = b->cap < 128 ? 256 : b->cap;

    while (cap < b->n + n) {
        cap *= 2;
    }

    if (cap > b->max) {
        cap = b->max;
    }

    p = realloc(b->p, cap);
    if (p == NULL) {
        b->failed = TRK_NOMEM;
        return TRK_NOMEM;
    }

    b->p = p;
    b->cap = cap;

    return TRK_OK;
}


void
trk_buf_add_more(trk_buf_t *b, const void *p, size_t n)
{
    uint8_t  *dst;

    dst = n ? trk_buf_reserve(b, n) : NULL;

    if (dst != NULL) {
        memcpy(dst, p, n);
        b->n += n;
    }
}


void
trk_buf_uint(trk_buf_t *b, uint64_t v)
{
    char    digits[20];
    size_t  i;

    i = sizeof(digits);

    while (v >= 100) {
        i -= 2;
        trk_digits_two(digits + i, (unsigned) (v % 100));
        v /= 100;
    }

    if (v >= 10) {
        i -= 2;
        trk_digits_two(digits + i, (unsigned) v);

    } else {
        digits[--i] = (char) ('0' + v);
    }

    trk_buf_add(b, digits + i, sizeof(digits) - i);
}


void
trk_buf_int(trk_buf_t *b, int64_t v)
{
    if (v < 0) {
        trk_buf_byte(b, '-');
        trk_buf_uint(b, 0 - (uint64_t) v);
        return;
    }

    trk_buf_uint(b, (uint64_t) v);
}


void
trk_buf_json_string(trk_buf_t *b, trk_str_t s)
{
    trk_buf_byte(b, '"');
    trk_buf_json_text(b, s);
    trk_buf_byte(b, '"');
}


void
trk_buf_json_text(trk_buf_t *b, trk_str_t s)
{
    size_t  i, n, plain;

    for (i = 0, plain = 0; i < s.n; /* void */ ) {

        if (s.n - i >= TRK_CHUNK && trk_chunk_special(s.p + i) == 0) {
            i += TRK_CHUNK;
            continue;
        }

        n = trk_utf8_next(s.p + i, s.n - i);

        if (n > 1 || (n == 1 && s.p[i] >= 0x20 && s.p[i] != '"'
                      && s.p[i] != '\\'))
        {
            i += n;
            continue;
        }

        trk_buf_add(b, s.p + plain, i - plain);

        if (n == 0) {
            trk_buf_lit(b, "\xEF\xBF\xBD");

        } else {
            trk_buf_json_control(b, s.p[i]);
        }

        plain = ++i;
    }

    trk_buf_add(b, s.p + plain, s.n - plain);
}


static void
trk_buf_json_control(trk_buf_t *b, uint8_t c)
{
    static const char  hex[] = "0123456789abcdef";

    switch (c) {

    case '"':
    case '\\':
        trk_buf_byte(b, '\\');
        trk_buf_byte(b, c);
        return;

    case '\n':
        trk_buf_lit(b, "\\n");
        return;

    case '\r':
        trk_buf_lit(b, "\\r");
        return;

    case '\t':
        trk_buf_lit(b, "\\t");
        return;

    default:
        trk_buf_lit(b, "\\u00");
        trk_buf_byte(b, (uint8_t) hex[c >> 4]);
        trk_buf_byte(b, (uint8_t) hex[c & 15]);
    }
}


void
trk_buf_base64(trk_buf_t *b, trk_str_t s)
{
    size_t    i, left;
    uint8_t  *dst;
    uint32_t  v;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    dst = trk_buf_reserve(b, (s.n + 2) / 3 * 4);

    if (dst == NULL) {
        return;
    }

    for (i = 0; i < s.n; i += 3, dst += 4) {

        left = s.n - i;
        v = (uint32_t) s.p[i] << 16;
        v |= left > 1 ? (uint32_t) s.p[i + 1] << 8 : 0;
        v |= left > 2 ? s.p[i + 2] : 0;

        dst[0] = (uint8_t) digits[v >> 18];
        dst[1] = (uint8_t) digits[v >> 12 & 63];
        dst[2] = left > 1 ? (uint8_t) digits[v >> 6 & 63] : '=';
        dst[3] = left > 2 ? (uint8_t) digits[v & 63] : '=';
    }

    b->n = (size_t) (dst - b->p);
}
