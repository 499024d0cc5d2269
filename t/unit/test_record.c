/*
 * Records: what is written is what the design's example shows, digits and
 * escapes as they came; what is read back is the same; nothing is trusted.
 */

#include "trk_record.h"
#include "trk_request.h"

#include "schema_fixture.h"


static trk_request_t  req;
static trk_image_t   *image;
static trk_buf_t      out;
static char          *body_copy;


static const trk_origin_t  origin = {
    .received_at = 1746266401234,
    .ip = { (const uint8_t *) "192.168.1.1", 11 },
    .user_agent = { (const uint8_t *) "Moz\"\xff", 5 },
    .source = { NULL, 0 },
    .schema_version = { (const uint8_t *) "3f2a9c01-42", 11 },
    .edge = { (const uint8_t *) "9f86d081884c7d65", 16 },
    .seq = 18446744073709551615ULL
};


static void
write_first(const char *body)
{
    const trk_limits_t  limits = { 500, 65536, NULL };

    free(body_copy);
    body_copy = strdup(body);
    trk_buf_reset(&out, SIZE_MAX);

    if (trk_request_judge(&req, image, &limits, TRK_BODY_JSON,
                          (uint8_t *) body_copy, strlen(body)) != TRK_OK
        || req.events[0].nviolations != 0)
    {
        ok(0, "not accepted: %s", body);
        return;
    }

    if (!req.events[0].has_event_id
        && trk_uuid_parse(trk_str("00000000-0000-7000-8000-000000000001"),
                          &req.events[0].event_id) != TRK_OK)
    {
        abort();
    }

    trk_record_write(&out, &req, &req.events[0], &origin);
}


#define TAIL                                                                  \
    "\"ip\":\"192.168.1.1\",\"user_agent\":\"Moz\\\"\xef\xbf\xbd\","          \
    "\"schema_version\":\"3f2a9c01-42\",\"edge\":\"9f86d081884c7d65\","       \
    "\"seq\":18446744073709551615}"

#define MINTED  "\"event_id\":\"00000000-0000-7000-8000-000000000001\""


static void
test_write(void)
{
    write_first("{\"event_type\":\"click\",\"fields\":"
                "{\"button_name\":\"b\"}}");
    is_text(out.p, out.n,
            "{\"event_type\":\"click\"," MINTED ",\"received_at\":"
            "\"2025-05-03T10:00:01.234Z\",\"fields\":{\"button_name\":\"b\"},"
            TAIL, "the least");

    write_first("{\"batch\":[{\"session_id\":\"s\\u0031\",\"user_id\":\"\","
                "\"anonymous_id\":\"an\",\"timestamp\":1746266400000,"
                "\"event_id\":\"0199ABCD-0000-7000-8000-00000000000F\","
                "\"event_type\":\"purchase\",\"fields\":{\"total\": 0.10,"
                "\"order_id\":9223372036854775807,\"coupon\":null,"
                "\"cart\":[1, {\"a\":1e2}]},\"context\":{\"page_url\":\"/x\","
                "\"locale\":null}}],\"sent_at\":\"2025-05-03T12:00:00+02:00\","
                "\"context\":{\"page_url\":\"/y\",\"locale\":\"de\","
                "\"sdk\":null}}");
    is_text(out.p, out.n,
            "{\"event_type\":\"purchase\","
            "\"event_id\":\"0199abcd-0000-7000-8000-00000000000f\","
            "\"timestamp\":\"2025-05-03T10:00:00.000Z\","
            "\"received_at\":\"2025-05-03T10:00:01.234Z\","
            "\"sent_at\":\"2025-05-03T10:00:00.000Z\","
            "\"session_id\":\"s\\u0031\",\"anonymous_id\":\"an\","
            "\"fields\":{\"total\":0.10,\"order_id\":9223372036854775807,"
            "\"cart\":[1, {\"a\":1e2}]},"
            "\"context\":{\"page_url\":\"/x\",\"locale\":\"de\"}," TAIL,
            "all members; nulls left out; context inherited");

    write_first("{\"event_type\":\"click\",\"fields\":"
                "{\"button_name\":\"b\"},\"context\":{ \"sdk\" : \"1\" }}");
    ok(has_text(out.p, out.n, "\"context\":{ \"sdk\" : \"1\" },"),
       "a context alone is copied as it came");

    write_first("{\"event_type\":\"click\",\"fields\":"
                "{\"button_name\":\"b\"},\"context\":"
                "{\"locale\":null, \"sdk\" : \"1\"}}");
    ok(has_text(out.p, out.n, "\"context\":{\"sdk\":\"1\"},"),
       "but for its nulls");

    write_first("{\"event_type\":\"drop it\",\"fields\":{\"x\":1}}");
    ok(has_text(out.p, out.n, "\"fields\":{},"), "dropped fields");

    write_first("{\"event_type\":\"click\",\"fields\":"
                "{\"x\":{\"y\":null},\"button_name\":\"b\"}}");
    ok(has_text(out.p, out.n, "{\"x\":{\"y\":null},\"button_name\":\"b\"}"),
       "kept fields, nulls inside them untouched");
}


static void
test_fixed(void)
{
    trk_buf_t     fixed, written;
    trk_origin_t  again;

    trk_buf_init(&fixed, UINT32_MAX);
    trk_buf_init(&written, UINT32_MAX);

    again = origin;
    trk_record_fixed(&fixed, &origin);
    again.fixed = trk_str_of(fixed.p, fixed.n);

    write_first("{\"event_type\":\"click\",\"fields\":"
                "{\"button_name\":\"b\"}}");
    trk_record_write(&written, &req, &req.events[0], &again);

    ok(trk_str_eq(trk_str_of(out.p, out.n),
                  trk_str_of(written.p, written.n)),
       "what is the same for all events may be written once");

    trk_buf_free(&fixed);
    trk_buf_free(&written);
}


static void
key_is(const char *members, const char *want)
{
    char  body[1024];

    (void) snprintf(body, sizeof(body), "{\"event_type\":\"drop it\"%s}",
                    members);
    write_first(body);
    trk_buf_reset(&out, SIZE_MAX);
    trk_record_key(&out, &req, &req.events[0], &origin);
    is_text(out.p, out.n, want, "key of %s", members);
}


static void
test_keys(void)
{
    key_is(",\"session_id\":\"s\\u0031\",\"anonymous_id\":\"a\","
           "\"user_id\":\"u\"", "s1");
    key_is(",\"anonymous_id\":\"a\",\"user_id\":\"u\"", "a");
    key_is(",\"user_id\":\"u\",\"session_id\":\"\"", "u");
    key_is("", "00000000-0000-7000-8000-000000000001");
}


static void
test_read_back(void)
{
    trk_buf_t     b;
    trk_record_t  rec;

    trk_buf_init(&b, 1024);
    trk_record_init(&rec);

    write_first("{\"batch\":[{\"event_type\":\"click\",\"user_id\":\"\\u00e9\","
                "\"timestamp\":5,\"fields\":{\"button_name\":\"b\"}}],"
                "\"sent_at\":7,\"context\":{\"sdk\":\"x\"}}");

    is_int(trk_record_read(&rec, out.p, out.n), TRK_INVALID,
           "a seq beyond 63 bits is not ours");

    out.n -= sizeof("18446744073709551615}") - 1;
    trk_buf_lit(&out, "18231}");

    is_int(trk_record_read(&rec, out.p, out.n), TRK_OK, "read back");
    is_str(trk_json_raw(&rec.json, rec.event_type), "click", "event_type");
    is_str(trk_json_string(&rec.json, rec.user_id, &b), "\xc3\xa9", "user");
    is_str(trk_json_raw(&rec.json, rec.edge), "9f86d081884c7d65", "edge");
    is_int(rec.session_id, 0, "no session");
    ok(rec.has_seq && rec.seq == 18231, "seq");
    ok(rec.has_timestamp && rec.timestamp == 5, "timestamp");
    ok(rec.has_sent_at && rec.sent_at == 7, "sent_at");
    ok(rec.has_received_at && rec.received_at == origin.received_at,
       "received_at");
    is_str(trk_json_text(&rec.json, rec.context), "{\"sdk\":\"x\"}",
           "context");

    trk_buf_free(&b);
    trk_record_free(&rec);
}


#define ID  "\"event_id\":\"0199abcd-0000-7000-8000-00000000000f\""

static const char *const  strangers[][2] = {
    { "", "body is not JSON at byte 0" },
    { "[]", "not a JSON object" },
    { "{}", "event_type is missing" },
    { "{\"event_type\":\"\"," ID "}", "event_type is missing" },
    { "{\"event_type\":\"x\"}", "event_id is missing" },
    { "{\"event_type\":\"x\",\"event_id\":\"y\"}", "event_id is not a UUID" },
    { "{\"event_type\":7," ID "}", "event_type is not a string" },
    { "{\"event_type\":\"x\"," ID ",\"seq\":-1}",
      "seq is not an integer of at least 0" },
    { "{\"event_type\":\"x\"," ID ",\"edge\":\"9F86D081884C7D65\"}",
      "edge is not 16 hex digits" },
    { "{\"event_type\":\"x\"," ID ",\"fields\":[]}",
      "fields is not an object" },
    { "{\"event_type\":\"x\"," ID ",\"ip\":1}", "ip is not a string" },
    { "{\"event_type\":\"x\"," ID ",\"received_at\":\"soon\"}",
      "received_at is not an RFC 3339 time or integer milliseconds" },
    { "{\"event_type\":\"x\",\"event_type\":\"x\"," ID "}",
      "an object has a name twice at byte 18" },
};


static void
test_strangers(void)
{
    size_t        i;
    trk_record_t  rec;

    static const char  escaped[] = "{\"event_type\":\"x\",\"event_id\":"
        "\"\\u0030199abcd-0000-7000-8000-00000000000f\","
        "\"timestamp\":\"1970-01-01T08:00:01\\u002B08:00\"}";

    trk_record_init(&rec);

    for (i = 0; i < sizeof(strangers) / sizeof(*strangers); i++) {
        is_int(trk_record_read(&rec, (const uint8_t *) strangers[i][0],
                               strlen(strangers[i][0])), TRK_INVALID,
               "refused: %s", strangers[i][0]);
        is_text(rec.error, strlen(rec.error), strangers[i][1], "says why");
    }

    is_int(trk_record_read(&rec, (const uint8_t *) "{\"event_type\":\"x\","
                           ID ",\"new\":[1],\"user_id\":null}",
                           sizeof("{\"event_type\":\"x\"," ID
                                  ",\"new\":[1],\"user_id\":null}") - 1),
           TRK_OK, "members we do not know are ignored, null is absent");
    is_int(rec.user_id, 0, "absent");

    is_int(trk_record_read(&rec, (const uint8_t *) escaped,
                           sizeof(escaped) - 1),
           TRK_OK, "an id and a time with escapes: %s", rec.error);
    is_int(rec.timestamp, 1000, "are what they stand for");

    trk_record_free(&rec);
}


int
main(void)
{
    image = fixture_image();
    trk_request_init(&req);
    trk_buf_init(&out, 1 << 20);

    test_write();
    test_fixed();
    test_keys();
    test_read_back();
    test_strangers();

    trk_request_free(&req);
    trk_buf_free(&out);
    free(body_copy);
    free(image);

    return done();
}
