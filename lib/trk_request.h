/*
 * One request body judged: scanned, taken apart into events, each event
 * checked against the schema image.  Nothing is produced from here; the
 * caller sees every verdict before it hands any event over.
 *
 *   trk_request_judge()  ->  req->events[], req->nrejected
 *   trk_record_write()   ->  the Kafka record of an accepted event
 *   trk_answer_*()       ->  what the client is told
 *
 * A worker keeps one trk_request_t and uses it for request after request;
 * everything in it lies in that object or in the body and is good until the
 * next judge call or the end of the body, whichever comes first.
 */

#ifndef TRK_REQUEST_H
#define TRK_REQUEST_H

#include "trk.h"
#include "trk_error.h"
#include "trk_id.h"
#include "trk_image.h"
#include "trk_json.h"


#define TRK_EVENT_MAX_ERRORS  16    /* reported per event */
#define TRK_ID_MAX            256   /* bytes of user_id and its kin */
#define TRK_CONTEXT_MAX       8192  /* of a batch's context, which is copied
                                       into the record of each event */


#define TRK_WANTED_OBJECT     32    /* beside the values of trk_data_type_t */


typedef struct {
    trk_error_code_t  code;
    trk_str_t         field;    /* name as written in the body, escapes and
                                   all; of a missing field, in the image;
                                   {NULL, 0}: the event as a whole */
    uint8_t           in_context;   /* the name is one of context's members */
    uint8_t           wanted;   /* of wrong_type: what it should be */
} trk_violation_t;

/* Members are node indices into req->json; 0 is absent (or null, or ""). */
typedef struct {
    uint32_t                 node;      /* the event itself */
    uint32_t                 event_type;
    uint32_t                 user_id;
    uint32_t                 session_id;
    uint32_t                 anonymous_id;
    uint32_t                 fields;
    uint32_t                 context;
    uint32_t                 timestamp_text;    /* where its text is what
                                                   the record is to say */
    uint32_t                 violations;    /* first, in req->violations */
    uint16_t                 nviolations;   /* 0: accepted */
    uint8_t                  has_event_id;
    uint8_t                  has_timestamp;
    uint8_t                  sparse;    /* members of fields are skipped */
    trk_uuid_t               event_id;      /* as sent, or as minted */
    int64_t                  timestamp;     /* ms */
    const trk_image_type_t  *type;          /* NULL: unknown */
} trk_event_t;

/* What a body is. */
typedef enum {
    TRK_BODY_JSON = 0,      /* an event, an array of events, or a batch */
    TRK_BODY_NDJSON,        /* an event on each line */
    TRK_BODY_TEXT           /* JSON, or NDJSON if a second value follows */
} trk_body_t;

typedef struct {
    size_t  max_events;         /* per request */
    size_t  max_event_size;     /* bytes of JSON text per event, with the
                                   context that it inherits */
    const trk_image_source_t  *source;  /* of the write key, in the same
                                           image; NULL: any event type */
} trk_limits_t;

typedef struct {
    trk_json_t        json;
    trk_event_t      *events;
    size_t            nevents;
    size_t            events_cap;
    size_t            nrejected;
    trk_violation_t  *violations;
    size_t            nviolations;
    size_t            violations_cap;
    uint32_t          context;          /* the batch's; 0: none */
    uint8_t           has_sent_at;
    int64_t           sent_at;          /* the batch's, ms */
    trk_buf_t         scratch;          /* decoded names */
    trk_buf_t         seen;             /* a byte per field of a type */
    int               failed;           /* TRK_NOMEM on the way */
    trk_error_code_t  error;            /* after TRK_INVALID */
    size_t            offset;           /* of a JSON error, else SIZE_MAX */
} trk_request_t;


void trk_request_init(trk_request_t *req);
void trk_request_free(trk_request_t *req);

/* Gives back memory beyond that of usual requests. */
void trk_request_trim(trk_request_t *req);

/*
 * Judges a body of n bytes, which is what `type` says.  In NDJSON every line
 * is one event, judged like the element of an array: an array or a batch on
 * a line is no event, and rejected as such; lines of white space only count
 * for nothing.
 * TRK_OK: req->events, of which req->nrejected have violations.
 * TRK_INVALID: the request as a whole fails with req->error (and
 * req->offset).  TRK_NOMEM.
 * The image must stay mapped while the verdicts are in use.
 */
TRK_MUSTCHECK int trk_request_judge(trk_request_t *req,
    const trk_image_t *image, const trk_limits_t *limits, trk_body_t type,
    const uint8_t *body, size_t n);


#endif /* TRK_REQUEST_H */
