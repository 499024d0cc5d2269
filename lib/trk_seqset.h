/*
 * A set of sequence numbers that are mostly dense: bits in pages, of which
 * only those exist that are neither empty nor full.  The spool keeps one for
 * each edge: what of it lies on this disk and not in Kafka yet.
 *
 * Memory: 4 KiB for each 32,768 numbers of which some are in and some are not,
 * and 16 bytes for each 32,768 between the least and the greatest of them.
 */

#ifndef TRK_SEQSET_H
#define TRK_SEQSET_H

#include "trk.h"


typedef struct {
    uint32_t            n;          /* bits set; its page is freed at 0 */
    uint64_t            bits[512];
} trk_seqset_page_t;

/* Zeroed memory is an empty set. */
typedef struct {
    trk_seqset_page_t **pages;      /* owned; NULL: none of them is in; full
                                       ones are one and the same */
    size_t              npages;
    uint64_t            base;       /* page number of pages[0] */
    uint64_t            count;
} trk_seqset_t;


void trk_seqset_free(trk_seqset_t *set);

/* TRK_OK, also if it was there; TRK_LIMIT: more than 2^20 pages from one that
 * is in (3 * 10^10 numbers); TRK_NOMEM. */
TRK_MUSTCHECK int trk_seqset_add(trk_seqset_t *set, uint64_t seq);

/* Of one that is not there: nothing.  Without memory for a page that was full
 * it stays. */
void trk_seqset_remove(trk_seqset_t *set, uint64_t seq);

int trk_seqset_has(const trk_seqset_t *set, uint64_t seq);

/* The first run of numbers at or after `from`: 1, and both its ends; 0: there
 * is none. */
int trk_seqset_next(const trk_seqset_t *set, uint64_t from, uint64_t *first,
    uint64_t *last);


#endif /* TRK_SEQSET_H */
