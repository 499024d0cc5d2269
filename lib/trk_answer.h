/*
 * The JSON bodies of answers (design: HTTP).  One place words every message
 * a sender sees; messages never quote the sender's values or list what the
 * schema would allow.
 */

#ifndef TRK_ANSWER_H
#define TRK_ANSWER_H

#include "trk.h"
#include "trk_request.h"


/* Further errors and messages stop here; index and first code never do. */
#define TRK_ANSWER_DETAIL_MAX  65536


/* {"accepted":n,"rejected":[…]} for a judged request with rejected events.
 * Failure shows in out->failed. */
void trk_answer_rejected(trk_buf_t *out, trk_request_t *req);

/* The errors of one event as an array of {"code","field","message"}. */
void trk_answer_errors(trk_buf_t *out, const trk_request_t *req,
    const trk_event_t *event);

/* {"code":…,"message":…,"offset":…} for a whole request; offset SIZE_MAX:
 * without one. */
void trk_answer_code(trk_buf_t *out, trk_error_code_t code, size_t offset);

/* The same as {"error":{…}}: the body of an answer. */
void trk_answer_error(trk_buf_t *out, trk_error_code_t code, size_t offset);


#endif /* TRK_ANSWER_H */
