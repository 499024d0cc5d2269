
/*
 * Beats: what the books and spools that this process keeps say, sent to the
 * ledger's topic until it was delivered.  Runs in the event loop.
 *
 * A voice has one beat on its way at a time.  One that fails is made anew at
 * the next tick, of what is known then: it begins where the last delivered
 * one ended.
 */


#include "ngx_http_track.h"


/* a reader takes an edge for dead that is silent for a minute */
#define NGX_HTTP_TRACK_BEAT_IDLE   20000
#define NGX_HTTP_TRACK_BEAT_SPOOL                                             \
    ((NGX_HTTP_TRACK_BEAT_PARTS - 1) * TRK_BEAT_SPANS)
#define NGX_HTTP_TRACK_BEAT_KEEP   4096


static ngx_uint_t ngx_http_track_beat_due(ngx_http_track_voice_t *v,
    ngx_uint_t state);
static void ngx_http_track_beat_make(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v, const ngx_http_track_holding_t *held,
    trk_beat_t *beat);
static size_t ngx_http_track_beat_ranges(const trk_seqset_t *set,
    trk_span_t *spans);
static ngx_uint_t ngx_http_track_beat_write(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v, trk_beat_t *beat);
static void ngx_http_track_beat_report(ngx_http_track_message_t *m,
    ngx_http_track_outcome_e outcome);


ngx_int_t
ngx_http_track_beat_init(ngx_http_track_worker_t *wk)
{
    ngx_http_track_ledger_t  *l;

    l = wk->ledger;

    l->spans = ngx_alloc((2 * NGX_HTTP_TRACK_BOOK_SPANS
                          + NGX_HTTP_TRACK_BEAT_SPOOL) * sizeof(trk_span_t),
                         wk->log);
    if (l->spans == NULL) {
        return NGX_ERROR;
    }

    if (gethostname((char *) l->host, TRK_BEAT_HOST) == -1) {
        ngx_log_error(NGX_LOG_EMERG, wk->log, ngx_errno,
                      "gethostname() failed");
        return NGX_ERROR;
    }

    l->host[TRK_BEAT_HOST - 1] = '\0';
    l->host_len = ngx_strlen(l->host);

    return NGX_OK;
}


ngx_int_t
ngx_http_track_beat_room(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v)
{
    v->messages = ngx_calloc(NGX_HTTP_TRACK_BEAT_PARTS
                             * sizeof(ngx_http_track_message_t), wk->log);

    trk_buf_init(&v->text, NGX_HTTP_TRACK_BEAT_PARTS * TRK_BEAT_MAX);

    return v->messages ? NGX_OK : NGX_ERROR;
}


void
ngx_http_track_beat(ngx_http_track_worker_t *wk, ngx_http_track_voice_t *v,
    const ngx_http_track_holding_t *held)
{
    trk_beat_t  beat;
    ngx_uint_t  n, state;

    state = held ? ngx_http_track_ledger_state(held) : 0;

    if (v->pending || !ngx_http_track_beat_due(v, state)) {
        return;
    }

    ngx_http_track_beat_make(wk, v, held, &beat);

    n = ngx_http_track_beat_write(wk, v, &beat);

    if (n == 0
        || ngx_http_track_kafka_produce(wk, v->messages, n) != NGX_OK)
    {
        return;     /* the next tick tries again */
    }

    v->pending = n;
    v->failed = 0;
    v->telling = state;
    v->ending = beat.end;
    v->upto = beat.upto;
    v->next = ngx_current_msec + NGX_HTTP_TRACK_BEAT_IDLE;
}


static ngx_uint_t
ngx_http_track_beat_due(ngx_http_track_voice_t *v, ngx_uint_t state)
{
    trk_book_t  *book;

    if (state != v->told) {
        return 1;
    }

    if (v->book) {
        book = &v->book->book;

        if (v->ended || book->upto > book->told) {
            return 1;
        }

        if (book->opened == 0) {
            return 0;
        }
    }

    return (v->book || state) && (ngx_msec_int_t) (v->next - ngx_current_msec)
                                 <= 0;
}


static void
ngx_http_track_beat_make(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v, const ngx_http_track_holding_t *held,
    trk_beat_t *beat)
{
    ngx_time_t               *tp;
    trk_book_t               *book;
    trk_span_t               *spans;
    ngx_http_track_ledger_t  *l;

    l = wk->ledger;
    tp = ngx_timeofday();
    spans = l->spans;

    ngx_memzero(beat, sizeof(trk_beat_t));

    beat->edge = trk_str_of(v->edge, NGX_HTTP_TRACK_EDGE_LEN);
    beat->host = trk_str_of(l->host, l->host_len);
    beat->at = (int64_t) tp->sec * 1000 + tp->msec;

    v->n = ngx_max((uint64_t) beat->at, v->n + 1);

    if (v->book) {
        book = &v->book->book;
        v->n = trk_book_number(book, v->n);

        beat->has_book = 1;
        beat->worker = v->book->worker;
        beat->started_at = (int64_t) v->book->started;
        beat->from = book->told;
        beat->upto = book->upto;
        beat->rejected = book->rejected;
        beat->accepted = book->opened - book->rejected;
        beat->end = (int) v->ended;

        beat->voids.spans = spans;
        beat->voids.n = trk_book_void(book, spans);
        spans += beat->voids.n;

        beat->losts.spans = spans;
        beat->losts.n = trk_book_lost(book, spans);
        spans += beat->losts.n;

        ngx_http_track_count(wk, ledger_merged, book->merged - v->merged);
        v->merged = book->merged;
    }

    beat->n = v->n;
    beat->has_spool = (int) v->spooled;

    if (held) {
        beat->spool.spans = spans;
        beat->spool.n = ngx_http_track_beat_ranges(&held->held, spans);
    }
}


/* The last range takes what there is no room for: a reader then finds it in
 * the spool rather than missing. */

static size_t
ngx_http_track_beat_ranges(const trk_seqset_t *set, trk_span_t *spans)
{
    size_t    n;
    uint64_t  from;

    from = 1;

    for (n = 0; n < NGX_HTTP_TRACK_BEAT_SPOOL; n++) {
        if (!trk_seqset_next(set, from, &spans[n].first, &spans[n].last)) {
            return n;
        }

        from = spans[n].last + 1;
    }

    if (trk_seqset_next(set, from, &from, &spans[n - 1].last)) {
        spans[n - 1].last = (set->base + set->npages)
                            * sizeof(set->pages[0]->bits) * 8;
    }

    return n;
}


/* Returns the number of messages; 0: no memory. */

static ngx_uint_t
ngx_http_track_beat_write(ngx_http_track_worker_t *wk,
    ngx_http_track_voice_t *v, trk_beat_t *beat)
{
    u_char                    *p;
    size_t                     i, n, start;
    ngx_http_track_message_t  *m;

    n = trk_beat_parts(beat);

    trk_buf_reset(&v->text, NGX_HTTP_TRACK_BEAT_KEEP);

    for (i = 0; i < n; i++) {
        start = v->text.n;
        trk_beat_write(&v->text, beat, i);
        v->messages[i].value_len = v->text.n - start;
    }

    if (v->text.failed) {
        return 0;
    }

    p = v->text.p;

    for (i = 0; i < n; i++) {
        m = &v->messages[i];

        m->key = v->edge;
        m->key_len = NGX_HTTP_TRACK_EDGE_LEN;
        m->value = p;
        m->topic = wk->conf->ledger_topic;
        m->handler = ngx_http_track_beat_report;
        m->data = v;

        p += m->value_len;
    }

    return n;
}


/* What failed has been logged by the producer. */

static void
ngx_http_track_beat_report(ngx_http_track_message_t *m,
    ngx_http_track_outcome_e outcome)
{
    trk_book_t              *book;
    ngx_http_track_voice_t  *v;

    v = m->data;

    if (outcome != NGX_HTTP_TRACK_DELIVERED) {
        v->failed++;
    }

    if (--v->pending > 0 || v->failed > 0) {
        return;
    }

    ngx_http_track_count(ngx_http_track_worker, ledger_beats, 1);

    v->told = v->telling;

    if (v->book == NULL) {
        return;
    }

    book = &v->book->book;
    trk_book_tell(book, v->upto);

    if (v->ending) {
        ngx_http_track_ledger_closed(v);
    }
}
