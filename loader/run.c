/*
 * The main loop of track-loader: one thread that owns the consumer, the
 * producer, all partitions and all inserts, and sleeps in curl's poll, where
 * the others' descriptors are too.
 *
 * Nothing here waits for ClickHouse or Kafka but a take-over, for seconds:
 * while they are away the loop turns, so the group keeps us.
 */

#include "loader.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "http.h"
#include "log.h"
#include "metrics.h"
#include "partition.h"


#define MESSAGES_A_TURN  2000
#define STOP_MS          3000       /* to finish what is on its way */
#define CHECK_MS         1000       /* between looks at an absent ClickHouse */
#define GAUGES_MS        1000
#define PROBE_MS         5000
#define PARTITIONS_MAX   65535      /* a dead letter's tag has 16 bits */


typedef struct {
    loader_t              loader;
    loader_http_t        *http;
    int                   signals;      /* signalfd */
    int                   wake;         /* eventfd of the schema thread */
    int64_t               gauges_at;    /* monotonic ms */
    int64_t               probe_at;
    loader_ch_request_t  *probe;
    int64_t               stop_at;      /* 0: go on */
} loader_loop_t;


static loader_partition_t *
find_partition(loader_t *loader, const char *topic, int32_t number)
{
    size_t  i;

    for (i = 0; i < loader->npartitions; i++) {
        if (loader_partition_is(loader->partitions[i], topic, number)) {
            return loader->partitions[i];
        }
    }

    return NULL;
}


static loader_partition_t *
add_partition(loader_t *loader, const char *topic, int32_t number)
{
    size_t                n;
    loader_partition_t  **v;

    n = loader->npartitions;

    v = realloc(loader->partitions, (n + 1) * sizeof(*v));
    if (v == NULL) {
        return NULL;
    }

    loader->partitions = v;

    v[n] = (n < PARTITIONS_MAX) ? loader_partition_create(loader, topic,
                                                          number, n) : NULL;
    if (v[n] != NULL) {
        loader->npartitions++;
    }

    return v[n];
}


static int64_t
on_assigned(void *data, const char *topic, int32_t number)
{
    loader_t            *loader;
    loader_partition_t  *p;

    loader = data;
    p = find_partition(loader, topic, number);

    if (p == NULL) {
        p = add_partition(loader, topic, number);
    }

    if (p == NULL) {
        snprintf(loader->fatal, sizeof(loader->fatal), "no memory for "
                 "partition %s/%d", topic, (int) number);
        return LOADER_CONSUMER_LATER;
    }

    return loader_partition_assigned(p);
}


static void
on_revoked(void *data, const char *topic, int32_t number)
{
    loader_partition_t  *p;

    p = find_partition(data, topic, number);
    if (p != NULL) {
        loader_partition_revoked(p);
    }
}


static void
on_message(void *data, const char *topic, int32_t number,
    const loader_message_t *msg, trk_str_t key)
{
    loader_partition_t  *p;

    p = find_partition(data, topic, number);
    if (p != NULL) {
        loader_partition_message(p, msg, key);
    }
}


static void
on_end(void *data, const char *topic, int32_t number, int64_t offset)
{
    loader_partition_t  *p;

    p = find_partition(data, topic, number);
    if (p != NULL) {
        loader_partition_end(p, offset);
    }
}


static void
on_position_lost(void *data, const char *topic, int32_t number,
    const char *error)
{
    loader_partition_t  *p;

    p = find_partition(data, topic, number);
    if (p != NULL) {
        loader_partition_position_lost(p, error);
    }
}


static void
on_committed(void *data, void *partition, uint64_t tenure,
    loader_commit_t result, const char *error)
{
    (void) data;
    loader_partition_committed(partition, tenure, result, error);
}


/* Called inside of the consumer, which therefore is not freed here. */

static void
on_fatal(void *data, int renew, const char *error)
{
    loader_t  *loader;

    loader = data;

    if (!renew) {
        snprintf(loader->fatal, sizeof(loader->fatal), "%s", error);

    } else if (!loader->renew) {
        loader->renew = 1;
        loader_log(LOADER_LOG_WARN, "%s", error);
    }
}


static void
on_dead(void *data, uint64_t tag, int ok, const char *error)
{
    size_t     i;
    loader_t  *loader;

    loader = data;
    i = loader_partition_of_tag(tag);

    if (i < loader->npartitions) {
        loader_partition_dead(loader->partitions[i], tag, ok, error);
    }
}


static const loader_consumer_handlers_t  handlers = {
    .assigned = on_assigned,
    .revoked = on_revoked,
    .message = on_message,
    .end = on_end,
    .position_lost = on_position_lost,
    .committed = on_committed,
    .fatal = on_fatal
};


/* locality: schema thread */

static void
wake(void *data)
{
    ssize_t                rc;
    static const uint64_t  one = 1;

    do {
        rc = write(*(int *) data, &one, sizeof(one));
    } while (rc == -1 && errno == EINTR);
}


static int
drained(int fd, void *p, size_t n)
{
    ssize_t  rc;

    do {
        rc = read(fd, p, n);
    } while (rc == -1 && errno == EINTR);

    return rc == (ssize_t) n;
}


static void
read_signals(loader_loop_t *loop)
{
    struct signalfd_siginfo  info;

    while (drained(loop->signals, &info, sizeof(info))) {
        if (loop->stop_at == 0) {
            loader_log(LOADER_LOG_INFO, "signal %u: stopping",
                       info.ssi_signo);
            loop->stop_at = loader_monotonic() + STOP_MS;
            loop->loader.stopping = 1;
        }
    }
}


static int
wait_turn(loader_loop_t *loop, int64_t timeout)
{
    int       fds[4];
    size_t    n;
    uint64_t  count;

    n = 0;
    fds[n++] = loop->signals;
    fds[n++] = loop->wake;

    if (loop->loader.consumer != NULL) {
        fds[n++] = loader_consumer_fd(loop->loader.consumer);
        fds[n++] = loader_producer_fd(loop->loader.producer);
    }

    timeout = timeout > 0 ? timeout : 0;

    if (loader_clickhouse_wait(loop->loader.ch, fds, n,
                               (int) (timeout < 1000 ? timeout : 1000))
        != TRK_OK)
    {
        snprintf(loop->loader.fatal, sizeof(loop->loader.fatal),
                 "waiting for events failed: no memory?");
    }

    (void) drained(loop->wake, &count, sizeof(count));
    read_signals(loop);
    loader_metric_set(LOADER_M_LOOP_AT, loader_monotonic());

    return loop->loader.fatal[0] ? TRK_INVALID : TRK_OK;
}


static void
set_gauges(loader_t *loader)
{
    size_t                   i;
    int64_t                  owned, looking, paused, lag;
    loader_partition_view_t  view;

    owned = 0;
    looking = 0;
    paused = 0;
    lag = 0;

    for (i = 0; i < loader->npartitions; i++) {
        loader_partition_view(loader->partitions[i], &view);

        if (view.state == LOADER_PARTITION_OWNED) {
            owned++;
            looking += view.looking;
            paused += view.paused;
            lag += view.lag;
        }
    }

    loader_metric_set(LOADER_M_PARTITIONS, owned);
    loader_metric_set(LOADER_M_LOOKING, looking);
    loader_metric_set(LOADER_M_PAUSED, paused);
    loader_metric_set(LOADER_M_LAG, lag);
    loader_metric_set(LOADER_M_OPEN_BYTES, (int64_t) loader->bytes);
}


static void
probed(void *data, loader_ch_result_t result, trk_str_t out,
    const char *error)
{
    loader_loop_t  *loop;

    (void) out;
    (void) error;

    loop = data;
    loop->probe = NULL;
    loader_metric_set(LOADER_M_CLICKHOUSE_UP, result == LOADER_CH_OK);
}


/* With nothing to insert, readiness would not know of a dead ClickHouse. */

static void
probe(loader_loop_t *loop, int64_t now)
{
    if (loop->probe != NULL || now < loop->probe_at) {
        return;
    }

    loop->probe_at = now + PROBE_MS;
    loop->probe = loader_clickhouse_start(loop->loader.ch, NULL,
                                          trk_str("SELECT 1"), NULL, NULL,
                                          PROBE_MS, probed, loop);
}


static int
any_busy(const loader_t *loader)
{
    size_t  i;

    for (i = 0; i < loader->npartitions; i++) {
        if (loader_partition_busy(loader->partitions[i])) {
            return 1;
        }
    }

    return 0;
}


/* Returns the ms until something is due. */

static int64_t
turn_partitions(loader_loop_t *loop)
{
    size_t   i;
    int64_t  now, due, next;

    now = loader_monotonic();
    next = now + GAUGES_MS;

    for (i = 0; i < loop->loader.npartitions; i++) {
        due = loader_partition_turn(loop->loader.partitions[i]);
        next = due < next ? due : next;
    }

    now = loader_monotonic();

    if (now >= loop->gauges_at) {
        loop->gauges_at = now + GAUGES_MS;
        set_gauges(&loop->loader);
    }

    probe(loop, now);

    return next - now;
}


static void
turn(loader_loop_t *loop)
{
    int        more;
    int64_t    timeout;
    loader_t  *loader;

    loader = &loop->loader;

    /* a loader that stops still wants its commits' results */

    more = loader_consumer_serve(loader->consumer,
                                 loader->stopping ? 0 : MESSAGES_A_TURN);
    loader_producer_serve(loader->producer);
    timeout = turn_partitions(loop);

    (void) wait_turn(loop, more && !loader->stopping ? 0 : timeout);
}


/* What was under way is found by the take-overs that follow. */

static void
renew_consumer(loader_t *loader)
{
    char    error[LOADER_ERROR_MAX];
    size_t  i;

    for (i = 0; i < loader->npartitions; i++) {
        loader_partition_orphaned(loader->partitions[i]);
    }

    loader_consumer_free(loader->consumer);
    loader->consumer = NULL;
    loader->renew = 0;

    if (loader_consumer_create(&loader->consumer, loader->conf, &handlers,
                               loader, error) != TRK_OK)
    {
        snprintf(loader->fatal, sizeof(loader->fatal), "%s", error);
    }
}


static int
done(const loader_loop_t *loop)
{
    if (loop->loader.fatal[0] != '\0') {
        return 1;
    }

    return loop->stop_at != 0
           && (!any_busy(&loop->loader)
               || loader_monotonic() >= loop->stop_at);
}


/* ClickHouse may be away when the loader starts; a server that the promises
 * cannot rest on ends it. */

static int
await_clickhouse(loader_loop_t *loop)
{
    int                        rc;
    char                       error[LOADER_ERROR_MAX];
    int64_t                    until;
    static loader_log_limit_t  limit;

    for ( ;; ) {
        rc = loader_clickhouse_check(loop->loader.ch, error);
        loader_metric_set(LOADER_M_CLICKHOUSE_UP, rc == TRK_OK);

        if (rc == TRK_OK) {
            return TRK_OK;
        }

        if (rc != TRK_AGAIN) {
            snprintf(loop->loader.fatal, sizeof(loop->loader.fatal), "%s",
                     error);
            return TRK_INVALID;
        }

        loader_log_limited(&limit, LOADER_LOG_WARN, "waiting: %s", error);
        until = loader_monotonic() + CHECK_MS;

        while (loader_monotonic() < until) {
            if (wait_turn(loop, until - loader_monotonic()) != TRK_OK
                || loop->stop_at != 0)
            {
                return TRK_INVALID;
            }
        }
    }
}


static int
open_descriptors(loader_loop_t *loop, char error[LOADER_ERROR_MAX])
{
    sigset_t  set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);

    loop->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

    if (loop->wake == -1 || loop->signals == -1) {
        snprintf(error, LOADER_ERROR_MAX, "eventfd or signalfd: %s",
                 strerror(errno));
        return TRK_INVALID;
    }

    return TRK_OK;
}


static int
start(loader_loop_t *loop, const loader_conf_t *conf)
{
    char      *error;
    loader_t  *loader;

    loader = &loop->loader;
    error = loader->fatal;

    loader->conf = conf;
    loader->limits = (trk_batch_limits_t) {
        .rows = conf->batch_rows,
        .bytes = conf->batch_bytes,
        .age = (int64_t) conf->batch_age
    };

    if (open_descriptors(loop, error) != TRK_OK
        || loader_http_start(&loop->http, conf, error) != TRK_OK)
    {
        return TRK_INVALID;
    }

    loader->ch = loader_clickhouse_create(conf);
    if (loader->ch == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory for libcurl");
        return TRK_INVALID;
    }

    if (await_clickhouse(loop) != TRK_OK
        || loader_schema_start(&loader->schema, conf, wake, &loop->wake,
                               error) != TRK_OK
        || loader_producer_create(&loader->producer, conf, on_dead, loader,
                                  error) != TRK_OK
        || loader_consumer_create(&loader->consumer, conf, &handlers, loader,
                                  error) != TRK_OK)
    {
        return TRK_INVALID;
    }

    loader_log(LOADER_LOG_INFO, "loads topic \"%s\" of %s into %s as %s of "
               "group %s", conf->topic, conf->kafka_brokers,
               conf->clickhouse_url, conf->kafka_instance, conf->kafka_group);

    return TRK_OK;
}


static void
stop(loader_loop_t *loop)
{
    size_t     i;
    loader_t  *loader;

    loader = &loop->loader;

    for (i = 0; i < loader->npartitions; i++) {
        loader_partition_free(loader->partitions[i]);
    }

    free(loader->partitions);
    loader->npartitions = 0;

    loader_consumer_free(loader->consumer);
    loader_producer_free(loader->producer, 100);
    loader_schema_stop(loader->schema);
    loader_clickhouse_free(loader->ch);
    loader_http_stop(loop->http);

    if (loop->wake != -1) {
        close(loop->wake);
    }

    if (loop->signals != -1) {
        close(loop->signals);
    }
}


int
loader_run(const loader_conf_t *conf)
{
    loader_loop_t  loop;

    memset(&loop, 0, sizeof(loop));
    loop.wake = -1;
    loop.signals = -1;

    if (start(&loop, conf) == TRK_OK) {
        while (!done(&loop)) {
            turn(&loop);

            if (loop.loader.renew) {
                renew_consumer(&loop.loader);
            }
        }
    }

    if (loop.loader.fatal[0] != '\0') {
        loader_log(LOADER_LOG_ERROR, "%s", loop.loader.fatal);
    }

    stop(&loop);
    loader_log(LOADER_LOG_INFO, "stopped");

    return loop.loader.fatal[0] != '\0';
}
