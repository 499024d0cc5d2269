
/*
 * The schema thread of the leader: follows the schema in PostgreSQL and
 * brings it to disk.
 *
 * It connects, reads everything, writes the image and then the schema file,
 * and waits for notifications; every few seconds it looks unasked, so
 * poolers and lost notifications cost seconds, not silence.  A burst of
 * notifications is one look.
 *
 * The thread calls no nginx function, blocks all signals, and shares with
 * the event loop only what stands under the mutex: it leaves its report
 * there and writes to an eventfd.  It may hang in name resolution or a
 * connect when it is to end; then it is orphaned, and frees the structure
 * itself when it comes back.
 */


#include "ngx_http_track.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>


#define NGX_HTTP_TRACK_FOLLOW_LOOK         5000     /* ms between two looks */
#define NGX_HTTP_TRACK_FOLLOW_BACKOFF_MIN  250      /* ms until the next try */
#define NGX_HTTP_TRACK_FOLLOW_BACKOFF_MAX  5000
#define NGX_HTTP_TRACK_FOLLOW_PAUSE        100      /* ms, poll() failed */


struct ngx_http_track_follower_s {

    /* never changed */
    char                              *conninfo;
    char                              *path;
    int                                stop_fd;     /* readable: end */
    int                                report_fd;   /* to the event loop */

    /* the thread's own */
    uint64_t                           present;     /* image in the folder */
    char                               version[NGX_HTTP_TRACK_VERSION_LEN];
                                                    /* of what is saved */
    char                               error[NGX_HTTP_TRACK_ERROR_LEN];
    int                                backoff;     /* ms */

    /* shared */
    pthread_mutex_t                    mutex;
    pthread_cond_t                     cond;
    int                                finished;    /* the thread has left */
    int                                orphaned;    /* nobody waits for it */
    ngx_http_track_follower_report_t   report;
};


static int ngx_http_track_follower_start_thread(ngx_http_track_follower_t *f);
static void ngx_http_track_follower_free(ngx_http_track_follower_t *f);
static void *ngx_http_track_follower_thread(void *data);
static void ngx_http_track_follower_leave(ngx_http_track_follower_t *f);
static void ngx_http_track_follower_follow(ngx_http_track_follower_t *f,
    ngx_http_track_pg_t *pg);
static int ngx_http_track_follower_look(ngx_http_track_follower_t *f,
    ngx_http_track_pg_t *pg);
static int ngx_http_track_follower_read(ngx_http_track_follower_t *f,
    ngx_http_track_pg_t *pg, char *version, size_t size, int held);
static void ngx_http_track_follower_save(ngx_http_track_follower_t *f,
    trk_schema_t *schema, const char *version, int held);
static void ngx_http_track_follower_report(ngx_http_track_follower_t *f,
    ngx_http_track_state_e state);
static void ngx_http_track_follower_refused(ngx_http_track_follower_t *f,
    const char *error);
static void ngx_http_track_follower_ring(int fd);


ngx_http_track_follower_t *
ngx_http_track_follower_start(const char *conninfo, const char *path,
    uint64_t present, int *fd)
{
    ngx_http_track_follower_t  *f;

    f = calloc(1, sizeof(ngx_http_track_follower_t));
    if (f == NULL) {
        return NULL;
    }

    f->conninfo = strdup(conninfo);
    f->path = strdup(path);
    f->stop_fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    f->report_fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);
    f->present = present;
    f->backoff = NGX_HTTP_TRACK_FOLLOW_BACKOFF_MIN;

    *fd = -1;

    /* an orphan must not write to what the caller has closed */

    if (f->report_fd != -1) {
        *fd = fcntl(f->report_fd, F_DUPFD_CLOEXEC, 0);
    }

    if (f->conninfo == NULL || f->path == NULL || f->stop_fd == -1
        || *fd == -1 || ngx_http_track_follower_start_thread(f) == -1)
    {
        if (*fd != -1) {
            (void) close(*fd);
        }

        ngx_http_track_follower_free(f);
        return NULL;
    }

    return f;
}


static int
ngx_http_track_follower_start_thread(ngx_http_track_follower_t *f)
{
    int                 rc;
    sigset_t            set, old;
    pthread_t           tid;
    pthread_attr_t      attr;
    pthread_condattr_t  condattr;

    pthread_mutex_init(&f->mutex, NULL);
    pthread_condattr_init(&condattr);
    pthread_condattr_setclock(&condattr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->cond, &condattr);
    pthread_condattr_destroy(&condattr);

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    /* signals are for the event loop */

    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, &old);

    rc = pthread_create(&tid, &attr, ngx_http_track_follower_thread, f);

    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);

    if (rc != 0) {
        errno = rc;
        return -1;
    }

    return 0;
}


void
ngx_http_track_follower_stop(ngx_http_track_follower_t *f, unsigned wait)
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

    pthread_mutex_lock(&f->mutex);

    ngx_http_track_follower_ring(f->stop_fd);

    while (wait && !f->finished) {
        if (pthread_cond_timedwait(&f->cond, &f->mutex, &until) != 0) {
            break;
        }
    }

    finished = f->finished;
    f->orphaned = 1;

    pthread_mutex_unlock(&f->mutex);

    if (finished) {
        ngx_http_track_follower_free(f);
    }
}


void
ngx_http_track_follower_take(ngx_http_track_follower_t *f,
    ngx_http_track_follower_report_t *report)
{
    pthread_mutex_lock(&f->mutex);
    *report = f->report;
    pthread_mutex_unlock(&f->mutex);
}


static void
ngx_http_track_follower_free(ngx_http_track_follower_t *f)
{
    if (f->stop_fd != -1) {
        (void) close(f->stop_fd);
    }

    if (f->report_fd != -1) {
        (void) close(f->report_fd);
    }

    free(f->conninfo);
    free(f->path);
    free(f);
}


/* everything below runs in the thread */

static void *
ngx_http_track_follower_thread(void *data)
{
    ngx_http_track_follower_t *f = data;

    int                   backoff;
    ngx_http_track_pg_t  *pg;

    (void) pthread_setname_np(pthread_self(), "track schema");

    do {
        f->error[0] = '\0';

        pg = ngx_http_track_pg_open(f->conninfo, f->stop_fd, f->error);

        if (pg) {
            ngx_http_track_follower_follow(f, pg);
            ngx_http_track_pg_close(pg);
        }

        if (f->error[0] != '\0') {
            ngx_http_track_follower_report(f, NGX_HTTP_TRACK_DOWN);
        }

        backoff = f->backoff;
        f->backoff = ngx_min(backoff * 2, NGX_HTTP_TRACK_FOLLOW_BACKOFF_MAX);

    } while (ngx_http_track_poll(f->stop_fd, -1, backoff) == 0);

    ngx_http_track_follower_leave(f);

    return NULL;
}


static void
ngx_http_track_follower_leave(ngx_http_track_follower_t *f)
{
    int  orphaned;

    pthread_mutex_lock(&f->mutex);

    f->finished = 1;
    orphaned = f->orphaned;
    pthread_cond_signal(&f->cond);

    pthread_mutex_unlock(&f->mutex);

    if (orphaned) {
        ngx_http_track_follower_free(f);
    }
}


static void
ngx_http_track_follower_follow(ngx_http_track_follower_t *f,
    ngx_http_track_pg_t *pg)
{
    if (ngx_http_track_follower_look(f, pg) == -1) {
        return;
    }

    f->backoff = NGX_HTTP_TRACK_FOLLOW_BACKOFF_MIN;
    ngx_http_track_follower_report(f, NGX_HTTP_TRACK_UP);

    while (ngx_http_track_pg_wait(pg, NGX_HTTP_TRACK_FOLLOW_LOOK) == 0) {
        if (ngx_http_track_follower_look(f, pg) == -1) {
            return;
        }
    }
}


/* Reads the schema if it is not the one that stands saved beside the file.
 * 0: done, also when what was read is no good; -1: connection lost. */

static int
ngx_http_track_follower_look(ngx_http_track_follower_t *f,
    ngx_http_track_pg_t *pg)
{
    int   rc, held;
    char  version[NGX_HTTP_TRACK_VERSION_LEN];
    char  error[NGX_HTTP_TRACK_ERROR_LEN];

    if (ngx_http_track_pg_version(pg, version, sizeof(version)) == -1) {
        return -1;
    }

    /* an image that somebody has removed is written again */

    if (f->present && !ngx_http_track_image_exists(f->path, f->present)) {
        f->present = 0;
        f->version[0] = '\0';
    }

    if (strcmp(version, f->version) == 0) {
        return 0;
    }

    if (ngx_http_track_schema_file_hold(f->path, &held, error) == -1) {
        ngx_http_track_follower_refused(f, error);
        return 0;
    }

    rc = ngx_http_track_follower_read(f, pg, version, sizeof(version), held);

    if (held != -1) {
        (void) close(held);
    }

    return rc;
}


/* held: what stood at the schema file's place before. */

static int
ngx_http_track_follower_read(ngx_http_track_follower_t *f,
    ngx_http_track_pg_t *pg, char *version, size_t size, int held)
{
    char           refused[NGX_HTTP_TRACK_ERROR_LEN];
    trk_schema_t  *schema;

    schema = ngx_http_track_pg_read(pg, version, size, refused);

    if (schema) {
        ngx_http_track_follower_save(f, schema, version, held);
        trk_schema_free(schema);
        return 0;
    }

    if (refused[0] == '\0') {
        return -1;
    }

    ngx_http_track_follower_refused(f, refused);

    return 0;
}


/*
 * The image first, so that the change is enforced at once; then the file,
 * which waits for the disk.  What failed is tried again at the next look:
 * only then the version counts as saved.
 */

static void
ngx_http_track_follower_save(ngx_http_track_follower_t *f,
    trk_schema_t *schema, const char *version, int held)
{
    int        rc;
    char      error[NGX_HTTP_TRACK_ERROR_LEN];
    uint64_t  generation;

    if (ngx_http_track_image_write(f->path, schema, f->present, &generation,
                                   error)
        == -1)
    {
        ngx_http_track_follower_refused(f, error);
        return;
    }

    f->present = generation;

    pthread_mutex_lock(&f->mutex);

    f->report.generation = generation;
    f->report.schema_error[0] = '\0';

    pthread_mutex_unlock(&f->mutex);

    ngx_http_track_follower_report(f, NGX_HTTP_TRACK_UP);

    /* poll with no time: is the end near?  A new leader may be at it. */

    if (ngx_http_track_poll(f->stop_fd, -1, 0) == -1) {
        return;
    }

    rc = ngx_http_track_schema_file_write(f->path, held, schema, error);

    if (rc == -1) {
        ngx_http_track_follower_refused(f, error);
    }

    if (rc != 0) {
        return;
    }

    snprintf(f->version, sizeof(f->version), "%s", version);

    ngx_http_track_image_clean(f->path);
}


static void
ngx_http_track_follower_report(ngx_http_track_follower_t *f,
    ngx_http_track_state_e state)
{
    pthread_mutex_lock(&f->mutex);

    f->report.state = state;
    ngx_memcpy(f->report.error, f->error, sizeof(f->error));

    if (state == NGX_HTTP_TRACK_UP) {
        f->report.error[0] = '\0';
    }

    pthread_mutex_unlock(&f->mutex);

    ngx_http_track_follower_ring(f->report_fd);
}


/* The connection is good, but not what came of it. */

static void
ngx_http_track_follower_refused(ngx_http_track_follower_t *f, const char *error)
{
    pthread_mutex_lock(&f->mutex);

    f->report.state = NGX_HTTP_TRACK_UP;
    ngx_memcpy(f->report.schema_error, error, NGX_HTTP_TRACK_ERROR_LEN);

    pthread_mutex_unlock(&f->mutex);

    ngx_http_track_follower_ring(f->report_fd);
}


static void
ngx_http_track_follower_ring(int fd)
{
    uint64_t  one = 1;

    /* fails only when the counter is full, and then it is readable */

    if (write(fd, &one, sizeof(one)) == -1) {
        return;
    }
}


int
ngx_http_track_poll(int stop_fd, int fd, int timeout)
{
    int            rc;
    struct pollfd  fds[2];

    fds[0].fd = stop_fd;
    fds[0].events = POLLIN;
    fds[1].fd = fd;
    fds[1].events = POLLIN;
    fds[1].revents = 0;

    do {
        rc = poll(fds, 2, timeout);
    } while (rc == -1 && errno == EINTR);

    /* no memory, most likely, and no reason to end: those who wait try again,
     * though not at once */

    if (rc == -1) {
        (void) usleep(NGX_HTTP_TRACK_FOLLOW_PAUSE * 1000);
        return 0;
    }

    return fds[0].revents ? -1 : fds[1].revents != 0;
}
