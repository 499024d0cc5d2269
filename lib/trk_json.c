/*
 * JSON texts.  See trk_json.h; values are scanned in trk_json_scan.c, what
 * reads the nodes afterwards stands in trk_json_read.c, the names of large
 * objects in trk_json_names.c.
 */

#include "trk_json_scan.h"

#include <stdlib.h>


#define TRK_JSON_KEEP_NODES  4096   /* kept by trk_json_trim(), */
#define TRK_JSON_KEEP_NAMES  256    /* names of an object, */
#define TRK_JSON_KEEP_BYTES  16384  /* and room to decode */


static int trk_json_begin(trk_json_t *json, const uint8_t *p, size_t n);
static int trk_json_document(trk_json_t *json, const uint8_t *p);
static int trk_json_end(trk_json_t *json);


void
trk_json_init(trk_json_t *json)
{
    memset(json, 0, sizeof(*json));
    trk_buf_init(&json->decoded, UINT32_MAX);
}


void
trk_json_free(trk_json_t *json)
{
    free(json->nodes);
    free(json->names);
    trk_buf_free(&json->decoded);
    trk_json_init(json);
}


void
trk_json_trim(trk_json_t *json)
{
    if (json->cap > TRK_JSON_KEEP_NODES || json->names_cap > TRK_JSON_KEEP_NAMES
        || json->decoded.cap > TRK_JSON_KEEP_BYTES)
    {
        trk_json_free(json);
    }
}


int
trk_json_parse(trk_json_t *json, const uint8_t *p, size_t n)
{
    int  rc;

    if (trk_json_begin(json, p, n) != TRK_OK) {
        return TRK_LIMIT;
    }

    rc = trk_json_document(json, p);

    return rc == TRK_OK ? trk_json_end(json) : rc;
}


int
trk_json_parse_lines(trk_json_t *json, const uint8_t *p, size_t n)
{
    int             rc;
    uint32_t        root;
    const uint8_t  *line, *end;

    if (trk_json_begin(json, p, n) != TRK_OK) {
        return TRK_LIMIT;
    }

    end = p + n;
    rc = trk_json_node(json, TRK_JSON_ARRAY, p, &root);

    for (line = p; rc == TRK_OK && line < end; /* void */ ) {

        json->end = memchr(line, '\n', (size_t) (end - line));
        json->end = json->end ? json->end : end;

        if (trk_json_peek(json, &line) != TRK_JSON_END) {
            rc = trk_json_document(json, line);
        }

        line = json->end + (json->end < end);
    }

    if (rc != TRK_OK) {
        return rc;
    }

    trk_json_close(json, root, end);

    return trk_json_end(json);
}


static int
trk_json_begin(trk_json_t *json, const uint8_t *p, size_t n)
{
    json->p = p;
    json->n = n;
    json->end = p + n;
    json->depth = 0;
    json->nnodes = 0;
    json->escaped = 0;
    json->failed = TRK_OK;
    json->error = TRK_ERR_NONE;
    json->offset = 0;

    return n < UINT32_MAX ? TRK_OK : TRK_LIMIT;
}


/* One value at p and the space around it, which must be all there is. */

static int
trk_json_document(trk_json_t *json, const uint8_t *p)
{
    p = trk_json_value(json, p);

    if (p != NULL && trk_json_peek(json, &p) != TRK_JSON_END) {
        (void) trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
    }

    return json->failed;
}


static int
trk_json_end(trk_json_t *json)
{
    /* from here on, looking for a member cannot fail */

    trk_buf_reset(&json->decoded, SIZE_MAX);

    if (json->escaped > 0
        && trk_buf_reserve(&json->decoded, json->escaped) == NULL)
    {
        return TRK_NOMEM;
    }

    return TRK_OK;
}
