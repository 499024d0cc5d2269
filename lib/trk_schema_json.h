/*
 * The schema as canonical JSON, one event type, source, key or token a line:
 * the durable form, which track_schema_file holds.
 *
 *   {"format":2,"lineage":"…","version":42,"event_types":[
 *   {"name":"click","enabled":true,"additional_fields":"reject","fields":[
 *     {"name":"button","data_type":"string","required":true},…]},…
 *   ],"sources":[
 *   {"name":"web","origins":["https://shop.example.com"],
 *     "event_types":["click"]},…
 *   ],"keys":[
 *   {"hash":"<64 hex digits>","source":"web"},…
 *   ],"tokens":[
 *   {"hash":"<64 hex digits>","expires_at":1767225600000},…
 *   ]}
 *
 * A list that is empty limits nothing; a token without expires_at is for
 * ever.  Format 1 ended with the event types, and is read as well.
 */

#ifndef TRK_SCHEMA_JSON_H
#define TRK_SCHEMA_JSON_H

#include "trk.h"
#include "trk_schema.h"


/* Appends the text of a finished schema.  Failure shows in out->failed. */
void trk_schema_json_write(const trk_schema_t *schema, trk_buf_t *out);

/* TRK_OK: *schema is finished, the caller frees it.  TRK_INVALID, TRK_NOMEM:
 * it is NULL, and error says what the text is or lacks: "is not a JSON
 * object", "has no lineage". */
TRK_MUSTCHECK int trk_schema_json_read(trk_str_t text, trk_schema_t **schema,
    char error[TRK_SCHEMA_ERROR_MAX]);


#endif /* TRK_SCHEMA_JSON_H */
