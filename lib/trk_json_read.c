/*
 * Reading the nodes of a scanned text: strings decoded, members
 * found.  See trk_json.h.
 */

#include "trk_json.h"
#include "trk_utf8.h"


static uint8_t trk_json_unescape(uint8_t c);
static uint32_t trk_json_code_point(const uint8_t **p, const uint8_t *end);
static uint32_t trk_json_hex4(const uint8_t *p);


trk_str_t
trk_json_unescaped(const trk_json_t *json, uint32_t i, trk_buf_t *buf)
{
    trk_buf_reset(buf, SIZE_MAX);
    trk_json_decode(buf, trk_json_raw(json, i));

    if (buf->failed) {
        return trk_null;
    }

    return trk_str_of(buf->p, buf->n);
}


trk_str_t
trk_json_short(const trk_json_t *json, uint32_t i, uint8_t *dst)
{
    trk_buf_t  buf;
    trk_str_t  s;

    /* full from the start, so it never grows */

    buf = (trk_buf_t) {
        .p = dst, .cap = TRK_JSON_SHORT, .max = TRK_JSON_SHORT
    };

    s = trk_json_string(json, i, &buf);

    return s.p ? s : trk_str("");
}


/* The decoded text is never longer than the escaped one. */

void
trk_json_decode(trk_buf_t *buf, trk_str_t raw)
{
    uint8_t        *dst;
    const uint8_t  *p, *end;

    dst = trk_buf_reserve(buf, raw.n);

    if (dst == NULL) {
        return;
    }

    for (p = raw.p, end = raw.p + raw.n; p < end; /* void */ ) {

        if (*p != '\\') {
            *dst++ = *p++;

        } else if (p[1] == 'u') {
            dst += trk_utf8_put(dst, trk_json_code_point(&p, end));

        } else {
            *dst++ = trk_json_unescape(p[1]);
            p += 2;
        }
    }

    buf->n = (size_t) (dst - buf->p);
}


static uint8_t
trk_json_unescape(uint8_t c)
{
    switch (c) {

    case 'b':
        return '\b';

    case 'f':
        return '\f';

    case 'n':
        return '\n';

    case 'r':
        return '\r';

    case 't':
        return '\t';

    default:
        return c;
    }
}


/* Of the escape "\uXXXX", or of two that make a surrogate pair, at *p, which
 * is moved behind.  A surrogate alone is U+FFFD. */

static uint32_t
trk_json_code_point(const uint8_t **p, const uint8_t *end)
{
    uint32_t  cp, low;

    cp = trk_json_hex4(*p + 2);
    *p += 6;

    if (cp < 0xD800 || cp > 0xDFFF) {
        return cp;
    }

    if (cp <= 0xDBFF && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {

        low = trk_json_hex4(*p + 2);

        if (low >= 0xDC00 && low <= 0xDFFF) {
            *p += 6;
            return 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        }
    }

    return 0xFFFD;
}


static uint32_t
trk_json_hex4(const uint8_t *p)
{
    int       i;
    uint32_t  v;

    for (i = 0, v = 0; i < 4; i++) {
        v = v << 4 | (p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    }

    return v;
}


uint32_t
trk_json_member(trk_json_t *json, uint32_t i, trk_str_t name)
{
    uint32_t   k, end;
    trk_str_t  s;

    end = json->nodes[i].next;

    for (k = i + 1; k < end; k = json->nodes[k + 1].next) {
        s = trk_json_string(json, k, &json->decoded);

        if (s.p && trk_str_eq(s, name)) {
            return k + 1;
        }
    }

    return 0;
}
