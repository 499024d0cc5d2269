/*
 * The book against an array of outcomes, in random operations; then the same
 * with its keeper, a process that is stepped through instruction by
 * instruction, cut after each store it makes.
 */

#include "tap.h"
#include "trk_book.h"

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>


#define SEQS   4096
#define BYTES  4096


typedef enum { OPEN, UNDO, CLOSE, TELL, FINISH } kind_t;

typedef struct {
    kind_t    kind;
    uint64_t  a;            /* open: n; others: a seq */
    uint64_t  b;            /* open: hasty; undo: n; close: outcome */
} op_t;

typedef struct {
    uint8_t   state[SEQS];
    uint64_t  opened;
    uint64_t  rejected;
    uint64_t  told;
    uint64_t  window;
} model_t;


static uint32_t
next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}


static uint64_t
upto(const model_t *m)
{
    uint64_t  seq;

    for (seq = m->told; seq < m->opened; seq++) {
        if (m->state[seq + 1] < TRK_BOOK_SAFE) {
            break;
        }
    }

    return seq;
}


/* rejected ones are every third of those opened together */

static void
model_apply(model_t *m, const op_t *op)
{
    uint64_t  i;

    switch (op->kind) {

    case OPEN:
        for (i = 1; i <= op->a; i++) {
            m->state[m->opened + i] = op->b ? TRK_BOOK_HASTY : TRK_BOOK_OPEN;
        }

        m->opened += op->a;
        m->rejected += op->a / 3;
        break;

    case UNDO:
        m->opened = op->a - 1;
        m->rejected -= op->b / 3;
        break;

    case CLOSE:
        if (m->state[op->a] < TRK_BOOK_SAFE) {
            m->state[op->a] = (uint8_t) op->b;
        }
        break;

    case TELL:
        m->told = op->a;
        break;

    case FINISH:
        for (i = m->told + 1; i <= m->opened; i++) {
            if (m->state[i] < TRK_BOOK_SAFE) {
                m->state[i] = m->state[i] == TRK_BOOK_HASTY
                              ? TRK_BOOK_LOST : TRK_BOOK_VOID;
            }
        }
    }
}


static void
book_apply(trk_book_t *b, const op_t *op)
{
    uint64_t  nvoid, nlost;

    switch (op->kind) {

    case OPEN:
        (void) trk_book_open(b, op->a, op->a / 3, (int) op->b);
        break;

    case UNDO:
        trk_book_undo(b, op->a, op->b);
        break;

    case CLOSE:
        (void) trk_book_close(b, op->a, (trk_book_state_t) op->b);
        break;

    case TELL:
        trk_book_tell(b, op->a);
        break;

    case FINISH:
        trk_book_finish(b, &nvoid, &nlost);
    }
}


/* An operation that may follow, so chosen that the window is full at times,
 * and that outcomes alternate. */

static op_t
choose(const model_t *m, const op_t *before, uint32_t *seed)
{
    uint64_t  room, open;

    open = m->opened - upto(m);
    room = m->window - open;

    switch (next(seed) % 8) {

    case 0:
    case 1:
        if (room > 0) {
            return (op_t) { OPEN, next(seed) % (room < 9 ? room : 9) + 1,
                            next(seed) % 4 == 0 };
        }
        break;

    case 2:
        if (before->kind == OPEN && next(seed) % 2) {
            return (op_t) { UNDO, m->opened - before->a + 1, before->a };
        }
        break;

    case 3:
        if (next(seed) % 3 == 0) {
            return (op_t) { TELL, m->told + next(seed)
                                            % (upto(m) - m->told + 1), 0 };
        }
        break;
    }

    if (open == 0) {
        return (op_t) { OPEN, 1, 0 };
    }

    /* the oldest often, so that upto moves; closed ones again, sometimes */

    return (op_t) { CLOSE,
                    upto(m) + 1 + (next(seed) % 3 ? 0 : next(seed) % open),
                    TRK_BOOK_SAFE + next(seed) % 3 };
}


static int
listed(const trk_span_t *spans, size_t n, uint64_t seq)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (seq >= spans[i].first && seq <= spans[i].last) {
            return 1;
        }
    }

    return 0;
}


/* 1: seq comes out as the model has it, or, if it is open there, as what a
 * keeper's death makes of it.  A filled gap names too many, never too few. */

static int
may_be(const model_t *m, uint64_t seq, int is_void, int is_lost, int exact)
{
    int  state;

    if (seq > m->opened) {
        return 0;
    }

    state = m->state[seq];

    if (exact && is_void + is_lost != (state != TRK_BOOK_SAFE)) {
        return 0;
    }

    switch (state) {

    case TRK_BOOK_OPEN:
    case TRK_BOOK_VOID:
        return is_void;

    case TRK_BOOK_HASTY:
    case TRK_BOOK_LOST:
        return is_lost;
    }

    return 1;
}


static int
ascending(const trk_span_t *spans, size_t n, uint64_t from, uint64_t to)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (spans[i].first > spans[i].last || spans[i].first <= from
            || spans[i].last > to
            || (i > 0 && spans[i].first <= spans[i - 1].last + 1))
        {
            return 0;
        }
    }

    return 1;
}


/* What a successor makes of a copy of the book, compared with the model
 * before and after the operation that was cut.  Returns 1 if it is right. */

static int
succeeds(const trk_book_t *book, const model_t *m, const model_t *then)
{
    int          is_void, is_lost;
    size_t       nv, nl;
    char         bytes[BYTES] __attribute__((aligned(8)));
    uint64_t     seq, nvoid, nlost;
    trk_book_t  *b;
    trk_span_t   v[64], l[64];

    memcpy(bytes, book, trk_book_size(book->window, book->nspans));
    b = (trk_book_t *) bytes;

    if (b->upto > b->opened || b->told > b->upto) {
        return 0;
    }

    trk_book_finish(b, &nvoid, &nlost);

    nv = trk_book_void(b, v);
    nl = trk_book_lost(b, l);

    if ((b->opened != m->opened && b->opened != then->opened)
        || (b->told != m->told && b->told != then->told)
        || b->upto != b->opened
        || !ascending(v, nv, b->told, b->upto)
        || !ascending(l, nl, b->told, b->upto))
    {
        return 0;
    }

    for (seq = b->told + 1; seq <= b->upto; seq++) {
        is_void = listed(v, nv, seq);
        is_lost = listed(l, nl, seq);

        if (!may_be(m, seq, is_void, is_lost, b->merged == 0)
            && !may_be(then, seq, is_void, is_lost, b->merged == 0))
        {
            return 0;
        }
    }

    trk_book_tell(b, b->upto);

    return trk_book_void(b, v) == 0 && trk_book_lost(b, l) == 0;
}


static int
random_operations(uint64_t window, uint64_t spans, uint32_t seed)
{
    int          i, wrong;
    char         bytes[BYTES] __attribute__((aligned(8)));
    op_t         op;
    model_t     *m;
    trk_book_t  *b;

    m = calloc(1, sizeof(model_t));

    if (m == NULL || trk_book_size(window, spans) > BYTES) {
        free(m);
        return -1;
    }

    m->window = window;
    b = (trk_book_t *) bytes;
    memset(bytes, 0xff, sizeof(bytes));
    trk_book_init(b, window, spans);

    wrong = 0;
    op = (op_t) { CLOSE, 0, 0 };

    for (i = 0; m->opened < SEQS - 10; i++) {
        op = choose(m, &op, &seed);

        model_apply(m, &op);
        book_apply(b, &op);

        wrong += b->opened != m->opened || b->upto != upto(m)
                 || b->told != m->told || b->rejected != m->rejected
                 || !succeeds(b, m, m);
    }

    ok(i > 2000, "%d operations, %llu gaps filled", i,
       (unsigned long long) b->merged);
    free(m);

    return wrong;
}


/* The keeper: a child that works through the operations. */

static void
keep(trk_book_t *b, const op_t *ops, size_t n, volatile uint64_t *doing)
{
    size_t  i;

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1) {
        _exit(1);
    }

    raise(SIGSTOP);

    for (i = 0; i < n; i++) {
        book_apply(b, &ops[i]);
        *doing = i + 1;
    }

    _exit(0);
}


/* Steps the keeper to its end and looks at the book after every store.
 * Returns the number of wrong ones; *cuts: of stores. */

static int
watch(pid_t keeper, const trk_book_t *b, const op_t *ops, size_t n,
    volatile uint64_t *doing, int *cuts)
{
    int       status, wrong;
    char      before[BYTES];
    size_t    size;
    model_t  *m, *then;
    uint64_t  at;

    m = calloc(2, sizeof(model_t));

    if (m == NULL) {
        return -1;
    }

    then = m + 1;
    size = trk_book_size(b->window, b->nspans);
    memcpy(before, b, size);
    wrong = 0;
    at = 0;

    model_apply(then, &ops[0]);

    while (waitpid(keeper, &status, 0) == keeper && WIFSTOPPED(status)) {

        if (*doing > at && ++at < n) {
            *m = *then;
            model_apply(then, &ops[at]);
        }

        if (memcmp(before, b, size) != 0) {
            memcpy(before, b, size);
            wrong += !succeeds(b, m, then);
            (*cuts)++;
        }

        if (ptrace(PTRACE_SINGLESTEP, keeper, NULL, NULL) == -1) {
            break;
        }
    }

    free(m);

    return WIFEXITED(status) && WEXITSTATUS(status) == 0 && at == n
           ? wrong : -1;
}


static size_t
plan(op_t *ops, size_t max, uint64_t window, uint32_t seed)
{
    op_t      op;
    size_t    n;
    model_t  *m;

    m = calloc(1, sizeof(model_t));

    if (m == NULL) {
        return 0;
    }

    m->window = window;
    op = (op_t) { CLOSE, 0, 0 };

    for (n = 0; n < max - 2; n++) {
        op = choose(m, &op, &seed);
        model_apply(m, &op);
        ops[n] = op;
    }

    ops[n++] = (op_t) { FINISH, 0, 0 };
    ops[n++] = (op_t) { TELL, m->opened, 0 };
    free(m);

    return n;
}


static void
cut_everywhere(uint64_t window, uint64_t spans, uint32_t seed)
{
    int          cuts, wrong;
    op_t         ops[150];
    pid_t        keeper;
    size_t       n;
    uint64_t    *doing;
    trk_book_t  *b;

    b = mmap(NULL, BYTES + sizeof(uint64_t), PROT_READ|PROT_WRITE,
             MAP_SHARED|MAP_ANONYMOUS, -1, 0);

    if (b == MAP_FAILED) {
        ok(0, "mmap");
        return;
    }

    doing = (uint64_t *) ((char *) b + BYTES);
    trk_book_init(b, window, spans);
    n = plan(ops, sizeof(ops) / sizeof(ops[0]), window, seed);
    fflush(stdout);

    keeper = fork();

    if (keeper == 0) {
        keep(b, ops, n, doing);
    }

    cuts = 0;
    wrong = keeper == -1 ? -1 : watch(keeper, b, ops, n, doing, &cuts);

    is_int(wrong, 0, "cut after each of %d stores, %llu spans: %llu gaps "
           "filled", cuts, (unsigned long long) spans,
           (unsigned long long) b->merged);
    ok(cuts > 400, "there were many");

    munmap(b, BYTES + sizeof(uint64_t));
}


static void
bounds(void)
{
    int          i;
    char         bytes[BYTES] __attribute__((aligned(8)));
    uint64_t     nvoid, nlost;
    trk_book_t  *b;
    trk_span_t   spans[4];

    b = (trk_book_t *) bytes;
    trk_book_init(b, 16, 4);

    is_int(trk_book_open(b, 17, 0, 0), 0, "more than the window holds");
    is_int(trk_book_open(b, 16, 5, 0), 1, "all that it holds");
    is_int(trk_book_open(b, 1, 0, 0), 0, "it is full");

    for (i = 2; i <= 16; i++) {
        (void) trk_book_close(b, (uint64_t) i, TRK_BOOK_SAFE);
    }

    is_int(b->upto, 0, "the first one holds all back");
    is_int(trk_book_open(b, 1, 0, 0), 0, "still full");

    is_int(trk_book_close(b, 0, TRK_BOOK_VOID), 0, "no number");
    is_int(trk_book_close(b, 17, TRK_BOOK_VOID), 0, "one never given");
    is_int(trk_book_close(b, 2, TRK_BOOK_VOID), 0, "one closed already");
    is_int(trk_book_close(b, 1, TRK_BOOK_LOST), 1, "the last open one");
    is_int(trk_book_close(b, 1, TRK_BOOK_SAFE), 0, "once");
    is_int(b->upto, 16, "all are closed");
    is_int(trk_book_void(b, spans), 0, "none is void");
    ok(trk_book_lost(b, spans) == 1 && spans[0].first == 1
       && spans[0].last == 1, "the first outcome counts");

    is_int(trk_book_open(b, 16, 2, 0), 17, "the window is free again");
    trk_book_undo(b, 17, 16);
    is_int(b->opened, 16, "given back");
    is_int(b->rejected, 5, "and not counted");
    trk_book_undo(b, 15, 1);
    is_int(b->opened, 16, "what is not the last open stays");

    is_int(trk_book_number(b, 1000), 1000, "a beat's number is the time");
    is_int(trk_book_number(b, 1000), 1001, "but never twice the same");
    is_int(trk_book_number(b, 5), 1002, "nor does it go back");

    (void) trk_book_open(b, 3, 0, 0);
    (void) trk_book_open(b, 2, 0, 1);
    (void) trk_book_close(b, 18, TRK_BOOK_SAFE);
    trk_book_finish(b, &nvoid, &nlost);
    ok(nvoid == 2 && nlost == 2 && b->upto == 21, "the keeper has died");

    trk_book_tell(b, 21);
    trk_book_tell(b, 3);
    ok(b->told == 21 && trk_book_lost(b, spans) == 0, "told");
}


int
main(void)
{
    bounds();

    is_int(random_operations(64, 64, 1), 0, "with room for all ranges");
    is_int(random_operations(16, 2, 2), 0, "with room for two");
    is_int(random_operations(16, 5, 3), 0, "with room for five");

    cut_everywhere(16, 60, 4);
    cut_everywhere(16, 3, 5);
    cut_everywhere(8, 6, 6);
    cut_everywhere(16, 2, 7);

    return done();
}
