/*
 * A segment of the spool with any bytes in it: the walk ends, shows only what
 * lies in the segment, and comes to the same whether it sees all of it at
 * once or in pieces.  What it calls a record is written again as it stood.
 *
 * The first byte is the size of the first piece.
 */

#include "fuzz.h"
#include "trk_spool.h"


typedef struct {
    uint64_t  good;
    uint64_t  bad;          /* bytes */
    uint64_t  hash;         /* of where all of it lay */
    uint64_t  end;
} fuzz_walk_t;


static const trk_spool_segment_t  fuzz_segment = {
    .edge = "9f86d081884c7d65", .number = 7
};


static fuzz_walk_t fuzz_walk(const uint8_t *data, size_t n, size_t step);
static void fuzz_record(const uint8_t *data, size_t n, uint64_t end,
    const trk_spool_record_t *record);
static void fuzz_flag(trk_str_t value);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t            step;
    int64_t           created;
    uint8_t          *copy;
    fuzz_walk_t       whole, pieces;
    trk_spool_meta_t  meta;

    if (n == 0) {
        return 0;
    }

    step = data[0] + 1U;
    n--;
    copy = fuzz_copy(data + 1, n);

    whole = fuzz_walk(copy, n, n + 1);
    pieces = fuzz_walk(copy, n, step);
    fuzz_must(memcmp(&whole, &pieces, sizeof(whole)) == 0);

    if (trk_spool_header_read(&fuzz_segment, copy, n, &created) == TRK_OK) {
        fuzz_must(n >= TRK_SPOOL_HEADER);
    }

    if (trk_spool_meta_read(trk_str_of(copy, n), &meta) == TRK_OK) {
        fuzz_must(memchr(meta.cluster, '\0', sizeof(meta.cluster)) != NULL);
    }

    fuzz_flag(trk_str_of(copy, n));
    free(copy);

    return 0;
}


static fuzz_walk_t
fuzz_walk(const uint8_t *data, size_t n, size_t step)
{
    int                 rc;
    size_t              size, before;
    uint8_t            *p;
    fuzz_walk_t         walk;
    trk_spool_scan_t    scan;
    trk_spool_record_t  record;

    memset(&walk, 0, sizeof(walk));
    trk_spool_scan_init(&scan);
    size = step;
    p = NULL;

    for ( ;; ) {
        scan.offset += scan.pos;
        scan.pos = 0;
        scan.n = n > scan.offset ? n - scan.offset : 0;
        scan.eof = scan.n <= size;
        scan.n = scan.eof ? scan.n : size;

        free(p);
        p = fuzz_copy(data + (scan.n ? scan.offset : 0), scan.n);
        scan.p = p;
        before = scan.pos;

        rc = trk_spool_scan(&fuzz_segment, &scan, &record);
        fuzz_must(scan.pos <= scan.n && scan.pos >= before);

        if (rc == TRK_AGAIN) {
            fuzz_must(!scan.eof);
            size *= 2;
            continue;
        }

        size = step;
        walk.end = scan.offset + scan.pos;
        walk.hash = walk.hash * 31 + walk.end * 8 + (uint64_t) rc;

        if (rc == TRK_NOTFOUND) {
            break;
        }

        fuzz_must(scan.pos > 0);

        if (rc == TRK_OK) {
            walk.good++;
            walk.hash = walk.hash * 31 + record.index;
            fuzz_record(data, n, walk.end, &record);

        } else {
            fuzz_must(rc == TRK_CORRUPT && scan.bad > 0);
            walk.bad += scan.bad;
        }
    }

    free(p);

    return walk;
}


static void
fuzz_record(const uint8_t *data, size_t n, uint64_t end,
    const trk_spool_record_t *record)
{
    size_t          size;
    trk_buf_t       out;
    const uint8_t  *p;

    size = trk_spool_record_size(record);
    fuzz_must(end <= n && size <= end);

    trk_buf_init(&out, SIZE_MAX);
    trk_spool_record_write(&out, &fuzz_segment, record);
    fuzz_must(out.n == size);

    /* two bytes before the texts may mean something to a later version */

    p = data + end - size;
    fuzz_must(memcmp(out.p + 12, p + 12, TRK_SPOOL_FRAME - 14) == 0);
    fuzz_must(memcmp(out.p + TRK_SPOOL_FRAME, p + TRK_SPOOL_FRAME,
                     size - TRK_SPOOL_FRAME)
              == 0);

    trk_buf_free(&out);
}


/* A value as we write it, JSON without space at its beginning, is JSON also
 * when it is drained. */

static void
fuzz_flag(trk_str_t value)
{
    trk_buf_t   out;
    trk_json_t  json;

    trk_buf_init(&out, SIZE_MAX);
    trk_json_init(&json);
    trk_spool_flag(&out, value);
    fuzz_must(!out.failed && out.n >= value.n);

    if (trk_json_parse(&json, value.p, value.n) == TRK_OK
        && json.nodes[0].type == TRK_JSON_OBJECT && json.nodes[0].off == 0
        && (value.p[1] == '"' || value.p[1] == '}')
        && trk_json_member(&json, 0, trk_str("spooled")) == 0)
    {
        fuzz_must(fuzz_is_json(out.p, out.n));
    }

    trk_json_free(&json);
    trk_buf_free(&out);
}
