/*
 * The Kafka record of an accepted event (design: Kafka records): written by
 * the module, read by the loader, so both directions stand here and are
 * tested against each other.
 */

#ifndef TRK_RECORD_H
#define TRK_RECORD_H

#include "trk.h"
#include "trk_id.h"
#include "trk_json.h"
#include "trk_request.h"


/* What the edge adds to an event.  Views are the caller's. */
typedef struct {
    int64_t    received_at;     /* ms */
    trk_str_t  ip;              /* text; absent if empty */
    trk_str_t  user_agent;      /* any bytes; absent if empty */
    trk_str_t  source;          /* absent if empty */
    trk_str_t  schema_version;
    trk_str_t  edge;            /* 16 hex digits; seq, too, is absent if
                                   empty */
    uint64_t   seq;
    trk_str_t  fixed;           /* what trk_record_fixed() wrote of all that,
                                   or empty: then it is written each time */
    uint8_t    no_ids;          /* privacy signals: user_id, session_id and
                                   anonymous_id are left out, of keys too */
} trk_origin_t;


/*
 * Appends the record of req->events[i], which was accepted and has its
 * event_id (sent or minted by the caller).  Text of the client is copied as
 * written: numbers keep their digits, strings their escapes.
 * Failure shows in out->failed.
 */
void trk_record_write(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event, const trk_origin_t *origin);

/* Appends the record's key: session_id, else anonymous_id, else user_id,
 * decoded, else (and with origin->no_ids) event_id as text. */
void trk_record_key(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event, const trk_origin_t *origin);

/* Pieces that records of the rejected topic share: a member
 * ,"name":"2025-05-03T10:00:00.000Z", where `name` is its text from the
 * comma to the opening quote; and the members ip to seq of an origin. */
void trk_record_time(trk_buf_t *out, const char *name, size_t len,
    int64_t ms);
void trk_record_origin(trk_buf_t *out, const trk_origin_t *origin);

/* The members ip to edge, which are the same in all records of a request. */
void trk_record_fixed(trk_buf_t *out, const trk_origin_t *origin);

#define trk_record_when(out, name, ms)                                        \
    trk_record_time(out, ",\"" name "\":\"", sizeof(",\"" name "\":\"") - 1, ms)


/*
 * A record as the loader reads it.  Anyone may write to the topic, so
 * nothing is trusted: a member of ours with a wrong type makes the record
 * unreadable; members we do not know are ignored.
 * Node indices are into json; 0 is absent.
 */
typedef struct {
    trk_json_t  json;           /* owned, reused */
    uint32_t    event_type;     /* string, never absent, not empty */
    uint32_t    user_id;
    uint32_t    session_id;
    uint32_t    anonymous_id;
    uint32_t    ip;
    uint32_t    user_agent;
    uint32_t    source;
    uint32_t    schema_version;
    uint32_t    edge;
    uint32_t    fields;         /* object */
    uint32_t    context;        /* object */
    uint8_t     has_event_id;   /* always 1 after TRK_OK */
    uint8_t     has_timestamp;
    uint8_t     has_received_at;
    uint8_t     has_sent_at;
    uint8_t     has_seq;
    trk_uuid_t  event_id;
    int64_t     timestamp;      /* ms */
    int64_t     received_at;
    int64_t     sent_at;
    uint64_t    seq;
    char        error[160];     /* after TRK_INVALID: a sentence */
} trk_record_t;


void trk_record_init(trk_record_t *rec);
void trk_record_free(trk_record_t *rec);

/* Reads the n bytes at p, which must outlive the nodes.  TRK_OK;
 * TRK_INVALID: rec->error says what is wrong; TRK_NOMEM. */
TRK_MUSTCHECK int trk_record_read(trk_record_t *rec, const uint8_t *p,
    size_t n);


#endif /* TRK_RECORD_H */
