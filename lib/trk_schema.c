/*
 * The schema in ordinary memory: its parts, and the names of what they can
 * be.  See trk_schema.h.
 */

#include "trk_schema.h"
#include "trk_origin.h"

#include <stdio.h>
#include <stdlib.h>


#define TRK_SCHEMA_CHUNK  65536     /* bytes of names allocated at once */
#define TRK_SCHEMA_TEXT   512       /* bytes kept of one: more than is valid */


struct trk_schema_chunk_s {
    trk_schema_chunk_t  *next;
    size_t               n;
    uint8_t              bytes[TRK_SCHEMA_CHUNK];
};


static int trk_schema_copy(trk_schema_t *schema, trk_str_t *name);
static void *trk_schema_grow(void *items, size_t n, size_t *cap, size_t size);
static int trk_schema_append(trk_schema_t *schema, trk_schema_list_t *list,
    trk_str_t text);
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

    for (i = 0; i < schema->nsources; i++) {
        free(schema->sources[i].origins.items);
        free(schema->sources[i].types.items);
    }

    free(schema->types);
    free(schema->sources);
    free(schema->keys);
    free(schema->tokens);
    free(schema);
}


/* Moves the view to a copy of its bytes that lives as long as the schema. */

static int
trk_schema_copy(trk_schema_t *schema, trk_str_t *name)
{
    trk_schema_chunk_t  *chunk;

    if (name->n > TRK_SCHEMA_TEXT) {

        /* trk_schema_finish() will refuse it; its beginning is enough */

        name->n = TRK_SCHEMA_TEXT;
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


/* Room for one more item of size bytes: the array, moved or not.  NULL: no
 * memory, and the array is as it was. */

static void *
trk_schema_grow(void *items, size_t n, size_t *cap, size_t size)
{
    void    *grown;
    size_t   more;

    if (n < *cap) {
        return items;
    }

    more = *cap ? *cap * 2 : 8;
    grown = realloc(items, more * size);

    if (grown != NULL) {
        *cap = more;
    }

    return grown;
}


trk_schema_type_t *
trk_schema_add_type(trk_schema_t *schema, trk_str_t name, int enabled,
    trk_additional_t additional)
{
    trk_schema_type_t  *types;

    types = trk_schema_grow(schema->types, schema->ntypes,
                            &schema->types_cap, sizeof(*types));
    if (types == NULL) {
        return NULL;
    }

    schema->types = types;

    if (trk_schema_copy(schema, &name) != TRK_OK) {
        return NULL;
    }

    types += schema->ntypes++;

    *types = (trk_schema_type_t) {
        .name = name, .enabled = enabled, .additional = additional
    };

    return types;
}


int
trk_schema_add_field(trk_schema_t *schema, trk_schema_type_t *type,
    trk_str_t name, trk_data_type_t data_type, int required)
{
    trk_schema_field_t  *fields;

    fields = trk_schema_grow(type->fields, type->nfields, &type->cap,
                             sizeof(*fields));
    if (fields == NULL) {
        return TRK_NOMEM;
    }

    type->fields = fields;

    if (trk_schema_copy(schema, &name) != TRK_OK) {
        return TRK_NOMEM;
    }

    type->fields[type->nfields++] = (trk_schema_field_t) {
        .name = name, .data_type = data_type, .required = required
    };

    return TRK_OK;
}


trk_schema_source_t *
trk_schema_add_source(trk_schema_t *schema, trk_str_t name)
{
    trk_schema_source_t  *sources;

    sources = trk_schema_grow(schema->sources, schema->nsources,
                              &schema->sources_cap, sizeof(*sources));
    if (sources == NULL) {
        return NULL;
    }

    schema->sources = sources;

    if (trk_schema_copy(schema, &name) != TRK_OK) {
        return NULL;
    }

    sources += schema->nsources++;
    *sources = (trk_schema_source_t) { .name = name };

    return sources;
}


int
trk_schema_add_origin(trk_schema_t *schema, trk_schema_source_t *source,
    trk_str_t pattern)
{
    trk_origin_text_t  text;

    /* what is none stays as it is, for trk_schema_finish() to name it */

    if (trk_origin_pattern(&text, pattern) == TRK_OK) {
        pattern = trk_origin_str(&text);
    }

    return trk_schema_append(schema, &source->origins, pattern);
}


int
trk_schema_add_allowed(trk_schema_t *schema, trk_schema_source_t *source,
    trk_str_t event_type)
{
    return trk_schema_append(schema, &source->types, event_type);
}


static int
trk_schema_append(trk_schema_t *schema, trk_schema_list_t *list,
    trk_str_t text)
{
    trk_str_t  *items;

    items = trk_schema_grow(list->items, list->n, &list->cap, sizeof(*items));

    if (items == NULL) {
        return TRK_NOMEM;
    }

    list->items = items;

    if (trk_schema_copy(schema, &text) != TRK_OK) {
        return TRK_NOMEM;
    }

    items[list->n++] = text;

    return TRK_OK;
}


int
trk_schema_add_key(trk_schema_t *schema, trk_str_t source,
    const uint8_t hash[TRK_SHA256_LEN])
{
    trk_schema_key_t  *keys;

    keys = trk_schema_grow(schema->keys, schema->nkeys, &schema->keys_cap,
                           sizeof(*keys));
    if (keys == NULL) {
        return TRK_NOMEM;
    }

    schema->keys = keys;

    if (trk_schema_copy(schema, &source) != TRK_OK) {
        return TRK_NOMEM;
    }

    keys += schema->nkeys++;
    memcpy(keys->hash, hash, TRK_SHA256_LEN);
    keys->source = source;

    return TRK_OK;
}


int
trk_schema_add_token(trk_schema_t *schema, const uint8_t hash[TRK_SHA256_LEN],
    int64_t expires)
{
    trk_schema_token_t  *tokens;

    tokens = trk_schema_grow(schema->tokens, schema->ntokens,
                             &schema->tokens_cap, sizeof(*tokens));
    if (tokens == NULL) {
        return TRK_NOMEM;
    }

    schema->tokens = tokens;

    tokens += schema->ntokens++;
    memcpy(tokens->hash, hash, TRK_SHA256_LEN);
    tokens->expires = expires;

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
