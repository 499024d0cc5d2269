/*
 * Kafka records.  See trk_record.h.
 */

#include "trk_record.h"
#include "trk_time.h"

#include <stdarg.h>
#include <stdio.h>


#define TRK_EDGE_LEN  16    /* hex digits */


static void trk_record_text(trk_buf_t *out, const char *name, size_t len,
    const trk_json_t *json, uint32_t i);
static void trk_record_fields(trk_buf_t *out, const trk_json_t *json,
    const trk_event_t *event);
static void trk_record_context(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event);
static void trk_record_members(trk_buf_t *out, const trk_json_t *json,
    uint32_t object);
static void trk_record_inherited(trk_buf_t *out, trk_request_t *req,
    uint32_t own, uint32_t batch);
static void trk_record_member(trk_buf_t *out, const trk_json_t *json,
    uint32_t name);


/* ,"name": before every member but the first */

#define trk_record_name(out, name)  trk_buf_lit(out, ",\"" name "\":")

#define trk_record_id(out, name, json, i)                                     \
    trk_record_text(out, ",\"" name "\":", sizeof(",\"" name "\":") - 1,      \
                    json, i)


void
trk_record_write(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event, const trk_origin_t *origin)
{
    uint8_t     *dst;
    trk_json_t  *json;

    json = &req->json;

    trk_buf_lit(out, "{\"event_type\":");
    trk_buf_str(out, trk_json_text(json, event->event_type));

    trk_record_name(out, "event_id");
    dst = trk_buf_reserve(out, TRK_UUID_LEN + 2);

    if (dst == NULL) {
        return;
    }

    dst[0] = '"';
    trk_uuid_format(&event->event_id, (char *) dst + 1);
    dst[TRK_UUID_LEN + 1] = '"';
    out->n += TRK_UUID_LEN + 2;

    if (event->timestamp_text != 0) {
        trk_record_id(out, "timestamp", json, event->timestamp_text);

    } else if (event->has_timestamp) {
        trk_record_when(out, "timestamp", event->timestamp);
    }

    trk_record_when(out, "received_at", origin->received_at);

    if (req->has_sent_at) {
        trk_record_when(out, "sent_at", req->sent_at);
    }

    if (!origin->no_ids) {
        trk_record_id(out, "user_id", json, event->user_id);
        trk_record_id(out, "session_id", json, event->session_id);
        trk_record_id(out, "anonymous_id", json, event->anonymous_id);
    }

    trk_record_fields(out, json, event);
    trk_record_context(out, req, event);
    trk_record_origin(out, origin);

    trk_buf_byte(out, '}');
}


void
trk_record_time(trk_buf_t *out, const char *name, size_t len, int64_t ms)
{
    uint8_t  *dst;

    trk_buf_add(out, name, len);
    dst = trk_buf_reserve(out, TRK_TIME_LEN + 1);

    if (dst != NULL) {
        trk_time_format(ms, (char *) dst);
        dst[TRK_TIME_LEN] = '"';
        out->n += TRK_TIME_LEN + 1;
    }
}


static void
trk_record_text(trk_buf_t *out, const char *name, size_t len,
    const trk_json_t *json, uint32_t i)
{
    if (i != 0) {
        trk_buf_add(out, name, len);
        trk_buf_str(out, trk_json_text(json, i));
    }
}


static void
trk_record_fields(trk_buf_t *out, const trk_json_t *json,
    const trk_event_t *event)
{
    if (event->fields == 0) {
        return;
    }

    trk_record_name(out, "fields");

    if (!event->sparse) {
        trk_buf_str(out, trk_json_text(json, event->fields));
        return;
    }

    trk_buf_byte(out, '{');
    trk_record_members(out, json, event->fields);
    trk_buf_byte(out, '}');
}


/* The event's own context, completed by what the batch's says besides. */

static void
trk_record_context(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event)
{
    uint32_t           only;
    const trk_json_t  *json;

    json = &req->json;

    if (event->context == 0 && req->context == 0) {
        return;
    }

    trk_record_name(out, "context");

    only = event->context == 0 ? req->context
           : req->context == 0 ? event->context : 0;

    if (only != 0 && !(json->nodes[only].flags & TRK_JSON_SPARSE)) {
        trk_buf_str(out, trk_json_text(json, only));
        return;
    }

    trk_buf_byte(out, '{');

    if (event->context != 0) {
        trk_record_members(out, json, event->context);
    }

    if (req->context != 0) {
        trk_record_inherited(out, req, event->context, req->context);
    }

    trk_buf_byte(out, '}');
}


static void
trk_record_members(trk_buf_t *out, const trk_json_t *json, uint32_t object)
{
    uint32_t  name;

    for (name = object + 1; name < json->nodes[object].next;
         name = json->nodes[name + 1].next)
    {
        if (!(json->nodes[name].flags & TRK_JSON_SKIP)) {
            trk_record_member(out, json, name);
        }
    }
}


static void
trk_record_inherited(trk_buf_t *out, trk_request_t *req, uint32_t own,
    uint32_t batch)
{
    uint32_t          name, value;
    trk_json_t       *json;
    trk_json_node_t  *nodes;

    json = &req->json;
    nodes = json->nodes;

    for (name = batch + 1; name < nodes[batch].next;
         name = nodes[name + 1].next)
    {
        if (nodes[name].flags & TRK_JSON_SKIP) {
            continue;
        }

        value = own == 0 ? 0
                : trk_json_member(json, own,
                                  trk_json_string(json, name,
                                                  &req->scratch));

        if (value == 0 || nodes[value].type == TRK_JSON_NULL) {
            trk_record_member(out, json, name);
        }
    }
}


static void
trk_record_member(trk_buf_t *out, const trk_json_t *json, uint32_t name)
{
    if (out->n > 0 && out->p[out->n - 1] != '{') {
        trk_buf_byte(out, ',');
    }

    trk_buf_str(out, trk_json_text(json, name));
    trk_buf_byte(out, ':');
    trk_buf_str(out, trk_json_text(json, name + 1));
}


void
trk_record_origin(trk_buf_t *out, const trk_origin_t *origin)
{
    if (origin->fixed.n) {
        trk_buf_str(out, origin->fixed);

    } else {
        trk_record_fixed(out, origin);
    }

    if (origin->edge.n) {
        trk_buf_lit(out, ",\"seq\":");
        trk_buf_uint(out, origin->seq);
    }
}


void
trk_record_fixed(trk_buf_t *out, const trk_origin_t *origin)
{
    if (origin->ip.n) {
        trk_record_name(out, "ip");
        trk_buf_json_string(out, origin->ip);
    }

    if (origin->user_agent.n) {
        trk_record_name(out, "user_agent");
        trk_buf_json_string(out, origin->user_agent);
    }

    if (origin->source.n) {
        trk_record_name(out, "source");
        trk_buf_json_string(out, origin->source);
    }

    trk_buf_lit(out, ",\"schema_version\":\"");
    trk_buf_str(out, origin->schema_version);
    trk_buf_byte(out, '"');

    if (origin->edge.n) {
        trk_buf_lit(out, ",\"edge\":\"");
        trk_buf_str(out, origin->edge);
        trk_buf_byte(out, '"');
    }
}


void
trk_record_key(trk_buf_t *out, trk_request_t *req, const trk_event_t *event,
    const trk_origin_t *origin)
{
    char      text[TRK_UUID_LEN];
    uint32_t  i;

    i = origin->no_ids ? 0
        : event->session_id ? event->session_id
        : event->anonymous_id ? event->anonymous_id : event->user_id;

    if (i != 0) {
        trk_buf_str(out, trk_json_string(&req->json, i, &req->scratch));
        return;
    }

    trk_uuid_format(&event->event_id, text);
    trk_buf_add(out, text, sizeof(text));
}


/*
 * Reading.  Each member of ours has a kind, which says what its value must
 * be, and a place in trk_record_t.
 */

typedef enum {
    TRK_KIND_STRING,
    TRK_KIND_OBJECT,
    TRK_KIND_TIME,
    TRK_KIND_UUID,
    TRK_KIND_SEQ,
    TRK_KIND_EDGE
} trk_record_kind_t;

typedef struct {
    trk_str_t          name;
    trk_record_kind_t  kind;
    size_t             offset;  /* of the value in trk_record_t */
    size_t             has;     /* of has_…; 0: a node index tells */
} trk_record_member_t;


#define trk_member(name, kind)                                                \
    { { (const uint8_t *) #name, sizeof(#name) - 1 }, kind,                   \
      offsetof(trk_record_t, name), 0 }

#define trk_member_has(name, kind)                                            \
    { { (const uint8_t *) #name, sizeof(#name) - 1 }, kind,                   \
      offsetof(trk_record_t, name), offsetof(trk_record_t, has_##name) }


static const trk_record_member_t  trk_record_table[] = {
    trk_member(event_type, TRK_KIND_STRING),
    trk_member_has(event_id, TRK_KIND_UUID),
    trk_member_has(timestamp, TRK_KIND_TIME),
    trk_member_has(received_at, TRK_KIND_TIME),
    trk_member_has(sent_at, TRK_KIND_TIME),
    trk_member(user_id, TRK_KIND_STRING),
    trk_member(session_id, TRK_KIND_STRING),
    trk_member(anonymous_id, TRK_KIND_STRING),
    trk_member(fields, TRK_KIND_OBJECT),
    trk_member(context, TRK_KIND_OBJECT),
    trk_member(ip, TRK_KIND_STRING),
    trk_member(user_agent, TRK_KIND_STRING),
    trk_member(source, TRK_KIND_STRING),
    trk_member(schema_version, TRK_KIND_STRING),
    trk_member(edge, TRK_KIND_EDGE),
    trk_member_has(seq, TRK_KIND_SEQ),
    { { NULL, 0 }, TRK_KIND_STRING, 0, 0 }
};


static int trk_record_fail(trk_record_t *rec, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int trk_record_take(trk_record_t *rec, uint32_t name);
static int trk_record_value(trk_record_t *rec, uint32_t value,
    const trk_record_member_t *member);
static int trk_record_value_time(trk_record_t *rec, uint32_t value,
    void *dst);
static int trk_record_value_uuid(trk_record_t *rec, uint32_t value,
    void *dst);
static int trk_record_value_seq(trk_record_t *rec, uint32_t value,
    void *dst);
static int trk_record_value_edge(trk_record_t *rec, uint32_t value);


void
trk_record_init(trk_record_t *rec)
{
    memset(rec, 0, sizeof(*rec));
    trk_json_init(&rec->json);
}


void
trk_record_free(trk_record_t *rec)
{
    trk_json_free(&rec->json);
}


int
trk_record_read(trk_record_t *rec, const uint8_t *p, size_t n)
{
    int          rc;
    uint32_t     name;
    trk_json_t   json;

    json = rec->json;
    memset(rec, 0, sizeof(*rec));
    rec->json = json;

    rc = trk_json_parse(&rec->json, p, n);

    if (rc == TRK_INVALID) {
        return trk_record_fail(rec, "%s at byte %zu",
                               trk_error_text(rec->json.error),
                               rec->json.offset);
    }

    if (rc != TRK_OK) {
        return TRK_NOMEM;
    }

    if (rec->json.nodes[0].type != TRK_JSON_OBJECT) {
        return trk_record_fail(rec, "not a JSON object");
    }

    for (name = 1; name < rec->json.nodes[0].next;
         name = rec->json.nodes[name + 1].next)
    {
        if (trk_record_take(rec, name) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    if (rec->event_type == 0 || rec->json.nodes[rec->event_type].len == 2) {
        return trk_record_fail(rec, "event_type is missing");
    }

    if (!rec->has_event_id) {
        return trk_record_fail(rec, "event_id is missing");
    }

    return TRK_OK;
}


static int
trk_record_fail(trk_record_t *rec, const char *format, ...)
{
    va_list  args;

    va_start(args, format);
    (void) vsnprintf(rec->error, sizeof(rec->error), format, args);
    va_end(args);

    return TRK_INVALID;
}


static int
trk_record_take(trk_record_t *rec, uint32_t name)
{
    trk_str_t                   s;
    const trk_record_member_t  *member;

    if (rec->json.nodes[name + 1].type == TRK_JSON_NULL) {
        return TRK_OK;
    }

    s = trk_json_string(&rec->json, name, &rec->json.decoded);

    for (member = trk_record_table; member->name.n; member++) {
        if (trk_str_eq(member->name, s)) {
            return trk_record_value(rec, name + 1, member);
        }
    }

    return TRK_OK;
}


static int
trk_record_value(trk_record_t *rec, uint32_t value,
    const trk_record_member_t *member)
{
    int          rc;
    char        *dst;
    const char  *wanted;

    dst = (char *) rec + member->offset;

    switch (member->kind) {

    case TRK_KIND_OBJECT:
        wanted = "an object";
        rc = rec->json.nodes[value].type != TRK_JSON_OBJECT;
        break;

    case TRK_KIND_TIME:
        wanted = "an RFC 3339 time or integer milliseconds";
        rc = trk_record_value_time(rec, value, dst);
        break;

    case TRK_KIND_UUID:
        wanted = "a UUID";
        rc = trk_record_value_uuid(rec, value, dst);
        break;

    case TRK_KIND_SEQ:
        wanted = "an integer of at least 0";
        rc = trk_record_value_seq(rec, value, dst);
        break;

    case TRK_KIND_EDGE:
        wanted = "16 hex digits";
        rc = trk_record_value_edge(rec, value);
        break;

    default:
        wanted = "a string";
        rc = rec->json.nodes[value].type != TRK_JSON_STRING;
    }

    if (rc != TRK_OK) {
        return trk_record_fail(rec, "%.*s is not %s", (int) member->name.n,
                               (const char *) member->name.p, wanted);
    }

    if (member->has) {
        *((uint8_t *) rec + member->has) = 1;

    } else {
        memcpy(dst, &value, sizeof(value));
    }

    return TRK_OK;
}


static int
trk_record_value_time(trk_record_t *rec, uint32_t value, void *dst)
{
    int      rc;
    int64_t  ms;

    rc = trk_json_time(&rec->json, value, &ms);

    if (rc == TRK_OK) {
        memcpy(dst, &ms, sizeof(ms));
    }

    return rc;
}


static int
trk_record_value_uuid(trk_record_t *rec, uint32_t value, void *dst)
{
    int         rc;
    uint8_t     text[TRK_JSON_SHORT];
    trk_uuid_t  uuid;

    if (rec->json.nodes[value].type != TRK_JSON_STRING) {
        return TRK_INVALID;
    }

    rc = trk_uuid_parse(trk_json_short(&rec->json, value, text), &uuid);

    if (rc == TRK_OK) {
        memcpy(dst, &uuid, sizeof(uuid));
    }

    return rc;
}


static int
trk_record_value_seq(trk_record_t *rec, uint32_t value, void *dst)
{
    int64_t   v;
    uint64_t  seq;

    if (rec->json.nodes[value].type != TRK_JSON_NUMBER
        || trk_number_int64(trk_json_text(&rec->json, value), &v) != TRK_OK
        || v < 0)
    {
        return TRK_INVALID;
    }

    seq = (uint64_t) v;
    memcpy(dst, &seq, sizeof(seq));

    return TRK_OK;
}


static int
trk_record_value_edge(trk_record_t *rec, uint32_t value)
{
    size_t     i;
    trk_str_t  s;

    if (rec->json.nodes[value].type != TRK_JSON_STRING) {
        return TRK_INVALID;
    }

    s = trk_json_raw(&rec->json, value);

    for (i = 0; i < s.n; i++) {
        if ((uint8_t) (s.p[i] - '0') > 9 && (uint8_t) (s.p[i] - 'a') > 5) {
            return TRK_INVALID;
        }
    }

    return s.n == TRK_EDGE_LEN ? TRK_OK : TRK_INVALID;
}
