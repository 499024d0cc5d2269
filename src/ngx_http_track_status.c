
/*
 * track_status: the zone's counters and the state of all workers, as JSON.
 *
 * The document is built with cJSON, whose numbers are doubles; ours are up
 * to 64 bits and enter it as their digits.
 */


#include "ngx_http_track.h"

#include <cjson/cJSON.h>


typedef struct {
    cJSON                       *root;
    ngx_http_track_worker_t     *worker;
    ngx_uint_t                   failed;        /* no memory for a part */
} ngx_http_track_status_t;


static ngx_buf_t *ngx_http_track_status_document(ngx_http_request_t *r);
static void ngx_http_track_status_counters(ngx_http_track_status_t *st);
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


ngx_int_t
ngx_http_track_status_handler(ngx_http_request_t *r)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_track_not_allowed(r, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    b = ngx_http_track_status_document(r);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* NULL: no memory. */

static ngx_buf_t *
ngx_http_track_status_document(ngx_http_request_t *r)
{
    char                     *text;
    size_t                    len;
    ngx_buf_t                *b;
    ngx_http_track_status_t   st;

    st.root = cJSON_CreateObject();
    st.worker = ngx_http_track_worker;
    st.failed = 0;

    ngx_http_track_status_number(&st, st.root, "worker", ngx_pid);
    ngx_http_track_status_counters(&st);
    ngx_http_track_status_schema(&st);
    ngx_http_track_status_postgres(&st);
    ngx_http_track_status_workers(&st);

    text = st.failed ? NULL : cJSON_PrintUnformatted(st.root);
    cJSON_Delete(st.root);

    if (text == NULL) {
        return NULL;
    }

    len = ngx_strlen(text);
    b = ngx_create_temp_buf(r->pool, len + 1);

    if (b) {
        b->last = ngx_cpymem(b->last, text, len);
        *b->last++ = LF;
        b->last_buf = 1;
        b->last_in_chain = 1;
    }

    cJSON_free(text);

    return b;
}


static void
ngx_http_track_status_counters(ngx_http_track_status_t *st)
{
    cJSON                      *counters, *errors;
    ngx_uint_t                  i;
    ngx_http_track_counters_t   sum, *c;

    c = &sum;
    ngx_http_track_count_sum(st->worker->sh, c);
    counters = ngx_http_track_status_object(st, "counters");

#define NGX_HTTP_TRACK_COUNTER(name, metric, labels, help)                    \
    ngx_http_track_status_number(st, counters, #name, c->name);

    NGX_HTTP_TRACK_COUNTERS(NGX_HTTP_TRACK_COUNTER)
#undef NGX_HTTP_TRACK_COUNTER

    errors = cJSON_CreateObject();

    for (i = 1; i < TRK_ERR_COUNT; i++) {
        if (c->errors[i]) {
            ngx_http_track_status_number(st, errors, trk_error_name(i),
                                         c->errors[i]);
        }
    }

    ngx_http_track_status_add(st, counters, "errors", errors);
}


/* Of the schema in force here, which is that of all workers but for the
 * moment that one needs to notice another. */

static void
ngx_http_track_status_schema(ngx_http_track_status_t *st)
{
    char                      lineage[TRK_UUID_LEN];
    cJSON                    *schema;
    time_t                    age;
    const trk_image_t        *image;
    ngx_http_track_worker_t  *wk;

    wk = st->worker;
    image = ngx_http_track_schema(wk);

    if (image == NULL) {
        ngx_http_track_status_add(st, st->root, "schema", cJSON_CreateNull());
        return;
    }

    schema = ngx_http_track_status_object(st, "schema");
    age = ngx_time() - (time_t) wk->sh->published;
    trk_uuid_format(&image->lineage, lineage);

    ngx_http_track_status_text(st, schema, "lineage", lineage, TRK_UUID_LEN);
    ngx_http_track_status_number(st, schema, "number", image->version);
    ngx_http_track_status_text(st, schema, "version", (char *) wk->version,
                               wk->version_len);
    ngx_http_track_status_generation(st, schema, wk->generation);
    ngx_http_track_status_number(st, schema, "event_types", image->ntypes);
    ngx_http_track_status_number(st, schema, "bytes", image->size);
    ngx_http_track_status_number(st, schema, "age_seconds", ngx_max(age, 0));
}


static void
ngx_http_track_status_postgres(ngx_http_track_status_t *st)
{
    char                      error[NGX_HTTP_TRACK_ERROR_LEN];
    char                      schema_error[NGX_HTTP_TRACK_ERROR_LEN];
    cJSON                    *postgres;
    const char               *state;
    ngx_atomic_uint_t         leader;
    ngx_http_track_shm_t     *sh;
    ngx_http_track_worker_t  *wk;

    wk = st->worker;
    sh = wk->sh;

    ngx_shmtx_lock(&wk->shpool->mutex);

    leader = sh->lease_pid;
    state = ngx_http_track_states[sh->postgres];
    ngx_memcpy(error, sh->postgres_error, sizeof(error));
    ngx_memcpy(schema_error, sh->schema_error, sizeof(schema_error));

    ngx_shmtx_unlock(&wk->shpool->mutex);

    ngx_http_track_status_number(st, st->root, "leader", leader);

    postgres = ngx_http_track_status_object(st, "postgres");

    ngx_http_track_status_text(st, postgres, "state", state,
                               ngx_strlen(state));
    ngx_http_track_status_text(st, postgres, "error", error,
                               ngx_strlen(error));
    ngx_http_track_status_text(st, postgres, "schema_error", schema_error,
                               ngx_strlen(schema_error));
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

        if (slot->pid && ngx_http_track_alive(slot->pid)) {
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

    ngx_http_track_status_number(st, worker, "pid", slot->pid);
    ngx_http_track_status_text(st, worker, "edge", (char *) slot->edge,
                               NGX_HTTP_TRACK_EDGE_LEN);
    ngx_http_track_status_number(st, worker, "uptime_seconds",
                                 ngx_time() - (time_t) slot->started);
    ngx_http_track_status_text(st, worker, "kafka", kafka, ngx_strlen(kafka));
    ngx_http_track_status_number(st, worker, "queue", slot->queue);
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
