
/*
 * The life of a worker: what init_process sets up and exit_process tears
 * down, the tick between them, and what all parts use of the event loop.
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_MUTE_MIN  1000       /* ms between two lines */
#define NGX_HTTP_TRACK_MUTE_MAX  60000      /* and of silence, to begin anew */


static void ngx_http_track_tick_handler(ngx_event_t *ev);


ngx_http_track_worker_t  *ngx_http_track_worker;

ngx_connection_t  ngx_http_track_dumb;


ngx_int_t
ngx_http_track_init_process(ngx_cycle_t *cycle)
{
    ngx_http_track_worker_t     *wk;
    ngx_http_track_main_conf_t  *tmcf;

    /* cache manager and loader come here too */

    if (ngx_process != NGX_PROCESS_WORKER) {
        return NGX_OK;
    }

    tmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_track_module);

    if (tmcf == NULL || !tmcf->enabled) {
        return NGX_OK;
    }

    wk = ngx_pcalloc(cycle->pool, sizeof(ngx_http_track_worker_t));
    if (wk == NULL) {
        return NGX_ERROR;
    }

    wk->messages = ngx_palloc(cycle->pool, tmcf->max_events
                                          * sizeof(ngx_http_track_message_t));
    if (wk->messages == NULL) {
        return NGX_ERROR;
    }

    wk->conf = tmcf;
    wk->log = cycle->log;
    wk->shpool = (ngx_slab_pool_t *) tmcf->zone->shm.addr;
    wk->sh = wk->shpool->data;
    wk->life = ngx_http_track_life(ngx_pid);

    trk_request_init(&wk->request);
    trk_buf_init(&wk->body, NGX_MAX_INT32_VALUE);
    trk_buf_init(&wk->answer, NGX_MAX_INT32_VALUE);
    trk_buf_init(&wk->origin, NGX_MAX_INT32_VALUE);
    trk_buf_init(&wk->records, NGX_MAX_INT32_VALUE);

    if (ngx_http_track_event_edge(wk) != NGX_OK
        || ngx_http_track_slot_take(wk) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_track_worker = wk;
    ngx_http_track_dumb.fd = (ngx_socket_t) -1;

    if (ngx_http_track_live_init(wk) != NGX_OK
        || ngx_http_track_ledger_init(wk) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_track_schema_init(wk);

    if (ngx_http_track_wait_init(wk) != NGX_OK
        || ngx_http_track_kafka_init(wk) != NGX_OK
        || ngx_http_track_spool_init(wk) != NGX_OK)
    {
        return NGX_ERROR;
    }

    wk->tick.handler = ngx_http_track_tick_handler;
    wk->tick.data = &ngx_http_track_dumb;
    wk->tick.log = wk->log;
    wk->tick.cancelable = 1;

    ngx_http_track_tick_handler(&wk->tick);

    return NGX_OK;
}


/* What a killed worker leaves undone here, others do: see _leader, _zone. */

void
ngx_http_track_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    if (wk == NULL) {
        return;
    }

    ngx_http_track_leader_resign(wk, 100);
    ngx_http_track_wait_exit(wk);
    ngx_http_track_ledger_exit(wk);
    ngx_http_track_kafka_exit(wk);
    ngx_http_track_spool_exit(wk);
    ngx_http_track_schema_exit(wk);
    ngx_http_track_slot_leave(wk);
    ngx_http_track_count_exit(wk);
    ngx_http_track_live_exit(wk);

    trk_request_free(&wk->request);
    ngx_http_track_inflate_exit(wk);
    trk_buf_free(&wk->body);
    trk_buf_free(&wk->answer);
    trk_buf_free(&wk->origin);
    trk_buf_free(&wk->records);
    ngx_http_track_worker = NULL;
}


static void
ngx_http_track_tick_handler(ngx_event_t *ev)
{
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    ngx_http_track_leader_tick(wk);
    ngx_http_track_ledger_tick(wk);

    /* idle workers follow the schema too, and let go of the old image */

    (void) ngx_http_track_schema(wk);

    /* also while the last connections of an exiting worker last: cancelable,
     * so it holds nobody */

    ngx_add_timer(ev, NGX_HTTP_TRACK_TICK);
}


ngx_connection_t *
ngx_http_track_watch(int fd, ngx_event_handler_pt handler, void *data,
    ngx_log_t *log)
{
    ngx_uint_t         flags;
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, log);

    if (c == NULL) {
        (void) close(fd);
        return NULL;
    }

    c->data = data;
    c->log = log;
    c->read->handler = handler;
    c->read->log = log;
    c->write->log = log;

    flags = (ngx_event_flags & NGX_USE_CLEAR_EVENT) ? NGX_CLEAR_EVENT
                                                    : NGX_LEVEL_EVENT;

    if (ngx_add_event(c->read, NGX_READ_EVENT, flags) != NGX_OK) {
        ngx_close_connection(c);
        return NULL;
    }

    return c;
}


ngx_uint_t
ngx_http_track_unmute(ngx_http_track_mute_t *mute, ngx_uint_t *muted)
{
    if (ngx_current_msec - mute->seen >= NGX_HTTP_TRACK_MUTE_MAX) {
        mute->interval = 0;
    }

    mute->seen = ngx_current_msec;

    if (ngx_current_msec - mute->last < mute->interval) {
        mute->muted++;
        return 0;
    }

    *muted = mute->muted;

    mute->last = ngx_current_msec;
    mute->muted = 0;
    mute->interval = ngx_max(2 * mute->interval, NGX_HTTP_TRACK_MUTE_MIN);
    mute->interval = ngx_min(mute->interval, NGX_HTTP_TRACK_MUTE_MAX);

    return 1;
}
