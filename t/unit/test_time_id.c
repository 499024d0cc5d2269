/*
 * RFC 3339 both ways, dates before 1970, UUIDs, CRC-32C.
 */

#include "trk_crc32c.h"
#include "trk_id.h"
#include "trk_time.h"

#include "tap.h"


typedef struct {
    const char  *text;
    int          rc;
    int64_t      ms;
} time_case_t;

static const time_case_t  times[] = {
    { "1970-01-01T00:00:00Z", TRK_OK, 0 },
    { "2025-05-03T10:00:00.000Z", TRK_OK, 1746266400000 },
    { "2025-05-03t10:00:00.123456z", TRK_OK, 1746266400123 },
    { "2025-05-03T12:30:00.5+02:30", TRK_OK, 1746266400500 },
    { "2025-05-02T22:00:00-12:00", TRK_OK, 1746266400000 },
    { "1969-12-31T23:59:59.999Z", TRK_OK, -1 },
    { "2000-02-29T00:00:00Z", TRK_OK, 951782400000 },
    { "2016-12-31T23:59:60Z", TRK_OK, 1483228800000 },
    { "2016-12-31T23:59:60.000Z", TRK_OK, 1483228800000 },
    { "2025-05-03t10:00:00.000Z", TRK_OK, 1746266400000 },
    { "2025-05-03T10:00:00.000z", TRK_OK, 1746266400000 },
    { "0000-01-01T00:00:00Z", TRK_OK, TRK_TIME_MIN },
    { "9999-12-31T23:59:59.999Z", TRK_OK, TRK_TIME_MAX },
    { "1900-01-01T00:00:00Z", TRK_OK, TRK_TIME_COLUMN_MIN },
    { "2299-12-31T23:59:59.999Z", TRK_OK, TRK_TIME_COLUMN_MAX },
    { "9999-12-31T23:59:59-00:01", TRK_LIMIT, 0 },
    { "0000-01-01T00:00:00+00:01", TRK_LIMIT, 0 },
    { "1900-02-29T00:00:00Z", TRK_INVALID, 0 },
    { "2025-02-30T00:00:00Z", TRK_INVALID, 0 },
    { "2025-13-01T00:00:00Z", TRK_INVALID, 0 },
    { "2025-00-01T00:00:00Z", TRK_INVALID, 0 },
    { "2025-01-00T00:00:00Z", TRK_INVALID, 0 },
    { "2025-05-03T24:00:00Z", TRK_INVALID, 0 },
    { "2025-05-03T10:60:00Z", TRK_INVALID, 0 },
    { "2025-05-03T10:00:61Z", TRK_INVALID, 0 },
    { "2025-05-03 10:00:00Z", TRK_INVALID, 0 },
    { "2025-05-03T10:00:00", TRK_INVALID, 0 },
    { "2025-05-03T10:00:00.Z", TRK_INVALID, 0 },
    { "2025-05-03T10:00:00+0200", TRK_INVALID, 0 },
    { "2025-05-03T10:00:00+24:00", TRK_INVALID, 0 },
    { "2025-05-03T10:00:00Zx", TRK_INVALID, 0 },
    { "2025-05-03T10:00Z", TRK_INVALID, 0 },
    { "2025-5-3T10:00:00Z", TRK_INVALID, 0 },
    { "", TRK_INVALID, 0 },
    { "12345678901234567890", TRK_INVALID, 0 },
};


/* What is said to be as it would be written must be that. */

static void
test_formatted(trk_str_t s, int64_t ms)
{
    char  text[TRK_TIME_LEN];

    trk_time_format(ms, text);
    is_int(trk_time_is_formatted(s),
           trk_str_eq(trk_str_of(text, sizeof(text)), s),
           "as written: %.*s", (int) s.n, (const char *) s.p);
}



static void
test_times(void)
{
    int      rc;
    size_t   i;
    int64_t  ms;

    for (i = 0; i < sizeof(times) / sizeof(*times); i++) {
        rc = trk_time_parse(trk_str_of(times[i].text, strlen(times[i].text)),
                            &ms);
        is_int(rc, times[i].rc, "time %s", times[i].text);

        if (rc == TRK_OK) {
            is_int(ms, times[i].ms, "ms of %s", times[i].text);
            test_formatted(trk_str_of(times[i].text, strlen(times[i].text)),
                           ms);
        }
    }
}


/* Every day of ten thousand years, there and back. */

static void
test_round_trip(void)
{
    char     text[TRK_TIME_LEN];
    int64_t  ms, back, bad;

    for (ms = TRK_TIME_MIN + 12345678, bad = 0; ms <= TRK_TIME_MAX;
         ms += 86400000 * 7LL + 1)
    {
        trk_time_format(ms, text);

        if (trk_time_parse(trk_str_of(text, sizeof(text)), &back) != TRK_OK
            || back != ms)
        {
            bad++;
        }
    }

    is_int(bad, 0, "format and parse agree");

    trk_time_format(1746266400123, text);
    is_text(text, sizeof(text), "2025-05-03T10:00:00.123Z", "formatted");

    is_int(trk_time_day(-1), -1, "the day before the epoch");
    is_int(trk_time_day(0), 0, "day 0");
    is_int(trk_time_day(86400000), 1, "day 1");
    is_int(trk_time_day(-86400000), -1, "its first millisecond");
}


static void
test_ids(void)
{
    char           text[TRK_UUID_LEN];
    trk_uuid_t     u, v;
    const uint8_t  random[10] = { 255, 255, 255, 255, 255, 255, 255, 255,
                                  255, 255 };

    is_int(trk_uuid_parse(trk_str("0199ABcd-0000-7000-8000-00000000000f"),
                          &u), TRK_OK, "either case");
    trk_uuid_format(&u, text);
    is_text(text, sizeof(text), "0199abcd-0000-7000-8000-00000000000f",
            "lower case");
    is_int(trk_uuid_parse(trk_str("0199abcd00007000800000000000000f0000"),
                          &u), TRK_INVALID, "without hyphens");
    is_int(trk_uuid_parse(trk_str("0199abcg-0000-7000-8000-00000000000f"),
                          &u), TRK_INVALID, "not hex");
    is_int(trk_uuid_parse(trk_str("{199abcd-0000-7000-8000-00000000000}"),
                          &u), TRK_INVALID, "braces");

    trk_uuid_v7(&v, 0x0123456789AB, random);
    trk_uuid_format(&v, text);
    is_text(text, sizeof(text), "01234567-89ab-7fff-bfff-ffffffffffff",
            "UUIDv7: time, version, variant");
    ok(!trk_uuid_is_nil(&v), "not nil");

    memset(&v, 0, sizeof(v));
    ok(trk_uuid_is_nil(&v), "nil");
}


static int
test_uuid_sum(const trk_uuid_t *u)
{
    int     sum;
    size_t  i;

    for (i = 0, sum = 0; i < sizeof(u->b); i++) {
        sum += u->b[i];
    }

    return sum;
}


/* Any byte in any place: a digit there counts, another is refused. */

static void
test_uuid_bytes(void)
{
    int         c, rc, digit, bad;
    size_t      i;
    uint8_t     text[TRK_UUID_LEN];
    trk_uuid_t  u;

    for (i = 0, bad = 0; i < sizeof(text); i++) {
        for (c = 0; c < 256; c++) {
            memcpy(text, "00000000-0000-0000-0000-000000000000", sizeof(text));
            digit = text[i] == '0' ? trk_hex_digit((uint8_t) c)
                                   : c == '-' ? 0 : -1;
            text[i] = (uint8_t) c;
            rc = trk_uuid_parse(trk_str_of(text, sizeof(text)), &u);

            bad += rc != (digit == -1 ? TRK_INVALID : TRK_OK);
            bad += rc == TRK_OK && digit == 0 && !trk_uuid_is_nil(&u);
            bad += digit > 0 && test_uuid_sum(&u) != digit
                   && test_uuid_sum(&u) != digit * 16;
        }
    }

    is_int(bad, 0, "every byte in every place");
}


/* Values of RFC 3720, appendix B.4. */

static void
test_crc32c(void)
{
    int      wrong;
    size_t   n;
    uint8_t  bytes[32], long_bytes[300], i;

    memset(bytes, 0, sizeof(bytes));
    is_int(trk_crc32c(0, bytes, 32), 0x8A9136AA, "32 zeros");

    memset(bytes, 255, sizeof(bytes));
    is_int(trk_crc32c(0, bytes, 32), 0x62A8AB43, "32 ones");

    for (i = 0; i < 32; i++) {
        bytes[i] = i;
    }

    is_int(trk_crc32c(0, bytes, 32), 0x46DD794E, "0 to 31");
    is_int(trk_crc32c(trk_crc32c(0, bytes, 13), bytes + 13, 19), 0x46DD794E,
           "in two steps");

    for (n = 0, wrong = 0; n < sizeof(long_bytes); n++) {
        long_bytes[n] = (uint8_t) (n * 167 + 13);
        wrong += trk_crc32c((uint32_t) n, long_bytes + n % 9, n - n % 9)
                 != trk_crc32c_by_table((uint32_t) n, long_bytes + n % 9,
                                        n - n % 9);
    }

    is_int(wrong, 0, "by instruction as by table");
}


int
main(void)
{
    test_times();
    test_round_trip();
    test_ids();
    test_uuid_bytes();
    test_crc32c();

    return done();
}
