/*
 * Building, checking and reading schema images.  See trk_image.h.
 *
 * Slots are open addressing tables of index + 1 (0 is empty), powers of two
 * at most half full, probed linearly.
 */

#include "trk_image.h"
#include "trk_crc32c.h"
#include "trk_hash.h"


/* Where the next piece of each kind goes while an image is written. */
typedef struct {
    uint8_t   *base;
    uint32_t   next;        /* offset for slots and fields */
    uint32_t   names;       /* offset for names */
} trk_image_writer_t;


static uint64_t trk_image_slots(uint64_t n);
static uint64_t trk_image_size(const trk_schema_t *schema, uint64_t *names);
static uint32_t trk_image_put_name(trk_image_writer_t *w, trk_str_t name);
static uint32_t trk_image_put_slots(trk_image_writer_t *w, uint64_t n);
static void trk_image_put_slot(trk_image_writer_t *w, uint32_t slots,
    uint32_t mask, uint32_t hash, uint32_t index);
static void trk_image_put_type(trk_image_writer_t *w,
    trk_image_type_t *type, const trk_schema_type_t *from);
static void trk_image_put_fields(trk_image_writer_t *w,
    trk_image_type_t *type, const trk_schema_type_t *from);
static int trk_image_check_header(const trk_image_t *image, size_t n);
static int trk_image_check_range(const trk_image_t *image, uint32_t off,
    uint64_t count, size_t size);
static int trk_image_check_slots(const trk_image_t *image, uint32_t slots,
    uint32_t mask, uint32_t n);
static int trk_image_check_type(const trk_image_t *image,
    const trk_image_type_t *type);
static int trk_image_check_fields(const trk_image_t *image,
    const trk_image_type_t *type);


#define trk_image_at(image, off)  ((const uint8_t *) (image) + (off))

#define trk_image_header_crc(image)                                           \
    trk_crc32c(0, image, offsetof(trk_image_t, header_crc))


int
trk_image_build(const trk_schema_t *schema, trk_buf_t *out)
{
    size_t               i;
    uint64_t             size, names;
    uint32_t             types;
    trk_image_t         *image;
    trk_image_type_t    *type;
    trk_image_writer_t   w;

    size = trk_image_size(schema, &names);

    if (size > UINT32_MAX) {
        return TRK_LIMIT;
    }

    w.base = trk_buf_reserve(out, size);

    if (w.base == NULL) {
        return out->failed;
    }

    memset(w.base, 0, size);

    w.names = (uint32_t) names;
    w.next = sizeof(trk_image_t);

    image = (trk_image_t *) (void *) w.base;
    image->magic = TRK_IMAGE_MAGIC;
    image->layout = TRK_IMAGE_LAYOUT;
    image->size = size;
    image->version = schema->version;
    image->lineage = schema->lineage;
    image->ntypes = (uint32_t) schema->ntypes;
    image->type_slots = trk_image_put_slots(&w, schema->ntypes);
    image->type_mask = (uint32_t) trk_image_slots(schema->ntypes) - 1;

    types = w.next;
    image->types = types;
    w.next += (uint32_t) (schema->ntypes * sizeof(trk_image_type_t));

    for (i = 0; i < schema->ntypes; i++) {
        type = (trk_image_type_t *) (void *) (w.base + types) + i;

        trk_image_put_type(&w, type, &schema->types[i]);
        trk_image_put_slot(&w, image->type_slots, image->type_mask,
                           type->hash, (uint32_t) i);
    }

    image->checksum = trk_crc32c(0, image + 1, size - sizeof(trk_image_t));
    image->header_crc = trk_image_header_crc(image);
    out->n += size;

    return TRK_OK;
}


static uint64_t
trk_image_slots(uint64_t n)
{
    uint64_t  slots;

    for (slots = 2; slots < n * 2; slots *= 2) { /* void */ }

    return slots;
}


/* Bytes of the whole image, a multiple of 8; *names: where names begin. */

static uint64_t
trk_image_size(const trk_schema_t *schema, uint64_t *names)
{
    size_t                    i, k;
    uint64_t                  size, text;
    const trk_schema_type_t  *type;

    text = 0;
    size = sizeof(trk_image_t)
           + trk_image_slots(schema->ntypes) * sizeof(uint32_t)
           + schema->ntypes * sizeof(trk_image_type_t);

    for (i = 0; i < schema->ntypes; i++) {
        type = &schema->types[i];

        size += trk_image_slots(type->nfields) * sizeof(uint32_t)
                + type->nfields * sizeof(trk_image_field_t);
        text += type->name.n;

        for (k = 0; k < type->nfields; k++) {
            text += type->fields[k].name.n;
        }
    }

    *names = size;

    return (size + text + 7) & ~(uint64_t) 7;
}


static uint32_t
trk_image_put_name(trk_image_writer_t *w, trk_str_t name)
{
    uint32_t  off;

    off = w->names;
    memcpy(w->base + off, name.p, name.n);
    w->names += (uint32_t) name.n;

    return off;
}


static uint32_t
trk_image_put_slots(trk_image_writer_t *w, uint64_t n)
{
    uint32_t  off;

    off = w->next;
    w->next += (uint32_t) (trk_image_slots(n) * sizeof(uint32_t));

    return off;
}


static void
trk_image_put_slot(trk_image_writer_t *w, uint32_t slots, uint32_t mask,
    uint32_t hash, uint32_t index)
{
    uint32_t  i, *slot;

    slot = (uint32_t *) (void *) (w->base + slots);

    for (i = hash & mask; slot[i] != 0; i = (i + 1) & mask) { /* void */ }

    slot[i] = index + 1;
}


static void
trk_image_put_type(trk_image_writer_t *w, trk_image_type_t *type,
    const trk_schema_type_t *from)
{
    type->name = trk_image_put_name(w, from->name);
    type->hash = trk_hash(from->name);
    type->name_len = (uint16_t) from->name.n;
    type->enabled = from->enabled != 0;
    type->additional = (uint8_t) from->additional;
    type->nfields = (uint32_t) from->nfields;
    type->field_slots = trk_image_put_slots(w, from->nfields);
    type->field_mask = (uint32_t) trk_image_slots(from->nfields) - 1;
    type->fields = w->next;
    w->next += (uint32_t) (from->nfields * sizeof(trk_image_field_t));

    trk_image_put_fields(w, type, from);
}


static void
trk_image_put_fields(trk_image_writer_t *w, trk_image_type_t *type,
    const trk_schema_type_t *from)
{
    size_t              i;
    trk_image_field_t  *field;

    for (i = 0; i < from->nfields; i++) {
        field = (trk_image_field_t *) (void *) (w->base + type->fields) + i;

        field->name = trk_image_put_name(w, from->fields[i].name);
        field->hash = trk_hash(from->fields[i].name);
        field->name_len = (uint8_t) from->fields[i].name.n;
        field->data_type = (uint8_t) from->fields[i].data_type;
        field->required = from->fields[i].required != 0;

        type->nrequired += field->required;

        trk_image_put_slot(w, type->field_slots, type->field_mask,
                           field->hash, (uint32_t) i);
    }
}


int
trk_image_check(const void *p, size_t n)
{
    uint32_t            i;
    const trk_image_t  *image;

    image = p;

    if (trk_image_check_header(image, n) != TRK_OK
        || trk_image_check_range(image, image->types, image->ntypes,
                                 sizeof(trk_image_type_t)) != TRK_OK
        || trk_image_check_slots(image, image->type_slots, image->type_mask,
                                 image->ntypes) != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    for (i = 0; i < image->ntypes; i++) {
        if (trk_image_check_type(image, trk_image_type_at(image, i))
            != TRK_OK)
        {
            return TRK_CORRUPT;
        }
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
        || image->header_crc != trk_image_header_crc(image)
        || image->checksum != trk_crc32c(0, image + 1,
                                         n - sizeof(trk_image_t)))
    {
        return TRK_CORRUPT;
    }

    return TRK_OK;
}


/* count things of size bytes at off lie inside the image, aligned to 4. */

static int
trk_image_check_range(const trk_image_t *image, uint32_t off,
    uint64_t count, size_t size)
{
    if (off < sizeof(trk_image_t) || off > image->size
        || count > (image->size - off) / size
        || (size > 1 && off % sizeof(uint32_t) != 0))
    {
        return TRK_CORRUPT;
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

    if ((mask & (mask + 1)) != 0 || mask == UINT32_MAX
        || trk_image_check_range(image, slots, (uint64_t) mask + 1,
                                 sizeof(uint32_t)) != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    slot = (const void *) trk_image_at(image, slots);

    for (i = 0, empty = 0; i <= mask; i++) {

        if (slot[i] > n) {
            return TRK_CORRUPT;
        }

        empty += slot[i] == 0;
    }

    return empty > 0 ? TRK_OK : TRK_CORRUPT;
}


static int
trk_image_check_type(const trk_image_t *image, const trk_image_type_t *type)
{
    if (type->additional > TRK_ADDITIONAL_KEEP
        || trk_image_check_range(image, type->name, type->name_len, 1)
           != TRK_OK
        || trk_image_check_range(image, type->fields, type->nfields,
                                 sizeof(trk_image_field_t)) != TRK_OK
        || trk_image_check_slots(image, type->field_slots, type->field_mask,
                                 type->nfields) != TRK_OK)
    {
        return TRK_CORRUPT;
    }

    return trk_image_check_fields(image, type);
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
            || trk_image_check_range(image, field->name, field->name_len, 1)
               != TRK_OK)
        {
            return TRK_CORRUPT;
        }

        required += field->required != 0;
    }

    return required == type->nrequired ? TRK_OK : TRK_CORRUPT;
}


const trk_image_type_t *
trk_image_type(const trk_image_t *image, trk_str_t name)
{
    uint32_t                 i, hash;
    const uint32_t          *slot;
    const trk_image_type_t  *type;

    hash = trk_hash(name);
    slot = (const void *) trk_image_at(image, image->type_slots);

    for (i = hash & image->type_mask; slot[i] != 0;
         i = (i + 1) & image->type_mask)
    {
        type = trk_image_type_at(image, slot[i] - 1);

        if (type->hash == hash
            && trk_str_eq(trk_image_type_name(image, type), name))
        {
            return type;
        }
    }

    return NULL;
}


const trk_image_field_t *
trk_image_field(const trk_image_t *image, const trk_image_type_t *type,
    trk_str_t name)
{
    uint32_t                  i, hash;
    const uint32_t           *slot;
    const trk_image_field_t  *field;

    hash = trk_hash(name);
    slot = (const void *) trk_image_at(image, type->field_slots);

    for (i = hash & type->field_mask; slot[i] != 0;
         i = (i + 1) & type->field_mask)
    {
        field = trk_image_field_at(image, type, slot[i] - 1);

        if (field->hash == hash
            && trk_str_eq(trk_image_field_name(image, field), name))
        {
            return field;
        }
    }

    return NULL;
}


const trk_image_type_t *
trk_image_type_at(const trk_image_t *image, uint32_t i)
{
    const trk_image_type_t  *types;

    types = (const void *) trk_image_at(image, image->types);

    return &types[i];
}


const trk_image_field_t *
trk_image_field_at(const trk_image_t *image, const trk_image_type_t *type,
    uint32_t i)
{
    const trk_image_field_t  *fields;

    fields = (const void *) trk_image_at(image, type->fields);

    return &fields[i];
}


trk_str_t
trk_image_type_name(const trk_image_t *image, const trk_image_type_t *type)
{
    return trk_str_of(trk_image_at(image, type->name), type->name_len);
}


trk_str_t
trk_image_field_name(const trk_image_t *image, const trk_image_field_t *field)
{
    return trk_str_of(trk_image_at(image, field->name), field->name_len);
}
