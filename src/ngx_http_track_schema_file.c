
/*
 * The schema on disk.
 *
 * track_schema_file holds the last good schema as canonical JSON, one event
 * type a line: the only durable form, what nginx starts with while
 * PostgreSQL is away.  Beside it lie the images that workers map, a cache.
 * An image's name tells what is in it (its generation is made of its
 * checksums), so equal content has the same name whoever writes it, and two
 * masters on one folder (a binary upgrade) do not disturb each other.
 *
 * Blocking, and no nginx function: this runs in the schema thread, and in
 * init_process before the worker serves anybody.  A file is written under a
 * temporary name and renamed, so that whoever is killed or stopped at any
 * instruction leaves nothing half-written under a name that is read.
 */


#include "ngx_http_track.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "trk_json.h"


#define NGX_HTTP_TRACK_FILE_FORMAT  1
#define NGX_HTTP_TRACK_FILE_MAX     (1024 * 1024 * 1024)
#define NGX_HTTP_TRACK_IMAGE_EXT    ".image"
#define NGX_HTTP_TRACK_TEMP_EXT     ".tmp"
#define NGX_HTTP_TRACK_TEMP_AGE     60      /* s; then its writer is dead */


typedef struct {
    trk_json_t                   json;
    trk_buf_t                    text;
    trk_buf_t                    name;      /* a decoded string */
    trk_schema_t                *schema;
    const char                  *path;
    char                        *error;
} ngx_http_track_reader_t;


static int ngx_http_track_file_read(const char *path, trk_buf_t *text,
    char *error);
static int ngx_http_track_read_fd(int fd, const char *path, trk_buf_t *text,
    char *error);
static int ngx_http_track_file_write(const char *path, const char *target,
    trk_buf_t *text, int sync, char *error);
static int ngx_http_track_write_fd(int fd, const uint8_t *p, size_t n);
static int ngx_http_track_folder_sync(const char *path);
static int ngx_http_track_read_schema(ngx_http_track_reader_t *rd);
static int ngx_http_track_read_type(ngx_http_track_reader_t *rd, uint32_t i);
static int ngx_http_track_read_field(ngx_http_track_reader_t *rd,
    trk_schema_type_t *type, uint32_t i);
static trk_str_t ngx_http_track_read_string(ngx_http_track_reader_t *rd,
    uint32_t object, trk_str_t member);
static int ngx_http_track_read_flag(ngx_http_track_reader_t *rd,
    uint32_t object, trk_str_t member, int *flag);
static int ngx_http_track_read_failed(ngx_http_track_reader_t *rd,
    const char *what);
static void ngx_http_track_write_type(trk_buf_t *out,
    const trk_schema_type_t *type);
static uint64_t ngx_http_track_image_generation(const trk_image_t *image);
static void ngx_http_track_image_path(char *dst, const char *path,
    uint64_t generation);
static int ngx_http_track_file_is(const char *name, const char *base,
    const char *ext);


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
    int                      rc;
    trk_schema_t            *schema;
    ngx_http_track_reader_t  rd;

    error[0] = '\0';

    memset(&rd, 0, sizeof(ngx_http_track_reader_t));
    trk_json_init(&rd.json);
    trk_buf_init(&rd.text, NGX_HTTP_TRACK_FILE_MAX);
    trk_buf_init(&rd.name, 4096);
    rd.path = path;
    rd.error = error;

    rc = ngx_http_track_file_read(path, &rd.text, error);

    if (rc == 0) {
        rc = ngx_http_track_read_schema(&rd);
    }

    schema = rd.schema;

    if (rc == -1) {
        trk_schema_free(schema);
        schema = NULL;
    }

    trk_json_free(&rd.json);
    trk_buf_free(&rd.text);
    trk_buf_free(&rd.name);

    return schema;
}


int
ngx_http_track_schema_file_write(const char *path, const trk_schema_t *schema,
    char *error)
{
    int        rc;
    char       lineage[TRK_UUID_LEN];
    size_t     i;
    trk_buf_t  out;

    trk_buf_init(&out, NGX_HTTP_TRACK_FILE_MAX);
    trk_uuid_format(&schema->lineage, lineage);

    trk_buf_lit(&out, "{\"format\":");
    trk_buf_uint(&out, NGX_HTTP_TRACK_FILE_FORMAT);
    trk_buf_lit(&out, ",\"lineage\":\"");
    trk_buf_add(&out, lineage, TRK_UUID_LEN);
    trk_buf_lit(&out, "\",\"version\":");
    trk_buf_uint(&out, schema->version);
    trk_buf_lit(&out, ",\"event_types\":[");

    for (i = 0; i < schema->ntypes; i++) {
        trk_buf_add(&out, ",\n", i == 0 ? 0 : 1);
        trk_buf_byte(&out, '\n');
        ngx_http_track_write_type(&out, &schema->types[i]);
    }

    trk_buf_lit(&out, "\n]}\n");

    if (out.failed) {
        ngx_http_track_say(error, "no memory for the text of \"%s\"", path);
        rc = -1;

    } else {
        rc = ngx_http_track_file_write(path, path, &out, 1, error);
    }

    trk_buf_free(&out);

    return rc;
}


static void
ngx_http_track_write_type(trk_buf_t *out, const trk_schema_type_t *type)
{
    size_t                     i;
    const char                *name;
    const trk_schema_field_t  *field;

    trk_buf_lit(out, "{\"name\":");
    trk_buf_json_string(out, type->name);

    if (type->enabled) {
        trk_buf_lit(out, ",\"enabled\":true,\"additional_fields\":\"");
    } else {
        trk_buf_lit(out, ",\"enabled\":false,\"additional_fields\":\"");
    }

    name = trk_additional_name(type->additional);
    trk_buf_add(out, name, strlen(name));
    trk_buf_lit(out, "\",\"fields\":[");

    for (i = 0; i < type->nfields; i++) {
        field = &type->fields[i];
        name = trk_data_type_name(field->data_type);

        trk_buf_add(out, ",", i == 0 ? 0 : 1);
        trk_buf_lit(out, "{\"name\":");
        trk_buf_json_string(out, field->name);
        trk_buf_lit(out, ",\"data_type\":\"");
        trk_buf_add(out, name, strlen(name));

        if (field->required) {
            trk_buf_lit(out, "\",\"required\":true}");
        } else {
            trk_buf_lit(out, "\",\"required\":false}");
        }
    }

    trk_buf_lit(out, "]}");
}


static int
ngx_http_track_read_schema(ngx_http_track_reader_t *rd)
{
    int64_t      version;
    uint32_t     node, types, i;
    trk_uuid_t   lineage;
    trk_json_t  *json;

    json = &rd->json;

    if (trk_json_parse(json, rd->text.p, rd->text.n) != TRK_OK
        || json->nodes[0].type != TRK_JSON_OBJECT)
    {
        return ngx_http_track_read_failed(rd, "is not a JSON object");
    }

    node = trk_json_member(json, 0, trk_str("format"));

    if (node == 0
        || !trk_str_eq(trk_json_text(json, node), trk_str("1")))
    {
        return ngx_http_track_read_failed(rd, "has an unknown format");
    }

    if (trk_uuid_parse(ngx_http_track_read_string(rd, 0, trk_str("lineage")),
                       &lineage)
        != TRK_OK)
    {
        return ngx_http_track_read_failed(rd, "has no lineage");
    }

    node = trk_json_member(json, 0, trk_str("version"));

    if (node == 0 || json->nodes[node].type != TRK_JSON_NUMBER
        || trk_number_int64(trk_json_text(json, node), &version) != TRK_OK)
    {
        return ngx_http_track_read_failed(rd, "has no version");
    }

    types = trk_json_member(json, 0, trk_str("event_types"));

    if (types == 0 || json->nodes[types].type != TRK_JSON_ARRAY) {
        return ngx_http_track_read_failed(rd, "has no event_types");
    }

    rd->schema = trk_schema_create(&lineage, (uint64_t) version);

    if (rd->schema == NULL) {
        return ngx_http_track_read_failed(rd, "needs more memory");
    }

    for (i = types + 1; i < json->nodes[types].next; i = json->nodes[i].next) {
        if (ngx_http_track_read_type(rd, i) == -1) {
            return -1;
        }
    }

    if (trk_schema_finish(rd->schema) != TRK_OK) {
        return ngx_http_track_read_failed(rd, rd->schema->error);
    }

    return 0;
}


static int
ngx_http_track_read_type(ngx_http_track_reader_t *rd, uint32_t i)
{
    int                 enabled;
    uint32_t            fields, f;
    trk_json_t         *json;
    trk_additional_t    additional;
    trk_schema_type_t  *type;

    json = &rd->json;

    if (json->nodes[i].type != TRK_JSON_OBJECT
        || ngx_http_track_read_flag(rd, i, trk_str("enabled"), &enabled) == -1
        || trk_additional_parse(ngx_http_track_read_string(rd, i,
                                              trk_str("additional_fields")),
                                &additional)
           != TRK_OK)
    {
        return ngx_http_track_read_failed(rd, "has a damaged event type");
    }

    type = trk_schema_add_type(rd->schema,
                   ngx_http_track_read_string(rd, i, trk_str("name")),
                   enabled, additional);

    if (type == NULL) {
        return ngx_http_track_read_failed(rd, "needs more memory");
    }

    fields = trk_json_member(json, i, trk_str("fields"));

    if (fields == 0 || json->nodes[fields].type != TRK_JSON_ARRAY) {
        return ngx_http_track_read_failed(rd, "has a damaged event type");
    }

    for (f = fields + 1; f < json->nodes[fields].next;
         f = json->nodes[f].next)
    {
        if (ngx_http_track_read_field(rd, type, f) == -1) {
            return -1;
        }
    }

    return 0;
}


static int
ngx_http_track_read_field(ngx_http_track_reader_t *rd,
    trk_schema_type_t *type, uint32_t i)
{
    int              required;
    trk_data_type_t  data_type;

    if (rd->json.nodes[i].type != TRK_JSON_OBJECT
        || ngx_http_track_read_flag(rd, i, trk_str("required"), &required)
           == -1
        || trk_data_type_parse(ngx_http_track_read_string(rd, i,
                                                      trk_str("data_type")),
                               &data_type)
           != TRK_OK)
    {
        return ngx_http_track_read_failed(rd, "has a damaged field");
    }

    if (trk_schema_add_field(rd->schema, type,
                   ngx_http_track_read_string(rd, i, trk_str("name")),
                   data_type, required)
        != TRK_OK)
    {
        return ngx_http_track_read_failed(rd, "needs more memory");
    }

    return 0;
}


/* Empty if there is no such string; good until the next call. */

static trk_str_t
ngx_http_track_read_string(ngx_http_track_reader_t *rd, uint32_t object,
    trk_str_t member)
{
    uint32_t  node;

    node = trk_json_member(&rd->json, object, member);

    if (node == 0 || rd->json.nodes[node].type != TRK_JSON_STRING) {
        return trk_null;
    }

    return trk_json_string(&rd->json, node, &rd->name);
}


static int
ngx_http_track_read_flag(ngx_http_track_reader_t *rd, uint32_t object,
    trk_str_t member, int *flag)
{
    uint32_t  node;

    node = trk_json_member(&rd->json, object, member);

    if (node == 0
        || (rd->json.nodes[node].type != TRK_JSON_TRUE
            && rd->json.nodes[node].type != TRK_JSON_FALSE))
    {
        return -1;
    }

    *flag = (rd->json.nodes[node].type == TRK_JSON_TRUE);

    return 0;
}


static int
ngx_http_track_read_failed(ngx_http_track_reader_t *rd, const char *what)
{
    ngx_http_track_say(rd->error, "schema file \"%s\" %s", rd->path, what);

    return -1;
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


/* Writes target, a name beside path or path itself, by way of a temporary
 * file; sync: on the disk before its name is. */

static int
ngx_http_track_file_write(const char *path, const char *target,
    trk_buf_t *text, int sync, char *error)
{
    int          fd;
    char         temp[NGX_MAX_PATH];
    const char  *what;

    snprintf(temp, sizeof(temp), "%s.XXXXXX" NGX_HTTP_TRACK_TEMP_EXT, path);

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

    if (what == NULL && rename(temp, target) == -1) {
        what = "rename";
        ngx_http_track_say(error, "rename() to \"%s\" failed: %m", target);
    }

    if (what) {
        (void) unlink(temp);
        return -1;
    }

    if (sync && ngx_http_track_folder_sync(path) == -1) {
        ngx_http_track_say(error, "fsync() of the folder of \"%s\" failed: %m",
                           path);
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


/* A new name is durable only when its folder is. */

static int
ngx_http_track_folder_sync(const char *path)
{
    int   fd, rc;
    char  folder[NGX_MAX_PATH];

    snprintf(folder, sizeof(folder), "%.*s",
             (int) (strrchr(path, '/') - path + 1), path);

    fd = open(folder, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return -1;
    }

    rc = fsync(fd);

    (void) close(fd);

    return rc;
}


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
        rc = ngx_http_track_file_write(path, name, &out, 0, error);
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
    int              dfd;
    DIR             *dir;
    char             folder[NGX_MAX_PATH];
    time_t           now;
    const char      *base;
    struct stat      st;
    struct dirent   *de;
    struct timespec  first, second;

    base = strrchr(path, '/') + 1;
    snprintf(folder, sizeof(folder), "%.*s", (int) (base - path), path);

    dir = opendir(folder);

    if (dir == NULL) {
        return;
    }

    dfd = dirfd(dir);
    now = time(NULL);
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));

#define ngx_http_track_newer(a, b)                                            \
    ((a).tv_sec > (b).tv_sec                                                  \
     || ((a).tv_sec == (b).tv_sec && (a).tv_nsec > (b).tv_nsec))

    while ((de = readdir(dir)) != NULL) {
        if (!ngx_http_track_file_is(de->d_name, base,
                                    NGX_HTTP_TRACK_IMAGE_EXT)
            || fstatat(dfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1)
        {
            continue;
        }

        if (ngx_http_track_newer(st.st_mtim, first)) {
            second = first;
            first = st.st_mtim;

        } else if (ngx_http_track_newer(st.st_mtim, second)) {
            second = st.st_mtim;
        }
    }

    rewinddir(dir);

    while ((de = readdir(dir)) != NULL) {
        if (fstatat(dfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
            continue;
        }

        if ((ngx_http_track_file_is(de->d_name, base,
                                    NGX_HTTP_TRACK_IMAGE_EXT)
             && ngx_http_track_newer(second, st.st_mtim))
            || (ngx_http_track_file_is(de->d_name, base,
                                       NGX_HTTP_TRACK_TEMP_EXT)
                && now - st.st_mtim.tv_sec > NGX_HTTP_TRACK_TEMP_AGE))
        {
            (void) unlinkat(dfd, de->d_name, 0);
        }
    }

#undef ngx_http_track_newer

    (void) closedir(dir);
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
