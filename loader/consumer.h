/*
 * The consumer of the group: messages, assignment, commits.  One of the two
 * files of the loader that know librdkafka.
 *
 * locality: main thread, all of it; handlers run inside
 * loader_consumer_serve().
 */

#ifndef LOADER_CONSUMER_H
#define LOADER_CONSUMER_H

#include "conf.h"
#include "rows.h"


#define LOADER_CONSUMER_LATER  ((int64_t) -1)

typedef struct loader_consumer_s  loader_consumer_t;

typedef enum {
    LOADER_COMMIT_OK,
    LOADER_COMMIT_FENCED,       /* the group says the partition is not ours */
    LOADER_COMMIT_FAILED        /* refused for now, or not known */
} loader_commit_t;

typedef struct {
    /* The group gives us a partition: returns the offset to begin at, or
     * LOADER_CONSUMER_LATER: it stays paused until loader_consumer_begin().
     * Called for all of an assignment before any message; may block for a
     * bounded time. */
    int64_t (*assigned)(void *data, const char *topic, int32_t partition);

    /* The group takes it away: drop what was not committed. */
    void (*revoked)(void *data, const char *topic, int32_t partition);

    void (*message)(void *data, const char *topic, int32_t partition,
        const loader_message_t *msg, trk_str_t key);

    /* Everything below offset has been handed over. */
    void (*end)(void *data, const char *topic, int32_t partition,
        int64_t offset);

    /* The log no longer has the offset we read at. */
    void (*position_lost)(void *data, const char *topic, int32_t partition,
        const char *error);

    /* of loader_consumer_commit() */
    void (*committed)(void *data, void *partition, uint64_t tenure,
        loader_commit_t result, const char *error);

    /* The client has ended for good; error is a sentence.  renew: not by
     * anybody's fault; free it and make another one. */
    void (*fatal)(void *data, int renew, const char *error);
} loader_consumer_handlers_t;


/* conf and handlers must outlive the consumer.  Joins the group later, in
 * loader_consumer_serve().  TRK_OK; TRK_INVALID, TRK_NOMEM: error is a
 * sentence. */
TRK_MUSTCHECK int loader_consumer_create(loader_consumer_t **consumer,
    const loader_conf_t *conf, const loader_consumer_handlers_t *handlers,
    void *data, char error[LOADER_ERROR_MAX]);

/* Does not leave the group: a static member that comes back within the
 * session has its partitions at once.  No handler is called. */
void loader_consumer_free(loader_consumer_t *consumer);

/* Handles what has arrived, at most `max` messages.  1: there is more. */
int loader_consumer_serve(loader_consumer_t *consumer, size_t max);

/* Readable when loader_consumer_serve() has something to do. */
int loader_consumer_fd(const loader_consumer_t *consumer);


/*
 * Commits one partition's offset with the group's generation; metadata may be
 * empty.  TRK_OK: the handler `committed` follows, once, with partition and
 * tenure as given.  TRK_INVALID: not begun.
 */
TRK_MUSTCHECK int loader_consumer_commit(loader_consumer_t *consumer,
    const char *topic, int32_t number, int64_t offset, trk_str_t metadata,
    void *partition, uint64_t tenure);

/* What is committed, blocking at most timeout ms: *offset is -1 if nothing
 * is; metadata is appended.  TRK_OK; TRK_IO: error is a sentence. */
TRK_MUSTCHECK int loader_consumer_committed(loader_consumer_t *consumer,
    const char *topic, int32_t partition, int timeout, int64_t *offset,
    trk_buf_t *metadata, char error[LOADER_ERROR_MAX]);

/* The log's first offset and the one beyond its last; as above. */
TRK_MUSTCHECK int loader_consumer_log(loader_consumer_t *consumer,
    const char *topic, int32_t partition, int timeout, int64_t *low,
    int64_t *high, char error[LOADER_ERROR_MAX]);

/* The last known end of the log without asking, or -1. */
int64_t loader_consumer_high(loader_consumer_t *consumer, const char *topic,
    int32_t partition);


/* What was fetched ahead is fetched again after a resume. */
void loader_consumer_pause(loader_consumer_t *consumer, const char *topic,
    int32_t partition);
void loader_consumer_resume(loader_consumer_t *consumer, const char *topic,
    int32_t partition);

/* Reads on at offset, and resumes.  TRK_OK; TRK_IO: error is a sentence, and
 * the partition stays paused. */
TRK_MUSTCHECK int loader_consumer_begin(loader_consumer_t *consumer,
    const char *topic, int32_t partition, int64_t offset,
    char error[LOADER_ERROR_MAX]);


#endif /* LOADER_CONSUMER_H */
