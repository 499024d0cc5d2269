/*
 * What the main thread's parts share.
 */

#ifndef LOADER_LOADER_H
#define LOADER_LOADER_H

#include "clickhouse.h"
#include "consumer.h"
#include "producer.h"
#include "schema.h"
#include "trk_batch.h"


typedef struct loader_partition_s  loader_partition_t;

typedef struct {
    const loader_conf_t   *conf;
    loader_consumer_t     *consumer;
    loader_producer_t     *producer;
    loader_clickhouse_t   *ch;
    loader_schema_t       *schema;
    trk_batch_limits_t     limits;
    loader_partition_t   **partitions;      /* ever seen; never removed */
    size_t                 npartitions;
    size_t                 bytes;           /* memory of all batches */
    int64_t                take_at;         /* no take-over before; one has
                                               failed.  Monotonic ms */
    int                    stopping;        /* no new batch is begun */
    int                    renew;           /* the consumer must be */
    char                   fatal[LOADER_ERROR_MAX];     /* "": none */
} loader_t;


/* Runs until SIGTERM or SIGINT, which the caller has blocked, or until
 * something fails for good.  Returns the exit status. */
int loader_run(const loader_conf_t *conf);


#endif /* LOADER_LOADER_H */
