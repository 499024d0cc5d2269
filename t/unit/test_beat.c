/*
 * Beats as text, whole and in parts.
 */

#include "tap.h"
#include "trk_beat.h"


static const trk_span_t  some[] = { { 1, 1 }, { 5, 9 } };
static const trk_span_t  more[] = { { 11, 12 } };

static trk_beat_t
beat_of_all(void)
{
    trk_beat_t  beat;

    memset(&beat, 0, sizeof(trk_beat_t));

    beat.edge = trk_str("9f86d081884c7d65");
    beat.host = trk_str("web-1");
    beat.at = 1746266401250;
    beat.n = 1746266401251;
    beat.has_book = 1;
    beat.worker = 4711;
    beat.started_at = 1746266400000;
    beat.upto = 20;
    beat.accepted = 15;
    beat.rejected = 5;

    return beat;
}


static void
whole(void)
{
    trk_buf_t   out;
    trk_beat_t  beat;

    trk_buf_init(&out, TRK_BEAT_MAX);

    beat = beat_of_all();
    trk_beat_write(&out, &beat, 0);
    is_text(out.p, out.n, "{\"edge\":\"9f86d081884c7d65\",\"host\":\"web-1\","
            "\"worker\":4711,\"started_at\":\"2025-05-03T10:00:00.000Z\","
            "\"at\":\"2025-05-03T10:00:01.250Z\",\"n\":1746266401251,"
            "\"from\":0,\"upto\":20,\"void\":[],\"lost\":[],\"accepted\":15,"
            "\"rejected\":5}", "of a worker without spool");

    beat.host = trk_str("a\"b");
    beat.from = 3;
    beat.voids = (trk_beat_list_t) { some, 2 };
    beat.losts = (trk_beat_list_t) { more, 1 };
    beat.has_spool = 1;
    beat.spool = (trk_beat_list_t) { some + 1, 1 };
    beat.end = 1;

    trk_buf_reset(&out, TRK_BEAT_MAX);
    trk_beat_write(&out, &beat, 0);
    is_text(out.p, out.n, "{\"edge\":\"9f86d081884c7d65\",\"host\":\"a\\\"b\","
            "\"worker\":4711,\"started_at\":\"2025-05-03T10:00:00.000Z\","
            "\"at\":\"2025-05-03T10:00:01.250Z\",\"n\":1746266401251,"
            "\"from\":3,\"upto\":20,\"void\":[[1,1],[5,9]],"
            "\"lost\":[[11,12]],\"accepted\":15,\"rejected\":5,\"end\":true,"
            "\"spool\":[[5,9]]}", "of one that left");

    beat.host = trk_str("web-1");
    beat.has_book = 0;
    beat.voids.n = beat.losts.n = beat.spool.n = 0;

    trk_buf_reset(&out, TRK_BEAT_MAX);
    trk_beat_write(&out, &beat, 0);
    is_text(out.p, out.n, "{\"edge\":\"9f86d081884c7d65\",\"host\":\"web-1\","
            "\"at\":\"2025-05-03T10:00:01.250Z\",\"n\":1746266401251,"
            "\"spool\":[]}", "of a spool without a book");

    trk_buf_free(&out);
}


/* Counts the ranges of a list in a text and checks that they are the next
 * ones of `list`. */

static size_t
count(const trk_buf_t *out, const char *name, trk_beat_list_t list,
    size_t seen)
{
    char                 *p, *text;
    unsigned long long    a, b;

    text = strndup((char *) out->p, out->n);
    p = text ? strstr(text, name) : NULL;

    if (p == NULL) {
        free(text);
        return seen;
    }

    for (p += strlen(name) + 1; sscanf(p, "[%llu,%llu]", &a, &b) == 2; p++) {

        if (seen >= list.n || a != list.spans[seen].first
            || b != list.spans[seen].last)
        {
            seen = SIZE_MAX / 2;
            break;
        }

        seen++;
        p = strchr(p, ']') + 1;

        if (*p != ',') {
            break;
        }
    }

    free(text);

    return seen;
}


/* The longest numbers, the longest name, and as many ranges as asked for. */

static void
parts(size_t voids, size_t losts, size_t spool, size_t want)
{
    char         host[TRK_BEAT_HOST + 50];
    size_t       i, seen[3] = { 0 }, longest;
    trk_buf_t    out;
    trk_beat_t   beat;
    trk_span_t  *spans;

    spans = calloc(voids + losts + spool + 1, sizeof(trk_span_t));

    if (spans == NULL) {
        ok(0, "no memory");
        return;
    }

    for (i = 0; i < voids + losts + spool; i++) {
        spans[i] = (trk_span_t) { UINT64_MAX - 3 * i - 1, UINT64_MAX - 3 * i };
    }

    memset(host, '\001', sizeof(host));

    beat = beat_of_all();
    beat.host = trk_str_of(host, sizeof(host));
    beat.worker = beat.n = beat.from = beat.upto = UINT64_MAX;
    beat.accepted = beat.rejected = UINT64_MAX;
    beat.end = beat.has_spool = 1;
    beat.voids = (trk_beat_list_t) { spans, voids };
    beat.losts = (trk_beat_list_t) { spans + voids, losts };
    beat.spool = (trk_beat_list_t) { spans + voids + losts, spool };

    is_int(trk_beat_parts(&beat), want, "%zu, %zu and %zu ranges", voids,
           losts, spool);

    trk_buf_init(&out, SIZE_MAX / 4);
    longest = 0;

    for (i = 0; i < trk_beat_parts(&beat); i++) {
        trk_buf_reset(&out, SIZE_MAX / 4);
        trk_beat_write(&out, &beat, i);

        longest = out.n > longest ? out.n : longest;
        seen[0] = count(&out, "\"void\":", beat.voids, seen[0]);
        seen[1] = count(&out, "\"lost\":", beat.losts, seen[1]);
        seen[2] = count(&out, "\"spool\":", beat.spool, seen[2]);
    }

    ok(longest <= TRK_BEAT_MAX, "no part is too long: %zu", longest);
    ok(seen[0] == voids && seen[1] == losts && seen[2] == spool,
       "all ranges stand in one part each");

    trk_buf_free(&out);
    free(spans);
}


int
main(void)
{
    whole();

    parts(0, 0, 0, 1);
    parts(TRK_BEAT_SPANS, 0, 0, 1);
    parts(512, 512, TRK_BEAT_SPANS - 1024, 1);
    parts(512, 512, TRK_BEAT_SPANS - 1023, 2);
    parts(TRK_BEAT_SPANS - 1, 2, 2 * TRK_BEAT_SPANS, 4);
    parts(TRK_BEAT_SPANS, TRK_BEAT_SPANS, TRK_BEAT_SPANS, 3);

    return done();
}
