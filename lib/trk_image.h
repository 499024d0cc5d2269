/*
 * The schema image: the compiled form that validation reads.
 *
 * One block of bytes with offsets only, so a file of it can be mapped
 * read-only at any address by every worker; in the machine's byte order,
 * since it never leaves the machine (the JSON schema file is the durable
 * form, images are a cache of it).  Event types, each type's fields, keys and
 * tokens are found by hash in constant time whatever the schema's size.
 *
 *   header | type slots, types | sources | key slots, keys
 *          | token slots, tokens
 *          | per source: origins, event types, texts
 *          | per type, from a cache line on: type, name, field slots, fields,
 *            names of fields
 *
 * What judging an event reads of its type stands together and is fetched at
 * once: with 10,000 types nothing of it is in the cache, and one miss after
 * another cost more than the judging.
 *
 * trk_image_check() makes every later look-up safe on arbitrary bytes, so a
 * damaged file is refused as a whole and never read beyond.
 */

#ifndef TRK_IMAGE_H
#define TRK_IMAGE_H

#include "trk.h"
#include "trk_schema.h"


#define TRK_IMAGE_MAGIC    0x676d696b72740a1aULL
#define TRK_IMAGE_LAYOUT   2    /* raised by any change of the structs below */


typedef struct {
    uint64_t    magic;
    uint32_t    layout;
    uint32_t    checksum;       /* CRC32C of all bytes after this header */
    uint64_t    size;           /* of the whole image, in bytes */
    uint64_t    version;
    trk_uuid_t  lineage;
    uint32_t    ntypes;
    uint32_t    type_slots;     /* offset of uint32_t[type_mask + 1] */
    uint32_t    type_mask;
    uint32_t    types;          /* offset of uint32_t[ntypes], offsets of
                                   trk_image_type_t */
    uint32_t    nsources;
    uint32_t    sources;        /* offset of trk_image_source_t[nsources] */
    uint32_t    nkeys;
    uint32_t    key_slots;      /* offset of uint32_t[key_mask + 1] */
    uint32_t    key_mask;
    uint32_t    keys;           /* offset of trk_image_key_t[nkeys] */
    uint32_t    ntokens;
    uint32_t    token_slots;    /* offset of uint32_t[token_mask + 1] */
    uint32_t    token_mask;
    uint32_t    tokens;         /* offset of trk_image_token_t[ntokens] */
    uint32_t    header_crc;     /* CRC32C of the bytes before this member */
    uint32_t    reserved;       /* 0 */
} trk_image_t;

/*
 * A type's slot: where it stands, in cache lines, and a few bits of its hash.
 * Small, since this table is what should stay in the cache: with 10,000 types
 * it has 64 KB.
 */
#define TRK_IMAGE_LINE       64     /* bytes; types begin at one */
#define TRK_IMAGE_SLOT_BITS  26     /* lines in 4 GiB */

#define trk_image_slot_type(slot)                                             \
    (((slot) & ((1U << TRK_IMAGE_SLOT_BITS) - 1)) * TRK_IMAGE_LINE)
#define trk_image_slot_tag(hash)  ((hash) >> TRK_IMAGE_SLOT_BITS)

typedef struct {
    uint32_t  index;            /* in image->types */
    uint32_t  hash;             /* of its name */
    uint32_t  name;             /* offset */
    uint16_t  name_len;
    uint8_t   enabled;
    uint8_t   additional;       /* trk_additional_t */
    uint32_t  nfields;          /* at most UINT16_MAX */
    uint32_t  nrequired;
    uint32_t  field_slots;      /* offset of uint16_t[field_mask + 1] */
    uint32_t  field_mask;
    uint32_t  fields;           /* offset of trk_image_field_t[nfields] */
} trk_image_type_t;

typedef struct {
    uint32_t  name;             /* offset */
    uint8_t   name_len;
    uint8_t   tag;              /* the upper byte of the name's hash */
    uint8_t   data_type;        /* trk_data_type_t */
    uint8_t   required;
} trk_image_field_t;

typedef struct {
    uint32_t  off;
    uint32_t  len;
} trk_image_text_t;

typedef struct {
    trk_image_text_t  name;
    uint32_t          norigins;     /* 0: no origins of its own */
    uint32_t          origins;      /* offset of trk_image_text_t[norigins] */
    uint32_t          types;        /* offset of uint32_t[(ntypes + 31) / 32],
                                       a bit per type; 0: all types */
} trk_image_source_t;

typedef struct {
    uint8_t   hash[TRK_SHA256_LEN];
    uint32_t  source;               /* index in image->sources */
} trk_image_key_t;

typedef struct {
    uint8_t   hash[TRK_SHA256_LEN];
    int64_t   expires;              /* ms since the epoch */
} trk_image_token_t;


#define trk_image_at(image, off)                                              \
    ((const void *) ((const uint8_t *) (image) + (off)))


/* Compiles a finished schema into out, which must be empty.  TRK_OK;
 * TRK_NOMEM; TRK_LIMIT: over out->max or 4 GiB, or a type has more than
 * UINT16_MAX fields. */
TRK_MUSTCHECK int trk_image_build(const trk_schema_t *schema, trk_buf_t *out);

/* TRK_OK: the n bytes at p (8-byte aligned) are an image of this layout,
 * whole and safe to look up in.  TRK_CORRUPT otherwise. */
TRK_MUSTCHECK int trk_image_check(const void *p, size_t n);

/* NULL: not defined. */
const trk_image_type_t *trk_image_type(const trk_image_t *image,
    trk_str_t name);
const trk_image_field_t *trk_image_field(const trk_image_t *image,
    const trk_image_type_t *type, trk_str_t name);

/* By index, for those who list: i < ntypes, i < type->nfields. */
static inline const trk_image_type_t *
trk_image_type_at(const trk_image_t *image, uint32_t i)
{
    const uint32_t  *types;

    types = trk_image_at(image, image->types);

    return trk_image_at(image, types[i]);
}

static inline const trk_image_field_t *
trk_image_field_at(const trk_image_t *image, const trk_image_type_t *type,
    uint32_t i)
{
    const trk_image_field_t  *fields;

    fields = trk_image_at(image, type->fields);

    return &fields[i];
}

static inline trk_str_t
trk_image_type_name(const trk_image_t *image, const trk_image_type_t *type)
{
    return trk_str_of(trk_image_at(image, type->name), type->name_len);
}

static inline trk_str_t
trk_image_field_name(const trk_image_t *image, const trk_image_field_t *field)
{
    return trk_str_of(trk_image_at(image, field->name), field->name_len);
}

/* The source that the write key of this SHA-256 belongs to.  NULL: the key is
 * unknown or revoked, or its source disabled. */
const trk_image_source_t *trk_image_key(const trk_image_t *image,
    const uint8_t hash[TRK_SHA256_LEN]);

/* 1: the admin token of this SHA-256 may read track_live at that time. */
int trk_image_token(const trk_image_t *image,
    const uint8_t hash[TRK_SHA256_LEN], int64_t now_ms);

trk_str_t trk_image_source_name(const trk_image_t *image,
    const trk_image_source_t *source);

/* A pattern for trk_origin_match(): i < source->norigins. */
trk_str_t trk_image_source_origin(const trk_image_t *image,
    const trk_image_source_t *source, uint32_t i);

/* 1: the source may send events of that type. */
int trk_image_source_allows(const trk_image_t *image,
    const trk_image_source_t *source, const trk_image_type_t *type);


#endif /* TRK_IMAGE_H */
