/*
 * Query arguments as an event.  See trk_query.h.
 */

#include "trk_query.h"
#include "trk_id.h"
#include "trk_utf8.h"

#include <stdlib.h>


typedef struct {
    trk_str_t         name;         /* decoded */
    trk_str_t         value;
    size_t            place;        /* among all arguments */
} trk_query_arg_t;

typedef struct {
    trk_buf_t        *out;
    trk_json_t       *scratch;
    trk_query_arg_t  *args;         /* by name, then as they came */
    size_t            nargs;
} trk_query_t;

typedef struct {
    trk_str_t         name;
    trk_data_type_t   type;         /* 0: no part of the event */
} trk_query_member_t;


static int trk_query_split(trk_query_t *q, trk_buf_t *text, trk_str_t args);
static int trk_query_decode(trk_buf_t *text, const uint8_t *p,
    const uint8_t *last, trk_str_t *s);
static int trk_query_arg_cmp(const void *one, const void *two);
static const trk_query_member_t *trk_query_member(trk_str_t name);
static const trk_image_type_t *trk_query_type(const trk_query_t *q,
    const trk_image_t *image);
static size_t trk_query_same(const trk_query_t *q, size_t i);
static int trk_query_members(trk_query_t *q);
static void trk_query_fields(trk_query_t *q, const trk_image_t *image,
    int comma);
static void trk_query_pair(trk_query_t *q, const trk_query_arg_t *arg,
    size_t n, trk_data_type_t type, char before);
static void trk_query_value(trk_query_t *q, trk_str_t value,
    trk_data_type_t type);
static int trk_query_bool(trk_buf_t *out, trk_str_t value);


static const trk_query_member_t  trk_query_names[] = {
    { { (const uint8_t *) "event_type", 10 }, TRK_TYPE_STRING },
    { { (const uint8_t *) "event_id", 8 }, TRK_TYPE_STRING },
    { { (const uint8_t *) "timestamp", 9 }, TRK_TYPE_TIMESTAMP },
    { { (const uint8_t *) "user_id", 7 }, TRK_TYPE_STRING },
    { { (const uint8_t *) "session_id", 10 }, TRK_TYPE_STRING },
    { { (const uint8_t *) "anonymous_id", 12 }, TRK_TYPE_STRING },
    { { (const uint8_t *) "key", 3 }, 0 },
    { { NULL, 0 }, 0 }
};


int
trk_query_event(trk_buf_t *out, trk_json_t *scratch, const trk_image_t *image,
    trk_str_t args)
{
    int          rc;
    trk_buf_t    text;
    trk_query_t  q;

    /* nothing grows when it is decoded, so views of the text stay good */

    trk_buf_init(&text, args.n);

    q.out = out;
    q.scratch = scratch;
    q.nargs = 0;

    /* each but the first takes two bytes at least */

    q.args = malloc((args.n / 2 + 1) * sizeof(*q.args));

    if (q.args == NULL
        || (args.n > 0 && trk_buf_reserve(&text, args.n) == NULL))
    {
        free(q.args);
        return TRK_NOMEM;
    }

    rc = trk_query_split(&q, &text, args);

    if (rc == TRK_OK) {
        qsort(q.args, q.nargs, sizeof(*q.args), trk_query_arg_cmp);

        trk_buf_byte(out, '{');
        trk_query_fields(&q, image, trk_query_members(&q));
        trk_buf_byte(out, '}');

        rc = out->failed ? TRK_NOMEM : TRK_OK;
    }

    trk_buf_free(&text);
    free(q.args);

    return rc;
}


static int
trk_query_split(trk_query_t *q, trk_buf_t *text, trk_str_t args)
{
    trk_query_arg_t  *arg;
    const uint8_t    *p, *end, *last, *equal;

    last = args.p + args.n;

    for (p = args.p; p < last; p = end + 1) {

        end = memchr(p, '&', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        equal = memchr(p, '=', (size_t) (end - p));

        if (equal == NULL) {
            equal = end;
        }

        if (equal == p) {
            continue;
        }

        arg = &q->args[q->nargs];
        arg->place = q->nargs++;

        if (trk_query_decode(text, p, equal, &arg->name) != TRK_OK
            || trk_query_decode(text, equal < end ? equal + 1 : end, end,
                                &arg->value)
               != TRK_OK)
        {
            return TRK_INVALID;
        }
    }

    return TRK_OK;
}


/* A "%" without two digits stands for itself, as in browsers. */

static int
trk_query_decode(trk_buf_t *text, const uint8_t *p, const uint8_t *last,
    trk_str_t *s)
{
    int      high, low;
    size_t   n, i;
    uint8_t  *dst;

    dst = text->p + text->n;

    for (n = 0; p < last; p++) {

        if (*p == '%' && last - p > 2) {
            high = trk_hex_digit(p[1]);
            low = trk_hex_digit(p[2]);

            if (high != -1 && low != -1) {
                dst[n++] = (uint8_t) (high << 4 | low);
                p += 2;
                continue;
            }
        }

        dst[n++] = *p == '+' ? ' ' : *p;
    }

    text->n += n;
    *s = trk_str_of(dst, n);

    while (n > 0) {
        i = trk_utf8_next(dst, n);

        if (i == 0) {
            return TRK_INVALID;
        }

        dst += i;
        n -= i;
    }

    return TRK_OK;
}


static int
trk_query_arg_cmp(const void *one, const void *two)
{
    int                     rc;
    const trk_query_arg_t  *a, *b;

    a = one;
    b = two;
    rc = trk_str_cmp(a->name, b->name);

    return rc ? rc : (a->place > b->place) - (a->place < b->place);
}


static const trk_query_member_t *
trk_query_member(trk_str_t name)
{
    const trk_query_member_t  *member;

    for (member = trk_query_names; member->name.n; member++) {
        if (trk_str_eq(member->name, name)) {
            return member;
        }
    }

    return NULL;
}


/* The event's, which tells what its fields are; NULL: not known. */

static const trk_image_type_t *
trk_query_type(const trk_query_t *q, const trk_image_t *image)
{
    size_t  i;

    for (i = 0; i < q->nargs; i++) {
        if (trk_str_eq(q->args[i].name, trk_str("event_type"))) {
            return trk_image_type(image, q->args[i].value);
        }
    }

    return NULL;
}


/* How many there are of the name that begins at i. */

static size_t
trk_query_same(const trk_query_t *q, size_t i)
{
    size_t  n;

    for (n = 1; i + n < q->nargs; n++) {
        if (!trk_str_eq(q->args[i].name, q->args[i + n].name)) {
            break;
        }
    }

    return n;
}


/* Whether there are any. */

static int
trk_query_members(trk_query_t *q)
{
    char                       before;
    size_t                     i, n;
    const trk_query_member_t  *member;

    for (i = 0, before = 0; i < q->nargs; i += n) {

        n = trk_query_same(q, i);
        member = trk_query_member(q->args[i].name);

        if (member != NULL && member->type != 0) {
            trk_query_pair(q, &q->args[i], n, member->type, before);
            before = ',';
        }
    }

    return before != 0;
}


static void
trk_query_fields(trk_query_t *q, const trk_image_t *image, int comma)
{
    char                      before;
    size_t                    i, n;
    const trk_image_type_t   *type;
    const trk_image_field_t  *field;

    type = trk_query_type(q, image);
    before = 0;

    for (i = 0; i < q->nargs; i += n) {

        n = trk_query_same(q, i);

        if (trk_query_member(q->args[i].name) != NULL) {
            continue;
        }

        if (!before) {
            if (comma) {
                trk_buf_byte(q->out, ',');
            }

            trk_buf_lit(q->out, "\"fields\":{");
        }

        field = type ? trk_image_field(image, type, q->args[i].name) : NULL;

        trk_query_pair(q, &q->args[i], n,
                       field ? (trk_data_type_t) field->data_type
                             : TRK_TYPE_STRING, before);
        before = ',';
    }

    if (before) {
        trk_buf_byte(q->out, '}');
    }
}


static void
trk_query_pair(trk_query_t *q, const trk_query_arg_t *arg, size_t n,
    trk_data_type_t type, char before)
{
    size_t  i;

    if (before) {
        trk_buf_byte(q->out, (uint8_t) before);
    }

    trk_buf_json_string(q->out, arg->name);
    trk_buf_byte(q->out, ':');

    if (n == 1 && type != TRK_TYPE_STRINGS) {
        trk_query_value(q, arg->value, type);
        return;
    }

    for (i = 0; i < n; i++) {
        trk_buf_byte(q->out, i ? ',' : '[');
        trk_query_value(q, arg[i].value, type);
    }

    trk_buf_byte(q->out, ']');
}


static void
trk_query_value(trk_query_t *q, trk_str_t value, trk_data_type_t type)
{
    switch (type) {

    case TRK_TYPE_BOOL:
        if (trk_query_bool(q->out, value)) {
            return;
        }

        break;

    case TRK_TYPE_INT:
    case TRK_TYPE_FLOAT:
    case TRK_TYPE_TIMESTAMP:
        if (trk_json_parse(q->scratch, value.p, value.n) == TRK_OK
            && q->scratch->nodes[0].type == TRK_JSON_NUMBER)
        {
            trk_buf_str(q->out, value);
            return;
        }

        break;

    case TRK_TYPE_JSON:
        if (trk_json_parse(q->scratch, value.p, value.n) == TRK_OK) {
            trk_buf_str(q->out, value);
            return;
        }

        break;

    default:
        break;
    }

    trk_buf_json_string(q->out, value);
}


static int
trk_query_bool(trk_buf_t *out, trk_str_t value)
{
    if (trk_str_eq(value, trk_str("true")) || trk_str_eq(value, trk_str("1")))
    {
        trk_buf_lit(out, "true");
        return 1;
    }

    if (trk_str_eq(value, trk_str("false")) || trk_str_eq(value, trk_str("0")))
    {
        trk_buf_lit(out, "false");
        return 1;
    }

    return 0;
}
