/*
 * bench-load's connections.  See connection.h.
 *
 * As few system calls as can be: one send and one recv a request.  Answers
 * are those of the servers measured here: with Content-Length, or without a
 * body.
 */

#include "connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>


#define CONNECTION_TRIES  500
#define CONNECTION_PAUSE  10000     /* us between two */


static int connection_connect(const char *host, const char *port);
static void connection_watch(connection_t *c, int epoll, int operation,
    uint32_t events);
static ssize_t connection_write(int fd, const char *p, size_t n);
static void connection_head(connection_t *c, size_t n);


void
connection_open(connection_t *c, int epoll, const char *host,
    const char *port)
{
    int  i, one;

    for (i = 0; /* void */ ; i++) {
        c->fd = connection_connect(host, port);

        if (c->fd != -1) {
            break;
        }

        if (i == CONNECTION_TRIES) {
            fprintf(stderr, "bench-load: cannot connect to %s:%s: %s\n",
                    host, port, strerror(errno));
            exit(1);
        }

        (void) usleep(CONNECTION_PAUSE);
    }

    one = 1;
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    connection_watch(c, epoll, EPOLL_CTL_ADD, EPOLLIN);
}


static int
connection_connect(const char *host, const char *port)
{
    int               fd;
    struct addrinfo  *address, hints;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST|AI_NUMERICSERV;

    if (getaddrinfo(host, port, &hints, &address) != 0) {
        fprintf(stderr, "bench-load: %s:%s is no address\n", host, port);
        exit(2);
    }

    fd = socket(address->ai_family, SOCK_STREAM|SOCK_CLOEXEC, 0);

    if (fd != -1
        && connect(fd, address->ai_addr, address->ai_addrlen) == -1)
    {
        (void) close(fd);
        fd = -1;
    }

    freeaddrinfo(address);

    return fd;
}


static void
connection_watch(connection_t *c, int epoll, int operation, uint32_t events)
{
    struct epoll_event  event;

    event.events = events;
    event.data.ptr = c;

    if (epoll_ctl(epoll, operation, c->fd, &event) == -1) {
        perror("bench-load: epoll_ctl");
        exit(1);
    }
}


void
connection_close(connection_t *c)
{
    (void) close(c->fd);
    free(c->out);

    c->out = NULL;
    c->head_n = 0;
    c->body = 0;
    c->close = 0;
}


int
connection_send(connection_t *c, int epoll, const char *p, size_t n)
{
    ssize_t  sent;

    sent = connection_write(c->fd, p, n);

    if (sent == -1) {
        return -1;
    }

    if ((size_t) sent == n) {
        return 0;
    }

    c->out_at = 0;
    c->out_n = n - (size_t) sent;
    c->out = malloc(c->out_n);

    if (c->out == NULL) {
        perror("bench-load");
        exit(1);
    }

    memcpy(c->out, p + sent, c->out_n);
    connection_watch(c, epoll, EPOLL_CTL_MOD, EPOLLIN|EPOLLOUT);

    return 0;
}


int
connection_flush(connection_t *c, int epoll)
{
    ssize_t  sent;

    sent = connection_write(c->fd, c->out + c->out_at, c->out_n - c->out_at);

    if (sent == -1) {
        return -1;
    }

    c->out_at += (size_t) sent;

    if (c->out_at == c->out_n) {
        free(c->out);
        c->out = NULL;
        connection_watch(c, epoll, EPOLL_CTL_MOD, EPOLLIN);
    }

    return 0;
}


/* What was taken, maybe 0; -1: broken. */

static ssize_t
connection_write(int fd, const char *p, size_t n)
{
    ssize_t  sent;

    do {
        sent = send(fd, p, n, MSG_DONTWAIT|MSG_NOSIGNAL);
    } while (sent == -1 && errno == EINTR);

    return sent == -1 && errno == EAGAIN ? 0 : sent;
}


int
connection_read(connection_t *c)
{
    ssize_t  n;

    n = recv(c->fd, c->head + c->head_n, CONNECTION_HEAD - 1 - c->head_n,
             MSG_DONTWAIT);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }

    if (n <= 0) {
        return -1;
    }

    if (c->body > 0) {
        if ((size_t) n > c->body) {
            fprintf(stderr, "bench-load: more bytes than Content-Length\n");
            exit(1);
        }

        c->body -= (size_t) n;

        return c->body == 0;
    }

    connection_head(c, (size_t) n);

    return c->head_n == 0 && c->body == 0;
}


/* Takes the headers apart once they are complete: head_n is 0 then. */

static void
connection_head(connection_t *c, size_t n)
{
    char    *end, *length;
    size_t   body, got;

    c->head_n += n;
    c->head[c->head_n] = '\0';

    end = strstr(c->head, "\r\n\r\n");

    if (end == NULL) {
        if (c->head_n == CONNECTION_HEAD - 1) {
            fprintf(stderr, "bench-load: the headers of an answer are too "
                    "long\n");
            exit(1);
        }

        return;
    }

    got = c->head_n - (size_t) (end + 4 - c->head);
    end[2] = '\0';

    if (sscanf(c->head, "HTTP/1.%*c %3u", &c->status) != 1) {
        fprintf(stderr, "bench-load: not an answer: %.60s\n", c->head);
        exit(1);
    }

    c->close = strstr(c->head, "\r\nConnection: close\r\n") != NULL;

    length = c->status == 204 ? NULL
                              : strcasestr(c->head, "\r\nContent-Length:");
    body = length ? strtoul(length + sizeof("\r\nContent-Length:") - 1, NULL,
                            10) : 0;

    if (got > body) {
        fprintf(stderr, "bench-load: an answer of status %u without "
                "Content-Length\n", c->status);
        exit(1);
    }

    c->body = body - got;
    c->head_n = 0;
}
