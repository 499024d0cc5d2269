
/*
 * Reads the schema from PostgreSQL: all of libpq, in a thread of the leader.
 *
 * A thread, since libpq resolves names synchronously even in its
 * asynchronous calls: with a silent name server it would hold up the event
 * loop for ten seconds.  The thread connects to a primary, LISTENs, reads
 * everything, writes the image and then the schema file, and waits for
 * notifications; every few seconds it asks for the version with a deadline,
 * so dead peers, poolers and lost notifications cost seconds, not silence.
 * A burst of notifications is one look.
 *
 * The thread calls no nginx function, blocks all signals, and shares with
 * the event loop only what stands under the mutex: it leaves its report
 * there and writes to an eventfd.  It may hang in name resolution or a
 * connect when it is to end; then it is orphaned, and frees the structure
 * itself when it comes back.
 */


#include "ngx_http_track.h"

#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>


#define NGX_HTTP_TRACK_PG_POLL         5000     /* ms between two looks */
#define NGX_HTTP_TRACK_PG_DEADLINE     5000     /* ms, a small query */
#define NGX_HTTP_TRACK_PG_READ         60000    /* ms, the whole schema */
#define NGX_HTTP_TRACK_PG_BACKOFF_MIN  250      /* ms until the next try */
#define NGX_HTTP_TRACK_PG_BACKOFF_MAX  5000

#define NGX_HTTP_TRACK_PG_VERSION                                             \
    "SELECT lineage::text, number::text FROM public.track_schema_version()"

#define NGX_HTTP_TRACK_PG_TYPES                                               \
    "SELECT name, enabled, additional_fields"                                 \
    " FROM public.event_types ORDER BY name COLLATE \"C\""

#define NGX_HTTP_TRACK_PG_FIELDS                                              \
    "SELECT t.name, f.name, f.data_type, coalesce(f.required, false)"         \
    " FROM public.event_fields f"                                             \
    " JOIN public.event_types t ON t.id = f.event_type_id"                    \
    " ORDER BY t.name COLLATE \"C\", f.name COLLATE \"C\""


struct ngx_http_track_pg_s {

    /* never changed */
    char                        *conninfo;
    char                        *path;
    int                          stop_fd;       /* readable: end */
    int                          report_fd;     /* to the event loop */

    /* the thread's own */
    PGconn                      *conn;
    uint64_t                     present;       /* image in the folder */
    char                         version[128];  /* of what is saved */
    char                         error[NGX_HTTP_TRACK_ERROR_LEN];
    unsigned                     backoff;       /* ms */

    /* shared */
    pthread_mutex_t              mutex;
    pthread_cond_t               cond;
    int                          stop;
    int                          finished;      /* the thread has left */
    int                          orphaned;      /* nobody waits for it */
    ngx_http_track_pg_report_t   report;
};


static int ngx_http_track_pg_start_thread(ngx_http_track_pg_t *pg);
static void ngx_http_track_pg_free(ngx_http_track_pg_t *pg);
static void *ngx_http_track_pg_thread(void *data);
static void ngx_http_track_pg_leave(ngx_http_track_pg_t *pg);
static int ngx_http_track_pg_connect(ngx_http_track_pg_t *pg);
static void ngx_http_track_pg_follow(ngx_http_track_pg_t *pg);
static int ngx_http_track_pg_wait(ngx_http_track_pg_t *pg);
static int ngx_http_track_pg_look(ngx_http_track_pg_t *pg);
static int ngx_http_track_pg_version(ngx_http_track_pg_t *pg, char *version,
    size_t size);
static trk_schema_t *ngx_http_track_pg_read(ngx_http_track_pg_t *pg,
    char *version, size_t size);
static trk_schema_t *ngx_http_track_pg_schema(ngx_http_track_pg_t *pg,
    const char *version, PGresult *types, PGresult *fields, char *error);
static int ngx_http_track_pg_fields(trk_schema_t *schema,
    trk_schema_type_t *type, PGresult *fields, int *row, char *error);
static trk_str_t ngx_http_track_pg_value(PGresult *res, int row, int column);
static void ngx_http_track_pg_save(ngx_http_track_pg_t *pg,
    trk_schema_t *schema, const char *version);
static PGresult *ngx_http_track_pg_query(ngx_http_track_pg_t *pg,
    const char *sql, int timeout);
static int ngx_http_track_pg_settle(ngx_http_track_pg_t *pg, int64_t until);
static int ngx_http_track_pg_poll(ngx_http_track_pg_t *pg, int fd,
    int timeout);
static int64_t ngx_http_track_pg_now(void);
static void ngx_http_track_pg_failed(ngx_http_track_pg_t *pg,
    const char *message, const char *state);
static void ngx_http_track_pg_report(ngx_http_track_pg_t *pg,
    ngx_http_track_state_e state);
static void ngx_http_track_pg_refused(ngx_http_track_pg_t *pg,
    const char *error);
static void ngx_http_track_pg_ring(int fd);
static void ngx_http_track_pg_notice(void *data, const PGresult *res);


int
ngx_http_track_pg_check(const char *conninfo, char *error)
{
    char              *message;
    PQconninfoOption  *options;

    message = NULL;
    options = PQconninfoParse(conninfo, &message);

    if (options == NULL) {
        if (message) {
            message[strcspn(message, "\n")] = '\0';
        }

        ngx_http_track_say(error, "%s", message ? message : "no memory");
        PQfreemem(message);
        return -1;
    }

    PQconninfoFree(options);

    return 0;
}


ngx_http_track_pg_t *
ngx_http_track_pg_start(const char *conninfo, const char *path,
    uint64_t present, int *fd)
{
    ngx_http_track_pg_t  *pg;

    pg = calloc(1, sizeof(ngx_http_track_pg_t));
    if (pg == NULL) {
        return NULL;
    }

    pg->conninfo = strdup(conninfo);
    pg->path = strdup(path);
    pg->stop_fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    pg->report_fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    pg->present = present;
    pg->backoff = NGX_HTTP_TRACK_PG_BACKOFF_MIN;

    *fd = -1;

    /* an orphan must not write to what the caller has closed */

    if (pg->report_fd != -1) {
        *fd = fcntl(pg->report_fd, F_DUPFD_CLOEXEC, 0);
    }

    if (pg->conninfo == NULL || pg->path == NULL || pg->stop_fd == -1
        || *fd == -1 || ngx_http_track_pg_start_thread(pg) == -1)
    {
        if (*fd != -1) {
            (void) close(*fd);
        }

        ngx_http_track_pg_free(pg);
        return NULL;
    }

    return pg;
}


static int
ngx_http_track_pg_start_thread(ngx_http_track_pg_t *pg)
{
    int                 rc;
    sigset_t            set, old;
    pthread_t           tid;
    pthread_attr_t      attr;
    pthread_condattr_t  condattr;

    pthread_mutex_init(&pg->mutex, NULL);
    pthread_condattr_init(&condattr);
    pthread_condattr_setclock(&condattr, CLOCK_MONOTONIC);
    pthread_cond_init(&pg->cond, &condattr);
    pthread_condattr_destroy(&condattr);

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    /* signals are for the event loop */

    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, &old);

    rc = pthread_create(&tid, &attr, ngx_http_track_pg_thread, pg);

    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);

    if (rc != 0) {
        errno = rc;
        return -1;
    }

    return 0;
}


void
ngx_http_track_pg_stop(ngx_http_track_pg_t *pg, unsigned wait)
{
    int              finished;
    struct timespec  until;

    (void) clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait / 1000;
    until.tv_nsec += (long) (wait % 1000) * 1000000;

    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }

    pthread_mutex_lock(&pg->mutex);

    pg->stop = 1;
    ngx_http_track_pg_ring(pg->stop_fd);

    while (wait && !pg->finished) {
        if (pthread_cond_timedwait(&pg->cond, &pg->mutex, &until) != 0) {
            break;
        }
    }

    finished = pg->finished;
    pg->orphaned = 1;

    pthread_mutex_unlock(&pg->mutex);

    if (finished) {
        ngx_http_track_pg_free(pg);
    }
}


void
ngx_http_track_pg_take(ngx_http_track_pg_t *pg,
    ngx_http_track_pg_report_t *report)
{
    pthread_mutex_lock(&pg->mutex);
    *report = pg->report;
    pthread_mutex_unlock(&pg->mutex);
}


static void
ngx_http_track_pg_free(ngx_http_track_pg_t *pg)
{
    if (pg->stop_fd != -1) {
        (void) close(pg->stop_fd);
    }

    if (pg->report_fd != -1) {
        (void) close(pg->report_fd);
    }

    free(pg->conninfo);
    free(pg->path);
    free(pg);
}


/* everything below runs in the thread */

static void *
ngx_http_track_pg_thread(void *data)
{
    ngx_http_track_pg_t *pg = data;

    (void) pthread_setname_np(pthread_self(), "track schema");

    for ( ;; ) {
        if (ngx_http_track_pg_connect(pg) == 0) {
            ngx_http_track_pg_follow(pg);
        }

        PQfinish(pg->conn);
        pg->conn = NULL;

        if (pg->error[0] != '\0') {
            ngx_http_track_pg_report(pg, NGX_HTTP_TRACK_DOWN);
        }

        if (ngx_http_track_pg_poll(pg, -1, (int) pg->backoff) == -1) {
            break;
        }

        pg->backoff = ngx_min(pg->backoff * 2, NGX_HTTP_TRACK_PG_BACKOFF_MAX);
    }

    ngx_http_track_pg_leave(pg);

    return NULL;
}


static void
ngx_http_track_pg_leave(ngx_http_track_pg_t *pg)
{
    int  orphaned;

    pthread_mutex_lock(&pg->mutex);

    pg->finished = 1;
    orphaned = pg->orphaned;
    pthread_cond_signal(&pg->cond);

    pthread_mutex_unlock(&pg->mutex);

    if (orphaned) {
        ngx_http_track_pg_free(pg);
    }
}


/*
 * What stands before dbname can be set by conninfo, what stands after it
 * cannot: a standby refuses LISTEN, and notices a change late.
 */

static int
ngx_http_track_pg_connect(ngx_http_track_pg_t *pg)
{
    PGresult  *res;

    const char *const  names[] = { "connect_timeout", "dbname",
                                   "fallback_application_name",
                                   "client_encoding",
                                   "target_session_attrs", NULL };
    const char *const  values[] = { "5", pg->conninfo, "nginx-track", "UTF8",
                                    "read-write", NULL };

    pg->error[0] = '\0';
    pg->conn = PQconnectdbParams(names, values, 1);

    if (PQstatus(pg->conn) != CONNECTION_OK) {
        ngx_http_track_pg_failed(pg, pg->conn ? PQerrorMessage(pg->conn)
                                              : "no memory", NULL);
        return -1;
    }

    (void) PQsetNoticeReceiver(pg->conn, ngx_http_track_pg_notice, NULL);

    /* before the first look, so that no change falls between */

    res = ngx_http_track_pg_query(pg, "LISTEN track_schema",
                                  NGX_HTTP_TRACK_PG_DEADLINE);
    if (res == NULL) {
        return -1;
    }

    PQclear(res);

    return 0;
}


static void
ngx_http_track_pg_follow(ngx_http_track_pg_t *pg)
{
    if (ngx_http_track_pg_look(pg) == -1) {
        return;
    }

    pg->backoff = NGX_HTTP_TRACK_PG_BACKOFF_MIN;
    ngx_http_track_pg_report(pg, NGX_HTTP_TRACK_UP);

    while (ngx_http_track_pg_wait(pg) == 0) {
        if (ngx_http_track_pg_look(pg) == -1) {
            return;
        }
    }
}


/* 0: notified, or time to look; -1: connection lost, or the end. */

static int
ngx_http_track_pg_wait(ngx_http_track_pg_t *pg)
{
    int        rc;
    int64_t    until, now;
    PGnotify  *notify;

    until = ngx_http_track_pg_now() + NGX_HTTP_TRACK_PG_POLL;

    for (rc = 0; ; rc = 0) {

        while ((notify = PQnotifies(pg->conn)) != NULL) {
            PQfreemem(notify);
            rc = 1;
        }

        now = ngx_http_track_pg_now();

        if (rc == 1 || now >= until) {
            return 0;
        }

        rc = ngx_http_track_pg_poll(pg, PQsocket(pg->conn),
                                    (int) (until - now));
        if (rc == -1) {
            return -1;
        }

        if (rc == 1 && PQconsumeInput(pg->conn) == 0) {
            ngx_http_track_pg_failed(pg, PQerrorMessage(pg->conn), NULL);
            return -1;
        }
    }
}


/* Reads the schema if it is not the one that stands saved beside the file.
 * 0: done, also when what was read is no good; -1: connection lost. */

static int
ngx_http_track_pg_look(ngx_http_track_pg_t *pg)
{
    char           version[128];
    trk_schema_t  *schema;

    if (ngx_http_track_pg_version(pg, version, sizeof(version)) == -1) {
        return -1;
    }

    /* an image that somebody has removed is written again */

    if (pg->present
        && !ngx_http_track_image_exists(pg->path, pg->present))
    {
        pg->present = 0;
        pg->version[0] = '\0';
    }

    if (strcmp(version, pg->version) == 0) {
        return 0;
    }

    pg->error[0] = '\0';

    schema = ngx_http_track_pg_read(pg, version, sizeof(version));

    if (schema) {
        ngx_http_track_pg_save(pg, schema, version);
        trk_schema_free(schema);
    }

    return pg->error[0] == '\0' ? 0 : -1;
}


/* "lineage number" */

static int
ngx_http_track_pg_version(ngx_http_track_pg_t *pg, char *version, size_t size)
{
    PGresult  *res;

    res = ngx_http_track_pg_query(pg, NGX_HTTP_TRACK_PG_VERSION,
                                  NGX_HTTP_TRACK_PG_DEADLINE);
    if (res == NULL) {
        return -1;
    }

    if (PQntuples(res) != 1) {
        PQclear(res);
        ngx_http_track_pg_failed(pg, "table schema_version is empty",
                                 NULL);
        return -1;
    }

    snprintf(version, size, "%s %s", PQgetvalue(res, 0, 0),
             PQgetvalue(res, 0, 1));

    PQclear(res);

    return 0;
}


/* NULL with pg->error: connection lost; without: reported as refused. */

static trk_schema_t *
ngx_http_track_pg_read(ngx_http_track_pg_t *pg, char *version, size_t size)
{
    char           error[NGX_HTTP_TRACK_ERROR_LEN];
    PGresult      *begin, *types, *fields, *end;
    trk_schema_t  *schema;

    types = NULL;
    fields = NULL;
    end = NULL;
    schema = NULL;

    begin = ngx_http_track_pg_query(pg, "BEGIN ISOLATION LEVEL"
                                    " REPEATABLE READ READ ONLY",
                                    NGX_HTTP_TRACK_PG_DEADLINE);

    if (begin
        && ngx_http_track_pg_version(pg, version, size) == 0
        && (types = ngx_http_track_pg_query(pg, NGX_HTTP_TRACK_PG_TYPES,
                                            NGX_HTTP_TRACK_PG_READ))
        && (fields = ngx_http_track_pg_query(pg, NGX_HTTP_TRACK_PG_FIELDS,
                                             NGX_HTTP_TRACK_PG_READ))
        && (end = ngx_http_track_pg_query(pg, "COMMIT",
                                          NGX_HTTP_TRACK_PG_DEADLINE)))
    {
        schema = ngx_http_track_pg_schema(pg, version, types, fields, error);

        if (schema == NULL) {
            ngx_http_track_pg_refused(pg, error);
        }
    }

    PQclear(begin);
    PQclear(types);
    PQclear(fields);
    PQclear(end);

    return schema;
}


static trk_schema_t *
ngx_http_track_pg_schema(ngx_http_track_pg_t *pg, const char *version,
    PGresult *types, PGresult *fields, char *error)
{
    int                 row, field;
    trk_uuid_t          lineage;
    const char         *number;
    trk_schema_t       *schema;
    trk_additional_t    additional;
    trk_schema_type_t  *type;

    number = strchr(version, ' ') + 1;

    if (trk_uuid_parse(trk_str_of(version, (size_t) (number - version - 1)),
                       &lineage)
        != TRK_OK)
    {
        ngx_http_track_say(error, "track_schema_version() returned \"%s\"",
                           version);
        return NULL;
    }

    schema = trk_schema_create(&lineage, strtoull(number, NULL, 10));

    if (schema == NULL) {
        goto nomem;
    }

    field = 0;

    for (row = 0; row < PQntuples(types); row++) {

        if (trk_additional_parse(ngx_http_track_pg_value(types, row, 2),
                                 &additional)
            != TRK_OK)
        {
            ngx_http_track_say(error,
                               "event type \"%s\" has additional_fields "
                               "\"%s\"", PQgetvalue(types, row, 0),
                               PQgetvalue(types, row, 2));
            goto failed;
        }

        type = trk_schema_add_type(schema,
                                   ngx_http_track_pg_value(types, row, 0),
                                   PQgetvalue(types, row, 1)[0] == 't',
                                   additional);
        if (type == NULL) {
            goto nomem;
        }

        if (ngx_http_track_pg_fields(schema, type, fields, &field, error)
            == -1)
        {
            goto failed;
        }
    }

    if (trk_schema_finish(schema) != TRK_OK) {
        ngx_http_track_say(error, "%s", schema->error);
        goto failed;
    }

    return schema;

nomem:

    ngx_http_track_say(error, "no memory");

failed:

    trk_schema_free(schema);

    return NULL;
}


/* Both lists are in the order of the types' names: takes the fields from
 * *row on that belong to type. */

static int
ngx_http_track_pg_fields(trk_schema_t *schema, trk_schema_type_t *type,
    PGresult *fields, int *row, char *error)
{
    trk_data_type_t  data_type;

    for ( /* void */ ; *row < PQntuples(fields); (*row)++) {

        if (!trk_str_eq(ngx_http_track_pg_value(fields, *row, 0),
                        type->name))
        {
            return 0;
        }

        if (trk_data_type_parse(ngx_http_track_pg_value(fields, *row, 2),
                                &data_type)
            != TRK_OK)
        {
            ngx_http_track_say(error,
                               "field \"%s\" of event type \"%s\" has "
                               "data_type \"%s\"",
                               PQgetvalue(fields, *row, 1),
                               PQgetvalue(fields, *row, 0),
                               PQgetvalue(fields, *row, 2));
            return -1;
        }

        if (trk_schema_add_field(schema, type,
                                 ngx_http_track_pg_value(fields, *row, 1),
                                 data_type,
                                 PQgetvalue(fields, *row, 3)[0] == 't')
            != TRK_OK)
        {
            ngx_http_track_say(error, "no memory");
            return -1;
        }
    }

    return 0;
}


static trk_str_t
ngx_http_track_pg_value(PGresult *res, int row, int column)
{
    return trk_str_of(PQgetvalue(res, row, column),
                      (size_t) PQgetlength(res, row, column));
}


/*
 * The image first, so that the change is enforced at once; then the file,
 * which waits for the disk.  What failed is tried again at the next look:
 * only then the version counts as saved.
 */

static void
ngx_http_track_pg_save(ngx_http_track_pg_t *pg, trk_schema_t *schema,
    const char *version)
{
    char      error[NGX_HTTP_TRACK_ERROR_LEN];
    uint64_t  generation;

    if (ngx_http_track_image_write(pg->path, schema, pg->present, &generation,
                                   error)
        == -1)
    {
        ngx_http_track_pg_refused(pg, error);
        return;
    }

    pg->present = generation;

    pthread_mutex_lock(&pg->mutex);

    pg->report.generation = generation;
    pg->report.schema_error[0] = '\0';

    pthread_mutex_unlock(&pg->mutex);

    ngx_http_track_pg_report(pg, NGX_HTTP_TRACK_UP);

    /* poll with no time: is the end near?  A new leader may be at it. */

    if (ngx_http_track_pg_poll(pg, -1, 0) == -1) {
        return;
    }

    if (ngx_http_track_schema_file_write(pg->path, schema, error) == -1) {
        ngx_http_track_pg_refused(pg, error);
        return;
    }

    snprintf(pg->version, sizeof(pg->version), "%s", version);

    ngx_http_track_image_clean(pg->path);
}


/* One statement; NULL with pg->error: failed, the connection is of no use
 * any more. */

static PGresult *
ngx_http_track_pg_query(ngx_http_track_pg_t *pg, const char *sql, int timeout)
{
    int64_t    until;
    PGresult  *res, *next;

    until = ngx_http_track_pg_now() + timeout;

    if (PQsendQuery(pg->conn, sql) == 0) {
        ngx_http_track_pg_failed(pg, PQerrorMessage(pg->conn), NULL);
        return NULL;
    }

    res = NULL;

    for ( ;; ) {
        if (ngx_http_track_pg_settle(pg, until) == -1) {
            PQclear(res);
            return NULL;
        }

        next = PQgetResult(pg->conn);

        if (next == NULL) {
            break;
        }

        PQclear(res);
        res = next;
    }

    if (PQresultStatus(res) != PGRES_TUPLES_OK
        && PQresultStatus(res) != PGRES_COMMAND_OK)
    {
        ngx_http_track_pg_failed(pg, PQresultErrorMessage(res),
                                 PQresultErrorField(res, PG_DIAG_SQLSTATE));
        PQclear(res);
        return NULL;
    }

    return res;
}


/* Until PQgetResult() does not block. */

static int
ngx_http_track_pg_settle(ngx_http_track_pg_t *pg, int64_t until)
{
    int      rc;
    int64_t  now;

    while (PQisBusy(pg->conn)) {
        now = ngx_http_track_pg_now();

        rc = ngx_http_track_pg_poll(pg, PQsocket(pg->conn),
                                    now < until ? (int) (until - now) : 0);
        if (rc == -1) {
            return -1;
        }

        if (rc == 0) {
            ngx_http_track_pg_failed(pg, "no answer in time", NULL);
            return -1;
        }

        if (PQconsumeInput(pg->conn) == 0) {
            ngx_http_track_pg_failed(pg, PQerrorMessage(pg->conn), NULL);
            return -1;
        }
    }

    return 0;
}


/* 1: fd (-1: none) is readable; 0: time is over; -1: the thread is to
 * end. */

static int
ngx_http_track_pg_poll(ngx_http_track_pg_t *pg, int fd, int timeout)
{
    int            rc;
    struct pollfd  fds[2];

    fds[0].fd = pg->stop_fd;
    fds[0].events = POLLIN;
    fds[1].fd = fd;
    fds[1].events = POLLIN;
    fds[1].revents = 0;

    do {
        rc = poll(fds, 2, timeout);
    } while (rc == -1 && errno == EINTR);

    if (rc == -1 || fds[0].revents) {
        return -1;
    }

    return fds[1].revents != 0;
}


static int64_t
ngx_http_track_pg_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* state: SQLSTATE, or NULL */

static void
ngx_http_track_pg_failed(ngx_http_track_pg_t *pg, const char *message,
    const char *state)
{
    const char  *advice;

    advice = "";

    if (state && (strcmp(state, "42883") == 0 || strcmp(state, "42P01") == 0))
    {
        advice = "; apply migrations/postgres (track-loader migrate)";

    } else if (state && strcmp(state, "42501") == 0) {
        advice = "; nginx reads with the rights of role track_reader";
    }

    snprintf(pg->error, sizeof(pg->error), "%.*s%s",
             (int) ngx_min(strcspn(message, "\n"),
                           sizeof(pg->error) - strlen(advice) - 1),
             message, advice);
}


static void
ngx_http_track_pg_report(ngx_http_track_pg_t *pg,
    ngx_http_track_state_e state)
{
    pthread_mutex_lock(&pg->mutex);

    pg->report.state = state;
    ngx_memcpy(pg->report.error, pg->error, sizeof(pg->error));

    if (state == NGX_HTTP_TRACK_UP) {
        pg->report.error[0] = '\0';
    }

    pthread_mutex_unlock(&pg->mutex);

    ngx_http_track_pg_ring(pg->report_fd);
}


/* The connection is good, but not what came of it. */

static void
ngx_http_track_pg_refused(ngx_http_track_pg_t *pg, const char *error)
{
    pthread_mutex_lock(&pg->mutex);

    pg->report.state = NGX_HTTP_TRACK_UP;
    ngx_memcpy(pg->report.schema_error, error, NGX_HTTP_TRACK_ERROR_LEN);

    pthread_mutex_unlock(&pg->mutex);

    ngx_http_track_pg_ring(pg->report_fd);
}


static void
ngx_http_track_pg_ring(int fd)
{
    uint64_t  one = 1;

    /* fails only when the counter is full, and then it is readable */

    if (write(fd, &one, sizeof(one)) == -1) {
        return;
    }
}


/* libpq's own would print to standard error */

static void
ngx_http_track_pg_notice(void *data, const PGresult *res)
{
    /* void */
}
