/*
 * The book of one edge, valid after a cut at any instruction.
 *
 * A list of ranges is ascending, but for what a cut may have left of moving
 * its end down: a range whose last is below its first, and copies of ranges
 * that stand before it already.  Readers skip both; the last range of a list
 * is never touched by it.  A number may be noted twice, since upto moves
 * after it was.
 */

#include "trk_book.h"


/* No store before it is made later, none behind it sooner, if all behind it
 * are made so too. */
#define trk_book_set(word, value)                                             \
    __atomic_store_n(&(word), value, __ATOMIC_RELEASE)


static trk_span_t *
trk_book_voids(const trk_book_t *b)
{
    return (trk_span_t *) ((uintptr_t) b + sizeof(trk_book_t));
}


static trk_span_t *
trk_book_losts(const trk_book_t *b)
{
    return trk_book_voids(b) + b->nspans;
}


static uint8_t *
trk_book_states(const trk_book_t *b)
{
    return (uint8_t *) (trk_book_losts(b) + b->nspans);
}


void
trk_book_init(trk_book_t *b, uint64_t window, uint64_t spans)
{
    memset(b, 0, sizeof(trk_book_t));
    b->window = window;
    b->nspans = spans;
}


uint64_t
trk_book_open(trk_book_t *b, uint64_t n, uint64_t rejected, int hasty)
{
    int       state;
    uint8_t  *states;
    uint64_t  first, at, head;

    if (n > b->window - (b->opened - b->upto)) {
        return 0;
    }

    first = b->opened + 1;
    state = hasty ? TRK_BOOK_HASTY : TRK_BOOK_OPEN;
    states = trk_book_states(b);

    /* the window is a ring */

    at = first & (b->window - 1);
    head = n < b->window - at ? n : b->window - at;

    memset(states + at, state, head);
    memset(states, state, n - head);

    trk_book_set(b->undoable, rejected);
    trk_book_set(b->rejected, b->rejected + rejected);
    trk_book_set(b->opened, b->opened + n);

    return first;
}


void
trk_book_undo(trk_book_t *b, uint64_t first, uint64_t n)
{
    if (first + n - 1 != b->opened) {
        return;
    }

    trk_book_set(b->opened, first - 1);
    trk_book_set(b->rejected, b->rejected - b->undoable);
    trk_book_set(b->undoable, 0);
}


/* Spans from + k and above move down to from and above. */
static void
trk_book_shift(trk_span_t *spans, uint64_t *n, uint64_t from, uint64_t k)
{
    uint64_t  i;

    for (i = from; i + k < *n; i++) {
        trk_book_set(spans[i].first, spans[i + k].first);
        trk_book_set(spans[i].last, spans[i + k].last);
    }

    trk_book_set(*n, *n - k);
}


/* Fills the smallest gap. */
static void
trk_book_merge(trk_book_t *b, trk_span_t *spans, uint64_t *n)
{
    uint64_t  i, at, gap, smallest;

    at = 0;
    smallest = UINT64_MAX;

    for (i = 0; i + 1 < *n; i++) {
        gap = spans[i + 1].first > spans[i].last
              ? spans[i + 1].first - spans[i].last : 0;

        if (gap < smallest) {
            smallest = gap;
            at = i;
        }
    }

    if (smallest > 1) {
        trk_book_set(b->merged, b->merged + 1);
    }

    if (spans[at].last < spans[at + 1].last) {
        trk_book_set(spans[at].last, spans[at + 1].last);
    }

    trk_book_shift(spans, n, at + 1, 1);
}


static void
trk_book_note(trk_book_t *b, trk_span_t *spans, uint64_t *n, uint64_t seq)
{
    trk_span_t  *tail;

    if (*n > 0 && seq <= spans[*n - 1].last + 1) {
        tail = &spans[*n - 1];

        if (seq > tail->last) {
            trk_book_set(tail->last, seq);
        }

        return;
    }

    if (*n == b->nspans) {
        trk_book_merge(b, spans, n);
    }

    tail = &spans[*n];

    trk_book_set(tail->first, seq);
    trk_book_set(tail->last, seq);
    trk_book_set(*n, *n + 1);
}


static void
trk_book_advance(trk_book_t *b)
{
    uint8_t   state, *states;
    uint64_t  seq;

    states = trk_book_states(b);

    for (seq = b->upto + 1; seq <= b->opened; seq++) {
        state = states[seq & (b->window - 1)];

        if (state < TRK_BOOK_SAFE) {
            break;
        }

        if (state == TRK_BOOK_VOID) {
            trk_book_note(b, trk_book_voids(b), &b->nvoid, seq);

        } else if (state == TRK_BOOK_LOST) {
            trk_book_note(b, trk_book_losts(b), &b->nlost, seq);
        }
    }

    trk_book_set(b->upto, seq - 1);
}


int
trk_book_close(trk_book_t *b, uint64_t seq, trk_book_state_t outcome)
{
    uint8_t  *state;

    if (seq <= b->upto || seq > b->opened) {
        return 0;
    }

    state = &trk_book_states(b)[seq & (b->window - 1)];

    if (*state >= TRK_BOOK_SAFE) {
        return 0;
    }

    trk_book_set(*state, (uint8_t) outcome);

    if (seq == b->upto + 1) {
        trk_book_advance(b);
    }

    return 1;
}


void
trk_book_finish(trk_book_t *b, uint64_t *nvoid, uint64_t *nlost)
{
    uint8_t   *state;
    uint64_t   seq;

    *nvoid = 0;
    *nlost = 0;

    for (seq = b->upto + 1; seq <= b->opened; seq++) {
        state = &trk_book_states(b)[seq & (b->window - 1)];

        if (*state == TRK_BOOK_OPEN) {
            trk_book_set(*state, TRK_BOOK_VOID);
            (*nvoid)++;

        } else if (*state == TRK_BOOK_HASTY) {
            trk_book_set(*state, TRK_BOOK_LOST);
            (*nlost)++;
        }
    }

    trk_book_advance(b);
}


static size_t
trk_book_view(const trk_book_t *b, const trk_span_t *spans, uint64_t n,
    trk_span_t *dst)
{
    size_t      count;
    uint64_t    i;
    trk_span_t  span;

    count = 0;

    for (i = 0; i < n; i++) {
        span = spans[i];

        if (span.first <= b->told) {
            span.first = b->told + 1;
        }

        if (span.last < span.first
            || (count > 0 && span.last <= dst[count - 1].last))
        {
            continue;
        }

        if (count > 0 && span.first <= dst[count - 1].last + 1) {
            dst[count - 1].last = span.last;
            continue;
        }

        dst[count++] = span;
    }

    return count;
}


size_t
trk_book_void(const trk_book_t *b, trk_span_t *dst)
{
    return trk_book_view(b, trk_book_voids(b), b->nvoid, dst);
}


size_t
trk_book_lost(const trk_book_t *b, trk_span_t *dst)
{
    return trk_book_view(b, trk_book_losts(b), b->nlost, dst);
}


uint64_t
trk_book_number(trk_book_t *b, uint64_t now)
{
    trk_book_set(b->beat, now > b->beat ? now : b->beat + 1);

    return b->beat;
}


static void
trk_book_forget(const trk_book_t *b, trk_span_t *spans, uint64_t *n)
{
    uint64_t  k;

    for (k = 0; k < *n && spans[k].last <= b->told; k++) { /* void */ }

    if (k > 0) {
        trk_book_shift(spans, n, 0, k);
    }
}


void
trk_book_tell(trk_book_t *b, uint64_t upto)
{
    if (upto <= b->told) {
        return;
    }

    trk_book_set(b->told, upto);
    trk_book_forget(b, trk_book_voids(b), &b->nvoid);
    trk_book_forget(b, trk_book_losts(b), &b->nlost);
}
