
/*
 * Books of the ledger: taken at the start of a worker, written as its events
 * go, and finished by others when it was killed.  Runs in the event loop.
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_LEDGER_FLUSH  300        /* ms, of an exit */

/* no process has it: a keeper that is known to have gone */
#define NGX_HTTP_TRACK_NOBODY                                                 \
    ((ngx_atomic_uint_t) 1 << NGX_HTTP_TRACK_PID_BITS)

/* nobody knows what was said of the spool last */
#define NGX_HTTP_TRACK_UNTOLD  ((ngx_uint_t) -1)


_Static_assert(offsetof(ngx_http_track_book_t, book)
               + trk_book_size(NGX_HTTP_TRACK_BOOK_WINDOW,
                               NGX_HTTP_TRACK_BOOK_SPANS)
               <= NGX_HTTP_TRACK_BOOK_SIZE, "a book fits into its area");


static void ngx_http_track_ledger_take(ngx_http_track_worker_t *wk);
static void ngx_http_track_ledger_adopt(ngx_http_track_worker_t *wk);
static void ngx_http_track_ledger_take_over(ngx_http_track_worker_t *wk,
    ngx_http_track_book_t *bk);
static void ngx_http_track_ledger_finish(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v);
static void ngx_http_track_ledger_free(ngx_http_track_book_t *bk);
static ngx_http_track_voice_t *ngx_http_track_ledger_voice(
    ngx_http_track_worker_t *wk, const u_char *edge);
static ngx_http_track_voice_t *ngx_http_track_ledger_find(
    ngx_http_track_ledger_t *l, const u_char *edge);
static void ngx_http_track_ledger_speak(ngx_http_track_worker_t *wk);
static const ngx_http_track_holding_t *ngx_http_track_ledger_held(
    ngx_http_track_worker_t *wk, const u_char *edge);


ngx_int_t
ngx_http_track_ledger_init(ngx_http_track_worker_t *wk)
{
    ngx_http_track_ledger_t  *l;

    l = ngx_calloc(sizeof(ngx_http_track_ledger_t), wk->log);
    if (l == NULL) {
        return NGX_ERROR;
    }

    wk->ledger = l;

    l->dead = ngx_calloc((wk->sh->nbooks + 1) * sizeof(ngx_msec_t), wk->log);
    if (l->dead == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&l->voices);
    ngx_queue_insert_tail(&l->voices, &l->own.queue);

    ngx_memcpy(l->own.edge, wk->edge, NGX_HTTP_TRACK_EDGE_LEN);
    l->own.own = 1;
    l->own.spooled = wk->conf->spool.len != 0;

    if (ngx_http_track_beat_init(wk) != NGX_OK
        || ngx_http_track_beat_room(wk, &l->own) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_track_ledger_take(wk);

    return NGX_OK;
}


/* A free book for this worker. */

static void
ngx_http_track_ledger_take(ngx_http_track_worker_t *wk)
{
    uint32_t                i;
    ngx_time_t             *tp;
    ngx_http_track_book_t  *bk, *own;

    own = NULL;

    for (i = 0; i < wk->sh->nbooks; i++) {
        bk = ngx_http_track_zone_book(wk->sh, i);

        if (ngx_atomic_cmp_set(&bk->keeper, 0, wk->life)) {
            own = bk;
            break;
        }
    }

    if (own == NULL) {
        ngx_http_track_count(wk, ledger_unbooked, 1);
        ngx_log_error(NGX_LOG_WARN, wk->log, 0,
                      "track: all %uD books of track_zone \"%V\" are taken: "
                      "the ledger cannot speak of this worker's events; make "
                      "the zone larger", wk->sh->nbooks,
                      &wk->conf->zone->shm.name);
        return;
    }

    tp = ngx_timeofday();

    trk_book_init(&own->book, NGX_HTTP_TRACK_BOOK_WINDOW,
                  NGX_HTTP_TRACK_BOOK_SPANS);
    ngx_memcpy(own->edge, wk->edge, NGX_HTTP_TRACK_EDGE_LEN);
    own->started = (ngx_atomic_uint_t) tp->sec * 1000 + tp->msec;
    own->spooled = 0;

    ngx_memory_barrier();
    own->worker = (ngx_atomic_uint_t) ngx_pid;

    wk->ledger->own.book = own;
}


void
ngx_http_track_ledger_tick(ngx_http_track_worker_t *wk)
{
    trk_book_t              *book;
    ngx_http_track_voice_t  *own;

    own = &wk->ledger->own;

    if (own->book) {
        book = &own->book->book;
        wk->slot->open = book->opened - book->upto;
    }

    if (!ngx_exiting) {
        ngx_http_track_ledger_adopt(wk);
    }

    ngx_http_track_ledger_speak(wk);
}


/*
 * Books whose keeper has died.  If that worker had a spool, its end is told
 * by whoever has adopted the spool, since an end that does not tell what
 * lies there would make it look missing.
 */

static void
ngx_http_track_ledger_adopt(ngx_http_track_worker_t *wk)
{
    uint32_t                i;
    ngx_msec_t             *dead;
    ngx_atomic_uint_t       keeper;
    ngx_http_track_book_t  *bk;

    for (i = 0; i < wk->sh->nbooks; i++) {
        bk = ngx_http_track_zone_book(wk->sh, i);
        dead = &wk->ledger->dead[i];
        keeper = bk->keeper;

        if (keeper == 0 || keeper == wk->life
            || ngx_http_track_lives(keeper))
        {
            *dead = 0;
            continue;
        }

        if (*dead == 0) {
            *dead = ngx_max(ngx_current_msec, 1);
        }

        if (bk->worker && bk->spooled
            && ngx_http_track_spool_where(wk, bk->edge, *dead)
               == NGX_DECLINED)
        {
            continue;
        }

        if (ngx_atomic_cmp_set(&bk->keeper, keeper, wk->life)) {
            ngx_http_track_ledger_take_over(wk, bk);
        }
    }
}


static void
ngx_http_track_ledger_take_over(ngx_http_track_worker_t *wk,
    ngx_http_track_book_t *bk)
{
    ngx_http_track_voice_t  *v;

    /* it had not begun, or all has been told */

    if (bk->worker == 0) {
        ngx_http_track_ledger_free(bk);
        return;
    }

    v = ngx_http_track_ledger_voice(wk, bk->edge);

    if (v == NULL) {
        bk->keeper = NGX_HTTP_TRACK_NOBODY;
        return;
    }

    v->book = bk;
    v->merged = bk->book.merged;

    if (bk->spooled) {
        ngx_http_track_ledger_adopted(wk, bk->edge);
    }

    ngx_http_track_ledger_finish(wk, v);
}


/* The worker of the voice's book will close no number any more. */

static void
ngx_http_track_ledger_finish(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v)
{
    uint64_t  nvoid, nlost;

    trk_book_finish(&v->book->book, &nvoid, &nlost);

    ngx_http_track_count(wk, ledger_void, nvoid);
    ngx_http_track_count(wk, ledger_lost, nlost);

    v->ended = 1;

    if (v->book->book.opened == 0) {
        ngx_http_track_ledger_closed(v);
    }
}


void
ngx_http_track_ledger_closed(ngx_http_track_voice_t *v)
{
    ngx_http_track_ledger_free(v->book);
    v->book = NULL;
}


static void
ngx_http_track_ledger_free(ngx_http_track_book_t *bk)
{
    bk->worker = 0;
    ngx_memory_barrier();
    bk->keeper = 0;
}


/* That of the edge, made if there is none.  NULL: no memory. */

static ngx_http_track_voice_t *
ngx_http_track_ledger_voice(ngx_http_track_worker_t *wk, const u_char *edge)
{
    ngx_http_track_voice_t   *v;
    ngx_http_track_ledger_t  *l;

    l = wk->ledger;
    v = ngx_http_track_ledger_find(l, edge);

    if (v) {
        return v;
    }

    v = ngx_calloc(sizeof(ngx_http_track_voice_t), wk->log);

    if (v == NULL || ngx_http_track_beat_room(wk, v) != NGX_OK) {
        ngx_free(v);
        return NULL;
    }

    ngx_memcpy(v->edge, edge, NGX_HTTP_TRACK_EDGE_LEN);
    ngx_queue_insert_tail(&l->voices, &v->queue);

    return v;
}


static ngx_http_track_voice_t *
ngx_http_track_ledger_find(ngx_http_track_ledger_t *l, const u_char *edge)
{
    ngx_queue_t             *q;
    ngx_http_track_voice_t  *v;

    for (q = ngx_queue_head(&l->voices);
         q != ngx_queue_sentinel(&l->voices);
         q = ngx_queue_next(q))
    {
        v = ngx_queue_data(q, ngx_http_track_voice_t, queue);

        if (ngx_memcmp(v->edge, edge, NGX_HTTP_TRACK_EDGE_LEN) == 0) {
            return v;
        }
    }

    return NULL;
}


static void
ngx_http_track_ledger_speak(ngx_http_track_worker_t *wk)
{
    ngx_queue_t                     *q, *next;
    ngx_http_track_voice_t          *v;
    ngx_http_track_ledger_t         *l;
    const ngx_http_track_holding_t  *held;

    l = wk->ledger;

    for (q = ngx_queue_head(&l->voices);
         q != ngx_queue_sentinel(&l->voices);
         q = next)
    {
        next = ngx_queue_next(q);
        v = ngx_queue_data(q, ngx_http_track_voice_t, queue);
        held = ngx_http_track_ledger_held(wk, v->edge);

        if (v->own || v->pending || v->book || held || v->told) {
            ngx_http_track_beat(wk, v, held);
            continue;
        }

        /* nothing is left that would have to be said */

        ngx_queue_remove(q);
        trk_buf_free(&v->text);
        ngx_free(v->messages);
        ngx_free(v);
    }
}


static const ngx_http_track_holding_t *
ngx_http_track_ledger_held(ngx_http_track_worker_t *wk, const u_char *edge)
{
    ngx_uint_t                       i;
    const ngx_http_track_holding_t  *held;

    for (i = 0; /* void */ ; i++) {
        held = ngx_http_track_spool_holding(wk, i);

        if (held == NULL
            || ngx_memcmp(held->edge, edge, NGX_HTTP_TRACK_EDGE_LEN) == 0)
        {
            return held;
        }
    }
}


/*
 * What is not delivered now stays in the zone: when this process has gone,
 * others will send it.  There are none if all of nginx ends, so what killed
 * workers left is taken along.
 */

void
ngx_http_track_ledger_exit(ngx_http_track_worker_t *wk)
{
    ngx_http_track_voice_t  *own;

    own = &wk->ledger->own;

    /* a beat on its way is not the last one */

    if (own->pending) {
        ngx_http_track_kafka_flush(wk, NGX_HTTP_TRACK_LEDGER_FLUSH);
    }

    if (own->book) {
        ngx_http_track_ledger_finish(wk, own);
    }

    ngx_http_track_ledger_adopt(wk);
    ngx_http_track_ledger_speak(wk);

    if (own->pending) {
        ngx_http_track_kafka_flush(wk, NGX_HTTP_TRACK_LEDGER_FLUSH);
    }
}


uint64_t
ngx_http_track_ledger_open(ngx_http_track_worker_t *wk, size_t n,
    size_t rejected, ngx_uint_t hasty)
{
    uint64_t                  first;
    ngx_uint_t                muted;
    ngx_http_track_ledger_t  *l;

    l = wk->ledger;

    if (l->own.book == NULL) {
        first = l->seq + 1;
        l->seq += n;
        return first;
    }

    first = trk_book_open(&l->own.book->book, n, rejected, (int) hasty);

    if (first == 0) {
        ngx_http_track_count(wk, ledger_full, 1);

        if (ngx_http_track_unmute(&l->mute, &muted)) {
            ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                          "track: %L events wait for their outcome, more are "
                          "refused until Kafka or the spool takes them; more "
                          "workers may wait for more (%ui more of this line)",
                          (int64_t) (l->own.book->book.opened
                                     - l->own.book->book.upto), muted);
        }
    }

    return first;
}


void
ngx_http_track_ledger_undo(ngx_http_track_worker_t *wk, uint64_t first,
    size_t n)
{
    ngx_http_track_ledger_t  *l;

    l = wk->ledger;

    if (l->own.book) {
        trk_book_undo(&l->own.book->book, first, n);

    } else {
        l->seq = first - 1;
    }
}


void
ngx_http_track_ledger_close(ngx_http_track_worker_t *wk, uint64_t seq,
    ngx_http_track_close_e how)
{
    ngx_http_track_book_t  *bk;

    bk = wk->ledger->own.book;

    if (bk == NULL
        || !trk_book_close(&bk->book, seq, (trk_book_state_t) how))
    {
        return;
    }

    if (how == NGX_HTTP_TRACK_VOID) {
        ngx_http_track_count(wk, ledger_void, 1);

    } else if (how == NGX_HTTP_TRACK_LOST) {
        ngx_http_track_count(wk, ledger_lost, 1);
    }
}


void
ngx_http_track_ledger_spooled(ngx_http_track_worker_t *wk)
{
    if (wk->ledger->own.book) {
        wk->ledger->own.book->spooled = 1;
    }
}


/* Also if it is empty by the next tick: whoever had it before has not said
 * so. */

void
ngx_http_track_ledger_adopted(ngx_http_track_worker_t *wk,
    const u_char *edge)
{
    ngx_http_track_voice_t  *v;

    v = ngx_http_track_ledger_voice(wk, edge);

    if (v && !v->spooled) {
        v->spooled = 1;
        v->told = NGX_HTTP_TRACK_UNTOLD;
    }
}


ngx_uint_t
ngx_http_track_ledger_told(ngx_http_track_worker_t *wk,
    const ngx_http_track_holding_t *held)
{
    ngx_http_track_voice_t  *v;

    v = ngx_http_track_ledger_find(wk->ledger, held->edge);

    return v == NULL || v->told == ngx_http_track_ledger_state(held);
}
