/*
 * Validation of an event's fields.  See trk_validate.h.
 */

#include "trk_validate.h"
#include "trk_time.h"


static int trk_validate_member(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image, uint32_t name);
static int trk_validate_unknown(trk_request_t *req, trk_event_t *event,
    uint32_t name);
static void trk_validate_missing(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image);
static trk_error_code_t trk_validate_value(const trk_json_t *json,
    uint32_t i, trk_data_type_t type);
static trk_error_code_t trk_validate_int(trk_str_t text);
static trk_error_code_t trk_validate_float(trk_str_t text);
static trk_error_code_t trk_validate_timestamp(const trk_json_t *json,
    uint32_t i);
static trk_error_code_t trk_validate_strings(const trk_json_t *json,
    uint32_t i);


void
trk_validate_fields(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image)
{
    uint32_t          name, end, required;
    trk_json_node_t  *nodes;

    required = 0;
    nodes = req->json.nodes;

    if (event->fields != 0) {
        end = nodes[event->fields].next;

        for (name = event->fields + 1; name < end;
             name = nodes[name + 1].next)
        {
            required += (uint32_t) trk_validate_member(req, event, image,
                                                       name);
        }
    }

    /* no name is there twice, so counting them tells whether all are there */

    if (required != event->type->nrequired) {
        trk_validate_missing(req, event, image);
    }
}


/* 1: the member is a required field and not null. */

static int
trk_validate_member(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image, uint32_t name)
{
    trk_error_code_t          code;
    trk_json_node_t          *nodes;
    const trk_image_field_t  *field;

    nodes = req->json.nodes;

    if (nodes[name + 1].type == TRK_JSON_NULL) {
        nodes[name].flags |= TRK_JSON_SKIP;
        event->sparse = 1;
        return 0;
    }

    field = trk_image_field(image, event->type,
                            trk_json_string(&req->json, name,
                                            &req->scratch));
    if (field == NULL) {
        return trk_validate_unknown(req, event, name);
    }

    code = trk_validate_value(&req->json, name + 1,
                              (trk_data_type_t) field->data_type);

    if (code != TRK_ERR_NONE) {
        trk_event_violation(req, event, (trk_violation_t) {
            .code = code, .field = trk_json_raw(&req->json, name),
            .wanted = field->data_type
        });
    }

    return field->required;
}


static int
trk_validate_unknown(trk_request_t *req, trk_event_t *event, uint32_t name)
{
    switch (event->type->additional) {

    case TRK_ADDITIONAL_KEEP:
        break;

    case TRK_ADDITIONAL_DROP:
        req->json.nodes[name].flags |= TRK_JSON_SKIP;
        event->sparse = 1;
        break;

    default:
        trk_event_violation(req, event, (trk_violation_t) {
            .code = TRK_ERR_UNKNOWN_FIELD,
            .field = trk_json_raw(&req->json, name)
        });
    }

    return 0;
}


/*
 * Names the required fields that are not there.  Cold: only once it is known
 * that some are missing.  Marks what is there first, so that the cost is the
 * sum of both lists, not their product.
 */

static void
trk_validate_missing(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image)
{
    uint8_t                  *seen;
    uint32_t                  i, name, end;
    trk_json_node_t          *nodes;
    const trk_image_field_t  *field, *first;

    nodes = req->json.nodes;
    first = trk_image_field_at(image, event->type, 0);

    trk_buf_reset(&req->seen, SIZE_MAX);
    seen = trk_buf_reserve(&req->seen, event->type->nfields);

    if (seen == NULL) {
        req->failed = TRK_NOMEM;
        return;
    }

    memset(seen, 0, event->type->nfields);
    end = event->fields ? nodes[event->fields].next : 0;

    for (name = event->fields + 1; name < end; name = nodes[name + 1].next) {

        field = trk_image_field(image, event->type,
                                trk_json_string(&req->json, name,
                                                &req->scratch));

        if (field != NULL && nodes[name + 1].type != TRK_JSON_NULL) {
            seen[field - first] = 1;
        }
    }

    for (i = 0; i < event->type->nfields; i++) {

        if (first[i].required && !seen[i]) {
            trk_event_violation(req, event, (trk_violation_t) {
                .code = TRK_ERR_MISSING_FIELD,
                .field = trk_image_field_name(image, &first[i])
            });
        }
    }
}


static trk_error_code_t
trk_validate_value(const trk_json_t *json, uint32_t i, trk_data_type_t type)
{
    int  ok, json_type;

    json_type = json->nodes[i].type;

    switch (type) {

    case TRK_TYPE_STRING:
        ok = json_type == TRK_JSON_STRING;
        break;

    case TRK_TYPE_INT:
        if (json_type == TRK_JSON_NUMBER) {
            return trk_validate_int(trk_json_text(json, i));
        }

        ok = 0;
        break;

    case TRK_TYPE_FLOAT:
        if (json_type == TRK_JSON_NUMBER) {
            return trk_validate_float(trk_json_text(json, i));
        }

        ok = 0;
        break;

    case TRK_TYPE_BOOL:
        ok = json_type == TRK_JSON_TRUE || json_type == TRK_JSON_FALSE;
        break;

    case TRK_TYPE_TIMESTAMP:
        return trk_validate_timestamp(json, i);

    case TRK_TYPE_STRINGS:
        return trk_validate_strings(json, i);

    default:    /* TRK_TYPE_JSON */
        ok = 1;
    }

    return ok ? TRK_ERR_NONE : TRK_ERR_WRONG_TYPE;
}


static trk_error_code_t
trk_validate_int(trk_str_t text)
{
    int64_t  v;

    switch (trk_number_int64(text, &v)) {

    case TRK_OK:
        return TRK_ERR_NONE;

    case TRK_LIMIT:
        return v > 0 ? TRK_ERR_TOO_LARGE : TRK_ERR_TOO_SMALL;

    default:
        return TRK_ERR_WRONG_TYPE;
    }
}


static trk_error_code_t
trk_validate_float(trk_str_t text)
{
    double  v;

    /* without an exponent, 300 digits are below the greatest double */

    if (text.n <= 300 && memchr(text.p, 'e', text.n) == NULL
        && memchr(text.p, 'E', text.n) == NULL)
    {
        return TRK_ERR_NONE;
    }

    if (trk_number_double(text, &v) == TRK_OK) {
        return TRK_ERR_NONE;
    }

    return text.p[0] == '-' ? TRK_ERR_TOO_SMALL : TRK_ERR_TOO_LARGE;
}


static trk_error_code_t
trk_validate_timestamp(const trk_json_t *json, uint32_t i)
{
    int      rc;
    int64_t  ms;
    uint8_t  text[TRK_JSON_SHORT];

    if (json->nodes[i].type == TRK_JSON_STRING) {

        if (trk_time_parse(trk_json_short(json, i, text), &ms) != TRK_OK) {
            return TRK_ERR_FORMAT_MISMATCH;
        }

    } else if (json->nodes[i].type == TRK_JSON_NUMBER) {
        rc = trk_number_int64(trk_json_text(json, i), &ms);

        if (rc != TRK_OK && rc != TRK_LIMIT) {
            return TRK_ERR_WRONG_TYPE;
        }

    } else {
        return TRK_ERR_WRONG_TYPE;
    }

    if (ms < TRK_TIME_COLUMN_MIN) {
        return TRK_ERR_TOO_SMALL;
    }

    return ms > TRK_TIME_COLUMN_MAX ? TRK_ERR_TOO_LARGE : TRK_ERR_NONE;
}


static trk_error_code_t
trk_validate_strings(const trk_json_t *json, uint32_t i)
{
    uint32_t  k;

    if (json->nodes[i].type != TRK_JSON_ARRAY) {
        return TRK_ERR_WRONG_TYPE;
    }

    for (k = i + 1; k < json->nodes[i].next; k = json->nodes[k].next) {
        if (json->nodes[k].type != TRK_JSON_STRING) {
            return TRK_ERR_WRONG_TYPE;
        }
    }

    return TRK_ERR_NONE;
}
