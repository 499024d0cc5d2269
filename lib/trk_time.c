/*
 * RFC 3339 and milliseconds.  See trk_time.h.
 *
 * Days are counted from a civil date and back with the arithmetic of the
 * proleptic Gregorian calendar over eras of 400 years (146,097 days), the
 * year begun on 1 March so that the leap day is its last.
 */

#include "trk_time.h"
#include "trk_digits.h"


#define TRK_DAY_MS       86400000
#define TRK_ERA_DAYS     146097
#define TRK_EPOCH_SHIFT  719468     /* days from 0000-03-01 to 1970-01-01 */


static int64_t trk_days_from_civil(int year, int month, int day);
static int trk_time_two(const uint8_t *p, unsigned *wrong);
static int trk_time_days_of(int year, int month);
static int trk_time_fraction(const uint8_t **p, const uint8_t *end);
static int trk_time_zone(const uint8_t *p, const uint8_t *end,
    int64_t *offset);


int
trk_time_parse(trk_str_t s, int64_t *ms)
{
    int             year, month, day, hour, minute, second, milli;
    int64_t         t, offset;
    unsigned        wrong;
    const uint8_t  *p, *end;

    p = s.p;
    end = s.p + s.n;

    if (s.n < sizeof("2025-05-03T10:00:00Z") - 1
        || p[4] != '-' || p[7] != '-' || (p[10] | 0x20) != 't'
        || p[13] != ':' || p[16] != ':')
    {
        return TRK_INVALID;
    }

    wrong = 0;
    year = trk_time_two(p, &wrong) * 100;
    year += trk_time_two(p + 2, &wrong);
    month = trk_time_two(p + 5, &wrong);
    day = trk_time_two(p + 8, &wrong);
    hour = trk_time_two(p + 11, &wrong);
    minute = trk_time_two(p + 14, &wrong);
    second = trk_time_two(p + 17, &wrong);

    if (wrong || month < 1 || month > 12 || day < 1
        || day > trk_time_days_of(year, month) || hour > 23 || minute > 59
        || second > 60)
    {
        return TRK_INVALID;
    }

    p += 19;
    milli = trk_time_fraction(&p, end);

    if (milli < 0 || trk_time_zone(p, end, &offset) != TRK_OK) {
        return TRK_INVALID;
    }

    t = trk_days_from_civil(year, month, day) * TRK_DAY_MS
        + ((hour * 60 + minute) * 60 + second) * 1000LL + milli - offset;

    if (t < TRK_TIME_MIN || t > TRK_TIME_MAX) {
        return TRK_LIMIT;
    }

    *ms = t;

    return TRK_OK;
}


/* The two digits at p as a number; what is none leaves a mark in *wrong. */

static inline int
trk_time_two(const uint8_t *p, unsigned *wrong)
{
    uint8_t  high, low;

    high = (uint8_t) (p[0] - '0');
    low = (uint8_t) (p[1] - '0');
    *wrong |= (high > 9) | (low > 9);

    return high * 10 + low;
}


static int
trk_time_days_of(int year, int month)
{
    static const uint8_t  days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) {
        return 29;
    }

    return days[month - 1];
}


/* ".123456" to 123; -1: a dot without digits. */

static int
trk_time_fraction(const uint8_t **p, const uint8_t *end)
{
    int             milli, scale;
    const uint8_t  *q;

    q = *p;

    if (q == end || *q != '.') {
        return 0;
    }

    for (q++, milli = 0, scale = 100; q < end && *q >= '0' && *q <= '9'; q++) {
        milli += (*q - '0') * scale;
        scale /= 10;
    }

    if (q == *p + 1) {
        return -1;
    }

    *p = q;

    return milli;
}


static int
trk_time_zone(const uint8_t *p, const uint8_t *end, int64_t *offset)
{
    int       hour, minute;
    unsigned  wrong;

    if (end - p == 1 && (*p | 0x20) == 'z') {
        *offset = 0;
        return TRK_OK;
    }

    if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':') {
        return TRK_INVALID;
    }

    wrong = 0;
    hour = trk_time_two(p + 1, &wrong);
    minute = trk_time_two(p + 4, &wrong);

    if (wrong || hour > 23 || minute > 59) {
        return TRK_INVALID;
    }

    *offset = (hour * 60 + minute) * 60000LL;

    if (*p == '-') {
        *offset = -*offset;
    }

    return TRK_OK;
}


static int64_t
trk_days_from_civil(int year, int month, int day)
{
    int  era, y, d;

    y = month <= 2 ? year - 1 : year;
    era = (y >= 0 ? y : y - 399) / 400;
    y -= era * 400;
    d = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return (int64_t) era * TRK_ERA_DAYS + y * 365 + y / 4 - y / 100 + d
           - TRK_EPOCH_SHIFT;
}


void
trk_time_format(int64_t ms, char *dst)
{
    int       era, d, y, mp, year;
    int64_t   days;
    unsigned  rest, month;

    days = trk_time_day(ms);
    rest = (unsigned) (ms - days * TRK_DAY_MS);
    days += TRK_EPOCH_SHIFT;

    era = (int) ((days >= 0 ? days : days - (TRK_ERA_DAYS - 1))
                 / TRK_ERA_DAYS);
    d = (int) (days - (int64_t) era * TRK_ERA_DAYS);
    y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    d -= y * 365 + y / 4 - y / 100;
    mp = (5 * d + 2) / 153;

    month = (unsigned) (mp < 10 ? mp + 3 : mp - 9);
    year = y + era * 400 + (month <= 2);

    memcpy(dst, "0000-00-00T00:00:00.000Z", TRK_TIME_LEN);

    trk_digits_two(dst, (unsigned) year / 100);
    trk_digits_two(dst + 2, (unsigned) year % 100);
    trk_digits_two(dst + 5, month);
    trk_digits_two(dst + 8, (unsigned) (d - (153 * mp + 2) / 5 + 1));
    trk_digits_two(dst + 11, rest / 3600000);
    trk_digits_two(dst + 14, rest / 60000 % 60);
    trk_digits_two(dst + 17, rest / 1000 % 60);
    dst[20] = (char) ('0' + rest % 1000 / 100);
    trk_digits_two(dst + 21, rest % 100);
}


int32_t
trk_time_day(int64_t ms)
{
    return (int32_t) ((ms - (ms < 0 ? TRK_DAY_MS - 1 : 0)) / TRK_DAY_MS);
}
