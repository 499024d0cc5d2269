/*
 * What consumer.c and producer.c share; it stands in producer.c, since only
 * those two may know librdkafka, whose types are therefore named but not
 * included here.
 */

#ifndef LOADER_KAFKA_H
#define LOADER_KAFKA_H

#include "conf.h"


struct rd_kafka_conf_s;
struct rd_kafka_queue_s;


typedef struct {
    const char  *key;
    const char  *value;
} loader_kafka_property_t;


/*
 * A configuration of the client: defaults, then [kafka.properties], then
 * ours, which nobody changes (both lists end with a NULL key).  NULL: error
 * is a sentence, also when [kafka.properties] has a key that a promise rests
 * on.
 */
struct rd_kafka_conf_s *loader_kafka_conf(const loader_conf_t *conf,
    const loader_kafka_property_t *defaults,
    const loader_kafka_property_t *ours, char error[LOADER_ERROR_MAX]);

/* Do the Kafka keys of loader.conf make sense to the client?  Connects to
 * nothing.  TRK_OK; TRK_INVALID: error is a sentence. */
TRK_MUSTCHECK int loader_kafka_check(const loader_conf_t *conf,
    char error[LOADER_ERROR_MAX]);

/* Makes fd, an eventfd, readable whenever the queue stops being empty. */
void loader_kafka_notify(struct rd_kafka_queue_s *queue, int fd);

/* Reads the eventfd empty: before its queue is drained, never after. */
void loader_kafka_drain(int fd);


#endif /* LOADER_KAFKA_H */
