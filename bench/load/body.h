/*
 * bench-load's requests: whole ones, headers included, ready to send.
 *
 * An event is 540 bytes of JSON as a browser would send them.  Each has a
 * fresh event_id; all of a request have one session_id, drawn from a number
 * of sessions.
 */

#ifndef BODY_H
#define BODY_H

#include <stddef.h>
#include <stdint.h>


#define BODY_EVENT_SIZE    540      /* bytes */
#define BODY_SESSIONS_MAX  10000


typedef struct {
    const char  *host;          /* "127.0.0.1:8080" */
    const char  *path;
    unsigned     events;        /* of a request; 1: no batch around it */
    unsigned     sessions;
    int          gzip;
} body_options_t;

typedef struct {
    char    *p;
    size_t   n;
} body_t;


/* Prepares; exits with a sentence when there is no memory. */
void body_init(const body_options_t *options);

/* The next request, good until the next call. */
body_t body_next(void);


#endif /* BODY_H */
