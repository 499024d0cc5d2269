/*
 * Compiling a schema into an image.  See trk_image.h.
 *
 * The size is known first, so that nothing can fail on the way: the same
 * functions tell how many bytes a part has and are asked for its place.
 */

#include "trk_image.h"
#include "trk_crc32c.h"
#include "trk_hash.h"


/* Where the next piece goes while an image is written. */
typedef struct {
    uint8_t             *base;
    size_t               n;
    const trk_schema_t  *schema;
} trk_image_writer_t;


static uint64_t trk_image_size(const trk_schema_t *schema);
static uint64_t trk_image_type_size(const trk_schema_type_t *type);
static uint64_t trk_image_source_size(const trk_schema_t *schema,
    const trk_schema_source_t *source);
static uint64_t trk_image_slots(uint64_t n);
static uint64_t trk_image_type_slots(uint64_t n);
static uint64_t trk_image_align(uint64_t n, uint64_t align);
static uint32_t trk_image_put(trk_image_writer_t *w, size_t n);
static trk_image_text_t trk_image_put_text(trk_image_writer_t *w,
    trk_str_t text);
static void trk_image_put_slot(trk_image_writer_t *w, uint32_t slots,
    uint32_t mask, uint32_t hash, uint32_t index);
static void trk_image_put_types(trk_image_writer_t *w, trk_image_t *image);
static uint32_t trk_image_put_type(trk_image_writer_t *w, uint32_t index,
    const trk_schema_type_t *from);
static void trk_image_put_field(trk_image_writer_t *w,
    const trk_image_type_t *type, uint32_t i, const trk_schema_field_t *from);
static void trk_image_put_type_slot(trk_image_writer_t *w,
    const trk_image_t *image, uint32_t offset);
static void trk_image_put_sources(trk_image_writer_t *w, trk_image_t *image);
static void trk_image_put_source(trk_image_writer_t *w,
    trk_image_source_t *source, const trk_schema_source_t *from);
static uint32_t trk_image_put_allowed(trk_image_writer_t *w,
    const trk_schema_list_t *names);
static void trk_image_put_keys(trk_image_writer_t *w, trk_image_t *image);
static void trk_image_put_tokens(trk_image_writer_t *w, trk_image_t *image);


#define trk_image_to(w, off)  ((void *) ((w)->base + (off)))


int
trk_image_build(const trk_schema_t *schema, trk_buf_t *out)
{
    size_t               i;
    uint64_t             size;
    trk_image_t         *image;
    trk_image_writer_t   w;

    size = trk_image_size(schema);

    for (i = 0; i < schema->ntypes; i++) {
        if (schema->types[i].nfields > UINT16_MAX) {
            return TRK_LIMIT;
        }
    }

    if (size > UINT32_MAX) {
        return TRK_LIMIT;
    }

    w.base = trk_buf_reserve(out, size);
    w.n = 0;
    w.schema = schema;

    if (w.base == NULL) {
        return out->failed;
    }

    memset(w.base, 0, size);

    image = trk_image_to(&w, trk_image_put(&w, sizeof(trk_image_t)));
    image->magic = TRK_IMAGE_MAGIC;
    image->layout = TRK_IMAGE_LAYOUT;
    image->size = size;
    image->version = schema->version;
    image->lineage = schema->lineage;

    /* tokens first: the only ones that must be aligned to 8 */

    trk_image_put_tokens(&w, image);
    trk_image_put_keys(&w, image);
    trk_image_put_sources(&w, image);
    trk_image_put_types(&w, image);

    image->checksum = trk_crc32c(0, image + 1, size - sizeof(trk_image_t));
    image->header_crc = trk_crc32c(0, image,
                                   offsetof(trk_image_t, header_crc));
    out->n += size;

    return TRK_OK;
}


static uint64_t
trk_image_size(const trk_schema_t *schema)
{
    size_t    i;
    uint64_t  size;

    size = sizeof(trk_image_t)
           + schema->ntokens * sizeof(trk_image_token_t)
           + trk_image_slots(schema->ntokens) * sizeof(uint32_t)
           + schema->nkeys * sizeof(trk_image_key_t)
           + trk_image_slots(schema->nkeys) * sizeof(uint32_t)
           + schema->nsources * sizeof(trk_image_source_t);

    for (i = 0; i < schema->nsources; i++) {
        size += trk_image_source_size(schema, &schema->sources[i]);
    }

    size += trk_image_type_slots(schema->ntypes) * sizeof(uint32_t)
            + schema->ntypes * sizeof(uint32_t);
    size = trk_image_align(size, TRK_IMAGE_LINE);

    for (i = 0; i < schema->ntypes; i++) {
        size += trk_image_type_size(&schema->types[i]);
    }

    return size;
}


static uint64_t
trk_image_type_size(const trk_schema_type_t *type)
{
    size_t    i;
    uint64_t  size;

    size = sizeof(trk_image_type_t) + trk_image_align(type->name.n, 4)
           + trk_image_slots(type->nfields) * sizeof(uint16_t)
           + type->nfields * sizeof(trk_image_field_t);

    for (i = 0; i < type->nfields; i++) {
        size += type->fields[i].name.n;
    }

    return trk_image_align(size, TRK_IMAGE_LINE);
}


static uint64_t
trk_image_source_size(const trk_schema_t *schema,
    const trk_schema_source_t *source)
{
    size_t    i;
    uint64_t  size;

    size = source->origins.n * sizeof(trk_image_text_t) + source->name.n;

    if (source->types.n > 0) {
        size += trk_image_align(schema->ntypes, 32) / 8;
    }

    for (i = 0; i < source->origins.n; i++) {
        size += source->origins.items[i].n;
    }

    return trk_image_align(size, 4);
}


static uint64_t
trk_image_slots(uint64_t n)
{
    uint64_t  slots;

    for (slots = 2; slots < n * 2; slots *= 2) { /* void */ }

    return slots;
}


/* Up to three quarters full: half the size of the others, which is what
 * counts here. */

static uint64_t
trk_image_type_slots(uint64_t n)
{
    uint64_t  slots;

    for (slots = 2; slots * 3 < n * 4; slots *= 2) { /* void */ }

    return slots;
}


static uint64_t
trk_image_align(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}


static uint32_t
trk_image_put(trk_image_writer_t *w, size_t n)
{
    size_t  off;

    off = w->n;
    w->n += n;

    return (uint32_t) off;
}


static trk_image_text_t
trk_image_put_text(trk_image_writer_t *w, trk_str_t text)
{
    trk_image_text_t  put;

    put.off = trk_image_put(w, text.n);
    put.len = (uint32_t) text.n;

    if (text.n > 0) {
        memcpy(trk_image_to(w, put.off), text.p, text.n);
    }

    return put;
}


static void
trk_image_put_slot(trk_image_writer_t *w, uint32_t slots, uint32_t mask,
    uint32_t hash, uint32_t index)
{
    uint32_t  i, *slot;

    slot = trk_image_to(w, slots);

    for (i = hash & mask; slot[i] != 0; i = (i + 1) & mask) { /* void */ }

    slot[i] = index + 1;
}


static void
trk_image_put_types(trk_image_writer_t *w, trk_image_t *image)
{
    uint32_t   i, *types;
    uint64_t   slots;

    slots = trk_image_type_slots(w->schema->ntypes);

    image->ntypes = (uint32_t) w->schema->ntypes;
    image->type_mask = (uint32_t) slots - 1;
    image->type_slots = trk_image_put(w, slots * sizeof(uint32_t));
    image->types = trk_image_put(w, w->schema->ntypes * sizeof(uint32_t));

    types = trk_image_to(w, image->types);
    w->n = trk_image_align(w->n, TRK_IMAGE_LINE);

    for (i = 0; i < image->ntypes; i++) {
        types[i] = trk_image_put_type(w, i, &w->schema->types[i]);
        trk_image_put_type_slot(w, image, types[i]);
    }
}


/* In the order in which judging an event reads it. */

static uint32_t
trk_image_put_type(trk_image_writer_t *w, uint32_t index,
    const trk_schema_type_t *from)
{
    uint32_t           i, off;
    uint64_t           slots;
    trk_image_type_t  *type;

    slots = trk_image_slots(from->nfields);

    off = trk_image_put(w, sizeof(trk_image_type_t));
    type = trk_image_to(w, off);

    type->index = index;
    type->hash = trk_hash(from->name);
    type->name = trk_image_put_text(w, from->name).off;
    type->name_len = (uint16_t) from->name.n;
    type->enabled = from->enabled != 0;
    type->additional = (uint8_t) from->additional;
    type->nfields = (uint32_t) from->nfields;
    type->field_mask = (uint32_t) slots - 1;

    w->n = trk_image_align(w->n, 4);
    type->field_slots = trk_image_put(w, slots * sizeof(uint16_t));
    type->fields = trk_image_put(w,
                                 from->nfields * sizeof(trk_image_field_t));

    for (i = 0; i < type->nfields; i++) {
        trk_image_put_field(w, type, i, &from->fields[i]);
        type->nrequired += from->fields[i].required != 0;
    }

    w->n = trk_image_align(w->n, TRK_IMAGE_LINE);

    return off;
}


static void
trk_image_put_field(trk_image_writer_t *w, const trk_image_type_t *type,
    uint32_t i, const trk_schema_field_t *from)
{
    uint16_t           *slot;
    uint32_t            k, hash;
    trk_image_field_t  *field;

    hash = trk_hash(from->name);

    field = trk_image_to(w, type->fields);
    field += i;
    field->name = trk_image_put_text(w, from->name).off;
    field->name_len = (uint8_t) from->name.n;
    field->tag = (uint8_t) (hash >> 24);
    field->data_type = (uint8_t) from->data_type;
    field->required = from->required != 0;

    slot = trk_image_to(w, type->field_slots);

    for (k = hash & type->field_mask; slot[k] != 0;
         k = (k + 1) & type->field_mask) { /* void */ }

    slot[k] = (uint16_t) (i + 1);
}


static void
trk_image_put_type_slot(trk_image_writer_t *w, const trk_image_t *image,
    uint32_t offset)
{
    uint32_t           i, *slot;
    trk_image_type_t  *type;

    slot = trk_image_to(w, image->type_slots);
    type = trk_image_to(w, offset);

    for (i = type->hash & image->type_mask; slot[i] != 0;
         i = (i + 1) & image->type_mask) { /* void */ }

    slot[i] = trk_image_slot_tag(type->hash) << TRK_IMAGE_SLOT_BITS
              | offset / TRK_IMAGE_LINE;
}


static void
trk_image_put_sources(trk_image_writer_t *w, trk_image_t *image)
{
    uint32_t             i;
    trk_image_source_t  *sources;

    image->nsources = (uint32_t) w->schema->nsources;
    image->sources = trk_image_put(w, w->schema->nsources
                                      * sizeof(trk_image_source_t));
    sources = trk_image_to(w, image->sources);

    for (i = 0; i < image->nsources; i++) {
        trk_image_put_source(w, &sources[i], &w->schema->sources[i]);
    }
}


static void
trk_image_put_source(trk_image_writer_t *w, trk_image_source_t *source,
    const trk_schema_source_t *from)
{
    uint32_t           i;
    trk_image_text_t  *origins;

    source->norigins = (uint32_t) from->origins.n;
    source->origins = trk_image_put(w, from->origins.n
                                       * sizeof(trk_image_text_t));

    if (from->types.n > 0) {
        source->types = trk_image_put_allowed(w, &from->types);
    }

    source->name = trk_image_put_text(w, from->name);
    origins = trk_image_to(w, source->origins);

    for (i = 0; i < source->norigins; i++) {
        origins[i] = trk_image_put_text(w, from->origins.items[i]);
    }

    w->n = trk_image_align(w->n, 4);
}


/* A bit per event type.  Both lists are in order; a name that is no event
 * type, or none yet, sets none. */

static uint32_t
trk_image_put_allowed(trk_image_writer_t *w, const trk_schema_list_t *names)
{
    int        cmp;
    size_t     i, type;
    uint32_t   off, *bits;

    off = trk_image_put(w, trk_image_align(w->schema->ntypes, 32) / 8);
    bits = trk_image_to(w, off);

    for (i = 0, type = 0; i < names->n && type < w->schema->ntypes; ) {
        cmp = trk_str_cmp(names->items[i], w->schema->types[type].name);

        if (cmp == 0) {
            bits[type / 32] |= (uint32_t) 1 << type % 32;
        }

        if (cmp <= 0) {
            i++;

        } else {
            type++;
        }
    }

    return off;
}


static void
trk_image_put_keys(trk_image_writer_t *w, trk_image_t *image)
{
    uint32_t                 i;
    uint64_t                 slots;
    trk_image_key_t         *keys;
    const trk_schema_key_t  *from;

    slots = trk_image_slots(w->schema->nkeys);

    image->nkeys = (uint32_t) w->schema->nkeys;
    image->key_mask = (uint32_t) slots - 1;
    image->key_slots = trk_image_put(w, slots * sizeof(uint32_t));
    image->keys = trk_image_put(w, w->schema->nkeys
                                   * sizeof(trk_image_key_t));
    keys = trk_image_to(w, image->keys);

    for (i = 0; i < image->nkeys; i++) {
        from = &w->schema->keys[i];

        memcpy(keys[i].hash, from->hash, TRK_SHA256_LEN);
        keys[i].source = (uint32_t) (trk_schema_source(w->schema,
                                                       from->source)
                                     - w->schema->sources);

        trk_image_put_slot(w, image->key_slots, image->key_mask,
                           trk_hash_digest(from->hash), i);
    }
}


static void
trk_image_put_tokens(trk_image_writer_t *w, trk_image_t *image)
{
    uint32_t                   i;
    uint64_t                   slots;
    trk_image_token_t         *tokens;
    const trk_schema_token_t  *from;

    slots = trk_image_slots(w->schema->ntokens);

    image->ntokens = (uint32_t) w->schema->ntokens;
    image->token_mask = (uint32_t) slots - 1;
    image->tokens = trk_image_put(w, w->schema->ntokens
                                     * sizeof(trk_image_token_t));
    image->token_slots = trk_image_put(w, slots * sizeof(uint32_t));
    tokens = trk_image_to(w, image->tokens);

    for (i = 0; i < image->ntokens; i++) {
        from = &w->schema->tokens[i];

        memcpy(tokens[i].hash, from->hash, TRK_SHA256_LEN);
        tokens[i].expires = from->expires;

        trk_image_put_slot(w, image->token_slots, image->token_mask,
                           trk_hash_digest(from->hash), i);
    }
}
