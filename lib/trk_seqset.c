/*
 * Sets of sequence numbers.  See trk_seqset.h.
 */

#include "trk_seqset.h"

#include <stdlib.h>


#define TRK_SEQSET_BITS   32768         /* of a page */
#define TRK_SEQSET_PAGES  (1024 * 1024) /* of a set */


/* stands for each page of which all are in; only its address counts */
static trk_seqset_page_t  trk_seqset_full;


static int trk_seqset_reach(trk_seqset_t *set, uint64_t page);
static trk_seqset_page_t *trk_seqset_split(trk_seqset_page_t **page);
static uint64_t trk_seqset_find(const trk_seqset_t *set, uint64_t from,
    uint64_t skip);


void
trk_seqset_free(trk_seqset_t *set)
{
    size_t  i;

    for (i = 0; i < set->npages; i++) {
        if (set->pages[i] != &trk_seqset_full) {
            free(set->pages[i]);
        }
    }

    free(set->pages);
    memset(set, 0, sizeof(*set));
}


int
trk_seqset_add(trk_seqset_t *set, uint64_t seq)
{
    int                  rc;
    size_t               i;
    uint64_t             bit;
    trk_seqset_page_t  **page;

    rc = trk_seqset_reach(set, seq / TRK_SEQSET_BITS);
    if (rc != TRK_OK) {
        return rc;
    }

    page = &set->pages[seq / TRK_SEQSET_BITS - set->base];

    if (*page == &trk_seqset_full) {
        return TRK_OK;
    }

    if (*page == NULL) {
        *page = calloc(1, sizeof(trk_seqset_page_t));
        if (*page == NULL) {
            return TRK_NOMEM;
        }
    }

    i = seq % TRK_SEQSET_BITS / 64;
    bit = (uint64_t) 1 << seq % 64;

    if (!((*page)->bits[i] & bit)) {
        (*page)->bits[i] |= bit;
        (*page)->n++;
        set->count++;
    }

    if ((*page)->n == TRK_SEQSET_BITS) {
        free(*page);
        *page = &trk_seqset_full;
    }

    return TRK_OK;
}


/* Makes set->pages cover that page, dropping empty ones before it. */

static int
trk_seqset_reach(trk_seqset_t *set, uint64_t page)
{
    size_t               lead, n, first;
    uint64_t             base;
    trk_seqset_page_t  **pages;

    for (lead = 0; lead < set->npages && set->pages[lead] == NULL; lead++) {
        /* void */
    }

    if (lead == set->npages) {
        base = page;
        n = 1;
        lead = first = 0;

    } else {
        if (page >= set->base && page - set->base < set->npages) {
            return TRK_OK;
        }

        base = page < set->base ? page : set->base + lead;
        first = page < set->base ? set->base - page : 0;
        lead = page < set->base ? 0 : lead;

        if (set->base + set->npages - base > TRK_SEQSET_PAGES
            || (page > base && page - base >= TRK_SEQSET_PAGES))
        {
            return TRK_LIMIT;
        }

        n = page < set->base ? first + set->npages : page - base + 1;
    }

    pages = calloc(n, sizeof(*pages));
    if (pages == NULL) {
        return TRK_NOMEM;
    }

    if (set->count) {
        memcpy(pages + first, set->pages + lead,
               (set->npages - lead) * sizeof(*pages));
    }

    free(set->pages);

    set->pages = pages;
    set->npages = n;
    set->base = base;

    return TRK_OK;
}


void
trk_seqset_remove(trk_seqset_t *set, uint64_t seq)
{
    size_t               i;
    trk_seqset_page_t  **page;

    if (!trk_seqset_has(set, seq)) {
        return;
    }

    page = &set->pages[seq / TRK_SEQSET_BITS - set->base];

    if (*page == &trk_seqset_full && trk_seqset_split(page) == NULL) {
        return;
    }

    i = seq % TRK_SEQSET_BITS / 64;

    (*page)->bits[i] &= ~((uint64_t) 1 << seq % 64);
    set->count--;

    if (--(*page)->n == 0) {
        free(*page);
        *page = NULL;
    }
}


/* A full page is to lose one: it gets bits of its own.  NULL: no memory. */

static trk_seqset_page_t *
trk_seqset_split(trk_seqset_page_t **page)
{
    trk_seqset_page_t  *p;

    p = malloc(sizeof(trk_seqset_page_t));
    if (p == NULL) {
        return NULL;
    }

    p->n = TRK_SEQSET_BITS;
    memset(p->bits, 0xff, sizeof(p->bits));

    *page = p;

    return p;
}


int
trk_seqset_has(const trk_seqset_t *set, uint64_t seq)
{
    uint64_t                  page;
    const trk_seqset_page_t  *p;

    page = seq / TRK_SEQSET_BITS;

    if (page < set->base || page - set->base >= set->npages) {
        return 0;
    }

    p = set->pages[page - set->base];

    if (p == &trk_seqset_full) {
        return 1;
    }

    return p && (p->bits[seq % TRK_SEQSET_BITS / 64] >> seq % 64 & 1);
}


int
trk_seqset_next(const trk_seqset_t *set, uint64_t from, uint64_t *first,
    uint64_t *last)
{
    *first = trk_seqset_find(set, from, 0);

    if (*first == UINT64_MAX) {
        return 0;
    }

    *last = trk_seqset_find(set, *first, UINT64_MAX) - 1;

    return 1;
}


/*
 * The first number at or after `from` whose bit is set, or, with skip all
 * ones, is not; words are looked at whole.  UINT64_MAX: none is set.
 */

static uint64_t
trk_seqset_find(const trk_seqset_t *set, uint64_t from, uint64_t skip)
{
    uint64_t                  page, word, low;
    const trk_seqset_page_t  *p;

    if (from < set->base * TRK_SEQSET_BITS) {

        if (skip) {
            return from;
        }

        from = set->base * TRK_SEQSET_BITS;
    }

    for ( ;; ) {
        page = from / TRK_SEQSET_BITS - set->base;

        if (page >= set->npages) {
            return skip ? from : UINT64_MAX;
        }

        p = set->pages[page];

        if (p == NULL || p == &trk_seqset_full) {

            if ((p == NULL) == (skip != 0)) {
                return from;
            }

            from = (set->base + page + 1) * TRK_SEQSET_BITS;
            continue;
        }

        low = from % 64;
        word = (p->bits[from % TRK_SEQSET_BITS / 64] ^ skip) >> low << low;

        if (word) {
            return from - low + (uint64_t) __builtin_ctzll(word);
        }

        from += 64 - low;
    }
}
