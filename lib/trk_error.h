/*
 * The closed list of error codes a client can meet (design: HTTP).  This
 * table is the only one: docs/ERRORS.md and sdk/src/error-codes.ts are made
 * from it by dev/generate-error-codes, and a test holds them against it.
 *
 * X(symbol, code, status, what it means)
 * status is the HTTP status of a whole request; 0 marks a code of one event,
 * which travels in the "rejected" list of a 200 or 422.  A line is one X().
 */

#ifndef TRK_ERROR_H
#define TRK_ERROR_H

#include "trk.h"


#define TRK_ERRORS(X)                                                         \
    X(MALFORMED_JSON, "malformed_json", 400, "body is not JSON")              \
    X(INVALID_UTF8, "invalid_utf8", 400, "body is not UTF-8")                 \
    X(TOO_DEEP, "too_deep", 400, "JSON is nested deeper than 16 levels")      \
    X(DUPLICATE_KEY, "duplicate_key", 400, "an object has a name twice")      \
    X(NOT_AN_EVENT, "not_an_event", 400, "neither event nor batch of events") \
    X(BAD_ENCODING, "bad_encoding", 400, "body cannot be decompressed")       \
    X(MISSING_KEY, "missing_key", 401, "write key is missing")                \
    X(UNKNOWN_KEY, "unknown_key", 401, "write key is unknown or revoked")     \
    X(ORIGIN_NOT_ALLOWED, "origin_not_allowed", 403, "origin may not send")   \
    X(REQUEST_TOO_LARGE, "request_too_large", 413, "body is too large")       \
    X(TOO_MANY_EVENTS, "too_many_events", 413, "too many events in a request")\
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "type not taken")\
    X(NO_SCHEMA, "no_schema", 503, "no schema has been loaded yet")           \
    X(UNAVAILABLE, "unavailable", 503, "event cannot be stored safely now")   \
    X(NOT_AN_OBJECT, "not_an_object", 0, "event is not a JSON object")        \
    X(MISSING_EVENT_TYPE, "missing_event_type", 0, "event_type is missing")   \
    X(UNKNOWN_EVENT_TYPE, "unknown_event_type", 0, "event_type is undefined") \
    X(EVENT_TYPE_DISABLED, "event_type_disabled", 0, "event_type is disabled")\
    X(EVENT_TYPE_NOT_ALLOWED, "event_type_not_allowed", 0, "not for this key")\
    X(EVENT_TOO_LARGE, "event_too_large", 0, "event is too large")            \
    X(BAD_TIMESTAMP, "bad_timestamp", 0, "not RFC 3339 nor milliseconds")     \
    X(BAD_EVENT_ID, "bad_event_id", 0, "event_id is not a UUID")              \
    X(BAD_CONTEXT, "bad_context", 0, "context is not as documented")          \
    X(UNKNOWN_PROPERTY, "unknown_property", 0, "event has an unknown member") \
    X(MISSING_FIELD, "missing_field", 0, "required field is missing")         \
    X(UNKNOWN_FIELD, "unknown_field", 0, "field is not defined")              \
    X(WRONG_TYPE, "wrong_type", 0, "value is of another type")                \
    X(NOT_IN_ENUM, "not_in_enum", 0, "value is not among the allowed ones")   \
    X(TOO_SMALL, "too_small", 0, "number is too small")                       \
    X(TOO_LARGE, "too_large", 0, "number is too large")                       \
    X(TOO_SHORT, "too_short", 0, "string is too short")                       \
    X(TOO_LONG, "too_long", 0, "string is too long")                          \
    X(PATTERN_MISMATCH, "pattern_mismatch", 0, "string breaks the pattern")   \
    X(FORMAT_MISMATCH, "format_mismatch", 0, "string breaks the format")


typedef enum {
    TRK_ERR_NONE = 0,
#define TRK_ERROR_ENUM(symbol, code, status, text)  TRK_ERR_##symbol,
    TRK_ERRORS(TRK_ERROR_ENUM)
#undef TRK_ERROR_ENUM
    TRK_ERR_COUNT
} trk_error_code_t;


/* The code as it is sent, e.g. "missing_field"; static, NUL-terminated. */
const char *trk_error_name(trk_error_code_t code);

/* HTTP status of a whole-request code, 0 for a code of one event. */
int trk_error_status(trk_error_code_t code);

/* A short English sentence without a full stop; static. */
const char *trk_error_text(trk_error_code_t code);


#endif /* TRK_ERROR_H */
