/*
 * Cleaning.  See trk_clean.h.
 */

#include "trk_clean.h"
#include "trk_time.h"


int
trk_clean_time(trk_clean_time_t *t, const int64_t *timestamp,
    const int64_t *received, const int64_t *kafka)
{
    int64_t  anchor, day;

    if (received == NULL && kafka == NULL) {
        return TRK_INVALID;
    }

    anchor = received ? *received : *kafka;

    if (anchor < TRK_TIME_MIN || anchor > TRK_TIME_MAX) {
        return TRK_INVALID;
    }

    t->ms = timestamp ? *timestamp : anchor;
    t->replaced = t->ms < anchor - TRK_CLEAN_PAST
                  || t->ms > anchor + TRK_CLEAN_FUTURE;

    if (t->replaced) {
        t->ms = anchor;
    }

    day = trk_time_day(t->ms);
    if (day < 0 || day > TRK_CLEAN_DAY_MAX) {
        return TRK_INVALID;
    }

    t->day = (int32_t) day;

    return TRK_OK;
}
