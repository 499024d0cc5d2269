
/*
 * track_schema_file: the last good schema as canonical JSON, one event type a
 * line; the only durable form, and what nginx starts with while PostgreSQL is
 * away.
 *
 * Blocking, and no nginx function: this runs in the schema thread, and in
 * init_process before the worker serves anybody.  A file is written under a
 * temporary name and renamed, so that whoever is killed or stopped at any
 * instruction leaves nothing half-written under a name that is read.
 */


#include "ngx_http_track.h"

#include <stdio.h>

#include "trk_json.h"


#define NGX_HTTP_TRACK_FILE_FORMAT  1
#define NGX_HTTP_TRACK_FILE_MAX     (1024 * 1024 * 1024)


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


int
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
