/*
 * Schema and image: canonical order, refusals, look-ups by hash at several
 * sizes, of keys and tokens too, and that trk_image_check() refuses every
 * damaged byte and makes look-ups safe whatever it lets pass.
 */

#include "trk_crc32c.h"
#include "trk_hash.h"

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


static void
test_sources(void)
{
    uint8_t                    hash[TRK_SHA256_LEN];
    trk_image_t               *image;
    const trk_image_type_t    *click, *drop;
    const trk_image_source_t  *shop, *app;

    image = fixture_image();
    click = trk_image_type(image, trk_str("click"));
    drop = trk_image_type(image, trk_str("drop it"));

    shop = trk_image_key(image, fixture_hash(hash, 0xaa));
    ok(shop && trk_image_key(image, fixture_hash(hash, 0xbb)) == shop,
       "two keys of one source");
    is_str(trk_image_source_name(image, shop), "shop", "its name");
    is_int(shop->norigins, 2, "its origins");
    is_str(trk_image_source_origin(image, shop, 0), "https://*.example.com",
           "as they are compared");
    is_str(trk_image_source_origin(image, shop, 1), "null", "in order");
    ok(trk_image_source_allows(image, shop, click), "click is allowed");
    ok(trk_image_source_allows(image, shop,
                               trk_image_type(image, trk_str("purchase"))),
       "and purchase");
    ok(!trk_image_source_allows(image, shop, drop), "drop it is not");

    app = trk_image_key(image, fixture_hash(hash, 0xcc));
    ok(app && app != shop, "a key of another source");
    is_int(app->norigins, 0, "without origins of its own");
    ok(trk_image_source_allows(image, app, click)
       && trk_image_source_allows(image, app, drop), "which may send all");

    ok(!trk_image_key(image, fixture_hash(hash, 0xdd)),
       "a token is no key");
    (void) fixture_hash(hash, 0xaa);
    hash[31] ^= 1;
    ok(!trk_image_key(image, hash), "all of the hash counts");

    (void) fixture_hash(hash, 0xee);
    ok(trk_image_token(image, hash, INT64_MAX - 1), "a token for ever");
    (void) fixture_hash(hash, 0xdd);
    ok(trk_image_token(image, hash, 999), "a token until 1000");
    ok(!trk_image_token(image, hash, 1000), "and no longer");
    (void) fixture_hash(hash, 0xaa);
    ok(!trk_image_token(image, hash, 0), "a key is no token");

    free(image);
}


/* Many sources with a key each, and event types beyond a word of bits. */

static void
test_many_sources(size_t n)
{
    char           name[NAME_LEN];
    size_t         i, k, right;
    uint8_t        hash[TRK_SHA256_LEN];
    trk_buf_t      out;
    trk_image_t   *image;
    trk_schema_t  *schema;

    const trk_uuid_t           lineage = { { 1 } };
    const trk_image_source_t  *source;

    schema = trk_schema_create(&lineage, 1);

    for (i = 0; i < n; i++) {
        trk_str_t  s = numbered(name, "name_", i);

        trk_sha256(s, hash);

        if (trk_schema_add_type(schema, s, 1, 0) == NULL
            || trk_schema_add_source(schema, s) == NULL
            || trk_schema_add_allowed(schema,
                                      &schema->sources[schema->nsources - 1],
                                      s) != TRK_OK
            || trk_schema_add_key(schema, s, hash) != TRK_OK)
        {
            abort();
        }
    }

    trk_buf_init(&out, 1 << 30);
    is_int(trk_schema_finish(schema), TRK_OK, "%zu sources finish", n);
    is_int(trk_image_build(schema, &out), TRK_OK, "and compile");
    is_int(trk_image_check(out.p, out.n), TRK_OK, "and check");

    image = (trk_image_t *) (void *) out.p;

    for (i = 0, right = 0; i < n; i++) {
        trk_sha256(numbered(name, "name_", i), hash);
        source = trk_image_key(image, hash);

        for (k = 0; source && k < n; k++) {
            right += trk_image_source_allows(image, source,
                         trk_image_type(image, numbered(name, "name_", k)))
                     == (i == k);
        }
    }

    is_int(right, n * n, "each allows its own event type alone");

    trk_buf_free(&out);
    trk_schema_free(schema);
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


/* Reads all that a look-up can lead to; the sum is of no interest. */

static size_t
look_everything_up(const trk_image_t *image)
{
    int                        byte;
    size_t                     sum;
    uint8_t                    hash[TRK_SHA256_LEN];
    uint32_t                   i;
    const trk_image_type_t    *type;
    const trk_image_source_t  *source;

    sum = trk_image_type(image, trk_str("purchase")) != NULL;

    for (i = 0; i < image->ntypes; i++) {
        type = trk_image_type_at(image, i);
        sum += trk_image_type(image, trk_image_type_name(image, type)) == type;
        sum += trk_image_field(image, type, trk_str("total")) != NULL;
        sum += trk_image_field(image, type, trk_str("nothing")) != NULL;
    }

    for (byte = 0; byte < 256; byte++) {
        (void) fixture_hash(hash, byte);
        sum += (size_t) trk_image_token(image, hash, 999);
        source = trk_image_key(image, hash);

        if (source == NULL) {
            continue;
        }

        sum += trk_hash(trk_image_source_name(image, source));

        for (i = 0; i < source->norigins; i++) {
            sum += trk_hash(trk_image_source_origin(image, source, i));
        }

        for (i = 0; i < image->ntypes; i++) {
            type = trk_image_type_at(image, i);
            sum += (size_t) trk_image_source_allows(image, source, type);
        }
    }

    return sum;
}


/* Flip each byte; then again with both checksums made right, so that the
 * checks behind them are what decides. */

static void
test_damage(void)
{
    size_t        i, n, passed, sum;
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

    for (i = offsetof(trk_image_t, version), passed = 0, sum = 0; i < n * 3;
         i++)
    {
        memcpy(copy, image, n);
        bytes[i % n] ^= (uint8_t) (1 + i / n * 0x7F);

        copy->checksum = trk_crc32c(0, copy + 1, n - sizeof(*copy));
        copy->header_crc = trk_crc32c(0, copy,
                                      offsetof(trk_image_t, header_crc));

        if (trk_image_check(copy, n) == TRK_OK) {
            sum += look_everything_up(copy);
            passed++;
        }
    }

    ok(passed > 0 && sum > 0,
       "what passes with forged checksums is safe to look up in");

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
    refusal(fixture_field(schema, type, "__proto__", TRK_TYPE_INT, 0),
            "reserved name of a field");
    refusal(fixture_field(schema, type, "constructor", TRK_TYPE_INT, 0),
            "reserved name of a field");
    refusal(fixture_field(schema, type, "prototype", TRK_TYPE_INT, 0),
            "reserved name of a field");
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
test_source_refusals(void)
{
    uint8_t               hash[TRK_SHA256_LEN] = { 1 };
    trk_schema_t         *schema;
    trk_schema_source_t  *source;
    const trk_uuid_t      lineage = { { 1 } };

#define source_refusal(setup, text)                                           \
    do {                                                                      \
        int  rc = TRK_OK;                                                     \
                                                                              \
        schema = trk_schema_create(&lineage, 1);                              \
        source = trk_schema_add_source(schema, trk_str("s"));                 \
        setup;                                                                \
        is_int(rc, TRK_OK, "added");                                          \
        is_int(trk_schema_finish(schema), TRK_INVALID, "refused: " text);     \
        ok(strstr(schema->error, text), "and says so: %s", schema->error);    \
        trk_schema_free(schema);                                              \
    } while (0)

    source_refusal((void) trk_schema_add_source(schema, trk_str("s")),
                   "source \"s\": it is there twice");
    source_refusal((void) trk_schema_add_source(schema, trk_str("\t")),
                   "bad name");
    source_refusal(rc = trk_schema_add_origin(schema, source,
                                              trk_str("example.com")),
                   "no origin: \"example.com\"");
    source_refusal(rc = trk_schema_add_allowed(schema, source, trk_str("")),
                   "bad name of an event type");
    source_refusal(rc = trk_schema_add_key(schema, trk_str("t"), hash),
                   "source \"t\": a key of no source");
    source_refusal(rc = trk_schema_add_key(schema, trk_str("s"), hash);
                   rc += trk_schema_add_key(schema, trk_str("s"), hash),
                   "a key is there twice");
    source_refusal(rc = trk_schema_add_token(schema, hash, 1);
                   rc += trk_schema_add_token(schema, hash, 2),
                   "an admin token is there twice");
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
    test_sources();
    test_many_sources(100);
    test_size(1, 2000);
    test_size(1000, 20);
    test_damage();
    test_refusals();
    test_source_refusals();
    test_names();

    return done();
}
