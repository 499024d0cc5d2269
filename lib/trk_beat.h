/*
 * A beat of the ledger as JSON (design: The ledger; docs/FORMATS.md).
 *
 * Whoever keeps the book of an edge says what became of its numbers; whoever
 * holds its spool, what lies there.  For most beats that is the same process.
 */

#ifndef TRK_BEAT_H
#define TRK_BEAT_H

#include "trk.h"
#include "trk_book.h"


#define TRK_BEAT_MAX    (256 * 1024)    /* bytes of a part */
#define TRK_BEAT_SPANS  5000            /* of a part; 44 bytes at most each */
#define TRK_BEAT_HOST   256             /* bytes of a host's name, at most */


typedef struct {
    const trk_span_t  *spans;
    size_t             n;
} trk_beat_list_t;

typedef struct {
    trk_str_t        edge;
    trk_str_t        host;
    int64_t          at;            /* ms since the epoch */
    uint64_t         n;

    int              has_book;      /* what follows is known */
    uint64_t         worker;        /* process id of that life */
    int64_t          started_at;    /* ms since the epoch */
    uint64_t         from;
    uint64_t         upto;
    trk_beat_list_t  voids;
    trk_beat_list_t  losts;
    uint64_t         accepted;
    uint64_t         rejected;
    int              end;

    int              has_spool;     /* spool is its whole state */
    trk_beat_list_t  spool;
} trk_beat_t;


/* How many parts it takes: 1 and above. */
size_t trk_beat_parts(const trk_beat_t *beat);

/* Appends that part, the first being 0, as an object of at most TRK_BEAT_MAX
 * bytes.  Failure shows in out->failed. */
void trk_beat_write(trk_buf_t *out, const trk_beat_t *beat, size_t part);


#endif /* TRK_BEAT_H */
