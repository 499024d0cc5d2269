
/*
 * track_live: the live ring as server-sent events.  Event loop.
 *
 * A listener has a cursor into the ring and one buffer.  The buffer is filled
 * from the ring only when all of it has gone to the client, so a slow reader
 * costs no more than a fast one: when it reads on, what has been overwritten
 * meanwhile is skipped, and it is told how much that was.
 *
 * Nothing wakes a worker when another one judges: while there are listeners a
 * timer looks at the ring.  It is not cancelable, so that a leaving worker
 * ends its streams in good order instead of dropping them.
 */


#include "ngx_http_track.h"
#include "trk_sha256.h"


#define NGX_HTTP_TRACK_LISTENERS       32       /* of a worker */
#define NGX_HTTP_TRACK_LISTEN_BUFFER   32768
#define NGX_HTTP_TRACK_LISTEN_ROOM     (NGX_HTTP_TRACK_RING_TEXT + 256)
#define NGX_HTTP_TRACK_LISTEN_LOOK     100      /* ms between two looks */
#define NGX_HTTP_TRACK_LISTEN_BEAT     15000    /* ms of silence at most */
#define NGX_HTTP_TRACK_LISTEN_STUCK    200      /* ms for a verdict's writer */
#define NGX_HTTP_TRACK_LISTEN_LIFE     32       /* bytes of an id's start */
#define NGX_HTTP_TRACK_LISTEN_TOKEN    256      /* bytes of one at most */
#define NGX_HTTP_TRACK_LISTEN_RETRY    1000     /* ms, for the client */
#define NGX_HTTP_TRACK_LISTEN_SOON     200      /* after a reload */


struct ngx_http_track_live_s {
    ngx_queue_t                  listeners;
    ngx_uint_t                   n;
    ngx_event_t                  timer;
    ngx_connection_t             dumb;          /* the timer's, for debug */
};


typedef struct {
    ngx_queue_t                  queue;
    ngx_http_request_t          *request;
    ngx_http_cleanup_t          *cleanup;
    ngx_buf_t                   *buf;
    uint64_t                     next;          /* verdict to be sent */
    uint64_t                     stuck;         /* was not whole */
    ngx_msec_t                   stuck_since;
    ngx_msec_t                   last;          /* something was sent */
    u_char                       hash[TRK_SHA256_LEN];
    unsigned                     busy:1;        /* buf is on its way */
} ngx_http_track_listener_t;


static ngx_int_t ngx_http_track_listen_token(ngx_http_request_t *r,
    u_char *hash);
static ngx_uint_t ngx_http_track_listen_allowed(const u_char *hash);
static ngx_int_t ngx_http_track_listen_unauthorized(ngx_http_request_t *r);
static ngx_int_t ngx_http_track_listen_start(ngx_http_request_t *r,
    u_char *hash);
static uint64_t ngx_http_track_listen_first(ngx_http_request_t *r,
    ngx_http_track_shm_t *sh);
static ngx_str_t ngx_http_track_listen_last_id(ngx_http_request_t *r);
static u_char *ngx_http_track_listen_life(u_char *p,
    ngx_http_track_shm_t *sh);
static ngx_int_t ngx_http_track_listen_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_track_listen_push(ngx_http_request_t *r, char *name,
    char *value);
static void ngx_http_track_listen_cleanup(void *data);
static void ngx_http_track_listen_look(ngx_event_t *ev);
static void ngx_http_track_listen_pump(ngx_http_track_listener_t *l);
static void ngx_http_track_listen_fill(ngx_http_track_listener_t *l);
static ngx_uint_t ngx_http_track_listen_skip(ngx_http_track_listener_t *l);
static ngx_uint_t ngx_http_track_listen_verdict(ngx_http_track_listener_t *l);
static ngx_int_t ngx_http_track_listen_send(ngx_http_track_listener_t *l);
static ngx_int_t ngx_http_track_listen_wait(ngx_http_track_listener_t *l);
static void ngx_http_track_listen_write_handler(ngx_http_request_t *r);
static void ngx_http_track_listen_end(ngx_http_track_listener_t *l);


char *
ngx_http_track_live(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_track_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_track_module);
    tmcf->live = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_track_listen_handler;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_track_live_init(ngx_http_track_worker_t *wk)
{
    ngx_http_track_live_t  *live;

    if (!wk->conf->live) {
        return NGX_OK;
    }

    live = ngx_pcalloc(wk->conf->cycle->pool, sizeof(ngx_http_track_live_t));
    if (live == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&live->listeners);

    live->dumb.fd = (ngx_socket_t) -1;
    live->timer.handler = ngx_http_track_listen_look;
    live->timer.data = &live->dumb;
    live->timer.log = wk->log;

    trk_buf_init(&wk->verdict, NGX_HTTP_TRACK_RING_TEXT);
    wk->live = live;

    return NGX_OK;
}


void
ngx_http_track_live_exit(ngx_http_track_worker_t *wk)
{
    trk_buf_free(&wk->verdict);
}


ngx_int_t
ngx_http_track_listen_handler(ngx_http_request_t *r)
{
    u_char                    hash[TRK_SHA256_LEN];
    ngx_int_t                 rc;
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    if (r->method != NGX_HTTP_GET) {
        return ngx_http_track_not_allowed(r, "GET");
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_track_listen_token(r, hash) != NGX_OK
        || !ngx_http_track_listen_allowed(hash))
    {
        ngx_http_track_count(wk, live_refused, 1);
        return ngx_http_track_listen_unauthorized(r);
    }

    if (wk->live->n >= NGX_HTTP_TRACK_LISTENERS || ngx_exiting
        || r != r->main)
    {
        ngx_http_track_count(wk, live_refused, 1);

        return ngx_http_track_listen_push(r, "Retry-After",
                                          NGX_HTTP_TRACK_RETRY) == NGX_OK
               ? NGX_HTTP_SERVICE_UNAVAILABLE
               : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_track_listen_start(r, hash);
}


/* Of "Authorization: Bearer <token>"; nowhere else is one looked for, least of
 * all in the URL, which is written to logs. */

static ngx_int_t
ngx_http_track_listen_token(ngx_http_request_t *r, u_char *hash)
{
    size_t      len;
    u_char     *p;
    ngx_str_t  *value;

    if (r->headers_in.authorization == NULL) {
        return NGX_DECLINED;
    }

    value = &r->headers_in.authorization->value;

    if (value->len < sizeof("Bearer ") - 1
        || ngx_strncasecmp(value->data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return NGX_DECLINED;
    }

    p = value->data + sizeof("Bearer ") - 1;
    len = value->len - (sizeof("Bearer ") - 1);

    while (len && *p == ' ') {
        p++;
        len--;
    }

    if (len == 0 || len > NGX_HTTP_TRACK_LISTEN_TOKEN) {
        return NGX_DECLINED;
    }

    trk_sha256(trk_str_of(p, len), hash);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_track_listen_allowed(const u_char *hash)
{
    ngx_time_t         *tp;
    const trk_image_t  *image;

    tp = ngx_timeofday();
    image = ngx_http_track_schema(ngx_http_track_worker);

    return image != NULL
           && trk_image_token(image, hash,
                              (int64_t) tp->sec * 1000 + tp->msec);
}


static ngx_int_t
ngx_http_track_listen_unauthorized(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "WWW-Authenticate");
    ngx_str_set(&h->value, "Bearer");
    h->lowcase_key = NULL;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    r->headers_out.www_authenticate = h;

    return NGX_HTTP_UNAUTHORIZED;
}


static ngx_int_t
ngx_http_track_listen_start(ngx_http_request_t *r, u_char *hash)
{
    ngx_http_cleanup_t         *cln;
    ngx_http_track_live_t      *live;
    ngx_http_track_worker_t    *wk;
    ngx_http_track_listener_t  *l;

    wk = ngx_http_track_worker;
    live = wk->live;

    l = ngx_pcalloc(r->pool, sizeof(ngx_http_track_listener_t));
    if (l == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    l->buf = ngx_create_temp_buf(r->pool, NGX_HTTP_TRACK_LISTEN_BUFFER);
    cln = ngx_http_cleanup_add(r, 0);

    if (l->buf == NULL || cln == NULL
        || ngx_http_track_listen_header(r) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    l->request = r;
    l->next = ngx_http_track_listen_first(r, wk->sh);
    l->last = ngx_current_msec;
    ngx_memcpy(l->hash, hash, TRK_SHA256_LEN);

    cln->handler = ngx_http_track_listen_cleanup;
    cln->data = l;
    l->cleanup = cln;

    ngx_queue_insert_tail(&live->listeners, &l->queue);
    wk->slot->listeners = ++live->n;
    ngx_http_track_count(wk, live_listeners, 1);

    if (!live->timer.timer_set) {
        ngx_add_timer(&live->timer, NGX_HTTP_TRACK_LISTEN_LOOK);
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_track_listen_write_handler;
    r->main->count++;

    l->buf->last = ngx_sprintf(l->buf->last, "retry: %d\n\n",
                               NGX_HTTP_TRACK_LISTEN_RETRY);

    ngx_http_track_listen_pump(l);

    return NGX_DONE;
}


/*
 * Where to begin: behind Last-Event-ID, if that is of this zone's life, else
 * with the oldest verdict there is.
 */

static uint64_t
ngx_http_track_listen_first(ngx_http_request_t *r, ngx_http_track_shm_t *sh)
{
    u_char           *p, *last, life[NGX_HTTP_TRACK_LISTEN_LIFE];
    uint64_t          head, n;
    ngx_str_t         id;

    head = sh->ring_head;
    id = ngx_http_track_listen_last_id(r);
    last = id.data + id.len;

    p = ngx_http_track_listen_life(life, sh);

    if (id.data && id.len > (size_t) (p - life)
        && ngx_strncmp(id.data, life, p - life) == 0)
    {
        n = 0;

        for (p = id.data + (p - life); p < last; p++) {
            if (*p < '0' || *p > '9' || n > head) {
                break;
            }

            n = n * 10 + (*p - '0');
        }

        if (p == last && n <= head) {
            return n + 1;
        }
    }

    return head > sh->nring ? head - sh->nring + 1 : 1;
}


static ngx_str_t
ngx_http_track_listen_last_id(ngx_http_request_t *r)
{
    ngx_str_t         none = ngx_null_string;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("Last-Event-ID") - 1
                && ngx_strncasecmp(h[i].key.data, (u_char *) "Last-Event-ID",
                                   h[i].key.len)
                   == 0)
            {
                return h[i].value;
            }
        }
    }

    return none;
}


/* What ids of this zone begin with: numbers start again in another one. */

static u_char *
ngx_http_track_listen_life(u_char *p, ngx_http_track_shm_t *sh)
{
    return ngx_sprintf(p, "%xL-", (int64_t) sh->ring_life);
}


static ngx_int_t
ngx_http_track_listen_header(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "text/event-stream");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_http_track_listen_push(r, "Cache-Control", "no-store") != NGX_OK
        || ngx_http_track_listen_push(r, "X-Accel-Buffering", "no") != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_send_header(r);

    return rc == NGX_ERROR || rc > NGX_OK ? NGX_ERROR : NGX_OK;
}


/* name and value are literals */

static ngx_int_t
ngx_http_track_listen_push(ngx_http_request_t *r, char *name, char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value.len = ngx_strlen(value);
    h->value.data = (u_char *) value;

    return NGX_OK;
}


/* The request ends, whatever ended it. */

static void
ngx_http_track_listen_cleanup(void *data)
{
    ngx_http_track_listener_t *l = data;

    ngx_http_track_live_t  *live;

    live = ngx_http_track_worker->live;

    ngx_queue_remove(&l->queue);
    ngx_http_track_worker->slot->listeners = --live->n;

    if (live->n == 0 && live->timer.timer_set) {
        ngx_del_timer(&live->timer);
    }
}


/* Ending one may end others, of the same connection: none is held on to. */

static void
ngx_http_track_listen_look(ngx_event_t *ev)
{
    ngx_uint_t                  i;
    ngx_queue_t                *q;
    ngx_connection_t           *c;
    ngx_http_track_live_t      *live;
    ngx_http_track_listener_t  *l;

    live = ngx_http_track_worker->live;

    for (i = live->n; i && !ngx_queue_empty(&live->listeners); i--) {
        q = ngx_queue_head(&live->listeners);

        /* the analyzer does not see that an ended one has left the queue */

        ngx_queue_remove(q);        /* NOLINT(clang-analyzer-core.*) */
        ngx_queue_insert_tail(&live->listeners, q);

        l = ngx_queue_data(q, ngx_http_track_listener_t, queue);
        c = l->request->connection;

        ngx_http_set_log_request(c->log, l->request);

        if (ngx_exiting || !ngx_http_track_listen_allowed(l->hash)) {
            ngx_http_track_listen_end(l);

        } else {
            ngx_http_track_listen_pump(l);
        }

        ngx_http_run_posted_requests(c);
    }

    if (live->n && !ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_TRACK_LISTEN_LOOK);
    }
}


/* Sends what there is, buffer by buffer, as fast as the client takes it. */

static void
ngx_http_track_listen_pump(ngx_http_track_listener_t *l)
{
    ngx_http_request_t  *r;

    r = l->request;

    while (!l->busy) {
        ngx_http_track_listen_fill(l);

        if (l->buf->last == l->buf->pos) {
            return;
        }

        if (ngx_http_track_listen_send(l) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }
    }
}


static void
ngx_http_track_listen_fill(ngx_http_track_listener_t *l)
{
    ngx_buf_t             *b;
    ngx_http_track_shm_t  *sh;

    b = l->buf;
    sh = ngx_http_track_worker->sh;

    while (l->next <= sh->ring_head
           && b->end - b->last >= NGX_HTTP_TRACK_LISTEN_ROOM)
    {
        if (!ngx_http_track_listen_skip(l)
            && !ngx_http_track_listen_verdict(l))
        {
            break;
        }
    }

    if (b->last == b->pos
        && ngx_current_msec - l->last >= NGX_HTTP_TRACK_LISTEN_BEAT)
    {
        b->last = ngx_cpymem(b->last, ": \n\n", sizeof(": \n\n") - 1);
    }
}


/* 1: what comes next was overwritten; the listener is told. */

static ngx_uint_t
ngx_http_track_listen_skip(ngx_http_track_listener_t *l)
{
    uint64_t                  oldest;
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;
    oldest = wk->sh->ring_head + 1 - wk->sh->nring;

    if (wk->sh->ring_head < wk->sh->nring || l->next >= oldest) {
        return 0;
    }

    l->buf->last = ngx_sprintf(l->buf->last,
                               "event: skipped\ndata: {\"skipped\":%uL}\n\n",
                               oldest - l->next);

    ngx_http_track_count(wk, live_skipped, oldest - l->next);
    l->next = oldest;

    return 1;
}


/* 0: the next one is not whole; it is waited for.  Its writer may have been
 * killed: after a while we go on without. */

static ngx_uint_t
ngx_http_track_listen_verdict(ngx_http_track_listener_t *l)
{
    size_t                    len;
    u_char                   *p;
    ngx_buf_t                *b;
    ngx_http_track_worker_t  *wk;

    b = l->buf;
    wk = ngx_http_track_worker;

    p = ngx_cpymem(b->last, "id: ", sizeof("id: ") - 1);
    p = ngx_http_track_listen_life(p, wk->sh);
    p = ngx_sprintf(p, "%uL\nevent: verdict\ndata: ", l->next);

    len = ngx_http_track_live_read(wk, l->next, p);

    if (len) {
        b->last = ngx_cpymem(p + len, "\n\n", sizeof("\n\n") - 1);
        l->next++;
        return 1;
    }

    if (l->stuck != l->next) {
        l->stuck = l->next;
        l->stuck_since = ngx_current_msec;
    }

    if (ngx_current_msec - l->stuck_since < NGX_HTTP_TRACK_LISTEN_STUCK) {
        return 0;
    }

    l->next++;

    return 1;
}


static ngx_int_t
ngx_http_track_listen_send(ngx_http_track_listener_t *l)
{
    ngx_chain_t  out;

    l->buf->flush = 1;
    l->busy = 1;
    l->last = ngx_current_msec;

    out.buf = l->buf;
    out.next = NULL;

    if (ngx_http_output_filter(l->request, &out) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_http_track_listen_wait(l);
}


/* After a write: the buffer is free again, or the client's turn has come. */

static ngx_int_t
ngx_http_track_listen_wait(ngx_http_track_listener_t *l)
{
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = l->request;
    wev = r->connection->write;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->buffered || r->postponed || r->connection->buffered) {

        if (!wev->delayed) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

        return ngx_handle_write_event(wev, clcf->send_lowat);
    }

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    l->buf->pos = l->buf->start;
    l->buf->last = l->buf->start;
    l->busy = 0;

    return NGX_OK;
}


static void
ngx_http_track_listen_write_handler(ngx_http_request_t *r)
{
    ngx_queue_t                *q;
    ngx_http_track_live_t      *live;
    ngx_http_track_listener_t  *l;

    live = ngx_http_track_worker->live;

    for (q = ngx_queue_head(&live->listeners); /* void */ ;
         q = ngx_queue_next(q))
    {
        if (q == ngx_queue_sentinel(&live->listeners)) {
            return;
        }

        l = ngx_queue_data(q, ngx_http_track_listener_t, queue);

        if (l->request == r) {
            break;
        }
    }

    if (r->connection->write->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (!l->busy) {
        return;
    }

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR
        || ngx_http_track_listen_wait(l) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ngx_http_track_listen_pump(l);
}


/* A reload, or a token that is good no more.  Who is in the middle of a
 * buffer is cut off: its last id was whole, and it comes again. */

static void
ngx_http_track_listen_end(ngx_http_track_listener_t *l)
{
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_http_request_t  *r;

    r = l->request;
    b = l->buf;

    ngx_http_track_listen_cleanup(l);
    l->cleanup->handler = NULL;

    r->keepalive = 0;

    if (l->busy) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    b->last = ngx_sprintf(b->last, "retry: %d\n\n",
                          NGX_HTTP_TRACK_LISTEN_SOON);
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ngx_http_finalize_request(r, ngx_http_output_filter(r, &out));
}
