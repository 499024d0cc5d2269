/*
 * event_time: the timestamp within its window, else what it is held against;
 * the window's edges belong to it.
 */

#include "trk_clean.h"

#include "tap.h"


#define NONE  INT64_MIN

static const int64_t  at = 1746266400000LL;     /* 2025-05-03T10:00:00Z */
static const int64_t  hour = 3600LL * 1000;
static const int64_t  day = 86400LL * 1000;


static void
is_time(int64_t timestamp, int64_t received, int64_t kafka, int64_t ms,
    int replaced, const char *what)
{
    int               rc;
    trk_clean_time_t  t;

    memset(&t, 0, sizeof(t));
    rc = trk_clean_time(&t, timestamp == NONE ? NULL : &timestamp,
                        received == NONE ? NULL : &received,
                        kafka == NONE ? NULL : &kafka);

    if (ms == NONE) {
        is_int(rc, TRK_INVALID, "%s: no time", what);
        return;
    }

    is_int(rc, TRK_OK, "%s: a time", what);
    is_int(t.ms, ms, "%s: the right one", what);
    is_int(t.replaced, replaced, "%s: %s", what,
           replaced ? "flagged" : "not flagged");
    is_int(t.day, ms / day, "%s: its date", what);
}


int
main(void)
{
    is_time(at - 5, at, at + 9, at - 5, 0, "an ordinary event");
    is_time(NONE, at, at + 9, at, 0, "no timestamp");
    is_time(NONE, NONE, at, at, 0, "nothing but Kafka's");
    is_time(at, NONE, NONE, NONE, 0, "a timestamp alone");
    is_time(NONE, NONE, NONE, NONE, 0, "nothing");

    is_time(at - 30 * day, at, NONE, at - 30 * day, 0, "30 days before");
    is_time(at - 30 * day - 1, at, NONE, at, 1, "30 days and 1 ms before");
    is_time(at + hour, at, NONE, at + hour, 0, "1 hour after");
    is_time(at + hour + 1, at, NONE, at, 1, "1 hour and 1 ms after");

    is_time(at, at + 400 * day, at, at + 400 * day, 1,
            "received_at counts, not Kafka's");
    is_time(at - 40 * day, NONE, at, at, 1, "Kafka's where it is absent");

    is_time(NONE, 0, NONE, 0, 0, "the first day of Date");
    is_time(NONE, -1, NONE, NONE, 0, "a day before it");
    is_time(NONE, 65536 * day - 1, NONE, 65536 * day - 1, 0, "the last day");
    is_time(NONE, 65536 * day, NONE, NONE, 0, "a day after it");
    is_time(65536 * day, 65536 * day - 1, NONE, NONE, 0,
            "the last day, but the event an instant later");
    is_time(NONE, INT64_MAX, NONE, NONE, 0, "the end of numbers");
    is_time(at, NONE, INT64_MIN + 1, NONE, 0, "their beginning");

    return done();
}
