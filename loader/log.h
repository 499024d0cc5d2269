/*
 * The log: one line a message on stderr, with time (UTC), level and text.
 * Any thread may call; a line is one write(2).
 */

#ifndef LOADER_LOG_H
#define LOADER_LOG_H

#include <stdatomic.h>
#include <stdint.h>


typedef enum {
    LOADER_LOG_ERROR,       /* something is wrong and needs a person */
    LOADER_LOG_WARN,        /* wrong, but mends itself */
    LOADER_LOG_INFO         /* start, stop, assignment, schema, migration */
} loader_log_level_t;


/* One kind of repeating message: static storage, zeroed. */
typedef struct {
    _Atomic int64_t   next;         /* monotonic ms; silent before */
    _Atomic uint64_t  suppressed;   /* since it was last written */
} loader_log_limit_t;

#define LOADER_LOG_EVERY  10000     /* ms between two of one kind */


/* A line end in the text becomes a space; over 2 KB it is cut. */
void loader_log(loader_log_level_t level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, at most once in LOADER_LOG_EVERY for each limit; what was left
 * out is counted in the next. */
void loader_log_limited(loader_log_limit_t *limit, loader_log_level_t level,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* CLOCK_MONOTONIC and CLOCK_REALTIME in ms. */
int64_t loader_monotonic(void);
int64_t loader_now(void);


#endif /* LOADER_LOG_H */
