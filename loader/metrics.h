/*
 * Counters and gauges, as atomics: any thread adds, the HTTP thread reads.
 * The table is the only list; names in Prometheus get the prefix
 * track_loader_.
 */

#ifndef LOADER_METRICS_H
#define LOADER_METRICS_H

#include "trk.h"


/* X(symbol, name, type, help) */
#define LOADER_METRICS(X)                                                     \
    X(RECORDS, "records_total", "counter", "Kafka records consumed")          \
    X(ROWS, "rows_total", "counter", "rows confirmed by ClickHouse")          \
    X(DEAD, "dead_total", "counter", "records sent to the dead-letter topic") \
    X(EXTRA, "extra_fields_total", "counter", "fields put in fields_extra")   \
    X(REPLACED, "times_replaced_total", "counter", "timestamps not believed") \
    X(BATCHES, "batches_total", "counter", "batches committed")               \
    X(INSERTS, "inserts_total", "counter", "inserts confirmed")               \
    X(INSERT_RETRIES, "insert_retries_total", "counter", "inserts repeated")  \
    X(INSERT_BYTES, "insert_bytes_total", "counter", "bytes of inserts")      \
    X(INSERT_MS, "insert_milliseconds_total", "counter", "time of inserts")   \
    X(COMMITS, "commits_total", "counter", "offset commits confirmed")        \
    X(FENCED, "commits_fenced_total", "counter", "partitions lost at commit") \
    X(TAKEOVERS, "takeovers_total", "counter", "partitions taken over")       \
    X(LOOKS, "looks_total", "counter", "looks for rows already there")        \
    X(HOLES, "holes_total", "counter", "blocks answered 200 but absent")      \
    X(PARTITIONS, "partitions", "gauge", "partitions owned")                  \
    X(LOOKING, "partitions_looking", "gauge", "partitions in looking mode")   \
    X(PAUSED, "partitions_paused", "gauge", "partitions paused")              \
    X(OPEN_BYTES, "open_bytes", "gauge", "memory of batches")                 \
    X(LAG, "lag_records", "gauge", "records waiting in Kafka")                \
    X(KAFKA_UP, "kafka_up", "gauge", "1: Kafka answers")                      \
    X(CLICKHOUSE_UP, "clickhouse_up", "gauge", "1: ClickHouse answers")       \
    X(POSTGRES_UP, "postgres_up", "gauge", "1: PostgreSQL answers")           \
    X(SCHEMA_LOADED, "schema_loaded", "gauge", "1: a schema has been read")   \
    X(SCHEMA_READS, "schema_reads_total", "counter", "schema versions read")  \
    X(SCHEMA_FIELDS, "schema_fields", "gauge", "typed columns known")         \
    X(LOOP_AT, "loop_at_milliseconds", "gauge",                               \
      "monotonic time of the main loop's last turn")


typedef enum {
#define LOADER_METRIC_ENUM(symbol, name, type, help)  LOADER_M_##symbol,
    LOADER_METRICS(LOADER_METRIC_ENUM)
#undef LOADER_METRIC_ENUM
    LOADER_M_COUNT
} loader_metric_t;


void loader_metric_add(loader_metric_t m, int64_t n);
void loader_metric_set(loader_metric_t m, int64_t v);
int64_t loader_metric_get(loader_metric_t m);

/* Prometheus' text format.  Failure shows in out->failed. */
void loader_metrics_write(trk_buf_t *out);


#endif /* LOADER_METRICS_H */
