/*
 * The fields of one event against its event type.  Inside of
 * trk_request_judge(); here because tests and, later, the dry run of the
 * admin API come in at this level too.
 */

#ifndef TRK_VALIDATE_H
#define TRK_VALIDATE_H

#include "trk.h"
#include "trk_request.h"


/*
 * Checks event->fields (absent counts as empty) against event->type and adds
 * what is wrong to the event.  Members that shall not reach the record (null,
 * or unknown where the type drops those) get TRK_JSON_SKIP, and the event
 * `sparse`.
 */
void trk_validate_fields(trk_request_t *req, trk_event_t *event,
    const trk_image_t *image);

/* Adds a violation to an event; beyond TRK_EVENT_MAX_ERRORS it is dropped.
 * No memory: req->failed.  Events are judged one after another, and only the
 * one being judged may be added to. */
void trk_event_violation(trk_request_t *req, trk_event_t *event,
    trk_violation_t violation);


#endif /* TRK_VALIDATE_H */
