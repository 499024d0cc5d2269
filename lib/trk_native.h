/*
 * One column of a ClickHouse Native block, built value by value.
 *
 * A block on the wire is the number of columns, the number of rows, and then
 * column after column: name, type, data.  Columns grow independently: a value
 * is put at a row, and the rows before it that had none get the column's
 * default (NULL, "", 0, an empty array or map).  So a row costs what it
 * carries, not what the table is wide.
 *
 * Layouts were taken from ClickHouse's own output (FORMAT Native over HTTP,
 * client revision 0) and are tested byte for byte; the machine must be
 * little-endian, which is checked at compile time.
 */

#ifndef TRK_NATIVE_H
#define TRK_NATIVE_H

#include "trk.h"
#include "trk_id.h"


typedef enum {
    TRK_NATIVE_STRING = 1,
    TRK_NATIVE_LC_STRING,       /* LowCardinality(String) */
    TRK_NATIVE_UUID,
    TRK_NATIVE_DATE,            /* days since the epoch */
    TRK_NATIVE_DATETIME,        /* DateTime64(3, 'UTC'): ms since the epoch */
    TRK_NATIVE_UINT32,
    TRK_NATIVE_UINT64,
    TRK_NATIVE_BOOL,
    TRK_NATIVE_NULL_STRING,     /* Nullable(String) and so on */
    TRK_NATIVE_NULL_INT64,
    TRK_NATIVE_NULL_FLOAT64,
    TRK_NATIVE_NULL_BOOL,
    TRK_NATIVE_NULL_DATETIME,
    TRK_NATIVE_STRINGS,         /* Array(String) */
    TRK_NATIVE_MAP              /* Map(LowCardinality(String), String) */
} trk_native_type_t;


/* The strings of a low-cardinality column: each once, numbered from 1;
 * number 0 is the empty string. */
typedef struct {
    trk_buf_t   keys;       /* as on the wire: length, bytes */
    uint32_t   *offs;       /* key -> offset of its bytes in keys */
    uint32_t   *lens;
    uint32_t    nkeys;      /* without number 0 */
    uint32_t    cap;
    uint32_t   *hashes;     /* key -> hash */
    uint32_t   *slots;      /* hash -> key; 0: free */
    uint32_t    mask;
    uint32_t    last;       /* the key found last: neighbours are alike */
    uint64_t    seed;
} trk_native_dict_t;

typedef struct {
    trk_native_type_t  type;
    size_t             rows;
    trk_buf_t          data;    /* values; for _STRINGS the elements, for _MAP
                                   the values, for LC uint32_t keys */
    trk_buf_t          nulls;   /* Nullable: a byte a row */
    trk_buf_t          ends;    /* _STRINGS, _MAP: uint64_t end of each row */
    trk_buf_t          index;   /* _MAP: uint32_t key of each element */
    trk_native_dict_t  dict;    /* LC and _MAP */
    uint64_t           elements;
    int                failed;  /* 0, TRK_NOMEM or TRK_LIMIT; of dict; sticky */
} trk_native_t;


/* Zeroed memory is not a column: init first.  max bounds each of its
 * buffers, in bytes, at most 1 GiB.  seed: any random number; senders choose
 * the strings of low-cardinality columns, and must not be able to choose
 * ones that collide.  What is written does not depend on it. */
void trk_native_init(trk_native_t *col, trk_native_type_t type, size_t max,
    uint64_t seed);
void trk_native_free(trk_native_t *col);

/* Empties the column for another block; memory beyond `keep` bytes a buffer
 * is given back. */
void trk_native_reset(trk_native_t *col, size_t keep);

/* The type as ClickHouse writes it; static. */
const char *trk_native_type_name(trk_native_type_t type);


/*
 * Puts a value at `row`, which must not be below col->rows.  Which of them a
 * column takes is said by its type; a value is never converted.  Failure
 * shows in trk_native_failed(), after which the column is good for reset only.
 */
void trk_native_put_string(trk_native_t *col, size_t row, trk_str_t s);
void trk_native_put_int(trk_native_t *col, size_t row, int64_t v);
void trk_native_put_uint(trk_native_t *col, size_t row, uint64_t v);
void trk_native_put_double(trk_native_t *col, size_t row, double v);
void trk_native_put_uuid(trk_native_t *col, size_t row, const trk_uuid_t *u);

/* _STRINGS and _MAP: begins the row, then one call an element. */
void trk_native_put_row(trk_native_t *col, size_t row);
void trk_native_put_element(trk_native_t *col, trk_str_t s);
void trk_native_put_pair(trk_native_t *col, trk_str_t key, trk_str_t value);

/* TRK_OK, TRK_NOMEM or TRK_LIMIT: of any of its parts. */
TRK_MUSTCHECK int trk_native_failed(const trk_native_t *col);

/* Bytes in use, with what the defaults up to `rows` will take. */
size_t trk_native_size(const trk_native_t *col, size_t rows);


/*
 * The wire.  A block is trk_native_write_head() followed by as many
 * trk_native_write(): each fills its column up to `rows` and appends it.
 * Failure shows in out->failed or trk_native_failed().
 */
void trk_native_write_head(trk_buf_t *out, size_t columns, size_t rows);
void trk_native_write(trk_buf_t *out, trk_native_t *col, trk_str_t name,
    size_t rows);

/* LEB128, as the format writes lengths. */
void trk_native_varint(trk_buf_t *out, uint64_t v);


#endif /* TRK_NATIVE_H */
