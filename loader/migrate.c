/*
 * track-loader migrate.  The second of the two files that know libpq; here
 * its plain blocking calls are right: a process that does nothing else, and
 * statements that may take as long as they need.  See migrate.h.
 */

#include "migrate.h"
#include "clickhouse.h"
#include "producer.h"

#include <dirent.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdlib.h>


#define LOADER_MIGRATE_LOCK     "7236834092417115497"   /* any number */
#define LOADER_MIGRATE_FILE     (16 << 20)      /* bytes of a file */
#define LOADER_MIGRATE_HISTORY  (16 << 20)
#define LOADER_MIGRATE_TIMEOUT  600000          /* ms for a statement */
#define LOADER_SHA256_HEX       64


typedef struct {
    const loader_conf_t  *conf;
    PGconn               *pg;
    loader_clickhouse_t  *ch;
    trk_buf_t             history;      /* lines: name, tab, hash */
    trk_buf_t             text;         /* of the file at hand */
    char                  hash[LOADER_SHA256_HEX + 1];
    char                 *error;
} loader_migrate_t;

/* A database and how things are done there.  Each returns TRK_OK, or
 * TRK_INVALID, TRK_IO, TRK_NOMEM with an error. */
typedef struct {
    const char  *name;                  /* of the folder too */
    int        (*history)(loader_migrate_t *m);
    int        (*apply)(loader_migrate_t *m, const char *file);
} loader_migrate_target_t;


static int loader_migrate_run(loader_migrate_t *m);
static int loader_migrate_lock(loader_migrate_t *m);
static int loader_migrate_folder(loader_migrate_t *m,
    const loader_migrate_target_t *target);
static int loader_migrate_file(loader_migrate_t *m,
    const loader_migrate_target_t *target, const char *file);
static int loader_migrate_known(loader_migrate_t *m, const char *path,
    const char *file, int *known);
static int loader_migrate_read(loader_migrate_t *m, const char *path);
static int loader_migrate_hash(loader_migrate_t *m);
static int loader_migrate_is_sql(const struct dirent *entry);
static int loader_migrate_name_ok(const char *name);
static int loader_migrate_cmp(const struct dirent **a,
    const struct dirent **b);
static int loader_migrate_fail(loader_migrate_t *m, int rc, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

static int loader_migrate_pg(loader_migrate_t *m, const char *sql,
    int nparams, const char *const *params, PGresult **result);
static int loader_migrate_pg_fail(loader_migrate_t *m, PGresult *res);
static int loader_migrate_pg_history(loader_migrate_t *m);
static int loader_migrate_pg_apply(loader_migrate_t *m, const char *file);
static int loader_migrate_ch(loader_migrate_t *m, trk_str_t sql,
    trk_buf_t *out);
static int loader_migrate_ch_history(loader_migrate_t *m);
static int loader_migrate_ch_apply(loader_migrate_t *m, const char *file);


static const loader_migrate_target_t  loader_migrate_targets[] = {
    { "postgres", loader_migrate_pg_history, loader_migrate_pg_apply },
    { "clickhouse", loader_migrate_ch_history, loader_migrate_ch_apply },
};


int
loader_migrate(const loader_conf_t *conf, char error[LOADER_ERROR_MAX])
{
    int               rc;
    loader_migrate_t  m;

    memset(&m, 0, sizeof(m));
    m.conf = conf;
    m.error = error;
    error[0] = '\0';
    trk_buf_init(&m.history, LOADER_MIGRATE_HISTORY);
    trk_buf_init(&m.text, LOADER_MIGRATE_FILE);

    m.ch = loader_clickhouse_create(conf);
    rc = m.ch ? loader_migrate_run(&m)
              : loader_migrate_fail(&m, TRK_NOMEM, "no memory");

    /* closing the connection gives the lock back */

    PQfinish(m.pg);
    loader_clickhouse_free(m.ch);
    trk_buf_free(&m.history);
    trk_buf_free(&m.text);

    return rc;
}


static int
loader_migrate_run(loader_migrate_t *m)
{
    int     rc;
    size_t  i;

    rc = loader_migrate_lock(m);

    for (i = 0; i < 2 && rc == TRK_OK; i++) {
        rc = loader_migrate_folder(m, &loader_migrate_targets[i]);
    }

    return rc == TRK_OK ? loader_topics_create(m->conf, stdout, m->error)
                        : rc;
}


static int
loader_migrate_lock(loader_migrate_t *m)
{
    int        rc, locked;
    PGresult  *res;

    const char *const  keys[] = { "connect_timeout", "application_name",
                                  "dbname", "client_encoding", NULL };
    const char *const  values[] = { "10", "track-loader migrate",
                                    m->conf->migrate_postgres, "UTF8", NULL };

    m->pg = PQconnectdbParams(keys, values, 1);

    if (PQstatus(m->pg) != CONNECTION_OK) {
        return loader_migrate_fail(m, TRK_IO, "cannot connect to PostgreSQL:"
                                   " %s", m->pg ? PQerrorMessage(m->pg)
                                                : "no memory");
    }

    rc = loader_migrate_pg(m, "SET client_min_messages = warning", 0, NULL,
                           NULL);
    if (rc != TRK_OK) {
        return rc;
    }

    rc = loader_migrate_pg(m, "SELECT pg_try_advisory_lock("
                              LOADER_MIGRATE_LOCK ")", 0, NULL, &res);
    if (rc != TRK_OK) {
        return rc;
    }

    locked = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);

    if (locked) {
        return TRK_OK;
    }

    printf("waiting for another track-loader migrate\n");
    (void) fflush(stdout);

    return loader_migrate_pg(m, "SELECT pg_advisory_lock("
                                LOADER_MIGRATE_LOCK ")", 0, NULL, NULL);
}


static int
loader_migrate_folder(loader_migrate_t *m,
    const loader_migrate_target_t *target)
{
    int              i, n, rc;
    char             path[4096];
    struct dirent  **list;

    trk_buf_reset(&m->history, LOADER_MIGRATE_HISTORY);

    rc = target->history(m);
    if (rc != TRK_OK) {
        return rc;
    }

    snprintf(path, sizeof(path), "%s/%s", m->conf->migrate_directory,
             target->name);

    n = scandir(path, &list, loader_migrate_is_sql, loader_migrate_cmp);

    if (n == -1) {
        return loader_migrate_fail(m, TRK_IO, "cannot read %s: %s (is"
                                   " directory in [migrate] right?)", path,
                                   strerror(errno));
    }

    if (n == 0) {
        rc = loader_migrate_fail(m, TRK_INVALID, "no migrations in %s (is"
                                 " directory in [migrate] right?)", path);
    }

    for (i = 0; i < n; i++) {
        if (rc == TRK_OK) {
            rc = loader_migrate_file(m, target, list[i]->d_name);
        }

        free(list[i]);
    }

    free(list);

    return rc;
}


static int
loader_migrate_file(loader_migrate_t *m,
    const loader_migrate_target_t *target, const char *file)
{
    int   rc, known;
    char  path[4096 + 512];

    snprintf(path, sizeof(path), "%s/%s/%s", m->conf->migrate_directory,
             target->name, file);

    /* the name stands in statements as it is */

    if (!loader_migrate_name_ok(file)) {
        return loader_migrate_fail(m, TRK_INVALID, "%s: a migration is named"
                                   " 0000_letters_and_digits.sql", path);
    }

    known = 0;
    rc = loader_migrate_read(m, path);

    if (rc == TRK_OK) {
        rc = loader_migrate_hash(m);
    }

    if (rc == TRK_OK) {
        rc = loader_migrate_known(m, path, file, &known);
    }

    if (rc != TRK_OK || known) {
        return rc;
    }

    rc = target->apply(m, file);

    if (rc == TRK_OK) {
        printf("%s: %s applied\n", target->name, file);
        (void) fflush(stdout);
    }

    return rc;
}


/* Does the history have the file, and with this hash? */

static int
loader_migrate_known(loader_migrate_t *m, const char *path, const char *file,
    int *known)
{
    size_t          n;
    const uint8_t  *p, *end;

    n = strlen(file);
    p = m->history.p;
    end = p + m->history.n;
    *known = 0;

    while (p < end) {

        if ((size_t) (end - p) > n + 1 + LOADER_SHA256_HEX
            && memcmp(p, file, n) == 0 && p[n] == '\t')
        {
            if (memcmp(p + n + 1, m->hash, LOADER_SHA256_HEX) != 0) {
                return loader_migrate_fail(m, TRK_INVALID, "%s has changed"
                           " since it was applied: put it back as it was, and"
                           " the change into a file of its own", path);
            }

            *known = 1;
        }

        p = memchr(p, '\n', (size_t) (end - p));
        p = p ? p + 1 : end;
    }

    return TRK_OK;
}


static int
loader_migrate_read(loader_migrate_t *m, const char *path)
{
    size_t    n;
    FILE     *file;
    uint8_t  *dst;

    trk_buf_reset(&m->text, LOADER_MIGRATE_FILE);

    file = fopen(path, "re");
    if (file == NULL) {
        return loader_migrate_fail(m, TRK_IO, "cannot open %s: %s", path,
                                   strerror(errno));
    }

    do {
        dst = trk_buf_reserve(&m->text, 65536);
        n = dst ? fread(dst, 1, 65536, file) : 0;
        m->text.n += n;
    } while (n > 0);

    trk_buf_byte(&m->text, '\0');

    if (ferror(file) || m->text.failed) {
        (void) fclose(file);
        return loader_migrate_fail(m, TRK_IO, "cannot read %s", path);
    }

    (void) fclose(file);
    m->text.n--;

    return TRK_OK;
}


static int
loader_migrate_hash(loader_migrate_t *m)
{
    int        rc;
    PGresult  *res;

    const char *const  params[] = { (const char *) m->text.p };
    const int          lengths[] = { (int) m->text.n };
    const int          formats[] = { 1 };

    res = PQexecParams(m->pg, "SELECT encode(sha256($1::bytea), 'hex')", 1,
                       NULL, params, lengths, formats, 0);

    rc = TRK_OK;

    if (PQresultStatus(res) == PGRES_TUPLES_OK) {
        snprintf(m->hash, sizeof(m->hash), "%s", PQgetvalue(res, 0, 0));

    } else {
        rc = loader_migrate_fail(m, TRK_IO, "PostgreSQL: %s",
                                 PQerrorMessage(m->pg));
    }

    PQclear(res);

    return rc;
}


static int
loader_migrate_is_sql(const struct dirent *entry)
{
    size_t  n;

    n = strlen(entry->d_name);

    return n > 4 && strcmp(entry->d_name + n - 4, ".sql") == 0;
}


static int
loader_migrate_name_ok(const char *name)
{
    size_t  n;

    n = strspn(name, "0123456789");

    if (n != 4 || name[n] != '_') {
        return 0;
    }

    n += strspn(name + n, "abcdefghijklmnopqrstuvwxyz"
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return strcmp(name + n, ".sql") == 0;
}


static int
loader_migrate_cmp(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}


static int
loader_migrate_fail(loader_migrate_t *m, int rc, const char *fmt, ...)
{
    char     *p;
    va_list   args;

    va_start(args, fmt);
    (void) vsnprintf(m->error, LOADER_ERROR_MAX, fmt, args);
    va_end(args);

    /* messages of libpq have line ends; an error is one line */

    for (p = m->error; *p; p++) {
        if (*p == '\n') {
            *p = p[1] ? ' ' : '\0';
        }
    }

    return rc;
}


/* Runs a statement, or, without parameters, several.  result may be NULL. */

static int
loader_migrate_pg(loader_migrate_t *m, const char *sql, int nparams,
    const char *const *params, PGresult **result)
{
    PGresult        *res;
    ExecStatusType   status;

    res = nparams ? PQexecParams(m->pg, sql, nparams, NULL, params, NULL,
                                 NULL, 0)
                  : PQexec(m->pg, sql);
    status = PQresultStatus(res);

    if (result != NULL) {
        *result = NULL;
    }

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        return loader_migrate_pg_fail(m, res);
    }

    if (result != NULL) {
        *result = res;

    } else {
        PQclear(res);
    }

    return TRK_OK;
}


/* Message and hint, which libpq would print on several lines.  Clears res. */

static int
loader_migrate_pg_fail(loader_migrate_t *m, PGresult *res)
{
    int          rc;
    const char  *message, *hint;

    rc = PQstatus(m->pg) == CONNECTION_OK ? TRK_INVALID : TRK_IO;
    message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);

    rc = loader_migrate_fail(m, rc, "PostgreSQL: %s%s%s",
                             message ? message : PQerrorMessage(m->pg),
                             hint ? ". " : "", hint ? hint : "");
    PQclear(res);

    return rc;
}


static int
loader_migrate_pg_history(loader_migrate_t *m)
{
    int        i, rc;
    PGresult  *res;

    rc = loader_migrate_pg(m, "CREATE TABLE IF NOT EXISTS"
                              " public.schema_migrations"
                              " (name text PRIMARY KEY, sha256 text NOT NULL,"
                              " applied_at timestamptz NOT NULL"
                              " DEFAULT now())", 0, NULL, NULL);
    if (rc != TRK_OK) {
        return rc;
    }

    rc = loader_migrate_pg(m, "SELECT name, sha256 FROM"
                              " public.schema_migrations", 0, NULL, &res);
    if (rc != TRK_OK) {
        return rc;
    }

    for (i = 0; i < PQntuples(res); i++) {
        trk_buf_add(&m->history, PQgetvalue(res, i, 0),
                    (size_t) PQgetlength(res, i, 0));
        trk_buf_byte(&m->history, '\t');
        trk_buf_add(&m->history, PQgetvalue(res, i, 1),
                    (size_t) PQgetlength(res, i, 1));
        trk_buf_byte(&m->history, '\n');
    }

    PQclear(res);

    return m->history.failed ? loader_migrate_fail(m, TRK_NOMEM, "no memory")
                             : TRK_OK;
}


/* File and history in one transaction. */

static int
loader_migrate_pg_apply(loader_migrate_t *m, const char *file)
{
    int   rc;
    char  why[LOADER_ERROR_MAX];

    const char *const  params[] = { file, m->hash };

    rc = loader_migrate_pg(m, "BEGIN", 0, NULL, NULL);

    if (rc == TRK_OK) {
        rc = loader_migrate_pg(m, (const char *) m->text.p, 0, NULL, NULL);
    }

    if (rc == TRK_OK) {
        rc = loader_migrate_pg(m, "INSERT INTO public.schema_migrations"
                                  " (name, sha256) VALUES ($1, $2)", 2,
                               params, NULL);
    }

    if (rc == TRK_OK) {
        rc = loader_migrate_pg(m, "COMMIT", 0, NULL, NULL);
    }

    if (rc != TRK_OK) {
        memcpy(why, m->error, sizeof(why));
        return loader_migrate_fail(m, rc, "%s is not applied: %.400s", file,
                                   why);
    }

    return TRK_OK;
}


static int
loader_migrate_ch(loader_migrate_t *m, trk_str_t sql, trk_buf_t *out)
{
    int   rc;
    char  why[LOADER_ERROR_MAX];

    rc = loader_clickhouse_query(m->ch, sql, "&async_insert=0",
                                 LOADER_MIGRATE_TIMEOUT, out, why);
    if (rc != TRK_OK) {
        return loader_migrate_fail(m, rc, "ClickHouse: %.480s", why);
    }

    return TRK_OK;
}


/* The history needs its database before 0001 can have made it. */

static int
loader_migrate_ch_history(loader_migrate_t *m)
{
    int  rc;

    rc = loader_migrate_ch(m, trk_str("CREATE DATABASE IF NOT EXISTS "
                                      LOADER_DATABASE), NULL);
    if (rc != TRK_OK) {
        return rc;
    }

    rc = loader_migrate_ch(m, trk_str("CREATE TABLE IF NOT EXISTS "
                                      LOADER_DATABASE ".schema_migrations"
                                      " (name String, sha256 String,"
                                      " applied_at DateTime64(3, 'UTC')"
                                      " DEFAULT now64(3))"
                                      " ENGINE = MergeTree ORDER BY name"),
                           NULL);
    if (rc != TRK_OK) {
        return rc;
    }

    return loader_migrate_ch(m, trk_str("SELECT name, sha256 FROM "
                                        LOADER_DATABASE ".schema_migrations"
                                        " FORMAT TSV"), &m->history);
}


/* Between the statement and its entry a crash may come: the file then runs
 * once more, which it must bear. */

static int
loader_migrate_ch_apply(loader_migrate_t *m, const char *file)
{
    int   rc;
    char  sql[512], why[LOADER_ERROR_MAX];

    rc = loader_migrate_ch(m, trk_str_of(m->text.p, m->text.n), NULL);

    if (rc == TRK_OK) {
        snprintf(sql, sizeof(sql), "INSERT INTO " LOADER_DATABASE
                 ".schema_migrations (name, sha256) VALUES ('%s', '%s')",
                 file, m->hash);
        rc = loader_migrate_ch(m, trk_str_of(sql, strlen(sql)), NULL);
    }

    if (rc != TRK_OK) {
        memcpy(why, m->error, sizeof(why));
        return loader_migrate_fail(m, rc, "%s is not applied: %.400s", file,
                                   why);
    }

    return TRK_OK;
}
