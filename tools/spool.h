/*
 * track-spool: what its two files share.  One thread; the spool's files are
 * read by the module's own code (src/ngx_http_track_spool_io.h).
 */

#ifndef TRACK_SPOOL_H
#define TRACK_SPOOL_H

#include "ngx_http_track_spool_io.h"


/* what was found at any spool, for the exit code; more is worse */

enum {
    SPOOL_GOOD = 0,
    SPOOL_BAD = 1,              /* damage, or something is left to be done */
    SPOOL_MISUSE = 2
};


typedef struct {
    const char   *path;
    const char   *edge;         /* this one only; NULL: all */
    int           json;
    int           all;          /* done ones too */
    int           aside;
    const char   *brokers;
    const char  **properties;   /* "name=value" */
    size_t        nproperties;
} spool_options_t;


/* Of a spool to the next one: prints "track-spool: sentence" to stderr. */
void spool_complain(const char *edge, const char *sentence);

/* drain.c: sends what waits in spools that nobody owns to Kafka, and removes
 * them.  Returns the exit code. */
int spool_drain(const spool_options_t *options);


#endif /* TRACK_SPOOL_H */
