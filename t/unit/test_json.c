/*
 * The scanner: RFC 8259's grammar, our two refusals, offsets of errors,
 * strings decoded, numbers as machine numbers.
 */

#include "trk_json.h"
#include "trk_utf8.h"

#include "tap.h"


static trk_json_t  json;


/* Copies the text to memory of exactly its size, so that ASan sees any byte
 * read beyond it. */

static int
parse(const char *text, size_t n)
{
    int              rc;
    static uint8_t  *copy;

    free(copy);
    copy = malloc(n ? n : 1);

    memcpy(copy, text, n);
    rc = trk_json_parse(&json, copy, n);

    return rc;
}


#define parse_lit(s)  parse(s, sizeof(s) - 1)


static void
test_accepted(void)
{
    size_t                    i;
    static const char *const  texts[] = {
        "null", "true", "false", "0", "-0", "-1", "1.5", "1e5", "1E+5",
        "1.25e-05", "\"\"", "\"a\"", "[]", "{}", "[1]", "[[],{}]",
        " \t\r\n [ 1 , 2 ] \n", "{\"a\":1,\"b\":[true,null]}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", "\"\\ud83d\\ude00\"",
        "\"\\ud800\"", "\"\\u0000\"", "\"\x7f\"", "\"\xc3\xa9\"",
        "\"\xf0\x9f\x98\x80\"", "123456789012345678901234567890",
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", "{\"\":0}"
    };

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        is_int(parse(texts[i], strlen(texts[i])), TRK_OK, "accepts %zu", i);
    }
}


typedef struct {
    const char        *text;
    trk_error_code_t   error;
    size_t             offset;
} refused_t;

static const refused_t  refused[] = {
    { "", TRK_ERR_MALFORMED_JSON, 0 },
    { "  ", TRK_ERR_MALFORMED_JSON, 2 },
    { "nul", TRK_ERR_MALFORMED_JSON, 0 },
    { "True", TRK_ERR_MALFORMED_JSON, 0 },
    { "1 2", TRK_ERR_MALFORMED_JSON, 2 },
    { "01", TRK_ERR_MALFORMED_JSON, 1 },
    { "-", TRK_ERR_MALFORMED_JSON, 1 },
    { "+1", TRK_ERR_MALFORMED_JSON, 0 },
    { ".5", TRK_ERR_MALFORMED_JSON, 0 },
    { "1.", TRK_ERR_MALFORMED_JSON, 2 },
    { "1e", TRK_ERR_MALFORMED_JSON, 2 },
    { "1e+", TRK_ERR_MALFORMED_JSON, 3 },
    { "0x1", TRK_ERR_MALFORMED_JSON, 1 },
    { "NaN", TRK_ERR_MALFORMED_JSON, 0 },
    { "\"", TRK_ERR_MALFORMED_JSON, 1 },
    { "\"a\nb\"", TRK_ERR_MALFORMED_JSON, 2 },
    { "\"\\x\"", TRK_ERR_MALFORMED_JSON, 1 },
    { "\"\\", TRK_ERR_MALFORMED_JSON, 2 },
    { "\"\\u12g4\"", TRK_ERR_MALFORMED_JSON, 5 },
    { "\"\\u12", TRK_ERR_MALFORMED_JSON, 5 },
    { "[1,]", TRK_ERR_MALFORMED_JSON, 3 },
    { "[1", TRK_ERR_MALFORMED_JSON, 2 },
    { "[1 2]", TRK_ERR_MALFORMED_JSON, 3 },
    { "[", TRK_ERR_MALFORMED_JSON, 1 },
    { "]", TRK_ERR_MALFORMED_JSON, 0 },
    { "{\"a\"}", TRK_ERR_MALFORMED_JSON, 4 },
    { "{\"a\":}", TRK_ERR_MALFORMED_JSON, 5 },
    { "{\"a\":1,}", TRK_ERR_MALFORMED_JSON, 7 },
    { "{a:1}", TRK_ERR_MALFORMED_JSON, 1 },
    { "{'a':1}", TRK_ERR_MALFORMED_JSON, 1 },
    { "{", TRK_ERR_MALFORMED_JSON, 1 },
    { "[1]x", TRK_ERR_MALFORMED_JSON, 3 },
    { "\xef\xbb\xbf[]", TRK_ERR_MALFORMED_JSON, 0 },
    { "/**/1", TRK_ERR_MALFORMED_JSON, 0 },
    { "\"\xff\"", TRK_ERR_INVALID_UTF8, 1 },
    { "\"abcdefgh\xc3\"", TRK_ERR_INVALID_UTF8, 9 },
    { "\"\xc0\x80\"", TRK_ERR_INVALID_UTF8, 1 },
    { "\"\xed\xa0\x80\"", TRK_ERR_INVALID_UTF8, 1 },
    { "\"\xf4\x90\x80\x80\"", TRK_ERR_INVALID_UTF8, 1 },
    { "\"\xe2\x82\"", TRK_ERR_INVALID_UTF8, 1 },
    { "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", TRK_ERR_TOO_DEEP, 16 },
    { "{\"a\":1,\"a\":2}", TRK_ERR_DUPLICATE_KEY, 7 },
    { "{\"a\":1,\"b\":0,\"\\u0061\":2}", TRK_ERR_DUPLICATE_KEY, 13 },
    { "{\"\\u0061\":1,\"b\":0,\"a\":2}", TRK_ERR_DUPLICATE_KEY, 18 },
    { "[{\"x\":{\"\":1,\"\":2}}]", TRK_ERR_DUPLICATE_KEY, 12 },
};


static void
test_refused(void)
{
    size_t  i;

    for (i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        is_int(parse(refused[i].text, strlen(refused[i].text)), TRK_INVALID,
               "refuses %zu", i);
        ok(json.error == refused[i].error, "%zu: %s", i,
           trk_error_name(json.error));
        is_int(json.offset, refused[i].offset, "%zu: offset", i);
    }

    is_int(parse("\"a\0b\"", 5), TRK_INVALID, "a NUL inside a string");
}


/* Every prefix of a document is refused without a read beyond its end. */

static void
test_prefixes(void)
{
    size_t             n, refusals;
    static const char  text[] =
        "{\"type\":\"\\ud83d\\ude00x\xc3\xa9\",\"n\":[-1.5e+3,true,null],"
        "\"o\":{\"k\":false}}";

    for (n = 0, refusals = 0; n < sizeof(text) - 1; n++) {
        refusals += parse(text, n) == TRK_INVALID;
    }

    is_int(refusals, sizeof(text) - 1, "every prefix is refused");
    is_int(parse_lit(text), TRK_OK, "the whole is accepted");
}


/* More members than are compared pair by pair. */

static void
test_many_members(void)
{
    int        i;
    trk_buf_t  b;

    trk_buf_init(&b, 1 << 20);
    trk_buf_byte(&b, '{');

    for (i = 0; i < 500; i++) {
        trk_buf_lit(&b, "\"k");
        trk_buf_int(&b, i);
        trk_buf_lit(&b, "\":0,");
    }

    trk_buf_lit(&b, "\"z\":1}");
    is_int(parse((char *) b.p, b.n), TRK_OK, "501 names");
    ok(trk_json_member(&json, 0, trk_str("k499")) != 0, "found");
    ok(trk_json_member(&json, 0, trk_str("k500")) == 0, "not found");

    trk_buf_reset(&b, SIZE_MAX);
    trk_buf_byte(&b, '{');

    for (i = 0; i < 500; i++) {
        trk_buf_lit(&b, "\"k");
        trk_buf_int(&b, i % 499);
        trk_buf_lit(&b, "\":0,");
    }

    trk_buf_lit(&b, "\"z\":1}");
    is_int(parse((char *) b.p, b.n), TRK_INVALID, "one of them twice");
    ok(json.error == TRK_ERR_DUPLICATE_KEY, "duplicate_key");

    trk_buf_free(&b);
}


static void
test_nodes(void)
{
    uint32_t   i, k;
    trk_buf_t  b;

    trk_buf_init(&b, 1024);

    is_int(parse_lit("{\"a\":[1,[2],{\"b\":3}],\"\\u0063\":\"x\\ny\"}"),
           TRK_OK, "nested");

    i = trk_json_member(&json, 0, trk_str("a"));
    ok(json.nodes[i].type == TRK_JSON_ARRAY, "an array");
    is_str(trk_json_text(&json, i), "[1,[2],{\"b\":3}]", "text as written");

    k = json.nodes[json.nodes[i + 1].next].next;
    ok(json.nodes[k].type == TRK_JSON_OBJECT, "siblings by next");

    i = trk_json_member(&json, 0, trk_str("c"));
    ok(i != 0, "an escaped name is found by what it means");
    is_str(trk_json_raw(&json, i), "x\\ny", "raw string");
    is_str(trk_json_string(&json, i, &b), "x\ny", "decoded string");

    trk_buf_free(&b);
}


static void
test_strings(void)
{
    trk_buf_t  b;

    trk_buf_init(&b, 1024);

    is_int(parse_lit("\"\\ud83d\\ude00 \\ud800 \\udc00\\u00e9\xe2\x82\xac\""),
           TRK_OK, "surrogates");
    is_str(trk_json_string(&json, 0, &b),
           "\xf0\x9f\x98\x80 \xef\xbf\xbd \xef\xbf\xbd\xc3\xa9\xe2\x82\xac",
           "a pair is one character, one alone is U+FFFD");

    is_int(parse_lit("\"\\ud83d\\u0041\""), TRK_OK, "high, then no low");
    is_str(trk_json_string(&json, 0, &b), "\xef\xbf\xbd" "A", "decoded");

    trk_buf_reset(&b, 0);
    trk_buf_json_string(&b, trk_str("a\"b\\c\n\x01\xff\xc3\xa9"));
    is_text(b.p, b.n, "\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xa9\"",
            "written as JSON, bad bytes replaced");
    is_int(parse((char *) b.p, b.n), TRK_OK, "and read back");

    trk_buf_free(&b);
}


typedef struct {
    const char  *text;
    int          rc;
    int64_t      v;
} integer_t;

static const integer_t  integers[] = {
    { "0", TRK_OK, 0 },
    { "-0", TRK_OK, 0 },
    { "0.000", TRK_OK, 0 },
    { "0e999999999999", TRK_OK, 0 },
    { "1", TRK_OK, 1 },
    { "-12", TRK_OK, -12 },
    { "1.0", TRK_OK, 1 },
    { "1e2", TRK_OK, 100 },
    { "1.5e1", TRK_OK, 15 },
    { "1500e-2", TRK_OK, 15 },
    { "100.50e+1", TRK_OK, 1005 },
    { "0.001e3", TRK_OK, 1 },
    { "9007199254740993", TRK_OK, 9007199254740993 },
    { "9223372036854775807", TRK_OK, INT64_MAX },
    { "-9223372036854775808", TRK_OK, INT64_MIN },
    { "9223372036854775807.000", TRK_OK, INT64_MAX },
    { "922337203685477580.7e1", TRK_OK, INT64_MAX },
    { "9223372036854775808", TRK_LIMIT, INT64_MAX },
    { "-9223372036854775809", TRK_LIMIT, INT64_MIN },
    { "18446744073709551616", TRK_LIMIT, INT64_MAX },
    { "1e19", TRK_LIMIT, INT64_MAX },
    { "-1e99999999999999999999", TRK_LIMIT, INT64_MIN },
    { "1.5", TRK_INVALID, 0 },
    { "1e-1", TRK_INVALID, 0 },
    { "1e-99999999999999999999", TRK_INVALID, 0 },
    { "0.1", TRK_INVALID, 0 },
    { "9223372036854775807.5", TRK_INVALID, 0 },
};


static void
test_numbers(void)
{
    int      rc;
    char     digits[400];
    size_t   i;
    double   d;
    int64_t  v;

    for (i = 0; i < sizeof(integers) / sizeof(*integers); i++) {
        v = 0;
        rc = trk_number_int64(trk_str_of(integers[i].text,
                                         strlen(integers[i].text)), &v);
        is_int(rc, integers[i].rc, "int64 of %s", integers[i].text);

        if (rc != TRK_INVALID) {
            is_int(v, integers[i].v, "value of %s", integers[i].text);
        }
    }

    is_int(trk_number_double(trk_str("0.1"), &d), TRK_OK, "a double");
    ok(d == 0.1, "the nearest one");
    is_int(trk_number_double(trk_str("1e400"), &d), TRK_LIMIT, "overflow");

    memset(digits, '1', sizeof(digits));
    is_int(trk_number_double(trk_str_of(digits, 300), &d), TRK_OK, "long");
    is_int(trk_number_double(trk_str_of(digits, 400), &d), TRK_LIMIT,
           "too long");
}


/* Numbers of more digits than are looked at one by one. */

static void
test_long_doubles(void)
{
    double  d;
    char    text[4096];

    memset(text, '0', sizeof(text));
    memcpy(text, "-1", 2);
    memcpy(text + 2002, "e-2000", 6);
    is_int(trk_number_double(trk_str_of(text, 2008), &d), TRK_OK, "long");
    ok(d == -1, "-1 with 2000 zeros and an exponent against them");

    memset(text, '0', sizeof(text));
    text[1] = '.';
    memcpy(text + 2001, "15e2000", 7);
    is_int(trk_number_double(trk_str_of(text, 2008), &d), TRK_OK, "long");
    ok(d == 1.5, "zeros before the first digit");

    memset(text, '0', sizeof(text));
    is_int(trk_number_double(trk_str_of(text, 1), &d), TRK_OK, "0");
    text[1] = '.';
    is_int(trk_number_double(trk_str_of(text, 3000), &d), TRK_OK, "long");
    ok(d == 0, "nothing but zeros");

    memcpy(text, "9007199254740993.", 17);
    is_int(trk_number_double(trk_str_of(text, 4000), &d), TRK_OK, "long");
    ok(d == 9007199254740992, "half way between two: the even one");
    text[3999] = '1';
    is_int(trk_number_double(trk_str_of(text, 4000), &d), TRK_OK, "long");
    ok(d == 9007199254740994, "the last of 4000 digits counts");
}


int
main(void)
{
    trk_json_init(&json);

    test_accepted();
    test_refused();
    test_prefixes();
    test_many_members();
    test_nodes();
    test_strings();
    test_numbers();
    test_long_doubles();

    (void) parse_lit("null");
    trk_json_free(&json);

    return done();
}
