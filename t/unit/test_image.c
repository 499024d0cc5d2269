/*
 * Schema and image: canonical order, refusals, look-ups by hash at several
 * sizes, and that trk_image_check() refuses every damaged byte and makes
 * look-ups safe whatever it lets pass.
 */

#include "trk_crc32c.h"

#include "schema_fixture.h"


#define NAME_LEN  64


/* The NUL-terminated name in dst, which has NAME_LEN bytes. */

static trk_str_t
numbered(char *dst, const char *prefix, size_t i)
{
    return trk_str_of(dst, (size_t) snprintf(dst, NAME_LEN, "%s%zu", prefix,
                                             i));
}


static void
test_lookups(void)
{
    trk_image_t              *image;
    const trk_image_type_t   *type;
    const trk_image_field_t  *field;

    image = fixture_image();

    is_int(trk_image_check(image, image->size), TRK_OK, "the image is whole");
    is_int(image->version, 42, "version");
    is_int(image->ntypes, 4, "types");

    type = trk_image_type(image, trk_str("purchase"));
    ok(type != NULL, "purchase is there");
    is_int(type->nfields, 7, "its fields");
    is_int(type->nrequired, 2, "its required fields");

    field = trk_image_field(image, type, trk_str("order_id"));
    ok(field && field->required && field->data_type == TRK_TYPE_INT,
       "order_id is a required int");
    field = trk_image_field(image, type, trk_str("skus"));
    ok(field && !field->required && field->data_type == TRK_TYPE_STRINGS,
       "skus is an optional string[]");

    ok(!trk_image_field(image, type, trk_str("Order_id")), "case matters");
    ok(!trk_image_field(image, type, trk_str("")), "no field without name");
    ok(!trk_image_type(image, trk_str("purchase ")), "bytes matter");
    ok(!trk_image_type(image, trk_str("")), "no type without name");

    is_str(trk_image_type_name(image, trk_image_type_at(image, 0)), "click",
           "types stand in bytewise order");
    ok(!trk_image_type(image, trk_str("old"))->enabled, "old is disabled");

    free(image);
}


/* A schema of many types, each with fields of its own. */

static void
test_size(size_t ntypes, size_t nfields)
{
    char                name[NAME_LEN];
    size_t              i, k, found;
    trk_buf_t           out;
    trk_image_t        *image;
    trk_schema_t       *schema;
    trk_schema_type_t  *type;
    const trk_uuid_t    lineage = { { 1 } };

    schema = trk_schema_create(&lineage, 1);

    for (i = 0; i < ntypes; i++) {
        type = trk_schema_add_type(schema, numbered(name, "type_", i), 1,
                                   TRK_ADDITIONAL_REJECT);

        for (k = 0; k < nfields; k++) {
            (void) numbered(name, "field_", k);
            fixture_field(schema, type, name, TRK_TYPE_INT, k % 2 == 0);
        }
    }

    trk_buf_init(&out, 1 << 30);
    is_int(trk_schema_finish(schema), TRK_OK, "%zu types finish", ntypes);
    is_int(trk_image_build(schema, &out), TRK_OK, "and compile");
    is_int(trk_image_check(out.p, out.n), TRK_OK, "and check");

    image = (trk_image_t *) (void *) out.p;

    for (i = 0, found = 0; i < ntypes; i++) {
        const trk_image_type_t  *t;

        t = trk_image_type(image, numbered(name, "type_", i));

        for (k = 0; t && k < nfields; k++) {
            found += trk_image_field(image, t, numbered(name, "field_", k))
                     != NULL;
        }
    }

    is_int(found, ntypes * nfields, "every field is found");
    ok(!trk_image_type(image, numbered(name, "type_", ntypes)), "no other");

    trk_buf_free(&out);
    trk_schema_free(schema);
}


static void
look_everything_up(const trk_image_t *image)
{
    uint32_t                i;
    const trk_image_type_t  *type;

    (void) trk_image_type(image, trk_str("purchase"));

    for (i = 0; i < image->ntypes; i++) {
        type = trk_image_type_at(image, i);
        (void) trk_image_type(image, trk_image_type_name(image, type));
        (void) trk_image_field(image, type, trk_str("total"));
        (void) trk_image_field(image, type, trk_str("nothing"));
    }
}


/* Flip each byte; then again with both checksums made right, so that the
 * checks behind them are what decides. */

static void
test_damage(void)
{
    size_t        i, n, passed;
    uint8_t      *bytes;
    trk_image_t  *image, *copy;

    image = fixture_image();
    n = image->size;
    copy = malloc(n);
    bytes = (uint8_t *) copy;

    for (i = 0, passed = 0; i < n; i++) {
        memcpy(copy, image, n);
        bytes[i] ^= 0x41;

        passed += trk_image_check(copy, n) == TRK_OK
                  && i < offsetof(trk_image_t, reserved);
    }

    is_int(passed, 0, "each flipped byte is noticed");

    for (i = sizeof(trk_image_t); i < n * 3; i++) {
        memcpy(copy, image, n);
        bytes[i % n] ^= (uint8_t) (1 + i / n * 0x7F);

        copy->checksum = trk_crc32c(0, copy + 1, n - sizeof(*copy));
        copy->header_crc = trk_crc32c(0, copy,
                                      offsetof(trk_image_t, header_crc));

        if (trk_image_check(copy, n) == TRK_OK) {
            look_everything_up(copy);
        }
    }

    ok(1, "what passes with forged checksums is safe to look up in");

    is_int(trk_image_check(image, n - 8), TRK_CORRUPT, "cut short");
    is_int(trk_image_check(image, 4), TRK_CORRUPT, "hardly there");

    free(image);
    free(copy);
}


static void
test_refusals(void)
{
    trk_schema_t       *schema;
    trk_schema_type_t  *type;
    const trk_uuid_t    lineage = { { 1 } };

#define refusal(setup, text)                                                  \
    do {                                                                      \
        schema = trk_schema_create(&lineage, 1);                              \
        type = trk_schema_add_type(schema, trk_str("a"), 1,                   \
                                   TRK_ADDITIONAL_REJECT);                    \
        setup;                                                                \
        (void) type;                                                          \
        is_int(trk_schema_finish(schema), TRK_INVALID, "refused: " text);     \
        ok(strstr(schema->error, text), "and says so");                       \
        trk_schema_free(schema);                                              \
    } while (0)

    refusal((void) trk_schema_add_type(schema, trk_str("a"), 1, 0),
            "event type is there twice");
    refusal((void) trk_schema_add_type(schema, trk_str(""), 1, 0),
            "bad name of an event type");
    refusal((void) trk_schema_add_type(schema, trk_str("x\ny"), 1, 0),
            "bad name of an event type");
    refusal((void) trk_schema_add_type(schema, trk_str("x\xc2\x85"), 1, 0),
            "bad name of an event type");
    refusal(fixture_field(schema, type, "9x", TRK_TYPE_INT, 0),
            "bad name of a field");
    refusal(fixture_field(schema, type, "a-b", TRK_TYPE_INT, 0),
            "bad name of a field");
    refusal(fixture_field(schema, type, "f", TRK_TYPE_INT, 0);
            fixture_field(schema, type, "f", TRK_TYPE_INT, 0),
            "field is there twice");
    refusal(fixture_field(schema, type, "f", TRK_TYPE_INT, 0);
            type = trk_schema_add_type(schema, trk_str("b"), 1, 0);
            fixture_field(schema, type, "f", TRK_TYPE_BOOL, 0),
            "field has two data types");
}


static void
test_names(void)
{
    char              text[TRK_SCHEMA_VERSION_MAX];
    size_t            n;
    trk_data_type_t   type;
    trk_additional_t  additional;
    const trk_uuid_t  lineage = { { 0x3f, 0x2a, 0x9c, 0x01 } };

    for (type = TRK_TYPE_STRING; type <= TRK_TYPE_JSON; type++) {
        trk_data_type_t  back = 0;
        const char      *name = trk_data_type_name(type);

        ok(trk_data_type_parse(trk_str_of(name, strlen(name)), &back)
           == TRK_OK && back == type, "data type %s", name);
    }

    is_int(trk_data_type_parse(trk_str(""), &type), TRK_INVALID, "none");
    is_int(trk_data_type_parse(trk_str("text"), &type), TRK_INVALID, "text");
    is_int(trk_additional_parse(trk_str("drop"), &additional), TRK_OK,
           "drop");
    is_int(trk_additional_parse(trk_str("Drop"), &additional), TRK_INVALID,
           "Drop");

    n = trk_schema_version_format(&lineage, 42, text);
    is_text(text, n, "3f2a9c01-42", "schema_version");
    n = trk_schema_version_format(&lineage, UINT64_MAX, text);
    is_int(n, TRK_SCHEMA_VERSION_MAX, "at its longest");
}


int
main(void)
{
    test_lookups();
    test_size(1, 2000);
    test_size(1000, 20);
    test_damage();
    test_refusals();
    test_names();

    return done();
}
