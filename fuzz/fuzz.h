/*
 * What fuzz targets share.  A target is one file fuzz_NAME.c with
 * LLVMFuzzerTestOneInput(): it takes any bytes, and aborts when a promise of
 * the code under test is broken; sanitizers see the rest.  Built twice: with
 * clang's libFuzzer (make fuzz), and with fuzz/replay.c and any compiler, for
 * t/03-fuzz.t (make fuzz-replay).
 */

#ifndef FUZZ_H
#define FUZZ_H

#include "trk.h"
#include "trk_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


/* What must hold for every input. */
#define fuzz_must(cond)                                                       \
    do {                                                                      \
        if (!(cond)) {                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__,        \
                    #cond);                                                   \
            abort();                                                          \
        }                                                                     \
    } while (0)


/* The bytes in memory of exactly their size, so that reading beyond them is
 * seen.  The caller frees. */

static inline uint8_t *
fuzz_copy(const uint8_t *data, size_t n)
{
    uint8_t  *copy;

    copy = calloc(1, n ? n : 1);
    fuzz_must(copy != NULL);

    if (n) {
        memcpy(copy, data, n);
    }

    return copy;
}


/* Whether what we wrote is JSON, by our own scanner. */

static inline int
fuzz_is_json(const uint8_t *p, size_t n)
{
    int         rc;
    trk_json_t  json;

    trk_json_init(&json);
    rc = trk_json_parse(&json, p, n);
    trk_json_free(&json);

    return rc == TRK_OK;
}


#endif /* FUZZ_H */
