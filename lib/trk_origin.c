/*
 * Origins and their patterns.  See trk_origin.h.
 */

#include "trk_origin.h"

#include <arpa/inet.h>


#define TRK_ORIGIN_SCHEME  32       /* bytes, at most */
#define TRK_ORIGIN_HOST    253      /* likewise, as in DNS */


static int trk_origin_url(trk_origin_text_t *out, trk_str_t text, int pattern);
static int trk_origin_scheme(trk_origin_text_t *out, trk_str_t *text);
static int trk_origin_authority(trk_origin_text_t *out, trk_str_t scheme,
    trk_str_t text);
static int trk_origin_host(trk_origin_text_t *out, trk_str_t host);
static int trk_origin_ipv6(trk_origin_text_t *out, trk_str_t host);
static int trk_origin_port(trk_origin_text_t *out, trk_str_t scheme,
    trk_str_t text);
static uint32_t trk_origin_default_port(trk_str_t scheme);
static void trk_origin_add(trk_origin_text_t *out, const void *p, size_t n);
static size_t trk_origin_find(trk_str_t s, trk_str_t what);


int
trk_origin_read(trk_origin_text_t *out, trk_str_t text)
{
    out->n = 0;

    if (trk_str_eq(text, trk_str("null"))) {
        trk_origin_add(out, text.p, text.n);
        return TRK_OK;
    }

    return trk_origin_url(out, text, 0);
}


int
trk_origin_pattern(trk_origin_text_t *out, trk_str_t text)
{
    out->n = 0;

    if (trk_str_eq(text, trk_str("*")) || trk_str_eq(text, trk_str("null"))) {
        trk_origin_add(out, text.p, text.n);
        return TRK_OK;
    }

    return trk_origin_url(out, text, 1);
}


int
trk_origin_match(trk_str_t origin, trk_str_t pattern)
{
    size_t  head;

    if (trk_str_eq(pattern, trk_str("*")) || trk_str_eq(origin, pattern)) {
        return 1;
    }

    head = trk_origin_find(pattern, trk_str("://*."));

    if (head == pattern.n) {
        return 0;
    }

    /* what stands for the "*" is one label or more: an origin has no empty
     * ones, and its port is digits only */

    head += sizeof("://") - 1;
    pattern.p += head + 1;
    pattern.n -= head + 1;

    return origin.n > head + pattern.n
           && memcmp(origin.p, pattern.p - head - 1, head) == 0
           && memcmp(origin.p + origin.n - pattern.n, pattern.p, pattern.n)
              == 0;
}


int
trk_origin_is_host(trk_str_t origin, trk_str_t host)
{
    size_t             n;
    trk_origin_text_t  own;

    n = trk_origin_find(origin, trk_str("://"));

    if (n == origin.n) {
        return 0;
    }

    own.n = 0;
    trk_origin_add(&own, origin.p, n + sizeof("://") - 1);

    return trk_origin_authority(&own, trk_str_of(origin.p, n), host) == TRK_OK
           && trk_str_eq(origin, trk_origin_str(&own));
}


static int
trk_origin_url(trk_origin_text_t *out, trk_str_t text, int pattern)
{
    size_t     n;
    trk_str_t  scheme;

    if (trk_origin_scheme(out, &text) != TRK_OK) {
        return TRK_INVALID;
    }

    n = out->n;
    trk_origin_add(out, "://", 3);

    if (pattern && text.n > 2 && text.p[0] == '*' && text.p[1] == '.') {
        trk_origin_add(out, text.p, 2);
        text.p += 2;
        text.n -= 2;

        if (text.p[0] == '[') {
            return TRK_INVALID;
        }
    }

    scheme = trk_str_of(out->text, n);

    return trk_origin_authority(out, scheme, text);
}


/* Takes the scheme and "://" off the text. */

static int
trk_origin_scheme(trk_origin_text_t *out, trk_str_t *text)
{
    size_t   i, n;
    uint8_t  c;

    n = trk_origin_find(*text, trk_str("://"));

    if (n == text->n || n == 0 || n > TRK_ORIGIN_SCHEME) {
        return TRK_INVALID;
    }

    for (i = 0; i < n; i++) {
        c = text->p[i];

        if (c >= 'A' && c <= 'Z') {
            c |= 0x20;
        }

        if (!(c >= 'a' && c <= 'z')
            && (i == 0
                || (!(c >= '0' && c <= '9') && c != '+' && c != '-'
                    && c != '.')))
        {
            return TRK_INVALID;
        }

        trk_origin_add(out, &c, 1);
    }

    text->p += n + sizeof("://") - 1;
    text->n -= n + sizeof("://") - 1;

    return TRK_OK;
}


/* host[:port] */

static int
trk_origin_authority(trk_origin_text_t *out, trk_str_t scheme, trk_str_t text)
{
    size_t          n;
    const uint8_t  *end;

    if (text.n > 0 && text.p[0] == '[') {
        end = memchr(text.p, ']', text.n);

        if (end == NULL) {
            return TRK_INVALID;
        }

        n = (size_t) (end - text.p) + 1;

        if (trk_origin_ipv6(out, trk_str_of(text.p + 1, n - 2)) != TRK_OK) {
            return TRK_INVALID;
        }

    } else {
        n = trk_origin_find(text, trk_str(":"));

        if (trk_origin_host(out, trk_str_of(text.p, n)) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    return trk_origin_port(out, scheme, trk_str_of(text.p + n, text.n - n));
}


/* Labels of letters, digits, "-" and "_", none of them empty, though a dot
 * may end the host.  Names in other scripts come as punycode. */

static int
trk_origin_host(trk_origin_text_t *out, trk_str_t host)
{
    size_t   i;
    uint8_t  c, before;

    if (host.n == 0 || host.n > TRK_ORIGIN_HOST) {
        return TRK_INVALID;
    }

    for (i = 0, before = '.'; i < host.n; i++, before = c) {
        c = host.p[i];

        if (c >= 'A' && c <= 'Z') {
            c |= 0x20;
        }

        if (c == '.' ? before == '.'
                     : !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')
                       && c != '-' && c != '_')
        {
            return TRK_INVALID;
        }

        trk_origin_add(out, &c, 1);
    }

    return TRK_OK;
}


static int
trk_origin_ipv6(trk_origin_text_t *out, trk_str_t host)
{
    char             text[INET6_ADDRSTRLEN];
    struct in6_addr  addr;

    if (host.n >= sizeof(text)) {
        return TRK_INVALID;
    }

    memcpy(text, host.p, host.n);
    text[host.n] = '\0';

    if (inet_pton(AF_INET6, text, &addr) != 1
        || inet_ntop(AF_INET6, &addr, text, sizeof(text)) == NULL)
    {
        return TRK_INVALID;
    }

    trk_origin_add(out, "[", 1);
    trk_origin_add(out, text, strlen(text));
    trk_origin_add(out, "]", 1);

    return TRK_OK;
}


/* "", or a colon and digits */

static int
trk_origin_port(trk_origin_text_t *out, trk_str_t scheme, trk_str_t text)
{
    size_t     i;
    uint32_t   port;
    uint8_t    digits[5];

    if (text.n == 0) {
        return TRK_OK;
    }

    if (text.p[0] != ':' || text.n == 1 || text.n > 6) {
        return TRK_INVALID;
    }

    for (i = 1, port = 0; i < text.n; i++) {

        if (text.p[i] < '0' || text.p[i] > '9') {
            return TRK_INVALID;
        }

        port = port * 10 + (text.p[i] - (uint32_t) '0');
    }

    if (port > 65535) {
        return TRK_INVALID;
    }

    if (port == trk_origin_default_port(scheme)) {
        return TRK_OK;
    }

    i = sizeof(digits);

    do {
        digits[--i] = (uint8_t) ('0' + port % 10);
        port /= 10;
    } while (port != 0);

    trk_origin_add(out, ":", 1);
    trk_origin_add(out, digits + i, sizeof(digits) - i);

    return TRK_OK;
}


static uint32_t
trk_origin_default_port(trk_str_t scheme)
{
    if (trk_str_eq(scheme, trk_str("https"))) {
        return 443;
    }

    return trk_str_eq(scheme, trk_str("http")) ? 80 : UINT32_MAX;
}


/* There is room: the parts are bounded, and their sum is below the whole. */

static void
trk_origin_add(trk_origin_text_t *out, const void *p, size_t n)
{
    memcpy(out->text + out->n, p, n);
    out->n += n;
}


/* Where it stands first; s.n: nowhere. */

static size_t
trk_origin_find(trk_str_t s, trk_str_t what)
{
    size_t  i;

    for (i = 0; i + what.n <= s.n; i++) {
        if (memcmp(s.p + i, what.p, what.n) == 0) {
            return i;
        }
    }

    return s.n;
}
