/*
 * Records into blocks: which column each value reaches, what makes a record
 * dead, what waits for another schema.  That ClickHouse reads the blocks as
 * they are meant is t/51-loader-rows.t's.
 */

#include "../../loader/metrics.c"
#include "../../loader/snapshot.c"
#include "../../loader/columns.c"
#include "../../loader/block.c"
#include "../../loader/cells.c"
#include "../../loader/rows.c"

#include "schema_fixture.h"


#define AT   1746266400123LL        /* 2025-05-03T10:00:00.123Z */
#define ID   "\"event_id\":\"00112233-4455-6677-8899-aabbccddeeff\""

#define PURCHASE(fields)                                                      \
    "{\"event_type\":\"purchase\"," ID ",\"fields\":{" fields "}}"
#define CLICK(fields)                                                         \
    "{\"event_type\":\"click\"," ID ",\"fields\":{" fields "}}"


static loader_rows_t      *rows;
static loader_snapshot_t  *snap;
static int64_t             offset;
static char                reason[LOADER_REASON_MAX];


#define F(name, type)  { { (const uint8_t *) name, sizeof(name) - 1 }, type, 0 }

static const loader_field_t  fields[] = {
    F("total", TRK_TYPE_FLOAT),
    F("order_id", TRK_TYPE_INT),
    F("coupon", TRK_TYPE_STRING),
    F("gift", TRK_TYPE_BOOL),
    F("paid_at", TRK_TYPE_TIMESTAMP),
    F("skus", TRK_TYPE_STRINGS),
    F("cart", TRK_TYPE_JSON),
    F("button_name", TRK_TYPE_STRING),
    F("total2", TRK_TYPE_INT),
};


static loader_snapshot_t *
make_snapshot(uint64_t generation, const loader_field_t *list, size_t n)
{
    trk_buf_t           image;
    trk_schema_t       *schema;
    loader_snapshot_t  *s;

    schema = fixture_schema();
    trk_buf_init(&image, SIZE_MAX);

    if (trk_schema_finish(schema) != TRK_OK
        || trk_image_build(schema, &image) != TRK_OK
        || loader_snapshot_create(&s, list, n, &image) != TRK_OK)
    {
        abort();
    }

    s->generation = generation;
    s->has_version = 1;
    s->lineage = schema->lineage;
    s->version = schema->version;
    trk_schema_free(schema);

    return s;
}


/* Adds a record whose value lies in memory of exactly its size. */

static int
add_with(const loader_snapshot_t *s, const char *json, int64_t time, int any)
{
    int                rc;
    char              *copy;
    loader_message_t   msg;

    copy = malloc(strlen(json));
    memcpy(copy, json, strlen(json));

    msg.value = trk_str_of(copy, strlen(json));
    msg.offset = offset++;
    msg.time = time;
    reason[0] = '\0';

    rc = loader_rows_add(rows, s, &msg, any, reason);
    free(copy);

    return rc;
}


static int
add(const char *json)
{
    return add_with(snap, json, AT, 0);
}


/* The column of a name in block i, filled up; NULL: not used. */

static trk_native_t *
column(size_t i, const char *name)
{
    size_t           c;
    loader_block_t  *block;

    block = loader_rows_block(rows, i);

    for (c = 0; c < block->ncolumns; c++) {
        if (block->columns[c].len == strlen(name)
            && memcmp(block->columns[c].name, name, strlen(name)) == 0
            && loader_column_used(&block->columns[c]))
        {
            return &block->columns[c].values;
        }
    }

    return NULL;
}


static void
is_data(const char *name, const void *p, size_t n, const char *what)
{
    trk_native_t  *col;

    col = column(0, name);
    ok(col != NULL && col->data.n == n && memcmp(col->data.p, p, n) == 0,
       "%s: %s", name, what);
}


static void
is_dead(const char *json, const char *why)
{
    size_t  before;

    before = loader_rows_count(rows);
    is_int(add(json), TRK_INVALID, "dead: %s", why);
    is_text(reason, strlen(reason), why, "with that reason");
    is_int(loader_rows_count(rows), before, "no row");
}


static void
test_types(void)
{
    double   total = 9.5;
    int64_t  order = INT64_MAX, paid = AT;

    loader_rows_reset(rows);

    is_int(add(PURCHASE("\"total\":9.5,\"order_id\":9223372036854775807,"
                        "\"coupon\":\"\\u00e9\\ud83d\\ude00\",\"gift\":true,"
                        "\"paid_at\":\"2025-05-03T12:00:00.1239+02:00\","
                        "\"skus\":[\"a\",\"\\n\"],"
                        "\"cart\":\"as \\u0069t came\"")),
           TRK_OK, "every type: %s", reason);

    is_data("f_total", &total, 8, "a double");
    is_data("f_order_id", &order, 8, "64 bits");
    is_data("f_coupon", "\6\xc3\xa9\xf0\x9f\x98\x80", 7, "decoded");
    is_data("f_gift", "\1", 1, "true");
    is_data("f_paid_at", &paid, 8, "milliseconds");
    is_data("f_skus", "\1a\1\n", 4, "elements");
    is_data("f_cart", "\x11\"as \\u0069t came\"", 18, "json is not decoded");

    ok(column(0, "f_button_name") == NULL, "unused fields have no column");
    ok(column(0, "fields_extra") == NULL, "nor has fields_extra");
    is_int(loader_block_generation(loader_rows_block(rows, 0)), 1,
           "the block needs the columns of generation 1");
}


static void
test_null_and_absent(void)
{
    trk_native_t  *col;

    loader_rows_reset(rows);

    is_int(add(PURCHASE("\"total\":null,\"skus\":null,\"zzz\":null")), TRK_OK,
           "null");
    is_int(add("{\"event_type\":\"purchase\"," ID "}"), TRK_OK, "no fields");
    ok(column(0, "f_total") == NULL && column(0, "fields_extra") == NULL,
       "null is absent");
    is_int(loader_block_generation(loader_rows_block(rows, 0)), 0,
           "such a block needs no columns");

    is_int(add(PURCHASE("\"order_id\":1e2")), TRK_OK, "1e2 is an integer");
    col = column(0, "f_order_id");
    ok(col != NULL && col->rows == 3 && memcmp(col->nulls.p, "\1\1\0", 3) == 0,
       "rows before it are NULL");
}


static void
test_dead(void)
{
    loader_rows_reset(rows);

    is_dead("", "the record has no value");
    is_dead(PURCHASE("\"order_id\":1.5"),
            "field order_id is a number, which does not fit its type int");
    is_dead(PURCHASE("\"order_id\":9223372036854775808"),
            "field order_id is a number, which does not fit its type int");
    is_dead(PURCHASE("\"order_id\":\"1\""),
            "field order_id is a string, which does not fit its type int");
    is_dead(PURCHASE("\"total\":1e999"),
            "field total is a number, which does not fit its type float");
    is_dead(PURCHASE("\"gift\":0"),
            "field gift is a number, which does not fit its type bool");
    is_dead(PURCHASE("\"coupon\":1"),
            "field coupon is a number, which does not fit its type string");
    is_dead(PURCHASE("\"skus\":[\"a\",null]"),
            "field skus is an array, which does not fit its type string[]");
    is_dead(PURCHASE("\"paid_at\":\"yesterday\""),
            "field paid_at is a string, which does not fit its type "
            "timestamp");
    is_dead("{" ID "}", "event_type is missing");
    is_dead("{\"event_type\":\"click\"," ID ",\"fields\":[]}",
            "fields is not an object");

    is_int(add_with(snap, CLICK(""), -1, 0), TRK_INVALID, "dead: no time");
    is_text(reason, strlen(reason), "received_at is missing, and Kafka has no"
            " timestamp for the record", "with that reason");
    is_int(add_with(snap, CLICK(""), INT64_MAX, 0), TRK_INVALID,
           "dead: an impossible date");

    is_int(loader_rows_blocks(rows), 0, "no block is left behind");
}


static void
test_extra(void)
{
    loader_rows_reset(rows);

    is_int(add(CLICK("\"button_name\":\"ok\",\"colour\":\"r\\u00f6t\","
                     "\"n\":1.50,\"o\":{\"a\":[1]},\"no\":null,"
                     "\"order_id\":\"A-1\",\"total\":3")),
           TRK_OK, "kept unknown fields");
    is_data("fields_extra", "\4r\xc3\xb6t\0041.50\11{\"a\":[1]}\3A-1", 24,
            "strings decoded, others as JSON, a namesake that does not fit");
    ok(column(0, "f_total") != NULL, "a namesake that fits has its column");
    ok(column(0, "f_order_id") == NULL, "one that does not has not");
}


static void
test_versions(void)
{
    trk_str_t          version;
    loader_snapshot_t  *unversioned;

    loader_rows_reset(rows);

#define VERSION(v)                                                            \
    "{\"event_type\":\"click\"," ID ",\"schema_version\":\"" v "\"}"

    is_int(add(VERSION("3f2a9c01-42")), TRK_OK, "this version");
    is_int(add(VERSION("3f2a9c01-7")), TRK_OK, "an older one");
    is_int(add(VERSION("mine")), TRK_OK, "no version at all");
    is_int(add(VERSION("3f2a9c01-99999999999999999999")), TRK_OK,
           "nor is this one");

    is_int(add(VERSION("3f2a9c01-43")), TRK_AGAIN, "a newer one");
    version = loader_rows_version(rows);
    is_text(version.p, version.n, "3f2a9c01-43", "is told");
    is_int(add(VERSION("00000000-1")), TRK_AGAIN, "another lineage");
    is_int(loader_rows_count(rows), 4, "no row of those");
    is_int(add_with(snap, VERSION("3f2a9c01-43"), AT, 1), TRK_OK,
           "unless any version will do");

    unversioned = make_snapshot(2, fields, 1);
    unversioned->has_version = 0;
    is_int(add_with(unversioned, VERSION("3f2a9c01-1"), AT, 0), TRK_AGAIN,
           "without PostgreSQL no version is covered");
    loader_snapshot_release(unversioned);
}


static void
test_dates(void)
{
#define STAMP(t)                                                              \
    "{\"event_type\":\"click\"," ID ",\"timestamp\":\"" t "\"}"

    loader_rows_reset(rows);

    is_int(add(STAMP("2025-05-03T00:00:00Z")), TRK_OK, "a date");
    is_int(add(STAMP("2025-05-01T00:00:00Z")), TRK_OK, "an earlier one");
    is_int(add(STAMP("2025-05-02T00:00:00Z")), TRK_OK, "between them");
    is_int(add(STAMP("2025-05-01T23:59:59.999Z")), TRK_OK, "one again");

    is_int(loader_rows_blocks(rows), 3, "a block for each");
    is_int(loader_block_day(loader_rows_block(rows, 0)), 20209, "by date");
    is_int(loader_block_day(loader_rows_block(rows, 1)), 20210, "by date");
    is_int(loader_block_day(loader_rows_block(rows, 2)), 20211, "by date");
    is_int(loader_block_count(loader_rows_block(rows, 0)), 2, "two rows");

    ok(loader_block_offsets(loader_rows_block(rows, 0))[1]
       == (uint64_t) offset - 1, "the last offset in its block");
    ok(column(0, "event_time_replaced") == NULL, "believed");

    is_int(add(STAMP("2024-01-01T00:00:00Z")), TRK_OK, "too old");
    is_int(loader_rows_blocks(rows), 3, "counts for Kafka's date");
    ok(column(2, "event_time_replaced") != NULL, "and is flagged");
}


/* Fields are numbered anew in each snapshot, and a block lives through
 * several. */

static void
test_new_snapshot(void)
{
    int64_t             values[] = { 1, 2 };
    loader_snapshot_t  *other;

    static const loader_field_t  list[] = {
        F("aaa", TRK_TYPE_STRING),
        F("order_id", TRK_TYPE_INT),
        F("total", TRK_TYPE_STRING),        /* as no database allows */
    };

    loader_rows_reset(rows);
    other = make_snapshot(7, list, 3);

    is_int(add(PURCHASE("\"order_id\":1,\"total\":1")), TRK_OK, "before");
    is_int(add_with(other, CLICK("\"order_id\":2,\"total\":\"x\","
                                 "\"aaa\":\"y\""), AT, 0), TRK_OK, "after");

    is_data("f_order_id", values, 16, "one column through both");
    is_data("fields_extra", "\1x", 2, "another type has no place in it");
    is_int(loader_block_generation(loader_rows_block(rows, 0)), 7,
           "the newer generation is needed");

    loader_snapshot_release(other);
}


static void
test_reuse(void)
{
    trk_buf_t  first, second;

    trk_buf_init(&first, SIZE_MAX);
    trk_buf_init(&second, SIZE_MAX);

    loader_rows_reset(rows);
    offset = 100;
    ok(add(CLICK("\"button_name\":\"a\",\"x\":\"1\"")) == TRK_OK, "a batch");
    ok(loader_block_native(loader_rows_block(rows, 0), &first) == TRK_OK,
       "written");
    ok(loader_rows_bytes(rows) > 0, "has bytes");

    loader_rows_reset(rows);
    is_int(loader_rows_count(rows) + loader_rows_bytes(rows)
           + loader_rows_blocks(rows), 0, "empty after reset");
    offset = 100;
    ok(add(CLICK("\"button_name\":\"a\",\"x\":\"1\"")) == TRK_OK, "again");
    ok(loader_block_native(loader_rows_block(rows, 0), &second) == TRK_OK,
       "written");
    ok(first.n == second.n && memcmp(first.p, second.p, first.n) == 0,
       "the same bytes");

    trk_buf_reset(&first, SIZE_MAX);
    loader_block_columns(loader_rows_block(rows, 0), &first);
    is_text(first.p, first.n, "`event_type`,`event_id`,`event_date`,"
            "`event_time`,`kafka_topic`,`kafka_partition`,`kafka_offset`,"
            "`kafka_time`,`fields_extra`,`f_button_name`", "its columns");

    trk_buf_free(&first);
    trk_buf_free(&second);
}


static void
test_columns(void)
{
    uint8_t             there[9] = { 0 };
    trk_buf_t           text;
    loader_snapshot_t  *s;

    trk_buf_init(&text, SIZE_MAX);
    trk_buf_lit(&text, "f_total\tfloat\nf_x\t\nf_cart\tjson\nf_a'b\tint\n"
                       "f_y\tdecimal\nf_\tint\nnotab\n");

    loader_columns_mark(&text, snap, there);
    is_int(there[loader_snapshot_field(snap, trk_str("total"))], 1, "there");
    is_int(there[loader_snapshot_field(snap, trk_str("cart"))], 1, "there");
    is_int(there[loader_snapshot_field(snap, trk_str("gift"))], 0, "not");

    ok(loader_columns_snapshot(&text, &s) == TRK_OK, "a snapshot of columns");
    is_int(s->nfields, 2, "of those whose type is known");
    is_int(s->fields[loader_snapshot_field(s, trk_str("cart"))].data_type,
           TRK_TYPE_JSON, "json is told from string");
    is_int(loader_snapshot_defines(s, trk_str("purchase"), trk_str("total")),
           0, "and no event types");
    loader_snapshot_release(s);

    trk_buf_reset(&text, 0);
    loader_columns_add(&text, &fields[0]);
    loader_columns_add(&text, &fields[5]);
    is_text(text.p, text.n, "ALTER TABLE track.events ADD COLUMN IF NOT EXISTS"
            " `f_total` Nullable(Float64) COMMENT 'float', ADD COLUMN IF NOT"
            " EXISTS `f_skus` Array(String) COMMENT 'string[]'", "ALTER");
    trk_buf_free(&text);
}


int
main(void)
{
    snap = make_snapshot(1, fields, sizeof(fields) / sizeof(fields[0]));
    rows = loader_rows_create("tracking_events", 3);

    test_types();
    test_null_and_absent();
    test_dead();
    test_extra();
    test_versions();
    test_dates();
    test_new_snapshot();
    test_reuse();
    test_columns();

    loader_rows_free(rows);
    loader_snapshot_release(snap);

    return done();
}
