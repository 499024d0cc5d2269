
/*
 * Reads the schema from PostgreSQL: all of libpq, run by the schema thread.
 *
 * A thread, since libpq resolves names synchronously even in its
 * asynchronous calls: with a silent name server it would hold up the event
 * loop for ten seconds.  Connecting blocks; whatever comes after it has a
 * deadline, and ends at once when stop_fd becomes readable, so a dead peer
 * costs seconds.  The connection LISTENs before the first look, so that no
 * change falls between.  No nginx function is called.
 */


#include "ngx_http_track.h"

#include <libpq-fe.h>
#include <stdio.h>


#define NGX_HTTP_TRACK_PG_DEADLINE  5000    /* ms, a small query */
#define NGX_HTTP_TRACK_PG_READ      60000   /* ms, the whole schema */

#define NGX_HTTP_TRACK_PG_VERSION                                             \
    "SELECT lineage::text, number::text FROM public.track_schema_version()"

#define NGX_HTTP_TRACK_PG_TYPES                                               \
    "SELECT name, enabled, additional_fields"                                 \
    " FROM public.event_types ORDER BY name COLLATE \"C\""

/* A type by its place in that list, and in no order: sorting 200,000 rows took
 * PostgreSQL longer than all the rest. */

#define NGX_HTTP_TRACK_PG_FIELDS                                              \
    "SELECT t.place, f.name, f.data_type, coalesce(f.required, false)"        \
    " FROM public.event_fields f"                                             \
    " JOIN (SELECT id, row_number() OVER (ORDER BY name COLLATE \"C\") - 1"   \
    " AS place FROM public.event_types) t ON t.id = f.event_type_id"

/* What is not in force is not read: a revoked key is an unknown one. */

#define NGX_HTTP_TRACK_PG_SOURCES                                             \
    "SELECT name FROM public.sources WHERE enabled"                           \
    " ORDER BY name COLLATE \"C\""

/* what they have: (o)rigins, event (t)ypes, (k)eys */

#define NGX_HTTP_TRACK_PG_MEMBERS                                             \
    "SELECT name COLLATE \"C\", 'o', unnest(allowed_origins) COLLATE \"C\""   \
    " FROM public.sources WHERE enabled"                                      \
    " UNION ALL"                                                              \
    " SELECT name, 't', unnest(allowed_event_types)"                          \
    " FROM public.sources WHERE enabled"                                      \
    " UNION ALL"                                                              \
    " SELECT s.name, 'k', encode(k.key_hash, 'hex')"                          \
    " FROM public.source_keys k"                                              \
    " JOIN public.sources s ON s.id = k.source_id"                            \
    " WHERE k.enabled AND s.enabled"                                          \
    " ORDER BY 1"

#define NGX_HTTP_TRACK_PG_TOKENS                                              \
    "SELECT encode(token_hash, 'hex'), CASE WHEN isfinite(expires_at)"        \
    " THEN floor(extract(epoch FROM expires_at) * 1000)::bigint END"          \
    " FROM public.admin_tokens WHERE enabled AND 'live' = ANY (scopes)"       \
    " AND (expires_at IS NULL OR expires_at > '-infinity')"


struct ngx_http_track_pg_s {
    PGconn                      *conn;
    int                          stop_fd;       /* readable: end */
    char                        *error;         /* the caller's */
};


/* one transaction's answers */

typedef struct {
    PGresult                    *begin;
    PGresult                    *types;
    PGresult                    *fields;
    PGresult                    *sources;
    PGresult                    *members;
    PGresult                    *tokens;
    PGresult                    *end;
} ngx_http_track_pg_rows_t;


static int ngx_http_track_pg_rows(ngx_http_track_pg_t *pg,
    ngx_http_track_pg_rows_t *rows, char *version, size_t size);
static void ngx_http_track_pg_clear(ngx_http_track_pg_rows_t *rows);
static trk_schema_t *ngx_http_track_pg_schema(const char *version,
    ngx_http_track_pg_rows_t *rows, char *error);
static int ngx_http_track_pg_types(trk_schema_t *schema, PGresult *types,
    char *error);
static int ngx_http_track_pg_fields(trk_schema_t *schema, PGresult *fields,
    char *error);
static int ngx_http_track_pg_sources(trk_schema_t *schema,
    PGresult *sources, PGresult *members, char *error);
static int ngx_http_track_pg_member(trk_schema_t *schema,
    trk_schema_source_t *source, PGresult *members, int row);
static int ngx_http_track_pg_tokens(trk_schema_t *schema, PGresult *tokens,
    char *error);
static int ngx_http_track_pg_hash(PGresult *res, int row, int column,
    uint8_t hash[TRK_SHA256_LEN]);
static trk_str_t ngx_http_track_pg_value(PGresult *res, int row, int column);
static PGresult *ngx_http_track_pg_query(ngx_http_track_pg_t *pg,
    const char *sql, int timeout);
static int ngx_http_track_pg_settle(ngx_http_track_pg_t *pg, int64_t until);
static int64_t ngx_http_track_pg_now(void);
static void ngx_http_track_pg_failed(ngx_http_track_pg_t *pg,
    const char *message, const char *state);
static void ngx_http_track_pg_notice(void *data, const PGresult *res);


int
ngx_http_track_pg_check(const char *conninfo, char *error)
{
    char              *message;
    PQconninfoOption  *options;

    message = NULL;
    options = PQconninfoParse(conninfo, &message);

    if (options == NULL) {
        if (message) {
            message[strcspn(message, "\n")] = '\0';
        }

        ngx_http_track_say(error, "%s", message ? message : "no memory");
        PQfreemem(message);
        return -1;
    }

    PQconninfoFree(options);

    return 0;
}


/*
 * What stands before dbname can be set by conninfo, what stands after it
 * cannot: a standby refuses LISTEN, and notices a change late.
 */

ngx_http_track_pg_t *
ngx_http_track_pg_open(const char *conninfo, int stop_fd, char *error)
{
    PGresult             *res;
    ngx_http_track_pg_t  *pg;

    const char *const  names[] = { "connect_timeout", "dbname",
                                   "fallback_application_name",
                                   "client_encoding",
                                   "target_session_attrs", NULL };
    const char *const  values[] = { "5", conninfo, "nginx-track", "UTF8",
                                    "read-write", NULL };

    pg = calloc(1, sizeof(ngx_http_track_pg_t));
    if (pg == NULL) {
        ngx_http_track_say(error, "no memory");
        return NULL;
    }

    pg->stop_fd = stop_fd;
    pg->error = error;
    pg->conn = PQconnectdbParams(names, values, 1);

    if (PQstatus(pg->conn) != CONNECTION_OK) {
        ngx_http_track_pg_failed(pg, pg->conn ? PQerrorMessage(pg->conn)
                                              : "no memory", NULL);
        ngx_http_track_pg_close(pg);
        return NULL;
    }

    (void) PQsetNoticeReceiver(pg->conn, ngx_http_track_pg_notice, NULL);

    res = ngx_http_track_pg_query(pg, "LISTEN track_schema",
                                  NGX_HTTP_TRACK_PG_DEADLINE);
    if (res == NULL) {
        ngx_http_track_pg_close(pg);
        return NULL;
    }

    PQclear(res);

    return pg;
}


void
ngx_http_track_pg_close(ngx_http_track_pg_t *pg)
{
    PQfinish(pg->conn);
    free(pg);
}


int
ngx_http_track_pg_wait(ngx_http_track_pg_t *pg, int timeout)
{
    int        rc;
    int64_t    until, now;
    PGnotify  *notify;

    until = ngx_http_track_pg_now() + timeout;

    for (rc = 0; ; rc = 0) {

        while ((notify = PQnotifies(pg->conn)) != NULL) {
            PQfreemem(notify);
            rc = 1;
        }

        now = ngx_http_track_pg_now();

        if (rc == 1 || now >= until) {
            return 0;
        }

        rc = ngx_http_track_poll(pg->stop_fd, PQsocket(pg->conn),
                                 (int) (until - now));
        if (rc == -1) {
            return -1;
        }

        if (rc == 1 && PQconsumeInput(pg->conn) == 0) {
            ngx_http_track_pg_failed(pg, PQerrorMessage(pg->conn), NULL);
            return -1;
        }
    }
}


int
ngx_http_track_pg_version(ngx_http_track_pg_t *pg, char *version, size_t size)
{
    PGresult  *res;

    res = ngx_http_track_pg_query(pg, NGX_HTTP_TRACK_PG_VERSION,
                                  NGX_HTTP_TRACK_PG_DEADLINE);
    if (res == NULL) {
        return -1;
    }

    if (PQntuples(res) != 1) {
        PQclear(res);
        ngx_http_track_pg_failed(pg, "table schema_version is empty",
                                 NULL);
        return -1;
    }

    snprintf(version, size, "%s %s", PQgetvalue(res, 0, 0),
             PQgetvalue(res, 0, 1));

    PQclear(res);

    return 0;
}


trk_schema_t *
ngx_http_track_pg_read(ngx_http_track_pg_t *pg, char *version, size_t size,
    char *refused)
{
    trk_schema_t              *schema;
    ngx_http_track_pg_rows_t   rows;

    refused[0] = '\0';
    schema = NULL;
    memset(&rows, 0, sizeof(rows));

    if (ngx_http_track_pg_rows(pg, &rows, version, size) == 0) {
        schema = ngx_http_track_pg_schema(version, &rows, refused);
    }

    ngx_http_track_pg_clear(&rows);

    return schema;
}


static int
ngx_http_track_pg_rows(ngx_http_track_pg_t *pg,
    ngx_http_track_pg_rows_t *rows, char *version, size_t size)
{
    size_t  i;

    struct {
        PGresult    **res;
        const char   *sql;
    } reads[] = {
        { &rows->types, NGX_HTTP_TRACK_PG_TYPES },
        { &rows->fields, NGX_HTTP_TRACK_PG_FIELDS },
        { &rows->sources, NGX_HTTP_TRACK_PG_SOURCES },
        { &rows->members, NGX_HTTP_TRACK_PG_MEMBERS },
        { &rows->tokens, NGX_HTTP_TRACK_PG_TOKENS }
    };

    rows->begin = ngx_http_track_pg_query(pg, "BEGIN ISOLATION LEVEL"
                                          " REPEATABLE READ READ ONLY",
                                          NGX_HTTP_TRACK_PG_DEADLINE);

    if (rows->begin == NULL
        || ngx_http_track_pg_version(pg, version, size) == -1)
    {
        return -1;
    }

    for (i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        *reads[i].res = ngx_http_track_pg_query(pg, reads[i].sql,
                                                NGX_HTTP_TRACK_PG_READ);
        if (*reads[i].res == NULL) {
            return -1;
        }
    }

    rows->end = ngx_http_track_pg_query(pg, "COMMIT",
                                        NGX_HTTP_TRACK_PG_DEADLINE);

    return rows->end ? 0 : -1;
}


static void
ngx_http_track_pg_clear(ngx_http_track_pg_rows_t *rows)
{
    PQclear(rows->begin);
    PQclear(rows->types);
    PQclear(rows->fields);
    PQclear(rows->sources);
    PQclear(rows->members);
    PQclear(rows->tokens);
    PQclear(rows->end);
}


static trk_schema_t *
ngx_http_track_pg_schema(const char *version, ngx_http_track_pg_rows_t *rows,
    char *error)
{
    trk_uuid_t     lineage;
    const char    *number;
    trk_schema_t  *schema;

    number = strchr(version, ' ') + 1;

    if (trk_uuid_parse(trk_str_of(version, (size_t) (number - version - 1)),
                       &lineage)
        != TRK_OK)
    {
        ngx_http_track_say(error, "track_schema_version() returned \"%s\"",
                           version);
        return NULL;
    }

    schema = trk_schema_create(&lineage, strtoull(number, NULL, 10));

    if (schema == NULL) {
        ngx_http_track_say(error, "no memory");
        return NULL;
    }

    if (ngx_http_track_pg_types(schema, rows->types, error) == 0
        && ngx_http_track_pg_fields(schema, rows->fields, error) == 0
        && ngx_http_track_pg_sources(schema, rows->sources, rows->members,
                                     error) == 0
        && ngx_http_track_pg_tokens(schema, rows->tokens, error) == 0)
    {
        switch (trk_schema_finish(schema)) {

        case TRK_OK:
            return schema;

        case TRK_INVALID:
            ngx_http_track_say(error, "%s", schema->error);
            break;

        default:
            ngx_http_track_say(error, "no memory");
        }
    }

    trk_schema_free(schema);

    return NULL;
}


static int
ngx_http_track_pg_types(trk_schema_t *schema, PGresult *types, char *error)
{
    int               row;
    trk_additional_t  additional;

    for (row = 0; row < PQntuples(types); row++) {

        if (trk_additional_parse(ngx_http_track_pg_value(types, row, 2),
                                 &additional)
            != TRK_OK)
        {
            ngx_http_track_say(error,
                               "event type \"%s\" has additional_fields "
                               "\"%s\"", PQgetvalue(types, row, 0),
                               PQgetvalue(types, row, 2));
            return -1;
        }

        if (trk_schema_add_type(schema,
                                ngx_http_track_pg_value(types, row, 0),
                                PQgetvalue(types, row, 1)[0] == 't',
                                additional)
            == NULL)
        {
            ngx_http_track_say(error, "no memory");
            return -1;
        }
    }

    return 0;
}


static int
ngx_http_track_pg_fields(trk_schema_t *schema, PGresult *fields, char *error)
{
    int               row;
    size_t            place;
    trk_data_type_t   data_type;

    for (row = 0; row < PQntuples(fields); row++) {
        place = strtoul(PQgetvalue(fields, row, 0), NULL, 10);

        if (place >= schema->ntypes
            || trk_data_type_parse(ngx_http_track_pg_value(fields, row, 2),
                                   &data_type)
               != TRK_OK)
        {
            ngx_http_track_say(error, "field \"%s\" of event type %s has "
                               "data_type \"%s\"",
                               PQgetvalue(fields, row, 1),
                               PQgetvalue(fields, row, 0),
                               PQgetvalue(fields, row, 2));
            return -1;
        }

        if (trk_schema_add_field(schema, &schema->types[place],
                                 ngx_http_track_pg_value(fields, row, 1),
                                 data_type,
                                 PQgetvalue(fields, row, 3)[0] == 't')
            != TRK_OK)
        {
            ngx_http_track_say(error, "no memory");
            return -1;
        }
    }

    return 0;
}


/* Both lists are in the order of the sources' names: takes the members of one
 * after another. */

static int
ngx_http_track_pg_sources(trk_schema_t *schema, PGresult *sources,
    PGresult *members, char *error)
{
    int                   row, member;
    trk_schema_source_t  *source;

    member = 0;

    for (row = 0; row < PQntuples(sources); row++) {
        source = trk_schema_add_source(schema,
                                   ngx_http_track_pg_value(sources, row, 0));
        if (source == NULL) {
            ngx_http_track_say(error, "no memory");
            return -1;
        }

        for ( /* void */ ; member < PQntuples(members); member++) {

            if (!trk_str_eq(ngx_http_track_pg_value(members, member, 0),
                            source->name))
            {
                break;
            }

            if (ngx_http_track_pg_member(schema, source, members, member)
                != TRK_OK)
            {
                ngx_http_track_say(error, "source \"%s\": \"%s\" of kind "
                                   "\"%s\" cannot be taken, or no memory",
                                   PQgetvalue(members, member, 0),
                                   PQgetvalue(members, member, 2),
                                   PQgetvalue(members, member, 1));
                return -1;
            }
        }
    }

    return 0;
}


static int
ngx_http_track_pg_member(trk_schema_t *schema, trk_schema_source_t *source,
    PGresult *members, int row)
{
    uint8_t    hash[TRK_SHA256_LEN];
    trk_str_t  value;

    value = ngx_http_track_pg_value(members, row, 2);

    switch (PQgetvalue(members, row, 1)[0]) {

    case 'o':
        return trk_schema_add_origin(schema, source, value);

    case 't':
        return trk_schema_add_allowed(schema, source, value);

    default: /* 'k' */
        return ngx_http_track_pg_hash(members, row, 2, hash) == 0
               ? trk_schema_add_key(schema, source->name, hash)
               : TRK_INVALID;
    }
}


static int
ngx_http_track_pg_tokens(trk_schema_t *schema, PGresult *tokens, char *error)
{
    int      row;
    int64_t  expires;
    uint8_t  hash[TRK_SHA256_LEN];

    for (row = 0; row < PQntuples(tokens); row++) {

        if (ngx_http_track_pg_hash(tokens, row, 0, hash) == -1) {
            ngx_http_track_say(error, "an admin token has token_hash \"%s\"",
                               PQgetvalue(tokens, row, 0));
            return -1;
        }

        expires = PQgetisnull(tokens, row, 1)
                  ? TRK_SCHEMA_NEVER
                  : strtoll(PQgetvalue(tokens, row, 1), NULL, 10);

        if (trk_schema_add_token(schema, hash, expires) != TRK_OK) {
            ngx_http_track_say(error, "no memory");
            return -1;
        }
    }

    return 0;
}


static int
ngx_http_track_pg_hash(PGresult *res, int row, int column,
    uint8_t hash[TRK_SHA256_LEN])
{
    trk_str_t  hex;

    hex = ngx_http_track_pg_value(res, row, column);

    return hex.n == 2 * TRK_SHA256_LEN && trk_unhex(hash, hex) == TRK_OK
           ? 0 : -1;
}


static trk_str_t
ngx_http_track_pg_value(PGresult *res, int row, int column)
{
    return trk_str_of(PQgetvalue(res, row, column),
                      (size_t) PQgetlength(res, row, column));
}


/* One statement; NULL with pg->error: failed, the connection is of no use
 * any more. */

static PGresult *
ngx_http_track_pg_query(ngx_http_track_pg_t *pg, const char *sql, int timeout)
{
    int64_t    until;
    PGresult  *res, *next;

    until = ngx_http_track_pg_now() + timeout;

    if (PQsendQuery(pg->conn, sql) == 0) {
        ngx_http_track_pg_failed(pg, PQerrorMessage(pg->conn), NULL);
        return NULL;
    }

    res = NULL;

    for ( ;; ) {
        if (ngx_http_track_pg_settle(pg, until) == -1) {
            PQclear(res);
            return NULL;
        }

        next = PQgetResult(pg->conn);

        if (next == NULL) {
            break;
        }

        PQclear(res);
        res = next;
    }

    if (PQresultStatus(res) != PGRES_TUPLES_OK
        && PQresultStatus(res) != PGRES_COMMAND_OK)
    {
        ngx_http_track_pg_failed(pg, PQresultErrorMessage(res),
                                 PQresultErrorField(res, PG_DIAG_SQLSTATE));
        PQclear(res);
        return NULL;
    }

    return res;
}


/* Until PQgetResult() does not block. */

static int
ngx_http_track_pg_settle(ngx_http_track_pg_t *pg, int64_t until)
{
    int      rc;
    int64_t  now;

    while (PQisBusy(pg->conn)) {
        now = ngx_http_track_pg_now();

        rc = ngx_http_track_poll(pg->stop_fd, PQsocket(pg->conn),
                                 now < until ? (int) (until - now) : 0);
        if (rc == -1) {
            return -1;
        }

        if (rc == 0) {
            ngx_http_track_pg_failed(pg, "no answer in time", NULL);
            return -1;
        }

        if (PQconsumeInput(pg->conn) == 0) {
            ngx_http_track_pg_failed(pg, PQerrorMessage(pg->conn), NULL);
            return -1;
        }
    }

    return 0;
}


static int64_t
ngx_http_track_pg_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* state: SQLSTATE, or NULL */

static void
ngx_http_track_pg_failed(ngx_http_track_pg_t *pg, const char *message,
    const char *state)
{
    const char  *advice;

    advice = "";

    if (state && (strcmp(state, "42883") == 0 || strcmp(state, "42P01") == 0))
    {
        advice = "; apply migrations/postgres (track-loader migrate)";

    } else if (state && strcmp(state, "42501") == 0) {
        advice = "; nginx reads with the rights of role track_reader";
    }

    ngx_http_track_say(pg->error, "%.*s%s",
                       (int) ngx_min(strcspn(message, "\n"),
                                     NGX_HTTP_TRACK_ERROR_LEN
                                     - strlen(advice) - 1),
                       message, advice);
}


/* libpq's own would print to standard error */

static void
ngx_http_track_pg_notice(void *data, const PGresult *res)
{
    /* void */
}
