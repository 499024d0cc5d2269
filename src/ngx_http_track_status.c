
/*
 * track_status: the zone's counters and the state of all workers, as JSON or
 * for Prometheus.
 *
 * The JSON document is built with cJSON, whose numbers are doubles; ours are up
 * to 64 bits and enter it as their digits.
 */


#include "ngx_http_track_metric.h"

#include <cjson/cJSON.h>


#define NGX_HTTP_TRACK_STATUS_MAX  (16 * 1024 * 1024)


typedef struct {
    cJSON                       *root;
    ngx_http_track_worker_t     *worker;
    ngx_http_track_metrics_t    *metrics;
    ngx_uint_t                   failed;        /* no memory for a part */
} ngx_http_track_status_t;

typedef ngx_int_t (*ngx_http_track_status_pt)(ngx_http_request_t *r,
    ngx_str_t *text);


static ngx_int_t ngx_http_track_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_track_prometheus_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_track_status_answer(ngx_http_request_t *r,
    ngx_http_track_status_pt document, ngx_str_t *type);
static ngx_int_t ngx_http_track_status_send(ngx_http_request_t *r,
    ngx_str_t *text);
static ngx_int_t ngx_http_track_status_copy(ngx_http_request_t *r,
    ngx_str_t *to, const void *text, size_t len);
static ngx_int_t ngx_http_track_status_prometheus(ngx_http_request_t *r,
    ngx_str_t *text);
static ngx_int_t ngx_http_track_status_json(ngx_http_request_t *r,
    ngx_str_t *text);
static void ngx_http_track_status_counters(ngx_http_track_status_t *st);
static void ngx_http_track_status_events(ngx_http_track_status_t *st);
static void ngx_http_track_status_acks(ngx_http_track_status_t *st);
static void ngx_http_track_status_gauges(ngx_http_track_status_t *st);
static void ngx_http_track_status_schema(ngx_http_track_status_t *st);
static void ngx_http_track_status_postgres(ngx_http_track_status_t *st);
static void ngx_http_track_status_workers(ngx_http_track_status_t *st);
static cJSON *ngx_http_track_status_slot(ngx_http_track_status_t *st,
    ngx_http_track_slot_t *slot);
static cJSON *ngx_http_track_status_object(ngx_http_track_status_t *st,
    const char *name);
static void ngx_http_track_status_add(ngx_http_track_status_t *st,
    cJSON *object, const char *name, cJSON *item);
static void ngx_http_track_status_number(ngx_http_track_status_t *st,
    cJSON *object, const char *name, uint64_t n);
static void ngx_http_track_status_text(ngx_http_track_status_t *st,
    cJSON *object, const char *name, const char *text, size_t len);
static void ngx_http_track_status_generation(ngx_http_track_status_t *st,
    cJSON *object, uint64_t generation);


static const char  *ngx_http_track_states[] = { "connecting", "up", "down" };


static ngx_str_t  ngx_http_track_json_type = ngx_string("application/json");
static ngx_str_t  ngx_http_track_text_type =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");


char *
ngx_http_track_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                   *value;
    ngx_http_handler_pt          handler;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_track_main_conf_t  *tmcf;

    value = cf->args->elts;

    if (cf->args->nelts == 1 || ngx_strcmp(value[1].data, "json") == 0) {
        handler = ngx_http_track_status_handler;

    } else if (ngx_strcmp(value[1].data, "prometheus") == 0) {
        handler = ngx_http_track_prometheus_handler;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", it must be \"json\" "
                           "or \"prometheus\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_track_module);
    tmcf->status = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_track_status_handler(ngx_http_request_t *r)
{
    return ngx_http_track_status_answer(r, ngx_http_track_status_json,
                                        &ngx_http_track_json_type);
}


static ngx_int_t
ngx_http_track_prometheus_handler(ngx_http_request_t *r)
{
    return ngx_http_track_status_answer(r, ngx_http_track_status_prometheus,
                                        &ngx_http_track_text_type);
}


static ngx_int_t
ngx_http_track_status_answer(ngx_http_request_t *r,
    ngx_http_track_status_pt document, ngx_str_t *type)
{
    ngx_int_t   rc;
    ngx_str_t   text;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_track_not_allowed(r, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (document(r, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = text.len;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_track_status_send(r, &text);
}


static ngx_int_t
ngx_http_track_status_send(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_buf_t    *b;
    ngx_chain_t   out;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_track_status_copy(ngx_http_request_t *r, ngx_str_t *to,
    const void *text, size_t len)
{
    to->len = len;
    to->data = ngx_pnalloc(r->pool, len);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, text, len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_track_status_prometheus(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_int_t                  rc;
    trk_buf_t                  b;
    ngx_http_track_metrics_t  *m;

    m = ngx_http_track_metrics(ngx_http_track_worker, r->pool);
    if (m == NULL) {
        return NGX_ERROR;
    }

    trk_buf_init(&b, NGX_HTTP_TRACK_STATUS_MAX);

    ngx_http_track_prometheus(&b, ngx_http_track_worker, m);

    rc = b.failed ? NGX_ERROR : ngx_http_track_status_copy(r, text, b.p, b.n);

    trk_buf_free(&b);

    return rc;
}


static ngx_int_t
ngx_http_track_status_json(ngx_http_request_t *r, ngx_str_t *text)
{
    char                     *p;
    ngx_int_t                 rc;
    ngx_http_track_status_t   st;

    st.worker = ngx_http_track_worker;
    st.failed = 0;

    st.metrics = ngx_http_track_metrics(st.worker, r->pool);
    if (st.metrics == NULL) {
        return NGX_ERROR;
    }

    st.root = cJSON_CreateObject();

    ngx_http_track_status_number(&st, st.root, "worker", ngx_pid);
    ngx_http_track_status_counters(&st);
    ngx_http_track_status_events(&st);
    ngx_http_track_status_acks(&st);
    ngx_http_track_status_gauges(&st);
    ngx_http_track_status_schema(&st);
    ngx_http_track_status_postgres(&st);
    ngx_http_track_status_workers(&st);

    p = st.failed ? NULL : cJSON_PrintUnformatted(st.root);
    cJSON_Delete(st.root);

    if (p == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_track_status_copy(r, text, p, ngx_strlen(p));
    cJSON_free(p);

    return rc;
}


static void
ngx_http_track_status_counters(ngx_http_track_status_t *st)
{
    cJSON                      *counters, *errors;
    ngx_uint_t                  i;
    ngx_http_track_counters_t  *c;

    c = &st->metrics->counters;
    counters = ngx_http_track_status_object(st, "counters");

#define NGX_HTTP_TRACK_COUNTER(name, metric, labels, help)                    \
    ngx_http_track_status_number(st, counters, #name, c->name);

    NGX_HTTP_TRACK_COUNTERS(NGX_HTTP_TRACK_COUNTER)
#undef NGX_HTTP_TRACK_COUNTER

    ngx_http_track_status_number(st, counters, "events_accepted",
                                 st->metrics->accepted);
    ngx_http_track_status_number(st, counters, "events_rejected",
                                 st->metrics->rejected);

    errors = cJSON_CreateObject();

    for (i = 1; i < TRK_ERR_COUNT; i++) {
        if (c->errors[i]) {
            ngx_http_track_status_number(st, errors, trk_error_name(i),
                                         c->errors[i]);
        }
    }

    ngx_http_track_status_add(st, counters, "errors", errors);
}


/* Those that were never seen are left out; "other" is null. */

static void
ngx_http_track_status_events(ngx_http_track_status_t *st)
{
    cJSON                    *events, *event;
    ngx_uint_t                i;
    const char               *verdict;
    ngx_http_track_events_t  *e;

    events = cJSON_CreateArray();

    for (i = 0; i < st->metrics->nevents; i++) {
        e = &st->metrics->events[i];
        event = cJSON_CreateObject();

        if (e->type.n) {
            ngx_http_track_status_text(st, event, "type", (char *) e->type.p,
                                       e->type.n);
        } else {
            ngx_http_track_status_add(st, event, "type", cJSON_CreateNull());
        }

        verdict = ngx_http_track_verdicts[e->verdict];
        ngx_http_track_status_text(st, event, "verdict", verdict,
                                   ngx_strlen(verdict));
        ngx_http_track_status_number(st, event, "count", e->count);

        (void) cJSON_AddItemToArray(events, event);
    }

    ngx_http_track_status_add(st, st->root, "events", events);
}


/* Each request is in one bucket only. */

static void
ngx_http_track_status_acks(ngx_http_track_status_t *st)
{
    cJSON                       *acks, *ack, *buckets;
    uint64_t                     count;
    ngx_uint_t                   i, n;
    u_char                       le[NGX_INT64_LEN + 1];
    ngx_http_track_histogram_t  *h;

    acks = ngx_http_track_status_object(st, "ack_ms");

    for (i = 0; i <= NGX_HTTP_TRACK_ACK_NONE; i++) {
        h = &st->metrics->counters.acks[i];
        ack = cJSON_CreateObject();
        buckets = cJSON_CreateObject();
        count = 0;

        for (n = 0; n <= NGX_HTTP_TRACK_ACK_NBUCKETS; n++) {
            count += h->buckets[n];

            if (n < NGX_HTTP_TRACK_ACK_NBUCKETS) {
                *ngx_sprintf(le, "%ui", ngx_http_track_buckets[n]) = '\0';

            } else {
                ngx_memcpy(le, "more", sizeof("more"));
            }

            ngx_http_track_status_number(st, buckets, (char *) le,
                                         h->buckets[n]);
        }

        ngx_http_track_status_number(st, ack, "count", count);
        ngx_http_track_status_number(st, ack, "sum", h->sum);
        ngx_http_track_status_add(st, ack, "buckets", buckets);
        ngx_http_track_status_add(st, acks, ngx_http_track_acks[i], ack);
    }
}


static void
ngx_http_track_status_gauges(ngx_http_track_status_t *st)
{
    cJSON  *gauges;

    gauges = ngx_http_track_status_object(st, "gauges");

#define NGX_HTTP_TRACK_GAUGE(name, metric, help)                              \
    ngx_http_track_status_number(st, gauges, metric, st->metrics->name);

    NGX_HTTP_TRACK_LEVELS(NGX_HTTP_TRACK_GAUGE)
    NGX_HTTP_TRACK_GAUGES(NGX_HTTP_TRACK_GAUGE)
#undef NGX_HTTP_TRACK_GAUGE
}


/* Of the schema in force here, which is that of all workers but for the
 * moment that one needs to notice another. */

static void
ngx_http_track_status_schema(ngx_http_track_status_t *st)
{
    char                      lineage[TRK_UUID_LEN];
    cJSON                    *schema;
    const trk_image_t        *image;
    ngx_http_track_worker_t  *wk;

    wk = st->worker;
    image = st->metrics->image;

    if (image == NULL) {
        ngx_http_track_status_add(st, st->root, "schema", cJSON_CreateNull());
        return;
    }

    schema = ngx_http_track_status_object(st, "schema");
    trk_uuid_format(&image->lineage, lineage);

    ngx_http_track_status_text(st, schema, "lineage", lineage, TRK_UUID_LEN);
    ngx_http_track_status_number(st, schema, "number", image->version);
    ngx_http_track_status_text(st, schema, "version", (char *) wk->version,
                               wk->version_len);
    ngx_http_track_status_generation(st, schema, wk->generation);
    ngx_http_track_status_number(st, schema, "event_types", image->ntypes);
    ngx_http_track_status_number(st, schema, "bytes", image->size);
    ngx_http_track_status_number(st, schema, "age_seconds",
                                 st->metrics->schema_age);
}


static void
ngx_http_track_status_postgres(ngx_http_track_status_t *st)
{
    cJSON                     *postgres;
    const char                *state;
    ngx_http_track_metrics_t  *m;

    m = st->metrics;
    state = ngx_http_track_states[m->postgres];

    ngx_http_track_status_number(st, st->root, "leader", m->leader_pid);

    postgres = ngx_http_track_status_object(st, "postgres");

    ngx_http_track_status_text(st, postgres, "state", state,
                               ngx_strlen(state));
    ngx_http_track_status_text(st, postgres, "error", m->postgres_error,
                               ngx_strlen(m->postgres_error));
    ngx_http_track_status_text(st, postgres, "schema_error", m->schema_error,
                               ngx_strlen(m->schema_error));
}


/* the living ones: killed workers leave their slots behind */

static void
ngx_http_track_status_workers(ngx_http_track_status_t *st)
{
    cJSON                  *workers;
    ngx_uint_t              i;
    ngx_http_track_slot_t  *slot;

    workers = cJSON_CreateArray();

    for (i = 0; i < NGX_HTTP_TRACK_SLOTS; i++) {
        slot = &st->worker->sh->slots[i];

        if (slot->life && ngx_http_track_lives(slot->life)) {
            (void) cJSON_AddItemToArray(workers,
                                        ngx_http_track_status_slot(st, slot));
        }
    }

    ngx_http_track_status_add(st, st->root, "workers", workers);
}


static cJSON *
ngx_http_track_status_slot(ngx_http_track_status_t *st,
    ngx_http_track_slot_t *slot)
{
    cJSON       *worker;
    const char  *kafka;

    worker = cJSON_CreateObject();
    kafka = ngx_http_track_states[slot->kafka];

    ngx_http_track_status_number(st, worker, "pid",
                                 ngx_http_track_life_pid(slot->life));
    ngx_http_track_status_text(st, worker, "edge", (char *) slot->edge,
                               NGX_HTTP_TRACK_EDGE_LEN);
    ngx_http_track_status_number(st, worker, "uptime_seconds",
                                 ngx_time() - (time_t) slot->started);
    ngx_http_track_status_text(st, worker, "kafka", kafka, ngx_strlen(kafka));

#define NGX_HTTP_TRACK_GAUGE(name, metric, help)                              \
    ngx_http_track_status_number(st, worker, #name, slot->name);

    NGX_HTTP_TRACK_GAUGES(NGX_HTTP_TRACK_GAUGE)
#undef NGX_HTTP_TRACK_GAUGE

    ngx_http_track_status_generation(st, worker, slot->generation);

    return worker;
}


/* An object of the document's top level. */

static cJSON *
ngx_http_track_status_object(ngx_http_track_status_t *st, const char *name)
{
    cJSON  *object;

    object = cJSON_CreateObject();
    ngx_http_track_status_add(st, st->root, name, object);

    return st->failed ? NULL : object;
}


/* Takes the item over; NULL for object or item is want of memory before. */

static void
ngx_http_track_status_add(ngx_http_track_status_t *st, cJSON *object,
    const char *name, cJSON *item)
{
    if (!cJSON_AddItemToObject(object, name, item)) {
        cJSON_Delete(item);
        st->failed = 1;
    }
}


static void
ngx_http_track_status_number(ngx_http_track_status_t *st, cJSON *object,
    const char *name, uint64_t n)
{
    u_char  digits[NGX_INT64_LEN + 1];

    *ngx_sprintf(digits, "%uL", n) = '\0';

    ngx_http_track_status_add(st, object, name,
                              cJSON_CreateRaw((char *) digits));
}


/* libpq's sentences are not always UTF-8, and cJSON would not look. */

static void
ngx_http_track_status_text(ngx_http_track_status_t *st, cJSON *object,
    const char *name, const char *text, size_t len)
{
    trk_buf_t  b;

    trk_buf_init(&b, 8 * NGX_HTTP_TRACK_ERROR_LEN);
    trk_buf_json_string(&b, trk_str_of(text, len));
    trk_buf_byte(&b, '\0');

    ngx_http_track_status_add(st, object, name,
                              b.failed ? NULL
                                       : cJSON_CreateRaw((char *) b.p));
    trk_buf_free(&b);
}


/* as in the names of image files; "" is none */

static void
ngx_http_track_status_generation(ngx_http_track_status_t *st, cJSON *object,
    uint64_t generation)
{
    u_char  text[sizeof("0123456789abcdef")], *last;

    last = text;

    if (generation) {
        last = ngx_sprintf(text, "%016xL", (int64_t) generation);
    }

    ngx_http_track_status_text(st, object, "generation", (char *) text,
                               last - text);
}
