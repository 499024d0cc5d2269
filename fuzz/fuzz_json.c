/*
 * The scanner: what it takes is a tree that lies within the text, reads the
 * same when written again without white space, and holds what we say of
 * numbers, strings and lines; what it refuses has a place.
 */

#include "fuzz.h"
#include "trk_utf8.h"

#include <math.h>


static void fuzz_tree(const trk_json_t *json);
static void fuzz_container(const trk_json_t *json, uint32_t i);
static void fuzz_number(const trk_json_t *json, uint32_t i);
static void fuzz_string(trk_json_t *json, uint32_t i, trk_buf_t *buf);
static void fuzz_members(trk_json_t *json, uint32_t i);
static void fuzz_rewrite(const trk_json_t *json);
static void fuzz_write(const trk_json_t *json, uint32_t i, trk_buf_t *out);
static void fuzz_lines(const uint8_t *p, size_t n, int rc, uint32_t nnodes);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int         rc;
    uint8_t    *p;
    uint32_t    i;
    trk_buf_t   buf;
    trk_json_t  json;

    p = fuzz_copy(data, n);
    trk_json_init(&json);
    trk_buf_init(&buf, SIZE_MAX);

    rc = trk_json_parse(&json, p, n);

    if (rc == TRK_OK) {
        fuzz_tree(&json);

        for (i = 0; i < json.nnodes; i++) {
            if (json.nodes[i].type == TRK_JSON_NUMBER) {
                fuzz_number(&json, i);

            } else if (json.nodes[i].type == TRK_JSON_STRING) {
                fuzz_string(&json, i, &buf);

            } else if (json.nodes[i].type == TRK_JSON_OBJECT) {
                fuzz_members(&json, i);
            }
        }

        fuzz_rewrite(&json);

    } else {
        fuzz_must(rc == TRK_INVALID && json.offset <= n);
        fuzz_must(trk_error_status(json.error) == 400);
    }

    fuzz_lines(p, n, rc, json.nnodes);

    trk_buf_free(&buf);
    trk_json_free(&json);
    free(p);

    return 0;
}


static void
fuzz_tree(const trk_json_t *json)
{
    uint32_t                i;
    const trk_json_node_t  *node;

    fuzz_must(json->nnodes > 0 && json->nodes[0].next == json->nnodes);
    fuzz_must(json->cap * sizeof(*node) <= json->n * 8 + 8192);

    for (i = 0; i < json->nnodes; i++) {
        node = &json->nodes[i];

        fuzz_must(node->len > 0 && node->len <= json->n
                  && node->off <= json->n - node->len);
        fuzz_must(node->next > i && node->next <= json->nnodes);

        if (node->type == TRK_JSON_ARRAY || node->type == TRK_JSON_OBJECT) {
            fuzz_container(json, i);

        } else {
            fuzz_must(node->next == i + 1);
        }
    }
}


/* Children follow each other within their parent's text. */

static void
fuzz_container(const trk_json_t *json, uint32_t i)
{
    uint32_t                k, count, end;
    const trk_json_node_t  *node, *child;

    node = &json->nodes[i];
    end = node->off + 1;
    count = 0;

    for (k = i + 1; k < node->next; k = child->next, count++) {
        child = &json->nodes[k];

        fuzz_must(child->off >= end);
        end = child->off + child->len;
        fuzz_must(end < node->off + node->len);
        fuzz_must(node->type == TRK_JSON_ARRAY || count % 2 == 1
                  || child->type == TRK_JSON_STRING);
    }

    fuzz_must(k == node->next);
    fuzz_must(node->type == TRK_JSON_ARRAY || count % 2 == 0);
}


static void
fuzz_number(const trk_json_t *json, uint32_t i)
{
    int        rc;
    char      *text;
    double     d, want;
    int64_t    v, again;
    trk_buf_t  digits;
    trk_str_t  s;

    s = trk_json_text(json, i);
    text = strndup((const char *) s.p, s.n);
    want = strtod(text, NULL);

    rc = trk_number_double(s, &d);
    fuzz_must(rc == (isinf(want) ? TRK_LIMIT : TRK_OK));
    fuzz_must(d == want && !signbit(d) == !signbit(want));

    rc = trk_number_int64(s, &v);

    if (rc == TRK_OK) {
        trk_buf_init(&digits, 64);
        trk_buf_int(&digits, v);
        fuzz_must(trk_number_int64(trk_str_of(digits.p, digits.n), &again)
                  == TRK_OK && again == v);
        trk_buf_free(&digits);

        fuzz_must(!isinf(want) && (double) v == want);

    } else if (rc == TRK_LIMIT) {
        fuzz_must(v == INT64_MAX ? want >= 9.2e18
                                 : v == INT64_MIN && want <= -9.2e18);
    }

    free(text);
}


/* A string is UTF-8 once decoded, and written again the same. */

static void
fuzz_string(trk_json_t *json, uint32_t i, trk_buf_t *buf)
{
    size_t      k, len;
    uint8_t     brief[TRK_JSON_SHORT];
    trk_buf_t   out, again;
    trk_str_t   s, t;
    trk_json_t  copy;

    s = trk_json_string(json, i, buf);
    fuzz_must(s.p != NULL && s.n <= json->nodes[i].len - 2);

    for (k = 0; k < s.n; k += len) {
        len = trk_utf8_next(s.p + k, s.n - k);
        fuzz_must(len > 0);
    }

    t = trk_json_short(json, i, brief);
    fuzz_must(t.n == 0 || trk_str_eq(s, t));

    trk_buf_init(&out, SIZE_MAX);
    trk_buf_init(&again, SIZE_MAX);
    trk_json_init(&copy);

    trk_buf_json_string(&out, s);
    fuzz_must(trk_json_parse(&copy, out.p, out.n) == TRK_OK);
    fuzz_must(trk_str_eq(trk_json_string(&copy, 0, &again), s));

    trk_json_free(&copy);
    trk_buf_free(&again);
    trk_buf_free(&out);
}


/* Each member is found by its name, which no other has. */

static void
fuzz_members(trk_json_t *json, uint32_t i)
{
    uint32_t   k, count;
    trk_buf_t  name;

    trk_buf_init(&name, SIZE_MAX);
    count = 0;

    for (k = i + 1; k < json->nodes[i].next && count < 64;
         k = json->nodes[k + 1].next, count++)
    {
        trk_buf_reset(&name, SIZE_MAX);
        trk_json_decode(&name, trk_json_raw(json, k));
        fuzz_must(trk_json_member(json, i, trk_str_of(name.p, name.n))
                  == k + 1);
    }

    trk_buf_free(&name);
}


static void
fuzz_rewrite(const trk_json_t *json)
{
    uint32_t    i;
    trk_buf_t   out;
    trk_json_t  again;

    trk_buf_init(&out, SIZE_MAX);
    trk_json_init(&again);
    fuzz_write(json, 0, &out);

    fuzz_must(trk_json_parse(&again, out.p, out.n) == TRK_OK);
    fuzz_must(again.nnodes == json->nnodes);

    for (i = 0; i < json->nnodes; i++) {
        fuzz_must(again.nodes[i].type == json->nodes[i].type);
        fuzz_must(again.nodes[i].next == json->nodes[i].next);
        fuzz_must(again.nodes[i].flags == json->nodes[i].flags);
    }

    trk_json_free(&again);
    trk_buf_free(&out);
}


static void
fuzz_write(const trk_json_t *json, uint32_t i, trk_buf_t *out)
{
    int       object;
    uint32_t  k, count;

    object = json->nodes[i].type == TRK_JSON_OBJECT;

    if (!object && json->nodes[i].type != TRK_JSON_ARRAY) {
        trk_buf_str(out, trk_json_text(json, i));
        return;
    }

    trk_buf_byte(out, object ? '{' : '[');
    count = 0;

    for (k = i + 1; k < json->nodes[i].next; k = json->nodes[k].next) {

        if (count > 0) {
            trk_buf_byte(out, object && count % 2 ? ':' : ',');
        }

        fuzz_write(json, k, out);
        count++;
    }

    trk_buf_byte(out, object ? '}' : ']');
}


/* A text in one line is the same as a line, and two of it are two. */

static void
fuzz_lines(const uint8_t *p, size_t n, int rc, uint32_t nnodes)
{
    int         rc_lines;
    uint8_t    *twice;
    trk_json_t  json;

    trk_json_init(&json);
    rc_lines = trk_json_parse_lines(&json, p, n);

    if (rc_lines == TRK_OK) {
        fuzz_must(json.nodes[0].type == TRK_JSON_ARRAY);
        fuzz_must(json.nodes[0].next == json.nnodes);

    } else {
        fuzz_must(rc_lines == TRK_INVALID && json.offset <= n);
    }

    if (n > 0 && memchr(p, '\n', n) == NULL && rc == TRK_OK) {
        fuzz_must(rc_lines == TRK_OK && json.nnodes == nnodes + 1);

        twice = malloc(2 * n + 1);
        fuzz_must(twice != NULL);
        memcpy(twice, p, n);
        twice[n] = '\n';
        memcpy(twice + n + 1, p, n);

        fuzz_must(trk_json_parse_lines(&json, twice, 2 * n + 1) == TRK_OK);
        fuzz_must(json.nnodes == 2 * nnodes + 1);
        fuzz_must(trk_json_parse(&json, twice, 2 * n + 1) == TRK_INVALID);
        fuzz_must(trk_json_trails(&json));
        free(twice);
    }

    trk_json_free(&json);
}
