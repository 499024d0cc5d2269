/*
 * Origins: one spelling of each, patterns that match at a dot only, and hosts
 * that are the request's own.
 */

#include "trk_origin.h"

#include "tap.h"


static trk_str_t
str(const char *s)
{
    return trk_str_of(s, strlen(s));
}


static void
is_read(const char *text, const char *want)
{
    trk_origin_text_t  o;

    if (want == NULL) {
        is_int(trk_origin_read(&o, str(text)), TRK_INVALID,
               "not an origin: \"%s\"", text);
        return;
    }

    is_int(trk_origin_read(&o, str(text)), TRK_OK, "an origin: %s", text);
    is_str(trk_origin_str(&o), want, "in its one form: %s", want);
}


static void
is_pattern(const char *text, const char *want)
{
    trk_origin_text_t  o;

    if (want == NULL) {
        is_int(trk_origin_pattern(&o, str(text)), TRK_INVALID,
               "not a pattern: \"%s\"", text);
        return;
    }

    is_int(trk_origin_pattern(&o, str(text)), TRK_OK, "a pattern: %s", text);
    is_str(trk_origin_str(&o), want, "in its one form: %s", want);
}


static void
is_match(const char *text, const char *pattern, int want)
{
    trk_origin_text_t  o, p;

    ok(trk_origin_read(&o, str(text)) == TRK_OK
       && trk_origin_pattern(&p, str(pattern)) == TRK_OK
       && trk_origin_match(trk_origin_str(&o), trk_origin_str(&p)) == want,
       "%s is%s of %s", text, want ? "" : " not", pattern);
}


static void
is_host(const char *text, const char *host, int want)
{
    trk_origin_text_t  o;

    ok(trk_origin_read(&o, str(text)) == TRK_OK
       && trk_origin_is_host(trk_origin_str(&o), str(host)) == want,
       "%s is%s of the host \"%s\"", text, want ? "" : " not", host);
}


static void
test_read(void)
{
    is_read("https://example.com", "https://example.com");
    is_read("HTTPS://Example.COM", "https://example.com");
    is_read("https://example.com:443", "https://example.com");
    is_read("http://example.com:80", "http://example.com");
    is_read("http://example.com:443", "http://example.com:443");
    is_read("https://example.com:08443", "https://example.com:8443");
    is_read("https://example.com:0", "https://example.com:0");
    is_read("http://127.0.0.1:8080", "http://127.0.0.1:8080");
    is_read("http://[::1]:8080", "http://[::1]:8080");
    is_read("http://[0:0:0:0:0:0:0:1]", "http://[::1]");
    is_read("https://[2001:DB8:0:0::A]:443", "https://[2001:db8::a]");
    is_read("https://xn--fiq228c.example", "https://xn--fiq228c.example");
    is_read("https://a_b.example.com.", "https://a_b.example.com.");
    is_read("chrome-extension://abcdef", "chrome-extension://abcdef");
    is_read("null", "null");

    is_read("", NULL);
    is_read("*", NULL);
    is_read("NULL", NULL);
    is_read("null ", NULL);
    is_read("example.com", NULL);
    is_read("://example.com", NULL);
    is_read("https:/example.com", NULL);
    is_read("https://", NULL);
    is_read("https://example.com/", NULL);
    is_read("https://example.com/x", NULL);
    is_read("https://user@example.com", NULL);
    is_read("https://*.example.com", NULL);
    is_read("https://example.com:", NULL);
    is_read("https://example.com:x", NULL);
    is_read("https://example.com:65536", NULL);
    is_read("https://example.com:000443", NULL);
    is_read("https://example.com:443:443", NULL);
    is_read("https://a..b", NULL);
    is_read("https://.example.com", NULL);
    is_read("https://.", NULL);
    is_read("https://a b", NULL);
    is_read("https://example.com https://other.com", NULL);
    is_read("https://ex\xc3\xa4mple.com", NULL);
    is_read("9https://example.com", NULL);
    is_read("ht tps://example.com", NULL);
    is_read("http://[::1", NULL);
    is_read("http://[]", NULL);
    is_read("http://[::g]", NULL);
    is_read("http://[::1]x", NULL);
    is_read("http://[fe80::1%25eth0]", NULL);
    is_read("http://[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]",
            NULL);
}


static void
test_bounds(void)
{
    size_t             n;
    char               text[TRK_ORIGIN_MAX + 1];
    trk_origin_text_t  o;

    n = (size_t) snprintf(text, sizeof(text), "%032d://", 0);
    memset(text, 's', 32);
    memset(text + n, 'h', 253);
    memcpy(text + n + 253, ":65535", 6);

    is_int(trk_origin_pattern(&o, trk_str_of(text, n + 259)), TRK_OK,
           "the longest scheme, host and port");
    is_int(o.n, n + 259, "as long as it came");

    memmove(text + n + 2, text + n, 259);
    memcpy(text + n, "*.", 2);
    is_int(trk_origin_pattern(&o, trk_str_of(text, n + 261)), TRK_OK,
           "and with a star");

    memset(text + n, 'h', 254);
    is_int(trk_origin_read(&o, trk_str_of(text, n + 254)), TRK_INVALID,
           "a host that is too long");

    memset(text, 's', 33);
    memcpy(text + 33, "://h", 4);
    is_int(trk_origin_read(&o, trk_str_of(text, 37)), TRK_INVALID,
           "a scheme that is too long");
}


static void
test_pattern(void)
{
    is_pattern("*", "*");
    is_pattern("null", "null");
    is_pattern("HTTPS://*.Example.com:443", "https://*.example.com");
    is_pattern("http://*.example.com:8080", "http://*.example.com:8080");
    is_pattern("http://LOCALHOST:80", "http://localhost");

    is_pattern("https://*", NULL);
    is_pattern("https://*.", NULL);
    is_pattern("https://*example.com", NULL);
    is_pattern("https://a.*.example.com", NULL);
    is_pattern("https://*.*.example.com", NULL);
    is_pattern("https://*.[::1]", NULL);
    is_pattern("*://example.com", NULL);
    is_pattern("*.example.com", NULL);
    is_pattern("https://example.com/", NULL);
    is_pattern("", NULL);
}


static void
test_match(void)
{
    is_match("https://example.com", "https://example.com", 1);
    is_match("https://EXAMPLE.com:443", "HTTPS://example.com", 1);
    is_match("http://example.com", "https://example.com", 0);
    is_match("https://example.com:8443", "https://example.com", 0);
    is_match("https://www.example.com", "https://example.com", 0);
    is_match("https://example.com.", "https://example.com", 0);

    is_match("https://www.example.com", "https://*.example.com", 1);
    is_match("https://a.b.example.com", "https://*.example.com", 1);
    is_match("https://a.example.com:8443", "https://*.example.com:8443", 1);
    is_match("https://a.example.com:443", "https://*.example.com", 1);
    is_match("https://example.com", "https://*.example.com", 0);
    is_match("https://evilexample.com", "https://*.example.com", 0);
    is_match("https://example.com.evil.org", "https://*.example.com", 0);
    is_match("https://a.example.com:8443", "https://*.example.com", 0);
    is_match("http://a.example.com", "https://*.example.com", 0);
    is_match("https://com", "https://*.example.com", 0);

    is_match("null", "null", 1);
    is_match("null", "https://null", 0);
    is_match("null", "https://*.null", 0);
    is_match("https://null", "null", 0);

    is_match("null", "*", 1);
    is_match("https://example.com", "*", 1);
}


static void
test_host(void)
{
    is_host("https://example.com", "example.com", 1);
    is_host("https://example.com", "EXAMPLE.com", 1);
    is_host("https://example.com", "example.com:443", 1);
    is_host("http://example.com", "example.com:80", 1);
    is_host("http://example.com", "example.com:443", 0);
    is_host("http://example.com:8080", "example.com:8080", 1);
    is_host("http://example.com:8080", "example.com", 0);
    is_host("http://example.com", "example.com:8080", 0);
    is_host("http://other.com", "example.com", 0);
    is_host("http://[::1]:8080", "[::1]:8080", 1);
    is_host("http://[::1]:8080", "[0::1]:8080", 1);
    is_host("http://127.0.0.1:8080", "127.0.0.1:8080", 1);
    is_host("null", "null", 0);
    is_host("http://example.com", "", 0);
    is_host("http://example.com", "example.com/", 0);
    is_host("http://example.com", "*.com", 0);
}


int
main(void)
{
    test_read();
    test_bounds();
    test_pattern();
    test_match();
    test_host();

    return done();
}
