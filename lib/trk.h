/*
 * What all of lib/ shares: string views, status codes, growing buffers.
 *
 * lib/ is pure C11: it knows neither nginx nor Kafka nor PostgreSQL nor
 * ClickHouse, includes only libc and itself, prints nothing, and takes time,
 * randomness and I/O as arguments.  The same sources are compiled into the
 * nginx module, track-loader, the unit tests and the fuzzers.  Nothing here
 * is thread safe by itself: an object belongs to the thread that uses it.
 */

#ifndef TRK_H
#define TRK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>


#define TRK_MUSTCHECK  __attribute__((warn_unused_result))


/*
 * What functions that can fail return.  Zero is success; a function names
 * in its contract which of the others it uses.
 */
enum {
    TRK_OK = 0,
    TRK_AGAIN,          /* not now; call again later */
    TRK_INVALID,        /* the input is wrong, and says how */
    TRK_LIMIT,          /* the input is over a bound */
    TRK_NOMEM,          /* malloc failed; nothing was changed */
    TRK_IO,             /* a system call failed; errno says how */
    TRK_CORRUPT,        /* bytes of our own format are damaged */
    TRK_NOTFOUND
};


/* A view of bytes somebody else owns.  Not NUL-terminated. */
typedef struct {
    const uint8_t  *p;
    size_t          n;
} trk_str_t;

#define trk_str(s)   ((trk_str_t) { (const uint8_t *) (s), sizeof(s) - 1 })
#define trk_null     ((trk_str_t) { NULL, 0 })

static inline trk_str_t
trk_str_of(const void *p, size_t n)
{
    return (trk_str_t) { p, n };
}

/* Names of one length mostly differ at once: that needs no call. */
static inline int
trk_str_eq(trk_str_t a, trk_str_t b)
{
    return a.n == b.n
           && (a.n == 0
               || (a.p[0] == b.p[0] && memcmp(a.p, b.p, a.n) == 0));
}

/* Bytewise order, a prefix first: strcmp() for views. */
int trk_str_cmp(trk_str_t a, trk_str_t b);


/*
 * A growing buffer with a bound.  Zeroed memory with max set is a valid
 * empty buffer.  An append that does not fit, or finds no memory, changes
 * nothing and sets `failed`, which stays set until trk_buf_reset(): a writer
 * may append many pieces and look once at the end.
 */
typedef struct {
    uint8_t  *p;        /* owned; NULL until the first append */
    size_t    n;
    size_t    cap;
    size_t    max;      /* in bytes; never grows beyond */
    int       failed;   /* 0, TRK_NOMEM or TRK_LIMIT */
} trk_buf_t;

void trk_buf_init(trk_buf_t *b, size_t max);
void trk_buf_free(trk_buf_t *b);

/* Empties the buffer; memory beyond `keep` bytes is given back. */
void trk_buf_reset(trk_buf_t *b, size_t keep);

/* trk_buf_reserve() and trk_buf_add() where there is no room yet. */
uint8_t *trk_buf_reserve_more(trk_buf_t *b, size_t n);
void trk_buf_add_more(trk_buf_t *b, const void *p, size_t n);

/* Room for n more bytes: a pointer to them, or NULL (b->failed says why).
 * The caller writes there and adds what it wrote to b->n. */
static inline uint8_t *
trk_buf_reserve(trk_buf_t *b, size_t n)
{
    return n > 0 && n <= b->cap - b->n && !b->failed
           ? b->p + b->n : trk_buf_reserve_more(b, n);
}

static inline void
trk_buf_add(trk_buf_t *b, const void *p, size_t n)
{
    if (n <= b->cap - b->n && !b->failed && n > 0) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
        return;
    }

    trk_buf_add_more(b, p, n);
}

static inline void
trk_buf_byte(trk_buf_t *b, uint8_t c)
{
    trk_buf_add(b, &c, 1);
}

void trk_buf_uint(trk_buf_t *b, uint64_t v);        /* decimal digits */
void trk_buf_int(trk_buf_t *b, int64_t v);

#define trk_buf_str(b, s)   trk_buf_add(b, (s).p, (s).n)
#define trk_buf_lit(b, s)   trk_buf_add(b, s, sizeof(s) - 1)

/* The string s as a JSON string, quotes included.  Bytes that are not UTF-8
 * become U+FFFD, so the result is always valid JSON. */
void trk_buf_json_string(trk_buf_t *b, trk_str_t s);

/* The same without quotes: a piece of one. */
void trk_buf_json_text(trk_buf_t *b, trk_str_t s);

/* RFC 4648, with padding. */
void trk_buf_base64(trk_buf_t *b, trk_str_t s);


#endif /* TRK_H */
