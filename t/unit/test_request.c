/*
 * Judging request bodies, and the answers that name what is wrong.
 */

#include "trk_answer.h"
#include "trk_request.h"

#include "schema_fixture.h"

#include <time.h>


static trk_request_t  req;
static trk_image_t   *image;
static trk_limits_t   limits = { 500, 65536, NULL };
static trk_body_t     body_type;


static int
judge_bytes(const char *body, size_t n)
{
    static uint8_t  *copy;

    free(copy);
    copy = malloc(n ? n : 1);
    memcpy(copy, body, n);

    return trk_request_judge(&req, image, &limits, body_type, copy, n);
}


static int
judge(const char *body)
{
    return judge_bytes(body, strlen(body));
}


/* The codes and fields of event i as "code:field code:field". */

static const char *
verdict(size_t i)
{
    size_t                  k, n;
    const trk_violation_t  *v;
    static char             text[4096];

    text[0] = '\0';

    for (k = 0, n = 0; k < req.events[i].nviolations; k++) {
        v = &req.violations[req.events[i].violations + k];
        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s%s%s%.*s",
                               k ? " " : "", trk_error_name(v->code),
                               v->field.n ? ":" : "",
                               v->in_context ? "context." : "",
                               (int) v->field.n,
                               v->field.n ? (const char *) v->field.p : "");
    }

    return text;
}


typedef struct {
    const char  *event;
    const char  *verdict;
} event_case_t;

#define CLICK  "{\"event_type\":\"click\",\"fields\":{\"button_name\":\"b\"}"
#define BUY    "{\"event_type\":\"purchase\",\"fields\":{\"total\":1.5,"      \
               "\"order_id\":7"

static const event_case_t  events[] = {
    { CLICK "}", "" },
    { BUY "}}", "" },
    { BUY ",\"coupon\":null}}", "" },
    { BUY ",\"coupon\":\"\",\"gift\":true,\"paid_at\":\"2025-05-03T10:00:00Z\""
      ",\"skus\":[\"a\",\"\"],\"cart\":{\"x\":[1]}}}", "" },
    { BUY ",\"paid_at\":\"2025-05-03T10:00:00\\u005a\"}}", "" },
    { BUY ",\"paid_at\":1746266400000,\"skus\":[],\"cart\":7}}", "" },
    { "{\"event_type\":\"old\"}", "event_type_disabled:event_type" },
    { "{\"event_type\":\"nope\"}", "unknown_event_type:event_type" },
    { "{\"event_type\":\"\"}", "unknown_event_type:event_type" },
    { "{\"event_type\":7}", "wrong_type:event_type" },
    { "{\"event_type\":null}", "missing_event_type:event_type" },
    { "{}", "missing_event_type:event_type" },
    { "[]", "not_an_object" },
    { "7", "not_an_object" },
    { "{\"event_type\":\"\\u0063lick\",\"fields\":{\"button_\\u006eame\":\"b\""
      "}}", "" },
    { "{\"event_type\":\"click\"}", "missing_field:button_name" },
    { "{\"event_type\":\"click\",\"fields\":{\"button_name\":null}}",
      "missing_field:button_name" },
    { "{\"event_type\":\"click\",\"fields\":null}",
      "missing_field:button_name" },
    { "{\"event_type\":\"click\",\"fields\":[]}", "wrong_type:fields" },
    { "{\"event_type\":\"click\",\"fields\":{\"button_name\":\"b\",\"x\":1}}",
      "" },
    { "{\"event_type\":\"drop it\",\"fields\":{\"x\":1}}", "" },
    { BUY ",\"x\":1,\"y\":null}}", "unknown_field:x" },
    { "{\"event_type\":\"purchase\",\"fields\":{\"total\":\"1\","
      "\"order_id\":1.5,\"coupon\":1,\"gift\":\"true\",\"paid_at\":true,"
      "\"skus\":[1]}}",
      "wrong_type:total wrong_type:order_id wrong_type:coupon "
      "wrong_type:gift wrong_type:paid_at wrong_type:skus" },
    { "{\"event_type\":\"purchase\",\"fields\":{\"gift\":false}}",
      "missing_field:order_id missing_field:total" },
    { "{\"event_type\":\"purchase\",\"fields\":{\"total\":1e400,"
      "\"order_id\":9223372036854775808,\"paid_at\":\"yesterday\"}}",
      "too_large:total too_large:order_id format_mismatch:paid_at" },
    { "{\"event_type\":\"purchase\",\"fields\":{\"total\":-1e400,"
      "\"order_id\":-1e30,\"paid_at\":-9223372036854775809}}",
      "too_small:total too_small:order_id too_small:paid_at" },
    { "{\"event_type\":\"purchase\",\"fields\":{\"total\":-0,"
      "\"order_id\":1e2,\"paid_at\":1.5}}", "wrong_type:paid_at" },
    { CLICK ",\"typo\":1}", "unknown_property:typo" },
    { CLICK ",\"sent_at\":1}", "unknown_property:sent_at" },
    { CLICK ",\"timestamp\":\"2025-05-03T10:00:00.000Z\"}", "" },
    { CLICK ",\"timestamp\":1746266400000}", "" },
    { CLICK ",\"timestamp\":1746266400000.0}", "" },
    { CLICK ",\"timestamp\":\"2025-05-03T10:00:00\\u002B08:00\"}", "" },
    { CLICK ",\"timestamp\":null}", "" },
    { CLICK ",\"timestamp\":\"now\"}", "bad_timestamp:timestamp" },
    { CLICK ",\"timestamp\":1e30}", "bad_timestamp:timestamp" },
    { CLICK ",\"timestamp\":false}", "bad_timestamp:timestamp" },
    { CLICK ",\"event_id\":\"0199abcd-0000-7000-8000-00000000000F\"}", "" },
    { CLICK ",\"event_id\":\"\\u0030199abcd-0000-7000-8000-00000000000f\"}", ""
    },
    { CLICK ",\"event_id\":\"\"}", "bad_event_id:event_id" },
    { CLICK ",\"event_id\":1}", "bad_event_id:event_id" },
    { CLICK ",\"event_id\":\"00000000-0000-0000-0000-000000000000\"}",
      "bad_event_id:event_id" },
    { CLICK ",\"user_id\":\"u\",\"session_id\":\"\",\"anonymous_id\":null}",
      "" },
    { CLICK ",\"user_id\":7,\"session_id\":{},\"anonymous_id\":[]}",
      "wrong_type:user_id wrong_type:session_id wrong_type:anonymous_id" },
    { CLICK ",\"context\":{\"page_url\":\"/\",\"sdk\":\"x\","
      "\"locale\":null}}", "" },
    { CLICK ",\"context\":{\"page_url\":1,\"colour\":\"red\",\"x\":null}}",
      "bad_context:context.page_url bad_context:context.colour "
      "bad_context:context.x" },
    { CLICK ",\"context\":\"/\"}", "bad_context:context" },
    { "{\"event_type\":\"nope\",\"event_id\":1,\"zz\":2}",
      "bad_event_id:event_id unknown_property:zz "
      "unknown_event_type:event_type" },
};


static void
test_events(void)
{
    char    body[4096];
    size_t  i;

    for (i = 0; i < sizeof(events) / sizeof(*events); i++) {
        (void) snprintf(body, sizeof(body), "[%s]", events[i].event);
        is_int(judge(body), TRK_OK, "judged: %s", events[i].event);
        is_text(verdict(0), strlen(verdict(0)), events[i].verdict, "verdict");
        is_int(req.nrejected, events[i].verdict[0] != '\0', "counted");
    }
}


/* A body's beginning in one line, for a test's name. */

static const char *
shown(const char *body)
{
    size_t       i, n;
    static char  text[60];

    n = strnlen(body, sizeof(text) - 1);

    for (i = 0; i < n; i++) {
        text[i] = body[i] < ' ' ? '.' : body[i];
    }

    text[n] = '\0';

    return text;
}


static void
refused(const char *body, trk_error_code_t error, size_t offset)
{
    is_int(judge(body), TRK_INVALID, "refused: %s", shown(body));
    ok(req.error == error, "with %s", trk_error_name(req.error));
    ok(req.offset == offset, "at the right place");
}


/* What a write key's source may send. */

static void
test_source(void)
{
    uint8_t  hash[TRK_SHA256_LEN];

    limits.source = trk_image_key(image, fixture_hash(hash, 0xaa));
    ok(limits.source, "a source that may send some types");

    is_int(judge(BUY "}}"), TRK_OK, "judged");
    is_text(verdict(0), strlen(verdict(0)), "", "one of them");
    is_int(judge("{\"event_type\":\"drop it\"}"), TRK_OK, "judged");
    is_text(verdict(0), strlen(verdict(0)),
            "event_type_not_allowed:event_type", "another one");
    is_int(judge("{\"event_type\":\"old\"}"), TRK_OK, "judged");
    is_text(verdict(0), strlen(verdict(0)),
            "event_type_not_allowed:event_type", "a disabled one, likewise");
    is_int(judge("{\"event_type\":\"nope\"}"), TRK_OK, "judged");
    is_text(verdict(0), strlen(verdict(0)), "unknown_event_type:event_type",
            "one that is not there");

    limits.source = NULL;
}


static void
test_bodies(void)
{
    refused("", TRK_ERR_MALFORMED_JSON, 0);
    refused("{\"event_type\":}", TRK_ERR_MALFORMED_JSON, 14);
    refused("[\"\xff\"]", TRK_ERR_INVALID_UTF8, 2);
    refused("{\"a\":1,\"a\":1}", TRK_ERR_DUPLICATE_KEY, 7);
    refused("[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]", TRK_ERR_TOO_DEEP, 16);
    refused("\"event\"", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    refused("null", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    refused("[]", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    refused("{\"batch\":[]}", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    refused("{\"batch\":{}}", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);

    limits.max_events = 2;
    is_int(judge("[1,2]"), TRK_OK, "as many events as allowed");
    refused("[1,2,3]", TRK_ERR_TOO_MANY_EVENTS, SIZE_MAX);
    limits.max_events = 500;

    is_int(judge(CLICK "}"), TRK_OK, "an event alone");
    is_int(req.nevents, 1, "is one");
    is_int(req.nrejected, 0, "accepted");

    is_int(judge("[" CLICK "},7," CLICK "}]"), TRK_OK, "an array");
    is_int(req.nevents, 3, "of three");
    is_int(req.nrejected, 1, "one rejected");
}


/* Verdicts of all events, one after the other. */

static const char *
verdicts(void)
{
    size_t       i, n;
    static char  text[8192];

    text[0] = '\0';

    for (i = 0, n = 0; i < req.nevents; i++) {
        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s[%s]",
                               i ? " " : "", verdict(i));
    }

    return text;
}


typedef struct {
    trk_body_t   type;
    const char  *body;
    const char  *verdicts;
} lines_case_t;

#define C        CLICK "}"
#define NO_TYPE  "[missing_event_type:event_type]"

static const lines_case_t  lines[] = {
    { TRK_BODY_NDJSON, C, "[]" },
    { TRK_BODY_NDJSON, C "\n", "[]" },
    { TRK_BODY_NDJSON, C "\n" C, "[] []" },
    { TRK_BODY_NDJSON, C "\r\n" C "\r\n", "[] []" },
    { TRK_BODY_NDJSON, "\n \n\r\n" C "\n\n\t" C " \n\n", "[] []" },
    { TRK_BODY_NDJSON, "{}\n7\n[" C "]\nnull",
      NO_TYPE " [not_an_object] [not_an_object] [not_an_object]" },
    { TRK_BODY_NDJSON, "{\"batch\":[" C "]}",
      "[unknown_property:batch missing_event_type:event_type]" },
    { TRK_BODY_NDJSON, "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
      "[not_an_object]" },
    { TRK_BODY_TEXT, C, "[]" },
    { TRK_BODY_TEXT, "[" C "," C "]", "[] []" },
    { TRK_BODY_TEXT, "{\"batch\":[" C "," C "]}", "[] []" },
    { TRK_BODY_TEXT, "[\n" C ",\n" C "\n]\n", "[] []" },
    { TRK_BODY_TEXT, C "\n" C, "[] []" },
    { TRK_BODY_TEXT, "\n" C "\n\n{}\n", "[] " NO_TYPE },
    { TRK_BODY_TEXT, "[" C "]\n" C, "[not_an_object] []" },
    { TRK_BODY_TEXT, "1\n2", "[not_an_object] [not_an_object]" },
};


static void
test_lines(void)
{
    size_t  i;

    for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        body_type = lines[i].type;
        is_int(judge(lines[i].body), TRK_OK, "judged: %s",
               shown(lines[i].body));
        is_text(verdicts(), strlen(verdicts()), lines[i].verdicts,
                "verdicts");
        ok(!req.context && !req.has_sent_at, "lines inherit nothing");
    }

    body_type = TRK_BODY_NDJSON;
    refused("", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    refused(" \n\r\n", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    refused(C "\n{\n}", TRK_ERR_MALFORMED_JSON, sizeof(C "\n{") - 1);
    refused(C "\n" C " " C, TRK_ERR_MALFORMED_JSON, sizeof(C "\n" C) );
    refused(C "\n{\"a\":\"\xff\"}", TRK_ERR_INVALID_UTF8,
            sizeof(C "\n{\"a\":\"") - 1);
    refused(C "\n{\"a\":1,\"a\":2}", TRK_ERR_DUPLICATE_KEY,
            sizeof(C "\n{\"a\":1,") - 1);
    refused(C "\n[[[[[[[[[[[[[[[[[", TRK_ERR_TOO_DEEP,
            sizeof(C "\n") - 1 + 16);
    refused("{\"a\":\"b\nc\"}", TRK_ERR_MALFORMED_JSON, 7);

    limits.max_events = 2;
    is_int(judge("1\n\n2\n"), TRK_OK, "as many lines as allowed");
    refused("1\n2\n3", TRK_ERR_TOO_MANY_EVENTS, SIZE_MAX);
    limits.max_events = 500;

    body_type = TRK_BODY_TEXT;
    refused("", TRK_ERR_MALFORMED_JSON, 0);
    refused("{} x", TRK_ERR_MALFORMED_JSON, 3);
    refused("{}\nx", TRK_ERR_MALFORMED_JSON, 3);
    refused("{\n}\n{}", TRK_ERR_MALFORMED_JSON, 1);
    refused("7", TRK_ERR_NOT_AN_EVENT, SIZE_MAX);

    body_type = TRK_BODY_JSON;
    refused("{}\n{}", TRK_ERR_MALFORMED_JSON, 3);
}


/* However many nodes a text has, they take eight bytes for each of its. */

static void
test_nodes_bound(void)
{
    size_t      i;
    trk_buf_t   b;
    trk_json_t  json;

    trk_buf_init(&b, 1 << 20);
    trk_buf_byte(&b, '[');

    for (i = 0; i < 200000; i++) {
        trk_buf_lit(&b, "1,");
    }

    trk_buf_lit(&b, "1]");

    trk_json_init(&json);
    is_int(trk_json_parse(&json, b.p, b.n), TRK_OK, "parsed");
    is_int(json.nnodes, 200002, "all nodes");
    ok(json.cap * sizeof(trk_json_node_t) <= b.n * 8 + 1024,
       "in %zu bytes for a text of %zu", json.cap * sizeof(trk_json_node_t),
       b.n);

    trk_json_free(&json);
    trk_buf_free(&b);
}


static void
test_inherited_bound(void)
{
    int        i;
    trk_buf_t  b;

    trk_buf_init(&b, 1 << 20);

    for (i = 0; i < 2; i++) {
        trk_buf_reset(&b, 0);
        trk_buf_lit(&b, "{\"batch\":[" C "," C "],\"context\":"
                    "{\"locale\":\"");
        memset(trk_buf_reserve(&b, TRK_CONTEXT_MAX), 'a', TRK_CONTEXT_MAX);
        b.n += TRK_CONTEXT_MAX - sizeof("{\"locale\":\"\"}") + 1
               + (size_t) i;
        trk_buf_lit(&b, "\"}}");

        is_int(judge_bytes((char *) b.p, b.n), TRK_OK, "judged");
        is_text(verdicts(), strlen(verdicts()),
                i ? "[bad_context:context] [bad_context:context]" : "[] []",
                "an inherited context of TRK_CONTEXT_MAX + %d bytes", i);
        is_int(req.context != 0, !i, "is inherited, or not");
    }

    trk_buf_free(&b);
}


static void
test_envelope(void)
{
    is_int(judge("{\"batch\":[" CLICK "}],\"sent_at\":1746266400000,"
                 "\"context\":{\"locale\":\"de\"}}"), TRK_OK, "a batch");
    is_int(req.nrejected, 0, "accepted");
    ok(req.has_sent_at && req.sent_at == 1746266400000, "sent_at");
    ok(req.context != 0, "context");

    is_int(judge("{\"sent_at\":null,\"context\":null,\"batch\":[" CLICK
                 "}]}"), TRK_OK, "nulls are absent");
    ok(!req.has_sent_at && !req.context && !req.nrejected, "all of them");

    is_int(judge("{\"sent_at\":\"now\",\"batch\":[" CLICK "}," CLICK
                 "}],\"context\":{\"x\":1},\"event_type\":\"click\"}"),
           TRK_OK, "a bad envelope");
    is_int(req.nrejected, 2, "is every event's error");
    is_text(verdict(1), strlen(verdict(1)),
            "bad_timestamp:sent_at bad_context:context.x "
            "unknown_property:event_type", "and named");
}


static void
test_limits(void)
{
    char  body[2048], id[300];

    memset(id, 'x', sizeof(id));

    (void) snprintf(body, sizeof(body), "[" CLICK ",\"user_id\":\"%.256s\"}]",
                    id);
    is_int(judge(body), TRK_OK, "judged");
    is_int(req.nrejected, 0, "256 bytes of user_id");

    (void) snprintf(body, sizeof(body), "[" CLICK ",\"user_id\":\"%.257s\"}]",
                    id);
    is_int(judge(body), TRK_OK, "judged");
    is_text(verdict(0), strlen(verdict(0)), "too_long:user_id", "257");

    (void) snprintf(body, sizeof(body), "[" CLICK ",\"timestamp\":"
                    "\"\\u0032%.250s\",\"event_id\":\"%.260s\\n\"}]", id, id);
    is_int(judge(body), TRK_OK, "judged");
    is_text(verdict(0), strlen(verdict(0)),
            "bad_timestamp:timestamp bad_event_id:event_id",
            "with escapes, beyond what is decoded");

    limits.max_event_size = sizeof(CLICK "}") - 1;
    is_int(judge("[ " CLICK "} , " CLICK " }]"), TRK_OK, "judged");
    is_int(req.events[0].nviolations, 0, "as large as allowed");
    is_text(verdict(1), strlen(verdict(1)), "event_too_large", "larger");

    is_int(judge("{\"batch\":[" CLICK "}],\"context\":{\"locale\":\"de\"}}"),
           TRK_OK, "judged");
    is_text(verdict(0), strlen(verdict(0)), "event_too_large",
            "an inherited context is part of each event");
    is_int(judge("{\"batch\":[" CLICK "}],\"context\":null}"), TRK_OK,
           "judged");
    is_int(req.nrejected, 0, "none is not");
    limits.max_event_size = 65536;
}


/* CPU time to judge n empty events under half a megabyte of members that a
 * batch does not have. */

static double
judge_hostile_envelope(size_t n)
{
    size_t     i;
    clock_t    start, end;
    trk_buf_t  b;

    trk_buf_init(&b, 1 << 20);
    trk_buf_lit(&b, "{\"batch\":[{}");

    for (i = 1; i < n; i++) {
        trk_buf_lit(&b, ",{}");
    }

    trk_buf_lit(&b, "]");

    for (i = 0; b.n < 500000; i++) {
        trk_buf_lit(&b, ",\"\\u0061");
        trk_buf_uint(&b, i);
        trk_buf_lit(&b, "\":0");
    }

    trk_buf_lit(&b, "}");

    start = clock();
    is_int(judge_bytes((char *) b.p, b.n), TRK_OK, "judged");
    end = clock();

    is_int(req.nrejected, n, "all %zu rejected", n);
    trk_buf_free(&b);

    return (double) (end - start) / CLOCKS_PER_SEC;
}


static void
test_hostile_envelope(void)
{
    double  one, many;

    one = judge_hostile_envelope(1);
    many = judge_hostile_envelope(500);

    ok(many < one * 5 + 0.01, "the sum of events and members, not their "
       "product: %.3f s for one event, %.3f s for 500", one, many);
}


static void
test_trim(void)
{
    trk_buf_t  b;

    trk_buf_init(&b, 1 << 20);
    trk_buf_lit(&b, "[\"\\n");
    trk_request_trim(&req);
    memset(trk_buf_reserve(&b, 500000), 'a', 500000);
    b.n += 500000;
    trk_buf_lit(&b, "\"]");

    is_int(judge_bytes((char *) b.p, b.n), TRK_OK, "judged");
    trk_request_trim(&req);
    ok(req.json.decoded.cap < 65536, "room to decode is given back");

    is_int(judge(CLICK "}"), TRK_OK, "after a trim it goes on");
    trk_buf_free(&b);
}


static void
test_error_bound(void)
{
    int        i;
    trk_buf_t  b;

    trk_buf_init(&b, 65536);
    trk_buf_lit(&b, "[{\"event_type\":\"purchase\",\"fields\":{");

    for (i = 0; i < 40; i++) {
        trk_buf_lit(&b, "\"u");
        trk_buf_int(&b, i);
        trk_buf_lit(&b, "\":1,");
    }

    trk_buf_lit(&b, "\"total\":1}}]");
    is_int(judge_bytes((char *) b.p, b.n), TRK_OK, "judged");
    is_int(req.events[0].nviolations, TRK_EVENT_MAX_ERRORS,
           "errors of an event are bounded");
    trk_buf_free(&b);
}


static void
test_answers(void)
{
    size_t     i;
    trk_buf_t  b, out;

    trk_buf_init(&b, 1 << 20);
    trk_buf_init(&out, 1 << 20);

    is_int(judge("[" CLICK "},{\"event_type\":\"purchase\",\"event_id\":"
                 "\"0199ABCD-0000-7000-8000-00000000000F\",\"fields\":"
                 "{\"total\":true,\"order_id\":1},\"x\\\"y\":1}]"),
           TRK_OK, "judged");
    trk_answer_rejected(&out, &req);
    is_text(out.p, out.n,
            "{\"accepted\":1,\"rejected\":[{\"index\":1,\"event_id\":"
            "\"0199abcd-0000-7000-8000-00000000000f\",\"errors\":["
            "{\"code\":\"unknown_property\",\"field\":\"x\\\"y\",\"message\":"
            "\"event has an unknown member\"},{\"code\":\"wrong_type\","
            "\"field\":\"total\",\"message\":\"must be a number\"}]}]}",
            "an answer that names the rejected");

    trk_buf_reset(&out, 0);
    trk_answer_error(&out, TRK_ERR_MALFORMED_JSON, 17);
    is_text(out.p, out.n, "{\"error\":{\"code\":\"malformed_json\","
            "\"message\":\"body is not JSON\",\"offset\":17}}", "an error");

    trk_buf_reset(&out, 0);
    trk_answer_error(&out, TRK_ERR_UNAVAILABLE, SIZE_MAX);
    ok(!has_text(out.p, out.n, "offset"), "without an offset");

    /* 500 events with 16 errors each: more than the answer's detail bound */

    trk_buf_byte(&b, '[');

    for (i = 0; i < 500; i++) {
        trk_buf_lit(&b, "{\"event_type\":\"nope\",\"a\":0,\"b\":0,\"c\":0,"
                    "\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0}");
        trk_buf_byte(&b, i == 499 ? ']' : ',');
    }

    trk_buf_reset(&out, 0);
    is_int(judge_bytes((char *) b.p, b.n), TRK_OK, "judged");
    trk_answer_rejected(&out, &req);
    ok(has_text(out.p, out.n, "\"truncated\":true"), "says truncated");
    ok(has_text(out.p, out.n, "{\"index\":499,\"errors\":[{\"code\":"),
       "the last index is there with its first code");
    ok(out.n < TRK_ANSWER_DETAIL_MAX * 2, "and it is bounded: %zu", out.n);

    trk_buf_free(&b);
    trk_buf_free(&out);
}


int
main(void)
{
    image = fixture_image();
    trk_request_init(&req);

    test_events();
    test_source();
    test_bodies();
    test_lines();
    test_nodes_bound();
    test_inherited_bound();
    test_envelope();
    test_limits();
    test_error_bound();
    test_answers();
    test_hostile_envelope();
    test_trim();

    trk_request_free(&req);
    free(image);

    return done();
}
