
/*
 * The spool's folders and files on the disk.  See the header.
 *
 * Runs in threads of nginx's pool, and in track-spool.  Plain C: it calls no
 * nginx function, keeps no state, and touches nothing but its arguments.
 *
 * A spool belongs to whoever holds the flock of its file `lock`, for life:
 * the kernel lets go of it when a process ends in whatever way.  A new one is
 * made and locked under another name first, so that nobody finds it without
 * its owner; before one is removed the lock's name goes, so that whoever had
 * opened it sees, after locking, that the file has no name any more.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ngx_http_track_spool_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>


#define NGX_HTTP_TRACK_SPOOL_NEW     ".new-"
#define NGX_HTTP_TRACK_SPOOL_STALE   60         /* seconds */
#define NGX_HTTP_TRACK_SPOOL_META    4096       /* bytes of meta, at most */


static int ngx_http_track_spool_io_fill(const char *path,
    const char *temp, ngx_http_track_spool_dir_t *sd, const char *cluster,
    char *error);
static int ngx_http_track_spool_io_lock(ngx_http_track_spool_dir_t *sd,
    int flags);
static int ngx_http_track_spool_io_lock_works(
    ngx_http_track_spool_dir_t *sd, char *error);
static int ngx_http_track_spool_io_named(const char *path,
    ngx_http_track_spool_dir_t *sd);
static int ngx_http_track_spool_io_read_meta(ngx_http_track_spool_dir_t *sd,
    char *error);
static int ngx_http_track_spool_io_sync_parent(const char *path);
static void ngx_http_track_spool_io_unmark(ngx_http_track_spool_dir_t *sd);
static void ngx_http_track_spool_io_discard(const char *path,
    const char *name, ngx_http_track_spool_dir_t *sd);
static int ngx_http_track_spool_io_by_number(const void *a, const void *b);
static off_t ngx_http_track_spool_io_folder(const char *path,
    const char *name);
static void ngx_http_track_spool_io_stale(const char *path,
    const char *name);


void
ngx_http_track_spool_io_say(char *error, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(error, NGX_HTTP_TRACK_SPOOL_ERROR, fmt, args);
    va_end(args);
}


int
ngx_http_track_spool_io_create(const char *path,
    ngx_http_track_spool_dir_t *sd, const char *cluster, char *error)
{
    char  temp[NGX_HTTP_TRACK_SPOOL_PATH + 64],
          name[NGX_HTTP_TRACK_SPOOL_PATH + 64];

    (void) snprintf(temp, sizeof(temp), "%s/" NGX_HTTP_TRACK_SPOOL_NEW "%s",
                    path, sd->edge);
    (void) snprintf(name, sizeof(name), "%s/%s", path, sd->edge);

    sd->dir = -1;
    sd->lock = -1;

    if (mkdir(temp, 0700) == -1 && errno != EEXIST) {
        ngx_http_track_spool_io_say(error, "mkdir() \"%s\" failed: %m",
                                    temp);
        return -1;
    }

    if (ngx_http_track_spool_io_fill(path, temp, sd, cluster, error) == 0) {

        if (rename(temp, name) == 0) {

            if (ngx_http_track_spool_io_sync_parent(name) == 0
                && ngx_http_track_spool_io_sync_parent(path) == 0)
            {
                return 0;
            }

            ngx_http_track_spool_io_say(error, "sync of \"%s\" failed: %m",
                                        path);
            ngx_http_track_spool_io_discard(path, sd->edge, sd);
            return -1;
        }

        ngx_http_track_spool_io_say(error, "rename() of \"%s\" failed: %m",
                                    temp);
    }

    ngx_http_track_spool_io_discard(path, temp + strlen(path) + 1, sd);

    return -1;
}


static int
ngx_http_track_spool_io_fill(const char *path, const char *temp,
    ngx_http_track_spool_dir_t *sd, const char *cluster, char *error)
{
    sd->dir = open(temp, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (sd->dir == -1) {
        ngx_http_track_spool_io_say(error, "open() \"%s\" failed: %m", temp);
        return -1;
    }

    sd->lock = openat(sd->dir, "lock", O_RDWR|O_CREAT|O_CLOEXEC, 0600);

    if (sd->lock == -1) {
        ngx_http_track_spool_io_say(error, "open() of a lock in \"%s\" "
                                    "failed: %m", path);
        return -1;
    }

    if (ngx_http_track_spool_io_lock(sd, LOCK_EX) != 1) {
        ngx_http_track_spool_io_say(error, "flock() in \"%s\" failed: %m; "
                                    "put track_spool on a file system with "
                                    "working locks", path);
        return -1;
    }

    if (ngx_http_track_spool_io_lock_works(sd, error) == -1) {
        return -1;
    }

    return ngx_http_track_spool_io_meta(sd, cluster, error);
}


/* 1: locked; 0: somebody else has it; -1, errno. */

static int
ngx_http_track_spool_io_lock(ngx_http_track_spool_dir_t *sd, int flags)
{
    while (flock(sd->lock, flags|LOCK_NB) == -1) {

        if (errno == EWOULDBLOCK) {
            return 0;
        }

        if (errno != EINTR) {
            return -1;
        }
    }

    return 1;
}


/* Some file systems say yes to everybody: then two workers would send the
 * same records, and each remove them under the other. */

static int
ngx_http_track_spool_io_lock_works(ngx_http_track_spool_dir_t *sd,
    char *error)
{
    int                         rc;
    ngx_http_track_spool_dir_t  other;

    other.lock = openat(sd->dir, "lock", O_RDWR|O_CLOEXEC);

    if (other.lock == -1) {
        ngx_http_track_spool_io_say(error, "open() of a lock failed: %m");
        return -1;
    }

    rc = ngx_http_track_spool_io_lock(&other, LOCK_EX);

    (void) close(other.lock);

    if (rc != 0) {
        ngx_http_track_spool_io_say(error, "locks do not work on the file "
                                    "system of track_spool: put it on a "
                                    "local one");
        return -1;
    }

    return 0;
}


int
ngx_http_track_spool_io_meta(ngx_http_track_spool_dir_t *sd,
    const char *cluster, char *error)
{
    int        fd, failed;
    trk_buf_t  text;

    trk_buf_init(&text, NGX_HTTP_TRACK_SPOOL_META);
    trk_spool_meta_write(&text, cluster);

    fd = openat(sd->dir, "meta.tmp", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC,
                0600);

    failed = fd == -1 || text.failed
             || write(fd, text.p, text.n) != (ssize_t) text.n
             || fsync(fd) == -1;

    if (fd != -1 && close(fd) == -1) {
        failed = 1;
    }

    failed = failed
             || renameat(sd->dir, "meta.tmp", sd->dir, "meta") == -1
             || fsync(sd->dir) == -1
             || trk_spool_meta_read(trk_str_of(text.p, text.n), &sd->meta)
                != TRK_OK;

    trk_buf_free(&text);

    if (failed) {
        ngx_http_track_spool_io_say(error, "writing \"meta\" of spool %s "
                                    "failed: %m", sd->edge);
        return -1;
    }

    return 0;
}


/* What a file's name is durable by.  A parent that may not be read, as that
 * of track_spool itself may be, was made by the administrator. */

static int
ngx_http_track_spool_io_sync_parent(const char *path)
{
    int    fd, rc;
    char   parent[NGX_HTTP_TRACK_SPOOL_PATH + 64], *last;

    (void) snprintf(parent, sizeof(parent), "%s", path);

    last = strrchr(parent, '/');

    if (last == NULL) {
        return 0;
    }

    last[last == parent ? 1 : 0] = '\0';

    fd = open(parent, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return errno == EACCES ? 0 : -1;
    }

    rc = fsync(fd);

    (void) close(fd);

    return rc;
}


/* Marks whose segment is gone: somebody was killed between the two. */

static void
ngx_http_track_spool_io_unmark(ngx_http_track_spool_dir_t *sd)
{
    int             fd;
    DIR            *dir;
    struct dirent  *entry;

    fd = openat(sd->dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    dir = fd == -1 ? NULL : fdopendir(fd);

    if (dir == NULL) {

        if (fd != -1) {
            (void) close(fd);
        }

        return;
    }

    while ((entry = readdir(dir)) != NULL) {
        if (trk_spool_name_number(entry->d_name, ".done")) {
            (void) unlinkat(sd->dir, entry->d_name, 0);
        }
    }

    (void) closedir(dir);
}


static void
ngx_http_track_spool_io_discard(const char *path, const char *name,
    ngx_http_track_spool_dir_t *sd)
{
    char  full[NGX_HTTP_TRACK_SPOOL_PATH + 300],
          temp[NGX_HTTP_TRACK_SPOOL_PATH + 300];

    (void) snprintf(full, sizeof(full), "%s/%s", path, name);

    /* its name first: should we be killed in between, nobody takes half a
     * spool for one, and what is left is stale some time */

    if (trk_spool_is_edge(name)) {
        (void) snprintf(temp, sizeof(temp), "%s/" NGX_HTTP_TRACK_SPOOL_NEW
                        "%s", path, name);

        if (rename(full, temp) == 0) {
            memcpy(full, temp, sizeof(full));
        }
    }

    if (sd->dir != -1) {
        ngx_http_track_spool_io_unmark(sd);
        (void) unlinkat(sd->dir, "meta.tmp", 0);
        (void) unlinkat(sd->dir, "meta", 0);
        (void) unlinkat(sd->dir, "lock", 0);
    }

    (void) rmdir(full);

    ngx_http_track_spool_io_close(sd);
}


void
ngx_http_track_spool_io_close(ngx_http_track_spool_dir_t *sd)
{
    if (sd->dir != -1) {
        (void) close(sd->dir);
        sd->dir = -1;
    }

    if (sd->lock != -1) {
        (void) close(sd->lock);
        sd->lock = -1;
    }
}


int
ngx_http_track_spool_io_look(const char *path,
    ngx_http_track_spool_dir_t *sd, char *error)
{
    int   rc;
    char  full[NGX_HTTP_TRACK_SPOOL_PATH + 64];

    sd->lock = -1;

    (void) snprintf(full, sizeof(full), "%s/%s", path, sd->edge);

    sd->dir = open(full, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (sd->dir == -1) {
        ngx_http_track_spool_io_say(error, "open() \"%s\" failed: %m", full);
        return -1;
    }

    if (ngx_http_track_spool_io_read_meta(sd, error) == -1) {
        return -1;
    }

    sd->lock = openat(sd->dir, "lock", O_RDONLY|O_CLOEXEC);

    if (sd->lock == -1) {
        return 0;
    }

    rc = ngx_http_track_spool_io_lock(sd, LOCK_SH);

    (void) close(sd->lock);
    sd->lock = -1;

    return rc == 0;
}


int
ngx_http_track_spool_io_take(const char *path,
    ngx_http_track_spool_dir_t *sd, char *error)
{
    int   rc;
    char  full[NGX_HTTP_TRACK_SPOOL_PATH + 64];

    sd->lock = -1;

    (void) snprintf(full, sizeof(full), "%s/%s", path, sd->edge);

    sd->dir = open(full, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (sd->dir == -1) {

        if (errno == ENOENT) {
            return 0;
        }

        ngx_http_track_spool_io_say(error, "open() \"%s\" failed: %m", full);
        return -1;
    }

    sd->lock = openat(sd->dir, "lock", O_RDWR|O_CLOEXEC);

    if (sd->lock == -1) {
        rc = errno == ENOENT ? 0 : -1;

    } else {
        rc = ngx_http_track_spool_io_lock(sd, LOCK_EX);
    }

    if (rc == -1) {
        ngx_http_track_spool_io_say(error, "locking \"%s\" failed: %m", full);
    }

    if (rc == 1) {
        rc = ngx_http_track_spool_io_named(path, sd);
    }

    if (rc == 1 && (ngx_http_track_spool_io_lock_works(sd, error) == -1
                    || ngx_http_track_spool_io_read_meta(sd, error) == -1))
    {
        rc = -1;
    }

    if (rc != 1) {
        ngx_http_track_spool_io_close(sd);
    }

    return rc;
}


/* Whether the lock that we hold is still the one that others find. */

static int
ngx_http_track_spool_io_named(const char *path,
    ngx_http_track_spool_dir_t *sd)
{
    char         full[NGX_HTTP_TRACK_SPOOL_PATH + 64];
    struct stat  ours, theirs;

    (void) snprintf(full, sizeof(full), "%s/%s/lock", path, sd->edge);

    return fstat(sd->lock, &ours) == 0 && stat(full, &theirs) == 0
           && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}


static int
ngx_http_track_spool_io_read_meta(ngx_http_track_spool_dir_t *sd,
    char *error)
{
    int      fd, rc;
    char     text[NGX_HTTP_TRACK_SPOOL_META];
    ssize_t  n;

    fd = openat(sd->dir, "meta", O_RDONLY|O_CLOEXEC);
    n = fd == -1 ? -1 : read(fd, text, sizeof(text));

    if (n == -1) {
        ngx_http_track_spool_io_say(error, "\"meta\" of spool %s cannot be "
                                    "read: %m; it is left alone", sd->edge);
    }

    if (fd != -1) {
        (void) close(fd);
    }

    if (n == -1) {
        return -1;
    }

    rc = trk_spool_meta_read(trk_str_of(text, (size_t) n), &sd->meta);

    if (rc == TRK_INVALID) {
        ngx_http_track_spool_io_say(error, "spool %s has format %u, which "
                                    "another version wrote: it is left alone",
                                    sd->edge, (unsigned) sd->meta.version);
        return -1;
    }

    if (rc != TRK_OK) {
        ngx_http_track_spool_io_say(error, "\"meta\" of spool %s is damaged: "
                                    "it is left alone", sd->edge);
        return -1;
    }

    return 0;
}


int
ngx_http_track_spool_io_list(ngx_http_track_spool_dir_t *sd,
    uint32_t **numbers, size_t *n, off_t *aside, char *error)
{
    int             fd;
    DIR            *dir;
    size_t          room;
    uint32_t        number, *more;
    struct stat     st;
    struct dirent  *entry;

    *numbers = NULL;
    *n = 0;
    room = 0;

    *aside = fstatat(sd->dir, "aside.seg", &st, 0) == 0 ? st.st_size : -1;

    fd = openat(sd->dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    dir = fd == -1 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        ngx_http_track_spool_io_say(error, "reading spool %s failed: %m",
                                    sd->edge);

        if (fd != -1) {
            (void) close(fd);
        }

        return -1;
    }

    while ((entry = readdir(dir)) != NULL) {
        number = trk_spool_name_number(entry->d_name, ".seg");

        if (number == 0) {
            continue;
        }

        if (*n == room) {
            room = room ? room * 2 : 16;
            more = realloc(*numbers, room * sizeof(uint32_t));

            if (more == NULL) {
                ngx_http_track_spool_io_say(error, "no memory for the names "
                                            "of spool %s", sd->edge);
                free(*numbers);
                *numbers = NULL;
                (void) closedir(dir);
                return -1;
            }

            *numbers = more;
        }

        (*numbers)[(*n)++] = number;
    }

    (void) closedir(dir);

    if (*n) {
        qsort(*numbers, *n, sizeof(uint32_t),
              ngx_http_track_spool_io_by_number);
    }

    return 0;
}


static int
ngx_http_track_spool_io_by_number(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;

    return (*x > *y) - (*x < *y);
}


int
ngx_http_track_spool_io_unlink(ngx_http_track_spool_dir_t *sd,
    uint32_t number, char *error)
{
    char                 name[TRK_SPOOL_NAME];
    trk_spool_segment_t  segment;

    segment.number = number;

    trk_spool_segment_name(&segment, name);

    /* the records first: marks without them mean nothing */

    if (unlinkat(sd->dir, name, 0) == -1 && errno != ENOENT) {
        ngx_http_track_spool_io_say(error, "unlink() of \"%s\" of spool %s "
                                    "failed: %m", name, sd->edge);
        return -1;
    }

    trk_spool_done_name(&segment, name);
    (void) unlinkat(sd->dir, name, 0);

    return 0;
}


int
ngx_http_track_spool_io_remove(const char *path,
    ngx_http_track_spool_dir_t *sd, char *error)
{
    off_t      aside;
    size_t     n;
    uint32_t  *numbers;

    if (ngx_http_track_spool_io_list(sd, &numbers, &n, &aside, error) == -1) {
        return -1;
    }

    free(numbers);

    if (n || aside != -1) {
        return 0;
    }

    ngx_http_track_spool_io_discard(path, sd->edge, sd);

    return 1;
}


int
ngx_http_track_spool_io_edges(const char *path,
    ngx_http_track_spool_edge_pt f, void *data, char *error)
{
    int             rc;
    DIR            *dir;
    struct dirent  *entry;

    dir = opendir(path);

    if (dir == NULL) {
        ngx_http_track_spool_io_say(error, "opendir() \"%s\" failed: %m",
                                    path);
        return -1;
    }

    rc = 0;

    while (rc == 0 && (entry = readdir(dir)) != NULL) {

        if (trk_spool_is_edge(entry->d_name)) {
            rc = f(entry->d_name, data);
        }
    }

    (void) closedir(dir);

    return rc;
}


off_t
ngx_http_track_spool_io_usage(const char *path, char *error)
{
    DIR            *dir;
    off_t           sum;
    struct dirent  *entry;

    dir = opendir(path);

    if (dir == NULL) {
        ngx_http_track_spool_io_say(error, "opendir() \"%s\" failed: %m",
                                    path);
        return -1;
    }

    sum = 0;

    while ((entry = readdir(dir)) != NULL) {

        if (strncmp(entry->d_name, NGX_HTTP_TRACK_SPOOL_NEW,
                    sizeof(NGX_HTTP_TRACK_SPOOL_NEW) - 1)
            == 0)
        {
            ngx_http_track_spool_io_stale(path, entry->d_name);

        } else if (entry->d_name[0] != '.') {
            sum += ngx_http_track_spool_io_folder(path, entry->d_name);
        }
    }

    (void) closedir(dir);

    return sum;
}


static off_t
ngx_http_track_spool_io_folder(const char *path, const char *name)
{
    char            full[NGX_HTTP_TRACK_SPOOL_PATH + 300];
    DIR            *dir;
    off_t           sum;
    struct stat     st;
    struct dirent  *entry;

    (void) snprintf(full, sizeof(full), "%s/%s", path, name);

    dir = opendir(full);

    if (dir == NULL) {
        return 0;
    }

    sum = 0;

    while ((entry = readdir(dir)) != NULL) {

        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
            && S_ISREG(st.st_mode))
        {
            sum += st.st_size;
        }
    }

    (void) closedir(dir);

    return sum;
}


/* A worker was killed before its spool had its name: nothing was written. */

static void
ngx_http_track_spool_io_stale(const char *path, const char *name)
{
    char                        full[NGX_HTTP_TRACK_SPOOL_PATH + 300];
    struct stat                 st;
    ngx_http_track_spool_dir_t  sd;

    (void) snprintf(full, sizeof(full), "%s/%s", path, name);

    if (stat(full, &st) == -1
        || time(NULL) - st.st_mtime < NGX_HTTP_TRACK_SPOOL_STALE)
    {
        return;
    }

    sd.dir = open(full, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (sd.dir == -1) {
        return;
    }

    sd.lock = openat(sd.dir, "lock", O_RDWR|O_CLOEXEC);

    if (sd.lock != -1 && ngx_http_track_spool_io_lock(&sd, LOCK_EX) != 1) {
        ngx_http_track_spool_io_close(&sd);
        return;
    }

    ngx_http_track_spool_io_discard(path, name, &sd);
}
