/*
 * The schema in PostgreSQL.  See postgres.h.
 */

#include "postgres.h"
#include "columns.h"
#include "log.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>


#define LOADER_PG_ASK      5000         /* ms for a connection, or a short
                                           answer */
#define LOADER_PG_READ     60000        /* ms for the whole schema */
#define LOADER_PG_SLICE    100          /* ms between looks at *stop */
#define LOADER_PG_IMAGE    (1 << 30)    /* bytes at most */


struct loader_pg_s {
    PGconn             *conn;
    const _Atomic int  *stop;
};


static int loader_pg_handshake(loader_pg_t *pg, char error[LOADER_ERROR_MAX]);
static int loader_pg_query(loader_pg_t *pg, const char *sql,
    int64_t deadline, PGresult **result, char error[LOADER_ERROR_MAX]);
static int loader_pg_exec(loader_pg_t *pg, const char *sql, int64_t deadline,
    char error[LOADER_ERROR_MAX]);
static int loader_pg_await(loader_pg_t *pg, int64_t deadline);
static PGresult *loader_pg_last(loader_pg_t *pg);
static int loader_pg_fail(loader_pg_t *pg, char error[LOADER_ERROR_MAX]);

static int loader_pg_version(loader_pg_t *pg, trk_uuid_t *lineage,
    uint64_t *version, char error[LOADER_ERROR_MAX]);
static int loader_pg_types(loader_pg_t *pg, trk_schema_t *schema,
    int64_t deadline, char error[LOADER_ERROR_MAX]);
static int loader_pg_fields(loader_pg_t *pg, trk_schema_t *schema,
    int64_t deadline, char error[LOADER_ERROR_MAX]);
static int loader_pg_add_field(trk_schema_t *schema, trk_schema_type_t *type,
    const PGresult *res, int row);
static int loader_pg_image(trk_schema_t *schema, trk_buf_t *image);
static int loader_pg_names(loader_pg_t *pg, trk_buf_t *image,
    loader_snapshot_t **snap, int64_t deadline, char error[LOADER_ERROR_MAX]);
static trk_str_t loader_pg_text(const PGresult *res, int row, int column);


int
loader_pg_connect(loader_pg_t **out, const char *conninfo,
    const _Atomic int *stop, char error[LOADER_ERROR_MAX])
{
    loader_pg_t  *pg;

    const char *const  keys[] = { "application_name", "dbname",
                                  "client_encoding", NULL };
    const char *const  values[] = { "track-loader", conninfo, "UTF8", NULL };

    *out = NULL;

    pg = calloc(1, sizeof(loader_pg_t));
    if (pg == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory");
        return TRK_NOMEM;
    }

    pg->stop = stop;
    pg->conn = PQconnectStartParams(keys, values, 1);

    if (loader_pg_handshake(pg, error) != TRK_OK
        || loader_pg_exec(pg, "LISTEN track_schema",
                          loader_monotonic() + LOADER_PG_ASK, error)
           != TRK_OK)
    {
        loader_pg_close(pg);
        return TRK_IO;
    }

    *out = pg;

    return TRK_OK;
}


void
loader_pg_close(loader_pg_t *pg)
{
    if (pg != NULL) {
        PQfinish(pg->conn);
        free(pg);
    }
}


int
loader_pg_fd(const loader_pg_t *pg)
{
    return pg ? PQsocket(pg->conn) : -1;
}


int
loader_pg_notified(loader_pg_t *pg)
{
    int        any;
    PGnotify  *notify;

    if (pg == NULL) {
        return 0;
    }

    if (PQconsumeInput(pg->conn) == 0) {
        return 1;
    }

    for (any = 0; (notify = PQnotifies(pg->conn)) != NULL; any = 1) {
        PQfreemem(notify);
    }

    return any;
}


int
loader_pg_changed(loader_pg_t *pg, const loader_snapshot_t *snap,
    int *changed, char error[LOADER_ERROR_MAX])
{
    int         rc;
    uint64_t    version;
    trk_uuid_t  lineage;

    rc = loader_pg_version(pg, &lineage, &version, error);
    if (rc != TRK_OK) {
        return rc;
    }

    *changed = snap == NULL || !snap->has_version || snap->version != version
               || memcmp(&snap->lineage, &lineage, sizeof(lineage)) != 0;

    return TRK_OK;
}


int
loader_pg_snapshot(loader_pg_t *pg, loader_snapshot_t **snap,
    char error[LOADER_ERROR_MAX])
{
    int            rc;
    int64_t        deadline;
    uint64_t       version;
    trk_buf_t      image;
    trk_uuid_t     lineage;
    trk_schema_t  *schema;

    deadline = loader_monotonic() + LOADER_PG_READ;
    trk_buf_init(&image, LOADER_PG_IMAGE);

    rc = loader_pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                        deadline, error);
    if (rc == TRK_OK) {
        rc = loader_pg_version(pg, &lineage, &version, error);
    }

    if (rc != TRK_OK) {
        return rc;
    }

    schema = trk_schema_create(&lineage, version);
    if (schema == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory");
        return TRK_NOMEM;
    }

    rc = loader_pg_types(pg, schema, deadline, error);

    if (rc == TRK_OK) {
        rc = loader_pg_fields(pg, schema, deadline, error);
    }

    if (rc == TRK_OK && (rc = loader_pg_image(schema, &image)) != TRK_OK) {
        snprintf(error, LOADER_ERROR_MAX, "no memory for the schema");
    }

    trk_schema_free(schema);

    if (rc == TRK_OK) {
        rc = loader_pg_names(pg, &image, snap, deadline, error);
    }

    trk_buf_free(&image);

    if (rc == TRK_OK) {
        (*snap)->has_version = 1;
        (*snap)->lineage = lineage;
        (*snap)->version = version;

        rc = loader_pg_exec(pg, "COMMIT", deadline, error);
        if (rc != TRK_OK) {
            loader_snapshot_release(*snap);
        }
    }

    return rc;
}


/* Only the look-up of a name can block here, for as long as it takes. */

static int
loader_pg_handshake(loader_pg_t *pg, char error[LOADER_ERROR_MAX])
{
    int                        n;
    int64_t                    deadline;
    struct pollfd              fd;
    PostgresPollingStatusType  state;

    deadline = loader_monotonic() + LOADER_PG_ASK;
    state = PQstatus(pg->conn) == CONNECTION_BAD ? PGRES_POLLING_FAILED
                                                 : PGRES_POLLING_WRITING;

    while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {

        if (loader_monotonic() >= deadline || atomic_load(pg->stop)) {
            snprintf(error, LOADER_ERROR_MAX, "no connection in time");
            return TRK_IO;
        }

        fd.fd = PQsocket(pg->conn);
        fd.events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;

        n = poll(&fd, 1, LOADER_PG_SLICE);

        if (n > 0 || (n == -1 && errno != EINTR)) {
            state = PQconnectPoll(pg->conn);
        }
    }

    if (state != PGRES_POLLING_OK || PQsetnonblocking(pg->conn, 1) != 0) {
        return loader_pg_fail(pg, error);
    }

    return TRK_OK;
}


/* Sends a statement without parameters and waits for its last result, which
 * the caller clears.  TRK_OK, TRK_IO. */

static int
loader_pg_query(loader_pg_t *pg, const char *sql, int64_t deadline,
    PGresult **result, char error[LOADER_ERROR_MAX])
{
    PGresult        *res;
    ExecStatusType   status;

    if (PQsendQuery(pg->conn, sql) == 0) {
        return loader_pg_fail(pg, error);
    }

    if (loader_pg_await(pg, deadline) != TRK_OK) {
        snprintf(error, LOADER_ERROR_MAX, "no answer in time");
        return TRK_IO;
    }

    res = loader_pg_last(pg);
    status = PQresultStatus(res);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        PQclear(res);
        return loader_pg_fail(pg, error);
    }

    *result = res;

    return TRK_OK;
}


static int
loader_pg_exec(loader_pg_t *pg, const char *sql, int64_t deadline,
    char error[LOADER_ERROR_MAX])
{
    int        rc;
    PGresult  *res;

    rc = loader_pg_query(pg, sql, deadline, &res, error);

    if (rc == TRK_OK) {
        PQclear(res);
    }

    return rc;
}


/* Until a result can be taken without blocking.  TRK_AGAIN: the deadline, or
 * *stop.  A lost connection is found by who takes the result. */

static int
loader_pg_await(loader_pg_t *pg, int64_t deadline)
{
    int            unsent;
    struct pollfd  fd;

    for ( ;; ) {

        unsent = PQflush(pg->conn);

        if (unsent == -1 || PQconsumeInput(pg->conn) == 0
            || (unsent == 0 && !PQisBusy(pg->conn)))
        {
            return TRK_OK;
        }

        if (loader_monotonic() >= deadline || atomic_load(pg->stop)) {
            return TRK_AGAIN;
        }

        fd.fd = PQsocket(pg->conn);
        fd.events = (short) (unsent ? POLLIN | POLLOUT : POLLIN);

        if (poll(&fd, 1, LOADER_PG_SLICE) == -1 && errno != EINTR) {
            return TRK_AGAIN;
        }
    }
}


/* One statement has one result; PQgetResult() must be seen to end. */

static PGresult *
loader_pg_last(loader_pg_t *pg)
{
    PGresult  *res, *next;

    res = NULL;

    while ((next = PQgetResult(pg->conn)) != NULL) {
        PQclear(res);
        res = next;

        if (PQstatus(pg->conn) != CONNECTION_OK) {
            break;
        }
    }

    return res;
}


static int
loader_pg_fail(loader_pg_t *pg, char error[LOADER_ERROR_MAX])
{
    const char  *text;

    text = pg->conn ? PQerrorMessage(pg->conn) : "no memory";
    snprintf(error, LOADER_ERROR_MAX, "%.*s", (int) strcspn(text, "\n"), text);

    return TRK_IO;
}


static int
loader_pg_version(loader_pg_t *pg, trk_uuid_t *lineage, uint64_t *version,
    char error[LOADER_ERROR_MAX])
{
    int        rc;
    PGresult  *res;

    rc = loader_pg_query(pg, "SELECT lineage::text, number::text"
                             " FROM public.track_schema_version()",
                         loader_monotonic() + LOADER_PG_ASK, &res, error);
    if (rc != TRK_OK) {
        return rc;
    }

    if (PQntuples(res) != 1
        || trk_uuid_parse(loader_pg_text(res, 0, 0), lineage) != TRK_OK)
    {
        snprintf(error, LOADER_ERROR_MAX, "track_schema_version() does not"
                 " answer with a version");
        PQclear(res);
        return TRK_IO;
    }

    *version = strtoull(PQgetvalue(res, 0, 1), NULL, 10);
    PQclear(res);

    return TRK_OK;
}


static int
loader_pg_types(loader_pg_t *pg, trk_schema_t *schema, int64_t deadline,
    char error[LOADER_ERROR_MAX])
{
    int               i, rc;
    PGresult         *res;
    trk_additional_t  additional;

    rc = loader_pg_query(pg, "SELECT name, enabled, additional_fields"
                             " FROM public.event_types"
                             " ORDER BY name COLLATE \"C\"",
                         deadline, &res, error);
    if (rc != TRK_OK) {
        return rc;
    }

    for (i = 0; i < PQntuples(res); i++) {

        if (trk_additional_parse(loader_pg_text(res, i, 2), &additional)
            != TRK_OK)
        {
            additional = TRK_ADDITIONAL_REJECT;
        }

        if (trk_schema_add_type(schema, loader_pg_text(res, i, 0),
                                PQgetvalue(res, i, 1)[0] == 't', additional)
            == NULL)
        {
            snprintf(error, LOADER_ERROR_MAX, "no memory for the schema");
            rc = TRK_NOMEM;
            break;
        }
    }

    PQclear(res);

    return rc;
}


/* Both lists come in the order of the types' names: one pass over each. */

static int
loader_pg_fields(loader_pg_t *pg, trk_schema_t *schema, int64_t deadline,
    char error[LOADER_ERROR_MAX])
{
    int        i, rc;
    size_t     t;
    PGresult  *res;

    rc = loader_pg_query(pg, "SELECT t.name, f.name, f.data_type"
                             " FROM public.event_fields f"
                             " JOIN public.event_types t"
                             " ON t.id = f.event_type_id"
                             " ORDER BY t.name COLLATE \"C\"",
                         deadline, &res, error);
    if (rc != TRK_OK) {
        return rc;
    }

    for (i = 0, t = 0; i < PQntuples(res) && rc == TRK_OK; i++) {

        while (t < schema->ntypes
               && trk_str_cmp(schema->types[t].name,
                              loader_pg_text(res, i, 0)) < 0)
        {
            t++;
        }

        if (t < schema->ntypes) {
            rc = loader_pg_add_field(schema, &schema->types[t], res, i);
        }
    }

    if (rc != TRK_OK) {
        snprintf(error, LOADER_ERROR_MAX, "no memory for the schema");
    }

    PQclear(res);

    return rc;
}


static int
loader_pg_add_field(trk_schema_t *schema, trk_schema_type_t *type,
    const PGresult *res, int row)
{
    trk_data_type_t  data_type;

    if (trk_data_type_parse(loader_pg_text(res, row, 2), &data_type)
        != TRK_OK)
    {
        return TRK_OK;
    }

    return trk_schema_add_field(schema, type, loader_pg_text(res, row, 1),
                                data_type, 0);
}


/* What event types define only decides whether a value that does not fit is
 * dead or extra; a schema that cannot be compiled must not stop the loader. */

static int
loader_pg_image(trk_schema_t *schema, trk_buf_t *image)
{
    int  rc;

    rc = trk_schema_finish(schema);

    if (rc == TRK_OK) {
        rc = trk_image_build(schema, image);
    }

    if (rc == TRK_NOMEM) {
        return TRK_NOMEM;
    }

    if (rc != TRK_OK) {
        loader_log(LOADER_LOG_WARN, "the schema in PostgreSQL is not in order:"
                   " %s; values that do not fit their field go to"
                   " fields_extra", schema->error);
        trk_buf_free(image);
    }

    return TRK_OK;
}


/* Every field name that was ever defined, with its type: the columns. */

static int
loader_pg_names(loader_pg_t *pg, trk_buf_t *image, loader_snapshot_t **snap,
    int64_t deadline, char error[LOADER_ERROR_MAX])
{
    int              i, rc;
    size_t           n;
    PGresult        *res;
    trk_str_t        name;
    loader_field_t  *fields;

    rc = loader_pg_query(pg, "SELECT name, data_type FROM public.field_types",
                         deadline, &res, error);
    if (rc != TRK_OK) {
        return rc;
    }

    rc = TRK_NOMEM;
    fields = calloc((size_t) PQntuples(res) + 1, sizeof(loader_field_t));

    if (fields != NULL) {

        for (i = 0, n = 0; i < PQntuples(res); i++) {
            name = loader_pg_text(res, i, 0);
            fields[n].name = name;

            if (loader_column_name_ok(name)
                && trk_data_type_parse(loader_pg_text(res, i, 1),
                                       &fields[n].data_type) == TRK_OK)
            {
                n++;
            }
        }

        rc = loader_snapshot_create(snap, fields, n, image);
    }

    if (rc != TRK_OK) {
        snprintf(error, LOADER_ERROR_MAX, "no memory for the schema");
        rc = TRK_NOMEM;
    }

    free(fields);
    PQclear(res);

    return rc;
}


static trk_str_t
loader_pg_text(const PGresult *res, int row, int column)
{
    return trk_str_of(PQgetvalue(res, row, column),
                      (size_t) PQgetlength(res, row, column));
}
