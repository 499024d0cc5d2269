
/*
 * What track_status tells, in both of its formats: the zone read once.
 */


#ifndef _NGX_HTTP_TRACK_METRIC_H_INCLUDED_
#define _NGX_HTTP_TRACK_METRIC_H_INCLUDED_


#include "ngx_http_track.h"


/*
 * X(name, metric, help): what is not counted but is; track_<metric> for
 * Prometheus, under "gauges" in JSON.  Beside them stand the workers' gauges
 * of the zone (NGX_HTTP_TRACK_GAUGES).
 */

#define NGX_HTTP_TRACK_LEVELS(X)                                              \
    X(workers, "workers", "Living workers, leaving ones included")            \
    X(kafka_up, "kafka_up", "Workers whose producer reaches Kafka")           \
    X(postgres_up, "postgres_up",                                             \
      "1 if the leader's connection to PostgreSQL is up")                     \
    X(leader, "leader", "1 if a living worker reads the schema for all")      \
    X(schema_loaded, "schema_loaded", "1 if there is a schema to judge by")   \
    X(schema_number, "schema_number", "Number of the schema in force")        \
    X(schema_age, "schema_age_seconds",                                       \
      "Time since the schema in force was published here")                    \
    X(schema_types, "schema_event_types", "Event types of the schema")        \
    X(schema_bytes, "schema_bytes", "Size of its image")                      \
    X(spool_max, "spool_max_bytes", "What all spools may take; 0: off")       \
    X(spool_used, "spool_used_bytes",                                         \
      "What all spools take, those of killed workers included")               \
    X(spool_age, "spool_oldest_age_seconds",                                  \
      "Age of the oldest spooled record that Kafka does not have yet")


/* one series of events; type.n 0: "other" */

typedef struct {
    trk_str_t                    type;
    ngx_http_track_verdict_e     verdict;
    uint64_t                     count;
} ngx_http_track_events_t;


typedef struct {
    ngx_http_track_counters_t    counters;
    uint64_t                     accepted;      /* of all types */
    uint64_t                     rejected;

    ngx_http_track_events_t      events[NGX_HTTP_TRACK_SERIES];
    ngx_uint_t                   nevents;
    u_char                       types[NGX_HTTP_TRACK_SERIES]
                                      [TRK_EVENT_TYPE_MAX];

#define NGX_HTTP_TRACK_GAUGE(name, metric, help)  uint64_t  name;
    NGX_HTTP_TRACK_GAUGES(NGX_HTTP_TRACK_GAUGE)
    NGX_HTTP_TRACK_LEVELS(NGX_HTTP_TRACK_GAUGE)
#undef NGX_HTTP_TRACK_GAUGE

    const trk_image_t           *image;         /* in force; NULL: none */
    ngx_atomic_uint_t            leader_pid;
    ngx_atomic_uint_t            postgres;      /* ngx_http_track_state_e */
    char                         postgres_error[NGX_HTTP_TRACK_ERROR_LEN];
    char                         schema_error[NGX_HTTP_TRACK_ERROR_LEN];
} ngx_http_track_metrics_t;


extern ngx_uint_t   ngx_http_track_buckets[NGX_HTTP_TRACK_ACK_NBUCKETS];
extern const char  *ngx_http_track_acks[NGX_HTTP_TRACK_ACK_NONE + 1];
extern const char  *ngx_http_track_verdicts[NGX_HTTP_TRACK_REJECTED + 1];

/* All of it, as it is now, in pool's memory.  NULL: no memory. */
ngx_http_track_metrics_t *ngx_http_track_metrics(ngx_http_track_worker_t *wk,
    ngx_pool_t *pool);


/* ngx_http_track_prometheus.c: as text, in version 0.0.4 of its format. */
void ngx_http_track_prometheus(trk_buf_t *b, ngx_http_track_worker_t *wk,
    ngx_http_track_metrics_t *m);


#endif /* _NGX_HTTP_TRACK_METRIC_H_INCLUDED_ */
