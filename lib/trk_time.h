/*
 * Time as the project speaks it: integer milliseconds since the epoch, UTC,
 * and RFC 3339 text.  Proleptic Gregorian calendar, years 0000 to 9999; no
 * clock is read here.
 */

#ifndef TRK_TIME_H
#define TRK_TIME_H

#include "trk.h"


#define TRK_TIME_MIN   (-62167219200000LL)      /* 0000-01-01T00:00:00.000Z */
#define TRK_TIME_MAX   253402300799999LL        /* 9999-12-31T23:59:59.999Z */

/* What a ClickHouse DateTime64(3) column holds: years 1900 to 2299. */
#define TRK_TIME_COLUMN_MIN  (-2208988800000LL)
#define TRK_TIME_COLUMN_MAX  10413791999999LL

#define TRK_TIME_LEN   24       /* "2025-05-03T10:00:00.000Z" */


/*
 * RFC 3339 section 5.6 date-time to milliseconds.  Digits below the
 * millisecond are cut; a leap second (:60) is the second that follows; "t"
 * and "z" may be small.  TRK_INVALID: not RFC 3339, or no such day or hour.
 * TRK_LIMIT: an offset takes it outside the years 0000 to 9999.
 */
TRK_MUSTCHECK int trk_time_parse(trk_str_t s, int64_t *ms);

/* 1: s, which trk_time_parse() took, is what trk_time_format() would write.
 * Of that length there is nothing but milliseconds and a Z; a leap second is
 * written as another one. */
static inline int
trk_time_is_formatted(trk_str_t s)
{
    return s.n == TRK_TIME_LEN && s.p[10] == 'T' && s.p[17] != '6'
           && s.p[23] == 'Z';
}

/* Writes TRK_TIME_LEN bytes, no NUL.  ms within TRK_TIME_MIN..MAX. */
void trk_time_format(int64_t ms, char *dst);

/* Days since the epoch of the UTC date of ms (floor, so right before 1970). */
int32_t trk_time_day(int64_t ms);


#endif /* TRK_TIME_H */
