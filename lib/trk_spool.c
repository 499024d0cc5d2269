/*
 * The spool's files.  See trk_spool.h.
 */

#include "trk_spool.h"
#include "trk_crc32c.h"


#define TRK_SPOOL_META_HEAD     "nginx-track spool "
#define TRK_SPOOL_META_CLUSTER  "cluster "


/* Not UTF-8, so that no record's JSON holds it. */
static const uint8_t  trk_spool_magic[4] = { 0xF5, 'T', 'r', 0xFE };

static const uint8_t  trk_spool_header_magic[8] = "TRKSPOOL";


static uint32_t trk_spool_salt(const trk_spool_segment_t *segment);
static uint32_t trk_spool_crc(const trk_spool_segment_t *segment,
    const uint8_t *p, size_t size);
static int trk_spool_record_at(const trk_spool_segment_t *segment,
    const trk_spool_scan_t *scan, size_t pos, trk_spool_record_t *record,
    size_t *size);
static int trk_spool_skip(const trk_spool_segment_t *segment,
    trk_spool_scan_t *scan, int whole);
static void trk_spool_record_read(const uint8_t *p, size_t size,
    trk_spool_record_t *record);
static int trk_spool_number(trk_str_t *text, uint32_t *number);
static int trk_spool_take(trk_str_t *text, const char *word, size_t n);


static inline void
trk_spool_put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t) v;
    p[1] = (uint8_t) (v >> 8);
    p[2] = (uint8_t) (v >> 16);
    p[3] = (uint8_t) (v >> 24);
}


static inline void
trk_spool_put64(uint8_t *p, uint64_t v)
{
    trk_spool_put32(p, (uint32_t) v);
    trk_spool_put32(p + 4, (uint32_t) (v >> 32));
}


static inline uint32_t
trk_spool_get32(const uint8_t *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16
           | (uint32_t) p[3] << 24;
}


static inline uint64_t
trk_spool_get64(const uint8_t *p)
{
    return trk_spool_get32(p) | (uint64_t) trk_spool_get32(p + 4) << 32;
}


void
trk_spool_segment_name(const trk_spool_segment_t *segment, char *name)
{
    int       i;
    uint32_t  number;

    if (segment->number == TRK_SPOOL_ASIDE) {
        memcpy(name, "aside.seg", sizeof("aside.seg"));
        return;
    }

    number = segment->number;

    for (i = 7; i >= 0; i--) {
        name[i] = "0123456789abcdef"[number & 15];
        number >>= 4;
    }

    memcpy(name + 8, ".seg", sizeof(".seg"));
}


void
trk_spool_done_name(const trk_spool_segment_t *segment, char *name)
{
    trk_spool_segment_name(segment, name);
    memcpy(name + 8, ".done", sizeof(".done"));
}


uint32_t
trk_spool_name_number(const char *name, const char *suffix)
{
    int          i;
    uint32_t     number;
    const char  *digit;

    number = 0;

    for (i = 0; i < 8; i++) {
        digit = name[i] ? strchr("0123456789abcdef", name[i]) : NULL;

        if (digit == NULL) {
            return 0;
        }

        number = number << 4
                 | (uint32_t) (*digit <= '9' ? *digit - '0'
                                             : *digit - 'a' + 10);
    }

    return strcmp(name + 8, suffix) == 0 ? number : 0;
}


int
trk_spool_is_edge(const char *name)
{
    return strspn(name, "0123456789abcdef") == TRK_SPOOL_EDGE
           && name[TRK_SPOOL_EDGE] == '\0';
}


static uint32_t
trk_spool_salt(const trk_spool_segment_t *segment)
{
    uint8_t  number[4];

    trk_spool_put32(number, segment->number);

    return trk_crc32c(trk_crc32c(0, segment->edge, TRK_SPOOL_EDGE), number,
                      sizeof(number));
}


void
trk_spool_header_write(const trk_spool_segment_t *segment, int64_t created,
    uint8_t *dst)
{
    memset(dst, 0, TRK_SPOOL_HEADER);
    memcpy(dst, trk_spool_header_magic, sizeof(trk_spool_header_magic));
    trk_spool_put32(dst + 8, TRK_SPOOL_VERSION);
    trk_spool_put32(dst + 12, segment->number);
    memcpy(dst + 16, segment->edge, TRK_SPOOL_EDGE);
    trk_spool_put64(dst + 32, (uint64_t) created);
    trk_spool_put32(dst + TRK_SPOOL_HEADER - 4,
                    trk_crc32c(trk_spool_salt(segment), dst,
                               TRK_SPOOL_HEADER - 4));
}


int
trk_spool_header_read(const trk_spool_segment_t *segment, const uint8_t *p,
    size_t n, int64_t *created)
{
    if (n < TRK_SPOOL_HEADER
        || memcmp(p, trk_spool_header_magic, sizeof(trk_spool_header_magic))
           != 0
        || trk_crc32c(trk_spool_salt(segment), p, TRK_SPOOL_HEADER - 4)
           != trk_spool_get32(p + TRK_SPOOL_HEADER - 4))
    {
        return TRK_CORRUPT;
    }

    if (trk_spool_get32(p + 8) != TRK_SPOOL_VERSION) {
        return TRK_INVALID;
    }

    *created = (int64_t) trk_spool_get64(p + 32);

    return TRK_OK;
}


size_t
trk_spool_record_size(const trk_spool_record_t *record)
{
    return TRK_SPOOL_FRAME + record->topic.n + record->key.n
           + record->value.n;
}


/* The checksum leaves out the magic and itself. */

static uint32_t
trk_spool_crc(const trk_spool_segment_t *segment, const uint8_t *p,
    size_t size)
{
    return trk_crc32c(trk_crc32c(trk_spool_salt(segment), p + 4, 4), p + 12,
                      size - 12);
}


void
trk_spool_record_write(trk_buf_t *out, const trk_spool_segment_t *segment,
    const trk_spool_record_t *record)
{
    size_t    size;
    uint8_t  *p;

    size = trk_spool_record_size(record);

    if (size > TRK_SPOOL_RECORD_MAX || record->topic.n > TRK_SPOOL_TOPIC_MAX) {
        out->failed = TRK_LIMIT;
        return;
    }

    p = trk_buf_reserve(out, size);

    if (p == NULL) {
        return;
    }

    memcpy(p, trk_spool_magic, sizeof(trk_spool_magic));
    trk_spool_put32(p + 4, (uint32_t) size);
    trk_spool_put32(p + 12, record->index);
    trk_spool_put64(p + 16, record->seq);
    trk_spool_put64(p + 24, (uint64_t) record->at);
    trk_spool_put32(p + 32, (uint32_t) record->key.n);
    p[36] = (uint8_t) record->kind;
    p[37] = (uint8_t) record->topic.n;
    p[38] = 0;
    p[39] = 0;

    out->n += TRK_SPOOL_FRAME;

    trk_buf_str(out, record->topic);
    trk_buf_str(out, record->key);
    trk_buf_str(out, record->value);

    trk_spool_put32(p + 8, trk_spool_crc(segment, p, size));
}


void
trk_spool_scan_init(trk_spool_scan_t *scan)
{
    memset(scan, 0, sizeof(*scan));
    scan->pos = TRK_SPOOL_HEADER;
}


int
trk_spool_scan(const trk_spool_segment_t *segment, trk_spool_scan_t *scan,
    trk_spool_record_t *record)
{
    int     rc;
    size_t  size;

    if (scan->pos >= scan->n) {
        return scan->eof ? TRK_NOTFOUND : TRK_AGAIN;
    }

    rc = trk_spool_record_at(segment, scan, scan->pos, record, &size);

    switch (rc) {

    case TRK_OK:
        scan->pos += size;
        scan->index = record->index + 1;
        return TRK_OK;

    case TRK_AGAIN:

        if (!scan->eof) {
            return TRK_AGAIN;
        }

        /* cut off, or its length is wrong and records follow */

        return trk_spool_skip(segment, scan, 0);

    case TRK_CORRUPT:

        /* all of it is there, but it is not what was written */

        return trk_spool_skip(segment, scan, 1);

    default: /* TRK_INVALID: nothing like a record */
        return trk_spool_skip(segment, scan, 0);
    }
}


/*
 * What stands at pos.  TRK_OK: a record; TRK_AGAIN: the beginning of one, as
 * far as can be seen; TRK_CORRUPT: one, but for its checksum; TRK_INVALID:
 * none.
 */

static int
trk_spool_record_at(const trk_spool_segment_t *segment,
    const trk_spool_scan_t *scan, size_t pos, trk_spool_record_t *record,
    size_t *size)
{
    size_t          left;
    const uint8_t  *p;

    p = scan->p + pos;
    left = scan->n - pos;

    if (memcmp(p, trk_spool_magic,
               left < sizeof(trk_spool_magic) ? left
                                              : sizeof(trk_spool_magic))
        != 0)
    {
        return TRK_INVALID;
    }

    if (left < TRK_SPOOL_FRAME) {
        return TRK_AGAIN;
    }

    *size = trk_spool_get32(p + 4);

    if (*size < TRK_SPOOL_FRAME || *size > TRK_SPOOL_RECORD_MAX
        || trk_spool_get32(p + 32) > *size - TRK_SPOOL_FRAME
        || p[37] > *size - TRK_SPOOL_FRAME - trk_spool_get32(p + 32))
    {
        return TRK_INVALID;
    }

    if (*size > left) {
        return TRK_AGAIN;
    }

    if (trk_spool_crc(segment, p, *size) != trk_spool_get32(p + 8)) {
        return TRK_CORRUPT;
    }

    trk_spool_record_read(p, *size, record);

    /* one index for each place: whoever counts records may rely on it */

    if (record->index < scan->index
        || record->index > (scan->offset + pos) / TRK_SPOOL_FRAME
        || record->kind < TRK_SPOOL_ACCEPTED
        || record->kind > TRK_SPOOL_DAMAGED)
    {
        return TRK_CORRUPT;
    }

    return TRK_OK;
}


/* whole: the bytes at pos are damaged, not the beginning of a write, so they
 * are worth keeping even if nothing follows. */

static int
trk_spool_skip(const trk_spool_segment_t *segment, trk_spool_scan_t *scan,
    int whole)
{
    int                  rc;
    size_t               pos, size;
    const uint8_t       *p;
    trk_spool_record_t   record;

    for (pos = scan->pos + 1; pos < scan->n; pos++) {

        p = memchr(scan->p + pos, trk_spool_magic[0], scan->n - pos);
        if (p == NULL) {
            break;
        }

        pos = (size_t) (p - scan->p);
        rc = trk_spool_record_at(segment, scan, pos, &record, &size);

        if (rc == TRK_OK) {
            scan->bad = pos - scan->pos;
            scan->pos = pos;
            return TRK_CORRUPT;
        }

        if (rc == TRK_AGAIN && !scan->eof) {
            return TRK_AGAIN;
        }
    }

    if (!scan->eof) {
        return TRK_AGAIN;
    }

    if (whole) {
        scan->bad = scan->n - scan->pos;
        scan->pos = scan->n;
        return TRK_CORRUPT;
    }

    return TRK_NOTFOUND;
}


static void
trk_spool_record_read(const uint8_t *p, size_t size,
    trk_spool_record_t *record)
{
    size_t  key, topic;

    key = trk_spool_get32(p + 32);
    topic = p[37];

    record->index = trk_spool_get32(p + 12);
    record->seq = trk_spool_get64(p + 16);
    record->at = (int64_t) trk_spool_get64(p + 24);
    record->kind = (trk_spool_kind_t) p[36];

    p += TRK_SPOOL_FRAME;
    size -= TRK_SPOOL_FRAME;

    record->topic = trk_str_of(p, topic);
    record->key = trk_str_of(p + topic, key);
    record->value = trk_str_of(p + topic + key, size - topic - key);
}


void
trk_spool_record_lie(trk_spool_record_t *record, const uint8_t *p)
{
    record->topic.p = p;
    record->key.p = p + record->topic.n;
    record->value.p = p + record->topic.n + record->key.n;
}


void
trk_spool_flag(trk_buf_t *out, trk_str_t value)
{
    if (value.n < 2 || value.p[0] != '{') {
        trk_buf_str(out, value);
        return;
    }

    trk_buf_lit(out, "{\"spooled\":true");

    if (value.p[1] != '}') {
        trk_buf_byte(out, ',');
    }

    trk_buf_add(out, value.p + 1, value.n - 1);
}


void
trk_spool_meta_write(trk_buf_t *out, const char *cluster)
{
    trk_buf_lit(out, TRK_SPOOL_META_HEAD);
    trk_buf_uint(out, TRK_SPOOL_VERSION);
    trk_buf_byte(out, '\n');

    if (cluster[0] != '\0') {
        trk_buf_lit(out, TRK_SPOOL_META_CLUSTER);
        trk_buf_add(out, cluster, strlen(cluster));
        trk_buf_byte(out, '\n');
    }
}


int
trk_spool_meta_read(trk_str_t text, trk_spool_meta_t *meta)
{
    const uint8_t  *end;

    memset(meta, 0, sizeof(*meta));

    if (!trk_spool_take(&text, TRK_SPOOL_META_HEAD,
                        sizeof(TRK_SPOOL_META_HEAD) - 1)
        || !trk_spool_number(&text, &meta->version)
        || !trk_spool_take(&text, "\n", 1))
    {
        return TRK_CORRUPT;
    }

    if (meta->version != TRK_SPOOL_VERSION) {
        return TRK_INVALID;
    }

    if (text.n == 0) {
        return TRK_OK;
    }

    if (!trk_spool_take(&text, TRK_SPOOL_META_CLUSTER,
                        sizeof(TRK_SPOOL_META_CLUSTER) - 1))
    {
        return TRK_CORRUPT;
    }

    end = memchr(text.p, '\n', text.n);

    if (end == NULL || end != text.p + text.n - 1 || text.n < 2
        || text.n - 1 > TRK_SPOOL_CLUSTER_MAX)
    {
        return TRK_CORRUPT;
    }

    memcpy(meta->cluster, text.p, text.n - 1);

    return TRK_OK;
}


static int
trk_spool_take(trk_str_t *text, const char *word, size_t n)
{
    if (text->n < n || memcmp(text->p, word, n) != 0) {
        return 0;
    }

    text->p += n;
    text->n -= n;

    return 1;
}


static int
trk_spool_number(trk_str_t *text, uint32_t *number)
{
    size_t  n;

    *number = 0;

    for (n = 0; n < text->n && n < 9; n++) {

        if (text->p[n] < '0' || text->p[n] > '9') {
            break;
        }

        *number = *number * 10 + (uint32_t) (text->p[n] - '0');
    }

    text->p += n;
    text->n -= n;

    return n > 0;
}
