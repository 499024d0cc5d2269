/*
 * Whether bytes are a schema image that is safe to look up in.  See
 * trk_image.h.
 *
 * The checksums find what a disk has damaged; they stop nobody who forges.
 * So every offset, count and index is checked as well, and that a probe of
 * each table ends.
 */

#include "trk_image.h"
#include "trk_crc32c.h"


static int trk_image_check_header(const trk_image_t *image, size_t n);
static int trk_image_check_range(const trk_image_t *image, uint32_t off,
    uint64_t count, size_t size, size_t align);
static int trk_image_check_text(const trk_image_t *image,
    trk_image_text_t text);
static int trk_image_check_mask(const trk_image_t *image, uint32_t slots,
    uint32_t mask, size_t size);
static int trk_image_check_types(const trk_image_t *image);
static int trk_image_check_type_slots(const trk_image_t *image);
static int trk_image_check_type(const trk_image_t *image,
    const trk_image_type_t *type);
static int trk_image_check_fields(const trk_image_t *image,
    const trk_image_type_t *type);
static int trk_image_check_sources(const trk_image_t *image);
static int trk_image_check_secrets(const trk_image_t *image);
static int trk_image_check_slots(const trk_image_t *image, uint32_t slots,
    uint32_t mask, uint32_t n);


int
trk_image_check(const void *p, size_t n)
{
    const trk_image_t  *image;

    image = p;

    if (trk_image_check_header(image, n) != TRK_OK
        || trk_image_check_types(image) != TRK_OK
        || trk_image_check_type_slots(image) != TRK_OK
        || trk_image_check_sources(image) != TRK_OK
        || trk_image_check_secrets(image) != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    return TRK_OK;
}


static int
trk_image_check_header(const trk_image_t *image, size_t n)
{
    if (n < sizeof(trk_image_t)
        || image->magic != TRK_IMAGE_MAGIC
        || image->layout != TRK_IMAGE_LAYOUT
        || image->size != n
        || image->header_crc != trk_crc32c(0, image,
                                           offsetof(trk_image_t, header_crc))
        || image->checksum != trk_crc32c(0, image + 1,
                                         n - sizeof(trk_image_t)))
    {
        return TRK_CORRUPT;
    }

    return TRK_OK;
}


/* count things of size bytes at off lie inside the image, aligned. */

static int
trk_image_check_range(const trk_image_t *image, uint32_t off,
    uint64_t count, size_t size, size_t align)
{
    if (off < sizeof(trk_image_t) || off > image->size
        || count > (image->size - off) / size || off % align != 0)
    {
        return TRK_CORRUPT;
    }

    return TRK_OK;
}


static int
trk_image_check_text(const trk_image_t *image, trk_image_text_t text)
{
    return trk_image_check_range(image, text.off, text.len, 1, 1);
}


/* mask + 1 slots of size bytes, a power of two of them, are there. */

static int
trk_image_check_mask(const trk_image_t *image, uint32_t slots, uint32_t mask,
    size_t size)
{
    if ((mask & (mask + 1)) != 0 || mask == UINT32_MAX) {
        return TRK_CORRUPT;
    }

    return trk_image_check_range(image, slots, (uint64_t) mask + 1, size,
                                 size < sizeof(uint32_t) ? size
                                                         : sizeof(uint32_t));
}


static int
trk_image_check_types(const trk_image_t *image)
{
    uint32_t                 i;
    const uint32_t          *types;
    const trk_image_type_t  *type;

    if (trk_image_check_range(image, image->types, image->ntypes,
                              sizeof(uint32_t), sizeof(uint32_t))
        != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    types = trk_image_at(image, image->types);

    for (i = 0; i < image->ntypes; i++) {

        if (trk_image_check_range(image, types[i], 1,
                                  sizeof(trk_image_type_t), sizeof(uint32_t))
            != TRK_OK)
        {
            return TRK_CORRUPT;
        }

        type = trk_image_at(image, types[i]);

        if (type->index != i || trk_image_check_type(image, type) != TRK_OK) {
            return TRK_CORRUPT;
        }
    }

    return TRK_OK;
}


/* A probe ends, since a slot is empty, and finds types of the list: a type
 * that stands in it tells its own index. */

static int
trk_image_check_type_slots(const trk_image_t *image)
{
    uint64_t                 i, empty;
    uint32_t                 off;
    const uint32_t          *slot, *types;
    const trk_image_type_t  *type;

    if (trk_image_check_mask(image, image->type_slots, image->type_mask,
                             sizeof(uint32_t))
        != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    slot = trk_image_at(image, image->type_slots);
    types = trk_image_at(image, image->types);

    for (i = 0, empty = 0; i <= image->type_mask; i++) {

        if (slot[i] == 0) {
            empty++;
            continue;
        }

        off = trk_image_slot_type(slot[i]);

        if (trk_image_check_range(image, off, 1, sizeof(trk_image_type_t),
                                  sizeof(uint32_t))
            != TRK_OK)
        {
            return TRK_CORRUPT;
        }

        type = trk_image_at(image, off);

        if (type->index >= image->ntypes || types[type->index] != off) {
            return TRK_CORRUPT;
        }
    }

    return empty > 0 ? TRK_OK : TRK_CORRUPT;
}


static int
trk_image_check_type(const trk_image_t *image, const trk_image_type_t *type)
{
    uint64_t         i, empty;
    const uint16_t  *slot;

    if (type->additional > TRK_ADDITIONAL_KEEP
        || trk_image_check_range(image, type->name, type->name_len, 1, 1)
           != TRK_OK
        || trk_image_check_range(image, type->fields, type->nfields,
                                 sizeof(trk_image_field_t), sizeof(uint32_t))
           != TRK_OK
        || trk_image_check_mask(image, type->field_slots, type->field_mask,
                                sizeof(uint16_t))
           != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    slot = trk_image_at(image, type->field_slots);

    for (i = 0, empty = 0; i <= type->field_mask; i++) {

        if (slot[i] > type->nfields) {
            return TRK_CORRUPT;
        }

        empty += slot[i] == 0;
    }

    return empty > 0 ? trk_image_check_fields(image, type) : TRK_CORRUPT;
}


static int
trk_image_check_fields(const trk_image_t *image,
    const trk_image_type_t *type)
{
    uint32_t                  i, required;
    const trk_image_field_t  *field;

    for (i = 0, required = 0; i < type->nfields; i++) {
        field = trk_image_field_at(image, type, i);

        if (field->data_type < TRK_TYPE_STRING
            || field->data_type > TRK_TYPE_JSON
            || trk_image_check_range(image, field->name, field->name_len, 1,
                                     1)
               != TRK_OK)
        {
            return TRK_CORRUPT;
        }

        required += field->required != 0;
    }

    return required == type->nrequired ? TRK_OK : TRK_CORRUPT;
}


static int
trk_image_check_sources(const trk_image_t *image)
{
    uint32_t                   i, k, words;
    const trk_image_text_t    *origins;
    const trk_image_source_t  *source;

    if (trk_image_check_range(image, image->sources, image->nsources,
                              sizeof(trk_image_source_t), sizeof(uint32_t))
        != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    source = trk_image_at(image, image->sources);
    words = image->ntypes / 32 + (image->ntypes % 32 != 0);

    for (i = 0; i < image->nsources; i++, source++) {

        if (trk_image_check_text(image, source->name) != TRK_OK
            || trk_image_check_range(image, source->origins,
                                     source->norigins,
                                     sizeof(trk_image_text_t),
                                     sizeof(uint32_t))
               != TRK_OK
            || (source->types != 0
                && trk_image_check_range(image, source->types, words,
                                         sizeof(uint32_t), sizeof(uint32_t))
                   != TRK_OK))
        {
            return TRK_CORRUPT;
        }

        origins = trk_image_at(image, source->origins);

        for (k = 0; k < source->norigins; k++) {
            if (trk_image_check_text(image, origins[k]) != TRK_OK) {
                return TRK_CORRUPT;
            }
        }
    }

    return TRK_OK;
}


static int
trk_image_check_secrets(const trk_image_t *image)
{
    uint32_t                i;
    const trk_image_key_t  *keys;

    if (trk_image_check_range(image, image->keys, image->nkeys,
                              sizeof(trk_image_key_t), sizeof(uint32_t))
           != TRK_OK
        || trk_image_check_slots(image, image->key_slots, image->key_mask,
                                 image->nkeys)
           != TRK_OK
        || trk_image_check_range(image, image->tokens, image->ntokens,
                                 sizeof(trk_image_token_t), sizeof(int64_t))
           != TRK_OK
        || trk_image_check_slots(image, image->token_slots,
                                 image->token_mask, image->ntokens)
           != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    keys = trk_image_at(image, image->keys);

    for (i = 0; i < image->nkeys; i++) {
        if (keys[i].source >= image->nsources) {
            return TRK_CORRUPT;
        }
    }

    return TRK_OK;
}


/* A probe ends, since a slot is empty, and finds an index below n. */

static int
trk_image_check_slots(const trk_image_t *image, uint32_t slots,
    uint32_t mask, uint32_t n)
{
    uint64_t         i, empty;
    const uint32_t  *slot;

    if (trk_image_check_mask(image, slots, mask, sizeof(uint32_t))
        != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    slot = trk_image_at(image, slots);

    for (i = 0, empty = 0; i <= mask; i++) {

        if (slot[i] > n) {
            return TRK_CORRUPT;
        }

        empty += slot[i] == 0;
    }

    return empty > 0 ? TRK_OK : TRK_CORRUPT;
}
