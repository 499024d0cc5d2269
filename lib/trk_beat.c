/*
 * A beat of the ledger as JSON.
 *
 * One that has more ranges than fit is split: void, lost and spool, in that
 * order, are one row of ranges, of which each part takes its share; all else
 * stands in every part.
 */

#include "trk_beat.h"
#include "trk_time.h"


size_t
trk_beat_parts(const trk_beat_t *beat)
{
    size_t  n;

    n = beat->voids.n + beat->losts.n + beat->spool.n;

    return n == 0 ? 1 : (n + TRK_BEAT_SPANS - 1) / TRK_BEAT_SPANS;
}


static void
trk_beat_time(trk_buf_t *out, int64_t ms)
{
    char  text[TRK_TIME_LEN];

    trk_time_format(ms, text);

    trk_buf_byte(out, '"');
    trk_buf_add(out, text, TRK_TIME_LEN);
    trk_buf_byte(out, '"');
}


/* What of the list lies in the row's [*skip, *skip + *take); both are counted
 * down by what the list had. */
static trk_beat_list_t
trk_beat_share(trk_beat_list_t list, size_t *skip, size_t *take)
{
    size_t           skipped;
    trk_beat_list_t  share;

    skipped = list.n < *skip ? list.n : *skip;

    share.spans = list.spans + skipped;
    share.n = list.n - skipped < *take ? list.n - skipped : *take;

    *skip -= skipped;
    *take -= share.n;

    return share;
}


static void
trk_beat_ranges(trk_buf_t *out, trk_beat_list_t list)
{
    size_t  i;

    trk_buf_byte(out, '[');

    for (i = 0; i < list.n; i++) {
        if (i > 0) {
            trk_buf_byte(out, ',');
        }

        trk_buf_byte(out, '[');
        trk_buf_uint(out, list.spans[i].first);
        trk_buf_byte(out, ',');
        trk_buf_uint(out, list.spans[i].last);
        trk_buf_byte(out, ']');
    }

    trk_buf_byte(out, ']');
}


static void
trk_beat_head(trk_buf_t *out, const trk_beat_t *beat)
{
    trk_buf_lit(out, "{\"edge\":");
    trk_buf_json_string(out, beat->edge);
    trk_buf_lit(out, ",\"host\":");
    trk_buf_json_string(out, trk_str_of(beat->host.p,
                                        beat->host.n < TRK_BEAT_HOST
                                        ? beat->host.n : TRK_BEAT_HOST));

    if (beat->has_book) {
        trk_buf_lit(out, ",\"worker\":");
        trk_buf_uint(out, beat->worker);
        trk_buf_lit(out, ",\"started_at\":");
        trk_beat_time(out, beat->started_at);
    }

    trk_buf_lit(out, ",\"at\":");
    trk_beat_time(out, beat->at);
    trk_buf_lit(out, ",\"n\":");
    trk_buf_uint(out, beat->n);
}


static void
trk_beat_book(trk_buf_t *out, const trk_beat_t *beat, trk_beat_list_t voids,
    trk_beat_list_t losts)
{
    trk_buf_lit(out, ",\"from\":");
    trk_buf_uint(out, beat->from);
    trk_buf_lit(out, ",\"upto\":");
    trk_buf_uint(out, beat->upto);
    trk_buf_lit(out, ",\"void\":");
    trk_beat_ranges(out, voids);
    trk_buf_lit(out, ",\"lost\":");
    trk_beat_ranges(out, losts);
    trk_buf_lit(out, ",\"accepted\":");
    trk_buf_uint(out, beat->accepted);
    trk_buf_lit(out, ",\"rejected\":");
    trk_buf_uint(out, beat->rejected);

    if (beat->end) {
        trk_buf_lit(out, ",\"end\":true");
    }
}


void
trk_beat_write(trk_buf_t *out, const trk_beat_t *beat, size_t part)
{
    size_t           parts, skip, take;
    trk_beat_list_t  voids, losts, spool;

    parts = trk_beat_parts(beat);
    skip = part * TRK_BEAT_SPANS;
    take = TRK_BEAT_SPANS;

    voids = trk_beat_share(beat->voids, &skip, &take);
    losts = trk_beat_share(beat->losts, &skip, &take);
    spool = trk_beat_share(beat->spool, &skip, &take);

    trk_beat_head(out, beat);

    if (parts > 1) {
        trk_buf_lit(out, ",\"part\":");
        trk_buf_uint(out, part + 1);
        trk_buf_lit(out, ",\"parts\":");
        trk_buf_uint(out, parts);
    }

    if (beat->has_book) {
        trk_beat_book(out, beat, voids, losts);
    }

    if (beat->has_spool) {
        trk_buf_lit(out, ",\"spool\":");
        trk_beat_ranges(out, spool);
    }

    trk_buf_byte(out, '}');
}
