
/*
 * track_status: the zone's counters and the state of all workers, as JSON.
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_STATUS_MAX  (1024 * 1024)


static void ngx_http_track_status_write(trk_buf_t *b,
    ngx_http_track_worker_t *wk);
static void ngx_http_track_status_counters(trk_buf_t *b,
    ngx_http_track_counters_t *counters);
static void ngx_http_track_status_schema(trk_buf_t *b,
    ngx_http_track_worker_t *wk);
static void ngx_http_track_status_postgres(trk_buf_t *b,
    ngx_http_track_worker_t *wk);
static void ngx_http_track_status_workers(trk_buf_t *b,
    ngx_http_track_worker_t *wk);
static void ngx_http_track_status_text(trk_buf_t *b, const char *text);
static void ngx_http_track_status_generation(trk_buf_t *b,
    ngx_atomic_uint_t generation);


static const char  *ngx_http_track_states[] = { "connecting", "up", "down" };


ngx_int_t
ngx_http_track_status_handler(ngx_http_request_t *r)
{
    trk_buf_t                 b;
    ngx_int_t                 rc;
    ngx_buf_t                *buf;
    ngx_chain_t               out;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_track_not_allowed(r, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    trk_buf_init(&b, NGX_HTTP_TRACK_STATUS_MAX);
    ngx_http_track_status_write(&b, ngx_http_track_worker);

    buf = b.failed ? NULL : ngx_create_temp_buf(r->pool, b.n);

    if (buf == NULL) {
        trk_buf_free(&b);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    buf->last = ngx_cpymem(buf->last, b.p, b.n);
    buf->last_buf = 1;
    buf->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b.n;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    trk_buf_free(&b);

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = buf;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
ngx_http_track_status_write(trk_buf_t *b, ngx_http_track_worker_t *wk)
{
    trk_buf_lit(b, "{\"worker\":");
    trk_buf_int(b, ngx_pid);

    ngx_http_track_status_counters(b, &wk->sh->counters);
    ngx_http_track_status_schema(b, wk);
    ngx_http_track_status_postgres(b, wk);
    ngx_http_track_status_workers(b, wk);

    trk_buf_lit(b, "}\n");
}


static void
ngx_http_track_status_counters(trk_buf_t *b,
    ngx_http_track_counters_t *counters)
{
    ngx_uint_t   i, n;

    trk_buf_lit(b, ",\"counters\":{");

#define NGX_HTTP_TRACK_COUNTER(name)                                          \
    trk_buf_lit(b, "\"" #name "\":");                                         \
    trk_buf_uint(b, counters->name);                                          \
    trk_buf_byte(b, ',');

    NGX_HTTP_TRACK_COUNTERS(NGX_HTTP_TRACK_COUNTER)
#undef NGX_HTTP_TRACK_COUNTER

    trk_buf_lit(b, "\"errors\":{");

    for (i = 1, n = 0; i < TRK_ERR_COUNT; i++) {
        if (counters->errors[i] == 0) {
            continue;
        }

        trk_buf_add(b, ",", n++ == 0 ? 0 : 1);
        ngx_http_track_status_text(b, trk_error_name(i));
        trk_buf_byte(b, ':');
        trk_buf_uint(b, counters->errors[i]);
    }

    trk_buf_lit(b, "}}");
}


/* Of the schema in force here, which is that of all workers but for the
 * moment that one needs to notice another. */

static void
ngx_http_track_status_schema(trk_buf_t *b, ngx_http_track_worker_t *wk)
{
    char                lineage[TRK_UUID_LEN];
    time_t              age;
    const trk_image_t  *image;

    image = ngx_http_track_schema(wk);

    if (image == NULL) {
        trk_buf_lit(b, ",\"schema\":null");
        return;
    }

    age = ngx_time() - (time_t) wk->sh->published;
    trk_uuid_format(&image->lineage, lineage);

    trk_buf_lit(b, ",\"schema\":{\"lineage\":\"");
    trk_buf_add(b, lineage, TRK_UUID_LEN);
    trk_buf_lit(b, "\",\"number\":");
    trk_buf_uint(b, image->version);
    trk_buf_lit(b, ",\"version\":\"");
    trk_buf_add(b, wk->version, wk->version_len);
    trk_buf_lit(b, "\",\"generation\":");
    ngx_http_track_status_generation(b, wk->generation);
    trk_buf_lit(b, ",\"event_types\":");
    trk_buf_uint(b, image->ntypes);
    trk_buf_lit(b, ",\"bytes\":");
    trk_buf_uint(b, image->size);
    trk_buf_lit(b, ",\"age_seconds\":");
    trk_buf_int(b, ngx_max(age, 0));
    trk_buf_byte(b, '}');
}


static void
ngx_http_track_status_postgres(trk_buf_t *b, ngx_http_track_worker_t *wk)
{
    char                   error[NGX_HTTP_TRACK_ERROR_LEN];
    char                   schema_error[NGX_HTTP_TRACK_ERROR_LEN];
    ngx_atomic_uint_t      leader, state;
    ngx_http_track_shm_t  *sh;

    sh = wk->sh;

    ngx_shmtx_lock(&wk->shpool->mutex);

    leader = sh->lease_pid;
    state = sh->postgres;
    ngx_memcpy(error, sh->postgres_error, sizeof(error));
    ngx_memcpy(schema_error, sh->schema_error, sizeof(schema_error));

    ngx_shmtx_unlock(&wk->shpool->mutex);

    trk_buf_lit(b, ",\"leader\":");
    trk_buf_uint(b, leader);
    trk_buf_lit(b, ",\"postgres\":{\"state\":");
    ngx_http_track_status_text(b, ngx_http_track_states[state]);
    trk_buf_lit(b, ",\"error\":");
    ngx_http_track_status_text(b, error);
    trk_buf_lit(b, ",\"schema_error\":");
    ngx_http_track_status_text(b, schema_error);
    trk_buf_byte(b, '}');
}


/* the living ones: killed workers leave their slots behind */

static void
ngx_http_track_status_workers(trk_buf_t *b, ngx_http_track_worker_t *wk)
{
    ngx_uint_t              i, n;
    ngx_atomic_uint_t       pid;
    ngx_http_track_slot_t  *slot;

    trk_buf_lit(b, ",\"workers\":[");

    for (i = 0, n = 0; i < NGX_HTTP_TRACK_SLOTS; i++) {
        slot = &wk->sh->slots[i];
        pid = slot->pid;

        if (pid == 0 || !ngx_http_track_alive(pid)) {
            continue;
        }

        trk_buf_add(b, ",", n++ == 0 ? 0 : 1);
        trk_buf_lit(b, "{\"pid\":");
        trk_buf_uint(b, pid);
        trk_buf_lit(b, ",\"edge\":\"");
        trk_buf_add(b, slot->edge, NGX_HTTP_TRACK_EDGE_LEN);
        trk_buf_lit(b, "\",\"uptime_seconds\":");
        trk_buf_int(b, ngx_time() - (time_t) slot->started);
        trk_buf_lit(b, ",\"kafka\":");
        ngx_http_track_status_text(b, ngx_http_track_states[slot->kafka]);
        trk_buf_lit(b, ",\"queue\":");
        trk_buf_uint(b, slot->queue);
        trk_buf_lit(b, ",\"generation\":");
        ngx_http_track_status_generation(b, slot->generation);
        trk_buf_byte(b, '}');
    }

    trk_buf_byte(b, ']');
}


static void
ngx_http_track_status_text(trk_buf_t *b, const char *text)
{
    trk_buf_json_string(b, trk_str_of(text, ngx_strlen(text)));
}


/* as in the names of image files; "" is none */

static void
ngx_http_track_status_generation(trk_buf_t *b, ngx_atomic_uint_t generation)
{
    u_char  *last, text[sizeof("0123456789abcdef")];

    last = text;

    if (generation) {
        last = ngx_sprintf(text, "%016xL", (int64_t) generation);
    }

    trk_buf_json_string(b, trk_str_of(text, (size_t) (last - text)));
}
