/*
 * Columns of a ClickHouse Native block.  See trk_native.h.
 */

#include "trk_native.h"

#include <stdlib.h>


_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "columns are written in the machine's byte order");


/* The state of a LowCardinality column and the flags of its one part: own
 * keys, no shared dictionary; the low byte tells the width of an index. */
#define TRK_LC_VERSION  1
#define TRK_LC_FLAGS    0x600

#define TRK_LC_KEYS     64      /* room for so many at first */


static void trk_native_fill(trk_native_t *col, size_t row);
static void trk_native_zeros(trk_buf_t *b, size_t n);
static void trk_native_value(trk_native_t *col, const void *p, size_t n);
static void trk_native_text(trk_buf_t *b, trk_str_t s);
static size_t trk_native_width(trk_native_type_t type);
static int trk_native_nullable(trk_native_type_t type);

static uint32_t trk_dict_key(trk_native_t *col, trk_str_t s);
static uint32_t trk_dict_hash(const trk_native_dict_t *d, trk_str_t s);
static uint32_t *trk_dict_slot(trk_native_dict_t *d, trk_str_t s,
    uint32_t hash);
static int trk_dict_grow(trk_native_dict_t *d);
static int trk_dict_array(uint32_t **a, uint32_t cap);
static trk_str_t trk_dict_string(const trk_native_dict_t *d, uint32_t key);
static void trk_dict_write(trk_buf_t *out, const trk_native_dict_t *d,
    const trk_buf_t *index);
static void trk_dict_indexes(trk_buf_t *out, const trk_buf_t *index,
    size_t width);


void
trk_native_init(trk_native_t *col, trk_native_type_t type, size_t max,
    uint64_t seed)
{
    memset(col, 0, sizeof(*col));

    col->type = type;
    col->data.max = max;
    col->nulls.max = max;
    col->ends.max = max;
    col->index.max = max;
    col->dict.keys.max = max;
    col->dict.seed = seed;
}


void
trk_native_free(trk_native_t *col)
{
    trk_buf_free(&col->data);
    trk_buf_free(&col->nulls);
    trk_buf_free(&col->ends);
    trk_buf_free(&col->index);
    trk_buf_free(&col->dict.keys);

    free(col->dict.offs);
    free(col->dict.lens);
    free(col->dict.hashes);
    free(col->dict.slots);

    memset(col, 0, sizeof(*col));
}


void
trk_native_reset(trk_native_t *col, size_t keep)
{
    trk_native_dict_t  *d;

    d = &col->dict;

    if (d->cap * sizeof(uint32_t) > keep) {
        free(d->offs);
        free(d->lens);
        free(d->hashes);
        free(d->slots);

        d->offs = d->lens = d->hashes = d->slots = NULL;
        d->cap = 0;
        d->mask = 0;
    }

    if (d->slots != NULL) {
        memset(d->slots, 0, ((size_t) d->mask + 1) * sizeof(uint32_t));
    }

    d->nkeys = 0;
    d->last = 0;

    trk_buf_reset(&d->keys, keep);
    trk_buf_reset(&col->data, keep);
    trk_buf_reset(&col->nulls, keep);
    trk_buf_reset(&col->ends, keep);
    trk_buf_reset(&col->index, keep);

    col->rows = 0;
    col->elements = 0;
    col->failed = TRK_OK;
}


const char *
trk_native_type_name(trk_native_type_t type)
{
    static const char *const  names[] = {
        [TRK_NATIVE_STRING] = "String",
        [TRK_NATIVE_LC_STRING] = "LowCardinality(String)",
        [TRK_NATIVE_UUID] = "UUID",
        [TRK_NATIVE_DATE] = "Date",
        [TRK_NATIVE_DATETIME] = "DateTime64(3, 'UTC')",
        [TRK_NATIVE_UINT32] = "UInt32",
        [TRK_NATIVE_UINT64] = "UInt64",
        [TRK_NATIVE_BOOL] = "Bool",
        [TRK_NATIVE_NULL_STRING] = "Nullable(String)",
        [TRK_NATIVE_NULL_INT64] = "Nullable(Int64)",
        [TRK_NATIVE_NULL_FLOAT64] = "Nullable(Float64)",
        [TRK_NATIVE_NULL_BOOL] = "Nullable(Bool)",
        [TRK_NATIVE_NULL_DATETIME] = "Nullable(DateTime64(3, 'UTC'))",
        [TRK_NATIVE_STRINGS] = "Array(String)",
        [TRK_NATIVE_MAP] = "Map(LowCardinality(String), String)",
    };

    return names[type];
}


/* Bytes of a value; of text in a row that has none: its length, zero. */

static size_t
trk_native_width(trk_native_type_t type)
{
    switch (type) {

    case TRK_NATIVE_STRING:
    case TRK_NATIVE_NULL_STRING:
    case TRK_NATIVE_BOOL:
    case TRK_NATIVE_NULL_BOOL:
        return 1;

    case TRK_NATIVE_DATE:
        return 2;

    case TRK_NATIVE_LC_STRING:
    case TRK_NATIVE_UINT32:
        return 4;

    case TRK_NATIVE_UUID:
        return 16;

    case TRK_NATIVE_STRINGS:
    case TRK_NATIVE_MAP:
        return 0;

    default:
        return 8;
    }
}


static int
trk_native_nullable(trk_native_type_t type)
{
    return type >= TRK_NATIVE_NULL_STRING && type <= TRK_NATIVE_NULL_DATETIME;
}


/* Gives the rows before `row` that have no value the default. */

static void
trk_native_fill(trk_native_t *col, size_t row)
{
    size_t    n, i;
    uint8_t  *p;

    n = row - col->rows;
    if (n == 0) {
        return;
    }

    col->rows = row;
    trk_native_zeros(&col->data, n * trk_native_width(col->type));

    if (trk_native_nullable(col->type)) {
        p = trk_buf_reserve(&col->nulls, n);
        if (p != NULL) {
            memset(p, 1, n);
            col->nulls.n += n;
        }
    }

    if (col->type == TRK_NATIVE_STRINGS || col->type == TRK_NATIVE_MAP) {
        for (i = 0; i < n; i++) {
            trk_buf_add(&col->ends, &col->elements, sizeof(uint64_t));
        }
    }
}


static void
trk_native_zeros(trk_buf_t *b, size_t n)
{
    uint8_t  *p;

    p = n ? trk_buf_reserve(b, n) : NULL;

    if (p != NULL) {
        memset(p, 0, n);
        b->n += n;
    }
}


static void
trk_native_value(trk_native_t *col, const void *p, size_t n)
{
    if (trk_native_nullable(col->type)) {
        trk_buf_byte(&col->nulls, 0);
    }

    trk_buf_add(&col->data, p, n);
    col->rows++;
}


void
trk_native_put_string(trk_native_t *col, size_t row, trk_str_t s)
{
    uint32_t  key;

    trk_native_fill(col, row);

    if (col->type == TRK_NATIVE_LC_STRING) {
        key = trk_dict_key(col, s);
        trk_native_value(col, &key, sizeof(uint32_t));
        return;
    }

    if (trk_native_nullable(col->type)) {
        trk_buf_byte(&col->nulls, 0);
    }

    trk_native_text(&col->data, s);
    col->rows++;
}


void
trk_native_put_int(trk_native_t *col, size_t row, int64_t v)
{
    trk_native_put_uint(col, row, (uint64_t) v);
}


void
trk_native_put_uint(trk_native_t *col, size_t row, uint64_t v)
{
    trk_native_fill(col, row);
    trk_native_value(col, &v, trk_native_width(col->type));
}


void
trk_native_put_double(trk_native_t *col, size_t row, double v)
{
    trk_native_fill(col, row);
    trk_native_value(col, &v, sizeof(double));
}


/* Two 64-bit numbers, the upper half first, each with its low byte first. */

void
trk_native_put_uuid(trk_native_t *col, size_t row, const trk_uuid_t *u)
{
    size_t   i;
    uint8_t  wire[16];

    for (i = 0; i < 16; i++) {
        wire[i] = u->b[(i & 8) + 7 - (i & 7)];
    }

    trk_native_fill(col, row);
    trk_native_value(col, wire, sizeof(wire));
}


void
trk_native_put_row(trk_native_t *col, size_t row)
{
    trk_native_fill(col, row + 1);
}


void
trk_native_put_element(trk_native_t *col, trk_str_t s)
{
    trk_native_text(&col->data, s);
    col->elements++;

    if (!col->ends.failed) {
        memcpy(col->ends.p + col->ends.n - sizeof(uint64_t), &col->elements,
               sizeof(uint64_t));
    }
}


void
trk_native_put_pair(trk_native_t *col, trk_str_t key, trk_str_t value)
{
    uint32_t  k;

    k = trk_dict_key(col, key);
    trk_buf_add(&col->index, &k, sizeof(uint32_t));

    trk_native_put_element(col, value);
}


static void
trk_native_text(trk_buf_t *b, trk_str_t s)
{
    trk_native_varint(b, s.n);
    trk_buf_str(b, s);
}


void
trk_native_varint(trk_buf_t *out, uint64_t v)
{
    while (v >= 0x80) {
        trk_buf_byte(out, (uint8_t) (v | 0x80));
        v >>= 7;
    }

    trk_buf_byte(out, (uint8_t) v);
}


size_t
trk_native_size(const trk_native_t *col, size_t rows)
{
    size_t  row;

    row = trk_native_width(col->type) + (size_t) trk_native_nullable(col->type);
    row = row ? row : sizeof(uint64_t);

    return col->data.n + col->nulls.n + col->ends.n + col->index.n
           + col->dict.keys.n + (size_t) col->dict.cap * 5 * sizeof(uint32_t)
           + (rows - col->rows) * row;
}


int
trk_native_failed(const trk_native_t *col)
{
    const int  failed[] = { col->failed, col->data.failed, col->nulls.failed,
                            col->ends.failed, col->index.failed,
                            col->dict.keys.failed };
    size_t     i;

    for (i = 0; i < sizeof(failed) / sizeof(failed[0]); i++) {
        if (failed[i]) {
            return failed[i];
        }
    }

    return TRK_OK;
}


void
trk_native_write_head(trk_buf_t *out, size_t columns, size_t rows)
{
    trk_native_varint(out, columns);
    trk_native_varint(out, rows);
}


void
trk_native_write(trk_buf_t *out, trk_native_t *col, trk_str_t name,
    size_t rows)
{
    const char            *type;
    static const uint64_t  version = TRK_LC_VERSION;

    trk_native_fill(col, rows);

    type = trk_native_type_name(col->type);
    trk_native_text(out, name);
    trk_native_text(out, trk_str_of(type, strlen(type)));

    switch (col->type) {

    case TRK_NATIVE_LC_STRING:
        trk_buf_add(out, &version, sizeof(uint64_t));
        trk_dict_write(out, &col->dict, &col->data);
        return;

    case TRK_NATIVE_MAP:
        trk_buf_add(out, &version, sizeof(uint64_t));
        trk_buf_add(out, col->ends.p, col->ends.n);
        trk_dict_write(out, &col->dict, &col->index);
        break;

    default:
        trk_buf_add(out, col->nulls.p, col->nulls.n);
        trk_buf_add(out, col->ends.p, col->ends.n);
    }

    trk_buf_add(out, col->data.p, col->data.n);
}


/* The number of a string, given to it if it is new. */

static uint32_t
trk_dict_key(trk_native_t *col, trk_str_t s)
{
    uint32_t            hash, *slot;
    trk_native_dict_t  *d;

    d = &col->dict;

    if (s.n == 0 || trk_str_eq(s, trk_dict_string(d, d->last))) {
        return s.n == 0 ? 0 : d->last;
    }

    if (d->nkeys + 1 >= d->cap && trk_dict_grow(d) != TRK_OK) {
        col->failed = TRK_NOMEM;
        return 0;
    }

    hash = trk_dict_hash(d, s);
    slot = trk_dict_slot(d, s, hash);

    if (*slot == 0) {
        trk_native_text(&d->keys, s);

        if (d->keys.failed) {
            return 0;
        }

        d->nkeys++;
        d->offs[d->nkeys] = (uint32_t) (d->keys.n - s.n);
        d->lens[d->nkeys] = (uint32_t) s.n;
        d->hashes[d->nkeys] = hash;
        *slot = d->nkeys;
    }

    d->last = *slot;

    return d->last;
}


static trk_str_t
trk_dict_string(const trk_native_dict_t *d, uint32_t key)
{
    if (key == 0) {
        return trk_null;
    }

    return trk_str_of(d->keys.p + d->offs[key], d->lens[key]);
}


/* Each step multiplies to 128 bits and folds, so that which strings collide
 * depends on the seed. */

static uint32_t
trk_dict_hash(const trk_native_dict_t *d, trk_str_t s)
{
    size_t             n;
    uint64_t           h, w;
    const uint8_t     *p;
    unsigned __int128  m;

    h = d->seed ^ s.n;

    for (p = s.p, n = s.n; n > 0; p += 8, n -= 8) {
        w = 0;
        memcpy(&w, p, n < 8 ? n : 8);

        m = (unsigned __int128) (h ^ w) * 0x9E3779B97F4A7C15ULL;
        h = (uint64_t) m ^ (uint64_t) (m >> 64) ^ d->seed;

        if (n < 8) {
            break;
        }
    }

    return (uint32_t) (h ^ h >> 32);
}


/* Where a string stands, or the free slot where it belongs.  There is always
 * a free one: at most half are taken. */

static uint32_t *
trk_dict_slot(trk_native_dict_t *d, trk_str_t s, uint32_t hash)
{
    uint32_t  i, key;

    for (i = hash & d->mask; d->slots[i] != 0; i = (i + 1) & d->mask) {
        key = d->slots[i];

        if (d->hashes[key] == hash && trk_str_eq(s, trk_dict_string(d, key))) {
            break;
        }
    }

    return &d->slots[i];
}


static int
trk_dict_grow(trk_native_dict_t *d)
{
    uint32_t  cap, key, i, *slots;

    cap = d->cap ? d->cap * 2 : TRK_LC_KEYS;

    slots = calloc(cap, 2 * sizeof(uint32_t));
    if (slots == NULL) {
        return TRK_NOMEM;
    }

    if (trk_dict_array(&d->offs, cap) != TRK_OK
        || trk_dict_array(&d->lens, cap) != TRK_OK
        || trk_dict_array(&d->hashes, cap) != TRK_OK)
    {
        free(slots);
        return TRK_NOMEM;
    }

    free(d->slots);
    d->slots = slots;
    d->cap = cap;
    d->mask = cap * 2 - 1;

    for (key = 1; key <= d->nkeys; key++) {
        for (i = d->hashes[key] & d->mask; slots[i] != 0; i = (i + 1) & d->mask)
        {
            /* void */
        }

        slots[i] = key;
    }

    return TRK_OK;
}


static int
trk_dict_array(uint32_t **a, uint32_t cap)
{
    uint32_t  *p;

    p = realloc(*a, cap * sizeof(uint32_t));
    if (p == NULL) {
        return TRK_NOMEM;
    }

    *a = p;

    return TRK_OK;
}


/* Flags, keys with number 0 first, indexes.  Of no value nothing at all is
 * written, as ClickHouse does. */

static void
trk_dict_write(trk_buf_t *out, const trk_native_dict_t *d,
    const trk_buf_t *index)
{
    uint64_t  flags, n;

    n = index->n / sizeof(uint32_t);
    if (n == 0) {
        return;
    }

    flags = TRK_LC_FLAGS | (d->nkeys < 256 ? 0 : d->nkeys < 65536 ? 1 : 2);
    trk_buf_add(out, &flags, sizeof(uint64_t));

    n = (uint64_t) d->nkeys + 1;
    trk_buf_add(out, &n, sizeof(uint64_t));
    trk_buf_byte(out, 0);
    trk_buf_add(out, d->keys.p, d->keys.n);

    n = index->n / sizeof(uint32_t);
    trk_buf_add(out, &n, sizeof(uint64_t));
    trk_dict_indexes(out, index, (size_t) 1 << (flags & 3));
}


static void
trk_dict_indexes(trk_buf_t *out, const trk_buf_t *index, size_t width)
{
    size_t    i, n;
    uint8_t  *p;

    n = index->n / sizeof(uint32_t);

    p = trk_buf_reserve(out, n * width);
    if (p == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {
        memcpy(p + i * width, index->p + i * sizeof(uint32_t), width);
    }

    out->n += n * width;
}
