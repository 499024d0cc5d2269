/*
 * A schema brought into its canonical order, and checked.  See trk_schema.h.
 */

#include "trk_schema.h"
#include "trk_hash.h"
#include "trk_origin.h"
#include "trk_utf8.h"

#include <stdio.h>
#include <stdlib.h>


static void trk_schema_sort(void *items, size_t n, size_t size,
    int (*cmp)(const void *, const void *));
static int trk_schema_finish_types(trk_schema_t *schema);
static int trk_schema_finish_sources(trk_schema_t *schema);
static int trk_schema_check_source(trk_schema_t *schema,
    const trk_schema_source_t *source);
static int trk_schema_finish_secrets(trk_schema_t *schema);
static int trk_schema_type_cmp(const void *one, const void *two);
static int trk_schema_field_cmp(const void *one, const void *two);
static int trk_schema_source_cmp(const void *one, const void *two);
static int trk_schema_text_cmp(const void *one, const void *two);
static int trk_schema_hash_cmp(const void *one, const void *two);
static int trk_schema_token_cmp(const void *one, const void *two);
static int trk_schema_fail(trk_schema_t *schema, const char *what,
    trk_str_t type, trk_str_t field);
static int trk_schema_fail_source(trk_schema_t *schema, const char *what,
    trk_str_t source, trk_str_t text);
static int trk_schema_name_ok(trk_str_t name);
static int trk_schema_field_name_ok(trk_str_t name);
static int trk_schema_check_type(trk_schema_t *schema,
    const trk_schema_type_t *type);
static int trk_schema_reserved(trk_str_t name);
static int trk_schema_check_data_types(trk_schema_t *schema);
static int trk_schema_claim(trk_schema_t *schema,
    const trk_schema_field_t **table, size_t mask,
    const trk_schema_type_t *type, const trk_schema_field_t *field);


int
trk_schema_finish(trk_schema_t *schema)
{
    int  rc;

    rc = trk_schema_finish_types(schema);

    if (rc == TRK_OK) {
        rc = trk_schema_check_data_types(schema);
    }

    if (rc == TRK_OK) {
        rc = trk_schema_finish_sources(schema);
    }

    if (rc == TRK_OK) {
        rc = trk_schema_finish_secrets(schema);
    }

    return rc;
}


/* qsort() of none may not be given NULL */

static void
trk_schema_sort(void *items, size_t n, size_t size,
    int (*cmp)(const void *, const void *))
{
    if (n > 1) {
        qsort(items, n, size, cmp);
    }
}


static int
trk_schema_finish_types(trk_schema_t *schema)
{
    size_t              i;
    trk_schema_type_t  *type;

    trk_schema_sort(schema->types, schema->ntypes, sizeof(*schema->types),
                    trk_schema_type_cmp);

    for (i = 0; i < schema->ntypes; i++) {
        type = &schema->types[i];

        if (i > 0 && trk_str_eq(type->name, type[-1].name)) {
            return trk_schema_fail(schema, "event type is there twice",
                                   type->name, trk_null);
        }

        trk_schema_sort(type->fields, type->nfields, sizeof(*type->fields),
                        trk_schema_field_cmp);

        if (trk_schema_check_type(schema, type) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    return TRK_OK;
}


static int
trk_schema_finish_sources(trk_schema_t *schema)
{
    size_t                i;
    trk_schema_source_t  *source;

    trk_schema_sort(schema->sources, schema->nsources,
                    sizeof(*schema->sources), trk_schema_source_cmp);

    for (i = 0; i < schema->nsources; i++) {
        source = &schema->sources[i];

        if (!trk_schema_name_ok(source->name)) {
            return trk_schema_fail_source(schema, "bad name", source->name,
                                          trk_null);
        }

        if (i > 0 && trk_str_eq(source->name, source[-1].name)) {
            return trk_schema_fail_source(schema, "it is there twice",
                                          source->name, trk_null);
        }

        trk_schema_sort(source->origins.items, source->origins.n,
                        sizeof(trk_str_t), trk_schema_text_cmp);
        trk_schema_sort(source->types.items, source->types.n,
                        sizeof(trk_str_t), trk_schema_text_cmp);

        if (trk_schema_check_source(schema, source) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    return TRK_OK;
}


static int
trk_schema_check_source(trk_schema_t *schema,
    const trk_schema_source_t *source)
{
    size_t             i;
    trk_origin_text_t  text;

    for (i = 0; i < source->origins.n; i++) {
        if (trk_origin_pattern(&text, source->origins.items[i]) != TRK_OK) {
            return trk_schema_fail_source(schema, "no origin",
                                          source->name,
                                          source->origins.items[i]);
        }
    }

    for (i = 0; i < source->types.n; i++) {
        if (!trk_schema_name_ok(source->types.items[i])) {
            return trk_schema_fail_source(schema,
                                          "bad name of an event type",
                                          source->name,
                                          source->types.items[i]);
        }
    }

    return TRK_OK;
}


/* Keys and tokens.  Their hashes are not named in errors: they say nothing
 * to anybody. */

static int
trk_schema_finish_secrets(trk_schema_t *schema)
{
    size_t                     i;
    const trk_schema_key_t    *key;
    const trk_schema_token_t  *token;

    trk_schema_sort(schema->keys, schema->nkeys, sizeof(*schema->keys),
                    trk_schema_hash_cmp);
    trk_schema_sort(schema->tokens, schema->ntokens,
                    sizeof(*schema->tokens), trk_schema_token_cmp);

    for (i = 0; i < schema->nkeys; i++) {
        key = &schema->keys[i];

        if (trk_schema_source(schema, key->source) == NULL) {
            return trk_schema_fail_source(schema, "a key of no source",
                                          key->source, trk_null);
        }

        if (i > 0 && trk_schema_hash_cmp(key, key - 1) == 0) {
            return trk_schema_fail_source(schema, "a key is there twice",
                                          key->source, trk_null);
        }
    }

    for (i = 1; i < schema->ntokens; i++) {
        token = &schema->tokens[i];

        if (trk_schema_token_cmp(token, token - 1) == 0) {
            (void) snprintf(schema->error, sizeof(schema->error),
                            "an admin token is there twice");
            return TRK_INVALID;
        }
    }

    return TRK_OK;
}


trk_schema_source_t *
trk_schema_source(const trk_schema_t *schema, trk_str_t name)
{
    const trk_schema_source_t  wanted = { .name = name };

    if (schema->nsources == 0) {
        return NULL;
    }

    return bsearch(&wanted, schema->sources, schema->nsources,
                   sizeof(wanted), trk_schema_source_cmp);
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
trk_schema_source_cmp(const void *one, const void *two)
{
    const trk_schema_source_t  *a, *b;

    a = one;
    b = two;

    return trk_str_cmp(a->name, b->name);
}


static int
trk_schema_text_cmp(const void *one, const void *two)
{
    const trk_str_t  *a, *b;

    a = one;
    b = two;

    return trk_str_cmp(*a, *b);
}


static int
trk_schema_hash_cmp(const void *one, const void *two)
{
    const trk_schema_key_t  *a, *b;

    a = one;
    b = two;

    return memcmp(a->hash, b->hash, TRK_SHA256_LEN);
}


static int
trk_schema_token_cmp(const void *one, const void *two)
{
    const trk_schema_token_t  *a, *b;

    a = one;
    b = two;

    return memcmp(a->hash, b->hash, TRK_SHA256_LEN);
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
trk_schema_fail_source(trk_schema_t *schema, const char *what,
    trk_str_t source, trk_str_t text)
{
    (void) snprintf(schema->error, sizeof(schema->error),
                    "source \"%.*s\": %s%s%.*s%s", (int) source.n,
                    source.p ? (const char *) source.p : "", what,
                    text.n ? ": \"" : "", (int) text.n,
                    text.p ? (const char *) text.p : "", text.n ? "\"" : "");

    return TRK_INVALID;
}


static int
trk_schema_check_type(trk_schema_t *schema, const trk_schema_type_t *type)
{
    size_t                     i;
    const trk_schema_field_t  *field;

    if (!trk_schema_name_ok(type->name)) {
        return trk_schema_fail(schema, "bad name of an event type",
                               type->name, trk_null);
    }

    for (i = 0; i < type->nfields; i++) {
        field = &type->fields[i];

        if (trk_schema_reserved(field->name)) {
            return trk_schema_fail(schema, "reserved name of a field",
                                   type->name, field->name);
        }

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
trk_schema_name_ok(trk_str_t name)
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


/* JavaScript gives these names a meaning of their own. */

static int
trk_schema_reserved(trk_str_t name)
{
    return trk_str_eq(name, trk_str("__proto__"))
           || trk_str_eq(name, trk_str("constructor"))
           || trk_str_eq(name, trk_str("prototype"));
}


/* One field name has one type across all event types: it is one column.  A
 * table, not a sort: there may be 200,000 fields with 20 names. */

static int
trk_schema_check_data_types(trk_schema_t *schema)
{
    int                        rc;
    size_t                     i, k, n, slots;
    const trk_schema_type_t   *type;
    const trk_schema_field_t **table;

    for (i = 0, n = 0; i < schema->ntypes; i++) {
        n += schema->types[i].nfields;
    }

    for (slots = 2; slots < n * 2; slots *= 2) { /* void */ }

    table = calloc(slots, sizeof(*table));
    if (table == NULL) {
        return TRK_NOMEM;
    }

    rc = TRK_OK;

    for (i = 0; i < schema->ntypes && rc == TRK_OK; i++) {
        type = &schema->types[i];

        for (k = 0; k < type->nfields && rc == TRK_OK; k++) {
            rc = trk_schema_claim(schema, table, slots - 1, type,
                                  &type->fields[k]);
        }
    }

    free(table);

    return rc;
}


static int
trk_schema_claim(trk_schema_t *schema, const trk_schema_field_t **table,
    size_t mask, const trk_schema_type_t *type,
    const trk_schema_field_t *field)
{
    size_t  i;

    for (i = trk_hash(field->name) & mask;
         table[i] != NULL && !trk_str_eq(table[i]->name, field->name);
         i = (i + 1) & mask) { /* void */ }

    if (table[i] == NULL) {
        table[i] = field;
    }

    return table[i]->data_type == field->data_type
           ? TRK_OK
           : trk_schema_fail(schema, "field has two data types", type->name,
                             field->name);
}
