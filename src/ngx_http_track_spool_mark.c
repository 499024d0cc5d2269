
/*
 * Marks of records that Kafka has, or that were set aside.  A write of them is
 * a job of housekeeping (_spool_keep): as soon as there are some and no other
 * one is under way, but not more often than every 20 ms, so that one write
 * serves all that came meanwhile.  They are not synced: losing some means
 * sending those records again.
 */


#include "ngx_http_track_spool_inner.h"


#define NGX_HTTP_TRACK_SPOOL_MARKS  20          /* ms between them */


static void ngx_http_track_spool_marks_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_track_spool_unmarked(
    ngx_http_track_spool_t *spool, ngx_http_track_segment_t *segment);
static ngx_uint_t ngx_http_track_spool_unmarked_yet(
    ngx_http_track_spool_t *spool, ngx_http_track_segment_t *segment);
static void ngx_http_track_spool_marks_work(void *data);
static void ngx_http_track_spool_marks_done(ngx_http_track_spool_t *spool);


void
ngx_http_track_spool_marks_init(ngx_http_track_spool_t *spool)
{
    ngx_event_t  *soon;

    soon = &spool->keeper.soon;

    soon->handler = ngx_http_track_spool_marks_handler;
    soon->data = &ngx_http_track_dumb;
    soon->log = spool->worker->log;
    soon->cancelable = 1;
}


void
ngx_http_track_spool_mark_soon(ngx_http_track_spool_t *spool)
{
    ngx_msec_int_t                  rest;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    if (!keeper->soon.timer_set && !spool->closing) {
        rest = (ngx_msec_int_t) (keeper->marked_at - ngx_current_msec)
               + NGX_HTTP_TRACK_SPOOL_MARKS;
        ngx_add_timer(&keeper->soon, (ngx_msec_t) ngx_max(rest, 1));
    }
}


static void
ngx_http_track_spool_marks_handler(ngx_event_t *ev)
{
    ngx_http_track_spool_t  *spool;

    spool = ngx_http_track_worker->spool;

    ngx_http_track_spool_keep(spool);

    /* another job is at it, or it was too soon, or failed */

    if (!ev->timer_set
        && ngx_http_track_spool_find(spool, ngx_http_track_spool_unmarked))
    {
        ngx_add_timer(ev, NGX_HTTP_TRACK_SPOOL_MARKS);
    }
}


/* Of one that will be unlinked soon there is nothing to be marked; of one that
 * could not be there is, or the next worker would send all of it again. */

static ngx_uint_t
ngx_http_track_spool_unmarked(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment)
{
    return segment->mark_from != segment->mark_to
           && segment->home->dir.dir != -1 && segment->written
           && !(segment->ended && segment->open == 0 && !segment->stuck);
}


static ngx_uint_t
ngx_http_track_spool_unmarked_yet(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment)
{
    return segment->round != spool->keeper.round
           && ngx_http_track_spool_unmarked(spool, segment);
}


/* A round: each segment once.  The other steps have their turn after it, also
 * when it took long. */

ngx_int_t
ngx_http_track_spool_marks_begin(ngx_http_track_spool_t *spool)
{
    ngx_http_track_segment_t       *segment;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    if (!keeper->marking) {

        if (ngx_current_msec - keeper->marked_at < NGX_HTTP_TRACK_SPOOL_MARKS)
        {
            return NGX_DECLINED;
        }

        keeper->round++;
        keeper->marking = 1;
    }

    segment = ngx_http_track_spool_find(spool,
                                        ngx_http_track_spool_unmarked_yet);

    if (segment == NULL) {
        keeper->marking = 0;
        keeper->marked_at = ngx_current_msec;
        return NGX_DECLINED;
    }

    keeper->nmarks = segment->mark_to - segment->mark_from;
    keeper->marks = ngx_alloc(keeper->nmarks, spool->worker->log);

    if (keeper->marks == NULL) {
        keeper->marking = 0;
        return NGX_DECLINED;
    }

    ngx_http_track_spool_marks_take(keeper, segment);

    if (ngx_http_track_spool_start(spool, ngx_http_track_spool_marks_work,
                                   ngx_http_track_spool_marks_done)
        != NGX_OK)
    {
        ngx_free(keeper->marks);
        keeper->marking = 0;
        return NGX_ERROR;
    }

    segment->mark_from = 0;
    segment->mark_to = 0;
    segment->round = keeper->round;

    return NGX_OK;
}


void
ngx_http_track_spool_marks_take(ngx_http_track_spool_keeper_t *keeper,
    ngx_http_track_segment_t *segment)
{
    size_t  i;
    u_char  state;

    for (i = 0; i < keeper->nmarks; i++) {
        state = segment->states[segment->mark_from + i];

        keeper->marks[i] = (state == NGX_HTTP_TRACK_SPOOL_DONE
                            || state == NGX_HTTP_TRACK_SPOOL_APART) ? state
                                                                    : 0;
    }

    keeper->home = segment->home;
    keeper->segment = segment;
    keeper->number = segment->number;
    keeper->from = segment->mark_from;
}


static void
ngx_http_track_spool_marks_work(void *data)
{
    ngx_http_track_spool_keeper_t *keeper = data;

    keeper->rc = ngx_http_track_spool_io_mark(&keeper->home->dir,
                              keeper->number, keeper->from, keeper->marks,
                              keeper->nmarks, keeper->error);
}


static void
ngx_http_track_spool_marks_done(ngx_http_track_spool_t *spool)
{
    uint32_t                        end;
    ngx_http_track_segment_t       *segment;
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;
    segment = keeper->segment;

    ngx_free(keeper->marks);

    if (keeper->rc == 0) {
        ngx_http_track_spool_keep(spool);
        return;
    }

    end = keeper->from + (uint32_t) keeper->nmarks;

    if (segment->mark_from == segment->mark_to) {
        segment->mark_from = keeper->from;
        segment->mark_to = end;

    } else {
        segment->mark_from = ngx_min(segment->mark_from, keeper->from);
        segment->mark_to = ngx_max(segment->mark_to, end);
    }

    keeper->marking = 0;
    ngx_http_track_spool_keep_failed(spool);
}
