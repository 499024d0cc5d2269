/*
 * The schema image: the compiled form that validation reads.
 *
 * One block of bytes with offsets only, so a file of it can be mapped
 * read-only at any address by every worker; in the machine's byte order,
 * since it never leaves the machine (the JSON schema file is the durable
 * form, images are a cache of it).  Event types and each type's fields are
 * found by hash in constant time whatever the schema's size.
 *
 *   header | type slots | types | per type: field slots, fields | names
 *
 * trk_image_check() makes every later look-up safe on arbitrary bytes, so a
 * damaged file is refused as a whole and never read beyond.
 */

#ifndef TRK_IMAGE_H
#define TRK_IMAGE_H

#include "trk.h"
#include "trk_schema.h"


#define TRK_IMAGE_MAGIC    0x676d696b72740a1aULL
#define TRK_IMAGE_LAYOUT   1    /* raised by any change of the structs below */


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
    uint32_t    types;          /* offset of trk_image_type_t[ntypes] */
    uint32_t    header_crc;     /* CRC32C of the bytes before this member */
    uint32_t    reserved;       /* 0 */
} trk_image_t;

typedef struct {
    uint32_t  name;             /* offset */
    uint32_t  hash;
    uint16_t  name_len;
    uint8_t   enabled;
    uint8_t   additional;       /* trk_additional_t */
    uint32_t  nfields;
    uint32_t  nrequired;
    uint32_t  field_slots;      /* offset of uint32_t[field_mask + 1] */
    uint32_t  field_mask;
    uint32_t  fields;           /* offset of trk_image_field_t[nfields] */
} trk_image_type_t;

typedef struct {
    uint32_t  name;             /* offset */
    uint32_t  hash;
    uint8_t   name_len;
    uint8_t   data_type;        /* trk_data_type_t */
    uint8_t   required;
    uint8_t   reserved;
} trk_image_field_t;


/* Compiles a finished schema into out, which must be empty.  TRK_OK;
 * TRK_NOMEM; TRK_LIMIT: over out->max or 4 GiB. */
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
const trk_image_type_t *trk_image_type_at(const trk_image_t *image,
    uint32_t i);
const trk_image_field_t *trk_image_field_at(const trk_image_t *image,
    const trk_image_type_t *type, uint32_t i);

trk_str_t trk_image_type_name(const trk_image_t *image,
    const trk_image_type_t *type);
trk_str_t trk_image_field_name(const trk_image_t *image,
    const trk_image_field_t *field);


#endif /* TRK_IMAGE_H */
