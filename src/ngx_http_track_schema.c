
/*
 * The schema image that this worker maps.
 *
 * The zone holds the generation in force, which names an image file beside
 * track_schema_file.  A request costs one load of that word; when it moved,
 * the worker maps the new file, checks it, and unmaps the old one, which
 * no request holds across events.  No lock is taken and nothing copied, and
 * nobody ever writes to a file that has its name, so a writer stopped or
 * killed anywhere harms no reader.
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_RESTORE_WAIT  2000   /* ms, for another's image */
#define NGX_HTTP_TRACK_RESTORE_STEP  10


static ngx_int_t ngx_http_track_schema_map(ngx_http_track_worker_t *wk,
    uint64_t generation);
static ngx_int_t ngx_http_track_schema_claim(ngx_http_track_worker_t *wk);
static void ngx_http_track_schema_restore(ngx_http_track_worker_t *wk);


const trk_image_t *
ngx_http_track_schema(ngx_http_track_worker_t *wk)
{
    uint64_t  generation;

    generation = wk->sh->generation;

    if (generation == wk->generation) {
        return wk->image;
    }

    if (generation == wk->bad_generation
        && ngx_current_msec - wk->bad_since < NGX_HTTP_TRACK_TICK)
    {
        return wk->image;
    }

    (void) ngx_http_track_schema_map(wk, generation);

    return wk->image;
}


/*
 * A name that is gone was followed by another one, whose generation is then
 * read: by two at most while we look.  If it is not, somebody has removed
 * the file; the schema thread writes it again, and we go on as we are.
 */

static ngx_int_t
ngx_http_track_schema_map(ngx_http_track_worker_t *wk, uint64_t generation)
{
    char                error[NGX_HTTP_TRACK_ERROR_LEN];
    uint64_t            tried;
    const char         *path;
    const trk_image_t  *image;

    path = (char *) wk->conf->schema_file.data;

    do {
        tried = generation;
        image = ngx_http_track_image_map(path, tried, error);
        generation = wk->sh->generation;

    } while (image == NULL && generation != tried);

    if (image == NULL) {
        if (tried != wk->bad_generation) {
            ngx_http_track_count(wk, schema_failures, 1);
            ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                          "track: the schema in force cannot be used, the one "
                          "before stays until another is published: %s", error);
        }

        wk->bad_generation = tried;
        wk->bad_since = ngx_current_msec;

        return NGX_ERROR;
    }

    if (wk->image) {
        ngx_http_track_image_unmap(wk->image);
    }

    wk->image = image;
    wk->generation = tried;
    wk->bad_generation = 0;
    wk->slot->generation = tried;
    wk->version_len = trk_schema_version_format(&image->lineage,
                                                image->version,
                                                (char *) wk->version);

    ngx_log_error(NGX_LOG_INFO, wk->log, 0,
                  "track: schema %*s with %uD event types",
                  wk->version_len, wk->version, image->ntypes);

    return NGX_OK;
}


void
ngx_http_track_schema_publish(ngx_http_track_worker_t *wk,
    uint64_t generation)
{
    ngx_uint_t             ours;
    ngx_http_track_shm_t  *sh;

    sh = wk->sh;

    ngx_shmtx_lock(&wk->shpool->mutex);

    ours = (sh->lease_epoch == wk->epoch);

    if (ours) {
        sh->published = ngx_time();
        sh->generation = generation;
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    if (ours) {
        ngx_http_track_count(wk, schema_changes, 1);

        if (ngx_http_track_schema(wk)) {
            ngx_log_error(NGX_LOG_NOTICE, wk->log, 0,
                          "track: schema %*s is in force, %uD event types",
                          wk->version_len, wk->version, wk->image->ntypes);
        }
    }
}


/*
 * With a fresh zone one worker builds the image out of the schema file, and
 * the others wait for it, all before they accept connections: so nobody is
 * refused after a start for want of a schema that is on the disk.
 */

void
ngx_http_track_schema_init(ngx_http_track_worker_t *wk)
{
    ngx_msec_t  waited;

    for (waited = 0; waited < NGX_HTTP_TRACK_RESTORE_WAIT;
         waited += NGX_HTTP_TRACK_RESTORE_STEP)
    {
        switch (ngx_http_track_schema_claim(wk)) {

        case NGX_OK:
            ngx_http_track_schema_restore(wk);
            return;

        case NGX_DONE:

            /* an image removed from under a reload is built again */

            if (wk->sh->generation
                && ngx_http_track_schema_map(wk, wk->sh->generation)
                   != NGX_OK)
            {
                ngx_http_track_schema_restore(wk);
            }

            return;

        default: /* NGX_AGAIN */
            ngx_msleep(NGX_HTTP_TRACK_RESTORE_STEP);
            ngx_time_update();
        }
    }

    ngx_log_error(NGX_LOG_WARN, wk->log, 0,
                  "track: another worker is still busy with the schema file");
}


/* NGX_OK: we restore; NGX_AGAIN: another worker is at it; NGX_DONE: there is
 * what can be had. */

static ngx_int_t
ngx_http_track_schema_claim(ngx_http_track_worker_t *wk)
{
    ngx_int_t              rc;
    ngx_http_track_shm_t  *sh;

    sh = wk->sh;

    ngx_shmtx_lock(&wk->shpool->mutex);

    if (sh->generation || sh->restored) {
        rc = NGX_DONE;

    } else if (sh->restore_pid
               && (ngx_msec_int_t) (sh->restore_until - ngx_current_msec) > 0
               && ngx_http_track_alive(sh->restore_pid))
    {
        rc = NGX_AGAIN;

    } else {
        sh->restore_until = ngx_current_msec + NGX_HTTP_TRACK_RESTORE_WAIT;
        sh->restore_pid = ngx_pid;
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    return rc;
}


static void
ngx_http_track_schema_restore(ngx_http_track_worker_t *wk)
{
    char           error[NGX_HTTP_TRACK_ERROR_LEN];
    uint64_t       generation, before;
    const char    *path;
    trk_schema_t  *schema;

    path = (char *) wk->conf->schema_file.data;
    before = wk->sh->generation;
    generation = 0;

    schema = ngx_http_track_schema_file_read(path, error);

    if (schema) {
        if (ngx_http_track_image_write(path, schema, 0, &generation, error)
            == -1)
        {
            generation = 0;
        }

        trk_schema_free(schema);
    }

    ngx_shmtx_lock(&wk->shpool->mutex);

    /* a leader that read PostgreSQL meanwhile knows better */

    if (generation && wk->sh->generation == before) {
        wk->sh->published = ngx_time();
        wk->sh->generation = generation;
    }

    wk->sh->restored = 1;

    ngx_shmtx_unlock(&wk->shpool->mutex);

    if (generation == 0 && error[0] != '\0') {
        ngx_http_track_count(wk, schema_failures, 1);
        ngx_log_error(NGX_LOG_ERR, wk->log, 0,
                      "track: no schema until PostgreSQL is read: %s", error);
    }

    (void) ngx_http_track_schema(wk);
}


void
ngx_http_track_schema_exit(ngx_http_track_worker_t *wk)
{
    if (wk->image) {
        ngx_http_track_image_unmap(wk->image);
        wk->image = NULL;
        wk->generation = 0;
    }
}
