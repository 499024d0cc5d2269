/*
 * Names of an object that has many, or escapes in them: are they all
 * different?  See trk_json.h.
 */

#include "trk_json.h"

#include <stdlib.h>


static int trk_json_names(trk_json_t *json, uint32_t object);
static int trk_json_name_cmp(const void *one, const void *two);


int
trk_json_names_differ(trk_json_t *json, uint32_t object, uint32_t n,
    uint32_t *off)
{
    uint32_t          i;
    trk_json_name_t  *names;

    if (n > json->names_cap) {

        names = realloc(json->names, n * sizeof(*names));
        if (names == NULL) {
            return TRK_NOMEM;
        }

        json->names = names;
        json->names_cap = n;
    }

    if (trk_json_names(json, object) != TRK_OK) {
        return TRK_NOMEM;
    }

    qsort(json->names, n, sizeof(*json->names), trk_json_name_cmp);

    for (i = 1; i < n; i++) {
        if (trk_str_eq(json->names[i - 1].text, json->names[i].text)) {
            *off = json->names[i].off;
            return TRK_INVALID;
        }
    }

    return TRK_OK;
}


/* All names of an object into json->names, in their order. */

static int
trk_json_names(trk_json_t *json, uint32_t object)
{
    size_t            begin;
    uint32_t          node, end;
    trk_buf_t        *decoded;
    trk_json_name_t  *name;

    decoded = &json->decoded;
    trk_buf_reset(decoded, SIZE_MAX);

    /* room for all of them first: the views must not move */

    if (trk_buf_reserve(decoded, json->nodes[object].len) == NULL) {
        return TRK_NOMEM;
    }

    name = json->names;
    end = json->nodes[object].next;

    for (node = object + 1; node < end; node = json->nodes[node + 1].next) {

        name->text = trk_json_raw(json, node);
        name->off = json->nodes[node].off;

        if (json->nodes[node].flags & TRK_JSON_ESCAPED) {
            begin = decoded->n;
            trk_json_decode(decoded, name->text);
            name->text = trk_str_of(decoded->p + begin, decoded->n - begin);
        }

        name++;
    }

    return TRK_OK;
}


/* Of equal names the later one comes second. */

static int
trk_json_name_cmp(const void *one, const void *two)
{
    int                     rc;
    const trk_json_name_t  *a, *b;

    a = one;
    b = two;
    rc = trk_str_cmp(a->text, b->text);

    return rc != 0 ? rc : (a->off > b->off) - (a->off < b->off);
}
