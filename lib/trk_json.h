/*
 * JSON scanner: RFC 8259 to the letter, with two refusals of our own,
 * duplicate names in an object and nesting deeper than TRK_JSON_MAX_DEPTH.
 *
 * One pass over the text fills a flat array of nodes in document order;
 * nothing is converted or copied: a node says where its text lies, so a
 * number or a string leaves exactly as it came.  UTF-8 is checked.  A lone
 * surrogate escape (\ud800) is JSON by the grammar and browsers send them
 * (JSON.stringify of a cut string), so it is accepted; decoded, it is U+FFFD.
 *
 * Memory: a node takes 16 bytes and at least two of the text, the names of an
 * object of more than 16 members 24 bytes for five, decoded names less than
 * twice their text: at most 16 bytes in all for each byte of the text, all
 * of them given back by trk_json_trim().
 */

#ifndef TRK_JSON_H
#define TRK_JSON_H

#include "trk.h"
#include "trk_error.h"


#define TRK_JSON_MAX_DEPTH  16


typedef enum {
    TRK_JSON_NULL = 1,
    TRK_JSON_FALSE,
    TRK_JSON_TRUE,
    TRK_JSON_NUMBER,
    TRK_JSON_STRING,
    TRK_JSON_ARRAY,
    TRK_JSON_OBJECT
} trk_json_type_t;

#define TRK_JSON_ESCAPED    0x01    /* string has a backslash */
#define TRK_JSON_SKIP       0x02    /* set by users: leave this member out, */
#define TRK_JSON_SPARSE     0x04    /* and of an object: some are left out */


/*
 * An object's children are names and values by turns, beginning at the next
 * index: name i, value i + 1, next name at nodes[i + 1].next.
 */
typedef struct {
    uint32_t  off;      /* of the text; of a string, its opening quote */
    uint32_t  len;      /* of the text; a string's quotes included */
    uint32_t  next;     /* index of the first node after this and below it */
    uint8_t   type;     /* trk_json_type_t */
    uint8_t   flags;
} trk_json_node_t;


/* A member's name, decoded, and where its text lies. */
typedef struct {
    trk_str_t  text;
    uint32_t   off;
} trk_json_name_t;


typedef struct {
    const uint8_t    *p;        /* the text; the caller's */
    size_t            n;
    trk_json_node_t  *nodes;    /* owned, reused by the next parse */
    uint32_t          nnodes;
    uint32_t          cap;
    trk_json_name_t  *names;    /* owned scratch: names of a big object */
    uint32_t          names_cap;
    trk_buf_t         decoded;  /* owned scratch: its names with escapes */
    uint32_t          escaped;  /* bytes of the longest text of a string
                                   with escapes: room to decode any */
    const uint8_t    *end;      /* of what is being scanned, */
    int               depth;    /* and how deep that is; */
    int               failed;   /* what made it stop */
    trk_error_code_t  error;    /* after TRK_INVALID */
    size_t            offset;   /* in bytes, where it was found */
} trk_json_t;


void trk_json_init(trk_json_t *json);
void trk_json_free(trk_json_t *json);

/* Gives back memory beyond that of a usual document.  Call between uses. */
void trk_json_trim(trk_json_t *json);

/*
 * Scans the n bytes at p, one JSON text with white space around it.  The
 * text must outlive the nodes.  n must be below 4 GiB.
 * TRK_OK: node 0 is the value.  TRK_INVALID: json->error and json->offset.
 * TRK_NOMEM.  TRK_LIMIT: n is too large.
 */
TRK_MUSTCHECK int trk_json_parse(trk_json_t *json, const uint8_t *p,
    size_t n);

/*
 * The same for JSON texts that stand one on each line (NDJSON), as if they
 * were the elements of an array: node 0 is that array, of all of the text.
 * Lines end with \n or \r\n, the last one also without; lines of white space
 * only are left out.  Offsets count from the beginning of the whole.
 */
TRK_MUSTCHECK int trk_json_parse_lines(trk_json_t *json, const uint8_t *p,
    size_t n);

/* After TRK_INVALID of trk_json_parse(): 1 if a whole value was read, and
 * something else stands behind it. */
static inline int
trk_json_trails(const trk_json_t *json)
{
    return json->error == TRK_ERR_MALFORMED_JSON && json->nnodes > 0
           && json->nodes[0].next > 0;
}

/* The text of node i, as written. */
static inline trk_str_t
trk_json_text(const trk_json_t *json, uint32_t i)
{
    return (trk_str_t) { json->p + json->nodes[i].off, json->nodes[i].len };
}

/* The text between the quotes of string i, escapes and all. */
static inline trk_str_t
trk_json_raw(const trk_json_t *json, uint32_t i)
{
    return (trk_str_t) { json->p + json->nodes[i].off + 1,
                         json->nodes[i].len - 2 };
}

/* String i, which has escapes, decoded: see trk_json_string(). */
trk_str_t trk_json_unescaped(const trk_json_t *json, uint32_t i,
    trk_buf_t *buf);

/* String i decoded.  Without escapes a view of the text; else it is written
 * to buf (reset first), and the view is of that.  {NULL, 0} with buf->failed
 * set on TRK_NOMEM or TRK_LIMIT: never if buf has room for json->escaped. */
static inline trk_str_t
trk_json_string(const trk_json_t *json, uint32_t i, trk_buf_t *buf)
{
    return json->nodes[i].flags & TRK_JSON_ESCAPED
           ? trk_json_unescaped(json, i, buf) : trk_json_raw(json, i);
}

/* String i decoded, where only a short one means anything: a time, an id.
 * Without escapes a view of the text, else of dst, which has
 * TRK_JSON_SHORT bytes; empty if its text does not fit there. */
#define TRK_JSON_SHORT  256
trk_str_t trk_json_short(const trk_json_t *json, uint32_t i, uint8_t *dst);

/* Appends the raw text of a string, decoded.  Failure shows in
 * buf->failed. */
void trk_json_decode(trk_buf_t *buf, trk_str_t raw);

/* Index of the value of member `name` of object i; 0 if there is none.
 * Overwrites json->decoded, which name must not lie in. */
uint32_t trk_json_member(trk_json_t *json, uint32_t i, trk_str_t name);


/*
 * For the scanner: whether the n names of object i, closed, all differ, as
 * they read once decoded: "a" equals "\u0061".  Sorts them: n log n.
 * TRK_OK; TRK_INVALID: *off is where one stands for the second time;
 * TRK_NOMEM.
 */
TRK_MUSTCHECK int trk_json_names_differ(trk_json_t *json, uint32_t i,
    uint32_t n, uint32_t *off);


/*
 * A JSON number's text as a 64-bit integer, exactly: "1.0" and "1e2" are
 * integers.  TRK_INVALID: its value is not integral.  TRK_LIMIT: it is, but
 * outside [-2^63, 2^63 - 1]; *v is then INT64_MIN or INT64_MAX.
 */
TRK_MUSTCHECK int trk_number_int64(trk_str_t text, int64_t *v);

/* A JSON number's text as the nearest double.  TRK_LIMIT: overflows; *v is
 * then +-HUGE_VAL. */
TRK_MUSTCHECK int trk_number_double(trk_str_t text, double *v);

/* Node i as a time in milliseconds since the epoch: an RFC 3339 string or an
 * integer, within TRK_TIME_MIN..MAX.  TRK_INVALID. */
TRK_MUSTCHECK int trk_json_time(const trk_json_t *json, uint32_t i,
    int64_t *ms);


#endif /* TRK_JSON_H */
