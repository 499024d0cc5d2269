/*
 * The schema file: any text is refused with a reason, or is a schema that can
 * be written and compiled; what was written is read as the same again.
 */

#include "fuzz.h"
#include "trk_image.h"
#include "trk_schema_json.h"


static void fuzz_schema(const trk_schema_t *schema);
static void fuzz_write(const trk_schema_t *schema, trk_buf_t *out);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int            rc;
    char           error[TRK_SCHEMA_ERROR_MAX];
    uint8_t       *copy;
    trk_schema_t  *schema;

    copy = fuzz_copy(data, n);
    error[0] = '\0';

    rc = trk_schema_json_read(trk_str_of(copy, n), &schema, error);
    fuzz_must(rc == TRK_OK || rc == TRK_INVALID);

    if (rc == TRK_OK) {
        fuzz_schema(schema);
        trk_schema_free(schema);

    } else {
        fuzz_must(schema == NULL && error[0] != '\0');
    }

    free(copy);

    return 0;
}


static void
fuzz_schema(const trk_schema_t *schema)
{
    int            rc;
    char           error[TRK_SCHEMA_ERROR_MAX];
    trk_buf_t      first, second, image;
    trk_schema_t  *again;

    fuzz_write(schema, &first);
    rc = trk_schema_json_read(trk_str_of(first.p, first.n), &again, error);
    fuzz_must(rc == TRK_OK);

    fuzz_write(again, &second);
    fuzz_must(trk_str_eq(trk_str_of(first.p, first.n),
                         trk_str_of(second.p, second.n)));

    trk_buf_init(&image, SIZE_MAX);
    fuzz_must(trk_image_build(again, &image) == TRK_OK);
    fuzz_must(trk_image_check(image.p, image.n) == TRK_OK);

    trk_buf_free(&image);
    trk_buf_free(&second);
    trk_buf_free(&first);
    trk_schema_free(again);
}


static void
fuzz_write(const trk_schema_t *schema, trk_buf_t *out)
{
    trk_buf_init(out, SIZE_MAX);
    trk_schema_json_write(schema, out);
    fuzz_must(out->failed == TRK_OK);
}
