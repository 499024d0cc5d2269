/*
 * The schema as PostgreSQL's rows tell it: event types and their fields, and
 * who may send, in ordinary memory.  Made by whoever reads it (from libpq,
 * from the schema file), compiled into an image (trk_image.h) by the module,
 * walked by the loader to know its columns.  Cold: nothing here runs for an
 * event.
 *
 * Of sources, keys and tokens only those in force are in it: a revoked key
 * or a disabled source is simply not there.
 */

#ifndef TRK_SCHEMA_H
#define TRK_SCHEMA_H

#include "trk.h"
#include "trk_id.h"
#include "trk_sha256.h"


typedef enum {
    TRK_TYPE_STRING = 1,
    TRK_TYPE_INT,
    TRK_TYPE_FLOAT,
    TRK_TYPE_BOOL,
    TRK_TYPE_TIMESTAMP,
    TRK_TYPE_STRINGS,           /* "string[]" */
    TRK_TYPE_JSON
} trk_data_type_t;

typedef enum {
    TRK_ADDITIONAL_REJECT = 0,
    TRK_ADDITIONAL_DROP,
    TRK_ADDITIONAL_KEEP
} trk_additional_t;

#define TRK_EVENT_TYPE_MAX  128     /* bytes of an event type's name */
#define TRK_FIELD_NAME_MAX  63      /* bytes of a field's name */
#define TRK_SOURCE_NAME_MAX 128     /* bytes of a source's name */

#define TRK_SCHEMA_ERROR_MAX    512 /* bytes of a sentence, with its NUL */
#define TRK_SCHEMA_VERSION_MAX  29  /* "3f2a9c01-18446744073709551615" */


typedef struct {
    trk_str_t        name;
    trk_data_type_t  data_type;
    int              required;
} trk_schema_field_t;

typedef struct {
    trk_str_t            name;
    int                  enabled;
    trk_additional_t     additional;
    trk_schema_field_t  *fields;
    size_t               nfields;
    size_t               cap;
} trk_schema_type_t;

typedef struct {
    trk_str_t           *items;
    size_t               n;
    size_t               cap;
} trk_schema_list_t;

typedef struct {
    trk_str_t            name;
    trk_schema_list_t    origins;   /* patterns of trk_origin.h; none: any */
    trk_schema_list_t    types;     /* names, defined or not; none: all */
} trk_schema_source_t;

typedef struct {
    uint8_t              hash[TRK_SHA256_LEN];  /* of the key */
    trk_str_t            source;                /* its name */
} trk_schema_key_t;

typedef struct {
    uint8_t              hash[TRK_SHA256_LEN];  /* of the token */
    int64_t              expires;   /* ms since the epoch */
} trk_schema_token_t;

#define TRK_SCHEMA_NEVER  INT64_MAX     /* trk_schema_token_t.expires */


typedef struct trk_schema_chunk_s  trk_schema_chunk_t;

typedef struct {
    trk_uuid_t            lineage;
    uint64_t              version;
    trk_schema_type_t    *types;
    size_t                ntypes;
    size_t                types_cap;
    trk_schema_source_t  *sources;
    size_t                nsources;
    size_t                sources_cap;
    trk_schema_key_t     *keys;
    size_t                nkeys;
    size_t                keys_cap;
    trk_schema_token_t   *tokens;   /* that may read track_live */
    size_t                ntokens;
    size_t                tokens_cap;
    trk_schema_chunk_t   *chunks;   /* where the names live */
    char                  error[TRK_SCHEMA_ERROR_MAX];
                                    /* after TRK_INVALID: a sentence */
} trk_schema_t;


/* An empty schema, or NULL: no memory. */
trk_schema_t *trk_schema_create(const trk_uuid_t *lineage, uint64_t version);
void trk_schema_free(trk_schema_t *schema);

/* Appends an event type and returns it, or NULL: no memory.  The name is
 * copied.  The pointer is good until the next type is added. */
trk_schema_type_t *trk_schema_add_type(trk_schema_t *schema, trk_str_t name,
    int enabled, trk_additional_t additional);

/* Appends a field to a type; the name is copied.  TRK_OK, TRK_NOMEM. */
TRK_MUSTCHECK int trk_schema_add_field(trk_schema_t *schema,
    trk_schema_type_t *type, trk_str_t name, trk_data_type_t data_type,
    int required);

/* Appends a source and returns it, or NULL: no memory.  The pointer is good
 * until the next source is added. */
trk_schema_source_t *trk_schema_add_source(trk_schema_t *schema,
    trk_str_t name);

/* Append what a source may be sent from, and what it may send; copied.
 * TRK_OK, TRK_NOMEM. */
TRK_MUSTCHECK int trk_schema_add_origin(trk_schema_t *schema,
    trk_schema_source_t *source, trk_str_t pattern);
TRK_MUSTCHECK int trk_schema_add_allowed(trk_schema_t *schema,
    trk_schema_source_t *source, trk_str_t event_type);

/* Append the hash of a write key of the source of that name, and of an admin
 * token; copied.  TRK_OK, TRK_NOMEM. */
TRK_MUSTCHECK int trk_schema_add_key(trk_schema_t *schema, trk_str_t source,
    const uint8_t hash[TRK_SHA256_LEN]);
TRK_MUSTCHECK int trk_schema_add_token(trk_schema_t *schema,
    const uint8_t hash[TRK_SHA256_LEN], int64_t expires);

/*
 * Brings the schema into its canonical order (everything bytewise; origins in
 * the spelling that they are compared in) and checks it: names within their
 * rules, none twice, one data type a field name throughout, origins that are
 * patterns, keys of sources that are there.  TRK_OK; TRK_INVALID:
 * schema->error; TRK_NOMEM.
 */
TRK_MUSTCHECK int trk_schema_finish(trk_schema_t *schema);

/* "string[]" and so on.  TRK_INVALID: no data type has that name. */
TRK_MUSTCHECK int trk_data_type_parse(trk_str_t name, trk_data_type_t *type);
const char *trk_data_type_name(trk_data_type_t type);

/* "reject", "drop", "keep". */
TRK_MUSTCHECK int trk_additional_parse(trk_str_t name, trk_additional_t *a);
const char *trk_additional_name(trk_additional_t a);

/* The source of that name in a finished schema; NULL: there is none. */
trk_schema_source_t *trk_schema_source(const trk_schema_t *schema,
    trk_str_t name);

/* The schema_version of records: first 8 hex digits of the lineage, "-",
 * the number.  Writes at most TRK_SCHEMA_VERSION_MAX bytes, no NUL; returns
 * how many. */
size_t trk_schema_version_format(const trk_uuid_t *lineage, uint64_t version,
    char *dst);


#endif /* TRK_SCHEMA_H */
