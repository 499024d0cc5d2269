/*
 * The schema in ordinary memory.  See trk_schema.h.
 */

#include "trk_schema.h"
#include "trk_utf8.h"

#include <stdio.h>
#include <stdlib.h>


#define TRK_SCHEMA_CHUNK  65536     /* bytes of names allocated at once */


struct trk_schema_chunk_s {
    trk_schema_chunk_t  *next;
    size_t               n;
    uint8_t              bytes[TRK_SCHEMA_CHUNK];
};


static int trk_schema_copy(trk_schema_t *schema, trk_str_t *name);
static int trk_schema_type_cmp(const void *one, const void *two);
static int trk_schema_field_cmp(const void *one, const void *two);
static int trk_schema_fail(trk_schema_t *schema, const char *what,
    trk_str_t type, trk_str_t field);
static int trk_schema_type_name_ok(trk_str_t name);
static int trk_schema_field_name_ok(trk_str_t name);
static int trk_schema_check_type(trk_schema_t *schema,
    const trk_schema_type_t *type);
static int trk_schema_check_data_types(trk_schema_t *schema);
static int trk_word_index(trk_str_t name, const char *const *words, size_t n);


static const char *const  trk_data_type_names[] = {
    "", "string", "int", "float", "bool", "timestamp", "string[]", "json"
};

static const char *const  trk_additional_names[] = {
    "reject", "drop", "keep"
};


trk_schema_t *
trk_schema_create(const trk_uuid_t *lineage, uint64_t version)
{
    trk_schema_t  *schema;

    schema = calloc(1, sizeof(*schema));

    if (schema != NULL) {
        schema->lineage = *lineage;
        schema->version = version;
    }

    return schema;
}


void
trk_schema_free(trk_schema_t *schema)
{
    size_t               i;
    trk_schema_chunk_t  *chunk, *next;

    if (schema == NULL) {
        return;
    }

    for (i = 0; i < schema->ntypes; i++) {
        free(schema->types[i].fields);
    }

    for (chunk = schema->chunks; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }

    free(schema->types);
    free(schema);
}


/* Moves the view to a copy of its bytes that lives as long as the schema. */

static int
trk_schema_copy(trk_schema_t *schema, trk_str_t *name)
{
    trk_schema_chunk_t  *chunk;

    if (name->n > TRK_EVENT_TYPE_MAX) {

        /* trk_schema_finish() will refuse it; its beginning is enough */

        name->n = TRK_EVENT_TYPE_MAX + 1;
    }

    chunk = schema->chunks;

    if (chunk == NULL || name->n > TRK_SCHEMA_CHUNK - chunk->n) {

        chunk = malloc(sizeof(*chunk));
        if (chunk == NULL) {
            return TRK_NOMEM;
        }

        chunk->n = 0;
        chunk->next = schema->chunks;
        schema->chunks = chunk;
    }

    if (name->n > 0) {
        memcpy(chunk->bytes + chunk->n, name->p, name->n);
    }

    name->p = chunk->bytes + chunk->n;
    chunk->n += name->n;

    return TRK_OK;
}


trk_schema_type_t *
trk_schema_add_type(trk_schema_t *schema, trk_str_t name, int enabled,
    trk_additional_t additional)
{
    size_t              cap;
    trk_schema_type_t  *types;

    if (schema->ntypes == schema->cap) {

        cap = schema->cap ? schema->cap * 2 : 16;

        types = realloc(schema->types, cap * sizeof(*types));
        if (types == NULL) {
            return NULL;
        }

        schema->types = types;
        schema->cap = cap;
    }

    if (trk_schema_copy(schema, &name) != TRK_OK) {
        return NULL;
    }

    types = &schema->types[schema->ntypes++];

    *types = (trk_schema_type_t) {
        .name = name, .enabled = enabled, .additional = additional
    };

    return types;
}


int
trk_schema_add_field(trk_schema_t *schema, trk_schema_type_t *type,
    trk_str_t name, trk_data_type_t data_type, int required)
{
    size_t               cap;
    trk_schema_field_t  *fields;

    if (type->nfields == type->cap) {

        cap = type->cap ? type->cap * 2 : 8;

        fields = realloc(type->fields, cap * sizeof(*fields));
        if (fields == NULL) {
            return TRK_NOMEM;
        }

        type->fields = fields;
        type->cap = cap;
    }

    if (trk_schema_copy(schema, &name) != TRK_OK) {
        return TRK_NOMEM;
    }

    type->fields[type->nfields++] = (trk_schema_field_t) {
        .name = name, .data_type = data_type, .required = required
    };

    return TRK_OK;
}


int
trk_schema_finish(trk_schema_t *schema)
{
    size_t              i;
    trk_schema_type_t  *type;

    if (schema->ntypes > 1) {
        qsort(schema->types, schema->ntypes, sizeof(*schema->types),
              trk_schema_type_cmp);
    }

    for (i = 0; i < schema->ntypes; i++) {
        type = &schema->types[i];

        if (i > 0 && trk_str_eq(type->name, type[-1].name)) {
            return trk_schema_fail(schema, "event type is there twice",
                                   type->name, trk_null);
        }

        if (type->nfields > 1) {
            qsort(type->fields, type->nfields, sizeof(*type->fields),
                  trk_schema_field_cmp);
        }

        if (trk_schema_check_type(schema, type) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    return trk_schema_check_data_types(schema);
}


static int
trk_schema_type_cmp(const void *one, const void *two)
{
    const trk_schema_type_t  *a, *b;

    a = one;
    b = two;

    return trk_str_cmp(a->name, b->name);
}


static int
trk_schema_field_cmp(const void *one, const void *two)
{
    const trk_schema_field_t  *a, *b;

    a = one;
    b = two;

    return trk_str_cmp(a->name, b->name);
}


static int
trk_schema_fail(trk_schema_t *schema, const char *what, trk_str_t type,
    trk_str_t field)
{
    (void) snprintf(schema->error, sizeof(schema->error),
                    "%s: event type \"%.*s\"%s%.*s%s", what,
                    (int) type.n, type.p ? (const char *) type.p : "",
                    field.n ? ", field \"" : "",
                    (int) field.n, field.p ? (const char *) field.p : "",
                    field.n ? "\"" : "");

    return TRK_INVALID;
}


static int
trk_schema_check_type(trk_schema_t *schema, const trk_schema_type_t *type)
{
    size_t                     i;
    const trk_schema_field_t  *field;

    if (!trk_schema_type_name_ok(type->name)) {
        return trk_schema_fail(schema, "bad name of an event type",
                               type->name, trk_null);
    }

    for (i = 0; i < type->nfields; i++) {
        field = &type->fields[i];

        if (!trk_schema_field_name_ok(field->name)) {
            return trk_schema_fail(schema, "bad name of a field", type->name,
                                   field->name);
        }

        if (i > 0 && trk_str_eq(field->name, field[-1].name)) {
            return trk_schema_fail(schema, "field is there twice",
                                   type->name, field->name);
        }
    }

    return TRK_OK;
}


static int
trk_schema_type_name_ok(trk_str_t name)
{
    size_t  i, n;

    if (name.n == 0 || name.n > TRK_EVENT_TYPE_MAX) {
        return 0;
    }

    for (i = 0; i < name.n; i += n) {
        n = trk_utf8_next(name.p + i, name.n - i);

        if (n == 0 || name.p[i] < 0x20 || name.p[i] == 0x7F
            || (n == 2 && name.p[i] == 0xC2 && name.p[i + 1] < 0xA0))
        {
            return 0;
        }
    }

    return 1;
}


static int
trk_schema_field_name_ok(trk_str_t name)
{
    size_t   i;
    uint8_t  c;

    if (name.n == 0 || name.n > TRK_FIELD_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < name.n; i++) {
        c = name.p[i];

        if ((uint8_t) ((c | 0x20) - 'a') > 25 && c != '_'
            && !(i > 0 && (uint8_t) (c - '0') <= 9))
        {
            return 0;
        }
    }

    return 1;
}


/* One field name has one type across all event types: it is one column. */

static int
trk_schema_check_data_types(trk_schema_t *schema)
{
    size_t               i, k, n;
    trk_schema_field_t  *all;

    for (i = 0, n = 0; i < schema->ntypes; i++) {
        n += schema->types[i].nfields;
    }

    if (n == 0) {
        return TRK_OK;
    }

    all = malloc(n * sizeof(*all));
    if (all == NULL) {
        return TRK_NOMEM;
    }

    for (i = 0, k = 0; i < schema->ntypes; i++) {

        if (schema->types[i].nfields > 0) {
            memcpy(all + k, schema->types[i].fields,
                   schema->types[i].nfields * sizeof(*all));
            k += schema->types[i].nfields;
        }
    }

    qsort(all, n, sizeof(*all), trk_schema_field_cmp);

    for (i = 1; i < n; i++) {

        if (trk_str_eq(all[i].name, all[i - 1].name)
            && all[i].data_type != all[i - 1].data_type)
        {
            (void) trk_schema_fail(schema, "field has two data types",
                                   trk_str("*"), all[i].name);
            free(all);
            return TRK_INVALID;
        }
    }

    free(all);

    return TRK_OK;
}


static int
trk_word_index(trk_str_t name, const char *const *words, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (trk_str_eq(name, trk_str_of(words[i], strlen(words[i])))) {
            return (int) i;
        }
    }

    return -1;
}


int
trk_data_type_parse(trk_str_t name, trk_data_type_t *type)
{
    int  i;

    i = trk_word_index(name, trk_data_type_names,
                       sizeof(trk_data_type_names) / sizeof(char *));

    if (i < TRK_TYPE_STRING) {
        return TRK_INVALID;
    }

    *type = (trk_data_type_t) i;

    return TRK_OK;
}


const char *
trk_data_type_name(trk_data_type_t type)
{
    return trk_data_type_names[type];
}


int
trk_additional_parse(trk_str_t name, trk_additional_t *a)
{
    int  i;

    i = trk_word_index(name, trk_additional_names,
                       sizeof(trk_additional_names) / sizeof(char *));

    if (i == -1) {
        return TRK_INVALID;
    }

    *a = (trk_additional_t) i;

    return TRK_OK;
}


const char *
trk_additional_name(trk_additional_t a)
{
    return trk_additional_names[a];
}


size_t
trk_schema_version_format(const trk_uuid_t *lineage, uint64_t version,
    char *dst)
{
    char    digits[24];
    size_t  n;

    trk_hex(dst, lineage->b, 4);
    dst[8] = '-';

    n = (size_t) snprintf(digits, sizeof(digits), "%llu",
                          (unsigned long long) version);
    memcpy(dst + 9, digits, n);

    return 9 + n;
}
