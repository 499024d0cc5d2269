/*
 * bench-load's keep-alive HTTP/1.1 connections.
 */

#ifndef CONNECTION_H
#define CONNECTION_H

#include <stddef.h>
#include <stdint.h>


#define CONNECTION_HEAD  4096   /* bytes of an answer's headers, at most */


typedef struct {
    int       fd;
    uint64_t  due;              /* ns, of the request under way; 0: none */

    char     *out;              /* what the socket has not taken yet */
    size_t    out_at;
    size_t    out_n;

    unsigned  status;           /* of the last answer */
    int       close;            /* the server closes after it */
    size_t    body;             /* bytes of it to come */
    size_t    head_n;
    char      head[CONNECTION_HEAD];
} connection_t;


/* Connects and registers for reading; exits with a sentence after some
 * seconds without success. */
void connection_open(connection_t *c, int epoll, const char *host,
    const char *port);
void connection_close(connection_t *c);

/* Sends n bytes, of which it keeps what the socket does not take; -1: the
 * connection is broken. */
int connection_send(connection_t *c, int epoll, const char *p, size_t n);

/* Sends what was kept, when the socket is writable; -1: broken. */
int connection_flush(connection_t *c, int epoll);

/* 1: the answer is complete, 0: not yet, -1: closed or broken. */
int connection_read(connection_t *c);


#endif /* CONNECTION_H */
