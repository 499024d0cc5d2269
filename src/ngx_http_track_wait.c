
/*
 * A request that waits for the delivery reports of its events.
 *
 * The wait is memory of its own, not the request's: whichever comes first of
 * all reports, the timeout, and the end of the request (a client that left)
 * unties the two.  A wait lives until its last report, since the producer
 * holds its address; an untied one only counts.  There are never more of
 * them than events in the producer's queue, which is bounded.
 */


#include "ngx_http_track.h"


struct ngx_http_track_wait_s {
    ngx_http_request_t          *request;       /* NULL: untied */
    ngx_http_cleanup_t          *cleanup;
    ngx_http_track_worker_t     *worker;

    /* ident must be after 3 pointers: the debug log of timers takes it for
     * a connection's descriptor */
    ngx_socket_t                 ident;

    ngx_event_t                  timer;
    ngx_queue_t                  queue;         /* in worker's settled */
    ngx_uint_t                   pending;       /* reports to come */
    ngx_uint_t                   failed;
    ngx_http_track_answer_t      answer;        /* in the request's pool */
};


static ngx_http_request_t *ngx_http_track_wait_untie(
    ngx_http_track_wait_t *w);
static void ngx_http_track_wait_cleanup(void *data);
static void ngx_http_track_wait_timeout_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_track_wait_answer(ngx_http_request_t *r,
    ngx_http_track_wait_t *w);
static void ngx_http_track_wait_resume(ngx_http_request_t *r, ngx_int_t rc);


ngx_http_track_wait_t *
ngx_http_track_wait_create(ngx_http_request_t *r,
    ngx_http_track_answer_t *answer)
{
    ngx_http_cleanup_t     *cln;
    ngx_http_track_wait_t  *w;

    w = ngx_calloc(sizeof(ngx_http_track_wait_t), r->connection->log);
    if (w == NULL) {
        return NULL;
    }

    /* runs when the request is terminated too, unlike a pool's */

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        ngx_free(w);
        return NULL;
    }

    cln->handler = ngx_http_track_wait_cleanup;
    cln->data = w;

    w->request = r;
    w->cleanup = cln;
    w->worker = ngx_http_track_worker;
    w->ident = (ngx_socket_t) -1;
    w->answer = *answer;

    return w;
}


void
ngx_http_track_wait_cancel(ngx_http_track_wait_t *w)
{
    (void) ngx_http_track_wait_untie(w);
    ngx_free(w);
}


ngx_int_t
ngx_http_track_wait_start(ngx_http_track_wait_t *w, ngx_uint_t pending,
    ngx_uint_t failed, ngx_msec_t timeout)
{
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    w->pending = pending;
    w->failed = failed;

    if (failed) {

        /* one is lost, so is the answer; the others only count */

        r = ngx_http_track_wait_untie(w);

        if (pending == 0) {
            ngx_free(w);
        }

        return ngx_http_track_refuse(r, TRK_ERR_UNAVAILABLE, SIZE_MAX);
    }

    /* not cancelable: the worker must not exit under the request */

    w->timer.handler = ngx_http_track_wait_timeout_handler;
    w->timer.data = w;
    w->timer.log = w->worker->log;

    ngx_add_timer(&w->timer, timeout);

    /* a client that leaves is noticed; one that only closes its sending half
     * cannot be told from it */

    r = w->request;
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


void
ngx_http_track_wait_report(ngx_http_track_wait_t *w, ngx_uint_t ok)
{
    w->pending--;

    if (!ok) {
        w->failed++;
    }

    if (w->request == NULL) {
        ngx_http_track_count(w->worker, late_reports, 1);
    }

    if (w->pending) {
        return;
    }

    if (w->request == NULL) {
        ngx_free(w);
        return;
    }

    ngx_queue_insert_tail(&w->worker->settled, &w->queue);
}


void
ngx_http_track_wait_finish(ngx_http_track_worker_t *wk)
{
    ngx_queue_t            *q;
    ngx_http_request_t     *r;
    ngx_http_track_wait_t  *w;

    while (!ngx_queue_empty(&wk->settled)) {

        q = ngx_queue_head(&wk->settled);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_http_track_wait_t, queue);
        r = ngx_http_track_wait_untie(w);

        if (r) {
            ngx_http_track_wait_resume(r, ngx_http_track_wait_answer(r, w));
        }

        ngx_free(w);
    }
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

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }

    return r;
}


/* The request ends before its answer: a client that left, an error of the
 * connection, worker_shutdown_timeout.  Its events go on to Kafka. */

static void
ngx_http_track_wait_cleanup(void *data)
{
    ngx_http_track_wait_t *w = data;

    ngx_http_track_count(w->worker, clients_gone, 1);

    (void) ngx_http_track_wait_untie(w);

    /* a settled one is freed where it is queued */
}


static void
ngx_http_track_wait_timeout_handler(ngx_event_t *ev)
{
    ngx_http_request_t     *r;
    ngx_http_track_wait_t  *w;

    w = ev->data;
    r = ngx_http_track_wait_untie(w);

    ngx_http_track_count(w->worker, ack_timeouts, 1);

    ngx_http_set_log_request(r->connection->log, r);
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "track: Kafka has not confirmed %ui events in time",
                  w->pending);

    ngx_http_track_wait_resume(r, ngx_http_track_refuse(r,
                                              TRK_ERR_UNAVAILABLE, SIZE_MAX));
}


static ngx_int_t
ngx_http_track_wait_answer(ngx_http_request_t *r, ngx_http_track_wait_t *w)
{
    ngx_http_set_log_request(r->connection->log, r);

    if (w->failed) {
        return ngx_http_track_refuse(r, TRK_ERR_UNAVAILABLE, SIZE_MAX);
    }

    return ngx_http_track_send(r, &w->answer);
}


static void
ngx_http_track_wait_resume(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}
