/*
 * The pixel's query arguments as an event (design: track_pixel): written as
 * the JSON text that a POST would have carried, so that judging, records and
 * rejected ones need not know where an event came from.
 *
 *   event_type=view&session_id=s&price=9.90&tag=a&tag=b
 *   {"event_type":"view","session_id":"s",
 *    "fields":{"price":9.90,"tag":["a","b"]}}
 */

#ifndef TRK_QUERY_H
#define TRK_QUERY_H

#include "trk.h"
#include "trk_image.h"
#include "trk_json.h"


/*
 * Appends the event to out.  event_type, event_id, timestamp, user_id,
 * session_id and anonymous_id are its members, `key` is left out, all others
 * are fields; names and values are percent-decoded, "+" is a space.
 *
 * A value is read by the field's data type: numbers and JSON as they stand,
 * true, false, 1 and 0 of a bool; what cannot be read so becomes a string,
 * which judging then finds to be of the wrong type (but a json field takes
 * it).  An argument that is repeated, or of a string[], is an array.
 *
 * `scratch` is overwritten.  TRK_OK; TRK_INVALID: not UTF-8; TRK_NOMEM, also
 * when out is at its limit.
 */
TRK_MUSTCHECK int trk_query_event(trk_buf_t *out, trk_json_t *scratch,
    const trk_image_t *image, trk_str_t args);


#endif /* TRK_QUERY_H */
