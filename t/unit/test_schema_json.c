/*
 * The schema as JSON: what is written is read back the same, the older format
 * is read, what is damaged is refused with a reason, and any byte may be.
 */

#include "trk_schema_json.h"

#include "schema_fixture.h"


#define HEAD     "{\"format\":2,\"lineage\":"                                  \
                 "\"3f2a9c01-0500-0000-0000-000000000000\",\"version\":7,"
#define TYPES    "\"event_types\":[{\"name\":\"a\",\"enabled\":true,"         \
                 "\"additional_fields\":\"keep\",\"fields\":[]}]"
#define SOURCES  "\"sources\":[{\"name\":\"web\",\"origins\":[],"             \
                 "\"event_types\":[]}]"
#define HASH     "00112233445566778899aabbccddeeff"                            \
                 "00112233445566778899AABBCCDDEEFF"


static trk_buf_t
written(const trk_schema_t *schema)
{
    trk_buf_t  out;

    trk_buf_init(&out, 1 << 20);
    trk_schema_json_write(schema, &out);

    return out;
}


static trk_schema_t *
read_back(const char *text, size_t n, char *error)
{
    uint8_t       *copy;
    trk_schema_t  *schema;

    copy = malloc(n + 1);
    memcpy(copy, text, n);
    error[0] = '\0';

    if (trk_schema_json_read(trk_str_of(copy, n), &schema, error) != TRK_OK
        && schema != NULL)
    {
        abort();
    }

    free(copy);

    return schema;
}


static void
test_round(void)
{
    char           error[TRK_SCHEMA_ERROR_MAX];
    trk_buf_t      first, second, image, again;
    trk_schema_t  *schema, *back;

    schema = fixture_schema();
    is_int(trk_schema_finish(schema), TRK_OK, "the fixture");
    first = written(schema);
    ok(!first.failed, "written");

    back = read_back((char *) first.p, first.n, error);
    ok(back, "read: %s", error);
    second = written(back);
    ok(first.n == second.n && memcmp(first.p, second.p, first.n) == 0,
       "and written again the same");

    trk_buf_init(&image, 1 << 20);
    trk_buf_init(&again, 1 << 20);
    is_int(trk_image_build(schema, &image), TRK_OK, "its image");
    is_int(trk_image_build(back, &again), TRK_OK, "and that of what was read");
    ok(image.n == again.n && memcmp(image.p, again.p, image.n) == 0,
       "are the same");

    ok(has_text(first.p, first.n, "\n{\"name\":\"shop\",\"origins\":"
                "[\"https://*.example.com\",\"null\"],\"event_types\":"
                "[\"click\",\"not yet\",\"purchase\"]}"), "a source");
    ok(has_text(first.p, first.n, "cccc\",\"source\":\"app\"}"), "a key");
    ok(has_text(first.p, first.n, "dddd\",\"expires_at\":1000}"), "a token");
    ok(has_text(first.p, first.n, "eeee\"}"), "one for ever");

    trk_buf_free(&first);
    trk_buf_free(&second);
    trk_buf_free(&image);
    trk_buf_free(&again);
    trk_schema_free(schema);
    trk_schema_free(back);
}


static void
test_formats(void)
{
    char           error[TRK_SCHEMA_ERROR_MAX];
    trk_schema_t  *schema;

    const char  one[] = "{\"format\":1,\"lineage\":"
                        "\"3f2a9c01-0500-0000-0000-000000000000\","
                        "\"version\":42," TYPES "}";
    const char  two[] = HEAD TYPES "," SOURCES ",\"keys\":[{\"hash\":\"" HASH
                        "\",\"source\":\"web\"}],\"tokens\":[],\"more\":1}";

    schema = read_back(one, sizeof(one) - 1, error);
    ok(schema, "format 1: %s", error);
    is_int(schema->version, 42, "its version");
    is_int(schema->ntypes, 1, "its event types");
    is_int(schema->nsources + schema->nkeys + schema->ntokens, 0,
           "nobody may send with a key");
    trk_schema_free(schema);

    schema = read_back(two, sizeof(two) - 1, error);
    ok(schema, "format 2, with a member more: %s", error);
    is_int(schema->nkeys, 1, "its key");
    is_int(schema->keys[0].hash[15], 0xff, "hex of either case");
    trk_schema_free(schema);
}


static void
test_refusals(void)
{
    size_t  i;
    char    error[TRK_SCHEMA_ERROR_MAX];

    static const struct {
        const char  *text;
        const char  *error;
    } cases[] = {
        { "", "is not a JSON object" },
        { "[]", "is not a JSON object" },
        { "{}", "has an unknown format" },
        { "{\"format\":\"1\"}", "has an unknown format" },
        { "{\"format\":3}", "has an unknown format" },
        { "{\"format\":2}", "has no lineage" },
        { "{\"format\":2,\"lineage\":"
          "\"3f2a9c01-0500-0000-0000-000000000000\"}", "has no version" },
        { HEAD "\"x\":0}", "has no or damaged event_types" },
        { HEAD "\"event_types\":[1]}", "has no or damaged event_types" },
        { HEAD "\"event_types\":[{}]}", "has no or damaged event_types" },
        { HEAD "\"event_types\":[{\"name\":\"a\",\"enabled\":true,"
          "\"additional_fields\":\"keep\"}]}",
          "has no or damaged event_types" },
        { HEAD "\"event_types\":[{\"name\":\"a\",\"enabled\":true,"
          "\"additional_fields\":\"keep\",\"fields\":[{\"name\":\"x\"}]}]}",
          "has no or damaged event_types" },
        { HEAD TYPES "}", "has no or damaged sources" },
        { HEAD TYPES ",\"sources\":[{\"name\":\"web\",\"origins\":[1],"
          "\"event_types\":[]}]}", "has no or damaged sources" },
        { HEAD TYPES ",\"sources\":[{\"name\":\"web\",\"origins\":[]}]}",
          "has no or damaged sources" },
        { HEAD TYPES "," SOURCES "}", "has no or damaged keys" },
        { HEAD TYPES "," SOURCES ",\"keys\":[{\"hash\":\"00\","
          "\"source\":\"web\"}]}", "has no or damaged keys" },
        { HEAD TYPES "," SOURCES ",\"keys\":[]}",
          "has no or damaged tokens" },
        { HEAD TYPES "," SOURCES ",\"keys\":[],\"tokens\":[{\"hash\":\""
          HASH "\",\"expires_at\":\"never\"}]}", "has no or damaged tokens" },
        { HEAD TYPES "," SOURCES ",\"keys\":[{\"hash\":\"" HASH "\","
          "\"source\":\"none\"}],\"tokens\":[]}",
          "source \"none\": a key of no source" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ok(!read_back(cases[i].text, strlen(cases[i].text), error),
           "refused: %s", cases[i].text);
        is_text(error, strlen(error), cases[i].error, "with the reason");
    }
}


/* Cut anywhere, and with each byte changed: refused, or a finished schema. */

static void
test_damage(void)
{
    char           error[TRK_SCHEMA_ERROR_MAX];
    size_t         i, whole;
    trk_buf_t      text;
    trk_schema_t  *schema;

    schema = fixture_schema();
    is_int(trk_schema_finish(schema), TRK_OK, "the fixture");
    text = written(schema);
    trk_schema_free(schema);

    for (i = 0, whole = 0; i < text.n - 1; i++) {
        schema = read_back((char *) text.p, i, error);
        whole += schema != NULL;
        trk_schema_free(schema);
    }

    is_int(whole, 0, "cut anywhere it is refused");

    for (i = 0, whole = 0; i < text.n; i++) {
        text.p[i] ^= 0x02;
        schema = read_back((char *) text.p, text.n, error);
        whole += schema != NULL || error[0] != '\0';
        trk_schema_free(schema);
        text.p[i] ^= 0x02;
    }

    is_int(whole, text.n, "a changed byte is read, or refused with a reason");

    trk_buf_free(&text);
}


int
main(void)
{
    test_round();
    test_formats();
    test_refusals();
    test_damage();

    return done();
}
