
/*
 * track_status prometheus: Prometheus' text format 0.0.4.
 *
 * Lines of one metric stand together under its HELP and TYPE.  Names of event
 * types are the only values that others choose, and are escaped.
 */


#include "ngx_http_track_metric.h"


static void ngx_http_track_prometheus_counters(trk_buf_t *b,
    ngx_http_track_metrics_t *m);
static void ngx_http_track_prometheus_events(trk_buf_t *b,
    ngx_http_track_metrics_t *m);
static void ngx_http_track_prometheus_acks(trk_buf_t *b,
    ngx_http_track_metrics_t *m);
static void ngx_http_track_prometheus_ack(trk_buf_t *b, const char *ack,
    ngx_http_track_histogram_t *h);
static void ngx_http_track_prometheus_gauges(trk_buf_t *b,
    ngx_http_track_metrics_t *m);
static void ngx_http_track_prometheus_schema(trk_buf_t *b,
    ngx_http_track_worker_t *wk, ngx_http_track_metrics_t *m);
static void ngx_http_track_prometheus_head(trk_buf_t *b, const char *metric,
    const char *type, const char *help);
static void ngx_http_track_prometheus_label(trk_buf_t *b, trk_str_t value);
static void ngx_http_track_prometheus_seconds(trk_buf_t *b, uint64_t ms);
static void ngx_http_track_prometheus_text(trk_buf_t *b, const char *s);


void
ngx_http_track_prometheus(trk_buf_t *b, ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m)
{
    ngx_http_track_prometheus_counters(b, m);
    ngx_http_track_prometheus_events(b, m);
    ngx_http_track_prometheus_acks(b, m);
    ngx_http_track_prometheus_gauges(b, m);
    ngx_http_track_prometheus_schema(b, wk, m);
}


static void
ngx_http_track_prometheus_counters(trk_buf_t *b, ngx_http_track_metrics_t *m)
{
    ngx_uint_t   i;
    const char  *last;

    static const struct {
        const char  *metric;
        const char  *labels;
        const char  *help;
        size_t       offset;
    } rows[] = {
#define NGX_HTTP_TRACK_COUNTER(name, metric, labels, help)                    \
        { metric "_total", labels, help,                                      \
          offsetof(ngx_http_track_counters_t, name) },
        NGX_HTTP_TRACK_COUNTERS(NGX_HTTP_TRACK_COUNTER)
#undef NGX_HTTP_TRACK_COUNTER
    };

    last = "";

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        if (ngx_strcmp(rows[i].metric, last) != 0) {
            last = rows[i].metric;
            ngx_http_track_prometheus_head(b, last, "counter", rows[i].help);
        }

        trk_buf_lit(b, "track_");
        ngx_http_track_prometheus_text(b, rows[i].metric);

        if (rows[i].labels[0]) {
            trk_buf_byte(b, '{');
            ngx_http_track_prometheus_text(b, rows[i].labels);
            trk_buf_byte(b, '}');
        }

        trk_buf_byte(b, ' ');
        trk_buf_uint(b, *(ngx_atomic_t *) ((u_char *) &m->counters
                                           + rows[i].offset));
        trk_buf_byte(b, LF);
    }
}


static void
ngx_http_track_prometheus_events(trk_buf_t *b, ngx_http_track_metrics_t *m)
{
    ngx_uint_t                i;
    ngx_http_track_events_t  *e;

    ngx_http_track_prometheus_head(b, "events_total", "counter",
                                   "Events judged, by type and verdict");

    for (i = 0; i < m->nevents; i++) {
        e = &m->events[i];

        trk_buf_lit(b, "track_events_total{type=\"");
        ngx_http_track_prometheus_label(b, e->type.n ? e->type
                                                     : trk_str("other"));
        trk_buf_lit(b, "\",verdict=\"");
        ngx_http_track_prometheus_text(b, ngx_http_track_verdicts[e->verdict]);
        trk_buf_lit(b, "\"} ");
        trk_buf_uint(b, e->count);
        trk_buf_byte(b, LF);
    }

    ngx_http_track_prometheus_head(b, "errors_total", "counter",
                            "Errors of requests and of their events, by code");

    for (i = 1; i < TRK_ERR_COUNT; i++) {
        trk_buf_lit(b, "track_errors_total{code=\"");
        ngx_http_track_prometheus_text(b, trk_error_name(i));
        trk_buf_lit(b, "\"} ");
        trk_buf_uint(b, m->counters.errors[i]);
        trk_buf_byte(b, LF);
    }
}


static void
ngx_http_track_prometheus_acks(trk_buf_t *b, ngx_http_track_metrics_t *m)
{
    ngx_uint_t  i;

    ngx_http_track_prometheus_head(b, "ack_seconds", "histogram",
                  "Time from verdict to acknowledgement, by what it rests on");

    for (i = 0; i <= NGX_HTTP_TRACK_ACK_NONE; i++) {
        ngx_http_track_prometheus_ack(b, ngx_http_track_acks[i],
                                      &m->counters.acks[i]);
    }
}


/* Buckets are cumulative here, unlike in the zone. */

static void
ngx_http_track_prometheus_ack(trk_buf_t *b, const char *ack,
    ngx_http_track_histogram_t *h)
{
    uint64_t    count;
    ngx_uint_t  i;

    count = 0;

    for (i = 0; i <= NGX_HTTP_TRACK_ACK_NBUCKETS; i++) {
        count += h->buckets[i];

        trk_buf_lit(b, "track_ack_seconds_bucket{ack=\"");
        ngx_http_track_prometheus_text(b, ack);
        trk_buf_lit(b, "\",le=\"");

        if (i < NGX_HTTP_TRACK_ACK_NBUCKETS) {
            ngx_http_track_prometheus_seconds(b, ngx_http_track_buckets[i]);

        } else {
            trk_buf_lit(b, "+Inf");
        }

        trk_buf_lit(b, "\"} ");
        trk_buf_uint(b, count);
        trk_buf_byte(b, LF);
    }

    trk_buf_lit(b, "track_ack_seconds_sum{ack=\"");
    ngx_http_track_prometheus_text(b, ack);
    trk_buf_lit(b, "\"} ");
    ngx_http_track_prometheus_seconds(b, h->sum);

    trk_buf_lit(b, "\ntrack_ack_seconds_count{ack=\"");
    ngx_http_track_prometheus_text(b, ack);
    trk_buf_lit(b, "\"} ");
    trk_buf_uint(b, count);
    trk_buf_byte(b, LF);
}


static void
ngx_http_track_prometheus_gauges(trk_buf_t *b, ngx_http_track_metrics_t *m)
{
#define NGX_HTTP_TRACK_GAUGE(name, metric, help)                              \
    ngx_http_track_prometheus_head(b, metric, "gauge", help);                 \
    trk_buf_lit(b, "track_" metric " ");                                      \
    trk_buf_uint(b, m->name);                                                 \
    trk_buf_byte(b, LF);

    NGX_HTTP_TRACK_LEVELS(NGX_HTTP_TRACK_GAUGE)
    NGX_HTTP_TRACK_GAUGES(NGX_HTTP_TRACK_GAUGE)
#undef NGX_HTTP_TRACK_GAUGE
}


static void
ngx_http_track_prometheus_schema(trk_buf_t *b, ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m)
{
    ngx_http_track_prometheus_head(b, "schema_info", "gauge",
                            "1, with the version of the schema in force");

    if (m->image) {
        trk_buf_lit(b, "track_schema_info{version=\"");
        trk_buf_add(b, wk->version, wk->version_len);
        trk_buf_lit(b, "\"} 1\n");
    }
}


static void
ngx_http_track_prometheus_head(trk_buf_t *b, const char *metric,
    const char *type, const char *help)
{
    trk_buf_lit(b, "# HELP track_");
    ngx_http_track_prometheus_text(b, metric);
    trk_buf_byte(b, ' ');
    ngx_http_track_prometheus_text(b, help);
    trk_buf_lit(b, "\n# TYPE track_");
    ngx_http_track_prometheus_text(b, metric);
    trk_buf_byte(b, ' ');
    ngx_http_track_prometheus_text(b, type);
    trk_buf_byte(b, LF);
}


static void
ngx_http_track_prometheus_label(trk_buf_t *b, trk_str_t value)
{
    size_t  i;

    for (i = 0; i < value.n; i++) {
        switch (value.p[i]) {

        case LF:
            trk_buf_lit(b, "\\n");
            break;

        case '"':
        case '\\':
            trk_buf_byte(b, '\\');

            /* fall through */

        default:
            trk_buf_byte(b, value.p[i]);
        }
    }
}


static void
ngx_http_track_prometheus_seconds(trk_buf_t *b, uint64_t ms)
{
    u_char  text[NGX_INT64_LEN + sizeof(".000")], *last;

    last = ngx_sprintf(text, "%uL.%03uL", ms / 1000, ms % 1000);
    trk_buf_add(b, text, last - text);
}


static void
ngx_http_track_prometheus_text(trk_buf_t *b, const char *s)
{
    trk_buf_add(b, s, ngx_strlen(s));
}
