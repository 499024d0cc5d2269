/*
 * The schema as PostgreSQL's rows tell it: event types and their fields, in
 * ordinary memory.  Made by whoever reads it (from libpq, from the schema
 * file), compiled into an image (trk_image.h) by the module, walked by the
 * loader to know its columns.  Cold: nothing here runs for an event.
 */

#ifndef TRK_SCHEMA_H
#define TRK_SCHEMA_H

#include "trk.h"
#include "trk_id.h"


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

typedef struct trk_schema_chunk_s  trk_schema_chunk_t;

typedef struct {
    trk_uuid_t           lineage;
    uint64_t             version;
    trk_schema_type_t   *types;
    size_t               ntypes;
    size_t               cap;
    trk_schema_chunk_t  *chunks;    /* where the names live */
    char                 error[256];    /* after TRK_INVALID: a sentence */
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

/*
 * Brings the schema into its canonical order (types, then fields, bytewise)
 * and checks it: names within their rules, none twice, one data type a field
 * name throughout.  TRK_OK; TRK_INVALID: schema->error; TRK_NOMEM.
 */
TRK_MUSTCHECK int trk_schema_finish(trk_schema_t *schema);

/* "string[]" and so on.  TRK_INVALID: no data type has that name. */
TRK_MUSTCHECK int trk_data_type_parse(trk_str_t name, trk_data_type_t *type);
const char *trk_data_type_name(trk_data_type_t type);

/* "reject", "drop", "keep". */
TRK_MUSTCHECK int trk_additional_parse(trk_str_t name, trk_additional_t *a);
const char *trk_additional_name(trk_additional_t a);

/* The schema_version of records: first 8 hex digits of the lineage, "-",
 * the number.  Writes at most TRK_SCHEMA_VERSION_MAX bytes, no NUL; returns
 * how many. */
size_t trk_schema_version_format(const trk_uuid_t *lineage, uint64_t version,
    char *dst);


#endif /* TRK_SCHEMA_H */
