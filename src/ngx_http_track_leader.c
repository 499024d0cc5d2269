
/*
 * The lead: one worker of all that share the zone, old and new ones of a
 * reload included, runs the schema thread.
 *
 * The lease in the zone names its holder and says until when; it is renewed
 * each tick.  A worker that ends gives it back; when one is killed the next
 * tick of any other takes it.  Its epoch grows with each holder: who was
 * stopped, lost the lease and wakes up again, finds another epoch there and
 * publishes nothing.
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_LEASE  5000      /* ms; some ticks */


static ngx_uint_t ngx_http_track_lease_take(ngx_http_track_worker_t *wk);
static ngx_uint_t ngx_http_track_lease_renew(ngx_http_track_worker_t *wk);
static void ngx_http_track_lease_return(ngx_http_track_worker_t *wk);
static void ngx_http_track_leader_start(ngx_http_track_worker_t *wk);
static void ngx_http_track_leader_report_handler(ngx_event_t *rev);
static void ngx_http_track_leader_log(ngx_http_track_worker_t *wk,
    ngx_http_track_follower_report_t *report, ngx_uint_t changed);
static ngx_uint_t ngx_http_track_leader_note(ngx_http_track_worker_t *wk,
    ngx_http_track_follower_report_t *report);


void
ngx_http_track_leader_tick(ngx_http_track_worker_t *wk)
{
    if (ngx_exiting || ngx_terminate) {
        ngx_http_track_leader_resign(wk, 0);
        return;
    }

    if (wk->epoch == 0) {
        if (ngx_http_track_lease_take(wk)) {
            ngx_http_track_leader_start(wk);
        }

        return;
    }

    if (!ngx_http_track_lease_renew(wk)) {
        ngx_log_error(NGX_LOG_NOTICE, wk->log, 0,
                      "track: this worker was held up and has lost the lead");
        ngx_http_track_leader_resign(wk, 0);
    }
}


void
ngx_http_track_leader_resign(ngx_http_track_worker_t *wk, ngx_msec_t wait)
{
    if (wk->epoch == 0) {
        return;
    }

    if (wk->reports) {
        ngx_close_connection(wk->reports);
        wk->reports = NULL;
    }

    if (wk->follower) {
        ngx_http_track_follower_stop(wk->follower, (unsigned) wait);
        wk->follower = NULL;
    }

    ngx_http_track_lease_return(wk);
}


static ngx_uint_t
ngx_http_track_lease_take(ngx_http_track_worker_t *wk)
{
    ngx_uint_t             taken;
    ngx_http_track_shm_t  *sh;

    sh = wk->sh;
    taken = 0;

    ngx_shmtx_lock(&wk->shpool->mutex);

    if (sh->lease_pid == 0
        || (ngx_msec_int_t) (sh->lease_until - ngx_current_msec) < 0
        || !ngx_http_track_alive(sh->lease_pid))
    {
        /* killed in between, we leave a lease that anyone may take */

        sh->lease_pid = 0;
        sh->lease_until = ngx_current_msec + NGX_HTTP_TRACK_LEASE;
        wk->epoch = ++sh->lease_epoch;
        sh->lease_pid = ngx_pid;
        taken = 1;
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    return taken;
}


static ngx_uint_t
ngx_http_track_lease_renew(ngx_http_track_worker_t *wk)
{
    ngx_uint_t  ours;

    ngx_shmtx_lock(&wk->shpool->mutex);

    ours = (wk->sh->lease_epoch == wk->epoch);

    if (ours) {
        wk->sh->lease_until = ngx_current_msec + NGX_HTTP_TRACK_LEASE;
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    return ours;
}


static void
ngx_http_track_lease_return(ngx_http_track_worker_t *wk)
{
    ngx_shmtx_lock(&wk->shpool->mutex);

    if (wk->sh->lease_epoch == wk->epoch) {
        wk->sh->lease_pid = 0;
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    wk->epoch = 0;
}


/* What fails here is tried again at the next tick. */

static void
ngx_http_track_leader_start(ngx_http_track_worker_t *wk)
{
    int                          fd;
    ngx_http_track_main_conf_t  *tmcf;

    tmcf = wk->conf;

    wk->follower = ngx_http_track_follower_start((char *) tmcf->postgres.data,
                                     (char *) tmcf->schema_file.data,
                                     wk->sh->generation, &fd);
    if (wk->follower == NULL) {
        ngx_log_error(NGX_LOG_ERR, wk->log, ngx_errno,
                      "track: the schema thread cannot be started");
        ngx_http_track_lease_return(wk);
        return;
    }

    wk->reports = ngx_http_track_watch(fd,
                              ngx_http_track_leader_report_handler, wk,
                              wk->log);
    if (wk->reports == NULL) {
        ngx_http_track_leader_resign(wk, 0);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, wk->log, 0,
                  "track: this worker reads the schema from PostgreSQL");
}


static void
ngx_http_track_leader_report_handler(ngx_event_t *rev)
{
    uint64_t                     n;
    ngx_uint_t                   changed;
    ngx_connection_t            *c;
    ngx_http_track_worker_t     *wk;
    ngx_http_track_follower_report_t   report;

    c = rev->data;
    wk = c->data;

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ERR, wk->log, ngx_errno,
                      "track: read() of the schema thread's eventfd failed");
    }

    if (wk->follower == NULL) {
        return;
    }

    ngx_http_track_follower_take(wk->follower, &report);

    changed = ngx_http_track_leader_note(wk, &report);
    ngx_http_track_leader_log(wk, &report, changed);

    if (report.generation && report.generation != wk->sh->generation) {
        ngx_http_track_schema_publish(wk, report.generation);
    }
}


/* For the status, which any worker may be asked.  Returns whether this is
 * news to the error log. */

static ngx_uint_t
ngx_http_track_leader_note(ngx_http_track_worker_t *wk,
    ngx_http_track_follower_report_t *report)
{
    ngx_uint_t             changed;
    ngx_http_track_shm_t  *sh;

    sh = wk->sh;

    ngx_shmtx_lock(&wk->shpool->mutex);

    changed = (sh->postgres != (ngx_atomic_uint_t) report->state);

    if (ngx_strcmp(sh->schema_error, report->schema_error) != 0) {
        changed = 1;
    }

    sh->postgres = report->state;
    ngx_memcpy(sh->postgres_error, report->error, sizeof(report->error));
    ngx_memcpy(sh->schema_error, report->schema_error,
               sizeof(report->schema_error));

    ngx_shmtx_unlock(&wk->shpool->mutex);

    return changed;
}


static void
ngx_http_track_leader_log(ngx_http_track_worker_t *wk,
    ngx_http_track_follower_report_t *report, ngx_uint_t changed)
{
    if (!changed) {
        return;
    }

    if (report->schema_error[0] != '\0') {
        ngx_http_track_count(wk, schema_failures, 1);
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: the schema that PostgreSQL has cannot be put "
                      "in force or saved, the last good one stays until this "
                      "is mended: %s",
                      report->schema_error);
        return;
    }

    if (report->state == NGX_HTTP_TRACK_DOWN) {
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: PostgreSQL cannot be read, %s until it can: %s",
                      wk->sh->generation ? "the last good schema stays"
                                         : "all events are refused",
                      report->error);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, wk->log, 0,
                  "track: reading the schema from PostgreSQL");
}
