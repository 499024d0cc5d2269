/*
 * Copies of Kafka records, in order: those that wait to be decoded, and dead
 * letters.  locality: main thread.
 */

#ifndef LOADER_RECORDS_H
#define LOADER_RECORDS_H

#include "rows.h"


/* Views are of memory that the list owns. */
typedef struct {
    loader_message_t  msg;
    trk_str_t         key;
    char             *reason;       /* of a dead letter, else NULL */
    uint8_t           state;        /* of a dead letter: LOADER_DEAD_… */
    void             *memory;
} loader_record_t;

enum {
    LOADER_DEAD_NEW = 0,
    LOADER_DEAD_SENT,               /* its report is awaited */
    LOADER_DEAD_DONE
};

/* Zeroed memory is an empty list. */
typedef struct {
    loader_record_t  *v;
    size_t            head;         /* v[head] is the first */
    size_t            n;            /* v[n - 1] is the last */
    size_t            cap;
    size_t            bytes;        /* memory in use */
} loader_records_t;


/* Appends a copy; reason may be NULL.  TRK_NOMEM. */
TRK_MUSTCHECK int loader_records_add(loader_records_t *list,
    const loader_message_t *msg, trk_str_t key, const char *reason);

/* The first, or NULL; and away with it. */
loader_record_t *loader_records_first(loader_records_t *list);
void loader_records_shift(loader_records_t *list);

void loader_records_reset(loader_records_t *list);


#endif /* LOADER_RECORDS_H */
