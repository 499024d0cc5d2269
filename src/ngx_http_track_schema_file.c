
/*
 * track_schema_file: the last good schema as canonical JSON; the only durable
 * form, and what nginx starts with while PostgreSQL is away.
 *
 * Blocking, and no nginx function: this runs in the schema thread, and in
 * init_process before the worker serves anybody.  A file is written under a
 * temporary name and renamed, so that whoever is killed or stopped at any
 * instruction leaves nothing half-written under a name that is read.
 *
 * A writer replaces only the file that stood there before it read PostgreSQL,
 * which it holds open all the while: so what is written was always read after
 * what it replaces.  A leader that was stopped in between, and is followed by
 * another one meanwhile, finds another file when it wakes, and leaves it.
 */


#include "ngx_http_track.h"

#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "trk_schema_json.h"


#define NGX_HTTP_TRACK_FILE_MAX  (1024 * 1024 * 1024)


static int ngx_http_track_file_read(const char *path, trk_buf_t *text,
    char *error);
static int ngx_http_track_read_fd(int fd, const char *path, trk_buf_t *text,
    char *error);
static int ngx_http_track_temp_write(const char *path, trk_buf_t *text,
    int sync, char *temp, char *error);
static int ngx_http_track_write_fd(int fd, const uint8_t *p, size_t n);
static int ngx_http_track_file_replace(const char *path, const char *temp,
    int held, char *error);
static int ngx_http_track_file_held(const char *path, int held);


void
ngx_http_track_say(char *error, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(error, NGX_HTTP_TRACK_ERROR_LEN, fmt, args);
    va_end(args);
}


trk_schema_t *
ngx_http_track_schema_file_read(const char *path, char *error)
{
    char           what[TRK_SCHEMA_ERROR_MAX];
    trk_buf_t      text;
    trk_schema_t  *schema;

    error[0] = '\0';
    schema = NULL;
    trk_buf_init(&text, NGX_HTTP_TRACK_FILE_MAX);

    if (ngx_http_track_file_read(path, &text, error) == 0
        && trk_schema_json_read(trk_str_of(text.p, text.n), &schema, what)
           != TRK_OK)
    {
        ngx_http_track_say(error, "schema file \"%s\" %s", path, what);
    }

    trk_buf_free(&text);

    return schema;
}


int
ngx_http_track_schema_file_hold(const char *path, int *held, char *error)
{
    /* O_PATH: it need not be readable to be replaced */

    *held = open(path, O_PATH|O_CLOEXEC);

    if (*held == -1 && errno != ENOENT) {
        ngx_http_track_say(error, "open() \"%s\" failed: %m", path);
        return -1;
    }

    return 0;
}


int
ngx_http_track_schema_file_write(const char *path, int held,
    const trk_schema_t *schema, char *error)
{
    int        rc;
    char       temp[NGX_MAX_PATH];
    trk_buf_t  out;

    trk_buf_init(&out, NGX_HTTP_TRACK_FILE_MAX);
    trk_schema_json_write(schema, &out);

    if (out.failed) {
        ngx_http_track_say(error, "no memory for the text of \"%s\"", path);
        rc = -1;

    } else {
        rc = ngx_http_track_temp_write(path, &out, 1, temp, error);
    }

    trk_buf_free(&out);

    if (rc == -1) {
        return -1;
    }

    rc = ngx_http_track_file_replace(path, temp, held, error);

    if (rc != 0) {
        (void) unlink(temp);
    }

    return rc;
}


/* -1 with an empty error: there is no such file */

static int
ngx_http_track_file_read(const char *path, trk_buf_t *text, char *error)
{
    int  fd, rc;

    fd = open(path, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        if (errno != ENOENT) {
            ngx_http_track_say(error, "open() \"%s\" failed: %m", path);
        }

        return -1;
    }

    rc = ngx_http_track_read_fd(fd, path, text, error);

    (void) close(fd);

    return rc;
}


static int
ngx_http_track_read_fd(int fd, const char *path, trk_buf_t *text, char *error)
{
    ssize_t   n;
    uint8_t  *p;

    for ( ;; ) {
        p = trk_buf_reserve(text, 65536);

        if (p == NULL) {
            ngx_http_track_say(error, "\"%s\" does not fit into memory", path);
            return -1;
        }

        n = read(fd, p, 65536);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            ngx_http_track_say(error, "read() \"%s\" failed: %m", path);
            return -1;
        }

        if (n == 0) {
            return 0;
        }

        text->n += (size_t) n;
    }
}


int
ngx_http_track_file_write(const char *path, const char *target,
    trk_buf_t *text, char *error)
{
    char  temp[NGX_MAX_PATH];

    if (ngx_http_track_temp_write(path, text, 0, temp, error) == -1) {
        return -1;
    }

    if (rename(temp, target) == -1) {
        ngx_http_track_say(error, "rename() to \"%s\" failed: %m", target);
        (void) unlink(temp);
        return -1;
    }

    return 0;
}


static int
ngx_http_track_temp_write(const char *path, trk_buf_t *text, int sync,
    char *temp, char *error)
{
    int          fd;
    const char  *what;

    snprintf(temp, NGX_MAX_PATH, "%s.XXXXXX" NGX_HTTP_TRACK_TEMP_EXT, path);

    fd = mkostemps(temp, sizeof(NGX_HTTP_TRACK_TEMP_EXT) - 1, O_CLOEXEC);

    if (fd == -1) {
        ngx_http_track_say(error, "mkostemps() \"%s\" failed: %m", temp);
        return -1;
    }

    what = NULL;

    if (ngx_http_track_write_fd(fd, text->p, text->n) == -1) {
        what = "write";

    } else if (sync && fsync(fd) == -1) {
        what = "fsync";
    }

    if (what) {
        ngx_http_track_say(error, "%s() \"%s\" failed: %m", what, temp);
    }

    if (close(fd) == -1 && what == NULL) {
        what = "close";
        ngx_http_track_say(error, "close() \"%s\" failed: %m", temp);
    }

    if (what) {
        (void) unlink(temp);
        return -1;
    }

    return 0;
}


static int
ngx_http_track_write_fd(int fd, const uint8_t *p, size_t n)
{
    ssize_t  written;

    while (n > 0) {
        written = write(fd, p, n);

        if (written == -1) {
            if (errno == EINTR) {
                continue;
            }

            return -1;
        }

        p += written;
        n -= (size_t) written;
    }

    return 0;
}


/*
 * 0: temp stands at path, durably, which a new name only is when its folder
 * is; 1: somebody else's file does, or is about to.  The folder is locked
 * meanwhile: of two who hold the same file the second finds, with the lock,
 * that it stands there no longer.
 */

static int
ngx_http_track_file_replace(const char *path, const char *temp, int held,
    char *error)
{
    int          fd, rc;
    char         folder[NGX_MAX_PATH];
    const char  *what;

    snprintf(folder, sizeof(folder), "%.*s",
             (int) (strrchr(path, '/') - path + 1), path);

    rc = -1;
    what = NULL;
    fd = open(folder, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        what = "open";

    } else if (flock(fd, LOCK_EX|LOCK_NB) == -1) {
        rc = 1;

        if (errno != EWOULDBLOCK) {
            what = "flock";
        }

    } else if (!ngx_http_track_file_held(path, held)) {
        rc = 1;

    } else if (rename(temp, path) == -1) {
        what = "rename";

    } else if (fsync(fd) == -1) {
        what = "fsync";

    } else {
        rc = 0;
    }

    if (what) {
        ngx_http_track_say(error, "%s() for \"%s\" failed: %m", what, path);
        rc = -1;
    }

    if (fd != -1) {
        (void) close(fd);       /* and with it the lock */
    }

    return rc;
}


/* held == -1: nothing stood there, nor does now. */

static int
ngx_http_track_file_held(const char *path, int held)
{
    struct stat  ours, there;

    if (stat(path, &there) == -1) {
        return held == -1 && errno == ENOENT;
    }

    return held != -1 && fstat(held, &ours) == 0
           && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}
