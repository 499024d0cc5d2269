
/*
 * Segments in memory: what is known of their records beside the file.  Runs
 * in the event loop.
 *
 * Of a segment that is written to, drained, or of which the producer holds
 * records, there is a state for each record.  Of all others, most of an outage,
 * there are sums only: it is folded.  Its marks are on the disk by then and say
 * what is done; all else waits, and the drain reads the marks when it comes to
 * the segment.
 *
 * So a spool takes in memory, however full it is,
 *
 *   a byte for each record of what is not folded: the segment at the end, the
 *   one that is drained, those appended to since the oldest record that the
 *   producer holds was (message.timeout.ms), those whose marks cannot be
 *   written, and those that were adopted with damage;
 *   less than 512 bytes for each segment;
 *   the numbers of its records as the ledger tells them, see lib/trk_seqset.h
 *
 * Numbers of single records are in the file.  Only of those that are damaged
 * there nobody could tell them any more, so of our own segments it is
 * remembered which number each index has: as runs, since one request comes
 * after the other, and no more of them than most segments have.
 */


#include "ngx_http_track_spool_inner.h"


#define NGX_HTTP_TRACK_SPOOL_GONE   ((uint32_t) -1) /* index: Kafka has it */


static void ngx_http_track_segment_number(ngx_http_track_segment_t *segment,
    uint32_t index, uint64_t seq);
static ngx_uint_t ngx_http_track_segment_is_at_rest(
    ngx_http_track_spool_t *spool, ngx_http_track_segment_t *segment);


ngx_http_track_segment_t *
ngx_http_track_segment_add(ngx_http_track_home_t *home, uint32_t number)
{
    ngx_http_track_segment_t  *segment;

    segment = ngx_calloc(sizeof(ngx_http_track_segment_t), ngx_cycle->log);
    if (segment == NULL) {
        return NULL;
    }

    segment->home = home;
    segment->number = number;
    segment->fd = -1;
    segment->end = TRK_SPOOL_HEADER;
    segment->cursor = TRK_SPOOL_HEADER;

    ngx_queue_insert_tail(&home->segments, &segment->queue);

    return segment;
}


void
ngx_http_track_segment_free(ngx_http_track_segment_t *segment)
{
    ngx_queue_remove(&segment->queue);

    free(segment->states);
    ngx_free(segment);
}


ngx_int_t
ngx_http_track_segment_room(ngx_http_track_segment_t *segment, size_t n)
{
    u_char    *states;
    uint32_t   room;

    if (segment->room - segment->n >= n) {
        return NGX_OK;
    }

    room = ngx_max(segment->room * 2, segment->n + (uint32_t) n + 1024);

    states = realloc(segment->states, room);
    if (states == NULL) {
        return NGX_ERROR;
    }

    segment->states = states;
    segment->room = room;

    return NGX_OK;
}


void
ngx_http_track_segment_place(ngx_http_track_segment_t *segment,
    ngx_http_track_message_t *m)
{
    uint32_t    index;
    ngx_uint_t  done;

    index = segment->n++;

    /* what was appended before, and is known to be in Kafka since, needs no
     * draining; see _failed() */

    done = (m->place.index == NGX_HTTP_TRACK_SPOOL_GONE);

    segment->states[index] = done ? NGX_HTTP_TRACK_SPOOL_DONE
                             : m->held ? NGX_HTTP_TRACK_SPOOL_HELD
                                       : NGX_HTTP_TRACK_SPOOL_WAITS;
    segment->open += !done;
    segment->held += !done && m->held;

    ngx_http_track_segment_number(segment, index, m->seq);

    m->place.segment = done ? NULL : segment;
    m->place.index = done ? NGX_HTTP_TRACK_SPOOL_GONE : index;
}


static void
ngx_http_track_segment_number(ngx_http_track_segment_t *segment,
    uint32_t index, uint64_t seq)
{
    ngx_http_track_spool_run_t  *run;

    if (segment->numbered < index) {

        /* there were too many runs before it */

        return;
    }

    run = &segment->runs[segment->nruns];

    if (segment->nruns == 0 || run[-1].seq + (index - run[-1].index) != seq) {

        if (segment->nruns == NGX_HTTP_TRACK_SPOOL_RUNS) {
            return;
        }

        run->index = index;
        run->seq = seq;
        segment->nruns++;
    }

    segment->numbered = index + 1;
}


uint64_t
ngx_http_track_segment_seq(ngx_http_track_segment_t *segment, uint32_t index)
{
    ngx_http_track_spool_run_t  *run;

    if (index >= segment->numbered) {
        return 0;
    }

    run = &segment->runs[segment->nruns - 1];

    while (run->index > index) {
        run--;
    }

    return run->seq + (index - run->index);
}


void
ngx_http_track_spool_close_record(ngx_http_track_segment_t *segment,
    uint32_t index, u_char state, uint64_t seq)
{
    ngx_http_track_holding_t  *holding;

    switch (segment->states[index]) {

    case NGX_HTTP_TRACK_SPOOL_HELD:
        segment->held--;
        break;

    case NGX_HTTP_TRACK_SPOOL_WAITS:
    case NGX_HTTP_TRACK_SPOOL_SENT:
    case NGX_HTTP_TRACK_SPOOL_BAD:
        segment->waits -= (index < segment->written);
        break;

    default: /* DONE, APART, NONE */
        return;
    }

    segment->open--;
    segment->states[index] = state;

    if (state == NGX_HTTP_TRACK_SPOOL_DONE && seq) {
        holding = &segment->home->holding;
        trk_seqset_remove(&holding->held, seq);
        holding->changes++;
    }

    if (segment->mark_from == segment->mark_to) {
        segment->mark_from = index;
        segment->mark_to = index + 1;

    } else {
        segment->mark_from = ngx_min(segment->mark_from, index);
        segment->mark_to = ngx_max(segment->mark_to, index + 1);
    }

    ngx_http_track_spool_mark_soon(ngx_http_track_worker->spool);
}


/* A segment with a held record has its states; one without is nobody's but
 * the drain's. */

void
ngx_http_track_spool_done(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *m)
{
    ngx_http_track_place_t  *place;

    place = &m->place;

    if (place->segment) {
        ngx_http_track_spool_close_record(place->segment, place->index,
                                          NGX_HTTP_TRACK_SPOOL_DONE, m->seq);
        place->segment = NULL;
        place->index = NGX_HTTP_TRACK_SPOOL_GONE;
    }
}


void
ngx_http_track_spool_release(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *m)
{
    uint32_t                   index;
    ngx_http_track_segment_t  *segment;

    segment = m->place.segment;
    index = m->place.index;

    if (segment == NULL || segment->states[index] != NGX_HTTP_TRACK_SPOOL_HELD)
    {
        return;
    }

    segment->states[index] = NGX_HTTP_TRACK_SPOOL_WAITS;
    segment->held--;

    if (index < segment->written) {
        segment->waits++;
        ngx_http_track_spool_drain_wake(wk->spool, 0);
    }
}


void
ngx_http_track_segment_fold(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment)
{
    if (segment->states
        && ngx_http_track_segment_is_at_rest(spool, segment))
    {
        free(segment->states);
        segment->states = NULL;
        segment->room = 0;
    }
}


static ngx_uint_t
ngx_http_track_segment_is_at_rest(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment)
{
    ngx_http_track_spool_keeper_t  *keeper;

    keeper = &spool->keeper;

    return segment->ended && !segment->patchy && segment->chunks == 0
           && segment->held == 0 && segment->mark_from == segment->mark_to
           && segment != spool->drain.segment
           && !(keeper->job.busy && keeper->segment == segment);
}


void
ngx_http_track_spool_fold(ngx_http_track_spool_t *spool)
{
    ngx_queue_t               *q, *s;
    ngx_http_track_home_t     *home;
    ngx_http_track_segment_t  *segment;

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        for (s = ngx_queue_head(&home->segments);
             s != ngx_queue_sentinel(&home->segments);
             s = ngx_queue_next(s))
        {
            segment = ngx_queue_data(s, ngx_http_track_segment_t, queue);
            ngx_http_track_segment_fold(spool, segment);
        }
    }
}


/* Marks may have been lost: those records are sent again.  What was given up
 * before it was written is nowhere, whatever they say. */

void
ngx_http_track_segment_unfold(ngx_http_track_segment_t *segment,
    u_char *states)
{
    uint32_t  i;

    segment->states = states;
    segment->room = segment->n;
    segment->waits = 0;

    for (i = 0; i < segment->n; i++) {

        if (i >= segment->written) {
            states[i] = NGX_HTTP_TRACK_SPOOL_DONE;

        } else if (states[i] == 0) {
            states[i] = NGX_HTTP_TRACK_SPOOL_WAITS;
            segment->waits++;
        }
    }

    segment->open = segment->waits;
}
