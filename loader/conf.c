/*
 * loader.conf: the only file that knows libinih.  Runs on the main thread
 * before any other is there.  See conf.h.
 */

#include "conf.h"
#include "trk_hash.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>


#define LOADER_CONF_LINE  16384     /* bytes */


typedef enum {
    LOADER_CONF_STRING,
    LOADER_CONF_NUMBER,
    LOADER_CONF_SIZE,               /* bytes; k, m, g */
    LOADER_CONF_TIME                /* to ms; ms, s, m, h */
} loader_conf_kind_t;

typedef struct {
    const char          *section;
    const char          *key;
    loader_conf_kind_t   kind;
    size_t               offset;
    uint64_t             min;       /* of what is not a string */
    uint64_t             max;
    const char          *value;     /* the default; NULL: must be set */
    const char          *example;   /* what loader.conf.example shows of those
                                       that must be set */
    const char          *doc;
} loader_conf_key_t;

/* What the callbacks of libinih share. */
typedef struct {
    loader_conf_t  *conf;
    FILE           *file;
    int             line;
    int             newline;        /* the last piece ended its line */
    int             rc;
    char           *error;
    char           *password_file;
    uint8_t         seen[64];       /* by key */
} loader_conf_parse_t;


#define M(member)  offsetof(loader_conf_t, member)

static const loader_conf_key_t  loader_conf_keys[] = {

    { "kafka", "brokers", LOADER_CONF_STRING, M(kafka_brokers), 0, 0,
      NULL, "127.0.0.1:9092",
      "Some of the cluster's brokers: host:port, host:port." },

    { "kafka", "group", LOADER_CONF_STRING, M(kafka_group), 0, 0,
      "track-loader", NULL,
      "Consumer group. All loaders of one warehouse share it: each then has\n"
      "some of the partitions." },

    { "kafka", "instance", LOADER_CONF_STRING, M(kafka_instance), 0, 0,
      "", NULL,
      "Name of this loader in the group, another one for each; a loader that\n"
      "comes back under its name has its partitions at once. Empty: the\n"
      "host's name and a hash of this file's path." },

    { "kafka", "topic", LOADER_CONF_STRING, M(topic), 0, 0,
      "tracking_events", NULL,
      "Where nginx writes accepted events (track_kafka_topic)." },

    { "kafka", "rejected_topic", LOADER_CONF_STRING, M(rejected_topic), 0, 0,
      "tracking_events_rejected", NULL,
      "Where nginx writes rejected events. Made by track-loader migrate." },

    { "kafka", "dead_topic", LOADER_CONF_STRING, M(dead_topic), 0, 0,
      "tracking_events_dead", NULL,
      "Where records go that cannot be decoded, with the reason." },

    { "kafka", "ledger_topic", LOADER_CONF_STRING, M(ledger_topic), 0, 0,
      "tracking_ledger", NULL,
      "Where nginx accounts for what it took. Made by track-loader migrate." },

    { "kafka", "partitions", LOADER_CONF_NUMBER, M(partitions), 1, 10000,
      "4", NULL,
      "Partitions of topic when track-loader migrate makes it; the other\n"
      "topics have one. No more loaders than this can share the work." },

    { "clickhouse", "url", LOADER_CONF_STRING, M(clickhouse_url), 0, 0,
      NULL, "http://127.0.0.1:8123",
      "ClickHouse's HTTP interface. The database is track." },

    { "clickhouse", "user", LOADER_CONF_STRING, M(clickhouse_user), 0, 0,
      "", NULL,
      "Empty: the server's default user." },

    { "clickhouse", "password", LOADER_CONF_STRING, M(clickhouse_password),
      0, 0, "", NULL,
      "Its password; or give password_file." },

    { "clickhouse", "password_file", LOADER_CONF_STRING, 0, 0, 0,
      "", NULL,
      "A file whose first line is the password." },

    { "clickhouse", "timeout", LOADER_CONF_TIME, M(clickhouse_timeout),
      1000, 600000, "30s", NULL,
      "How long an insert or a query may take; then it is stopped and tried\n"
      "again." },

    { "postgres", "conninfo", LOADER_CONF_STRING, M(postgres), 0, 0,
      NULL, "host=127.0.0.1 dbname=track user=track_loader",
      "libpq connection string; a role that may read the schema." },

    { "batch", "rows", LOADER_CONF_NUMBER, M(batch_rows), 1, 1000000,
      "50000", NULL,
      "A batch is cut at so many rows," },

    { "batch", "bytes", LOADER_CONF_SIZE, M(batch_bytes), 65536, 1 << 30,
      "32m", NULL,
      "or so many bytes of memory," },

    { "batch", "age", LOADER_CONF_TIME, M(batch_age), 1, 60000,
      "500ms", NULL,
      "or when its first row has waited this long, whichever comes first.\n"
      "Each partition has a batch of its own." },

    { "memory", "limit", LOADER_CONF_SIZE, M(memory), 1 << 20, 1LL << 40,
      "128m", NULL,
      "For all batches together, those on their way included. Beyond it\n"
      "nothing is read from Kafka." },

    { "http", "listen", LOADER_CONF_STRING, M(http_listen), 0, 0,
      "127.0.0.1:8606", NULL,
      "Address and port of /metrics, /healthz and /readyz; off: none." },

    { "migrate", "postgres", LOADER_CONF_STRING, M(migrate_postgres), 0, 0,
      "", NULL,
      "Connection string of the schema's owner, for track-loader migrate\n"
      "only. Empty: that of [postgres]." },

    { "migrate", "directory", LOADER_CONF_STRING, M(migrate_directory), 0, 0,
      "/usr/local/share/nginx-track/migrations", NULL,
      "Where postgres/ and clickhouse/ with their files lie." },
};

#undef M

#define LOADER_CONF_KEYS                                                      \
    (sizeof(loader_conf_keys) / sizeof(loader_conf_keys[0]))


static int loader_conf_parse(loader_conf_parse_t *p);
static char *loader_conf_reader(char *str, int num, void *stream);
static int loader_conf_handler(void *user, const char *section,
    const char *name, const char *value);
static int loader_conf_set(loader_conf_parse_t *p, size_t i,
    const char *value);
static int loader_conf_number(const loader_conf_key_t *key,
    const char *value, uint64_t *v);
static uint64_t loader_conf_unit(loader_conf_kind_t kind, const char *unit);
static int loader_conf_property(loader_conf_parse_t *p, const char *name,
    const char *value);
static int loader_conf_fail(loader_conf_parse_t *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int loader_conf_defaults(loader_conf_parse_t *p);
static int loader_conf_finish(loader_conf_parse_t *p);
static int loader_conf_password(loader_conf_parse_t *p);
static int loader_conf_instance(loader_conf_t *conf);
static int loader_conf_string(char **member, const char *value);
static char **loader_conf_member(loader_conf_t *conf,
    const loader_conf_key_t *key);


int
loader_conf_load(loader_conf_t **conf, const char *path,
    char error[LOADER_ERROR_MAX])
{
    loader_conf_parse_t  p;

    memset(&p, 0, sizeof(p));
    p.error = error;
    p.newline = 1;
    error[0] = '\0';
    *conf = NULL;

    p.conf = calloc(1, sizeof(loader_conf_t));
    if (p.conf == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory");
        return TRK_NOMEM;
    }

    p.rc = loader_conf_string(&p.conf->path, path);

    if (p.rc == TRK_OK) {
        p.rc = loader_conf_parse(&p);
    }

    if (p.rc == TRK_OK) {
        p.rc = loader_conf_finish(&p);
    }

    free(p.password_file);

    if (p.rc != TRK_OK) {
        if (p.rc == TRK_NOMEM) {
            snprintf(error, LOADER_ERROR_MAX, "no memory");
        }

        loader_conf_free(p.conf);
        return p.rc;
    }

    *conf = p.conf;

    return TRK_OK;
}


void
loader_conf_free(loader_conf_t *conf)
{
    size_t  i;

    if (conf == NULL) {
        return;
    }

    for (i = 0; i < LOADER_CONF_KEYS; i++) {
        if (loader_conf_keys[i].kind == LOADER_CONF_STRING
            && loader_conf_keys[i].offset)
        {
            free(*loader_conf_member(conf, &loader_conf_keys[i]));
        }
    }

    for (i = 0; i < conf->nproperties; i++) {
        free(conf->properties[i].key);
        free(conf->properties[i].value);
    }

    free(conf->properties);
    free(conf->path);
    free(conf);
}


static int
loader_conf_parse(loader_conf_parse_t *p)
{
    int  rc;

    /* Debian's libinih is told at run time: lines as long as needed, one
     * line a value, and a ";" within a value is part of it. */

    ini_use_stack = false;
    ini_allow_realloc = true;
    ini_max_line = LOADER_CONF_LINE;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    ini_stop_on_first_error = true;

    p->file = fopen(p->conf->path, "re");
    if (p->file == NULL) {
        snprintf(p->error, LOADER_ERROR_MAX, "cannot open %s: %s",
                 p->conf->path, strerror(errno));
        return TRK_INVALID;
    }

    rc = ini_parse_stream(loader_conf_reader, p, loader_conf_handler, p);

    if (p->rc == TRK_OK && ferror(p->file)) {
        snprintf(p->error, LOADER_ERROR_MAX, "cannot read %s: %s",
                 p->conf->path, strerror(errno));
        p->rc = TRK_INVALID;
    }

    if (p->rc == TRK_OK && rc == -2) {
        p->rc = TRK_NOMEM;
    }

    if (p->rc == TRK_OK && rc != 0) {
        p->rc = loader_conf_fail(p, "neither [section] nor key = value");
    }

    (void) fclose(p->file);

    return p->rc;
}


/* fgets() that counts lines; a long one comes in pieces. */

static char *
loader_conf_reader(char *str, int num, void *stream)
{
    char                 *s;
    size_t                n;
    loader_conf_parse_t  *p;

    p = stream;

    s = fgets(str, num, p->file);
    if (s != NULL) {
        n = strlen(s);
        p->line += p->newline;
        p->newline = n > 0 && s[n - 1] == '\n';
    }

    return s;
}


/* Returns 1, or 0: stop. */

static int
loader_conf_handler(void *user, const char *section, const char *name,
    const char *value)
{
    int                   known;
    size_t                i;
    loader_conf_parse_t  *p;

    p = user;

    if (strcmp(section, "kafka.properties") == 0) {
        p->rc = loader_conf_property(p, name, value);
        return p->rc == TRK_OK;
    }

    for (i = 0, known = 0; i < LOADER_CONF_KEYS; i++) {

        if (strcmp(section, loader_conf_keys[i].section) != 0) {
            continue;
        }

        known = 1;

        if (strcmp(name, loader_conf_keys[i].key) == 0) {
            p->rc = p->seen[i] ? loader_conf_fail(p, "%s stands twice in [%s]",
                                                  name, section)
                               : loader_conf_set(p, i, value);
            p->seen[i] = 1;
            return p->rc == TRK_OK;
        }
    }

    p->rc = known ? loader_conf_fail(p, "unknown key %s in [%s]", name,
                                     section)
                  : loader_conf_fail(p, "unknown section [%s]", section);

    return 0;
}


static int
loader_conf_set(loader_conf_parse_t *p, size_t i, const char *value)
{
    uint64_t                  v;
    const loader_conf_key_t  *key;

    key = &loader_conf_keys[i];

    if (key->kind == LOADER_CONF_STRING) {
        return loader_conf_string(key->offset
                                  ? loader_conf_member(p->conf, key)
                                  : &p->password_file, value);
    }

    if (loader_conf_number(key, value, &v) != TRK_OK) {
        return loader_conf_fail(p, "%s in [%s] is \"%s\", but must be %s",
                                key->key, key->section, value,
                                key->kind == LOADER_CONF_NUMBER ? "a number"
                                : key->kind == LOADER_CONF_SIZE
                                ? "a size such as 512k, 32m or 1g"
                                : "a time such as 500ms, 30s or 1m");
    }

    if (v < key->min || v > key->max) {
        return loader_conf_fail(p, "%s in [%s] is %s, but must lie between"
                                " %llu and %llu%s", key->key, key->section,
                                value, (unsigned long long) key->min,
                                (unsigned long long) key->max,
                                key->kind == LOADER_CONF_NUMBER ? ""
                                : key->kind == LOADER_CONF_SIZE ? " bytes"
                                : " ms");
    }

    memcpy((char *) p->conf + key->offset, &v, sizeof(v));

    return TRK_OK;
}


static int
loader_conf_number(const loader_conf_key_t *key, const char *value,
    uint64_t *v)
{
    char      *end;
    uint64_t   unit;

    if (!isdigit((unsigned char) value[0])) {
        return TRK_INVALID;
    }

    errno = 0;
    *v = strtoull(value, &end, 10);
    unit = loader_conf_unit(key->kind, end);

    if (errno != 0 || unit == 0 || *v > UINT64_MAX / unit) {
        return TRK_INVALID;
    }

    *v *= unit;

    return TRK_OK;
}


/* 0: no such unit. */

static uint64_t
loader_conf_unit(loader_conf_kind_t kind, const char *unit)
{
    size_t  i;

    static const struct {
        loader_conf_kind_t  kind;
        const char         *name;
        uint64_t            factor;
    } units[] = {
        { LOADER_CONF_NUMBER, "", 1 },
        { LOADER_CONF_SIZE, "", 1 },
        { LOADER_CONF_SIZE, "k", 1 << 10 },
        { LOADER_CONF_SIZE, "m", 1 << 20 },
        { LOADER_CONF_SIZE, "g", 1 << 30 },
        { LOADER_CONF_TIME, "ms", 1 },
        { LOADER_CONF_TIME, "s", 1000 },
        { LOADER_CONF_TIME, "m", 60000 },
        { LOADER_CONF_TIME, "h", 3600000 },
    };

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].kind == kind && strcasecmp(units[i].name, unit) == 0) {
            return units[i].factor;
        }
    }

    return 0;
}


static int
loader_conf_property(loader_conf_parse_t *p, const char *name,
    const char *value)
{
    size_t              i;
    loader_conf_t      *conf;
    loader_property_t  *list;

    conf = p->conf;

    for (i = 0; i < conf->nproperties; i++) {
        if (strcmp(conf->properties[i].key, name) == 0) {
            return loader_conf_fail(p, "%s stands twice in"
                                    " [kafka.properties]", name);
        }
    }

    list = realloc(conf->properties, (i + 1) * sizeof(loader_property_t));
    if (list == NULL) {
        return TRK_NOMEM;
    }

    conf->properties = list;
    memset(&list[i], 0, sizeof(loader_property_t));
    conf->nproperties++;

    if (loader_conf_string(&list[i].key, name) != TRK_OK) {
        return TRK_NOMEM;
    }

    return loader_conf_string(&list[i].value, value);
}


static int
loader_conf_fail(loader_conf_parse_t *p, const char *fmt, ...)
{
    int      n;
    va_list  args;

    n = snprintf(p->error, LOADER_ERROR_MAX, "%s:%d: ", p->conf->path,
                 p->line);

    if (n > 0 && n < LOADER_ERROR_MAX) {
        va_start(args, fmt);
        (void) vsnprintf(p->error + n, (size_t) (LOADER_ERROR_MAX - n), fmt,
                         args);
        va_end(args);
    }

    return TRK_INVALID;
}


/* What was not set. */

static int
loader_conf_defaults(loader_conf_parse_t *p)
{
    int                       rc;
    size_t                    i;
    const loader_conf_key_t  *key;

    for (i = 0; i < LOADER_CONF_KEYS; i++) {
        key = &loader_conf_keys[i];

        if (p->seen[i]) {
            continue;
        }

        if (key->value == NULL) {
            snprintf(p->error, LOADER_ERROR_MAX, "%s: %s is missing in [%s]",
                     p->conf->path, key->key, key->section);
            return TRK_INVALID;
        }

        rc = loader_conf_set(p, i, key->value);
        if (rc != TRK_OK) {
            return rc;
        }
    }

    return TRK_OK;
}


/* What follows from other keys. */

static int
loader_conf_finish(loader_conf_parse_t *p)
{
    int             rc;
    loader_conf_t  *conf;

    conf = p->conf;

    rc = loader_conf_defaults(p);
    if (rc != TRK_OK) {
        return rc;
    }

    if (conf->batch_bytes > conf->memory) {
        snprintf(p->error, LOADER_ERROR_MAX, "%s: bytes in [batch] must not"
                 " be above limit in [memory]", conf->path);
        return TRK_INVALID;
    }

    if (conf->migrate_postgres[0] == '\0') {
        rc = loader_conf_string(&conf->migrate_postgres, conf->postgres);
    }

    if (rc == TRK_OK && strcmp(conf->http_listen, "off") == 0) {
        rc = loader_conf_string(&conf->http_listen, "");
    }

    if (rc == TRK_OK && conf->kafka_instance[0] == '\0') {
        rc = loader_conf_instance(conf);
    }

    if (rc == TRK_OK && p->password_file[0] != '\0') {
        rc = loader_conf_password(p);
    }

    return rc;
}


static int
loader_conf_password(loader_conf_parse_t *p)
{
    int    rc;
    char   line[1024];
    FILE  *file;

    if (p->conf->clickhouse_password[0] != '\0') {
        snprintf(p->error, LOADER_ERROR_MAX, "%s: [clickhouse] has both"
                 " password and password_file; keep one", p->conf->path);
        return TRK_INVALID;
    }

    file = fopen(p->password_file, "re");
    if (file == NULL || fgets(line, sizeof(line), file) == NULL) {
        snprintf(p->error, LOADER_ERROR_MAX, "%s: cannot read password_file"
                 " %s of [clickhouse]: %s", p->conf->path, p->password_file,
                 file == NULL || ferror(file) ? strerror(errno)
                                              : "it is empty");
        if (file != NULL) {
            (void) fclose(file);
        }

        return TRK_INVALID;
    }

    (void) fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    rc = loader_conf_string(&p->conf->clickhouse_password, line);
    explicit_bzero(line, sizeof(line));

    return rc;
}


/* Two loaders of one host have two files: the path tells them apart. */

static int
loader_conf_instance(loader_conf_t *conf)
{
    char   host[256], *path, name[300];

    if (gethostname(host, sizeof(host)) == -1) {
        snprintf(host, sizeof(host), "loader");
    }

    host[sizeof(host) - 1] = '\0';

    path = realpath(conf->path, NULL);
    if (path == NULL) {
        return TRK_NOMEM;
    }

    snprintf(name, sizeof(name), "%s-%08x", host,
             trk_hash(trk_str_of(path, strlen(path))));
    free(path);

    return loader_conf_string(&conf->kafka_instance, name);
}


static int
loader_conf_string(char **member, const char *value)
{
    char  *s;

    s = strdup(value);
    if (s == NULL) {
        return TRK_NOMEM;
    }

    free(*member);
    *member = s;

    return TRK_OK;
}


static char **
loader_conf_member(loader_conf_t *conf, const loader_conf_key_t *key)
{
    return (char **) (void *) ((char *) conf + key->offset);
}


void
loader_conf_example(FILE *out)
{
    size_t                    i;
    const char               *section, *c;
    const loader_conf_key_t  *key;

    fputs("# Configuration of track-loader.  Made by `track-loader check"
          " --example`; keys that\n"
          "# are commented out show their default, the others must be set."
          "  Sizes take k, m, g;\n"
          "# times take ms, s, m, h.\n", out);

    for (i = 0, section = ""; i < LOADER_CONF_KEYS; i++) {
        key = &loader_conf_keys[i];

        if (strcmp(section, "kafka") == 0
            && strcmp(key->section, "kafka") != 0)
        {
            fputs("\n\n[kafka.properties]\n\n"
                  "# Any property of librdkafka, but for those that the"
                  " loader's promises rest on.\n"
                  "#security.protocol = ssl\n", out);
        }

        if (strcmp(section, key->section) != 0) {
            section = key->section;
            fprintf(out, "\n\n[%s]\n", section);
        }

        fputs("\n# ", out);

        for (c = key->doc; *c; c++) {
            fputc(*c, out);
            if (*c == '\n') {
                fputs("# ", out);
            }
        }

        c = key->value ? key->value : key->example;
        fprintf(out, "\n%s%s =%s%s\n", key->value ? "#" : "", key->key,
                *c ? " " : "", c);
    }
}
