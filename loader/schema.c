/*
 * The schema thread.  What stands below loader_schema_run() is run by that
 * thread alone, the functions of schema.h by main.  They share what stands
 * under the mutex, and the atomics.  Who comes back from a call that blocked
 * looks at `stop` first: main may have gone on without the thread, and freed
 * what it was given.  See schema.h.
 */

#include "schema.h"
#include "clickhouse.h"
#include "columns.h"
#include "log.h"
#include "metrics.h"
#include "postgres.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>


#define LOADER_SCHEMA_RETRY   1000      /* ms after a failure */
#define LOADER_SCHEMA_STOP    2         /* s to wait for the thread's end */
#define LOADER_SCHEMA_WANTS   16        /* versions waited for at a time */
#define LOADER_SCHEMA_ALTER   500       /* columns added by one statement */
#define LOADER_SCHEMA_TEXT    (64 << 20)


/* A version that a record named and no snapshot covered. */
typedef struct {
    char      text[TRK_SCHEMA_VERSION_MAX];
    size_t    len;                      /* 0: free */
    int64_t   since;                    /* monotonic ms of the first record */
    uint64_t  ticket;                   /* a read begun with it answers */
} loader_want_t;

struct loader_schema_s {
    const loader_conf_t   *conf;
    void                 (*wake)(void *data);
    void                  *data;
    pthread_t              thread;
    int                    kick;        /* eventfd: main has something */
    _Atomic int            stop;
    _Atomic uint64_t       ready;       /* columns of this generation exist */

    pthread_mutex_t        mutex;       /* of the next three */
    loader_snapshot_t     *shared;      /* the newest; a reference */
    uint64_t               ticket;      /* of the newest want */
    uint64_t               answered;    /* wants up to it were read for */

    /* main thread */
    loader_snapshot_t     *current;
    loader_want_t          wants[LOADER_SCHEMA_WANTS];

    /* schema thread */
    loader_pg_t           *pg;          /* NULL: not connected */
    loader_clickhouse_t   *ch;
    loader_snapshot_t     *newest;
    uint64_t               generation;
    int64_t                look_at;     /* monotonic ms: PostgreSQL next */
    int64_t                columns_at;  /* ClickHouse next */
};


static loader_want_t *loader_schema_slot(loader_schema_t *s,
    trk_str_t version);
static void loader_schema_kick(loader_schema_t *s);
static void loader_schema_free(loader_schema_t *s);

static void *loader_schema_run(void *data);
static void loader_schema_turn(loader_schema_t *s);
static void loader_schema_wait(loader_schema_t *s);
static int loader_schema_look(loader_schema_t *s);
static int loader_schema_read(loader_schema_t *s,
    char error[LOADER_ERROR_MAX]);
static void loader_schema_publish(loader_schema_t *s,
    loader_snapshot_t *snap);
static void loader_schema_answer(loader_schema_t *s, uint64_t ticket);
static int loader_schema_pending(loader_schema_t *s);
static void loader_schema_columns(loader_schema_t *s);
static void loader_schema_fallback(loader_schema_t *s);
static int loader_schema_existing(loader_schema_t *s, trk_buf_t *out);
static int loader_schema_alter(loader_schema_t *s, const trk_buf_t *existing);
static int loader_schema_send(loader_schema_t *s, trk_buf_t *sql);


int
loader_schema_start(loader_schema_t **schema, const loader_conf_t *conf,
    void (*wake)(void *data), void *data, char error[LOADER_ERROR_MAX])
{
    int               rc;
    sigset_t          all, old;
    loader_schema_t  *s;

    *schema = NULL;

    s = calloc(1, sizeof(loader_schema_t));
    if (s == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory");
        return TRK_NOMEM;
    }

    s->conf = conf;
    s->wake = wake;
    s->data = data;
    s->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->ch = loader_clickhouse_create(conf);
    (void) pthread_mutex_init(&s->mutex, NULL);

    if (s->kick == -1 || s->ch == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "cannot prepare the schema thread:"
                 " %s", s->kick == -1 ? strerror(errno) : "no memory");
        loader_schema_free(s);
        return TRK_IO;
    }

    /* signals are main's */

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&s->thread, NULL, loader_schema_run, s);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc != 0) {
        snprintf(error, LOADER_ERROR_MAX, "cannot start the schema thread:"
                 " %s", strerror(rc));
        loader_schema_free(s);
        return TRK_IO;
    }

    *schema = s;

    return TRK_OK;
}


void
loader_schema_stop(loader_schema_t *s)
{
    struct timespec  until;

    if (s == NULL) {
        return;
    }

    atomic_store(&s->stop, 1);
    loader_schema_kick(s);

    if (clock_gettime(CLOCK_REALTIME, &until) == -1) {
        return;
    }

    until.tv_sec += LOADER_SCHEMA_STOP;

    if (pthread_timedjoin_np(s->thread, NULL, &until) == 0) {
        loader_schema_free(s);
    }
}


static void
loader_schema_free(loader_schema_t *s)
{
    loader_snapshot_release(s->shared);
    loader_snapshot_release(s->current);
    loader_snapshot_release(s->newest);
    loader_pg_close(s->pg);
    loader_clickhouse_free(s->ch);
    (void) pthread_mutex_destroy(&s->mutex);

    if (s->kick != -1) {
        (void) close(s->kick);
    }

    free(s);
}


static void
loader_schema_kick(loader_schema_t *s)
{
    ssize_t               n;
    static const uint64_t one = 1;

    do {
        n = write(s->kick, &one, sizeof(one));
    } while (n == -1 && errno == EINTR);
}


const loader_snapshot_t *
loader_schema_current(loader_schema_t *s)
{
    loader_snapshot_t  *old;

    old = NULL;
    (void) pthread_mutex_lock(&s->mutex);

    if (s->shared != s->current) {
        old = s->current;
        s->current = s->shared;
        loader_snapshot_hold(s->current);
    }

    (void) pthread_mutex_unlock(&s->mutex);
    loader_snapshot_release(old);

    return s->current;
}


int
loader_schema_ready(loader_schema_t *s, uint64_t generation)
{
    return atomic_load(&s->ready) >= generation;
}


int
loader_schema_want(loader_schema_t *s, trk_str_t version, int64_t now)
{
    uint64_t        answered;
    loader_want_t  *want;

    if (loader_snapshot_covers(loader_schema_current(s), version)) {
        return TRK_OK;
    }

    want = loader_schema_slot(s, version);

    if (want->len == 0) {
        memcpy(want->text, version.p, version.n);
        want->len = version.n;
        want->since = now;

        (void) pthread_mutex_lock(&s->mutex);
        want->ticket = ++s->ticket;
        (void) pthread_mutex_unlock(&s->mutex);

        loader_schema_kick(s);
        return TRK_AGAIN;
    }

    (void) pthread_mutex_lock(&s->mutex);
    answered = s->answered;
    (void) pthread_mutex_unlock(&s->mutex);

    /* What was read since, or waited for in vain, is not waited for again:
     * the entry stays until its place is needed. */

    return answered >= want->ticket || now - want->since >= LOADER_SCHEMA_WAIT
           ? TRK_OK : TRK_AGAIN;
}


/* The entry of a version; else a free one, or the oldest, made free. */

static loader_want_t *
loader_schema_slot(loader_schema_t *s, trk_str_t version)
{
    size_t          i;
    loader_want_t  *want, *oldest;

    oldest = &s->wants[0];

    for (i = 0; i < LOADER_SCHEMA_WANTS; i++) {
        want = &s->wants[i];

        if (want->len == 0) {
            return want;
        }

        if (trk_str_eq(trk_str_of(want->text, want->len), version)) {
            return want;
        }

        if (want->since < oldest->since) {
            oldest = want;
        }
    }

    oldest->len = 0;

    return oldest;
}


static void *
loader_schema_run(void *data)
{
    loader_schema_t  *s;

    s = data;

    while (!atomic_load(&s->stop)) {
        loader_schema_turn(s);
        loader_schema_wait(s);
    }

    return NULL;
}


static void
loader_schema_turn(loader_schema_t *s)
{
    uint64_t  ticket;

    (void) pthread_mutex_lock(&s->mutex);
    ticket = s->ticket;
    (void) pthread_mutex_unlock(&s->mutex);

    if (loader_monotonic() >= s->look_at || ticket > s->answered
        || loader_pg_notified(s->pg))
    {
        if (loader_schema_look(s) == TRK_OK) {
            loader_schema_answer(s, ticket);
        }
    }

    if (loader_schema_pending(s) && loader_monotonic() >= s->columns_at) {
        loader_schema_columns(s);
    }
}


/* Until something is due, PostgreSQL says something, or main kicks. */

static void
loader_schema_wait(loader_schema_t *s)
{
    int            n;
    int64_t        until, left;
    uint64_t       count;
    struct pollfd  fds[2];

    until = s->look_at;

    if (loader_schema_pending(s) && s->columns_at < until) {
        until = s->columns_at;
    }

    left = until - loader_monotonic();

    fds[0].fd = s->kick;
    fds[0].events = POLLIN;
    fds[1].fd = loader_pg_fd(s->pg);
    fds[1].events = POLLIN;

    n = poll(fds, 2, left > 0 ? (int) left : 0);

    if (n > 0 && fds[0].revents != 0
        && read(s->kick, &count, sizeof(count)) == -1 && errno != EAGAIN)
    {
        loader_log(LOADER_LOG_ERROR, "the schema thread's eventfd failed: %s",
                   strerror(errno));
    }
}


/* Asks PostgreSQL, and reads all if the version is another.  TRK_OK: what is
 * published is what PostgreSQL has. */

static int
loader_schema_look(loader_schema_t *s)
{
    char                       error[LOADER_ERROR_MAX];
    static loader_log_limit_t  limit;

    if (loader_schema_read(s, error) == TRK_OK) {
        loader_metric_set(LOADER_M_POSTGRES_UP, 1);
        s->look_at = loader_monotonic() + LOADER_SCHEMA_EVERY;
        return TRK_OK;
    }

    if (atomic_load(&s->stop)) {
        return TRK_IO;
    }

    loader_log_limited(&limit, LOADER_LOG_WARN, "cannot read the schema from"
                       " PostgreSQL: %s; trying again", error);
    loader_metric_set(LOADER_M_POSTGRES_UP, 0);

    loader_pg_close(s->pg);
    s->pg = NULL;
    s->look_at = loader_monotonic() + LOADER_SCHEMA_RETRY;

    if (s->newest == NULL) {
        loader_schema_fallback(s);
    }

    return TRK_IO;
}


static int
loader_schema_read(loader_schema_t *s, char error[LOADER_ERROR_MAX])
{
    int                 rc, changed;
    loader_snapshot_t  *snap;

    if (s->pg == NULL) {
        rc = loader_pg_connect(&s->pg, s->conf->postgres, &s->stop, error);
        if (rc != TRK_OK) {
            return rc;
        }
    }

    rc = loader_pg_changed(s->pg, s->newest, &changed, error);
    if (rc != TRK_OK || !changed) {
        return rc;
    }

    rc = loader_pg_snapshot(s->pg, &snap, error);
    if (rc != TRK_OK) {
        return rc;
    }

    loader_metric_add(LOADER_M_SCHEMA_READS, 1);
    loader_schema_publish(s, snap);

    return TRK_OK;
}


/* Takes the caller's reference. */

static void
loader_schema_publish(loader_schema_t *s, loader_snapshot_t *snap)
{
    char                version[TRK_SCHEMA_VERSION_MAX];
    size_t              n;
    loader_snapshot_t  *old;

    snap->generation = ++s->generation;
    s->columns_at = 0;

    loader_snapshot_release(s->newest);
    s->newest = snap;
    loader_snapshot_hold(snap);

    (void) pthread_mutex_lock(&s->mutex);
    old = s->shared;
    s->shared = snap;
    (void) pthread_mutex_unlock(&s->mutex);

    loader_snapshot_release(old);
    loader_metric_set(LOADER_M_SCHEMA_LOADED, 1);
    loader_metric_set(LOADER_M_SCHEMA_FIELDS, snap->nfields);

    if (snap->has_version) {
        n = trk_schema_version_format(&snap->lineage, snap->version, version);
        loader_log(LOADER_LOG_INFO, "schema %.*s with %u fields", (int) n,
                   version, snap->nfields);
    }

    s->wake(s->data);
}


static void
loader_schema_answer(loader_schema_t *s, uint64_t ticket)
{
    int  news;

    (void) pthread_mutex_lock(&s->mutex);
    news = s->answered < ticket;
    s->answered = ticket;
    (void) pthread_mutex_unlock(&s->mutex);

    if (news) {
        s->wake(s->data);
    }
}


static int
loader_schema_pending(loader_schema_t *s)
{
    return s->newest != NULL && atomic_load(&s->ready) < s->newest->generation;
}


/* Adds the columns that the newest snapshot has and ClickHouse has not. */

static void
loader_schema_columns(loader_schema_t *s)
{
    trk_buf_t  existing;

    trk_buf_init(&existing, LOADER_SCHEMA_TEXT);

    if (loader_schema_existing(s, &existing) == TRK_OK
        && loader_schema_alter(s, &existing) == TRK_OK)
    {
        atomic_store(&s->ready, s->newest->generation);
        s->wake(s->data);

    } else {
        s->columns_at = loader_monotonic() + LOADER_SCHEMA_RETRY;
    }

    trk_buf_free(&existing);
}


/* With PostgreSQL away from the start: the fields that ClickHouse has columns
 * of.  Their data types stand in the columns' comments. */

static void
loader_schema_fallback(loader_schema_t *s)
{
    trk_buf_t           existing;
    loader_snapshot_t  *snap;

    trk_buf_init(&existing, LOADER_SCHEMA_TEXT);

    if (loader_schema_existing(s, &existing) == TRK_OK
        && loader_columns_snapshot(&existing, &snap) == TRK_OK)
    {
        loader_log(LOADER_LOG_WARN, "PostgreSQL is away: going on with the %u"
                   " fields that ClickHouse has columns of", snap->nfields);
        loader_schema_publish(s, snap);
        atomic_store(&s->ready, snap->generation);
        s->wake(s->data);
    }

    trk_buf_free(&existing);
}


/* Names and comments of the f_ columns, as TSV. */

static int
loader_schema_existing(loader_schema_t *s, trk_buf_t *out)
{
    int                        rc;
    char                       error[LOADER_ERROR_MAX];
    static loader_log_limit_t  limit;

    rc = loader_clickhouse_query(s->ch,
             trk_str("SELECT name, comment FROM system.columns"
                     " WHERE database = '" LOADER_DATABASE "'"
                     " AND table = 'events' AND startsWith(name, 'f_')"
                     " FORMAT TSV"),
             NULL, s->conf->clickhouse_timeout, out, error);

    if (atomic_load(&s->stop)) {
        return TRK_IO;
    }

    if (rc != TRK_OK) {
        loader_log_limited(&limit, LOADER_LOG_WARN, "cannot ask ClickHouse"
                           " for its columns: %s; trying again", error);
    }

    return rc;
}


static int
loader_schema_alter(loader_schema_t *s, const trk_buf_t *existing)
{
    int                    rc;
    uint32_t               i, n;
    uint8_t               *there;
    trk_buf_t              sql;
    const loader_field_t  *f;

    there = calloc((size_t) s->newest->nfields + 1, 1);
    if (there == NULL) {
        return TRK_NOMEM;
    }

    loader_columns_mark(existing, s->newest, there);
    trk_buf_init(&sql, LOADER_SCHEMA_TEXT);
    rc = TRK_OK;

    for (i = 0, n = 0; i < s->newest->nfields && rc == TRK_OK; i++) {
        f = &s->newest->fields[i];

        if (!there[i]) {
            loader_columns_add(&sql, f);
            n++;
        }

        if (n == LOADER_SCHEMA_ALTER) {
            rc = loader_schema_send(s, &sql);
            n = 0;
        }
    }

    if (rc == TRK_OK && n > 0) {
        rc = loader_schema_send(s, &sql);
    }

    trk_buf_free(&sql);
    free(there);

    return rc;
}


static int
loader_schema_send(loader_schema_t *s, trk_buf_t *sql)
{
    int                        rc;
    char                       error[LOADER_ERROR_MAX];
    static loader_log_limit_t  limit;

    if (sql->failed) {
        return sql->failed;
    }

    rc = loader_clickhouse_query(s->ch, trk_str_of(sql->p, sql->n), NULL,
                                 s->conf->clickhouse_timeout, NULL, error);

    if (atomic_load(&s->stop)) {
        return TRK_IO;
    }

    if (rc == TRK_INVALID) {
        loader_log_limited(&limit, LOADER_LOG_ERROR, "ClickHouse refuses the"
                           " columns of new fields, so nothing is inserted"
                           " until it takes them: %s (has track-loader"
                           " migrate been run, and may the user ALTER"
                           " " LOADER_DATABASE ".events?)", error);

    } else if (rc != TRK_OK) {
        loader_log_limited(&limit, LOADER_LOG_WARN, "cannot add columns to"
                           " ClickHouse: %s; trying again", error);
    }

    trk_buf_reset(sql, LOADER_SCHEMA_TEXT);

    return rc;
}
