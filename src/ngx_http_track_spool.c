
/*
 * The spool of a worker: its life, its gauges, and what its parts share.
 *
 *   _spool_segment records in memory
 *   _spool_append  what comes in
 *   _spool_write   group commit
 *   _spool_drain   sends what waits to Kafka
 *   _spool_keep    what is to be removed, adoption, quota
 *   _spool_mark    marks of what is done
 *   _spool_io      folders and files, in threads
 *   lib/trk_spool  what stands in them
 *
 * A worker writes to one spool, track_spool/EDGE, made when it is first
 * needed, and adopts those of others that have ended.  All of this runs in
 * the event loop; files are touched by jobs in nginx's thread pool, of which
 * there are three at most at a time.
 *
 * A disk may hang, and its thread with it.  Nothing here waits for a job:
 * what is not written in time is given up by whoever appended it.  nginx,
 * though, joins its threads when a worker ends, without a hook before it; so
 * from the first job on a guard thread ends the process when its event loop
 * has stopped and a job still hangs.
 */


#include "ngx_http_track_spool_inner.h"

#include <pthread.h>


#define NGX_HTTP_TRACK_SPOOL_EXIT   500         /* ms, for marks */
#define NGX_HTTP_TRACK_SPOOL_ASLEEP 1000        /* ms, until the end begins */
#define NGX_HTTP_TRACK_SPOOL_LOOK   100         /* ms, between looks, then */
#define NGX_HTTP_TRACK_SPOOL_QUIET  40          /* looks: the loop is over */
#define NGX_HTTP_TRACK_SPOOL_KILLED 5           /* likewise, by TERM */
#define NGX_HTTP_TRACK_SPOOL_IDLE   10000       /* ms */


typedef struct {
    void                       (*f)(void *data);
    void                        *data;
} ngx_http_track_within_t;


static char *ngx_http_track_spool_parameter(ngx_conf_t *cf,
    ngx_http_track_main_conf_t *tmcf, ngx_str_t *value, ngx_str_t *pool);
static char *ngx_http_track_spool_path(ngx_conf_t *cf,
    ngx_http_track_main_conf_t *tmcf, ngx_str_t *value);
static void ngx_http_track_spool_work(void *data, ngx_log_t *log);
static void ngx_http_track_spool_job_handler(ngx_event_t *ev);
static void *ngx_http_track_spool_thread(void *data);
static void ngx_http_track_spool_timer_handler(ngx_event_t *ev);
static void ngx_http_track_spool_gauges(ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_watch_jobs(ngx_http_track_spool_t *spool);
static void ngx_http_track_spool_watch_over(ngx_http_track_spool_t *spool);
static void *ngx_http_track_spool_guard(void *data);
static ngx_uint_t ngx_http_track_spool_at_work(
    ngx_http_track_spool_t *spool);
static ngx_uint_t ngx_http_track_spool_job_hangs(ngx_http_track_job_t *job);


/* what timers without a connection show as theirs in the debug log */
static ngx_connection_t  ngx_http_track_spool_dumb;


char *
ngx_http_track_spool_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_main_conf_t  *tmcf = conf;

    char        *rv;
    ngx_str_t   *value, pool;
    ngx_uint_t   i;

    if (tmcf->spool.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    tmcf->spool = value[1];

    if (ngx_strcmp(value[1].data, "off") == 0) {
        tmcf->spool.len = 0;
        return cf->args->nelts == 2 ? NGX_CONF_OK
                                    : "takes no parameters after \"off\"";
    }

    tmcf->spool_size = (off_t) 10 * 1024 * 1024 * 1024;
    tmcf->spool_segment = 64 * 1024 * 1024;
    ngx_str_set(&pool, "default");

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_track_spool_parameter(cf, tmcf, &value[i], &pool);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if ((off_t) tmcf->spool_segment > tmcf->spool_size / 2) {
        return "needs a \"max_size\" of two segments at least";
    }

    tmcf->spool_pool = ngx_thread_pool_add(cf, &pool);

    if (tmcf->spool_pool == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_track_spool_path(cf, tmcf, &value[1]);
}


static char *
ngx_http_track_spool_parameter(ngx_conf_t *cf,
    ngx_http_track_main_conf_t *tmcf, ngx_str_t *value, ngx_str_t *pool)
{
    off_t      size;
    ngx_str_t  text;

    if (ngx_strncmp(value->data, "pool=", 5) == 0 && value->len > 5) {
        pool->data = value->data + 5;
        pool->len = value->len - 5;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "max_size=", 9) == 0) {
        text.data = value->data + 9;
        text.len = value->len - 9;
        size = ngx_parse_offset(&text);

        if (size != NGX_ERROR) {
            tmcf->spool_size = size;
            return NGX_CONF_OK;
        }

    } else if (ngx_strncmp(value->data, "segment=", 8) == 0) {
        text.data = value->data + 8;
        text.len = value->len - 8;
        size = ngx_parse_offset(&text);

        if (size >= 64 * 1024 && size <= 1024 * 1024 * 1024) {
            tmcf->spool_segment = (size_t) size;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\": there are max_size=SIZE, "
                       "segment=SIZE from 64k to 1g, and pool=NAME", value);

    return NGX_CONF_ERROR;
}


/* nginx makes the folder and gives it to the workers' user, as it does with
 * those of its temporary files. */

static char *
ngx_http_track_spool_path(ngx_conf_t *cf, ngx_http_track_main_conf_t *tmcf,
    ngx_str_t *value)
{
    ngx_path_t  *path;

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    path->name = *value;

    while (path->name.len > 1 && path->name.data[path->name.len - 1] == '/') {
        path->name.data[--path->name.len] = '\0';
    }

    if (path->name.len == 0
        || ngx_conf_full_name(cf->cycle, &path->name, 0) != NGX_OK)
    {
        return "needs a path";
    }

    if (path->name.len > NGX_HTTP_TRACK_SPOOL_PATH) {
        return "has too long a path";
    }

    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    if (ngx_add_path(cf, &path) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    tmcf->spool = path->name;

    return NGX_CONF_OK;
}


void
ngx_http_track_spool_count(ngx_http_track_main_conf_t *tmcf,
    ngx_http_track_shm_t *sh)
{
    char   error[NGX_HTTP_TRACK_SPOOL_ERROR];
    off_t  usage;

    if (tmcf->spool.len == 0) {
        return;
    }

    usage = ngx_http_track_spool_io_usage((char *) tmcf->spool.data, error);

    if (usage != -1) {
        sh->spool_bytes = (ngx_atomic_uint_t) usage;
        sh->spool_known = 1;
    }
}


ngx_int_t
ngx_http_track_spool_init(ngx_http_track_worker_t *wk)
{
    ngx_http_track_home_t   *own;
    ngx_http_track_spool_t  *spool;

    if (wk->conf->spool.len == 0) {
        return NGX_OK;
    }

    spool = ngx_calloc(sizeof(ngx_http_track_spool_t), wk->log);
    own = ngx_calloc(sizeof(ngx_http_track_home_t), wk->log);

    if (spool == NULL || own == NULL) {
        return NGX_ERROR;
    }

    spool->worker = wk;
    spool->path = (char *) wk->conf->spool.data;
    spool->own = own;

    own->dir.dir = -1;
    own->dir.lock = -1;
    own->aside = -1;
    own->whole = 1;
    own->holding.own = 1;
    ngx_memcpy(own->dir.edge, wk->edge, NGX_HTTP_TRACK_EDGE_LEN);
    ngx_memcpy(own->holding.edge, wk->edge, NGX_HTTP_TRACK_EDGE_LEN);
    ngx_queue_init(&own->segments);

    ngx_queue_init(&spool->homes);
    ngx_queue_insert_tail(&spool->homes, &own->queue);

    ngx_http_track_spool_write_init(spool);
    ngx_http_track_spool_drain_init(spool);
    ngx_http_track_spool_keep_init(spool);

    ngx_http_track_spool_dumb.fd = (ngx_socket_t) -1;

    spool->timer.handler = ngx_http_track_spool_timer_handler;
    spool->timer.data = &ngx_http_track_spool_dumb;
    spool->timer.log = wk->log;
    spool->timer.cancelable = 1;

    wk->spool = spool;

    /* the first tick adopts what the last nginx left; pools do not run yet */

    ngx_add_timer(&spool->timer, NGX_HTTP_TRACK_SPOOL_TICK / 10);

    return NGX_OK;
}


/* What is not done is adopted by others: nginx's threads, and with them the
 * locks, end with the process. */

void
ngx_http_track_spool_exit(ngx_http_track_worker_t *wk)
{
    ngx_http_track_spool_t  *spool;

    spool = wk->spool;

    if (spool == NULL) {
        return;
    }

    spool->closing = 1;
    ngx_http_track_spool_drain_exit(spool);

    if (!spool->writer.job.busy && !spool->hung) {
        ngx_http_track_spool_keep_exit(spool, NGX_HTTP_TRACK_SPOOL_EXIT);
    }

    wk->spool = NULL;
}


ngx_int_t
ngx_http_track_spool_post(ngx_http_track_job_t *job)
{
    if (job->busy || job->spool->closing) {
        return NGX_ERROR;
    }

    ngx_http_track_spool_watch_over(job->spool);

    ngx_memzero(&job->task, sizeof(ngx_thread_task_t));

    job->task.ctx = job;
    job->task.handler = ngx_http_track_spool_work;
    job->task.event.handler = ngx_http_track_spool_job_handler;
    job->task.event.data = job;
    job->task.event.log = job->spool->worker->log;

    job->finished = 0;
    job->began = ngx_current_msec;

    if (ngx_thread_task_post(job->spool->worker->conf->spool_pool, &job->task)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    job->busy = 1;

    return NGX_OK;
}


/* in a thread */

static void
ngx_http_track_spool_work(void *data, ngx_log_t *log)
{
    ngx_http_track_job_t *job = data;

    job->work(job->data);

    ngx_memory_barrier();
    job->finished = 1;
}


static void
ngx_http_track_spool_job_handler(ngx_event_t *ev)
{
    ngx_http_track_job_t  *job;

    job = ev->data;
    job->busy = 0;
    job->done(job->spool);
}


ngx_int_t
ngx_http_track_spool_within(void (*f)(void *data), void *data, ngx_msec_t ms)
{
    pthread_t                 tid;
    struct timespec           until;
    ngx_http_track_within_t  *within;

    within = ngx_alloc(sizeof(ngx_http_track_within_t), ngx_cycle->log);
    if (within == NULL) {
        return NGX_AGAIN;
    }

    within->f = f;
    within->data = data;

    if (pthread_create(&tid, NULL, ngx_http_track_spool_thread, within) != 0) {
        ngx_free(within);
        return NGX_AGAIN;
    }

    (void) clock_gettime(CLOCK_REALTIME, &until);

    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;

    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }

    if (pthread_timedjoin_np(tid, NULL, &until) != 0) {
        (void) pthread_detach(tid);
        return NGX_AGAIN;
    }

    return NGX_OK;
}


static void *
ngx_http_track_spool_thread(void *data)
{
    sigset_t                  set;
    ngx_http_track_within_t  *within = data;

    sigfillset(&set);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL);

    within->f(within->data);
    ngx_free(within);

    return NULL;
}


const ngx_http_track_holding_t *
ngx_http_track_spool_holding(ngx_http_track_worker_t *wk, ngx_uint_t i)
{
    ngx_queue_t             *q;
    ngx_http_track_home_t   *home;
    ngx_http_track_spool_t  *spool;

    spool = wk->spool;

    if (spool == NULL) {
        return NULL;
    }

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        if (home->whole && i-- == 0) {
            return &home->holding;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_track_spool_where(ngx_http_track_worker_t *wk, const u_char *edge,
    ngx_msec_t since)
{
    size_t                          i;
    ngx_queue_t                    *q;
    ngx_http_track_home_t          *home;
    ngx_http_track_spool_t         *spool;
    ngx_http_track_spool_keeper_t  *keeper;

    spool = wk->spool;

    if (spool == NULL) {
        return NGX_DONE;
    }

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        if (ngx_memcmp(home->holding.edge, edge, NGX_HTTP_TRACK_EDGE_LEN) == 0)
        {
            return home->whole ? NGX_OK : NGX_DECLINED;
        }
    }

    keeper = &spool->keeper;

    if (!keeper->scanned
        || (ngx_msec_int_t) (keeper->scanned_at - since) <= 0)
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < keeper->nedges; i++) {
        if (ngx_memcmp(keeper->edges + i * NGX_HTTP_TRACK_EDGE_LEN, edge,
                       NGX_HTTP_TRACK_EDGE_LEN)
            == 0)
        {
            return NGX_DECLINED;
        }
    }

    return NGX_DONE;
}


static void
ngx_http_track_spool_timer_handler(ngx_event_t *ev)
{
    ngx_http_track_spool_t  *spool;

    spool = ngx_http_track_worker->spool;
    spool->beat++;

    ngx_http_track_spool_watch_jobs(spool);

    /* an idle spool holds nothing */

    if (spool->active && spool->active->open == 0
        && spool->active->chunks == 0
        && ngx_current_msec - spool->written_at > NGX_HTTP_TRACK_SPOOL_IDLE)
    {
        ngx_http_track_spool_write_end(spool);
    }

    ngx_http_track_spool_fold(spool);
    ngx_http_track_spool_gauges(spool);
    ngx_http_track_spool_adopt_sure(spool);
    ngx_http_track_spool_drain_wake(spool, spool->worker->slot->kafka
                                           == NGX_HTTP_TRACK_UP);
    ngx_http_track_spool_keep(spool);

    ngx_add_timer(ev, NGX_HTTP_TRACK_SPOOL_TICK);
}


static void
ngx_http_track_spool_gauges(ngx_http_track_spool_t *spool)
{
    int64_t                    oldest;
    uint64_t                   bytes, records, rejected;
    ngx_queue_t               *q, *s;
    ngx_http_track_home_t     *home;
    ngx_http_track_slot_t     *slot;
    ngx_http_track_segment_t  *segment;

    bytes = 0;
    records = 0;
    rejected = 0;
    oldest = 0;

    for (q = ngx_queue_head(&spool->homes);
         q != ngx_queue_sentinel(&spool->homes);
         q = ngx_queue_next(q))
    {
        home = ngx_queue_data(q, ngx_http_track_home_t, queue);

        for (s = ngx_queue_head(&home->segments);
             s != ngx_queue_sentinel(&home->segments);
             s = ngx_queue_next(s))
        {
            segment = ngx_queue_data(s, ngx_http_track_segment_t, queue);

            rejected += segment->rejected;

            if (segment->open == 0) {
                continue;
            }

            /* of records alike: sizes of those that are done are not kept */

            records += segment->open;
            bytes += (uint64_t) segment->end * segment->open / segment->n;

            if (oldest == 0 || segment->oldest < oldest) {
                oldest = segment->oldest;
            }
        }
    }

    slot = spool->worker->slot;
    slot->spool_bytes = bytes;
    slot->spool_records = records;
    slot->spool_rejected = rejected;
    slot->spool_oldest = (ngx_atomic_uint_t) oldest;
}


static void
ngx_http_track_spool_watch_jobs(ngx_http_track_spool_t *spool)
{
    if (!ngx_http_track_spool_job_hangs(&spool->writer.job)
        && !ngx_http_track_spool_job_hangs(&spool->drain.job)
        && !ngx_http_track_spool_job_hangs(&spool->keeper.job))
    {
        spool->hung = 0;
        return;
    }

    if (!spool->hung) {
        spool->hung = 1;

        ngx_log_error(NGX_LOG_ERR, spool->worker->log, 0,
                      "track: the disk of the spool \"%s\" has not answered "
                      "for %d seconds: until it does, what Kafka does not "
                      "take is answered with 503", spool->path,
                      NGX_HTTP_TRACK_SPOOL_HUNG / 1000);
    }
}


static ngx_uint_t
ngx_http_track_spool_job_hangs(ngx_http_track_job_t *job)
{
    return job->busy && !job->finished
           && ngx_current_msec - job->began > NGX_HTTP_TRACK_SPOOL_HUNG;
}


/* Without a guard a disk that hangs may hold the worker's end, that is all. */

static void
ngx_http_track_spool_watch_over(ngx_http_track_spool_t *spool)
{
    pthread_t  tid;

    if (!spool->guarded
        && pthread_create(&tid, NULL, ngx_http_track_spool_guard, spool) == 0)
    {
        spool->guarded = 1;
        (void) pthread_detach(tid);
    }
}


/*
 * A thread of its own.  At its end a worker joins the threads of its pools,
 * before it comes to the modules: one that hangs would keep it for ever.  The
 * event loop beats once a second; when it has stopped, and the worker is to
 * leave, nothing is left to be done.
 */

static void *
ngx_http_track_spool_guard(void *data)
{
    sigset_t                 set;
    ngx_uint_t               quiet;
    ngx_atomic_uint_t        beat;
    ngx_http_track_spool_t  *spool = data;

    sigfillset(&set);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL);

    quiet = 0;
    beat = spool->beat;

    for ( ;; ) {

        if (!ngx_exiting && !ngx_terminate) {
            ngx_msleep(NGX_HTTP_TRACK_SPOOL_ASLEEP);
            continue;
        }

        ngx_msleep(NGX_HTTP_TRACK_SPOOL_LOOK);

        if (beat != spool->beat || !ngx_http_track_spool_at_work(spool)) {
            beat = spool->beat;
            quiet = 0;
            continue;
        }

        if (++quiet > (ngx_terminate ? NGX_HTTP_TRACK_SPOOL_KILLED
                                     : NGX_HTTP_TRACK_SPOOL_QUIET))
        {
            _exit(0);
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_track_spool_at_work(ngx_http_track_spool_t *spool)
{
    return (spool->writer.job.busy && !spool->writer.job.finished)
           || (spool->drain.job.busy && !spool->drain.job.finished)
           || (spool->keeper.job.busy && !spool->keeper.job.finished);
}
