/*
 * The records of the rejected topic (design: Kafka records): what was sent,
 * why it was refused, and what the edge knew.  One for each rejected event,
 * one for a body that fails as a whole.
 *
 *   {"event":"{\"event_type\":…}",   the text as sent, as a JSON string, or
 *    "event_base64":"…",             where it is not UTF-8, or full of
 *                                    control characters
 *    "truncated":true,"size":n,      only the first bytes of n are there
 *    "errors":[{"code","field","message"}],      of a body "offset", too
 *    "event_id":"…",                 if it could be read
 *    "sent_at":"…","context":{…},    the batch's, which the event inherits
 *    "received_at","ip","user_agent","source","schema_version","edge","seq"}
 *
 * Where origin->no_ids is set (privacy signals), an event is written without
 * its identifiers and without members that no event has, whose meaning
 * nobody knows; of what is no object, and of bodies, the bytes are left out,
 * and "size" alone tells how many there were.
 *
 * A record is smaller than TRK_REJECT_RECORD_MAX and what the header fields of
 * its origin take.
 * What was refused as a whole is told by its code: trk_error_status() > 0.
 */

#ifndef TRK_REJECT_H
#define TRK_REJECT_H

#include "trk.h"
#include "trk_record.h"
#include "trk_request.h"


#define TRK_REJECT_BYTES_MAX   (256 * 1024)     /* of what was sent */
#define TRK_REJECT_RECORD_MAX  (3 * TRK_REJECT_BYTES_MAX)


/* Appends the record of a rejected event of a judged request.  Failure
 * shows in out->failed. */
void trk_reject_event(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event, const trk_origin_t *origin);

/* Appends the record of a body of `size` bytes that fails with `code` at
 * `offset` (SIZE_MAX: nowhere).  `body` is its beginning: all of it, or at
 * least TRK_REJECT_BYTES_MAX bytes. */
void trk_reject_body(trk_buf_t *out, trk_str_t body, size_t size,
    trk_error_code_t code, size_t offset, const trk_origin_t *origin);

/* Appends an event record's key: event_id as text if it could be read, else
 * nothing (then, and for bodies, the Kafka record has no key). */
void trk_reject_key(trk_buf_t *out, const trk_event_t *event);

/*
 * Appends an event's text as a JSON string, quotes included, cut behind at
 * most `max` bytes of it; no_ids as above.  Returns the size of the uncut
 * text.  Nothing is appended, and the size returned, where no_ids forbids.
 */
size_t trk_reject_text(trk_buf_t *out, trk_request_t *req,
    const trk_event_t *event, int no_ids, size_t max);

/* How many bytes of s, at most max, do not cut a character. */
size_t trk_reject_cut(trk_str_t s, size_t max);


#endif /* TRK_REJECT_H */
