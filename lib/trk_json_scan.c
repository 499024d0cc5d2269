/*
 * JSON scanner.  See trk_json.h.
 *
 * Recursive descent, at most TRK_JSON_MAX_DEPTH calls deep.  Work is linear
 * in the text but for the search for duplicate names, which compares pairs
 * in objects of up to TRK_JSON_SMALL members, where a bit of each does not
 * tell them apart, and sorts in larger ones, so hostile input costs n log n,
 * never n squared.
 */

#include "trk_json_scan.h"
#include "trk_hash.h"
#include "trk_utf8.h"
#include "trk_word.h"

#include <stdlib.h>


#define TRK_JSON_SMALL        16    /* members compared pair by pair; <= 32 */
#define TRK_JSON_FIRST_NODES  256   /* made room for at first */

#define trk_json_digit(c)     ((uint8_t) ((c) - '0') <= 9)


/* What is known of the names of an object that is being scanned. */
typedef struct {
    uint64_t  seen;         /* the bits of all of them */
    uint32_t  n;
    uint32_t  alike;        /* bit i: name i has the bit of one before it */
    uint8_t   flags;
} trk_json_names_t;


static const uint8_t *trk_json_any(trk_json_t *json, const uint8_t *p,
    int first);
static const uint8_t *trk_json_leaf(trk_json_t *json, trk_json_type_t type,
    const uint8_t *p, const uint8_t *end);
static const uint8_t *trk_json_literal(trk_json_t *json,
    trk_json_type_t type, const uint8_t *p, trk_str_t word);
static const uint8_t *trk_json_number(trk_json_t *json, const uint8_t *p);
static const uint8_t *trk_json_digits(trk_json_t *json, const uint8_t *p);
static const uint8_t *trk_json_scan_string(trk_json_t *json,
    const uint8_t *p);
static const uint8_t *trk_json_scan_rest(trk_json_t *json, const uint8_t *p,
    const uint8_t *rest);
static const uint8_t *trk_json_escape(trk_json_t *json, const uint8_t *at);
static int trk_json_open(trk_json_t *json, trk_json_type_t type,
    const uint8_t *p, uint32_t *index);
static const uint8_t *trk_json_shut(trk_json_t *json, uint32_t index,
    const uint8_t *p);
static const uint8_t *trk_json_array(trk_json_t *json, const uint8_t *p);
static const uint8_t *trk_json_object(trk_json_t *json, const uint8_t *p);
static const uint8_t *trk_json_name(trk_json_t *json, const uint8_t *p,
    trk_json_names_t *names);
static void trk_json_mark(trk_json_names_t *names, const uint8_t *name,
    const uint8_t *end);
static int trk_json_duplicates(trk_json_t *json, uint32_t object,
    const trk_json_names_t *names);
static int trk_json_duplicates_small(const trk_json_t *json, uint32_t object,
    const trk_json_names_t *names, uint32_t *off);


const uint8_t *
trk_json_fail(trk_json_t *json, trk_error_code_t error, const uint8_t *at)
{
    json->failed = TRK_INVALID;
    json->error = error;
    json->offset = (size_t) (at - json->p);

    return NULL;
}


const uint8_t *
trk_json_blank(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }

    return p;
}


/* Twice as many nodes, but no more than the text can have: one for every
 * two bytes, and a few for what is not closed yet. */

int
trk_json_grow(trk_json_t *json)
{
    size_t            cap, most;
    trk_json_node_t  *nodes;

    most = json->n / 2 + TRK_JSON_MAX_DEPTH;
    cap = json->cap ? (size_t) json->cap * 2 : TRK_JSON_FIRST_NODES;

    if (cap > most && most > json->cap && most > TRK_JSON_FIRST_NODES) {
        cap = most;
    }

    nodes = realloc(json->nodes, cap * sizeof(*nodes));
    if (nodes == NULL) {
        json->failed = TRK_NOMEM;
        return TRK_NOMEM;
    }

    json->nodes = nodes;
    json->cap = (uint32_t) cap;

    return TRK_OK;
}


/* A new node from p to end, without nodes below it.  end. */

static inline const uint8_t *
trk_json_leaf(trk_json_t *json, trk_json_type_t type, const uint8_t *p,
    const uint8_t *end)
{
    trk_json_node_t  *node;

    if (json->nnodes == json->cap && trk_json_grow(json) != TRK_OK) {
        return NULL;
    }

    node = &json->nodes[json->nnodes++];
    node->off = (uint32_t) (p - json->p);
    node->len = (uint32_t) (end - p);
    node->next = json->nnodes;
    node->type = (uint8_t) type;
    node->flags = 0;

    return end;
}


const uint8_t *
trk_json_value(trk_json_t *json, const uint8_t *p)
{
    int  first;

    first = trk_json_peek(json, &p);

    return trk_json_any(json, p, first);
}


/* The value at p, of which `first` is the first byte. */

static const uint8_t *
trk_json_any(trk_json_t *json, const uint8_t *p, int first)
{
    switch (first) {

    case '"':
        return trk_json_scan_string(json, p);

    case '{':
        return trk_json_object(json, p);

    case '[':
        return trk_json_array(json, p);

    case 't':
        return trk_json_literal(json, TRK_JSON_TRUE, p, trk_str("true"));

    case 'f':
        return trk_json_literal(json, TRK_JSON_FALSE, p, trk_str("false"));

    case 'n':
        return trk_json_literal(json, TRK_JSON_NULL, p, trk_str("null"));

    default:
        return trk_json_number(json, p);
    }
}


static inline const uint8_t *
trk_json_literal(trk_json_t *json, trk_json_type_t type, const uint8_t *p,
    trk_str_t word)
{
    if ((size_t) (json->end - p) < word.n || memcmp(p, word.p, word.n) != 0) {
        return trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
    }

    return trk_json_leaf(json, type, p, p + word.n);
}


static const uint8_t *
trk_json_number(trk_json_t *json, const uint8_t *p)
{
    const uint8_t  *begin, *end;

    begin = p;
    end = json->end;
    p += p < end && *p == '-';

    p = p < end && *p == '0' ? p + 1 : trk_json_digits(json, p);

    if (p != NULL && p < end && *p == '.') {
        p = trk_json_digits(json, p + 1);
    }

    if (p != NULL && p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        p = trk_json_digits(json, p);
    }

    return p != NULL ? trk_json_leaf(json, TRK_JSON_NUMBER, begin, p) : NULL;
}


/* One digit or more at p.  Where they end. */

static inline const uint8_t *
trk_json_digits(trk_json_t *json, const uint8_t *p)
{
    const uint8_t  *q;

    for (q = p; q < json->end && trk_json_digit(*q); q++) { /* void */ }

    return q > p ? q : trk_json_fail(json, TRK_ERR_MALFORMED_JSON, q);
}


/* Most strings have nothing but plain bytes. */

static inline const uint8_t *
trk_json_scan_string(trk_json_t *json, const uint8_t *p)
{
    const uint8_t  *q;

    q = trk_plain(p + 1, json->end);

    return q < json->end && *q == '"'
           ? trk_json_leaf(json, TRK_JSON_STRING, p, q + 1)
           : trk_json_scan_rest(json, p, q);
}


/* The string that begins at p, from rest on. */

static const uint8_t *
trk_json_scan_rest(trk_json_t *json, const uint8_t *p, const uint8_t *rest)
{
    size_t            n;
    uint8_t           flags;
    trk_json_node_t  *node;

    for (flags = 0; /* void */ ; rest = trk_plain(rest, json->end)) {

        if (rest == json->end || *rest < 0x20) {
            return trk_json_fail(json, TRK_ERR_MALFORMED_JSON, rest);
        }

        if (*rest == '"') {
            break;
        }

        if (*rest == '\\') {
            flags |= TRK_JSON_ESCAPED;
            rest = trk_json_escape(json, rest);

            if (rest == NULL) {
                return NULL;
            }

            continue;
        }

        n = trk_utf8_next(rest, (size_t) (json->end - rest));

        if (n == 0) {
            return trk_json_fail(json, TRK_ERR_INVALID_UTF8, rest);
        }

        rest += n;
    }

    p = trk_json_leaf(json, TRK_JSON_STRING, p, rest + 1);

    if (p == NULL) {
        return NULL;
    }

    node = &json->nodes[json->nnodes - 1];
    node->flags = flags;

    if (flags && node->len > json->escaped) {
        json->escaped = node->len;
    }

    return p;
}


/* The escape that begins with the backslash at `at`.  Where it ends. */

static const uint8_t *
trk_json_escape(trk_json_t *json, const uint8_t *at)
{
    int             i;
    const uint8_t  *p;

    p = at + 1;

    if (p == json->end) {
        return trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
    }

    switch (*p++) {

    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r':
    case 't':
        return p;

    case 'u':
        for (i = 0; i < 4; i++, p++) {

            if (p == json->end
                || !(trk_json_digit(*p)
                     || (uint8_t) ((*p | 0x20) - 'a') <= 5))
            {
                return trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
            }
        }

        return p;

    default:
        return trk_json_fail(json, TRK_ERR_MALFORMED_JSON, at);
    }
}


/* At the opening bracket. */

static inline int
trk_json_open(trk_json_t *json, trk_json_type_t type, const uint8_t *p,
    uint32_t *index)
{
    if (json->depth == TRK_JSON_MAX_DEPTH) {
        (void) trk_json_fail(json, TRK_ERR_TOO_DEEP, p);
        return TRK_INVALID;
    }

    json->depth++;

    return trk_json_node(json, type, p, index);
}


/* At the closing bracket.  Behind it. */

static inline const uint8_t *
trk_json_shut(trk_json_t *json, uint32_t index, const uint8_t *p)
{
    json->depth--;
    trk_json_close(json, index, p + 1);

    return p + 1;
}


static const uint8_t *
trk_json_array(trk_json_t *json, const uint8_t *p)
{
    int       c;
    uint32_t  index;

    if (trk_json_open(json, TRK_JSON_ARRAY, p, &index) != TRK_OK) {
        return NULL;
    }

    p++;
    c = trk_json_peek(json, &p);

    if (c == ']') {
        return trk_json_shut(json, index, p);
    }

    for ( ;; ) {
        p = trk_json_any(json, p, c);

        if (p == NULL) {
            return NULL;
        }

        c = trk_json_peek(json, &p);

        if (c != ',') {
            break;
        }

        p++;
        c = trk_json_peek(json, &p);
    }

    return c == ']' ? trk_json_shut(json, index, p)
                    : trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
}


static const uint8_t *
trk_json_object(trk_json_t *json, const uint8_t *p)
{
    int               c;
    uint32_t          index;
    trk_json_names_t  names = { 0 };

    if (trk_json_open(json, TRK_JSON_OBJECT, p, &index) != TRK_OK) {
        return NULL;
    }

    p++;

    if (trk_json_peek(json, &p) == '}') {
        return trk_json_shut(json, index, p);
    }

    for ( ;; ) {
        p = trk_json_name(json, p, &names);

        if (p == NULL) {
            return NULL;
        }

        c = trk_json_peek(json, &p);
        p = c == '"' ? trk_json_scan_string(json, p)
                     : trk_json_any(json, p, c);

        if (p == NULL) {
            return NULL;
        }

        c = trk_json_peek(json, &p);

        if (c != ',') {
            break;
        }

        p++;
    }

    if (c != '}') {
        return trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
    }

    p = trk_json_shut(json, index, p);

    return trk_json_duplicates(json, index, &names) == TRK_OK ? p : NULL;
}


/* A member's name and the colon after it. */

static inline const uint8_t *
trk_json_name(trk_json_t *json, const uint8_t *p, trk_json_names_t *names)
{
    const uint8_t  *name;

    if (trk_json_peek(json, &p) != '"') {
        return trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
    }

    name = p;
    p = trk_plain(name + 1, json->end);

    if (p < json->end && *p == '"') {
        p = trk_json_leaf(json, TRK_JSON_STRING, name, p + 1);

    } else {
        p = trk_json_scan_rest(json, name, p);
        names->flags |= p ? json->nodes[json->nnodes - 1].flags : 0;
    }

    if (p == NULL) {
        return NULL;
    }

    trk_json_mark(names, name, p);

    return trk_json_peek(json, &p) == ':'
           ? p + 1 : trk_json_fail(json, TRK_ERR_MALFORMED_JSON, p);
}


/* Each name, here with its quotes, has one of 64 bits: names of unlike bits
 * are not equal. */

static inline void
trk_json_mark(trk_json_names_t *names, const uint8_t *name,
    const uint8_t *end)
{
    uint64_t  bit;

    bit = 1ULL << (trk_hash_ends((size_t) (end - name), name[1], end[-2])
                   & 63);

    if (names->seen & bit && names->n < TRK_JSON_SMALL) {
        names->alike |= 1U << names->n;
    }

    names->seen |= bit;
    names->n++;
}


/* TRK_OK: the object's names all differ. */

static inline int
trk_json_duplicates(trk_json_t *json, uint32_t object,
    const trk_json_names_t *names)
{
    int       rc;
    uint32_t  off;

    if (names->n > TRK_JSON_SMALL || (names->flags & TRK_JSON_ESCAPED)) {
        rc = trk_json_names_differ(json, object, names->n, &off);

    } else if (names->alike) {
        rc = trk_json_duplicates_small(json, object, names, &off);

    } else {
        return TRK_OK;
    }

    if (rc == TRK_INVALID) {
        (void) trk_json_fail(json, TRK_ERR_DUPLICATE_KEY, json->p + off);

    } else {
        json->failed = rc;
    }

    return rc;
}


static int
trk_json_duplicates_small(const trk_json_t *json, uint32_t object,
    const trk_json_names_t *names, uint32_t *off)
{
    uint32_t   i, a, b;

    for (i = 0, a = object + 1; i < names->n; i++) {

        for (b = object + 1; (names->alike >> i & 1) && b < a;
             b = json->nodes[b + 1].next)
        {
            if (trk_str_eq(trk_json_raw(json, a), trk_json_raw(json, b))) {
                *off = json->nodes[a].off;
                return TRK_INVALID;
            }
        }

        a = json->nodes[a + 1].next;
    }

    return TRK_OK;
}
