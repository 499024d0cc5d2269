
/*
 * Requests that wait for their messages to be safe.
 *
 * A wait is memory of its own, not the request's: whichever comes first of
 * its outcome and the end of the request (a client that left) unties the
 * two.  Deadlines cost no timer each: waits with the same track_ack_timeout
 * stand in a queue, first come first due, and one timer runs for the heads of
 * all queues.  It is set to the earliest deadline when there is none earlier,
 * and finds nothing to do when that wait was answered in time.
 *
 * What a report or the spool makes possible is done in turns of the event
 * loop, a bounded number of waits each: at the start of an outage thousands
 * are due at once.
 */


#include "ngx_http_track.h"
#include "ngx_http_track_wait.h"


/* blocks for waits: of one event, and of a browser's batch */

#define NGX_HTTP_TRACK_WAIT_SMALL  4096
#define NGX_HTTP_TRACK_WAIT_SMALLS 1024
#define NGX_HTTP_TRACK_WAIT_LARGE  32768
#define NGX_HTTP_TRACK_WAIT_LARGES 128

#define NGX_HTTP_TRACK_WAIT_TURN   256  /* waits in a turn of the loop */
#define NGX_HTTP_TRACK_WAIT_PROBE  5000 /* ms between tries of direct mode */
#define NGX_HTTP_TRACK_WAIT_FLUSH  300  /* ms at exit, for Kafka */
#define NGX_HTTP_TRACK_WAIT_SPOOL  300  /* and for the spool */


static ngx_http_track_wait_t *ngx_http_track_wait_alloc(
    ngx_http_track_worker_t *wk, size_t size);
static void ngx_http_track_wait_copy(ngx_http_track_wait_t *w,
    ngx_http_track_message_t *messages, u_char *p);
static void ngx_http_track_wait_enter(ngx_http_track_wait_t *w);
static ngx_http_request_t *ngx_http_track_wait_untie(
    ngx_http_track_wait_t *w);
static void ngx_http_track_wait_cleanup(void *data);
static void ngx_http_track_wait_timer(ngx_http_track_worker_t *wk,
    ngx_msec_t deadline);
static void ngx_http_track_wait_timer_handler(ngx_event_t *ev);
static ngx_http_track_wait_t *ngx_http_track_wait_first(
    ngx_http_track_waits_t *ws);
static void ngx_http_track_wait_warm(ngx_queue_t *q);
static void ngx_http_track_wait_next_handler(ngx_event_t *ev);
static void ngx_http_track_wait_tell(ngx_http_track_wait_t *w,
    ngx_http_request_t *r, trk_error_code_t code);
static size_t ngx_http_track_wait_each(ngx_http_track_worker_t *wk,
    size_t (*visit)(ngx_http_track_wait_t *w));


ngx_int_t
ngx_http_track_wait_init(ngx_http_track_worker_t *wk)
{
    ngx_uint_t               i;
    ngx_http_track_waits_t  *ws;

    ws = ngx_pcalloc(wk->conf->cycle->pool, sizeof(ngx_http_track_waits_t));
    if (ws == NULL) {
        return NGX_ERROR;
    }

    ws->lanes = ngx_palloc(wk->conf->cycle->pool,
                           wk->conf->timeouts.nelts * sizeof(ngx_queue_t));
    if (ws->lanes == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < wk->conf->timeouts.nelts; i++) {
        ngx_queue_init(&ws->lanes[i]);
    }

    ngx_queue_init(&ws->patient);
    ngx_queue_init(&ws->turn);

    ws->blocks[0].size = NGX_HTTP_TRACK_WAIT_SMALL;
    ws->blocks[0].left = NGX_HTTP_TRACK_WAIT_SMALLS;
    ws->blocks[1].size = NGX_HTTP_TRACK_WAIT_LARGE;
    ws->blocks[1].left = NGX_HTTP_TRACK_WAIT_LARGES;

    for (i = 0; i < NGX_HTTP_TRACK_WAIT_SIZES; i++) {
        ngx_queue_init(&ws->blocks[i].free);
    }

    ws->max = ngx_max(wk->conf->cycle->connection_n / 2, 1);
    ws->delivered = ngx_current_msec;

    ws->timer.handler = ngx_http_track_wait_timer_handler;
    ws->timer.data = &ngx_http_track_dumb;
    ws->timer.log = wk->log;
    ws->timer.cancelable = 1;

    ws->next.handler = ngx_http_track_wait_next_handler;
    ws->next.data = &ngx_http_track_dumb;
    ws->next.log = wk->log;

    wk->waits = ws;

    return NGX_OK;
}


/* The queue for waits of that timeout; at configuration time. */

ngx_int_t
ngx_http_track_wait_lane(ngx_http_track_main_conf_t *tmcf,
    ngx_msec_t timeout, ngx_uint_t *lane)
{
    ngx_uint_t   i;
    ngx_msec_t  *known;

    known = tmcf->timeouts.elts;

    for (i = 0; i < tmcf->timeouts.nelts; i++) {
        if (known[i] == timeout) {
            *lane = i;
            return NGX_OK;
        }
    }

    known = ngx_array_push(&tmcf->timeouts);
    if (known == NULL) {
        return NGX_ERROR;
    }

    *known = timeout;
    *lane = i;

    return NGX_OK;
}


ngx_http_track_wait_t *
ngx_http_track_wait_create(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, size_t n, ngx_http_track_answer_t *answer)
{
    size_t                  head;
    ngx_http_track_wait_t  *w;

    /* messages, their addresses for the spool, their bytes */

    head = sizeof(ngx_http_track_wait_t)
           + n * (sizeof(ngx_http_track_message_t)
                  + sizeof(ngx_http_track_message_t *));

    w = ngx_http_track_wait_alloc(wk, head + wk->records.n);
    if (w == NULL) {
        return NULL;
    }

    w->request = r;
    w->worker = wk;
    w->answer = *answer;
    w->n = n;
    w->unsafe = n;
    w->open = 1;
    w->batch.messages = (ngx_http_track_message_t **) &w->messages[n];

    ngx_http_track_wait_copy(w, wk->messages, (u_char *) w + head);

    return w;
}


/*
 * Most waits fit into one of the worker's blocks, of which the last one freed
 * is handed out first: malloc() would merge and split neighbours that are
 * long out of the cache.  When more wait than there are blocks, Kafka is
 * slow, and bytes count for more.
 */

static ngx_http_track_wait_t *
ngx_http_track_wait_alloc(ngx_http_track_worker_t *wk, size_t size)
{
    ngx_uint_t                i;
    ngx_queue_t              *q;
    ngx_http_track_wait_t    *w;
    ngx_http_track_blocks_t  *blocks;

    blocks = NULL;

    for (i = 0; i < NGX_HTTP_TRACK_WAIT_SIZES && blocks == NULL; i++) {
        if (size <= wk->waits->blocks[i].size) {
            blocks = &wk->waits->blocks[i];
        }
    }

    if (blocks && !ngx_queue_empty(&blocks->free)) {
        q = ngx_queue_head(&blocks->free);
        ngx_queue_remove(q);
        w = ngx_queue_data(q, ngx_http_track_wait_t, turn);

    } else if (blocks && blocks->left) {
        w = ngx_alloc(blocks->size, wk->log);
        blocks->left -= (w != NULL);

    } else {
        w = ngx_alloc(size, wk->log);
        blocks = NULL;
    }

    if (w) {
        ngx_memzero(w, sizeof(ngx_http_track_wait_t));
        w->blocks = blocks;
    }

    return w;
}


void
ngx_http_track_wait_free(ngx_http_track_wait_t *w)
{
    if (w->blocks) {
        ngx_queue_insert_head(&w->blocks->free, &w->turn);
        return;
    }

    ngx_free(w);
}


static void
ngx_http_track_wait_copy(ngx_http_track_wait_t *w,
    ngx_http_track_message_t *messages, u_char *p)
{
    size_t                     i;
    ngx_http_track_message_t  *m;

    ngx_memcpy(w->messages, messages,
               w->n * sizeof(ngx_http_track_message_t));
    ngx_memcpy(p, w->worker->records.p, w->worker->records.n);

    for (i = 0; i < w->n; i++) {
        m = &w->messages[i];

        m->key = p;
        m->value = p + m->key_len;
        m->handler = ngx_http_track_deliver_report;
        m->data = w;

        p = m->value + m->value_len;
    }
}


ngx_int_t
ngx_http_track_wait_park(ngx_http_track_wait_t *w)
{
    ngx_event_t            *rev;
    ngx_http_cleanup_t     *cln;
    ngx_http_request_t     *r;
    ngx_http_track_ctx_t   *ctx;

    w->worker->waits->parked++;
    ngx_http_track_wait_enter(w);

    /* runs when the request is terminated too, unlike a pool's */

    r = w->request;
    cln = ngx_http_cleanup_add(r, 0);

    if (cln == NULL) {
        w->request = NULL;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_track_wait_cleanup;
    cln->data = w;
    w->cleanup = cln;

    ctx = ngx_http_track_ctx(r);
    ctx->began = ngx_current_msec;

    /* a client that leaves is noticed; one that only closes its sending half
     * cannot be told from it */

    rev = r->connection->read;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);

    } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        (void) ngx_http_track_wait_untie(w);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DONE;
}


ngx_int_t
ngx_http_track_wait_hasty(ngx_http_track_wait_t *w)
{
    ngx_http_request_t       *r;
    ngx_http_track_ctx_t     *ctx;
    ngx_http_track_answer_t   answer;

    ngx_http_track_wait_enter(w);

    r = w->request;
    w->request = NULL;

    ctx = ngx_http_track_ctx(r);
    ctx->safe = 1;
    ctx->kept = 1;
    ctx->ack = NGX_HTTP_TRACK_ACK_NONE;

    ngx_http_track_count(w->worker, events_acked, w->n);
    ngx_http_track_count_ack(w->worker, NGX_HTTP_TRACK_ACK_NONE, 0);

    /* a 200 or 204 would say that they are safe */

    answer = w->answer;

    if (answer.status < NGX_HTTP_SPECIAL_RESPONSE) {
        answer.status = NGX_HTTP_ACCEPTED;
    }

    return ngx_http_track_send(r, &answer);
}


static void
ngx_http_track_wait_enter(ngx_http_track_wait_t *w)
{
    w->deadline = ngx_current_msec + w->timeout;

    ngx_queue_insert_tail(&w->worker->waits->lanes[w->lane], &w->queue);
    ngx_http_track_wait_timer(w->worker, w->deadline);
}


void
ngx_http_track_wait_again(ngx_http_track_wait_t *w)
{
    ngx_queue_remove(&w->queue);
    ngx_http_track_wait_enter(w);
}


void
ngx_http_track_wait_patiently(ngx_http_track_wait_t *w)
{
    ngx_queue_remove(&w->queue);
    ngx_queue_insert_tail(&w->worker->waits->patient, &w->queue);
}


void
ngx_http_track_wait_close(ngx_http_track_wait_t *w, trk_error_code_t code)
{
    ngx_http_request_t  *r;

    w->open = 0;
    ngx_queue_remove(&w->queue);

    if (w->ack != NGX_HTTP_TRACK_ACK_NONE) {
        w->worker->waits->parked--;

        if (w->worker->waits->parked == 0) {
            w->worker->waits->timer.cancelable = 1;
        }

        if (code == TRK_ERR_NONE) {
            ngx_http_track_count(w->worker, events_acked, w->n);
        } else {
            ngx_http_track_count(w->worker, events_failed, w->n);
        }
    }

    r = ngx_http_track_wait_untie(w);

    if (r) {
        ngx_http_track_wait_tell(w, r, code);
    }

    ngx_http_track_wait_settle(w);
}


void
ngx_http_track_wait_settle(ngx_http_track_wait_t *w)
{
    if (!w->open && w->held == 0 && !w->spooling && !w->queued) {
        ngx_http_track_wait_free(w);
    }
}


static void
ngx_http_track_wait_tell(ngx_http_track_wait_t *w, ngx_http_request_t *r,
    trk_error_code_t code)
{
    ngx_int_t              rc;
    ngx_connection_t      *c;
    ngx_http_track_ctx_t  *ctx;

    c = r->connection;
    ngx_http_set_log_request(c->log, r);

    ctx = ngx_http_track_ctx(r);
    ctx->ack_time = ngx_current_msec - ctx->began;

    if (code == TRK_ERR_NONE) {
        ctx->safe = 1;
        ctx->kept = 1;
        ctx->ack = w->spooled ? NGX_HTTP_TRACK_ACK_SPOOL
                              : NGX_HTTP_TRACK_ACK_KAFKA;

        ngx_http_track_count_ack(w->worker, ctx->ack, ctx->ack_time);
        rc = ngx_http_track_send(r, &w->answer);

    } else {
        rc = ngx_http_track_refuse(r, code, SIZE_MAX);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* Leaves r and w without each other.  Returns r, or NULL if it has gone. */

static ngx_http_request_t *
ngx_http_track_wait_untie(ngx_http_track_wait_t *w)
{
    ngx_http_request_t  *r;

    r = w->request;

    if (r) {
        w->cleanup->handler = NULL;
        w->cleanup = NULL;
        w->request = NULL;
    }

    return r;
}


/* The request ends before its answer: a client that left, an error of the
 * connection, worker_shutdown_timeout.  Its messages go on. */

static void
ngx_http_track_wait_cleanup(void *data)
{
    ngx_http_track_wait_t *w = data;

    ngx_http_track_count(w->worker, clients_gone, 1);

    (void) ngx_http_track_wait_untie(w);
}


void
ngx_http_track_wait_queue(ngx_http_track_wait_t *w)
{
    if (w->queued) {
        return;
    }

    /* its request was left alone for some milliseconds */

    __builtin_prefetch(w->request);

    w->queued = 1;
    ngx_queue_insert_tail(&w->worker->waits->turn, &w->turn);

    ngx_post_event(&w->worker->waits->next, &ngx_posted_events);
}


void
ngx_http_track_wait_finish(ngx_http_track_worker_t *wk)
{
    ngx_uint_t               n;
    ngx_queue_t             *q;
    ngx_http_track_wait_t   *w;
    ngx_http_track_waits_t  *ws;

    ws = wk->waits;

    for (n = 0; !ngx_queue_empty(&ws->turn); n++) {

        if (n == NGX_HTTP_TRACK_WAIT_TURN) {
            ngx_post_event(&ws->next, &ngx_posted_next_events);
            break;
        }

        q = ngx_queue_head(&ws->turn);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_http_track_wait_t, turn);
        w->queued = 0;

        if (!ngx_queue_empty(&ws->turn)) {
            ngx_http_track_wait_warm(ngx_queue_head(&ws->turn));
        }

        ngx_http_track_deliver_turn(w);
    }

    wk->slot->waiting = ws->parked;
}


/* Fetches what the next answer needs, while this one is made. */

static void
ngx_http_track_wait_warm(ngx_queue_t *q)
{
    ngx_http_request_t     *r;
    ngx_http_track_wait_t  *w;

    w = ngx_queue_data(q, ngx_http_track_wait_t, turn);
    r = w->request;

    if (r) {
        __builtin_prefetch(r->connection);
        __builtin_prefetch(r->connection->write);
        __builtin_prefetch(r->pool);
    }
}


static void
ngx_http_track_wait_next_handler(ngx_event_t *ev)
{
    ngx_http_track_wait_finish(ngx_http_track_worker);
}


/* Sets the one timer, unless it comes earlier.  Not cancelable: the worker
 * must not exit under the request. */

static void
ngx_http_track_wait_timer(ngx_http_track_worker_t *wk, ngx_msec_t deadline)
{
    ngx_msec_int_t           left;
    ngx_http_track_waits_t  *ws;

    ws = wk->waits;
    ws->timer.cancelable = (ws->parked == 0 || ws->let_go);

    if (ws->timer.timer_set
        && (ngx_msec_int_t) (deadline - ws->timer.timer.key) >= 0)
    {
        return;
    }

    left = (ngx_msec_int_t) (deadline - ngx_current_msec);

    ngx_add_timer(&ws->timer, (ngx_msec_t) ngx_max(left, 1));
}


static void
ngx_http_track_wait_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                n;
    ngx_http_track_wait_t    *w;
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    for (n = 0; n < NGX_HTTP_TRACK_WAIT_TURN; n++) {
        w = ngx_http_track_wait_first(wk->waits);

        if (w == NULL
            || (ngx_msec_int_t) (w->deadline - ngx_current_msec) > 0)
        {
            break;
        }

        ngx_http_track_deliver_timeout(w);
    }

    wk->slot->waiting = wk->waits->parked;
    wk->waits->timer.cancelable = (wk->waits->parked == 0);

    w = ngx_http_track_wait_first(wk->waits);

    if (w) {
        ngx_http_track_wait_timer(wk, w->deadline);
    }
}


/* The wait that is due first. */

static ngx_http_track_wait_t *
ngx_http_track_wait_first(ngx_http_track_waits_t *ws)
{
    ngx_uint_t              i;
    ngx_queue_t            *q;
    ngx_http_track_wait_t  *w, *first;

    first = NULL;

    for (i = 0; i < ngx_http_track_worker->conf->timeouts.nelts; i++) {

        if (ngx_queue_empty(&ws->lanes[i])) {
            continue;
        }

        q = ngx_queue_head(&ws->lanes[i]);
        w = ngx_queue_data(q, ngx_http_track_wait_t, queue);

        if (first == NULL
            || (ngx_msec_int_t) (w->deadline - first->deadline) < 0)
        {
            first = w;
        }
    }

    return first;
}


void
ngx_http_track_wait_delivered(ngx_http_track_worker_t *wk)
{
    ngx_http_track_waits_t  *ws;

    ws = wk->waits;
    ws->delivered = ngx_current_msec;

    if (ws->direct) {
        ws->direct = 0;
        wk->slot->direct = 0;

        ngx_log_error(NGX_LOG_NOTICE, wk->log, 0,
                      "track: Kafka takes events again");
    }
}


ngx_uint_t
ngx_http_track_wait_probe(ngx_http_track_worker_t *wk)
{
    ngx_http_track_waits_t  *ws;

    ws = wk->waits;

    if (!ws->direct
        || ngx_current_msec - ws->probed < NGX_HTTP_TRACK_WAIT_PROBE)
    {
        return 0;
    }

    ws->probed = ngx_current_msec;

    return 1;
}


void
ngx_http_track_wait_direct(ngx_http_track_worker_t *wk)
{
    wk->waits->direct = 1;
    wk->waits->probed = ngx_current_msec;
    wk->slot->direct = 1;

    ngx_http_track_count(wk, direct_switches, 1);

    ngx_log_error(NGX_LOG_WARN, wk->log, 0,
                  "track: Kafka does not answer, events go to the spool");
}


ngx_uint_t
ngx_http_track_wait_hopeless(ngx_http_track_worker_t *wk)
{
    return wk->waits->direct && ngx_queue_empty(&wk->waits->patient)
           && ngx_http_track_wait_first(wk->waits) == NULL;
}


void
ngx_http_track_wait_let_go(ngx_http_track_worker_t *wk)
{
    wk->waits->let_go = 1;
    wk->waits->timer.cancelable = 1;
}


/*
 * The requests end unanswered, so what is not safe was not promised, but for
 * track_ack none.  The spool takes it all the same, if it can.
 */

void
ngx_http_track_wait_exit(ngx_http_track_worker_t *wk)
{
    size_t  n;

    if (!wk->waits->direct) {
        ngx_http_track_kafka_flush(wk, ngx_terminate
                                       ? NGX_HTTP_TRACK_WAIT_FLUSH : 0);
    }

    if (wk->spool) {
        (void) ngx_http_track_wait_each(wk, ngx_http_track_deliver_save);
        ngx_http_track_spool_flush(wk, NGX_HTTP_TRACK_WAIT_SPOOL);
    }

    n = ngx_http_track_wait_each(wk, ngx_http_track_deliver_give_up);

    if (n) {
        ngx_log_error(NGX_LOG_WARN, wk->log, 0,
                      "track: %uz events are in neither Kafka nor the spool; "
                      "only track_ack none has acknowledged such", n);
    }
}


/* Of all open waits. */

static size_t
ngx_http_track_wait_each(ngx_http_track_worker_t *wk,
    size_t (*visit)(ngx_http_track_wait_t *w))
{
    size_t        n;
    ngx_uint_t    i;
    ngx_queue_t  *lane, *q;

    n = 0;

    for (i = 0; i <= wk->conf->timeouts.nelts; i++) {
        lane = i < wk->conf->timeouts.nelts ? &wk->waits->lanes[i]
                                            : &wk->waits->patient;

        for (q = ngx_queue_head(lane); q != ngx_queue_sentinel(lane);
             q = ngx_queue_next(q))
        {
            n += visit(ngx_queue_data(q, ngx_http_track_wait_t, queue));
        }
    }

    return n;
}
