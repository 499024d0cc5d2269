/*
 * Records of the rejected topic.  See trk_reject.h.
 */

#include "trk_reject.h"
#include "trk_answer.h"
#include "trk_utf8.h"


/* Text on its way into a JSON string, up to a bound. */
typedef struct {
    trk_buf_t  *out;
    size_t      left;       /* bytes that may still be written */
    size_t      size;       /* of all pieces, written or not */
} trk_reject_text_t;


static void trk_reject_piece(trk_reject_text_t *text, trk_str_t s);
static void trk_reject_members(trk_reject_text_t *text, trk_request_t *req,
    const trk_event_t *event);
static int trk_reject_kept(trk_str_t name);
static void trk_reject_bytes(trk_buf_t *out, trk_str_t s);
static int trk_reject_as_string(trk_str_t s);
static void trk_reject_size(trk_buf_t *out, size_t written, size_t size);
static void trk_reject_origin(trk_buf_t *out, const trk_origin_t *origin);


void
trk_reject_event(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event, const trk_origin_t *origin)
{
    size_t  begin, size;
    char    id[TRK_UUID_LEN];

    trk_buf_lit(out, "{\"event\":");
    begin = out->n;
    size = trk_reject_text(out, req, event, origin->no_ids,
                           TRK_REJECT_BYTES_MAX);

    if (out->n > begin) {
        trk_reject_size(out, TRK_REJECT_BYTES_MAX, size);

    } else if (!out->failed) {
        out->n = begin - (sizeof("\"event\":") - 1);
        trk_buf_lit(out, "\"size\":");
        trk_buf_uint(out, size);
    }

    trk_buf_lit(out, ",\"errors\":");
    trk_answer_errors(out, req, event);

    if (event->has_event_id) {
        trk_uuid_format(&event->event_id, id);
        trk_buf_lit(out, ",\"event_id\":\"");
        trk_buf_add(out, id, sizeof(id));
        trk_buf_byte(out, '"');
    }

    if (req->has_sent_at) {
        trk_record_when(out, "sent_at", req->sent_at);
    }

    if (req->context != 0) {
        trk_buf_lit(out, ",\"context\":");
        trk_buf_str(out, trk_json_text(&req->json, req->context));
    }

    trk_reject_origin(out, origin);
}


size_t
trk_reject_text(trk_buf_t *out, trk_request_t *req, const trk_event_t *event,
    int no_ids, size_t max)
{
    trk_str_t          s;
    trk_reject_text_t  text;

    s = trk_json_text(&req->json, event->node);

    if (no_ids && req->json.nodes[event->node].type != TRK_JSON_OBJECT) {
        return s.n;
    }

    text = (trk_reject_text_t) { out, max, 0 };
    trk_buf_byte(out, '"');

    if (no_ids) {
        trk_reject_members(&text, req, event);

    } else {
        trk_reject_piece(&text, s);
    }

    trk_buf_byte(out, '"');

    return text.size;
}


/* Behind the first cut nothing follows. */

static void
trk_reject_piece(trk_reject_text_t *text, trk_str_t s)
{
    size_t  n;

    n = trk_reject_cut(s, text->left);

    trk_buf_json_text(text->out, trk_str_of(s.p, n));
    text->left = n < s.n ? 0 : text->left - n;
    text->size += s.n;
}


/* The event's members but its identifiers and those that no event has. */

static void
trk_reject_members(trk_reject_text_t *text, trk_request_t *req,
    const trk_event_t *event)
{
    char         separator;
    uint32_t     name;
    trk_json_t  *json;

    json = &req->json;
    separator = '{';

    for (name = event->node + 1; name < json->nodes[event->node].next;
         name = json->nodes[name + 1].next)
    {
        if (trk_reject_kept(trk_json_string(json, name, &req->scratch))) {
            trk_reject_piece(text, trk_str_of(&separator, 1));
            trk_reject_piece(text, trk_json_text(json, name));
            trk_reject_piece(text, trk_str(":"));
            trk_reject_piece(text, trk_json_text(json, name + 1));
            separator = ',';
        }
    }

    if (separator == '{') {
        trk_reject_piece(text, trk_str("{"));
    }

    trk_reject_piece(text, trk_str("}"));
}


static int
trk_reject_kept(trk_str_t name)
{
    return trk_str_eq(name, trk_str("event_type"))
           || trk_str_eq(name, trk_str("event_id"))
           || trk_str_eq(name, trk_str("timestamp"))
           || trk_str_eq(name, trk_str("fields"))
           || trk_str_eq(name, trk_str("context"));
}


size_t
trk_reject_cut(trk_str_t s, size_t max)
{
    size_t  n;

    if (s.n <= max) {
        return s.n;
    }

    for (n = max; n > 0 && max - n < 3 && (s.p[n] & 0xC0) == 0x80; n--) {
        /* void */
    }

    return n;
}


void
trk_reject_body(trk_buf_t *out, trk_str_t body, size_t size,
    trk_error_code_t code, size_t offset, const trk_origin_t *origin)
{
    trk_buf_byte(out, '{');

    if (origin->no_ids) {
        trk_buf_lit(out, "\"size\":");
        trk_buf_uint(out, size);

    } else {
        body.n = trk_reject_cut(body, TRK_REJECT_BYTES_MAX);
        trk_reject_bytes(out, body);
        trk_reject_size(out, body.n, size);
    }

    trk_buf_lit(out, ",\"errors\":[");
    trk_answer_code(out, code, offset);
    trk_buf_byte(out, ']');

    trk_reject_origin(out, origin);
}


static void
trk_reject_bytes(trk_buf_t *out, trk_str_t s)
{
    if (trk_reject_as_string(s)) {
        trk_buf_lit(out, "\"event\":");
        trk_buf_json_string(out, s);
        return;
    }

    trk_buf_lit(out, "\"event_base64\":\"");
    trk_buf_base64(out, s);
    trk_buf_byte(out, '"');
}


/* A string of control characters would become six times as long, and the
 * record longer than brokers take. */

static int
trk_reject_as_string(trk_str_t s)
{
    size_t  i, n, controls;

    for (i = 0, controls = 0; i < s.n; i += n) {

        n = trk_utf8_next(s.p + i, s.n - i);

        if (n == 0) {
            return 0;
        }

        controls += s.p[i] < 0x20 && s.p[i] != '\n' && s.p[i] != '\r'
                    && s.p[i] != '\t';
    }

    return controls <= s.n / 8;
}


static void
trk_reject_size(trk_buf_t *out, size_t written, size_t size)
{
    if (size > written) {
        trk_buf_lit(out, ",\"truncated\":true,\"size\":");
        trk_buf_uint(out, size);
    }
}


static void
trk_reject_origin(trk_buf_t *out, const trk_origin_t *origin)
{
    trk_record_when(out, "received_at", origin->received_at);
    trk_record_origin(out, origin);
    trk_buf_byte(out, '}');
}


void
trk_reject_key(trk_buf_t *out, const trk_event_t *event)
{
    char  id[TRK_UUID_LEN];

    if (event->has_event_id) {
        trk_uuid_format(&event->event_id, id);
        trk_buf_add(out, id, sizeof(id));
    }
}
