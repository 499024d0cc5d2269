/*
 * The batch of a partition on its way: does what the batch machine asks, and
 * tells it what came of it.  Beside partition.c the only file that looks into
 * a loader_partition_t.
 *
 * locality: main thread.
 */

#ifndef LOADER_DELIVERY_H
#define LOADER_DELIVERY_H

#include "batch.h"
#include "log.h"
#include "partition.h"


#define LOADER_BODY_MAX  ((size_t) 2 << 30)


struct loader_partition_s {
    loader_t                  *loader;
    char                      *topic;
    int32_t                    number;
    size_t                     index;
    loader_partition_state_t   state;
    uint64_t                   tenure;      /* of one ownership, or try */
    size_t                     commits;     /* under way, of any tenure */
    int64_t                    retry_at;    /* TAKING, LOST: monotonic ms */
    int64_t                    retry_ms;

    trk_plan_t                 plan;        /* OWNED: what is to be passed */
    int64_t                    next;        /* offset expected from Kafka */
    int64_t                    end;         /* all below has arrived */
    int64_t                    done;        /* all below is committed */
    int                        paused;
    int                        schema_wait; /* held: needs a newer schema */

    loader_batch_t            *open;
    loader_batch_t            *current;     /* the machine's, if not idle */
    loader_records_t           held;
    size_t                     bytes;       /* as entered in loader->bytes */

    trk_batch_t                machine;
    loader_standing_t          standing;    /* of the last look */
    int                        building;    /* LOOK: decoding what is absent */
    loader_ch_request_t       *request;     /* under way, or NULL */
    trk_buf_t                  body;        /* of it */
    int64_t                    started;     /* when; monotonic ms */
    size_t                     reports;     /* of dead letters, awaited */
    int                        dead_failed;
    uint64_t                   attempts;    /* numbers query ids */
    loader_log_limit_t         limits[3];   /* by level */
};


/* The batch p->current was cut: begins. */
void loader_delivery_begin(loader_partition_t *p, int64_t now);

/* Goes on where time has passed. */
void loader_delivery_turn(loader_partition_t *p, int64_t now);

/* Lets go of everything under way; the machine is idle. */
void loader_delivery_drop(loader_partition_t *p);


/* In partition.c: the batch is given up, and the partition taken over anew
 * from what is committed; or it is another's. */
void loader_partition_retake(loader_partition_t *p, const char *why);
void loader_partition_lose(loader_partition_t *p);


#endif /* LOADER_DELIVERY_H */
