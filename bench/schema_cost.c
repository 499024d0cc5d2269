/*
 * What judging an event costs with schemas of several sizes: scanning and
 * validation of a 540-byte event, all its fields used, of a type drawn at
 * random; and what compiling and checking a schema's image costs.
 *
 *   schema_cost FIELDS EVENTS ROUNDS TYPES...
 *
 * prints for each number of types: the number; CPU nanoseconds an event, the
 * least and the median of all rounds; milliseconds to finish and build, and to
 * check; the image's bytes.  bench/schema.py builds and runs it.  Rounds go
 * through all sizes by turns, so that what disturbs the machine disturbs all.
 * The text of the event stays in the cache: what differs is the schema alone.
 */

#include "trk_image.h"
#include "trk_request.h"
#include "trk_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>


#define BODY_SIZE    540
#define NAME_DIGITS  6
#define MAX_SIZES    16
#define MAX_ROUNDS   1000
#define MAX_FIELDS   64


typedef struct {
    size_t     types;
    double     built;               /* ms */
    double     checked;             /* ms */
    double     times[MAX_ROUNDS];   /* ns an event */
    trk_buf_t  image;
} size_of_t;


static size_of_t  sizes[MAX_SIZES];


/* Nanoseconds of CPU time of this thread. */

static double
now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);

    return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}


static void
fail(const char *what)
{
    fprintf(stderr, "schema_cost: %s\n", what);
    exit(EXIT_FAILURE);
}


static trk_schema_t *
make_schema(size_t types, size_t fields)
{
    int                 n;
    char                name[64];
    size_t              i, k;
    trk_schema_t       *schema;
    trk_schema_type_t  *type;
    const trk_uuid_t    lineage = { { 1 } };

    schema = trk_schema_create(&lineage, 1);

    for (i = 0; i < types; i++) {
        n = snprintf(name, sizeof(name), "type_%0*zu", NAME_DIGITS, i);
        type = trk_schema_add_type(schema, trk_str_of(name, (size_t) n), 1,
                                   TRK_ADDITIONAL_REJECT);

        for (k = 0; k < fields; k++) {
            n = snprintf(name, sizeof(name), "field_%zu", k);

            if (trk_schema_add_field(schema, type,
                                     trk_str_of(name, (size_t) n),
                                     TRK_TYPE_STRING, k < 5)
                != TRK_OK)
            {
                fail("no memory");
            }
        }
    }

    return schema;
}


/* An event with all fields; *digits: where the type's number goes. */

static void
make_body(trk_buf_t *body, size_t fields, char **digits)
{
    size_t  k, at;

    trk_buf_lit(body, "{\"event_type\":\"type_");
    at = body->n;
    trk_buf_lit(body, "000000\",\"session_id\":\"s-123456\",\"fields\":{");

    for (k = 0; k < fields; k++) {
        trk_buf_add(body, ",", k == 0 ? 0 : 1);
        trk_buf_lit(body, "\"field_");
        trk_buf_uint(body, k);
        trk_buf_lit(body, "\":\"0123456789\"");
    }

    trk_buf_lit(body, "},\"context\":{\"page_title\":\"");

    while (body->n < BODY_SIZE - 3) {
        trk_buf_byte(body, 'x');
    }

    trk_buf_lit(body, "\"}}");

    if (body->failed) {
        fail("no memory");
    }

    *digits = (char *) body->p + at;
}


static double
judge(const trk_image_t *image, size_t types, size_t fields, size_t events)
{
    char          *digits;
    size_t         i, k;
    double         begin;
    uint64_t       random, type;
    trk_buf_t      body;
    trk_limits_t   limits = { .max_events = 1, .max_event_size = 65536 };
    trk_request_t  req;

    random = 88172645463325252ULL;
    trk_buf_init(&body, 65536);
    make_body(&body, fields, &digits);
    trk_request_init(&req);
    begin = now();

    for (i = 0; i < events; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;

        for (k = NAME_DIGITS, type = random % types; k > 0; type /= 10) {
            digits[--k] = (char) ('0' + type % 10);
        }

        if (trk_request_judge(&req, image, &limits, TRK_BODY_JSON,
                              body.p, body.n)
            != TRK_OK || req.nrejected != 0)
        {
            fail("the event is not accepted");
        }
    }

    begin = now() - begin;
    trk_request_free(&req);
    trk_buf_free(&body);

    return begin / (double) events;
}


static void
build(size_of_t *size, size_t fields)
{
    double         begin, built;
    trk_schema_t  *schema;

    schema = make_schema(size->types, fields);
    trk_buf_init(&size->image, 1 << 30);
    begin = now();

    if (trk_schema_finish(schema) != TRK_OK
        || trk_image_build(schema, &size->image) != TRK_OK)
    {
        fail("the schema does not compile");
    }

    built = now();

    if (trk_image_check(size->image.p, size->image.n) != TRK_OK) {
        fail("the image is damaged");
    }

    size->built = (built - begin) / 1e6;
    size->checked = (now() - built) / 1e6;
    trk_schema_free(schema);
}


static int
compare(const void *one, const void *two)
{
    const double  *a = one, *b = two;

    return (*a > *b) - (*a < *b);
}


static size_t
argument(const char *text, size_t least, size_t most)
{
    size_t  n;

    n = strtoul(text, NULL, 10);

    if (n < least || n > most) {
        fail("usage: schema_cost FIELDS EVENTS ROUNDS TYPES...");
    }

    return n;
}


int
main(int argc, char **argv)
{
    int     i, n;
    size_t  fields, events, rounds, k;

    n = argc - 4;

    if (n < 1 || n > MAX_SIZES) {
        fail("usage: schema_cost FIELDS EVENTS ROUNDS TYPES...");
    }

    fields = argument(argv[1], 1, MAX_FIELDS);
    events = argument(argv[2], 1, 1000000000);
    rounds = argument(argv[3], 1, MAX_ROUNDS);

    for (i = 0; i < n; i++) {
        sizes[i].types = argument(argv[4 + i], 1, 999999);
        build(&sizes[i], fields);
    }

    for (k = 0; k < rounds; k++) {
        for (i = 0; i < n; i++) {
            sizes[i].times[k] = judge((const void *) sizes[i].image.p,
                                      sizes[i].types, fields, events);
        }
    }

    for (i = 0; i < n; i++) {
        qsort(sizes[i].times, rounds, sizeof(double), compare);
        printf("%zu %.1f %.1f %.3f %.3f %zu\n", sizes[i].types,
               sizes[i].times[0], sizes[i].times[rounds / 2],
               sizes[i].built, sizes[i].checked, sizes[i].image.n);
        trk_buf_free(&sizes[i].image);
    }

    return EXIT_SUCCESS;
}
