/*
 * Looking things up in schema images.  See trk_image.h.  All of it relies on
 * trk_image_check().
 *
 * Slots are open addressing tables, powers of two that are never full, probed
 * linearly.  Those of types say where they stand; the others hold an index
 * + 1.  0 is empty.
 */

#include "trk_image.h"
#include "trk_hash.h"


#define TRK_IMAGE_LINES  9      /* fetched: a type with 20 fields, names of
                                   usual length */


static void trk_image_fetch(const uint8_t *p);
static const void *trk_image_hash(const trk_image_t *image, uint32_t slots,
    uint32_t mask, uint32_t items, size_t size, const uint8_t *hash);


const trk_image_type_t *
trk_image_type(const trk_image_t *image, trk_str_t name)
{
    uint32_t                 i, hash;
    const uint32_t          *slot;
    const trk_image_type_t  *type;

    hash = trk_hash(name);
    slot = trk_image_at(image, image->type_slots);

    for (i = hash & image->type_mask; slot[i] != 0;
         i = (i + 1) & image->type_mask)
    {
        if (trk_image_slot_tag(slot[i]) != trk_image_slot_tag(hash)) {
            continue;
        }

        type = trk_image_at(image, trk_image_slot_type(slot[i]));
        trk_image_fetch((const uint8_t *) type);

        if (trk_name_eq(trk_image_type_name(image, type), name)) {
            return type;
        }
    }

    return NULL;
}


/* All lines at once: one miss, not one after another.  Beyond the image it
 * has no effect. */

static void
trk_image_fetch(const uint8_t *p)
{
    size_t  i;

    for (i = 0; i < TRK_IMAGE_LINES; i++) {
        __builtin_prefetch(p + i * TRK_IMAGE_LINE);
    }
}


const trk_image_field_t *
trk_image_field(const trk_image_t *image, const trk_image_type_t *type,
    trk_str_t name)
{
    uint32_t                  i, hash;
    const uint16_t           *slot;
    const trk_image_field_t  *field;

    hash = trk_hash(name);
    slot = trk_image_at(image, type->field_slots);

    for (i = hash & type->field_mask; slot[i] != 0;
         i = (i + 1) & type->field_mask)
    {
        field = trk_image_field_at(image, type, slot[i] - 1U);

        if (field->tag == hash >> 24
            && trk_name_eq(trk_image_field_name(image, field), name))
        {
            return field;
        }
    }

    return NULL;
}


/*
 * Keys and tokens begin with their hash.  Comparing takes longer the more
 * bytes are equal, which tells nothing worth knowing: who measures it learns
 * of the hash of a secret, not of the secret.
 */

static const void *
trk_image_hash(const trk_image_t *image, uint32_t slots, uint32_t mask,
    uint32_t items, size_t size, const uint8_t *hash)
{
    uint32_t         i;
    const uint8_t   *item;
    const uint32_t  *slot;

    slot = trk_image_at(image, slots);

    for (i = trk_hash_digest(hash) & mask; slot[i] != 0; i = (i + 1) & mask) {
        item = trk_image_at(image, items + (slot[i] - 1) * size);

        if (memcmp(item, hash, TRK_SHA256_LEN) == 0) {
            return item;
        }
    }

    return NULL;
}


const trk_image_source_t *
trk_image_key(const trk_image_t *image, const uint8_t hash[TRK_SHA256_LEN])
{
    const trk_image_key_t     *key;
    const trk_image_source_t  *sources;

    key = trk_image_hash(image, image->key_slots, image->key_mask,
                         image->keys, sizeof(trk_image_key_t), hash);
    if (key == NULL) {
        return NULL;
    }

    sources = trk_image_at(image, image->sources);

    return &sources[key->source];
}


int
trk_image_token(const trk_image_t *image, const uint8_t hash[TRK_SHA256_LEN],
    int64_t now_ms)
{
    const trk_image_token_t  *token;

    token = trk_image_hash(image, image->token_slots, image->token_mask,
                           image->tokens, sizeof(trk_image_token_t), hash);

    return token != NULL && now_ms < token->expires;
}


trk_str_t
trk_image_source_name(const trk_image_t *image,
    const trk_image_source_t *source)
{
    return trk_str_of(trk_image_at(image, source->name.off),
                      source->name.len);
}


trk_str_t
trk_image_source_origin(const trk_image_t *image,
    const trk_image_source_t *source, uint32_t i)
{
    const trk_image_text_t  *origins;

    origins = trk_image_at(image, source->origins);

    return trk_str_of(trk_image_at(image, origins[i].off), origins[i].len);
}


int
trk_image_source_allows(const trk_image_t *image,
    const trk_image_source_t *source, const trk_image_type_t *type)
{
    const uint32_t  *bits;

    if (source->types == 0) {
        return 1;
    }

    bits = trk_image_at(image, source->types);

    return bits[type->index / 32] >> type->index % 32 & 1;
}
