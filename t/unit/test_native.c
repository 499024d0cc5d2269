/*
 * Columns of Native blocks against the bytes of ClickHouse itself: each
 * expected string is what `SELECT … AS c FORMAT Native` of ClickHouse 26.7
 * sends over HTTP.  That the engine also reads them is t/51-loader-rows.t's.
 */

#include "trk_native.h"

#include "tap.h"


#define MAX  (1 << 20)


static trk_native_t  col;
static trk_buf_t     out;


static void
begin(trk_native_type_t type)
{
    trk_native_free(&col);
    trk_native_init(&col, type, MAX, 42);
}


static void
is_block(size_t rows, const char *hex)
{
    char         *got;
    size_t        i;
    const char   *name;

    trk_buf_reset(&out, MAX);
    trk_native_write_head(&out, 1, rows);
    trk_native_write(&out, &col, trk_str("c"), rows);

    got = calloc(1, out.n * 2 + 1);

    for (i = 0; i < out.n; i++) {
        snprintf(got + i * 2, 3, "%02x", out.p[i]);
    }

    name = trk_native_type_name(col.type);
    is_text(got, strlen(got), hex, "%s: %zu rows", name, rows);
    is_int(trk_native_failed(&col), TRK_OK, "%s: no failure", name);
    free(got);
}


static void
test_strings(void)
{
    begin(TRK_NATIVE_STRING);
    trk_native_put_string(&col, 1, trk_str("a"));
    trk_native_put_string(&col, 2, trk_str("\xc3\xa9\0z"));
    is_block(3, "0103016306537472696e6700016104c3a9007a");

    begin(TRK_NATIVE_LC_STRING);
    trk_native_put_string(&col, 0, trk_str("b"));
    trk_native_put_string(&col, 2, trk_str("a"));
    trk_native_put_string(&col, 3, trk_str("b"));
    is_block(4, "01040163164c6f7743617264696e616c69747928537472696e6729010000"
                "0000000000000600000000000003000000000000000001620161040000"
                "000000000001000201");

    begin(TRK_NATIVE_NULL_STRING);
    trk_native_put_string(&col, 1, trk_str("x"));
    trk_native_put_string(&col, 2, trk_str(""));
    is_block(3, "01030163104e756c6c61626c6528537472696e6729010000000178"
                "00");
}


static void
test_numbers(void)
{
    trk_uuid_t  u;

    begin(TRK_NATIVE_UUID);
    ok(trk_uuid_parse(trk_str("00112233-4455-6677-8899-aabbccddeeff"), &u)
       == TRK_OK, "a UUID");
    trk_native_put_uuid(&col, 1, &u);
    is_block(2, "0102016304555549440000000000000000000000000000000077665544"
                "33221100ffeeddccbbaa9988");

    begin(TRK_NATIVE_DATE);
    trk_native_put_uint(&col, 1, 65535);
    is_block(2, "0102016304446174650000ffff");

    begin(TRK_NATIVE_DATETIME);
    trk_native_put_int(&col, 1, -1);
    trk_native_put_int(&col, 2, 1746266400123);
    is_block(3, "01030163144461746554696d65363428332c2027555443272900000000"
                "00000000ffffffffffffffff7ba5969596010000");

    begin(TRK_NATIVE_UINT32);
    trk_native_put_uint(&col, 1, UINT32_MAX);
    is_block(2, "010201630655496e74333200000000ffffffff");

    begin(TRK_NATIVE_UINT64);
    trk_native_put_uint(&col, 1, UINT64_MAX);
    is_block(2, "010201630655496e7436340000000000000000ffffffffffffffff");

    begin(TRK_NATIVE_BOOL);
    trk_native_put_uint(&col, 1, 1);
    is_block(2, "0102016304426f6f6c0001");
}


static void
test_nullable_numbers(void)
{
    begin(TRK_NATIVE_NULL_INT64);
    trk_native_put_int(&col, 1, INT64_MIN);
    trk_native_put_int(&col, 2, INT64_MAX);
    is_block(3, "010301630f4e756c6c61626c6528496e74363429010000000000000000"
                "00000000000000000080ffffffffffffff7f");

    begin(TRK_NATIVE_NULL_FLOAT64);
    trk_native_put_double(&col, 1, 0.1);
    trk_native_put_double(&col, 2, -1e300);
    is_block(3, "01030163114e756c6c61626c6528466c6f617436342901000000000000"
                "000000009a9999999999b93f9c7500883ce437fe");

    begin(TRK_NATIVE_NULL_BOOL);
    trk_native_put_int(&col, 1, 1);
    trk_native_put_int(&col, 2, 0);
    is_block(3, "010301630e4e756c6c61626c6528426f6f6c29010000000100");

    begin(TRK_NATIVE_NULL_DATETIME);
    trk_native_put_int(&col, 1, 1746266400123);
    is_block(2, "010201631e4e756c6c61626c65284461746554696d65363428332c2027"
                "555443272929010000000000000000007ba5969596010000");
}


static void
test_lists(void)
{
    begin(TRK_NATIVE_STRINGS);
    trk_native_put_row(&col, 1);
    trk_native_put_element(&col, trk_str("x"));
    trk_native_put_element(&col, trk_str(""));
    trk_native_put_row(&col, 2);
    trk_native_put_element(&col, trk_str("y\xc3\xa9"));
    is_block(3, "010301630d417272617928537472696e67290000000000000000020000"
                "000000000003000000000000000178000379c3a9");

    begin(TRK_NATIVE_MAP);
    trk_native_put_row(&col, 1);
    trk_native_put_pair(&col, trk_str("k"), trk_str("v"));
    trk_native_put_pair(&col, trk_str("l"), trk_str(""));
    trk_native_put_row(&col, 2);
    trk_native_put_pair(&col, trk_str("l"), trk_str("w"));
    is_block(3, "01030163234d6170284c6f7743617264696e616c69747928537472696e"
                "67292c20537472696e67290100000000000000000000000000000002000"
                "0000000000003000000000000000006000000000000030000000000000"
                "000016b016c03000000000000000102020176000177");

    begin(TRK_NATIVE_MAP);
    is_block(1, "01010163234d6170284c6f7743617264696e616c69747928537472696e"
                "67292c20537472696e672901000000000000000000000000000000");
}


/* Columns without a value are all defaults; a column is good again after
 * reset, with other rows. */

static void
test_fill_and_reset(void)
{
    begin(TRK_NATIVE_NULL_INT64);
    is_block(2, "010201630f4e756c6c61626c6528496e743634290101000000000000000"
                "00000000000000000");

    trk_native_reset(&col, 0);
    trk_native_put_int(&col, 0, 7);
    is_block(1, "010101630f4e756c6c61626c6528496e74363429000700000000000000");

    begin(TRK_NATIVE_LC_STRING);
    trk_native_put_string(&col, 0, trk_str("old"));
    trk_native_reset(&col, MAX);
    trk_native_put_string(&col, 0, trk_str("a"));
    is_block(1, "01010163164c6f7743617264696e616c69747928537472696e6729010000"
                "0000000000000600000000000002000000000000000001610100000000"
                "00000001");
}


/* The width of an index follows the number of keys; every string keeps its
 * number while the table grows. */

static void
test_dictionary(size_t n, size_t width)
{
    char      s[32];
    size_t    i, bad;
    uint32_t  key;

    begin(TRK_NATIVE_LC_STRING);

    for (i = 0; i < 2 * n; i++) {
        snprintf(s, sizeof(s), "key%zu", i % n);
        trk_native_put_string(&col, i, trk_str_of(s, strlen(s)));
    }

    for (i = 0, bad = 0; i < 2 * n; i++) {
        memcpy(&key, col.data.p + i * 4, 4);
        bad += key != i % n + 1;
    }

    is_int(col.dict.nkeys, n, "%zu strings have a number", n);
    is_int(bad, 0, "and keep it");

    trk_buf_reset(&out, SIZE_MAX);
    trk_native_write(&out, &col, trk_str("c"), 2 * n);
    is_int(out.p[8 + 17 + 8], width >> 1, "indexes of %zu bytes", width);
}


static void
test_limits(void)
{
    size_t  i;

    trk_native_free(&col);
    trk_native_init(&col, TRK_NATIVE_STRING, 1000, 0);

    for (i = 0; i < 200; i++) {
        trk_native_put_string(&col, i, trk_str("123456789"));
    }

    is_int(trk_native_failed(&col), TRK_LIMIT, "over its bound: failed");
    ok(trk_native_size(&col, 200) <= 1000, "and not beyond");

    trk_native_reset(&col, 0);
    is_int(trk_native_failed(&col), TRK_OK, "reset mends it");

    trk_native_free(&col);
    trk_native_init(&col, TRK_NATIVE_LC_STRING, 100, 0);
    trk_native_put_string(&col, 0, trk_str("1234567890123456789012345678901234"
                                           "1234567890123456789012345678901234"
                                           "1234567890123456789012345678901234")
                          );
    is_int(trk_native_failed(&col), TRK_LIMIT, "so with dictionaries");
}


static void
test_varint(void)
{
    trk_buf_reset(&out, MAX);
    trk_native_varint(&out, 127);
    trk_native_varint(&out, 128);
    trk_native_varint(&out, UINT64_MAX);
    ok(out.n == 13 && memcmp(out.p, "\x7f\x80\x01\xff\xff\xff\xff\xff\xff"
                                    "\xff\xff\xff\x01", 13) == 0, "varints");
}


int
main(void)
{
    trk_buf_init(&out, SIZE_MAX);

    test_strings();
    test_numbers();
    test_nullable_numbers();
    test_lists();
    test_fill_and_reset();
    test_dictionary(255, 1);
    test_dictionary(256, 2);
    test_dictionary(65535, 2);
    test_dictionary(65536, 4);
    test_limits();
    test_varint();

    trk_native_free(&col);
    trk_buf_free(&out);

    return done();
}
