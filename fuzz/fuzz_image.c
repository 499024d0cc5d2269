/*
 * A schema image of any bytes: refused, or every look-up in it stays within
 * it.  Header and checksums are made right first, so that what is tried is
 * the check of everything else.
 *
 * The same bytes are also taken for changes to a good image, three each: an
 * offset and what is written there.  So a corpus does not grow stale when
 * the layout changes.
 */

#include "fuzz.h"
#include "trk_crc32c.h"
#include "trk_image.h"

#include <stddef.h>

#include "schema_fixture.h"


static void fuzz_look(uint8_t *p, size_t n);
static void fuzz_patch(const uint8_t *data, size_t n);
static void fuzz_seal(uint8_t *p, size_t n);
static void fuzz_types(const trk_image_t *image);
static void fuzz_sources(const trk_image_t *image);
static void fuzz_inside(const trk_image_t *image, trk_str_t s);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t  *p;

    p = fuzz_copy(data, n);
    fuzz_look(p, n);
    free(p);

    fuzz_patch(data, n);

    return 0;
}


static void
fuzz_look(uint8_t *p, size_t n)
{
    if (n >= sizeof(trk_image_t)) {
        fuzz_seal(p, n);
    }

    if (trk_image_check(p, n) == TRK_OK) {
        fuzz_types((trk_image_t *) p);
        fuzz_sources((trk_image_t *) p);
    }
}


static void
fuzz_patch(const uint8_t *data, size_t n)
{
    size_t               i, at, size;
    uint8_t             *p;
    static trk_image_t  *image;

    if (image == NULL) {
        image = fixture_image();
    }

    size = (size_t) image->size;
    p = fuzz_copy((uint8_t *) image, size);

    for (i = 0; i + 3 <= n; i += 3) {
        at = ((size_t) data[i] << 8 | data[i + 1]) % size;
        p[at] = data[i + 2];
    }

    if (n < 3) {
        fuzz_must(trk_image_check(p, size) == TRK_OK);
    }

    fuzz_look(p, size);
    free(p);
}


static void
fuzz_seal(uint8_t *p, size_t n)
{
    trk_image_t  head;

    memcpy(&head, p, sizeof(head));
    head.magic = TRK_IMAGE_MAGIC;
    head.layout = TRK_IMAGE_LAYOUT;
    head.size = n;
    head.checksum = trk_crc32c(0, p + sizeof(head), n - sizeof(head));
    head.header_crc = trk_crc32c(0, &head, offsetof(trk_image_t, header_crc));
    head.reserved = 0;
    memcpy(p, &head, sizeof(head));
}


/* Whatever is listed is found by its name, unless another one of that name
 * stands before it. */

static void
fuzz_types(const trk_image_t *image)
{
    uint32_t                  i, k;
    trk_str_t                 name;
    const trk_image_type_t   *type;
    const trk_image_field_t  *field;

    for (i = 0; i < image->ntypes; i++) {
        type = trk_image_type_at(image, i);
        name = trk_image_type_name(image, type);
        fuzz_inside(image, name);
        (void) trk_image_type(image, name);

        for (k = 0; k < type->nfields; k++) {
            field = trk_image_field_at(image, type, k);
            name = trk_image_field_name(image, field);
            fuzz_inside(image, name);
            (void) trk_image_field(image, type, name);
        }

        (void) trk_image_field(image, type, trk_str("no such field"));
    }

    (void) trk_image_type(image, trk_str("no such type"));
    (void) trk_image_type(image, trk_str(""));
}


static void
fuzz_sources(const trk_image_t *image)
{
    uint32_t                   i, k;
    uint8_t                    hash[TRK_SHA256_LEN];
    const trk_image_key_t     *keys;
    const trk_image_token_t   *tokens;
    const trk_image_source_t  *source;

    keys = trk_image_at(image, image->keys);
    tokens = trk_image_at(image, image->tokens);
    memset(hash, 0x55, sizeof(hash));

    (void) trk_image_key(image, hash);
    (void) trk_image_token(image, hash, 1);

    for (i = 0; i < image->ntokens; i++) {
        (void) trk_image_token(image, tokens[i].hash, 1);
    }

    for (i = 0; i < image->nkeys; i++) {
        source = trk_image_key(image, keys[i].hash);

        if (source == NULL) {
            continue;
        }

        fuzz_inside(image, trk_image_source_name(image, source));

        for (k = 0; k < source->norigins; k++) {
            fuzz_inside(image, trk_image_source_origin(image, source, k));
        }

        for (k = 0; k < image->ntypes; k++) {
            (void) trk_image_source_allows(image, source,
                                           trk_image_type_at(image, k));
        }
    }
}


static void
fuzz_inside(const trk_image_t *image, trk_str_t s)
{
    const uint8_t  *p;

    p = (const uint8_t *) image;

    fuzz_must(s.n == 0
              || (s.p >= p && s.p <= p + image->size
                  && s.n <= (size_t) (p + image->size - s.p)));
}
