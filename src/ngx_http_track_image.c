
/*
 * Images of the schema, beside the schema file: what workers map.
 *
 * They are a cache of it.  An image's name tells what is in it (its
 * generation is made of its checksums), so equal content has the same name
 * whoever writes it, and two masters on one folder (a binary upgrade) do not
 * disturb each other.  Nobody writes to a file that has its name, so whoever
 * is killed or stopped at any instruction harms no reader.
 *
 * Blocking, and no nginx function: see ngx_http_track_schema_file.c.
 */


#include "ngx_http_track.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>


#define NGX_HTTP_TRACK_IMAGE_EXT  ".image"
#define NGX_HTTP_TRACK_TEMP_AGE   60    /* s; then its writer is dead */


static void ngx_http_track_image_newest(DIR *dir, const char *base,
    struct timespec *first, struct timespec *second);
static int ngx_http_track_image_newer(struct timespec a, struct timespec b);
static int ngx_http_track_file_is(const char *name, const char *base,
    const char *ext);
static uint64_t ngx_http_track_image_generation(const trk_image_t *image);
static void ngx_http_track_image_path(char *dst, const char *path,
    uint64_t generation);


int
ngx_http_track_image_write(const char *path, const trk_schema_t *schema,
    uint64_t present, uint64_t *generation, char *error)
{
    int        rc;
    char       name[NGX_MAX_PATH];
    trk_buf_t  out;

    trk_buf_init(&out, NGX_HTTP_TRACK_IMAGE_MAX);

    rc = trk_image_build(schema, &out);

    if (rc == TRK_OK) {
        rc = trk_image_check(out.p, out.n);
    }

    if (rc != TRK_OK) {
        ngx_http_track_say(error, "the schema does not fit into an image of "
                           "%d bytes", NGX_HTTP_TRACK_IMAGE_MAX);
        trk_buf_free(&out);
        return -1;
    }

    *generation = ngx_http_track_image_generation((trk_image_t *) out.p);
    rc = 0;

    if (*generation != present) {
        ngx_http_track_image_path(name, path, *generation);
        rc = ngx_http_track_file_write(path, name, &out, error);
    }

    trk_buf_free(&out);

    return rc;
}


const trk_image_t *
ngx_http_track_image_map(const char *path, uint64_t generation, char *error)
{
    int           fd;
    void         *p;
    char          name[NGX_MAX_PATH];
    size_t        size;
    struct stat   st;

    ngx_http_track_image_path(name, path, generation);

    fd = open(name, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        ngx_http_track_say(error, "open() \"%s\" failed: %m", name);
        return NULL;
    }

    p = MAP_FAILED;
    size = 0;

    if (fstat(fd, &st) == 0) {
        size = (size_t) st.st_size;
        p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    }

    if (p == MAP_FAILED) {
        ngx_http_track_say(error, "mmap() of \"%s\" failed: %m", name);
        (void) close(fd);
        return NULL;
    }

    (void) close(fd);

    if (size < sizeof(trk_image_t) || trk_image_check(p, size) != TRK_OK
        || ngx_http_track_image_generation(p) != generation)
    {
        ngx_http_track_say(error, "schema image \"%s\" is damaged", name);
        (void) munmap(p, size);
        return NULL;
    }

    return p;
}


void
ngx_http_track_image_unmap(const trk_image_t *image)
{
    (void) munmap((void *) image, image->size);
}


int
ngx_http_track_image_exists(const char *path, uint64_t generation)
{
    char  name[NGX_MAX_PATH];

    ngx_http_track_image_path(name, path, generation);

    return access(name, R_OK) == 0;
}


/*
 * Files as old as the second newest stay: file times are coarse, and of two
 * writers' images each has one of the newest.
 */

void
ngx_http_track_image_clean(const char *path)
{
    DIR              *dir;
    char              folder[NGX_MAX_PATH];
    time_t            now;
    const char       *base;
    struct stat       st;
    struct dirent    *de;
    struct timespec   first, second;

    base = strrchr(path, '/') + 1;
    snprintf(folder, sizeof(folder), "%.*s", (int) (base - path), path);

    dir = opendir(folder);

    if (dir == NULL) {
        return;
    }

    now = time(NULL);
    ngx_http_track_image_newest(dir, base, &first, &second);

    rewinddir(dir);

    while ((de = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
            continue;
        }

        if ((ngx_http_track_file_is(de->d_name, base,
                                    NGX_HTTP_TRACK_IMAGE_EXT)
             && ngx_http_track_image_newer(second, st.st_mtim))
            || (ngx_http_track_file_is(de->d_name, base,
                                       NGX_HTTP_TRACK_TEMP_EXT)
                && now - st.st_mtim.tv_sec > NGX_HTTP_TRACK_TEMP_AGE))
        {
            (void) unlinkat(dirfd(dir), de->d_name, 0);
        }
    }

    (void) closedir(dir);
}


/* Times of the newest two images; 0 for want of one. */

static void
ngx_http_track_image_newest(DIR *dir, const char *base,
    struct timespec *first, struct timespec *second)
{
    struct stat     st;
    struct dirent  *de;

    memset(first, 0, sizeof(struct timespec));
    memset(second, 0, sizeof(struct timespec));

    while ((de = readdir(dir)) != NULL) {
        if (!ngx_http_track_file_is(de->d_name, base,
                                    NGX_HTTP_TRACK_IMAGE_EXT)
            || fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW)
               == -1)
        {
            continue;
        }

        if (ngx_http_track_image_newer(st.st_mtim, *first)) {
            *second = *first;
            *first = st.st_mtim;

        } else if (ngx_http_track_image_newer(st.st_mtim, *second)) {
            *second = st.st_mtim;
        }
    }
}


static int
ngx_http_track_image_newer(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec
           || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}


/* "<base>.<something without a dot><ext>" */

static int
ngx_http_track_file_is(const char *name, const char *base, const char *ext)
{
    size_t       n;
    const char  *p;

    n = strlen(base);

    if (strncmp(name, base, n) != 0 || name[n] != '.') {
        return 0;
    }

    p = strchr(name + n + 1, '.');

    return p != NULL && strcmp(p, ext) == 0;
}


/* Both checksums: the header's covers lineage, version and layout.  0 means
 * "none" in the zone. */

static uint64_t
ngx_http_track_image_generation(const trk_image_t *image)
{
    uint64_t  generation;

    generation = (uint64_t) image->checksum << 32 | image->header_crc;

    return generation ? generation : 1;
}


static void
ngx_http_track_image_path(char *dst, const char *path, uint64_t generation)
{
    snprintf(dst, NGX_MAX_PATH, "%s.%016llx" NGX_HTTP_TRACK_IMAGE_EXT, path,
             (unsigned long long) generation);
}
