/*
 * A request body judged.  See trk_request.h.
 */

#include "trk_request.h"
#include "trk_hash.h"
#include "trk_time.h"
#include "trk_validate.h"

#include <stdlib.h>


#define TRK_REQUEST_KEEP  512       /* events kept by trk_request_trim() */


/* What takes a member of an event; name is a node index. */
typedef void (*trk_member_pt)(trk_request_t *req, trk_event_t *event,
    uint32_t name);

typedef struct {
    trk_str_t      name;
    trk_member_pt  take;
} trk_member_t;


static int trk_request_scan(trk_json_t *json, trk_body_t type,
    const uint8_t *body, size_t n);
static int trk_request_fail(trk_request_t *req, trk_error_code_t error,
    size_t offset);
static int trk_request_events(trk_request_t *req, uint32_t first,
    uint32_t end, const trk_limits_t *limits);
static uint32_t trk_request_list(trk_request_t *req);
static void trk_request_envelope(trk_request_t *req, trk_event_t *event);
static void trk_event_judge(trk_request_t *req, trk_event_t *event,
    const trk_event_t *envelope, const trk_image_t *image,
    const trk_limits_t *limits);
static size_t trk_event_size(const trk_request_t *req,
    const trk_event_t *event);
static void trk_event_members(trk_request_t *req, trk_event_t *event);
static void trk_event_type(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image, const trk_image_source_t *source);
static void trk_event_wrong(trk_request_t *req, trk_event_t *event,
    uint32_t name, trk_error_code_t code, uint8_t wanted);
static void trk_take_event_type(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_event_id(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_timestamp(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_user_id(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_session_id(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_anonymous_id(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_fields(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_context(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_take_inherited(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static uint32_t trk_take_id(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_context_check(trk_request_t *req, trk_event_t *event,
    uint32_t value);


#define trk_member(name, first, last, take)                                   \
    [trk_name_slot(sizeof(name) - 1, first, last)] = { trk_text(name), take }

#define trk_context_member(name, first, last)                                 \
    [trk_name_slot(sizeof(name) - 1, first, last)] = trk_text(name)

#define trk_text(s)  { (const uint8_t *) (s), sizeof(s) - 1 }


static const trk_member_t  trk_members[TRK_NAME_SLOTS] = {
    trk_member("event_type", 'e', 'e', trk_take_event_type),
    trk_member("event_id", 'e', 'd', trk_take_event_id),
    trk_member("timestamp", 't', 'p', trk_take_timestamp),
    trk_member("session_id", 's', 'd', trk_take_session_id),
    trk_member("user_id", 'u', 'd', trk_take_user_id),
    trk_member("anonymous_id", 'a', 'd', trk_take_anonymous_id),
    trk_member("fields", 'f', 's', trk_take_fields),
    trk_member("context", 'c', 't', trk_take_context)
};

static const trk_str_t  trk_context_members[TRK_NAME_SLOTS] = {
    trk_context_member("page_url", 'p', 'l'),
    trk_context_member("page_title", 'p', 'e'),
    trk_context_member("referrer", 'r', 'r'),
    trk_context_member("locale", 'l', 'e'),
    trk_context_member("timezone", 't', 'e'),
    trk_context_member("screen", 's', 'n'),
    trk_context_member("viewport", 'v', 't'),
    trk_context_member("sdk", 's', 'k')
};


void
trk_request_init(trk_request_t *req)
{
    memset(req, 0, sizeof(*req));
    trk_json_init(&req->json);
    trk_buf_init(&req->scratch, UINT32_MAX);
    trk_buf_init(&req->seen, UINT32_MAX);
}


void
trk_request_free(trk_request_t *req)
{
    trk_json_free(&req->json);
    trk_buf_free(&req->scratch);
    trk_buf_free(&req->seen);
    free(req->events);
    free(req->violations);
    trk_request_init(req);
}


void
trk_request_trim(trk_request_t *req)
{
    trk_json_trim(&req->json);
    trk_buf_reset(&req->scratch, TRK_ID_MAX);
    trk_buf_reset(&req->seen, TRK_ID_MAX);

    if (req->events_cap > TRK_REQUEST_KEEP) {
        free(req->events);
        req->events = NULL;
        req->events_cap = 0;
    }

    if (req->violations_cap > TRK_REQUEST_KEEP) {
        free(req->violations);
        req->violations = NULL;
        req->violations_cap = 0;
    }

    req->nevents = 0;
    req->nviolations = 0;
}


int
trk_request_judge(trk_request_t *req, const trk_image_t *image,
    const trk_limits_t *limits, trk_body_t type, const uint8_t *body,
    size_t n)
{
    int          rc;
    size_t       i;
    uint32_t     list;
    trk_event_t  envelope;

    req->nevents = 0;
    req->nrejected = 0;
    req->nviolations = 0;
    req->context = 0;
    req->has_sent_at = 0;
    req->failed = TRK_OK;

    rc = trk_request_scan(&req->json, type, body, n);

    if (rc == TRK_INVALID) {
        return trk_request_fail(req, req->json.error, req->json.offset);
    }

    if (rc != TRK_OK) {
        return TRK_NOMEM;
    }

    /* from here on, decoding a string cannot fail */

    trk_buf_reset(&req->scratch, SIZE_MAX);

    if (req->json.escaped > 0
        && trk_buf_reserve(&req->scratch, req->json.escaped) == NULL)
    {
        return TRK_NOMEM;
    }

    list = trk_request_list(req);

    if (list == UINT32_MAX) {
        return trk_request_fail(req, TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    }

    if (req->json.nodes[list].type == TRK_JSON_ARRAY) {
        rc = trk_request_events(req, list + 1, req->json.nodes[list].next,
                                limits);
    } else {
        rc = trk_request_events(req, 0, 1, limits);
    }

    if (rc != TRK_OK) {
        return rc;
    }

    memset(&envelope, 0, sizeof(envelope));

    if (list != 0) {
        trk_request_envelope(req, &envelope);
    }

    for (i = 0; i < req->nevents; i++) {
        trk_event_judge(req, &req->events[i], &envelope, image, limits);
    }

    return req->failed;
}


static int
trk_request_scan(trk_json_t *json, trk_body_t type, const uint8_t *body,
    size_t n)
{
    int  rc;

    if (type == TRK_BODY_NDJSON) {
        return trk_json_parse_lines(json, body, n);
    }

    rc = trk_json_parse(json, body, n);

    if (rc == TRK_INVALID && type == TRK_BODY_TEXT && trk_json_trails(json)) {
        return trk_json_parse_lines(json, body, n);
    }

    return rc;
}


static int
trk_request_fail(trk_request_t *req, trk_error_code_t error, size_t offset)
{
    req->error = error;
    req->offset = offset;

    return TRK_INVALID;
}


/* Node of the array of events, or 0 for an event alone (or an array at the
 * top); UINT32_MAX: the body is neither. */

static uint32_t
trk_request_list(trk_request_t *req)
{
    uint32_t     list;
    trk_json_t  *json;

    json = &req->json;

    if (json->nodes[0].type == TRK_JSON_ARRAY) {
        return 0;
    }

    if (json->nodes[0].type != TRK_JSON_OBJECT) {
        return UINT32_MAX;
    }

    list = trk_json_member(json, 0, trk_str("batch"));

    if (list != 0 && json->nodes[list].type != TRK_JSON_ARRAY) {
        return UINT32_MAX;
    }

    return list;
}


static int
trk_request_events(trk_request_t *req, uint32_t first, uint32_t end,
    const trk_limits_t *limits)
{
    size_t        n, cap;
    uint32_t      i, next;
    trk_event_t  *events;

    for (i = first, n = 0; i < end; i = next) {

        if (n == limits->max_events) {
            return trk_request_fail(req, TRK_ERR_TOO_MANY_EVENTS, SIZE_MAX);
        }

        if (n == req->events_cap) {
            cap = n ? n * 2 : 16;

            events = realloc(req->events, cap * sizeof(*events));
            if (events == NULL) {
                return TRK_NOMEM;
            }

            req->events = events;
            req->events_cap = cap;
        }

        memset(&req->events[n], 0, sizeof(*req->events));
        req->events[n++].node = i;
        next = req->json.nodes[i].next;
    }

    if (n == 0) {
        return trk_request_fail(req, TRK_ERR_NOT_AN_EVENT, SIZE_MAX);
    }

    req->nevents = n;

    return TRK_OK;
}


static void
trk_event_judge(trk_request_t *req, trk_event_t *event,
    const trk_event_t *envelope, const trk_image_t *image,
    const trk_limits_t *limits)
{
    uint16_t  i;

    event->violations = (uint32_t) req->nviolations;

    if (req->json.nodes[event->node].type != TRK_JSON_OBJECT) {
        trk_event_violation(req, event, (trk_violation_t) {
            .code = TRK_ERR_NOT_AN_OBJECT
        });

    } else if (trk_event_size(req, event) > limits->max_event_size) {
        trk_event_violation(req, event, (trk_violation_t) {
            .code = TRK_ERR_EVENT_TOO_LARGE
        });

    } else {
        trk_event_members(req, event);
        trk_event_type(req, event, image, limits->source);
    }

    /* what is wrong with the envelope is wrong with each of its events, so
     * that every sender learns it the same way */

    for (i = 0; i < envelope->nviolations; i++) {
        trk_event_violation(req, event,
                            req->violations[envelope->violations + i]);
    }

    req->nrejected += event->nviolations > 0;
}


/* What it inherits is part of it: else a small body could become a record as
 * large as all of the body for each of its events. */

static size_t
trk_event_size(const trk_request_t *req, const trk_event_t *event)
{
    const trk_json_node_t  *nodes;

    nodes = req->json.nodes;

    return (size_t) nodes[event->node].len
           + (req->context ? nodes[req->context].len : 0);
}


/* The batch's own members, looked at once however many events it has:
 * `event` stands for the envelope and only gathers violations. */

static void
trk_request_envelope(trk_request_t *req, trk_event_t *event)
{
    uint32_t     name;
    trk_str_t    s;
    trk_json_t  *json;

    json = &req->json;

    for (name = 1; name < json->nodes[0].next;
         name = json->nodes[name + 1].next)
    {
        s = trk_json_string(json, name, &req->scratch);

        if (trk_str_eq(s, trk_str("batch"))
            || (json->nodes[name + 1].type == TRK_JSON_NULL
                && (trk_str_eq(s, trk_str("sent_at"))
                    || trk_str_eq(s, trk_str("context")))))
        {
            continue;
        }

        if (trk_str_eq(s, trk_str("sent_at"))) {

            if (trk_json_time(json, name + 1, &req->sent_at) != TRK_OK) {
                trk_event_wrong(req, event, name, TRK_ERR_BAD_TIMESTAMP, 0);
            }

            req->has_sent_at = 1;

        } else if (trk_str_eq(s, trk_str("context"))) {
            trk_take_inherited(req, event, name);

        } else {
            trk_event_wrong(req, event, name, TRK_ERR_UNKNOWN_PROPERTY, 0);
        }
    }
}


static void
trk_event_members(trk_request_t *req, trk_event_t *event)
{
    uint32_t             name, end;
    trk_str_t            s;
    trk_json_t          *json;
    const trk_member_t  *member;

    json = &req->json;
    end = json->nodes[event->node].next;

    for (name = event->node + 1; name < end;
         name = json->nodes[name + 1].next)
    {
        s = trk_json_string(json, name, &req->scratch);

        member = &trk_members[trk_name_find(s)];

        if (s.n == 0 || !trk_name_eq(member->name, s)) {
            trk_event_wrong(req, event, name, TRK_ERR_UNKNOWN_PROPERTY, 0);

        } else if (json->nodes[name + 1].type != TRK_JSON_NULL) {
            member->take(req, event, name);
        }
    }
}


/* Looks the event's type up and, if it is there, checks the fields. */

static void
trk_event_type(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image, const trk_image_source_t *source)
{
    trk_error_code_t  code;

    if (event->event_type == 0) {
        code = TRK_ERR_MISSING_EVENT_TYPE;
        goto invalid;
    }

    if (req->json.nodes[event->event_type].type != TRK_JSON_STRING) {
        trk_event_wrong(req, event, event->event_type - 1,
                        TRK_ERR_WRONG_TYPE, TRK_TYPE_STRING);
        return;
    }

    event->type = trk_image_type(image,
                                 trk_json_string(&req->json,
                                                 event->event_type,
                                                 &req->scratch));
    if (event->type == NULL) {
        code = TRK_ERR_UNKNOWN_EVENT_TYPE;
        goto invalid;
    }

    if (source && !trk_image_source_allows(image, source, event->type)) {
        code = TRK_ERR_EVENT_TYPE_NOT_ALLOWED;
        goto invalid;
    }

    if (!event->type->enabled) {
        code = TRK_ERR_EVENT_TYPE_DISABLED;
        goto invalid;
    }

    if (event->fields == 0
        || req->json.nodes[event->fields].type == TRK_JSON_OBJECT)
    {
        trk_validate_fields(req, event, image);
    }

    return;

invalid:

    trk_event_violation(req, event, (trk_violation_t) {
        .code = code, .field = trk_str("event_type")
    });
}


void
trk_event_violation(trk_request_t *req, trk_event_t *event,
    trk_violation_t violation)
{
    size_t            cap;
    trk_violation_t  *violations;

    if (event->nviolations == TRK_EVENT_MAX_ERRORS) {
        return;
    }

    if (req->nviolations == req->violations_cap) {

        cap = req->violations_cap ? req->violations_cap * 2 : 32;

        violations = realloc(req->violations, cap * sizeof(*violations));
        if (violations == NULL) {
            req->failed = TRK_NOMEM;
            return;
        }

        req->violations = violations;
        req->violations_cap = cap;
    }

    req->violations[req->nviolations++] = violation;
    event->nviolations++;
}


static void
trk_event_wrong(trk_request_t *req, trk_event_t *event, uint32_t name,
    trk_error_code_t code, uint8_t wanted)
{
    trk_event_violation(req, event, (trk_violation_t) {
        .code = code, .field = trk_json_raw(&req->json, name),
        .wanted = wanted
    });
}


static void
trk_take_event_type(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    (void) req;

    event->event_type = name + 1;
}


static void
trk_take_event_id(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    uint8_t  text[TRK_JSON_SHORT];

    if (req->json.nodes[name + 1].type == TRK_JSON_STRING
        && trk_uuid_parse(trk_json_short(&req->json, name + 1, text),
                          &event->event_id) == TRK_OK
        && !trk_uuid_is_nil(&event->event_id))
    {
        event->has_event_id = 1;
        return;
    }

    trk_event_wrong(req, event, name, TRK_ERR_BAD_EVENT_ID, 0);
}


static void
trk_take_timestamp(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    if (trk_json_time(&req->json, name + 1, &event->timestamp) == TRK_OK) {
        event->has_timestamp = 1;

        if (req->json.nodes[name + 1].type == TRK_JSON_STRING
            && !(req->json.nodes[name + 1].flags & TRK_JSON_ESCAPED)
            && trk_time_is_formatted(trk_json_raw(&req->json, name + 1)))
        {
            event->timestamp_text = name + 1;
        }

        return;
    }

    trk_event_wrong(req, event, name, TRK_ERR_BAD_TIMESTAMP, 0);
}


static void
trk_take_user_id(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    event->user_id = trk_take_id(req, event, name);
}


static void
trk_take_session_id(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    event->session_id = trk_take_id(req, event, name);
}


static void
trk_take_anonymous_id(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    event->anonymous_id = trk_take_id(req, event, name);
}


/* An empty id is none: it would gather strangers under one key. */

static uint32_t
trk_take_id(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    trk_str_t  s;

    if (req->json.nodes[name + 1].type != TRK_JSON_STRING) {
        trk_event_wrong(req, event, name, TRK_ERR_WRONG_TYPE,
                        TRK_TYPE_STRING);
        return 0;
    }

    s = trk_json_string(&req->json, name + 1, &req->scratch);

    if (s.n > TRK_ID_MAX) {
        trk_event_wrong(req, event, name, TRK_ERR_TOO_LONG, 0);
        return 0;
    }

    return s.n > 0 ? name + 1 : 0;
}


static void
trk_take_fields(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    event->fields = name + 1;

    if (req->json.nodes[name + 1].type != TRK_JSON_OBJECT) {
        trk_event_wrong(req, event, name, TRK_ERR_WRONG_TYPE,
                        TRK_WANTED_OBJECT);
    }
}


static void
trk_take_context(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    event->context = name + 1;
    trk_context_check(req, event, name + 1);
}


/* Too large a one is each event's error, and inherited by none. */

static void
trk_take_inherited(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    if (req->json.nodes[name + 1].len > TRK_CONTEXT_MAX) {
        trk_event_wrong(req, event, name, TRK_ERR_BAD_CONTEXT, 0);
        return;
    }

    req->context = name + 1;
    trk_context_check(req, event, name + 1);
}


/* Strings under the documented names; null is absent. */

static void
trk_context_check(trk_request_t *req, trk_event_t *event, uint32_t value)
{
    int               known;
    uint32_t          name;
    trk_str_t         s;
    trk_json_node_t  *nodes;

    nodes = req->json.nodes;

    if (nodes[value].type != TRK_JSON_OBJECT) {
        trk_event_wrong(req, event, value - 1, TRK_ERR_BAD_CONTEXT, 0);
        return;
    }

    for (name = value + 1; name < nodes[value].next;
         name = nodes[name + 1].next)
    {
        s = trk_json_string(&req->json, name, &req->scratch);

        known = s.n > 0
                && trk_name_eq(trk_context_members[trk_name_find(s)], s);

        if (known && nodes[name + 1].type == TRK_JSON_NULL) {
            nodes[name].flags |= TRK_JSON_SKIP;
            nodes[value].flags |= TRK_JSON_SPARSE;
            continue;
        }

        if (!known || nodes[name + 1].type != TRK_JSON_STRING) {
            trk_event_violation(req, event, (trk_violation_t) {
                .code = TRK_ERR_BAD_CONTEXT,
                .field = trk_json_raw(&req->json, name), .in_context = 1
            });
        }
    }
}
