
/*
 * The drain: sends to Kafka what waits in the spools of this worker.
 *
 * It passes through the segments in order, a piece of some 256 KiB at a time:
 * a job reads and checks it and writes the values as they are sent, the event
 * loop hands it to the producer, and the next piece is read when all reports
 * have come.  So the order of each topic is kept, memory is bounded, and live
 * traffic never finds more than one piece of the drain in the producer.
 *
 * A piece with a failure is tried again, one record first, with a growing
 * pause.  What can not be sent now (a topic that is refused, a record that the
 * producer holds for its request) is left behind, and looked for in the next
 * pass.
 *
 * A broker that refuses a record refuses the whole batch that it came in, so
 * what was refused is sent again, alone, a few times.  What Kafka refuses for
 * good then, and bytes that are no record, are set aside and synced before
 * they are marked.
 */


#include "ngx_http_track_spool_inner.h"


#define NGX_HTTP_TRACK_DRAIN_TEXT     (256 * 1024 * 1024)   /* at most */
#define NGX_HTTP_TRACK_DRAIN_BACKOFF  1000      /* ms, doubled up to */
#define NGX_HTTP_TRACK_DRAIN_MOST     30000     /* this */
#define NGX_HTTP_TRACK_DRAIN_AGAIN    1000      /* ms: for what was left */
#define NGX_HTTP_TRACK_DRAIN_REFUSED  3         /* times, alone: for good */
#define NGX_HTTP_TRACK_DRAIN_TOPIC    10000     /* ms: a topic is refused */


static ngx_uint_t ngx_http_track_drain_is_over(void);
static void ngx_http_track_drain_pause(ngx_http_track_spool_t *spool,
    ngx_msec_t ms);
static void ngx_http_track_drain_timer_handler(ngx_event_t *ev);
static void ngx_http_track_drain_start(ngx_http_track_spool_t *spool);
static ngx_http_track_segment_t *ngx_http_track_drain_find(
    ngx_http_track_spool_t *spool, ngx_http_track_segment_t *after);
static void ngx_http_track_drain_enter(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment);
static void ngx_http_track_drain_read(ngx_http_track_spool_t *spool);
static void ngx_http_track_drain_read_done(ngx_http_track_spool_t *spool);
static void ngx_http_track_drain_send(ngx_http_track_spool_t *spool);
static ngx_int_t ngx_http_track_drain_message(
    ngx_http_track_spool_t *spool, ngx_http_track_item_t *item,
    ngx_http_track_message_t *m);
static void ngx_http_track_drain_report(ngx_http_track_message_t *m,
    ngx_http_track_outcome_e outcome);
static void ngx_http_track_drain_settled_handler(ngx_event_t *ev);
static void ngx_http_track_drain_settle(ngx_http_track_spool_t *spool,
    ngx_http_track_item_t *item);
static ngx_uint_t ngx_http_track_drain_topic_held(
    ngx_http_track_spool_drain_t *drain, ngx_uint_t topic);
static void ngx_http_track_drain_hold_topic(
    ngx_http_track_spool_drain_t *drain, ngx_uint_t topic);
static void ngx_http_track_drain_leave(ngx_http_track_spool_t *spool);
static void ngx_http_track_drain_behind(ngx_http_track_spool_drain_t *drain);


void
ngx_http_track_spool_drain_init(ngx_http_track_spool_t *spool)
{
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;

    drain->job.spool = spool;
    drain->job.data = drain;
    drain->probe = 1;
    trk_buf_init(&drain->text, NGX_HTTP_TRACK_DRAIN_TEXT);

    drain->timer.handler = ngx_http_track_drain_timer_handler;
    drain->timer.data = spool;
    drain->timer.log = spool->worker->log;
    drain->timer.cancelable = 1;

    drain->settled.handler = ngx_http_track_drain_settled_handler;
    drain->settled.data = spool;
    drain->settled.log = spool->worker->log;
}


void
ngx_http_track_spool_drain_wake(ngx_http_track_spool_t *spool, ngx_uint_t now)
{
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;

    if (spool->closing || ngx_http_track_drain_is_over()) {
        return;
    }

    if (drain->phase == NGX_HTTP_TRACK_DRAIN_IDLE) {

        /* posted by a timer: whoever calls may be inside the producer */

        ngx_http_track_drain_pause(spool, 1);

    } else if (drain->phase == NGX_HTTP_TRACK_DRAIN_PAUSES && now
               && drain->backoff > NGX_HTTP_TRACK_DRAIN_BACKOFF)
    {
        drain->backoff = NGX_HTTP_TRACK_DRAIN_BACKOFF;
        ngx_http_track_drain_pause(spool, 1);
    }
}


/* The worker leaves, and nothing but the drain would keep it: while a client
 * does, for hours maybe, what it has spooled goes on to Kafka. */

static ngx_uint_t
ngx_http_track_drain_is_over(void)
{
    return ngx_exiting && ngx_event_no_timers_left() == NGX_OK;
}


static void
ngx_http_track_drain_pause(ngx_http_track_spool_t *spool, ngx_msec_t ms)
{
    spool->drain.phase = NGX_HTTP_TRACK_DRAIN_PAUSES;
    ngx_add_timer(&spool->drain.timer, ms);
}


static void
ngx_http_track_drain_timer_handler(ngx_event_t *ev)
{
    ngx_http_track_spool_t        *spool;
    ngx_http_track_spool_drain_t  *drain;

    spool = ngx_http_track_worker->spool;
    drain = &spool->drain;

    if (ngx_http_track_drain_is_over()) {
        return;
    }

    if (drain->segment == NULL) {
        ngx_http_track_drain_start(spool);

    } else if (drain->nitems) {

        /* after a failure, with what was read */

        ngx_http_track_drain_send(spool);

    } else {
        ngx_http_track_drain_read(spool);
    }
}


/* A new pass. */

static void
ngx_http_track_drain_start(ngx_http_track_spool_t *spool)
{
    ngx_http_track_segment_t      *segment;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;
    drain->left = 0;

    segment = ngx_http_track_drain_find(spool, NULL);

    if (segment == NULL) {
        drain->phase = NGX_HTTP_TRACK_DRAIN_IDLE;
        return;
    }

    ngx_http_track_drain_enter(spool, segment);
    ngx_http_track_drain_read(spool);
}


/* The next segment with something that waits; after NULL: the first. */

static ngx_http_track_segment_t *
ngx_http_track_drain_find(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *after)
{
    ngx_queue_t               *q, *s;
    ngx_http_track_home_t     *home;
    ngx_http_track_segment_t  *segment;

    for (q = after ? &after->home->queue : ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        /* the ledger tells of a spool as a whole before it shrinks */

        if (home->unsure || !home->whole) {
            continue;
        }

        for (s = after ? ngx_queue_next(&after->queue)
                       : ngx_queue_head(&home->segments);
             s != ngx_queue_sentinel(&home->segments);
             s = ngx_queue_next(s))
        {
            segment = ngx_queue_data(s, ngx_http_track_segment_t, queue);

            if (segment->waits) {
                return segment;
            }
        }

        after = NULL;
    }

    return NULL;
}


static void
ngx_http_track_drain_enter(ngx_http_track_spool_t *spool,
    ngx_http_track_segment_t *segment)
{
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;

    drain->segment = segment;
    drain->next = segment->cursor;
    drain->next_index = segment->cursor_index;
}


/* The next piece of the segment. */

static void
ngx_http_track_drain_read(ngx_http_track_spool_t *spool)
{
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;

    drain->offset = drain->next;
    drain->index = drain->next_index;
    drain->dir = &drain->segment->home->dir;
    drain->number = drain->segment->number;
    drain->end = drain->segment->size;
    drain->written = drain->segment->written;
    drain->folded = drain->segment->states ? 0 : drain->segment->n;
    drain->nitems = 0;
    drain->suspects = 0;
    drain->phase = NGX_HTTP_TRACK_DRAIN_READS;
    drain->job.work = ngx_http_track_drain_read_work;
    drain->job.done = ngx_http_track_drain_read_done;

    if (ngx_http_track_spool_post(&drain->job) != NGX_OK) {
        ngx_http_track_drain_pause(spool, NGX_HTTP_TRACK_DRAIN_AGAIN);
    }
}


/* in the event loop again */

static void
ngx_http_track_drain_read_done(ngx_http_track_spool_t *spool)
{
    size_t                         i;
    ngx_http_track_item_t         *item;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;

    if (drain->rc == -1) {

        /* what can be read of it is tried again in the next pass */

        ngx_http_track_spool_say_once(spool, drain->error);
        free(drain->states);
        drain->states = NULL;

        drain->left = 1;
        drain->nitems = 0;
        drain->next = drain->segment->size;
        ngx_http_track_drain_leave(spool);
        return;
    }

    if (drain->states) {
        ngx_http_track_segment_unfold(drain->segment, drain->states);
        drain->states = NULL;
    }

    for (i = 0; i < drain->nitems; i++) {
        item = &drain->items[i];
        item->apart = (item->record.kind == TRK_SPOOL_DAMAGED
                       && ngx_http_track_drain_lost(drain, item));
    }

    ngx_http_track_drain_send(spool);
}


/* Hands over what waits of the piece. */

static void
ngx_http_track_drain_send(ngx_http_track_spool_t *spool)
{
    size_t                         i, n;
    ngx_http_track_item_t         *item;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;
    drain->phase = NGX_HTTP_TRACK_DRAIN_SENDS;
    drain->cut = 0;
    drain->failed = 0;

    for (i = 0, n = 0; i < drain->nitems && !drain->cut; i++) {
        item = &drain->items[i];

        if (item->record.kind != TRK_SPOOL_DAMAGED
            && (item->suspect || drain->suspects == 0)
            && drain->segment->states[item->record.index]
               == NGX_HTTP_TRACK_SPOOL_WAITS
            && ngx_http_track_drain_message(spool, item, &drain->messages[n])
               == NGX_OK)
        {
            /* until a report says otherwise */

            item->outcome = NGX_HTTP_TRACK_FAILED;
            drain->segment->states[item->record.index] =
                                                   NGX_HTTP_TRACK_SPOOL_SENT;
            n++;
            drain->cut = drain->probe || drain->suspects;
        }
    }

    drain->pending = n;
    drain->sent = n;

    if (n == 0
        || ngx_http_track_kafka_produce(spool->worker, drain->messages, n)
           != NGX_OK)
    {
        drain->pending = 0;
        ngx_post_event(&drain->settled, &ngx_posted_events);
    }
}


static ngx_int_t
ngx_http_track_drain_message(ngx_http_track_spool_t *spool,
    ngx_http_track_item_t *item, ngx_http_track_message_t *m)
{
    u_char     text[TRK_SPOOL_TOPIC_MAX + 1];
    ngx_int_t  topic;
    ngx_str_t  name;

    name.len = ngx_min(item->record.topic.n, TRK_SPOOL_TOPIC_MAX);
    name.data = text;
    (void) ngx_cpystrn(text, (u_char *) item->record.topic.p, name.len + 1);

    topic = ngx_http_track_kafka_topic(spool->worker, &name);

    if (topic == NGX_ERROR
        || ngx_http_track_drain_topic_held(&spool->drain, (ngx_uint_t) topic))
    {
        return NGX_DECLINED;
    }

    ngx_memzero(m, sizeof(ngx_http_track_message_t));

    m->key = (u_char *) item->record.key.p;
    m->key_len = item->record.key.n;
    m->value = (u_char *) item->record.value.p;
    m->value_len = item->record.value.n;
    m->topic = (ngx_uint_t) topic;
    item->topic = m->topic;
    m->seq = item->record.seq;
    m->rejected = (item->record.kind == TRK_SPOOL_REJECTED);
    m->handler = ngx_http_track_drain_report;
    m->data = item;

    return NGX_OK;
}


/* locality: the event loop, inside the library's poll */

static void
ngx_http_track_drain_report(ngx_http_track_message_t *m,
    ngx_http_track_outcome_e outcome)
{
    ngx_http_track_item_t         *item;
    ngx_http_track_spool_drain_t  *drain;

    item = m->data;
    item->outcome = outcome;

    drain = &ngx_http_track_worker->spool->drain;

    if (--drain->pending == 0) {
        ngx_post_event(&drain->settled, &ngx_posted_events);
    }
}


static void
ngx_http_track_drain_settled_handler(ngx_event_t *ev)
{
    size_t                         i;
    ngx_http_track_spool_t        *spool;
    ngx_http_track_spool_drain_t  *drain;

    spool = ev->data;
    drain = &spool->drain;

    for (i = 0; i < drain->nitems; i++) {
        ngx_http_track_drain_settle(spool, &drain->items[i]);
    }

    if (drain->failed) {
        drain->probe = 1;
        drain->backoff = ngx_min(ngx_max(drain->backoff * 2,
                                         NGX_HTTP_TRACK_DRAIN_BACKOFF),
                                 NGX_HTTP_TRACK_DRAIN_MOST);
    }

    if (ngx_http_track_drain_aside(spool) != NGX_OK) {
        ngx_http_track_drain_go_on(spool);
    }
}


void
ngx_http_track_spool_drain_exit(ngx_http_track_spool_t *spool)
{
    size_t                         i;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;

    if (drain->phase == NGX_HTTP_TRACK_DRAIN_SENDS) {
        for (i = 0; i < drain->nitems; i++) {
            ngx_http_track_drain_settle(spool, &drain->items[i]);
        }
    }
}


static void
ngx_http_track_drain_settle(ngx_http_track_spool_t *spool,
    ngx_http_track_item_t *item)
{
    uint32_t                       index;
    ngx_http_track_segment_t      *segment;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;
    segment = drain->segment;
    index = item->record.index;

    if (item->record.kind == TRK_SPOOL_DAMAGED
        || segment->states[index] != NGX_HTTP_TRACK_SPOOL_SENT)
    {
        return;
    }

    switch (item->outcome) {

    case NGX_HTTP_TRACK_DELIVERED:
        drain->suspects -= item->suspect;
        item->suspect = 0;
        ngx_http_track_spool_close_record(segment, index,
                                          NGX_HTTP_TRACK_SPOOL_DONE,
                                          item->record.seq);
        ngx_http_track_count(spool->worker, spool_delivered, 1);
        drain->probe = 0;
        drain->backoff = 0;
        drain->rest = 0;
        return;

    case NGX_HTTP_TRACK_REFUSED:

        if (!item->suspect) {
            item->suspect = 1;
            drain->suspects++;
        }

        item->refused += (drain->sent == 1);

        if (item->refused == NGX_HTTP_TRACK_DRAIN_REFUSED) {
            item->suspect = 0;
            item->apart = 1;
            drain->suspects--;
        }

        drain->probe = 0;
        break;

    case NGX_HTTP_TRACK_NO_TOPIC:
        ngx_http_track_drain_hold_topic(drain, item->topic);
        break;

    default: /* NGX_HTTP_TRACK_FAILED */
        drain->failed = 1;
    }

    segment->states[index] = NGX_HTTP_TRACK_SPOOL_WAITS;
}


static ngx_uint_t
ngx_http_track_drain_topic_held(ngx_http_track_spool_drain_t *drain,
    ngx_uint_t topic)
{
    ngx_uint_t  i;

    for (i = 0; i < drain->ntopics; i++) {
        if (drain->topics[i].topic == topic) {
            return (ngx_msec_int_t) (drain->topics[i].until
                                     - ngx_current_msec) > 0;
        }
    }

    return 0;
}


/* The oldest makes room: it is tried again a little early. */

static void
ngx_http_track_drain_hold_topic(ngx_http_track_spool_drain_t *drain,
    ngx_uint_t topic)
{
    ngx_uint_t  i;

    for (i = 0; i < drain->ntopics; i++) {
        if (drain->topics[i].topic == topic) {
            break;
        }
    }

    if (i == NGX_HTTP_TRACK_SPOOL_TOPICS) {
        i = drain->next_topic++ % NGX_HTTP_TRACK_SPOOL_TOPICS;

    } else if (i == drain->ntopics) {
        drain->ntopics++;
    }

    drain->topics[i].topic = topic;
    drain->topics[i].until = ngx_current_msec + NGX_HTTP_TRACK_DRAIN_TOPIC;
}


/* The piece has been dealt with, as far as it goes now. */

void
ngx_http_track_drain_go_on(ngx_http_track_spool_t *spool)
{
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;

    if (ngx_http_track_drain_is_over()) {
        return;
    }

    if (drain->failed) {
        ngx_http_track_drain_pause(spool, drain->backoff
                                   + (ngx_msec_t) ngx_random()
                                     % (drain->backoff / 4));
        return;
    }

    if (drain->sent && (drain->cut || drain->suspects)) {
        ngx_http_track_drain_send(spool);
        return;
    }

    ngx_http_track_drain_leave(spool);
}


/* Goes to the next piece, segment, or pass. */

static void
ngx_http_track_drain_leave(ngx_http_track_spool_t *spool)
{
    ngx_http_track_segment_t      *segment, *last;
    ngx_http_track_spool_drain_t  *drain;

    drain = &spool->drain;
    segment = drain->segment;

    ngx_http_track_drain_behind(drain);

    drain->nitems = 0;

    if (drain->next < segment->size && segment->waits) {
        ngx_http_track_drain_read(spool);
        return;
    }

    last = segment;
    segment = ngx_http_track_drain_find(spool, last);

    if (segment) {
        ngx_http_track_drain_enter(spool, segment);
        ngx_http_track_segment_fold(spool, last);
        ngx_http_track_drain_read(spool);
        return;
    }

    drain->segment = NULL;
    ngx_http_track_segment_fold(spool, last);

    if (drain->left) {

        /* a pass reads all that is left: the less often, the longer nothing
         * of it goes */

        drain->rest = ngx_min(ngx_max(drain->rest * 2,
                                      NGX_HTTP_TRACK_DRAIN_AGAIN),
                              NGX_HTTP_TRACK_DRAIN_MOST);
        ngx_http_track_drain_pause(spool, drain->rest);
        return;
    }

    ngx_http_track_drain_pause(spool, 1);
}


/* What is left behind of the piece; if nothing is, and nothing before it,
 * later passes begin after it. */

static void
ngx_http_track_drain_behind(ngx_http_track_spool_drain_t *drain)
{
    size_t                     i;
    int64_t                    oldest;
    ngx_uint_t                 open;
    ngx_http_track_item_t     *item;
    ngx_http_track_segment_t  *segment;

    segment = drain->segment;
    open = 0;
    oldest = segment->oldest;

    for (i = 0; i < drain->nitems; i++) {
        item = &drain->items[i];

        if (item->record.kind == TRK_SPOOL_DAMAGED && item->lost == 0) {
            continue;
        }

        oldest = item->record.at ? item->record.at : oldest;

        switch (segment->states[item->record.index]) {

        case NGX_HTTP_TRACK_SPOOL_WAITS:
        case NGX_HTTP_TRACK_SPOOL_BAD:
            drain->left = 1;
            open = 1;
            break;

        case NGX_HTTP_TRACK_SPOOL_HELD:
            open = 1;
            break;
        }
    }

    if (!open && drain->nitems && segment->cursor == drain->offset) {
        segment->cursor = drain->next;
        segment->cursor_index = drain->next_index;
        segment->oldest = oldest;
    }
}
