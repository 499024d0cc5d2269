
/*
 * The zone: what workers share, and what outlives them and reloads.
 *
 * Its memory is laid out once and never freed.  Checks that
 * need the whole configuration (the user directive, master_process) are made
 * when the zone is set up: an error there refuses a reload and leaves the
 * running configuration alone, in the master, with nothing written yet.
 */


#include "ngx_http_track.h"

#include <grp.h>
#include <sys/xattr.h>


#define NGX_HTTP_TRACK_ZONE_FIXED                                             \
    (sizeof(ngx_http_track_shm_t) + NGX_HTTP_TRACK_ZONE_LINE)
#define NGX_HTTP_TRACK_GROUPS_MAX   256


typedef struct {
    uid_t                        uid;
    int                          ngroups;
    gid_t                        groups[NGX_HTTP_TRACK_GROUPS_MAX];
} ngx_http_track_user_t;


static size_t ngx_http_track_zone_least(void);
static ngx_int_t ngx_http_track_zone_init(ngx_shm_zone_t *zone, void *data);
static void ngx_http_track_zone_divide(ngx_http_track_shm_t *sh, size_t size);
static ngx_int_t ngx_http_track_zone_check(ngx_shm_zone_t *zone,
    ngx_http_track_shm_t *sh, uint32_t path_hash);
static ngx_int_t ngx_http_track_core_check(ngx_cycle_t *cycle,
    ngx_core_conf_t *ccf);
static ngx_int_t ngx_http_track_folder_check(ngx_cycle_t *cycle,
    ngx_core_conf_t *ccf, ngx_str_t *path);
static ngx_uint_t ngx_http_track_user_may(ngx_http_track_user_t *user,
    const char *folder, mode_t wanted);


char *
ngx_http_track_zone_add(ngx_conf_t *cf, ngx_http_track_main_conf_t *tmcf,
    ngx_str_t *name, size_t size)
{
    u_char     *p;
    size_t      least;
    ngx_str_t   full;

    least = ngx_http_track_zone_least();

    if (size < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "track_zone \"%V\" is too small: %uzk is the "
                           "least", name, least / 1024);
        return NGX_CONF_ERROR;
    }

    /* the layout is part of the name: another one gets a zone of its own */

    full.len = name->len + sizeof(NGX_HTTP_TRACK_ZONE_SUFFIX) - 1;
    full.data = ngx_pnalloc(cf->pool, full.len);
    if (full.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(full.data, name->data, name->len);
    ngx_memcpy(p, NGX_HTTP_TRACK_ZONE_SUFFIX,
               sizeof(NGX_HTTP_TRACK_ZONE_SUFFIX) - 1);

    tmcf->zone = ngx_shared_memory_add(cf, &full, size,
                                       &ngx_http_track_module);
    if (tmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    tmcf->zone->init = ngx_http_track_zone_init;
    tmcf->zone->data = tmcf;

    return NGX_CONF_OK;
}


/* What is fixed, the least of what is not, and the slab allocator's own. */

static size_t
ngx_http_track_zone_least(void)
{
    size_t  size;

    size = NGX_HTTP_TRACK_ZONE_FIXED
           + NGX_HTTP_TRACK_RING_MIN * sizeof(ngx_http_track_ring_t)
           + NGX_HTTP_TRACK_BOOKS_MIN * NGX_HTTP_TRACK_BOOK_SIZE;

    size += (size / ngx_pagesize + 1) * sizeof(ngx_slab_page_t)
            + 4 * ngx_pagesize;

    return ngx_align(size, 64 * 1024);
}


static ngx_int_t
ngx_http_track_zone_init(ngx_shm_zone_t *zone, void *data)
{
    size_t                       size;
    uint32_t                     hash;
    ngx_time_t                  *tp;
    ngx_core_conf_t             *ccf;
    ngx_slab_pool_t             *shpool;
    ngx_http_track_shm_t        *sh;
    ngx_http_track_main_conf_t  *tmcf;

    tmcf = zone->data;
    ccf = (ngx_core_conf_t *) ngx_get_conf(tmcf->cycle->conf_ctx,
                                           ngx_core_module);

    if (tmcf->enabled
        && (ngx_http_track_core_check(tmcf->cycle, ccf) != NGX_OK
            || ngx_http_track_folder_check(tmcf->cycle, ccf,
                                           &tmcf->schema_file)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    hash = ngx_crc32_long(tmcf->schema_file.data, tmcf->schema_file.len);
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data || zone->shm.exists) {
        return ngx_http_track_zone_check(zone, shpool->data, hash);
    }

    size = shpool->pfree * ngx_pagesize;

    sh = ngx_slab_calloc(shpool, size);
    if (sh == NULL) {
        return NGX_ERROR;
    }

    tp = ngx_timeofday();

    sh->magic = NGX_HTTP_TRACK_ZONE_MAGIC;
    sh->layout = NGX_HTTP_TRACK_ZONE_LAYOUT;
    sh->size = sizeof(ngx_http_track_shm_t);
    sh->path_hash = hash;
    sh->ring_life = tp->sec * 1000 + tp->msec;

    ngx_http_track_zone_divide(sh, size);
    ngx_http_track_spool_count(tmcf, sh);

    shpool->data = sh;
    shpool->log_nomem = 0;

    return NGX_OK;
}


/* Three fifths of what is there beyond the least are for the live ring, up to
 * what it may have; the rest is for books. */

static void
ngx_http_track_zone_divide(ngx_http_track_shm_t *sh, size_t size)
{
    size_t  rest, spare;

    rest = size - NGX_HTTP_TRACK_ZONE_FIXED;
    spare = rest - NGX_HTTP_TRACK_RING_MIN * sizeof(ngx_http_track_ring_t)
            - NGX_HTTP_TRACK_BOOKS_MIN * NGX_HTTP_TRACK_BOOK_SIZE;

    sh->nring = NGX_HTTP_TRACK_RING_MIN
                + spare * 3 / 5 / sizeof(ngx_http_track_ring_t);
    sh->nring = ngx_min(sh->nring, NGX_HTTP_TRACK_RING_MAX);

    sh->nbooks = (rest - sh->nring * sizeof(ngx_http_track_ring_t))
                 / NGX_HTTP_TRACK_BOOK_SIZE;
    sh->nbooks = ngx_min(sh->nbooks, NGX_HTTP_TRACK_BOOKS_MAX);
}


/*
 * Old and new workers of a reload share the zone, and with it the name of
 * the image in force, which is beside the schema file.
 */

static ngx_int_t
ngx_http_track_zone_check(ngx_shm_zone_t *zone, ngx_http_track_shm_t *sh,
    uint32_t path_hash)
{
    if (sh->magic != NGX_HTTP_TRACK_ZONE_MAGIC
        || sh->layout != NGX_HTTP_TRACK_ZONE_LAYOUT
        || sh->size != sizeof(ngx_http_track_shm_t))
    {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "track_zone \"%V\" was made by another version of the "
                      "module: restart nginx instead of reloading it",
                      &zone->shm.name);
        return NGX_ERROR;
    }

    if (sh->path_hash != path_hash) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                      "track_zone \"%V\" belongs to another "
                      "track_schema_file: restart nginx, or give the zone "
                      "another name", &zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_track_core_check(ngx_cycle_t *cycle, ngx_core_conf_t *ccf)
{
    if (ccf->master == 0) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"track\" does not work with \"master_process off\": "
                      "a reload would start no new worker");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The folder must be there and writable for the user of the workers, who
 * write schema file and images; nothing is written to find that out. */

static ngx_int_t
ngx_http_track_folder_check(ngx_cycle_t *cycle, ngx_core_conf_t *ccf,
    ngx_str_t *path)
{
    char                   *p, *last, folder[NGX_MAX_PATH];
    ngx_uint_t              denied;
    ngx_http_track_user_t   user;

    /* room for what names of images and temporary files add */

    if (path->len + 64 > NGX_MAX_PATH) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "track_schema_file \"%V\" is too long", path);
        return NGX_ERROR;
    }

    ngx_memcpy(folder, path->data, path->len + 1);

    last = strrchr(folder, '/');
    last[last == folder ? 1 : 0] = '\0';

    if (access(folder, W_OK|X_OK) == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "the folder \"%s\" of track_schema_file must exist and "
                      "be writable", folder);
        return NGX_ERROR;
    }

    /* workers change their user only if we are root */

    if (geteuid() != 0 || ccf->user == (uid_t) NGX_CONF_UNSET_UINT
        || ccf->user == 0)
    {
        return NGX_OK;
    }

    user.uid = ccf->user;
    user.ngroups = NGX_HTTP_TRACK_GROUPS_MAX;

    if (getgrouplist(ccf->username, ccf->group, user.groups, &user.ngroups)
        == -1)
    {
        user.ngroups = NGX_HTTP_TRACK_GROUPS_MAX;
    }

    denied = !ngx_http_track_user_may(&user, folder, S_IWOTH|S_IXOTH);

    for (p = strrchr(folder, '/'); p > folder && !denied;
         p = strrchr(folder, '/'))
    {
        *p = '\0';
        denied = !ngx_http_track_user_may(&user, folder, S_IXOTH);
    }

    if (denied) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "the folder of track_schema_file \"%V\" must be "
                      "writable for user \"%s\": \"%s\" is not open to it",
                      path, ccf->username, folder);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* wanted: of S_IRWXO.  Where an access list stands, the mode does not tell,
 * and the folder is believed to be right. */

static ngx_uint_t
ngx_http_track_user_may(ngx_http_track_user_t *user, const char *folder,
    mode_t wanted)
{
    int          i;
    struct stat  st;

    if (stat(folder, &st) == -1
        || getxattr(folder, "system.posix_acl_access", NULL, 0) > 0)
    {
        return 1;
    }

    if (st.st_uid == user->uid) {
        return (st.st_mode >> 6 & wanted) == wanted;
    }

    for (i = 0; i < user->ngroups; i++) {
        if (st.st_gid == user->groups[i]) {
            return (st.st_mode >> 3 & wanted) == wanted;
        }
    }

    return (st.st_mode & wanted) == wanted;
}


ngx_int_t
ngx_http_track_slot_take(ngx_http_track_worker_t *wk)
{
    ngx_uint_t              i;
    ngx_http_track_slot_t  *slot;

    ngx_shmtx_lock(&wk->shpool->mutex);

    for (i = 0; i < NGX_HTTP_TRACK_SLOTS; i++) {
        slot = &wk->sh->slots[i];

        /* that of a reused process id is left alone: no files are read under
         * the mutex */

        if (slot->life == 0
            || !ngx_http_track_alive(ngx_http_track_life_pid(slot->life)))
        {
            slot->life = 0;
            slot->started = ngx_time();
            slot->kafka = NGX_HTTP_TRACK_CONNECTING;
            slot->generation = 0;
            slot->spool_oldest = 0;
            slot->spool_rejected = 0;
            ngx_memcpy(slot->edge, wk->edge, NGX_HTTP_TRACK_EDGE_LEN);

#define NGX_HTTP_TRACK_GAUGE(name, metric, help)  slot->name = 0;
            NGX_HTTP_TRACK_GAUGES(NGX_HTTP_TRACK_GAUGE)
#undef NGX_HTTP_TRACK_GAUGE

            slot->life = wk->life;

            wk->slot = slot;
            wk->counters = &wk->sh->stripes[i % NGX_HTTP_TRACK_STRIPES]
                           .counters;
            break;
        }
    }

    ngx_shmtx_unlock(&wk->shpool->mutex);

    if (wk->slot == NULL) {
        ngx_log_error(NGX_LOG_EMERG, wk->log, 0,
                      "track_zone \"%V\" has room for %d workers only",
                      &wk->conf->zone->shm.name, NGX_HTTP_TRACK_SLOTS);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_track_slot_leave(ngx_http_track_worker_t *wk)
{
    wk->slot->life = 0;
}
