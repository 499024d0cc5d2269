/*
 * Times: what is read can be written and reads the same; what is written is
 * read; nothing lies outside the bounds.
 */

#include "fuzz.h"
#include "trk_id.h"
#include "trk_time.h"


static void fuzz_ms(int64_t ms);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int         rc;
    char        text[TRK_UUID_LEN];
    int64_t     ms;
    uint8_t    *p;
    trk_uuid_t  uuid, again;

    p = fuzz_copy(data, n);
    rc = trk_time_parse(trk_str_of(p, n), &ms);
    fuzz_must(rc == TRK_OK || rc == TRK_INVALID || rc == TRK_LIMIT);

    if (rc == TRK_OK) {
        fuzz_ms(ms);
    }

    if (n == sizeof(ms)) {
        memcpy(&ms, p, sizeof(ms));

        if (ms >= TRK_TIME_MIN && ms <= TRK_TIME_MAX) {
            fuzz_ms(ms);
        }
    }

    if (trk_uuid_parse(trk_str_of(p, n), &uuid) == TRK_OK) {
        trk_uuid_format(&uuid, text);
        fuzz_must(trk_uuid_parse(trk_str_of(text, sizeof(text)), &again)
                  == TRK_OK);
        fuzz_must(memcmp(&uuid, &again, sizeof(uuid)) == 0);
    }

    free(p);

    return 0;
}


static void
fuzz_ms(int64_t ms)
{
    char     text[TRK_TIME_LEN];
    int64_t  again, day;

    fuzz_must(ms >= TRK_TIME_MIN && ms <= TRK_TIME_MAX);

    trk_time_format(ms, text);
    fuzz_must(trk_time_parse(trk_str_of(text, sizeof(text)), &again)
              == TRK_OK);
    fuzz_must(again == ms);

    day = trk_time_day(ms);
    fuzz_must(day * 86400000 <= ms && ms < (day + 1) * 86400000);
}
