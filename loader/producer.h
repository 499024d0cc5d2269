/*
 * What the loader writes to Kafka: dead letters, and the topics themselves.
 * One of the two files of the loader that know librdkafka.
 */

#ifndef LOADER_PRODUCER_H
#define LOADER_PRODUCER_H

#include <stdio.h>

#include "conf.h"


/* A record that could not be decoded.  Views are the caller's. */
typedef struct {
    trk_str_t    topic;         /* where it stood */
    int32_t      partition;
    int64_t      offset;
    int64_t      time;          /* Kafka's timestamp, ms; -1: none */
    trk_str_t    key;           /* p is NULL: none */
    trk_str_t    value;         /* p is NULL: a tombstone */
    const char  *reason;
} loader_dead_t;

typedef struct loader_producer_s  loader_producer_t;

/* Delivered by all in-sync replicas (1), or not as far as is known (0). */
typedef void (*loader_dead_done_pt)(void *data, uint64_t tag, int ok,
    const char *error);


/*
 * locality: main thread, all of these.  conf must outlive the producer.
 * TRK_OK; TRK_INVALID, TRK_NOMEM: error is a sentence.
 */
TRK_MUSTCHECK int loader_producer_create(loader_producer_t **producer,
    const loader_conf_t *conf, loader_dead_done_pt done, void *data,
    char error[LOADER_ERROR_MAX]);

/* Waits at most timeout ms for reports; later ones are never told. */
void loader_producer_free(loader_producer_t *producer, int timeout);

/* Copies the record to the dead-letter topic with its reason and coordinates
 * in headers; done(data, tag, …) follows from loader_producer_serve(), once.
 * TRK_OK; TRK_AGAIN: the queue is full, later; TRK_INVALID: refused, error
 * is a sentence. */
TRK_MUSTCHECK int loader_producer_dead(loader_producer_t *producer,
    const loader_dead_t *dead, uint64_t tag, char error[LOADER_ERROR_MAX]);

void loader_producer_serve(loader_producer_t *producer);

/* Readable when loader_producer_serve() has something to do. */
int loader_producer_fd(const loader_producer_t *producer);


/*
 * Makes the topics of conf that are missing (design: Loader), printing a line
 * for each to out; blocks at most some 60 s.  TRK_OK: all four are there;
 * TRK_IO, TRK_INVALID, TRK_NOMEM: error is a sentence.
 */
TRK_MUSTCHECK int loader_topics_create(const loader_conf_t *conf, FILE *out,
    char error[LOADER_ERROR_MAX]);


#endif /* LOADER_PRODUCER_H */
