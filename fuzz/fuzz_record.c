/*
 * What anyone may have written where we read: records of a topic, and the
 * note beside a committed offset.
 */

#include "fuzz.h"
#include "trk_intent.h"
#include "trk_record.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int            rc;
    char           text[TRK_INTENT_MAX];
    size_t         len;
    uint8_t       *p;
    trk_intent_t   intent, again;
    trk_record_t   rec;

    p = fuzz_copy(data, n);
    trk_record_init(&rec);

    rc = trk_record_read(&rec, p, n);

    if (rc == TRK_OK) {
        fuzz_must(rec.event_type > 0 && rec.event_type < rec.json.nnodes);
        fuzz_must(rec.has_event_id);

    } else {
        fuzz_must(rc == TRK_INVALID && rec.error[0] != '\0');
        fuzz_must(memchr(rec.error, '\0', sizeof(rec.error)) != NULL);
    }

    memset(&intent, 0, sizeof(intent));

    if (trk_intent_parse(trk_str_of(p, n), &intent) == TRK_OK) {
        len = trk_intent_format(&intent, text);
        fuzz_must(trk_intent_parse(trk_str_of(text, len), &again) == TRK_OK);
    }

    trk_record_free(&rec);
    free(p);

    return 0;
}
