/*
 * For trk_json.c and trk_json_scan.c only: one value scanned, and the nodes
 * that are made on the way.
 *
 * What scans gets where to begin and returns where it ended, or NULL with
 * json->failed set: so the place in the text stays in a register.
 */

#ifndef TRK_JSON_SCAN_H
#define TRK_JSON_SCAN_H

#include "trk_json.h"


#define TRK_JSON_END  (-1)      /* of the text */


/* A value, and the white space before it. */
const uint8_t *trk_json_value(trk_json_t *json, const uint8_t *p);

/* Says what is wrong at `at`.  NULL. */
const uint8_t *trk_json_fail(trk_json_t *json, trk_error_code_t error,
    const uint8_t *at);

/* Room for one node more.  TRK_NOMEM. */
TRK_MUSTCHECK int trk_json_grow(trk_json_t *json);

/* The first byte that is no white space, or the end. */
const uint8_t *trk_json_blank(const uint8_t *p, const uint8_t *end);


/* The next byte that is not white space, which *at is moved to;
 * TRK_JSON_END: there is none. */
static inline int
trk_json_peek(const trk_json_t *json, const uint8_t **at)
{
    const uint8_t  *p;

    p = *at;

    if (p < json->end && *p > ' ') {
        return *p;
    }

    p = trk_json_blank(p, json->end);
    *at = p;

    return p < json->end ? *p : TRK_JSON_END;
}


/* A new node that begins at p. */
static inline int
trk_json_node(trk_json_t *json, trk_json_type_t type, const uint8_t *p,
    uint32_t *index)
{
    if (json->nnodes == json->cap && trk_json_grow(json) != TRK_OK) {
        return TRK_NOMEM;
    }

    *index = json->nnodes++;

    json->nodes[*index] = (trk_json_node_t) {
        .off = (uint32_t) (p - json->p), .type = (uint8_t) type
    };

    return TRK_OK;
}


/* The node's text, and all nodes below it, end at p. */
static inline void
trk_json_close(trk_json_t *json, uint32_t index, const uint8_t *p)
{
    trk_json_node_t  *node;

    node = &json->nodes[index];
    node->len = (uint32_t) (p - json->p) - node->off;
    node->next = json->nnodes;
}


#endif /* TRK_JSON_SCAN_H */
