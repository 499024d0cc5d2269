/*
 * Records of the rejected topic: the bytes as sent, or as much as may be
 * kept; bounded whatever was sent; JSON always.
 */

#include "trk_reject.h"

#include "schema_fixture.h"


static trk_request_t  req;
static trk_image_t   *image;
static trk_buf_t      out;
static uint8_t       *body_copy;


static trk_origin_t  origin = {
    .received_at = 1746266401234,
    .ip = { (const uint8_t *) "192.168.1.0", 11 },
    .user_agent = { (const uint8_t *) "Moz", 3 },
    .source = { (const uint8_t *) "web", 3 },
    .schema_version = { (const uint8_t *) "3f2a9c01-42", 11 },
    .edge = { (const uint8_t *) "9f86d081884c7d65", 16 },
    .seq = 7
};

#define TAIL                                                                  \
    "\"received_at\":\"2025-05-03T10:00:01.234Z\",\"ip\":\"192.168.1.0\","    \
    "\"user_agent\":\"Moz\",\"source\":\"web\","                              \
    "\"schema_version\":\"3f2a9c01-42\",\"edge\":\"9f86d081884c7d65\","       \
    "\"seq\":7}"


static void
judge(const void *body, size_t n)
{
    const trk_limits_t  limits = { .max_events = 500,
                                   .max_event_size = 65536 };

    free(body_copy);
    body_copy = malloc(n);
    memcpy(body_copy, body, n);

    if (trk_request_judge(&req, image, &limits, TRK_BODY_JSON, body_copy, n)
        != TRK_OK)
    {
        ok(0, "not judged: %.60s", (const char *) body);
    }
}


static void
reject(const char *body)
{
    judge(body, strlen(body));
    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_event(&out, &req, &req.events[0], &origin);
}


#define NOPE                                                                  \
    "\"errors\":[{\"code\":\"unknown_event_type\",\"field\":\"event_type\","  \
    "\"message\":\"event_type is undefined\"}],"

#define ID  "\"event_id\":\"0199abcd-0000-7000-8000-00000000000f\""


static void
test_events(void)
{
    reject("{\"event_type\":\"nope\"}");
    is_text(out.p, out.n, "{\"event\":\"{\\\"event_type\\\":\\\"nope\\\"}\","
            NOPE TAIL, "as it was sent");

    reject("{\"batch\":[{\"event_type\" :\"nope\\n\xc3\xa9\",\n" ID "}],"
           "\"sent_at\":5,\"context\":{\"locale\": \"de\"}}");
    is_text(out.p, out.n,
            "{\"event\":\"{\\\"event_type\\\" :\\\"nope\\\\n\xc3\xa9\\\",\\n"
            "\\\"event_id\\\":\\\"0199abcd-0000-7000-8000-00000000000f\\\"}\","
            NOPE ID ",\"sent_at\":\"1970-01-01T00:00:00.005Z\","
            "\"context\":{\"locale\": \"de\"}," TAIL,
            "with its id and what it inherits");

    reject("[\"a\\u0041\"]");
    is_text(out.p, out.n, "{\"event\":\"\\\"a\\\\u0041\\\"\",\"errors\":["
            "{\"code\":\"not_an_object\",\"message\":\"event is not a JSON "
            "object\"}]," TAIL, "what is no object, too");
}


static void
test_keys(void)
{
    reject("{\"event_type\":\"nope\"," ID "}");
    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_key(&out, &req.events[0]);
    is_text(out.p, out.n, "0199abcd-0000-7000-8000-00000000000f",
            "the key is event_id");

    reject("{\"event_type\":\"nope\",\"session_id\":\"s\",\"event_id\":1}");
    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_key(&out, &req.events[0]);
    is_int(out.n, 0, "an unreadable one is none");
}


static void
test_no_ids(void)
{
    origin.no_ids = 1;

    reject("{\"user_id\":\"SECRET\",\"event_type\":\"nope\",\"session\\u005f"
           "id\":\"SECRET\",\"fields\":{\"user_id\":\"kept\"},"
           "\"anonymous_id\":\"SECRET\",\"userId\":\"SECRET\"}");
    is_text(out.p, out.n,
            "{\"event\":\"{\\\"event_type\\\":\\\"nope\\\",\\\"fields\\\":"
            "{\\\"user_id\\\":\\\"kept\\\"}}\",\"errors\":["
            "{\"code\":\"unknown_property\",\"field\":\"userId\",\"message\":"
            "\"event has an unknown member\"},"
            "{\"code\":\"unknown_event_type\",\"field\":\"event_type\","
            "\"message\":\"event_type is undefined\"}]," TAIL,
            "no identifiers, and no member that may be one");

    reject("{\"user_id\":\"SECRET\"}");
    ok(has_text(out.p, out.n, "{\"event\":\"{}\",\"errors\""),
       "an event of nothing else");

    reject("[[\"SECRET\"]]");
    ok(has_text(out.p, out.n, "{\"size\":10,\"errors\":["),
       "nothing of what is no object");
    ok(!has_text(out.p, out.n, "SECRET"), "really nothing");

    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_body(&out, trk_str("{\"user_id\":\"SECRET"), 18,
                    TRK_ERR_MALFORMED_JSON, 17, &origin);
    is_text(out.p, out.n, "{\"size\":18,\"errors\":[{\"code\":"
            "\"malformed_json\",\"message\":\"body is not JSON\",\"offset\":17"
            "}]," TAIL, "nothing of a body that does not parse");

    origin.no_ids = 0;
}


static void
test_bodies(void)
{
    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_body(&out, trk_str("{\"a\":\x01\xe2\x82\xac, and so on"), 20,
                    TRK_ERR_MALFORMED_JSON, 5, &origin);
    is_text(out.p, out.n, "{\"event\":\"{\\\"a\\\":\\u0001\xe2\x82\xac, and "
            "so on\",\"errors\":[{\"code\":\"malformed_json\",\"message\":"
            "\"body is not JSON\",\"offset\":5}]," TAIL, "a body in UTF-8");

    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_body(&out, trk_str("\x1f\x8b\x08\xff"), 4,
                    TRK_ERR_BAD_ENCODING, SIZE_MAX, &origin);
    is_text(out.p, out.n, "{\"event_base64\":\"H4sI/w==\",\"errors\":["
            "{\"code\":\"bad_encoding\",\"message\":\"body cannot be "
            "decompressed\"}]," TAIL, "and one that is not");

    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_body(&out, trk_str(""), 0, TRK_ERR_MALFORMED_JSON, 0, &origin);
    ok(has_text(out.p, out.n, "{\"event\":\"\",\"errors\""), "an empty one");
}


/* A record is JSON and below the bound, whatever bytes were sent. */

static void
bounded(int byte, size_t size, const char *begins)
{
    uint8_t    *body;
    trk_json_t  json;

    body = malloc(size);
    memset(body, byte, size);

    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_body(&out, trk_str_of(body, size), size,
                    TRK_ERR_MALFORMED_JSON, 0, &origin);

    ok(out.n < TRK_REJECT_RECORD_MAX && !out.failed,
       "%zu bytes 0x%02x become %zu", size, (unsigned) byte, out.n);
    ok(out.n > strlen(begins) && memcmp(out.p, begins, strlen(begins)) == 0,
       "as %s", begins);
    is_int(has_text(out.p, out.n, ",\"truncated\":true,\"size\":") != NULL,
           size > TRK_REJECT_BYTES_MAX, "cut, or not");

    trk_json_init(&json);
    is_int(trk_json_parse(&json, out.p, out.n), TRK_OK, "and are JSON");
    trk_json_free(&json);
    free(body);
}


static void
test_bounds(void)
{
    size_t     i;
    trk_buf_t  b;

    static const int  bytes[] = { 'a', '"', '\\', '\n', '\r', 0x7f };

    for (i = 0; i < sizeof(bytes) / sizeof(*bytes); i++) {
        bounded(bytes[i], TRK_REJECT_BYTES_MAX, "{\"event\":\"");
        bounded(bytes[i], TRK_REJECT_BYTES_MAX + 1, "{\"event\":\"");
    }

    bounded(0, 2 * TRK_REJECT_BYTES_MAX, "{\"event_base64\":\"AAAA");
    bounded(0xff, 2 * TRK_REJECT_BYTES_MAX, "{\"event_base64\":\"////");

    /* of events the text is cut between characters, never within one */

    trk_buf_init(&b, 1 << 20);
    trk_buf_lit(&b, "[{\"event_type\":\"nope\",\"x\":\"");

    while (b.n < TRK_REJECT_BYTES_MAX + 10) {
        trk_buf_lit(&b, "\xe2\x82\xac");
    }

    trk_buf_lit(&b, "\"}]");
    judge(b.p, b.n);
    trk_buf_reset(&out, SIZE_MAX);
    trk_reject_event(&out, &req, &req.events[0], &origin);
    ok(has_text(out.p, out.n, "\xe2\x82\xac\",\"truncated\":true,\"size\":"),
       "a long event is cut between characters");
    ok(has_text(out.p, out.n, "\"errors\":[{\"code\":\"event_too_large\""),
       "and has its reason");

    trk_buf_free(&b);
}


int
main(void)
{
    image = fixture_image();
    trk_request_init(&req);
    trk_buf_init(&out, 4 << 20);

    test_events();
    test_keys();
    test_no_ids();
    test_bodies();
    test_bounds();

    trk_request_free(&req);
    trk_buf_free(&out);
    free(body_copy);
    free(image);

    return done();
}
