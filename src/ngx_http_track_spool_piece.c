
/*
 * Pieces of the drain: how one is read, in a thread, and what of it is set
 * aside: records that Kafka refuses for good, and bytes that are no record.
 * Those are synced to aside.seg before they are marked, and stay there for
 * the operator.
 */


#include "ngx_http_track_spool_inner.h"


#define NGX_HTTP_TRACK_DRAIN_BYTES    (256 * 1024)  /* of a piece, about */
#define NGX_HTTP_TRACK_DRAIN_RECORDS  1000          /* likewise */
#define NGX_HTTP_TRACK_DRAIN_DAMAGE   (1024 * 1024) /* bytes in one record */


static ngx_http_track_item_t *ngx_http_track_drain_item(
    ngx_http_track_spool_drain_t *drain);
static int ngx_http_track_drain_take(ngx_http_track_spool_drain_t *drain,
    trk_spool_record_t *record);
static void ngx_http_track_drain_point(ngx_http_track_spool_drain_t *drain);
static ngx_int_t ngx_http_track_drain_aside_add(
    ngx_http_track_spool_drain_t *drain, ngx_http_track_item_t *item);
static void ngx_http_track_drain_aside_work(void *data);
static void ngx_http_track_drain_aside_done(ngx_http_track_spool_t *spool);
static void ngx_http_track_drain_apart(ngx_http_track_spool_t *spool,
    ngx_http_track_item_t *item);


/* in a thread, and what follows */

void
ngx_http_track_drain_read_work(void *data)
{
    ngx_http_track_spool_drain_t *drain = data;

    int                            rc;
    ngx_http_track_item_t         *item;
    trk_spool_record_t             record;
    ngx_http_track_spool_reader_t  rd;

    trk_buf_reset(&drain->text, 4 * NGX_HTTP_TRACK_DRAIN_BYTES);

    drain->rc = ngx_http_track_spool_io_open(drain->dir, &rd, drain->number,
                                             drain->offset, drain->index,
                                             drain->end, drain->error);
    item = NULL;

    if (drain->rc == 0 && drain->folded) {
        drain->states = ngx_http_track_spool_io_marks(drain->dir,
                                                      drain->number,
                                                      drain->folded,
                                                      drain->error);
        drain->rc = drain->states ? 0 : -1;
    }

    while (drain->rc == 0) {

        rc = ngx_http_track_spool_io_next(&rd, &record, drain->error);

        if (item && item->record.kind == TRK_SPOOL_DAMAGED
            && (rc == TRK_OK || rc == TRK_NOTFOUND))
        {
            item->lost = (rc == TRK_OK ? record.index : drain->written)
                         - item->record.index;
        }

        if (rc == TRK_NOTFOUND) {
            drain->next = ngx_http_track_spool_io_tell(&rd);
            drain->next_index = rd.scan.index;
            break;
        }

        if (rc == TRK_OK && (drain->text.n >= NGX_HTTP_TRACK_DRAIN_BYTES
                             || drain->nitems >= NGX_HTTP_TRACK_DRAIN_RECORDS))
        {
            /* this one begins the next piece */

            drain->next = ngx_http_track_spool_io_tell(&rd)
                          - (off_t) trk_spool_record_size(&record);
            drain->next_index = record.index;
            break;
        }

        if ((rc != TRK_OK && rc != TRK_CORRUPT)
            || ngx_http_track_drain_take(drain, &record) == -1)
        {
            drain->rc = -1;
            break;
        }

        item = &drain->items[drain->nitems - 1];
    }

    ngx_http_track_spool_io_shut(&rd);

    free(drain->messages);
    drain->messages = malloc(ngx_max(drain->nitems, 1)
                             * sizeof(ngx_http_track_message_t));
    if (drain->messages == NULL) {
        drain->rc = -1;
    }

    ngx_http_track_drain_point(drain);
}


static ngx_http_track_item_t *
ngx_http_track_drain_item(ngx_http_track_spool_drain_t *drain)
{
    size_t                  room;
    ngx_http_track_item_t  *items;

    if (drain->nitems == drain->room) {
        room = drain->room * 2 + 64;
        items = realloc(drain->items, room * sizeof(ngx_http_track_item_t));

        if (items == NULL) {
            return NULL;
        }

        drain->items = items;
        drain->room = room;
    }

    return &drain->items[drain->nitems++];
}


static int
ngx_http_track_drain_take(ngx_http_track_spool_drain_t *drain,
    trk_spool_record_t *record)
{
    size_t                  start;
    ngx_http_track_item_t  *item;

    item = ngx_http_track_drain_item(drain);

    if (item == NULL) {
        return -1;
    }

    memset(item, 0, sizeof(ngx_http_track_item_t));
    item->record = *record;
    item->text = drain->text.n;

    trk_buf_str(&drain->text, record->topic);
    trk_buf_str(&drain->text, record->key);
    start = drain->text.n;

    if (record->kind == TRK_SPOOL_DAMAGED) {
        trk_buf_str(&drain->text, record->value);

    } else {
        trk_spool_flag(&drain->text, record->value);
    }

    item->record.value.n = drain->text.n - start;

    return drain->text.failed ? -1 : 0;
}


/* The text has come to rest: views into it. */

static void
ngx_http_track_drain_point(ngx_http_track_spool_drain_t *drain)
{
    size_t  i;

    for (i = 0; i < drain->nitems; i++) {
        trk_spool_record_lie(&drain->items[i].record,
                             drain->text.p + drain->items[i].text);
    }
}


ngx_uint_t
ngx_http_track_drain_lost(ngx_http_track_spool_drain_t *drain,
    ngx_http_track_item_t *item)
{
    u_char    *states;
    uint32_t   i;

    states = drain->segment->states;

    for (i = 0; i < item->lost; i++) {
        if (states[item->record.index + i] == NGX_HTTP_TRACK_SPOOL_WAITS
            || states[item->record.index + i] == NGX_HTTP_TRACK_SPOOL_BAD)
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_track_drain_aside(ngx_http_track_spool_t *spool)
{
    size_t                         i;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;
    drain->naside = 0;

    for (i = 0; i < drain->nitems; i++) {
        if (drain->items[i].apart
            && ngx_http_track_drain_aside_add(drain, &drain->items[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (drain->naside == 0) {
        return NGX_DECLINED;
    }

    drain->phase = NGX_HTTP_TRACK_DRAIN_ASIDE;
    drain->now = ngx_http_track_spool_now();
    drain->job.work = ngx_http_track_drain_aside_work;
    drain->job.done = ngx_http_track_drain_aside_done;

    return ngx_http_track_spool_post(&drain->job);
}


/* Damage can be long: in pieces. */

static ngx_int_t
ngx_http_track_drain_aside_add(ngx_http_track_spool_drain_t *drain,
    ngx_http_track_item_t *item)
{
    size_t               n, room;
    trk_str_t            rest;
    trk_spool_record_t  *records;

    rest = item->record.value;

    do {
        if (drain->naside == drain->room_aside) {
            room = drain->room_aside * 2 + 16;
            records = realloc(drain->aside, room * sizeof(trk_spool_record_t));

            if (records == NULL) {
                return NGX_ERROR;
            }

            drain->aside = records;
            drain->room_aside = room;
        }

        n = item->record.kind == TRK_SPOOL_DAMAGED
            ? ngx_min(rest.n, NGX_HTTP_TRACK_DRAIN_DAMAGE) : rest.n;

        drain->aside[drain->naside] = item->record;
        drain->aside[drain->naside++].value = trk_str_of(rest.p, n);

        rest.p += n;
        rest.n -= n;

    } while (rest.n);

    return NGX_OK;
}


/* in a thread */

static void
ngx_http_track_drain_aside_work(void *data)
{
    ngx_http_track_spool_drain_t *drain = data;

    drain->rc = ngx_http_track_spool_io_aside(drain->dir, drain->aside,
                                              drain->naside, drain->now,
                                              drain->error);
}


/* in the event loop again */

static void
ngx_http_track_drain_aside_done(ngx_http_track_spool_t *spool)
{
    size_t                         i;
    ngx_http_track_home_t         *home;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;
    home = drain->segment->home;

    if (drain->rc == -1) {
        ngx_http_track_spool_say_once(spool, drain->error);

    } else {
        home->aside = ngx_max(home->aside, 0);
        home->looked_at = ngx_current_msec;

        ngx_log_error(NGX_LOG_ERR, spool->worker->log, 0,
                      "track: %uz records of spool %s were refused by Kafka "
                      "for good, or damaged, and are set aside: see "
                      "track-spool cat --aside", drain->naside,
                      home->dir.edge);
    }

    for (i = 0; i < drain->nitems; i++) {
        if (drain->items[i].apart) {
            drain->items[i].apart = 0;

            if (drain->rc == 0) {
                ngx_http_track_drain_apart(spool, &drain->items[i]);
            }
        }
    }

    ngx_http_track_drain_go_on(spool);
}


/* What was refused is held by this disk for good; of what was damaged
 * nobody knows which numbers it had. */

static void
ngx_http_track_drain_apart(ngx_http_track_spool_t *spool,
    ngx_http_track_item_t *item)
{
    uint32_t                   i, end;
    ngx_http_track_segment_t  *segment;

    segment = spool->drain.segment;

    if (item->record.kind != TRK_SPOOL_DAMAGED) {
        ngx_http_track_spool_close_record(segment, item->record.index,
                                          NGX_HTTP_TRACK_SPOOL_APART, 0);
        ngx_http_track_count(spool->worker, spool_aside, 1);
        return;
    }

    end = item->record.index + item->lost;

    for (i = item->record.index; i < end; i++) {

        if (segment->states[i] != NGX_HTTP_TRACK_SPOOL_WAITS
            && segment->states[i] != NGX_HTTP_TRACK_SPOOL_BAD)
        {
            continue;
        }

        ngx_http_track_spool_close_record(segment, i,
                                          NGX_HTTP_TRACK_SPOOL_APART, 0);
        ngx_http_track_count(spool->worker, spool_corrupt, 1);

        trk_seqset_remove(&segment->home->holding.held,
                          ngx_http_track_segment_seq(segment, i));
        segment->home->holding.changes++;
    }
}
