/*
 * JSON scanner.  See trk_json.h; what reads the nodes afterwards stands in
 * trk_json_read.c, the names of large objects in trk_json_names.c.
 *
 * Recursive descent, at most TRK_JSON_MAX_DEPTH calls deep.  Work is linear
 * in the text but for the search for duplicate names, which compares pairs
 * in objects of up to TRK_JSON_SMALL members, where a bit of each does not
 * tell them apart, and sorts in larger ones, so hostile input costs n log n,
 * never n squared.
 */

#include "trk_json.h"
#include "trk_utf8.h"
#include "trk_word.h"

#include <stdlib.h>


#define TRK_JSON_SMALL       16     /* members compared pair by pair; <= 32 */
#define TRK_JSON_FIRST_NODES 256    /* made room for at first */
#define TRK_JSON_KEEP_NODES  4096   /* kept by trk_json_trim(), */
#define TRK_JSON_KEEP_NAMES  256    /* names of an object, */
#define TRK_JSON_KEEP_BYTES  16384  /* and room to decode */

#define TRK_JSON_END         (-1)   /* of the text */

#define trk_json_digit(c)    ((uint8_t) ((c) - '0') <= 9)


typedef struct {
    trk_json_t     *json;
    const uint8_t  *p;
    const uint8_t  *end;
    int             depth;
} trk_json_scan_t;


static int trk_json_begin(trk_json_t *json, const uint8_t *p, size_t n);
static int trk_json_document(trk_json_scan_t *s);
static int trk_json_end(trk_json_t *json);
static int trk_json_fail(trk_json_scan_t *s, trk_error_code_t error,
    const uint8_t *at);
static int trk_json_peek(trk_json_scan_t *s);
static int trk_json_peek_far(trk_json_scan_t *s);
static int trk_json_grow(trk_json_t *json);
static int trk_json_node(trk_json_scan_t *s, trk_json_type_t type,
    uint32_t *index);
static int trk_json_leaf(trk_json_scan_t *s, trk_json_type_t type,
    const uint8_t *end);
static void trk_json_close(trk_json_scan_t *s, uint32_t index);
static int trk_json_value(trk_json_scan_t *s);
static int trk_json_literal(trk_json_scan_t *s, trk_json_type_t type,
    const char *word, size_t n);
static int trk_json_number(trk_json_scan_t *s);
static int trk_json_digits(trk_json_scan_t *s, const uint8_t **p);
static int trk_json_scan_string(trk_json_scan_t *s);
static int trk_json_scan_rest(trk_json_scan_t *s, const uint8_t *p);
static const uint8_t *trk_json_plain(const uint8_t *p, const uint8_t *end);
static int trk_json_escape(trk_json_scan_t *s, const uint8_t **at);
static int trk_json_open(trk_json_scan_t *s, trk_json_type_t type,
    uint32_t *index);
static int trk_json_array(trk_json_scan_t *s);
static int trk_json_object(trk_json_scan_t *s);
static int trk_json_more(trk_json_scan_t *s, uint8_t bracket);
static int trk_json_shut(trk_json_scan_t *s);
static int trk_json_name(trk_json_scan_t *s, uint32_t *index);
static uint64_t trk_json_mark(const trk_json_t *json, uint32_t name);
static int trk_json_duplicates_small(trk_json_scan_t *s,
    const uint32_t *names, uint32_t n, uint32_t alike);
static int trk_json_duplicates(trk_json_scan_t *s, uint32_t object,
    uint32_t n);


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
    int              rc;
    trk_json_scan_t  s;

    if (trk_json_begin(json, p, n) != TRK_OK) {
        return TRK_LIMIT;
    }

    s = (trk_json_scan_t) { json, p, p + n, 0 };
    rc = trk_json_document(&s);

    return rc == TRK_OK ? trk_json_end(json) : rc;
}


int
trk_json_parse_lines(trk_json_t *json, const uint8_t *p, size_t n)
{
    int              rc;
    uint32_t         root;
    const uint8_t   *end;
    trk_json_scan_t  s;

    if (trk_json_begin(json, p, n) != TRK_OK) {
        return TRK_LIMIT;
    }

    end = p + n;
    s = (trk_json_scan_t) { json, p, end, 0 };
    rc = trk_json_node(&s, TRK_JSON_ARRAY, &root);

    while (rc == TRK_OK && s.p < end) {

        s.end = memchr(s.p, '\n', (size_t) (end - s.p));
        s.end = s.end ? s.end : end;

        if (trk_json_peek(&s) != TRK_JSON_END) {
            rc = trk_json_document(&s);
        }

        s.p = s.end + (s.end < end);
    }

    if (rc != TRK_OK) {
        return rc;
    }

    trk_json_close(&s, root);

    return trk_json_end(json);
}


static int
trk_json_begin(trk_json_t *json, const uint8_t *p, size_t n)
{
    json->p = p;
    json->n = n;
    json->nnodes = 0;
    json->escaped = 0;
    json->error = TRK_ERR_NONE;
    json->offset = 0;

    return n < UINT32_MAX ? TRK_OK : TRK_LIMIT;
}


/* One value and the space around it, which must be all there is. */

static int
trk_json_document(trk_json_scan_t *s)
{
    int  rc;

    rc = trk_json_value(s);

    if (rc != TRK_OK) {
        return rc;
    }

    return trk_json_peek(s) == TRK_JSON_END
           ? TRK_OK : trk_json_fail(s, TRK_ERR_MALFORMED_JSON, s->p);
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


static int
trk_json_fail(trk_json_scan_t *s, trk_error_code_t error, const uint8_t *at)
{
    s->json->error = error;
    s->json->offset = (size_t) (at - s->json->p);

    return TRK_INVALID;
}


/* The next byte that is not white space, which s->p is moved to;
 * TRK_JSON_END: there is none. */

static inline int
trk_json_peek(trk_json_scan_t *s)
{
    return s->p < s->end && *s->p > ' ' ? *s->p : trk_json_peek_far(s);
}


static int
trk_json_peek_far(trk_json_scan_t *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r'
                             || *s->p == '\t'))
    {
        s->p++;
    }

    return s->p < s->end ? *s->p : TRK_JSON_END;
}


/* Twice as many nodes, but no more than the text can have: one for every
 * two bytes, and a few for what is not closed yet. */

static int
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
        return TRK_NOMEM;
    }

    json->nodes = nodes;
    json->cap = (uint32_t) cap;

    return TRK_OK;
}


/* A new node that begins at s->p. */

static inline int
trk_json_node(trk_json_scan_t *s, trk_json_type_t type, uint32_t *index)
{
    trk_json_t  *json;

    json = s->json;

    if (json->nnodes == json->cap && trk_json_grow(json) != TRK_OK) {
        return TRK_NOMEM;
    }

    *index = json->nnodes++;

    json->nodes[*index] = (trk_json_node_t) {
        .off = (uint32_t) (s->p - json->p), .type = (uint8_t) type
    };

    return TRK_OK;
}


/* A new node from s->p to end, without nodes below it; s->p moves there. */

static inline int
trk_json_leaf(trk_json_scan_t *s, trk_json_type_t type, const uint8_t *end)
{
    trk_json_t  *json;

    json = s->json;

    if (json->nnodes == json->cap && trk_json_grow(json) != TRK_OK) {
        return TRK_NOMEM;
    }

    json->nodes[json->nnodes] = (trk_json_node_t) {
        .off = (uint32_t) (s->p - json->p), .len = (uint32_t) (end - s->p),
        .next = json->nnodes + 1, .type = (uint8_t) type
    };

    json->nnodes++;
    s->p = end;

    return TRK_OK;
}


/* The node's text, and all nodes below it, end at s->p. */

static inline void
trk_json_close(trk_json_scan_t *s, uint32_t index)
{
    trk_json_node_t  *node;

    node = &s->json->nodes[index];
    node->len = (uint32_t) (s->p - s->json->p) - node->off;
    node->next = s->json->nnodes;
}


static int
trk_json_value(trk_json_scan_t *s)
{
    switch (trk_json_peek(s)) {

    case '"':
        return trk_json_scan_string(s);

    case '{':
        return trk_json_object(s);

    case '[':
        return trk_json_array(s);

    case 't':
        return trk_json_literal(s, TRK_JSON_TRUE, "true", 4);

    case 'f':
        return trk_json_literal(s, TRK_JSON_FALSE, "false", 5);

    case 'n':
        return trk_json_literal(s, TRK_JSON_NULL, "null", 4);

    default:
        return trk_json_number(s);
    }
}


static int
trk_json_literal(trk_json_scan_t *s, trk_json_type_t type, const char *word,
    size_t n)
{
    if ((size_t) (s->end - s->p) < n || memcmp(s->p, word, n) != 0) {
        return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, s->p);
    }

    return trk_json_leaf(s, type, s->p + n);
}


static int
trk_json_number(trk_json_scan_t *s)
{
    const uint8_t  *p;

    p = s->p;

    if (p < s->end && *p == '-') {
        p++;
    }

    if (p < s->end && *p == '0') {
        p++;

    } else if (trk_json_digits(s, &p) != TRK_OK) {
        return TRK_INVALID;
    }

    if (p < s->end && *p == '.') {
        p++;

        if (trk_json_digits(s, &p) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    if (p < s->end && (*p | 0x20) == 'e') {
        p++;

        if (p < s->end && (*p == '+' || *p == '-')) {
            p++;
        }

        if (trk_json_digits(s, &p) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    return trk_json_leaf(s, TRK_JSON_NUMBER, p);
}


/* One digit or more at *p, which is moved behind them. */

static inline int
trk_json_digits(trk_json_scan_t *s, const uint8_t **p)
{
    const uint8_t  *q;

    for (q = *p; q < s->end && trk_json_digit(*q); q++) { /* void */ }

    if (q == *p) {
        return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, q);
    }

    *p = q;

    return TRK_OK;
}


/* Most strings have nothing but plain bytes. */

static inline int
trk_json_scan_string(trk_json_scan_t *s)
{
    const uint8_t  *p;

    p = trk_json_plain(s->p + 1, s->end);

    return p < s->end && *p == '"' ? trk_json_leaf(s, TRK_JSON_STRING, p + 1)
                                   : trk_json_scan_rest(s, p);
}


/* The string that begins at s->p, from p on. */

static int
trk_json_scan_rest(trk_json_scan_t *s, const uint8_t *p)
{
    size_t            n;
    uint8_t           flags;
    trk_json_node_t  *node;

    for (flags = 0; /* void */ ; p = trk_json_plain(p, s->end)) {

        if (p == s->end || *p < 0x20) {
            return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, p);
        }

        if (*p == '"') {
            break;
        }

        if (*p == '\\') {
            flags |= TRK_JSON_ESCAPED;

            if (trk_json_escape(s, &p) != TRK_OK) {
                return TRK_INVALID;
            }

            continue;
        }

        n = trk_utf8_next(p, (size_t) (s->end - p));

        if (n == 0) {
            return trk_json_fail(s, TRK_ERR_INVALID_UTF8, p);
        }

        p += n;
    }

    if (trk_json_leaf(s, TRK_JSON_STRING, p + 1) != TRK_OK) {
        return TRK_NOMEM;
    }

    node = &s->json->nodes[s->json->nnodes - 1];
    node->flags = flags;

    if (flags && node->len > s->json->escaped) {
        s->json->escaped = node->len;
    }

    return TRK_OK;
}


/* The first byte that is not plain: a control, a quote, a backslash, or not
 * ASCII. */

static inline const uint8_t *
trk_json_plain(const uint8_t *p, const uint8_t *end)
{
    uint64_t  hit;

    for ( /* void */ ; end - p >= 8; p += 8) {
        hit = trk_word_special(trk_word(p));

        if (hit) {
            return p + trk_word_first(hit);
        }
    }

    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


/* At the backslash *at, which is moved behind the escape. */

static int
trk_json_escape(trk_json_scan_t *s, const uint8_t **at)
{
    int             i;
    const uint8_t  *p;

    p = *at + 1;

    if (p == s->end) {
        return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, p);
    }

    switch (*p++) {

    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r':
    case 't':
        break;

    case 'u':
        for (i = 0; i < 4; i++, p++) {

            if (p == s->end
                || !(trk_json_digit(*p)
                     || (uint8_t) ((*p | 0x20) - 'a') <= 5))
            {
                return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, p);
            }
        }

        break;

    default:
        return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, *at);
    }

    *at = p;

    return TRK_OK;
}


static int
trk_json_open(trk_json_scan_t *s, trk_json_type_t type, uint32_t *index)
{
    int  rc;

    if (s->depth == TRK_JSON_MAX_DEPTH) {
        return trk_json_fail(s, TRK_ERR_TOO_DEEP, s->p);
    }

    rc = trk_json_node(s, type, index);

    if (rc == TRK_OK) {
        s->depth++;
        s->p++;
    }

    return rc;
}


static int
trk_json_array(trk_json_scan_t *s)
{
    int       rc;
    uint32_t  index;

    rc = trk_json_open(s, TRK_JSON_ARRAY, &index);

    if (rc != TRK_OK) {
        return rc;
    }

    rc = trk_json_peek(s) == ']' ? trk_json_shut(s) : TRK_AGAIN;

    while (rc == TRK_AGAIN) {
        rc = trk_json_value(s);

        if (rc == TRK_OK) {
            rc = trk_json_more(s, ']');
        }
    }

    if (rc == TRK_OK) {
        trk_json_close(s, index);
    }

    return rc;
}


static int
trk_json_object(trk_json_scan_t *s)
{
    int       rc;
    uint8_t   flags;
    uint32_t  index, name, n, alike, names[TRK_JSON_SMALL];
    uint64_t  seen, mark;

    n = 0;
    seen = 0;
    alike = 0;
    flags = 0;
    rc = trk_json_open(s, TRK_JSON_OBJECT, &index);

    if (rc != TRK_OK) {
        return rc;
    }

    rc = trk_json_peek(s) == '}' ? trk_json_shut(s) : TRK_AGAIN;

    while (rc == TRK_AGAIN) {

        rc = trk_json_name(s, &name);

        if (rc != TRK_OK) {
            return rc;
        }

        if (n < TRK_JSON_SMALL) {
            mark = trk_json_mark(s->json, name);
            alike |= (uint32_t) ((seen & mark) != 0) << n;
            seen |= mark;
            names[n] = name;
        }

        n++;
        flags |= s->json->nodes[name].flags;

        rc = trk_json_peek(s) == '"' ? trk_json_scan_string(s)
                                     : trk_json_value(s);
        if (rc == TRK_OK) {
            rc = trk_json_more(s, '}');
        }
    }

    if (rc != TRK_OK) {
        return rc;
    }

    trk_json_close(s, index);

    if (n > TRK_JSON_SMALL || (flags & TRK_JSON_ESCAPED)) {
        return trk_json_duplicates(s, index, n);
    }

    return alike ? trk_json_duplicates_small(s, names, n, alike) : TRK_OK;
}


/* One of 64 bits for a name: names of unlike bits are not equal. */

static inline uint64_t
trk_json_mark(const trk_json_t *json, uint32_t name)
{
    uint32_t         n;
    const uint8_t   *p;

    n = json->nodes[name].len;
    p = json->p + json->nodes[name].off;

    return 1ULL << ((n * 7 + p[1] * 31U + p[n - 2] * 13U) & 63);
}


/* After an element or member.  TRK_OK: the bracket is closed; TRK_AGAIN:
 * another one follows; TRK_INVALID. */

static inline int
trk_json_more(trk_json_scan_t *s, uint8_t bracket)
{
    int  c;

    c = trk_json_peek(s);

    if (c == ',') {
        s->p++;
        return TRK_AGAIN;
    }

    return c == bracket ? trk_json_shut(s)
                        : trk_json_fail(s, TRK_ERR_MALFORMED_JSON, s->p);
}


/* At a closing bracket. */

static inline int
trk_json_shut(trk_json_scan_t *s)
{
    s->p++;
    s->depth--;

    return TRK_OK;
}


/* A member's name and the colon after it. */

static inline int
trk_json_name(trk_json_scan_t *s, uint32_t *index)
{
    int  rc;

    if (trk_json_peek(s) != '"') {
        return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, s->p);
    }

    *index = s->json->nnodes;
    rc = trk_json_scan_string(s);

    if (rc != TRK_OK) {
        return rc;
    }

    if (trk_json_peek(s) != ':') {
        return trk_json_fail(s, TRK_ERR_MALFORMED_JSON, s->p);
    }

    s->p++;

    return TRK_OK;
}


/* Bit i of alike: name i may equal one before it. */

static int
trk_json_duplicates_small(trk_json_scan_t *s, const uint32_t *names,
    uint32_t n, uint32_t alike)
{
    uint32_t                i, k;
    const uint8_t          *text;
    const trk_json_node_t  *a, *b;

    text = s->json->p;

    for (i = 1; i < n; i++) {
        a = &s->json->nodes[names[i]];

        for (k = 0; (alike >> i & 1) && k < i; k++) {
            b = &s->json->nodes[names[k]];

            if (a->len == b->len
                && memcmp(text + a->off, text + b->off, a->len) == 0)
            {
                return trk_json_fail(s, TRK_ERR_DUPLICATE_KEY,
                                     text + a->off);
            }
        }
    }

    return TRK_OK;
}


static int
trk_json_duplicates(trk_json_scan_t *s, uint32_t object, uint32_t n)
{
    int       rc;
    uint32_t  off;

    rc = trk_json_names_differ(s->json, object, n, &off);

    return rc == TRK_INVALID
           ? trk_json_fail(s, TRK_ERR_DUPLICATE_KEY, s->json->p + off) : rc;
}
