
/*
 * How the messages of a request become safe: which way they go, and what
 * their reports mean for the answer.
 *
 *   track_ack kafka   producer; what it does not report in time, or reports
 *                     as failed, goes to the spool
 *   track_ack spool   producer and spool at the same time; the spool's sync
 *                     is what the answer waits for
 *   track_ack none    producer, answered at once; what fails or is late goes
 *                     to the spool; what fails there, too, is lost, and the
 *                     ledger says so
 *
 * Where there is a spool, and Kafka has not been heard of for a whole
 * track_ack_timeout, or too many requests wait, all goes to the spool alone:
 * its drain will find out when Kafka is back.
 *
 * What Kafka has is never spooled.  What is spooled while the producer holds
 * it is left alone by the drain until its report decides.
 */


#include "ngx_http_track.h"
#include "ngx_http_track_wait.h"


/* what is on its way from judge to wait */

typedef struct {
    ngx_http_request_t          *request;
    ngx_http_track_worker_t     *worker;
    ngx_http_track_loc_conf_t   *conf;
    ngx_http_track_answer_t     *answer;        /* if all of it is safe */
    size_t                       n;             /* messages, of which */
    size_t                       rejected;      /* of rejected events */
    uint64_t                     seq;           /* of the first */
} ngx_http_track_delivery_t;


static ngx_int_t ngx_http_track_deliver_number(
    ngx_http_track_delivery_t *d);
static ngx_int_t ngx_http_track_deliver_go(ngx_http_track_delivery_t *d,
    ngx_int_t rc);
static ngx_http_track_wait_t *ngx_http_track_deliver_wait(
    ngx_http_track_delivery_t *d);
static ngx_int_t ngx_http_track_deliver_hand_over(ngx_http_track_wait_t *w);
static ngx_int_t ngx_http_track_deliver_spool(ngx_http_track_wait_t *w,
    ngx_uint_t held);
static void ngx_http_track_deliver_spooled(
    ngx_http_track_spool_batch_t *batch, ngx_uint_t ok);
static void ngx_http_track_deliver_close(ngx_http_track_wait_t *w,
    ngx_http_track_message_t *m, ngx_http_track_close_e how);
static ngx_uint_t ngx_http_track_deliver_stranded(ngx_http_track_wait_t *w);
static void ngx_http_track_deliver_late(ngx_http_track_wait_t *w,
    char *who);
static void ngx_http_track_deliver_fail(ngx_http_track_wait_t *w,
    trk_error_code_t code);


#define ngx_http_track_deliver_is_safe(m)  ((m)->delivered || (m)->spooled)


ngx_int_t
ngx_http_track_deliver(ngx_http_request_t *r, ngx_http_track_worker_t *wk,
    ngx_http_track_loc_conf_t *tlcf, ngx_http_track_answer_t *answer)
{
    ngx_http_track_delivery_t  d;

    d.request = r;
    d.worker = wk;
    d.conf = tlcf;
    d.answer = answer;
    d.n = ngx_http_track_event_count(wk, tlcf, &d.rejected);

    if (d.n == 0) {
        ngx_http_track_event_show(r, wk, NULL, SIZE_MAX);
        ngx_http_track_ctx(r)->safe = 1;
        return ngx_http_track_send(r, answer);
    }

    if (ngx_http_track_deliver_number(&d) != NGX_OK) {
        return ngx_http_track_refuse(r, TRK_ERR_UNAVAILABLE, SIZE_MAX);
    }

    return ngx_http_track_deliver_go(&d,
                      ngx_http_track_event_records(r, wk, tlcf, d.seq));
}


ngx_int_t
ngx_http_track_deliver_body(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf,
    ngx_http_track_body_t *body, size_t offset)
{
    ngx_http_track_answer_t    answer;
    ngx_http_track_delivery_t  d;

    if (trk_error_status(body->code) != NGX_HTTP_BAD_REQUEST) {
        return ngx_http_track_refuse(r, body->code, offset);
    }

    if (tlcf->rejected_index == NGX_HTTP_TRACK_NOWHERE) {
        ngx_http_track_event_show(r, wk, body, offset);
        return ngx_http_track_refuse(r, body->code, offset);
    }

    if (ngx_http_track_refusal(r, body->code, offset, &answer) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    d.request = r;
    d.worker = wk;
    d.conf = tlcf;
    d.answer = &answer;
    d.n = 1;
    d.rejected = 1;

    if (ngx_http_track_deliver_number(&d) != NGX_OK) {
        return ngx_http_track_refuse(r, TRK_ERR_UNAVAILABLE, SIZE_MAX);
    }

    return ngx_http_track_deliver_go(&d,
           ngx_http_track_event_body(r, wk, tlcf, body, offset, d.seq));
}


static ngx_int_t
ngx_http_track_deliver_number(ngx_http_track_delivery_t *d)
{
    d->seq = ngx_http_track_ledger_open(d->worker, d->n, d->rejected,
                                 d->conf->ack == NGX_HTTP_TRACK_ACK_NONE);

    return d->seq ? NGX_OK : NGX_DECLINED;
}


/* rc: of writing the records.  Returns what finalizes the request. */

static ngx_int_t
ngx_http_track_deliver_go(ngx_http_track_delivery_t *d, ngx_int_t rc)
{
    ngx_http_track_wait_t  *w;

    if (rc == NGX_OK) {
        w = ngx_http_track_deliver_wait(d);

        if (w == NULL) {
            rc = NGX_ERROR;

        } else if (ngx_http_track_deliver_hand_over(w) == NGX_OK) {
            return w->ack == NGX_HTTP_TRACK_ACK_NONE
                   ? ngx_http_track_wait_hasty(w)
                   : ngx_http_track_wait_park(w);

        } else {
            ngx_http_track_wait_free(w);
            rc = NGX_BUSY;
        }
    }

    /* nothing carries these numbers */

    ngx_http_track_ledger_undo(d->worker, d->seq, d->n);

    switch (rc) {

    case NGX_BUSY:
        ngx_http_track_count(d->worker, events_failed, d->n);
        return ngx_http_track_refuse(d->request, TRK_ERR_UNAVAILABLE,
                                     SIZE_MAX);

    case NGX_DECLINED:
        return ngx_http_track_refuse(d->request, TRK_ERR_REQUEST_TOO_LARGE,
                                     SIZE_MAX);

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


static ngx_http_track_wait_t *
ngx_http_track_deliver_wait(ngx_http_track_delivery_t *d)
{
    ngx_http_track_wait_t  *w;

    w = ngx_http_track_wait_create(d->request, d->worker, d->n, d->answer);

    if (w) {
        w->ack = d->conf->ack;
        w->lane = d->conf->lane;
        w->timeout = d->conf->ack_timeout;
        w->batch.handler = ngx_http_track_deliver_spooled;
        w->batch.data = w;
    }

    return w;
}


/* To producer, spool, or both, in this order: the drain must know what the
 * producer holds.  NGX_DECLINED: neither takes it. */

static ngx_int_t
ngx_http_track_deliver_hand_over(ngx_http_track_wait_t *w)
{
    ngx_int_t                 rc;
    ngx_uint_t                direct;
    ngx_http_track_waits_t   *ws;
    ngx_http_track_worker_t  *wk;

    wk = w->worker;
    ws = wk->waits;
    rc = NGX_DECLINED;

    direct = wk->spool && (ws->direct || ws->parked >= ws->max);

    if (!direct || ngx_http_track_wait_probe(wk)) {
        rc = ngx_http_track_kafka_produce(wk, w->messages, w->n);

        if (rc == NGX_OK) {
            w->held = w->n;
        }
    }

    if (rc == NGX_OK && !direct && w->ack != NGX_HTTP_TRACK_ACK_SPOOL) {
        return NGX_OK;
    }

    if (ngx_http_track_deliver_spool(w, 1) == NGX_OK) {
        w->late = (rc != NGX_OK);
        return NGX_OK;
    }

    /* what the spool cannot take now Kafka may */

    return rc;
}


/* Hands to the spool what is not safe; held: also what the producer holds.
 * NGX_OK: or there is no such thing; NGX_DECLINED. */

static ngx_int_t
ngx_http_track_deliver_spool(ngx_http_track_wait_t *w, ngx_uint_t held)
{
    size_t                     i;
    ngx_uint_t                 muted;
    ngx_http_track_message_t  *m;

    if (w->worker->spool == NULL) {
        return NGX_DECLINED;
    }

    w->batch.n = 0;

    for (i = 0; i < w->n; i++) {
        m = &w->messages[i];

        if (!ngx_http_track_deliver_is_safe(m) && (held || !m->held)) {
            w->batch.messages[w->batch.n++] = m;
        }
    }

    if (w->batch.n == 0) {
        return NGX_OK;
    }

    if (ngx_http_track_spool_append(w->worker, &w->batch) != NGX_OK) {

        if (ngx_http_track_unmute(&w->worker->waits->mute_spool, &muted)) {
            ngx_log_error(NGX_LOG_ERR, w->worker->log, 0,
                          "track: the spool takes no more events, see its "
                          "own lines; they are answered with 503 (%ui more of "
                          "this line)", muted);
        }

        return NGX_DECLINED;
    }

    w->spooling = 1;

    return NGX_OK;
}


static void
ngx_http_track_deliver_spooled(ngx_http_track_spool_batch_t *batch,
    ngx_uint_t ok)
{
    size_t                     i;
    ngx_http_track_wait_t     *w;
    ngx_http_track_message_t  *m;

    w = batch->data;
    w->spooling = 0;

    for (i = 0; i < batch->n; i++) {
        m = batch->messages[i];

        if (!ok) {
            m->place.segment = NULL;
            continue;
        }

        m->spooled = 1;

        if (!m->delivered) {
            w->unsafe--;
            ngx_http_track_deliver_close(w, m, NGX_HTTP_TRACK_SAFE);
        }
    }

    if (ok) {
        w->spooled = 1;

    } else {
        w->broken = 1;
    }

    ngx_http_track_wait_queue(w);
}


void
ngx_http_track_deliver_report(ngx_http_track_message_t *m,
    ngx_http_track_outcome_e outcome)
{
    ngx_http_track_wait_t    *w;
    ngx_http_track_worker_t  *wk;

    w = m->data;
    wk = w->worker;

    w->held--;

    if (!w->open) {
        ngx_http_track_count(wk, late_reports, 1);
    }

    if (outcome == NGX_HTTP_TRACK_DELIVERED) {

        if (m->place.segment) {
            ngx_http_track_spool_done(wk, m);
        }

        if (!m->spooled) {
            w->unsafe--;
            ngx_http_track_deliver_close(w, m, NGX_HTTP_TRACK_SAFE);
        }

    } else if (m->place.segment) {
        ngx_http_track_spool_release(wk, m);

    } else {
        w->failed = 1;
        w->too_large |= m->too_large;
    }

    if (w->unsafe == 0 || w->failed || w->held == 0) {
        ngx_http_track_wait_queue(w);
    }
}


void
ngx_http_track_deliver_turn(ngx_http_track_wait_t *w)
{
    if (!w->open) {
        ngx_http_track_wait_settle(w);
        return;
    }

    if (w->ack == NGX_HTTP_TRACK_ACK_SPOOL && w->spooling) {
        return;
    }

    if (w->unsafe == 0) {
        ngx_http_track_wait_close(w, TRK_ERR_NONE);
        return;
    }

    if (w->too_large && w->ack != NGX_HTTP_TRACK_ACK_NONE) {
        ngx_http_track_deliver_fail(w, TRK_ERR_REQUEST_TOO_LARGE);
        return;
    }

    if (w->spooling) {
        return;
    }

    if (w->broken
        && (w->late || ngx_http_track_deliver_stranded(w))
        && (w->ack != NGX_HTTP_TRACK_ACK_NONE || w->held == 0))
    {
        ngx_http_track_deliver_fail(w, TRK_ERR_UNAVAILABLE);
        return;
    }

    w->broken = 0;

    if (!w->failed && w->held) {
        return;
    }

    w->failed = 0;

    if (ngx_http_track_deliver_spool(w, 0) == NGX_OK) {
        ngx_http_track_wait_again(w);
        return;
    }

    /* where nobody waits, the others still have their chance */

    if (w->ack != NGX_HTTP_TRACK_ACK_NONE || w->held == 0) {
        ngx_http_track_deliver_fail(w, TRK_ERR_UNAVAILABLE);
    }
}


/* Whether nobody has some of it any more. */

static ngx_uint_t
ngx_http_track_deliver_stranded(ngx_http_track_wait_t *w)
{
    size_t                     i;
    ngx_http_track_message_t  *m;

    for (i = 0; i < w->n; i++) {
        m = &w->messages[i];

        if (!ngx_http_track_deliver_is_safe(m) && !m->held) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_track_deliver_timeout(ngx_http_track_wait_t *w)
{
    ngx_http_track_waits_t  *ws;

    ws = w->worker->waits;

    /* it waits for its turn, or for a spool that hangs: Kafka has it all */

    if (w->unsafe == 0) {
        ngx_http_track_wait_close(w, TRK_ERR_NONE);
        return;
    }

    if (w->worker->spool && !w->spooling) {

        if (!ws->direct
            && (ngx_msec_int_t) (ws->delivered - (w->deadline - w->timeout))
               < 0)
        {
            ngx_http_track_wait_direct(w->worker);
        }

        if (ngx_http_track_deliver_spool(w, 1) == NGX_OK) {
            ngx_http_track_deliver_late(w, "Kafka");
            ngx_http_track_wait_again(w);
            return;
        }
    }

    /* nobody waits for it, and somebody has it still */

    if (w->ack == NGX_HTTP_TRACK_ACK_NONE
        && (w->spooling || !ngx_http_track_deliver_stranded(w)))
    {
        ngx_http_track_wait_patiently(w);
        return;
    }

    ngx_http_track_deliver_late(w, w->spooling ? "the spool" : "Kafka");
    ngx_http_track_deliver_fail(w, TRK_ERR_UNAVAILABLE);
}


static void
ngx_http_track_deliver_late(ngx_http_track_wait_t *w, char *who)
{
    ngx_uint_t  muted;

    w->late = 1;

    ngx_http_track_count(w->worker, ack_timeouts, 1);

    if (ngx_http_track_unmute(&w->worker->waits->mute_timeout, &muted)) {
        ngx_log_error(NGX_LOG_WARN, w->worker->log, 0,
                      "track: %s has not confirmed %uz events within "
                      "track_ack_timeout (%ui more of this line)", who,
                      w->unsafe, muted);
    }
}


static void
ngx_http_track_deliver_fail(ngx_http_track_wait_t *w, trk_error_code_t code)
{
    (void) ngx_http_track_deliver_give_up(w);

    ngx_http_track_wait_close(w, code);
}


size_t
ngx_http_track_deliver_give_up(ngx_http_track_wait_t *w)
{
    size_t                     i;
    ngx_http_track_close_e     how;
    ngx_http_track_message_t  *m;

    how = w->ack == NGX_HTTP_TRACK_ACK_NONE ? NGX_HTTP_TRACK_LOST
                                            : NGX_HTTP_TRACK_VOID;

    for (i = 0; i < w->n; i++) {
        m = &w->messages[i];

        if (!ngx_http_track_deliver_is_safe(m)) {
            ngx_http_track_deliver_close(w, m, how);
        }
    }

    return w->unsafe;
}


size_t
ngx_http_track_deliver_save(ngx_http_track_wait_t *w)
{
    if (w->unsafe && !w->spooling) {
        (void) ngx_http_track_deliver_spool(w, 1);
    }

    return 0;
}


static void
ngx_http_track_deliver_close(ngx_http_track_wait_t *w,
    ngx_http_track_message_t *m, ngx_http_track_close_e how)
{
    if (w->open) {
        ngx_http_track_ledger_close(w->worker, m->seq, how);
    }
}
