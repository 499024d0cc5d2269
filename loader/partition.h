/*
 * One partition of a topic: takes it over, fills its open batch, and carries
 * out what the batch machine (lib/trk_batch.h) asks for the one that was cut.
 *
 * locality: main thread.  A partition object is never freed before the
 * process ends: late results find it, and are told by their tenure.
 */

#ifndef LOADER_PARTITION_H
#define LOADER_PARTITION_H

#include "loader.h"


typedef enum {
    LOADER_PARTITION_AWAY = 0,  /* not assigned to us */
    LOADER_PARTITION_TAKING,    /* assigned, paused, not taken over yet */
    LOADER_PARTITION_OWNED,
    LOADER_PARTITION_LOST       /* a commit was refused; until reassigned */
} loader_partition_state_t;


/* NULL: no memory.  index is its place in loader->partitions. */
loader_partition_t *loader_partition_create(loader_t *loader,
    const char *topic, int32_t number, size_t index);
void loader_partition_free(loader_partition_t *p);

int loader_partition_is(const loader_partition_t *p, const char *topic,
    int32_t number);

/* Assigned: blocks for a bounded time.  Returns the offset to begin at, or
 * LOADER_CONSUMER_LATER. */
int64_t loader_partition_assigned(loader_partition_t *p);

/* Drops all that is not committed. */
void loader_partition_revoked(loader_partition_t *p);

/* The consumer has ended: the same, and no result of a commit will come. */
void loader_partition_orphaned(loader_partition_t *p);

void loader_partition_message(loader_partition_t *p,
    const loader_message_t *msg, trk_str_t key);
void loader_partition_end(loader_partition_t *p, int64_t offset);
void loader_partition_position_lost(loader_partition_t *p,
    const char *error);
void loader_partition_committed(loader_partition_t *p, uint64_t tenure,
    loader_commit_t result, const char *error);

/* The report of a dead letter; tag as given to the producer.  The tag's index
 * of the partition is loader_partition_of_tag(). */
size_t loader_partition_of_tag(uint64_t tag);
void loader_partition_dead(loader_partition_t *p, uint64_t tag, int ok,
    const char *error);

/* Does what is due.  Returns the monotonic ms of the next time. */
int64_t loader_partition_turn(loader_partition_t *p);

/* A batch is on its way. */
int loader_partition_busy(const loader_partition_t *p);

/* For metrics. */
typedef struct {
    loader_partition_state_t  state;
    int                       looking;
    int                       paused;
    int64_t                   lag;      /* records; 0 if not known */
} loader_partition_view_t;

void loader_partition_view(const loader_partition_t *p,
    loader_partition_view_t *view);


#endif /* LOADER_PARTITION_H */
