/*
 * bench-load: sends events to an HTTP server and says what it took.
 *
 * One thread, one epoll.  In a closed loop each connection sends its next
 * request when the answer to the last is there.  With a rate, requests are
 * due at evenly spaced times whatever the server does, wait for a free
 * connection if there is none, and their latency counts from the moment they
 * were due, so that a server that stalls cannot hide it.
 *
 * CPU time of the processes named with -p is taken at the ends of the
 * measured time, of all their threads, dead ones included.  Prints JSON.
 */

#include "body.h"
#include "connection.h"
#include "histogram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>


#define LOAD_EVENTS   256       /* of one epoll_wait() */
#define LOAD_PIDS     8
#define LOAD_STATUS   600
#define LOAD_DRAIN    10        /* s, for answers after the end */
#define LOAD_SECOND   1000000000ULL


typedef struct {
    uint64_t  all;              /* ns of all threads */
    uint64_t  loop;             /* ns of the first thread */
} load_cpu_t;

typedef struct {
    pid_t       pid;
    load_cpu_t  begin;
    load_cpu_t  end;
} load_process_t;


static struct {
    const char     *host;
    const char     *port;
    unsigned        connections;
    double          rate;               /* 0: closed loop */
    double          warm;               /* s */
    double          seconds;
    body_options_t  body;
} load_options = {
    .connections = 64, .seconds = 5, .warm = 0.5,
    .body = { .path = "/track", .events = 1, .sessions = 1000 }
};


static int              load_epoll;
static connection_t    *load_connections;
static connection_t   **load_idle;      /* ring of all, FIFO */
static unsigned         load_idle_first, load_idle_n;

static uint64_t         load_start, load_begin, load_end;   /* ns */
static uint64_t         load_next;      /* number of the next due request */
static unsigned         load_flying;

static uint64_t         load_done;      /* answers in the measured time */
static uint64_t         load_broken;    /* connections lost under a request */
static uint64_t         load_status[LOAD_STATUS];
static histogram_t      load_latency;

static load_process_t   load_processes[LOAD_PIDS];
static unsigned         load_nprocesses;


static void load_parse(int argc, char **argv);
static void load_parse_address(char *address);
static void load_add_process(const char *text);
static double load_number(const char *text, double min);
static void load_usage(void);
static uint64_t load_now(void);
static void load_connect_all(void);
static void load_run(void);
static void load_wait(uint64_t until);
static uint64_t load_due(uint64_t number);
static void load_issue(uint64_t now);
static void load_send(connection_t *c, uint64_t due);
static void load_event(connection_t *c, uint32_t events);
static void load_answered(connection_t *c);
static void load_reconnect(connection_t *c);
static void load_sample(int end);
static load_cpu_t load_cpu(pid_t pid);
static void load_print(void);


int
main(int argc, char **argv)
{
    load_parse(argc, argv);
    body_init(&load_options.body);

    /* due requests are sent within microseconds */

    (void) prctl(PR_SET_TIMERSLACK, 1UL);

    load_connect_all();
    load_run();
    load_print();

    return 0;
}


static void
load_parse(int argc, char **argv)
{
    int  option;

    while ((option = getopt(argc, argv, "a:c:e:p:r:s:t:u:w:z")) != -1) {
        switch (option) {

        case 'a':
            load_parse_address(optarg);
            break;

        case 'c':
            load_options.connections = (unsigned) load_number(optarg, 1);
            break;

        case 'e':
            load_options.body.events = (unsigned) load_number(optarg, 1);
            break;

        case 'p':
            load_add_process(optarg);
            break;

        case 'r':
            load_options.rate = load_number(optarg, 0);
            break;

        case 's':
            load_options.body.sessions = (unsigned) load_number(optarg, 1);
            break;

        case 't':
            load_options.seconds = load_number(optarg, 0);
            break;

        case 'u':
            load_options.body.path = optarg;
            break;

        case 'w':
            load_options.warm = load_number(optarg, 0);
            break;

        case 'z':
            load_options.body.gzip = 1;
            break;

        default:
            load_usage();
        }
    }

    if (load_options.port == NULL || load_options.seconds <= 0
        || load_options.body.sessions > BODY_SESSIONS_MAX)
    {
        load_usage();
    }
}


static void
load_parse_address(char *address)
{
    char  *colon;

    load_options.body.host = strdup(address);

    colon = strrchr(address, ':');

    if (colon == NULL) {
        load_usage();
    }

    *colon = '\0';
    load_options.host = address;
    load_options.port = colon + 1;
}


static void
load_add_process(const char *text)
{
    if (load_nprocesses == LOAD_PIDS) {
        fprintf(stderr, "bench-load: at most %d processes\n", LOAD_PIDS);
        exit(2);
    }

    load_processes[load_nprocesses++].pid = (pid_t) load_number(text, 1);
}


static double
load_number(const char *text, double min)
{
    char    *end;
    double   number;

    number = strtod(text, &end);

    if (end == text || *end != '\0' || !(number >= min && number <= 1e9)) {
        fprintf(stderr, "bench-load: \"%s\" is no number from %g on\n", text,
                min);
        exit(2);
    }

    return number;
}


static void
load_usage(void)
{
    fprintf(stderr,
        "usage: bench-load -a ADDRESS:PORT [option…]\n\n"
        "  -u PATH        (/track)\n"
        "  -c N           connections (64)\n"
        "  -r RATE        requests a second, evenly spaced; without it each\n"
        "                 connection sends as soon as it was answered\n"
        "  -t SECONDS     measured time (5)\n"
        "  -w SECONDS     before it (0.5)\n"
        "  -e N           events a request (1)\n"
        "  -s N           different session ids, at most 10000 (1000)\n"
        "  -z             gzip\n"
        "  -p PID         measure its CPU time; may be repeated\n");
    exit(2);
}


static uint64_t
load_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * LOAD_SECOND + (uint64_t) ts.tv_nsec;
}


static void
load_connect_all(void)
{
    unsigned  i;

    load_epoll = epoll_create1(0);
    load_connections = calloc(load_options.connections, sizeof(connection_t));
    load_idle = calloc(load_options.connections, sizeof(connection_t *));

    if (load_epoll == -1 || load_connections == NULL || load_idle == NULL) {
        perror("bench-load");
        exit(1);
    }

    for (i = 0; i < load_options.connections; i++) {
        connection_open(&load_connections[i], load_epoll, load_options.host,
                        load_options.port);
        load_idle[load_idle_n++] = &load_connections[i];
    }
}


static void
load_run(void)
{
    uint64_t  now;

    load_start = load_now();
    load_begin = load_start
                 + (uint64_t) (load_options.warm * LOAD_SECOND);
    load_end = load_begin + (uint64_t) (load_options.seconds * LOAD_SECOND);

    for (now = load_start; now < load_begin; now = load_now()) {
        load_issue(now);
        load_wait(load_begin);
    }

    load_begin = now;
    load_sample(0);

    for ( /* void */ ; now < load_end; now = load_now()) {
        load_issue(now);
        load_wait(load_end);
    }

    load_end = now;
    load_sample(1);

    while (load_flying > 0 && now < load_end + LOAD_DRAIN * LOAD_SECOND) {
        load_wait(load_end + LOAD_DRAIN * LOAD_SECOND);
        now = load_now();
    }
}


/* Serves what happens until then, or until the next request is due. */

static void
load_wait(uint64_t until)
{
    int                 i, n;
    uint64_t            now, due;
    struct timespec     timeout;
    struct epoll_event  events[LOAD_EVENTS];

    now = load_now();

    if (load_options.rate > 0 && load_idle_n > 0 && now < load_end) {
        due = load_due(load_next);
        until = due < until ? due : until;
    }

    until = until > now ? until - now : 0;
    timeout.tv_sec = (time_t) (until / LOAD_SECOND);
    timeout.tv_nsec = (long) (until % LOAD_SECOND);

    n = epoll_pwait2(load_epoll, events, LOAD_EVENTS, &timeout, NULL);

    if (n == -1 && errno != EINTR) {
        perror("bench-load: epoll_pwait2");
        exit(1);
    }

    for (i = 0; i < n; i++) {
        load_event(events[i].data.ptr, events[i].events);
    }
}


static uint64_t
load_due(uint64_t number)
{
    return load_start + (uint64_t) ((double) number * 1e9
                                    / load_options.rate);
}


/* Sends what is due on connections that are idle. */

static void
load_issue(uint64_t now)
{
    uint64_t       due;
    connection_t  *c;

    while (load_idle_n > 0) {

        due = now;

        if (load_options.rate > 0) {
            due = load_due(load_next);

            if (due > now) {
                return;
            }
        }

        load_next++;

        c = load_idle[load_idle_first];
        load_idle_first = (load_idle_first + 1) % load_options.connections;
        load_idle_n--;
        load_flying++;

        load_send(c, due);
    }
}


static void
load_send(connection_t *c, uint64_t due)
{
    body_t  request;

    request = body_next();
    c->due = due;

    if (connection_send(c, load_epoll, request.p, request.n) == -1) {
        load_reconnect(c);
    }
}


static void
load_event(connection_t *c, uint32_t events)
{
    int  rc;

    if (events & EPOLLOUT) {
        if (connection_flush(c, load_epoll) == -1) {
            load_reconnect(c);
            return;
        }
    }

    if (events & (EPOLLIN|EPOLLHUP|EPOLLERR)) {
        rc = connection_read(c);

        if (rc == -1) {
            load_reconnect(c);

        } else if (rc > 0) {
            load_answered(c);
        }
    }
}


static void
load_answered(connection_t *c)
{
    uint64_t  now;

    now = load_now();

    load_status[c->status < LOAD_STATUS ? c->status : 0]++;

    if (now >= load_begin && now < load_end) {
        load_done++;
    }

    if (c->due >= load_begin && c->due < load_end) {
        histogram_add(&load_latency, now - c->due);
    }

    c->due = 0;
    load_flying--;

    load_idle[(load_idle_first + load_idle_n) % load_options.connections] = c;
    load_idle_n++;

    if (c->close) {
        load_reconnect(c);
    }
}


/* A request that was under way is sent again, as a browser does, and stays
 * due when it was. */

static void
load_reconnect(connection_t *c)
{
    connection_close(c);
    connection_open(c, load_epoll, load_options.host, load_options.port);

    if (c->due) {
        load_broken++;
        load_send(c, c->due);
    }
}


static void
load_sample(int end)
{
    unsigned         i;
    load_process_t  *process;

    for (i = 0; i < load_nprocesses; i++) {
        process = &load_processes[i];
        *(end ? &process->end : &process->begin) = load_cpu(process->pid);
    }
}


static load_cpu_t
load_cpu(pid_t pid)
{
    FILE             *file;
    char              name[64];
    clockid_t         clock;
    load_cpu_t        cpu;
    struct timespec   ts;

    if (clock_getcpuclockid(pid, &clock) != 0
        || clock_gettime(clock, &ts) == -1)
    {
        fprintf(stderr, "bench-load: process %d has gone\n", (int) pid);
        exit(1);
    }

    cpu.all = (uint64_t) ts.tv_sec * LOAD_SECOND + (uint64_t) ts.tv_nsec;
    cpu.loop = 0;

    (void) snprintf(name, sizeof(name), "/proc/%d/task/%d/schedstat",
                    (int) pid, (int) pid);
    file = fopen(name, "r");

    if (file) {
        if (fscanf(file, "%lu", &cpu.loop) != 1) {
            cpu.loop = 0;
        }

        (void) fclose(file);
    }

    return cpu;
}


static void
load_print(void)
{
    double           seconds;
    unsigned         i;
    const char      *comma;
    load_process_t  *p;

    seconds = (double) (load_end - load_begin) / 1e9;

    printf("{\"requests\":%lu,\"seconds\":%.6f,\"unanswered\":%u,"
           "\"broken\":%lu,\"status\":{",
           load_done, seconds, load_flying, load_broken);

    comma = "";

    for (i = 0; i < LOAD_STATUS; i++) {
        if (load_status[i]) {
            printf("%s\"%u\":%lu", comma, i, load_status[i]);
            comma = ",";
        }
    }

    printf("},\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,"
           "\"p999\":%.1f,\"max\":%.1f},\"cpu_ns\":[",
           (double) histogram_percentile(&load_latency, 0.5) / 1e3,
           (double) histogram_percentile(&load_latency, 0.9) / 1e3,
           (double) histogram_percentile(&load_latency, 0.99) / 1e3,
           (double) histogram_percentile(&load_latency, 0.999) / 1e3,
           (double) load_latency.max / 1e3);

    for (i = 0; i < load_nprocesses; i++) {
        p = &load_processes[i];
        printf("%s{\"pid\":%d,\"all\":%lu,\"loop\":%lu}", i ? "," : "",
               (int) p->pid, p->end.all - p->begin.all,
               p->end.loop - p->begin.loop);
    }

    printf("]}\n");
}
