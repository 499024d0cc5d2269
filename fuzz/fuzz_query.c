/*
 * What comes in a request's line and headers: the pixel's arguments become
 * JSON; origins and their patterns are the same once read.
 *
 * The first byte chooses: 0 arguments, 1 an origin, else a pattern, a line
 * end, and an origin.
 */

#include "fuzz.h"
#include "trk_origin.h"
#include "trk_query.h"

#include "schema_fixture.h"


static void fuzz_arguments(trk_str_t args);
static void fuzz_origin(trk_str_t text);
static void fuzz_pattern(trk_str_t text);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t    *copy;
    trk_str_t   text;

    if (n == 0) {
        return 0;
    }

    copy = fuzz_copy(data + 1, n - 1);
    text = trk_str_of(copy, n - 1);

    switch (data[0]) {

    case 0:
        fuzz_arguments(text);
        break;

    case 1:
        fuzz_origin(text);
        break;

    default:
        fuzz_pattern(text);
    }

    free(copy);

    return 0;
}


static void
fuzz_arguments(trk_str_t args)
{
    int                  rc;
    trk_buf_t            out;
    trk_json_t           scratch;
    static trk_image_t  *image;

    if (image == NULL) {
        image = fixture_image();
    }

    trk_buf_init(&out, SIZE_MAX);
    trk_json_init(&scratch);

    rc = trk_query_event(&out, &scratch, image, args);
    fuzz_must(rc == TRK_OK || rc == TRK_INVALID);

    if (rc == TRK_OK) {
        rc = trk_json_parse(&scratch, out.p, out.n);
        fuzz_must(rc == TRK_OK || scratch.error == TRK_ERR_DUPLICATE_KEY
                  || scratch.error == TRK_ERR_TOO_DEEP);
    }

    trk_json_free(&scratch);
    trk_buf_free(&out);
}


static void
fuzz_origin(trk_str_t text)
{
    trk_origin_text_t  once, twice;

    if (trk_origin_read(&once, text) != TRK_OK) {
        return;
    }

    fuzz_must(once.n > 0 && once.n <= TRK_ORIGIN_MAX);
    fuzz_must(trk_origin_read(&twice, trk_origin_str(&once)) == TRK_OK);
    fuzz_must(trk_str_eq(trk_origin_str(&once), trk_origin_str(&twice)));
    fuzz_must(trk_origin_match(trk_origin_str(&once), trk_origin_str(&once)));
    fuzz_must(trk_origin_match(trk_origin_str(&once), trk_str("*")));
    (void) trk_origin_is_host(trk_origin_str(&once), text);
}


static void
fuzz_pattern(trk_str_t text)
{
    const uint8_t      *end;
    trk_str_t           first, second;
    trk_origin_text_t   pattern, again, origin;

    end = text.n ? memchr(text.p, '\n', text.n) : NULL;

    if (end == NULL) {
        return;
    }

    first = trk_str_of(text.p, (size_t) (end - text.p));
    second = trk_str_of(end + 1, text.n - first.n - 1);

    if (trk_origin_pattern(&pattern, first) != TRK_OK) {
        return;
    }

    fuzz_must(trk_origin_pattern(&again, trk_origin_str(&pattern)) == TRK_OK);
    fuzz_must(trk_str_eq(trk_origin_str(&pattern), trk_origin_str(&again)));

    if (trk_origin_read(&origin, second) == TRK_OK) {
        (void) trk_origin_match(trk_origin_str(&origin),
                                trk_origin_str(&pattern));
        (void) trk_origin_is_host(trk_origin_str(&origin), first);
    }
}
