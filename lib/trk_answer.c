/*
 * The JSON bodies of answers.  See trk_answer.h.
 */

#include "trk_answer.h"


#define TRK_ANSWER_NAME_MAX  256    /* bytes of a sender's name echoed */


static void trk_answer_event(trk_buf_t *out, const trk_request_t *req,
    size_t i, int *truncated);
static void trk_answer_violation(trk_buf_t *out,
    const trk_violation_t *violation, int detail);
static const char *trk_answer_message(const trk_violation_t *violation);
static void trk_answer_text(trk_buf_t *out, const char *text);


void
trk_answer_rejected(trk_buf_t *out, trk_request_t *req)
{
    int     truncated, first;
    size_t  i;

    truncated = 0;
    first = 1;

    trk_buf_lit(out, "{\"accepted\":");
    trk_buf_uint(out, req->nevents - req->nrejected);
    trk_buf_lit(out, ",\"rejected\":[");

    for (i = 0; i < req->nevents; i++) {

        if (req->events[i].nviolations == 0) {
            continue;
        }

        if (!first) {
            trk_buf_byte(out, ',');
        }

        first = 0;
        trk_answer_event(out, req, i, &truncated);
    }

    trk_buf_byte(out, ']');

    if (truncated) {
        trk_buf_lit(out, ",\"truncated\":true");
    }

    trk_buf_byte(out, '}');
}


static void
trk_answer_event(trk_buf_t *out, const trk_request_t *req, size_t i,
    int *truncated)
{
    char                    id[TRK_UUID_LEN];
    uint16_t                k;
    const trk_event_t      *event;
    const trk_violation_t  *violation;

    event = &req->events[i];
    violation = &req->violations[event->violations];

    trk_buf_lit(out, "{\"index\":");
    trk_buf_uint(out, i);

    if (event->has_event_id) {
        trk_uuid_format(&event->event_id, id);
        trk_buf_lit(out, ",\"event_id\":\"");
        trk_buf_add(out, id, sizeof(id));
        trk_buf_byte(out, '"');
    }

    trk_buf_lit(out, ",\"errors\":[");

    for (k = 0; k < event->nviolations; k++) {

        if (out->n > TRK_ANSWER_DETAIL_MAX) {
            *truncated = 1;

            if (k > 0) {
                break;
            }
        }

        if (k > 0) {
            trk_buf_byte(out, ',');
        }

        trk_answer_violation(out, &violation[k], !*truncated);
    }

    trk_buf_lit(out, "]}");
}


/* The name goes out as it came in: raw text of a JSON string. */

static void
trk_answer_violation(trk_buf_t *out, const trk_violation_t *violation,
    int detail)
{
    trk_buf_lit(out, "{\"code\":");
    trk_answer_text(out, trk_error_name(violation->code));

    if (detail) {

        if (violation->field.p != NULL
            && violation->field.n <= TRK_ANSWER_NAME_MAX)
        {
            trk_buf_lit(out, ",\"field\":\"");

            if (violation->in_context) {
                trk_buf_lit(out, "context.");
            }

            trk_buf_str(out, violation->field);
            trk_buf_byte(out, '"');
        }

        trk_buf_lit(out, ",\"message\":");
        trk_answer_text(out, trk_answer_message(violation));
    }

    trk_buf_byte(out, '}');
}


/* What a value of the wrong type should have been, by trk_data_type_t. */

static const char *
trk_answer_message(const trk_violation_t *violation)
{
    static const char *const  wrong_type[] = {
        NULL,
        "must be a string",
        "must be an integer",
        "must be a number",
        "must be true or false",
        "must be an RFC 3339 string or integer milliseconds",
        "must be an array of strings"
    };

    if (violation->code == TRK_ERR_WRONG_TYPE) {

        if (violation->wanted == TRK_WANTED_OBJECT) {
            return "must be an object";
        }

        return wrong_type[violation->wanted];
    }

    if (violation->wanted == TRK_TYPE_INT) {
        return "must be an integer of at most 64 bits";
    }

    if (violation->wanted == TRK_TYPE_FLOAT) {
        return "must fit a 64-bit floating-point number";
    }

    if (violation->wanted == TRK_TYPE_TIMESTAMP) {
        return violation->code == TRK_ERR_FORMAT_MISMATCH
               ? "must be an RFC 3339 date and time"
               : "must lie in the years 1900 to 2299";
    }

    return trk_error_text(violation->code);
}


/* Texts of ours need no escaping. */

static void
trk_answer_text(trk_buf_t *out, const char *text)
{
    trk_buf_byte(out, '"');
    trk_buf_add(out, text, strlen(text));
    trk_buf_byte(out, '"');
}


void
trk_answer_errors(trk_buf_t *out, const trk_request_t *req,
    const trk_event_t *event)
{
    uint16_t  i;

    trk_buf_byte(out, '[');

    for (i = 0; i < event->nviolations; i++) {
        if (i > 0) {
            trk_buf_byte(out, ',');
        }

        trk_answer_violation(out, &req->violations[event->violations + i], 1);
    }

    trk_buf_byte(out, ']');
}


void
trk_answer_code(trk_buf_t *out, trk_error_code_t code, size_t offset)
{
    trk_buf_lit(out, "{\"code\":");
    trk_answer_text(out, trk_error_name(code));
    trk_buf_lit(out, ",\"message\":");
    trk_answer_text(out, trk_error_text(code));

    if (offset != SIZE_MAX) {
        trk_buf_lit(out, ",\"offset\":");
        trk_buf_uint(out, offset);
    }

    trk_buf_byte(out, '}');
}


void
trk_answer_error(trk_buf_t *out, trk_error_code_t code, size_t offset)
{
    trk_buf_lit(out, "{\"error\":");
    trk_answer_code(out, code, offset);
    trk_buf_byte(out, '}');
}
