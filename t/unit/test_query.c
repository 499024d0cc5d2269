/*
 * Query arguments as an event: what stands where, how values are read, and
 * that judging takes the text.
 */

#include "trk_query.h"
#include "trk_request.h"

#include "schema_fixture.h"


static trk_image_t   *image;
static trk_json_t     json;
static trk_buf_t      out;


/* args are copied to memory of their size: the sanitizer sees an overrun */

static int
query(const char *args)
{
    int       rc;
    size_t    n;
    uint8_t  *copy;

    n = strlen(args);
    copy = malloc(n ? n : 1);
    memcpy(copy, args, n);

    trk_buf_reset(&out, 0);
    rc = trk_query_event(&out, &json, image, trk_str_of(copy, n));
    free(copy);

    return rc;
}


static void
is_event(const char *args, const char *want)
{
    is_int(query(args), TRK_OK, "read: %s", args);
    is_str(trk_str_of(out.p, out.n), want, "as %s", want);
}


static void
is_field(const char *args, const char *want)
{
    char  text[1024], event[1024];

    (void) snprintf(text, sizeof(text), "event_type=purchase&%s", args);
    (void) snprintf(event, sizeof(event),
                    "{\"event_type\":\"purchase\",\"fields\":{%s}}", want);
    is_event(text, event);
}


static void
test_members(void)
{
    is_event("", "{}");
    is_event("&&=x&=", "{}");
    is_event("event_type=click", "{\"event_type\":\"click\"}");
    is_event("event_type=click&key=wk_1&user_id=u&session_id=&"
             "anonymous_id=a%26b&event_id=x&timestamp=17",
             "{\"anonymous_id\":\"a&b\",\"event_id\":\"x\","
             "\"event_type\":\"click\",\"session_id\":\"\","
             "\"timestamp\":17,\"user_id\":\"u\"}");
    is_event("timestamp=2025-05-03T10:00:00Z",
             "{\"timestamp\":\"2025-05-03T10:00:00Z\"}");
    is_event("user_id=12", "{\"user_id\":\"12\"}");
    is_event("event_type=a&event_type=b", "{\"event_type\":[\"a\",\"b\"]}");
    is_event("x=1&event_type=nope&y",
             "{\"event_type\":\"nope\",\"fields\":{\"x\":\"1\",\"y\":\"\"}}");
    is_event("x=1", "{\"fields\":{\"x\":\"1\"}}");
}


static void
test_decoding(void)
{
    is_event("a+b=c+d%20e%2B", "{\"fields\":{\"a b\":\"c d e+\"}}");
    is_event("a=%E6%9d%B1%22%5C%0a", "{\"fields\":{\"a\":\"\xe6\x9d\xb1"
                                     "\\\"\\\\\\n\"}}");
    is_event("a=%&b=%2&c=%zz&d=100%", "{\"fields\":{\"a\":\"%\",\"b\":\"%2\","
                                      "\"c\":\"%zz\",\"d\":\"100%\"}}");
    is_event("a=x=y", "{\"fields\":{\"a\":\"x=y\"}}");
    is_event("a=%00", "{\"fields\":{\"a\":\"\\u0000\"}}");

    is_int(query("a=%ff"), TRK_INVALID, "a value that is not UTF-8");
    is_int(query("%c3=a"), TRK_INVALID, "a name that is not UTF-8");
    is_int(query("a=\xed\xa0\x80"), TRK_INVALID, "a surrogate");
}


static void
test_values(void)
{
    is_field("total=9.90", "\"total\":9.90");
    is_field("total=-1e400", "\"total\":-1e400");
    is_field("total=NaN", "\"total\":\"NaN\"");
    is_field("total=", "\"total\":\"\"");
    is_field("total=%22x%22", "\"total\":\"\\\"x\\\"\"");
    is_field("order_id=9223372036854775807",
             "\"order_id\":9223372036854775807");
    is_field("order_id=007", "\"order_id\":\"007\"");
    is_field("order_id=1&order_id=2", "\"order_id\":[1,2]");
    is_field("gift=true", "\"gift\":true");
    is_field("gift=0", "\"gift\":false");
    is_field("gift=yes", "\"gift\":\"yes\"");
    is_field("paid_at=1746266400000", "\"paid_at\":1746266400000");
    is_field("paid_at=2025-05-03", "\"paid_at\":\"2025-05-03\"");
    is_field("coupon=12", "\"coupon\":\"12\"");
    is_field("coupon=b&coupon=a", "\"coupon\":[\"b\",\"a\"]");
    is_field("skus=b&total=1&skus=a", "\"skus\":[\"b\",\"a\"],\"total\":1");
    is_field("skus=1", "\"skus\":[\"1\"]");
    is_field("cart={\"a\":[1,2]}", "\"cart\":{\"a\":[1,2]}");
    is_field("cart=%5B1%2C%20null]", "\"cart\":[1, null]");
    is_field("cart=abc", "\"cart\":\"abc\"");
    is_field("cart={\"a\":1,\"a\":2}", "\"cart\":\"{\\\"a\\\":1,"
                                       "\\\"a\\\":2}\"");
}


static int
judge(trk_request_t *req)
{
    static const trk_limits_t  limits = {
        .max_events = 1, .max_event_size = 65536
    };

    return trk_request_judge(req, image, &limits, TRK_BODY_JSON, out.p,
                             out.n);
}


static void
test_judged(void)
{
    trk_request_t  req;

    trk_request_init(&req);

    is_int(query("event_type=purchase&total=9.90&order_id=7&skus=a&gift=1"),
           TRK_OK, "an event");
    is_int(judge(&req), TRK_OK, "is judged");
    is_int(req.nrejected, 0, "and accepted");

    is_int(query("event_type=purchase&total=x&order_id=7"), TRK_OK,
           "another one");
    is_int(judge(&req), TRK_OK, "is judged");
    is_int(req.nrejected, 1, "and rejected");
    is_int(req.violations[0].code, TRK_ERR_WRONG_TYPE, "for its total");

    is_int(query(""), TRK_OK, "none at all");
    is_int(judge(&req), TRK_OK, "is judged");
    is_int(req.violations[0].code, TRK_ERR_MISSING_EVENT_TYPE,
           "has no event_type");

    trk_request_free(&req);
}


static void
test_limits(void)
{
    size_t  i, n;
    char   *args;

    /* many arguments of one name, and many names: no product of both */

    n = 100000;
    args = malloc(n * 2 + 1);

    for (i = 0; i < n; i++) {
        memcpy(args + 2 * i, "a&", 2);
    }

    args[n * 2] = '\0';
    is_int(query(args), TRK_OK, "100,000 arguments");

    for (i = 0; i < n; i++) {
        args[2 * i] = (char) ('b' + i % 24);
    }

    is_int(query(args), TRK_OK, "of 24 names");
    free(args);

    trk_buf_free(&out);
    trk_buf_init(&out, 16);
    is_int(query("event_type=purchase"), TRK_NOMEM, "no room");
    is_int(query("averylongargument=x"), TRK_NOMEM, "no room for a field");
}


int
main(void)
{
    image = fixture_image();
    trk_json_init(&json);
    trk_buf_init(&out, 1 << 22);

    test_members();
    test_decoding();
    test_values();
    test_judged();
    test_limits();

    trk_buf_free(&out);
    trk_json_free(&json);
    free(image);

    return done();
}
