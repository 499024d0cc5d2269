/*
 * The spool's files: what is written comes back, whatever is cut off, damaged
 * or put between it; nothing else does.
 */

#include "tap.h"
#include "trk_spool.h"


static const trk_spool_segment_t  segment = {
    { '9', 'f', '8', '6', 'd', '0', '8', '1',
      '8', '8', '4', 'c', '7', 'd', '6', '5' }, 7
};

static uint32_t  state = 1;


static uint32_t
rnd(uint32_t n)
{
    state = state * 1664525 + 1013904223;

    return (state >> 8) % n;
}


static void
names(void)
{
    char                 name[TRK_SPOOL_NAME];
    trk_spool_segment_t  other;

    other = segment;

    trk_spool_segment_name(&segment, name);
    is_text(name, strlen(name), "00000007.seg", "a segment's name");
    is_int(trk_spool_name_number(name, ".seg"), 7, "and back");
    is_int(trk_spool_name_number(name, ".done"), 0, "it is no marks");

    trk_spool_done_name(&segment, name);
    is_text(name, strlen(name), "00000007.done", "its marks");

    other.number = 0xFEDCBA98;
    trk_spool_segment_name(&other, name);
    is_text(name, strlen(name), "fedcba98.seg", "a great number");
    is_int(trk_spool_name_number(name, ".seg"), 0xFEDCBA98, "and back");

    other.number = TRK_SPOOL_ASIDE;
    trk_spool_segment_name(&other, name);
    is_text(name, strlen(name), "aside.seg", "what is set aside");
    is_int(trk_spool_name_number(name, ".seg"), 0, "has no number");

    is_int(trk_spool_name_number("", ".seg"), 0, "nor has nothing");
    is_int(trk_spool_name_number("0000000", ".seg"), 0, "nor half a name");
    is_int(trk_spool_name_number("0000000A.seg", ".seg"), 0, "nor capitals");

    ok(trk_spool_is_edge("9f86d081884c7d65"), "an edge");
    ok(!trk_spool_is_edge("9f86d081884c7d6"), "too short");
    ok(!trk_spool_is_edge("9f86d081884c7d650"), "too long");
    ok(!trk_spool_is_edge(".new-9f86d081884"), "no edge");
}


static void
headers(void)
{
    int64_t              created;
    uint8_t              header[TRK_SPOOL_HEADER];
    trk_spool_segment_t  other;

    trk_spool_header_write(&segment, 1700000000123, header);
    is_int(trk_spool_header_read(&segment, header, sizeof(header), &created),
           TRK_OK, "a header");
    is_int(created, 1700000000123, "with its time");
    is_int(trk_spool_header_read(&segment, header, sizeof(header) - 1,
                                 &created),
           TRK_CORRUPT, "cut off");

    other = segment;
    other.number = 8;
    is_int(trk_spool_header_read(&other, header, sizeof(header), &created),
           TRK_CORRUPT, "of another segment");

    header[33] ^= 1;
    is_int(trk_spool_header_read(&segment, header, sizeof(header), &created),
           TRK_CORRUPT, "damaged");
}


/* Appends record i: its text is a function of i. */
static void
put(trk_buf_t *out, uint32_t i)
{
    char                value[300];
    trk_spool_record_t  record;

    memset(&record, 0, sizeof(record));
    record.index = i;
    record.kind = i % 3 ? TRK_SPOOL_ACCEPTED : TRK_SPOOL_REJECTED;
    record.seq = 1000 + i;
    record.at = 1700000000000 + i;
    record.topic = trk_str("tracking_events");
    record.key = trk_str_of("session", i % 8);
    record.value = trk_str_of(value, (size_t)
                              snprintf(value, sizeof(value),
                                       "{\"i\":%u,\"pad\":\"%.*s\"}", i,
                                       (int) (i * 7 % 200),
                                       "..................................."
                                       "..................................."
                                       "..................................."
                                       "..................................."
                                       "..................................."
                                       "..................................."));
    trk_spool_record_write(out, &segment, &record);
}


static int
good(const trk_spool_record_t *record)
{
    char  start[32];

    snprintf(start, sizeof(start), "{\"i\":%u,", record->index);

    return record->seq == 1000 + record->index
           && record->at == 1700000000000 + (int64_t) record->index
           && record->kind == (record->index % 3 ? TRK_SPOOL_ACCEPTED
                                                 : TRK_SPOOL_REJECTED)
           && trk_str_eq(record->topic, trk_str("tracking_events"))
           && record->key.n == record->index % 8
           && record->value.n > strlen(start)
           && memcmp(record->value.p, start, strlen(start)) == 0;
}


typedef struct {
    uint32_t  good;         /* records */
    uint32_t  wrong;        /* records that nobody wrote */
    uint32_t  gaps;         /* indexes that were skipped over */
    size_t    bad;          /* bytes */
    size_t    end;          /* where to cut */
} found_t;


/* All of buf, shown in pieces that begin with `step` bytes; each byte shown
 * is a copy at the end of its own allocation, so that ASan sees what reads
 * beyond. */
static found_t
walk(const trk_buf_t *buf, size_t step)
{
    int                 rc;
    size_t              n;
    uint8_t            *copy;
    found_t             found;
    uint32_t            next;
    trk_spool_scan_t    scan;
    trk_spool_record_t  record;

    memset(&found, 0, sizeof(found));
    trk_spool_scan_init(&scan);
    next = 0;
    copy = NULL;
    n = step;

    for ( ;; ) {
        scan.offset += scan.pos;
        scan.pos = 0;
        scan.n = buf->n > scan.offset ? buf->n - scan.offset : 0;
        scan.eof = scan.n <= n;
        scan.n = scan.eof ? scan.n : n;

        free(copy);
        copy = malloc(scan.n ? scan.n : 1);
        memcpy(copy, buf->p + (scan.n ? scan.offset : 0), scan.n);
        scan.p = copy;

        rc = trk_spool_scan(&segment, &scan, &record);

        if (rc == TRK_AGAIN) {
            n *= 2;
            continue;
        }

        n = step;

        if (rc == TRK_NOTFOUND) {
            found.end = scan.offset + scan.pos;
            break;
        }

        if (rc == TRK_CORRUPT) {
            found.bad += scan.bad;
            continue;
        }

        found.gaps += record.index - next;
        next = record.index + 1;

        if (good(&record)) {
            found.good++;

        } else {
            found.wrong++;
        }
    }

    free(copy);

    return found;
}


static void
fill(trk_buf_t *buf, uint32_t n)
{
    uint32_t  i;
    uint8_t   header[TRK_SPOOL_HEADER];

    trk_buf_init(buf, 1 << 24);
    trk_spool_header_write(&segment, 1, header);
    trk_buf_add(buf, header, sizeof(header));

    for (i = 0; i < n; i++) {
        put(buf, i);
    }
}


static void
whole(void)
{
    size_t     step;
    found_t    found;
    trk_buf_t  buf;

    fill(&buf, 500);
    is_int(buf.failed, TRK_OK, "500 records are written");

    for (step = 1; step < 100000; step = step * 3 + 1) {
        found = walk(&buf, step);
        ok(found.good == 500 && !found.wrong && !found.bad && !found.gaps
           && found.end == buf.n, "and read in pieces of %zu", step);
    }

    trk_buf_free(&buf);
}


/* A tail that was torn at every possible byte. */
static void
torn(void)
{
    size_t     full, cut, wrong;
    found_t    found;
    uint32_t   n;
    trk_buf_t  buf;

    fill(&buf, 3);
    full = buf.n;
    put(&buf, 3);
    wrong = 0;

    for (cut = full; cut < buf.n; cut++) {
        trk_buf_t  part = buf;

        part.n = cut;
        found = walk(&part, 64);
        wrong += found.good != 3 || found.wrong || found.bad
                 || found.end != full;
    }

    is_int(wrong, 0, "a torn tail is cut off where it began");

    n = (uint32_t) buf.n;
    memset(buf.p + full, 0, n - full);
    found = walk(&buf, 64);
    ok(found.good == 3 && !found.bad && found.end == full,
       "so is one that a crash left as zeros");

    buf.n = TRK_SPOOL_HEADER;
    found = walk(&buf, 64);
    ok(!found.good && found.end == TRK_SPOOL_HEADER, "no records at all");

    buf.n = 10;
    found = walk(&buf, 64);
    ok(!found.good && !found.bad, "not even a header");

    trk_buf_free(&buf);
}


static void
damaged(void)
{
    size_t     i, round, wrong, lost;
    found_t    found;
    uint32_t   hits;
    trk_buf_t  buf, copy;

    fill(&buf, 200);
    trk_buf_init(&copy, buf.max);
    wrong = lost = 0;

    for (round = 0; round < 400; round++) {
        trk_buf_reset(&copy, SIZE_MAX);
        trk_buf_add(&copy, buf.p, buf.n);
        hits = 1 + rnd(4);

        for (i = 0; i < hits; i++) {
            copy.p[TRK_SPOOL_HEADER + rnd((uint32_t) buf.n
                                          - TRK_SPOOL_HEADER)]
                ^= (uint8_t) (1 + rnd(255));
        }

        found = walk(&copy, 1 + rnd(5000));
        wrong += found.wrong;
        lost += found.good + hits < 200;
    }

    is_int(wrong, 0, "no damaged record is taken for a good one");
    is_int(lost, 0, "and no good one is lost");

    /* the last one, all there: acknowledged once, so worth keeping */

    trk_buf_reset(&copy, SIZE_MAX);
    trk_buf_add(&copy, buf.p, buf.n);
    copy.p[copy.n - 1] ^= 1;
    found = walk(&copy, 100);
    ok(found.good == 199 && found.bad > TRK_SPOOL_FRAME
       && found.end == copy.n, "a damaged last record is no torn tail");

    /* rubbish between records */

    trk_buf_reset(&copy, SIZE_MAX);
    trk_buf_add(&copy, buf.p, buf.n);

    for (i = 0; i < 3000; i++) {
        trk_buf_byte(&copy, (uint8_t) (rnd(3) ? 0xF5 : rnd(256)));
    }

    put(&copy, 203);
    found = walk(&copy, 100);
    ok(found.good == 201 && found.bad == 3000 && found.gaps == 3,
       "rubbish is skipped, what follows is found");

    trk_buf_free(&buf);
    trk_buf_free(&copy);
}


/* Records of another segment are no records here. */
static void
foreign(void)
{
    found_t              found;
    trk_buf_t            buf;
    trk_spool_record_t   record;
    trk_spool_segment_t  other;

    fill(&buf, 2);

    other = segment;
    other.edge[3] ^= 1;

    memset(&record, 0, sizeof(record));
    record.index = 2;
    record.kind = TRK_SPOOL_ACCEPTED;
    record.value = trk_str("{}");
    trk_spool_record_write(&buf, &other, &record);
    put(&buf, 2);

    found = walk(&buf, 1000);
    ok(found.good == 3 && found.wrong == 0 && found.bad == TRK_SPOOL_FRAME + 2,
       "what stood in another segment is skipped");

    /* an index that cannot be: it would name a mark far away */

    buf.n = TRK_SPOOL_HEADER;
    record.index = 1000000;
    trk_spool_record_write(&buf, &segment, &record);
    found = walk(&buf, 1000);
    ok(found.good == 0 && found.bad, "nor one with an impossible index");

    trk_buf_free(&buf);
}


static void
bounds(void)
{
    trk_buf_t           buf;
    trk_spool_record_t  record;

    memset(&record, 0, sizeof(record));
    trk_buf_init(&buf, SIZE_MAX);

    record.value.n = TRK_SPOOL_RECORD_MAX;
    record.value.p = (const uint8_t *) "";
    trk_spool_record_write(&buf, &segment, &record);
    is_int(buf.failed, TRK_LIMIT, "too large a record is refused");

    trk_buf_reset(&buf, 0);
    record.value = trk_null;
    record.topic = trk_str_of(&buf, TRK_SPOOL_TOPIC_MAX + 1);
    trk_spool_record_write(&buf, &segment, &record);
    is_int(buf.failed, TRK_LIMIT, "too long a topic, too");

    trk_buf_free(&buf);
}


static void
flag(const char *value, const char *want)
{
    trk_buf_t  buf;

    trk_buf_init(&buf, 1000);
    trk_spool_flag(&buf, trk_str_of(value, strlen(value)));
    is_text(buf.p, buf.n, want, "%s", want[0] ? want : "nothing");
    trk_buf_free(&buf);
}


static void
meta_refuse(const char *text, int want)
{
    trk_spool_meta_t  meta;

    is_int(trk_spool_meta_read(trk_str_of(text, strlen(text)), &meta), want,
           "refused: %zu bytes", strlen(text));
}


static void
metas(void)
{
    trk_buf_t         buf;
    trk_spool_meta_t  meta;

    trk_buf_init(&buf, 1000);
    trk_spool_meta_write(&buf, "5L6g3nShT-eMCtK--X86sw");
    is_int(trk_spool_meta_read(trk_str_of(buf.p, buf.n), &meta), TRK_OK,
           "meta");
    is_text(meta.cluster, strlen(meta.cluster), "5L6g3nShT-eMCtK--X86sw",
            "with its cluster");

    trk_buf_reset(&buf, 0);
    trk_spool_meta_write(&buf, "");
    is_int(trk_spool_meta_read(trk_str_of(buf.p, buf.n), &meta), TRK_OK,
           "without");
    is_int(meta.cluster[0], '\0', "is unknown");
    trk_buf_free(&buf);

    meta_refuse("", TRK_CORRUPT);
    meta_refuse("nginx-track spool \n", TRK_CORRUPT);
    meta_refuse("nginx-track spool 2\n", TRK_INVALID);
    meta_refuse("nginx-track spool 2\nwhatever\n", TRK_INVALID);
    meta_refuse("nginx-track spool 1", TRK_CORRUPT);
    meta_refuse("nginx-track spool 1\ncluster \n", TRK_CORRUPT);
    meta_refuse("nginx-track spool 1\ncluster x", TRK_CORRUPT);
    meta_refuse("nginx-track spool 1\ncluster x\ny\n", TRK_CORRUPT);
}


int
main(void)
{
    names();
    headers();
    whole();
    torn();
    damaged();
    foreign();
    bounds();
    metas();

    flag("{\"a\":1}", "{\"spooled\":true,\"a\":1}");
    flag("{}", "{\"spooled\":true}");
    flag("", "");
    flag("x", "x");
    flag("[1]", "[1]");

    return done();
}
