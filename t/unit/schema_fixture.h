/*
 * A small schema that the unit tests share: every data type, every
 * additional_fields, one type disabled; a source with two keys that may send
 * only some types from some origins, one with a key that may send all, and
 * admin tokens, one of which expires.
 */

#ifndef SCHEMA_FIXTURE_H
#define SCHEMA_FIXTURE_H

#include "trk_image.h"
#include "trk_schema.h"

#include "tap.h"


static inline void
fixture_field(trk_schema_t *schema, trk_schema_type_t *type,
    const char *name, trk_data_type_t data_type, int required)
{
    if (trk_schema_add_field(schema, type, trk_str_of(name, strlen(name)),
                             data_type, required) != TRK_OK)
    {
        abort();
    }
}


/* The hashes of keys and tokens are 32 times one byte here. */

static inline const uint8_t *
fixture_hash(uint8_t *dst, int byte)
{
    return memset(dst, byte, TRK_SHA256_LEN);
}


static inline void
fixture_sources(trk_schema_t *schema)
{
    int                   failed;
    uint8_t               hash[TRK_SHA256_LEN];
    trk_schema_source_t  *source;

    failed = 0;

    source = trk_schema_add_source(schema, trk_str("shop"));
    failed += trk_schema_add_origin(schema, source,
                                    trk_str("https://*.Example.com:443"));
    failed += trk_schema_add_origin(schema, source, trk_str("null"));
    failed += trk_schema_add_allowed(schema, source, trk_str("not yet"));
    failed += trk_schema_add_allowed(schema, source, trk_str("purchase"));
    failed += trk_schema_add_allowed(schema, source, trk_str("click"));

    (void) trk_schema_add_source(schema, trk_str("app"));

    failed += trk_schema_add_key(schema, trk_str("shop"),
                                 fixture_hash(hash, 0xbb));
    failed += trk_schema_add_key(schema, trk_str("shop"),
                                 fixture_hash(hash, 0xaa));
    failed += trk_schema_add_key(schema, trk_str("app"),
                                 fixture_hash(hash, 0xcc));
    failed += trk_schema_add_token(schema, fixture_hash(hash, 0xee),
                                   TRK_SCHEMA_NEVER);
    failed += trk_schema_add_token(schema, fixture_hash(hash, 0xdd), 1000);

    if (failed) {
        abort();
    }
}


static inline trk_schema_t *
fixture_schema(void)
{
    trk_schema_t       *schema;
    trk_schema_type_t  *type;
    const trk_uuid_t    lineage = { { 0x3f, 0x2a, 0x9c, 0x01, 5 } };

    schema = trk_schema_create(&lineage, 42);

    type = trk_schema_add_type(schema, trk_str("purchase"), 1,
                               TRK_ADDITIONAL_REJECT);
    fixture_field(schema, type, "total", TRK_TYPE_FLOAT, 1);
    fixture_field(schema, type, "order_id", TRK_TYPE_INT, 1);
    fixture_field(schema, type, "coupon", TRK_TYPE_STRING, 0);
    fixture_field(schema, type, "gift", TRK_TYPE_BOOL, 0);
    fixture_field(schema, type, "paid_at", TRK_TYPE_TIMESTAMP, 0);
    fixture_field(schema, type, "skus", TRK_TYPE_STRINGS, 0);
    fixture_field(schema, type, "cart", TRK_TYPE_JSON, 0);

    type = trk_schema_add_type(schema, trk_str("click"), 1,
                               TRK_ADDITIONAL_KEEP);
    fixture_field(schema, type, "button_name", TRK_TYPE_STRING, 1);

    (void) trk_schema_add_type(schema, trk_str("drop it"), 1,
                               TRK_ADDITIONAL_DROP);
    (void) trk_schema_add_type(schema, trk_str("old"), 0,
                               TRK_ADDITIONAL_REJECT);
    fixture_sources(schema);

    return schema;
}


/* The image of the fixture, in memory of exactly its size. */

static inline trk_image_t *
fixture_image(void)
{
    trk_buf_t      out;
    trk_image_t   *image;
    trk_schema_t  *schema;

    trk_buf_init(&out, 1 << 20);
    schema = fixture_schema();

    if (trk_schema_finish(schema) != TRK_OK
        || trk_image_build(schema, &out) != TRK_OK)
    {
        abort();
    }

    image = malloc(out.n);
    memcpy(image, out.p, out.n);

    trk_schema_free(schema);
    trk_buf_free(&out);

    return image;
}


#endif /* SCHEMA_FIXTURE_H */
