/*
 * The scanner's verdicts, for t/04-differential.t, which holds them against
 * those of other parsers.
 *
 * Standard input: texts, each after its length in 4 bytes, little-endian.
 * Standard output, a line for each: the error's code, or "ok" and the value:
 *
 *   n t f          null, true, false
 *   #1.50          a number as it was written
 *   "c3a9          a string, decoded, its UTF-8 in hex
 *   [ … ] { … }    with their elements; names and values by turns
 */

#include "trk_json.h"
#include "trk_id.h"

#include <stdio.h>
#include <stdlib.h>


static void verdict_print(const trk_json_t *json, uint32_t i, trk_buf_t *buf);
static void verdict_string(const trk_json_t *json, uint32_t i,
    trk_buf_t *buf);


int
main(void)
{
    int         rc;
    size_t      n;
    uint8_t     head[4], *text;
    trk_buf_t   buf;
    trk_json_t  json;

    trk_json_init(&json);
    trk_buf_init(&buf, SIZE_MAX);

    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {

        n = (size_t) head[0] | (size_t) head[1] << 8 | (size_t) head[2] << 16
            | (size_t) head[3] << 24;
        text = malloc(n ? n : 1);

        if (text == NULL || fread(text, 1, n, stdin) != n) {
            fprintf(stderr, "verdict: a text of %zu bytes is not there\n", n);
            return EXIT_FAILURE;
        }

        rc = trk_json_parse(&json, text, n);

        if (rc == TRK_OK) {
            (void) fputs("ok", stdout);
            verdict_print(&json, 0, &buf);
            (void) putchar('\n');

        } else {
            (void) puts(trk_error_name(json.error));
        }

        free(text);
    }

    trk_buf_free(&buf);
    trk_json_free(&json);

    return EXIT_SUCCESS;
}


static void
verdict_print(const trk_json_t *json, uint32_t i, trk_buf_t *buf)
{
    uint32_t   k;
    trk_str_t  text;

    text = trk_json_text(json, i);

    switch (json->nodes[i].type) {

    case TRK_JSON_STRING:
        verdict_string(json, i, buf);
        return;

    case TRK_JSON_NUMBER:
        printf(" #%.*s", (int) text.n, (const char *) text.p);
        return;

    case TRK_JSON_ARRAY:
    case TRK_JSON_OBJECT:
        printf(" %c", text.p[0]);

        for (k = i + 1; k < json->nodes[i].next; k = json->nodes[k].next) {
            verdict_print(json, k, buf);
        }

        printf(" %c", text.p[text.n - 1]);
        return;

    default:
        printf(" %c", text.p[0]);
    }
}


static void
verdict_string(const trk_json_t *json, uint32_t i, trk_buf_t *buf)
{
    size_t     k;
    char       hex[2];
    trk_str_t  s;

    s = trk_json_string(json, i, buf);
    (void) fputs(" \"", stdout);

    for (k = 0; k < s.n; k++) {
        trk_hex(hex, s.p + k, 1);
        (void) fwrite(hex, 1, sizeof(hex), stdout);
    }
}
