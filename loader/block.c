/*
 * Blocks of rows.  See block.h and rows.h.
 */

#include "block.h"

#include <stdlib.h>


#define LOADER_COLUMN_MAX   (1 << 30)   /* bytes a buffer of a column */
#define LOADER_COLUMN_KEEP  65536       /* kept of it for the next block */


static const struct {
    const char         *name;
    trk_native_type_t   type;
} loader_columns[] = {
#define LOADER_COLUMN_ROW(symbol, column, type)                               \
    { column, TRK_NATIVE_##type },
    LOADER_COLUMNS(LOADER_COLUMN_ROW)
#undef LOADER_COLUMN_ROW
};


static loader_column_t *loader_block_add(loader_block_t *block,
    trk_native_type_t type, trk_str_t prefix, trk_str_t name);
static int loader_block_map(loader_block_t *block,
    const loader_snapshot_t *snap);
static uint32_t loader_block_find(const loader_block_t *block,
    trk_str_t field);
static int loader_column_used(const loader_column_t *col);


loader_block_t *
loader_block_create(uint64_t seed)
{
    size_t           i;
    const char      *name;
    loader_block_t  *block;

    block = calloc(1, sizeof(loader_block_t));
    if (block == NULL) {
        return NULL;
    }

    block->seed = seed;

    for (i = 0; i < LOADER_C_COUNT; i++) {
        name = loader_columns[i].name;

        if (loader_block_add(block, loader_columns[i].type, trk_str(""),
                             trk_str_of(name, strlen(name)))
            == NULL)
        {
            loader_block_free(block);
            return NULL;
        }
    }

    return block;
}


void
loader_block_free(loader_block_t *block)
{
    size_t  i;

    if (block == NULL) {
        return;
    }

    for (i = 0; i < block->ncolumns; i++) {
        trk_native_free(&block->columns[i].values);
    }

    free(block->columns);
    free(block->map);
    free(block);
}


void
loader_block_reset(loader_block_t *block, int32_t day)
{
    size_t  i;

    for (i = 0; i < LOADER_C_COUNT; i++) {
        trk_native_reset(&block->columns[i].values, LOADER_COLUMN_KEEP);
    }

    /* the next rows may use other fields, or have another schema */

    for (i = LOADER_C_COUNT; i < block->ncolumns; i++) {
        trk_native_free(&block->columns[i].values);
    }

    block->ncolumns = LOADER_C_COUNT;
    block->map_generation = 0;
    block->day = day;
    block->rows = 0;
    block->generation = 0;
    block->failed = TRK_OK;
}


trk_native_t *
loader_block_base(loader_block_t *block, loader_column_e c)
{
    return &block->columns[c].values;
}


trk_native_t *
loader_block_field(loader_block_t *block, const loader_snapshot_t *snap,
    uint32_t f)
{
    uint32_t                i;
    trk_native_type_t       type;
    loader_column_t        *col;
    const loader_field_t   *field;

    if (block->map_generation != snap->generation
        && loader_block_map(block, snap) != TRK_OK)
    {
        return NULL;
    }

    field = &snap->fields[f];
    type = loader_column_type(field->data_type);
    i = block->map[f] ? block->map[f] : loader_block_find(block, field->name);

    if (i == 0) {
        col = loader_block_add(block, type, trk_str("f_"), field->name);
        if (col == NULL) {
            return NULL;
        }

        i = (uint32_t) (col - block->columns);
    }

    col = &block->columns[i];
    if (col->values.type != type) {
        return NULL;
    }

    block->map[f] = i;
    block->generation = snap->generation;

    return &col->values;
}


/* Fields are numbered anew in each snapshot. */

static int
loader_block_map(loader_block_t *block, const loader_snapshot_t *snap)
{
    uint32_t  *map;

    map = calloc((size_t) snap->nfields + 1, sizeof(uint32_t));
    if (map == NULL) {
        block->failed = TRK_NOMEM;
        return TRK_NOMEM;
    }

    free(block->map);
    block->map = map;
    block->map_generation = snap->generation;

    return TRK_OK;
}


/* The column of a field; 0: there is none. */

static uint32_t
loader_block_find(const loader_block_t *block, trk_str_t field)
{
    size_t                  i;
    const loader_column_t  *col;

    for (i = LOADER_C_COUNT; i < block->ncolumns; i++) {
        col = &block->columns[i];

        if (trk_str_eq(trk_str_of(col->name + 2, col->len - 2), field)) {
            return (uint32_t) i;
        }
    }

    return 0;
}


static loader_column_t *
loader_block_add(loader_block_t *block, trk_native_type_t type,
    trk_str_t prefix, trk_str_t name)
{
    size_t            cap;
    loader_column_t  *col;

    if (block->ncolumns == block->cap) {
        cap = block->cap ? block->cap * 2 : 64;

        col = realloc(block->columns, cap * sizeof(loader_column_t));
        if (col == NULL) {
            block->failed = TRK_NOMEM;
            return NULL;
        }

        block->columns = col;
        block->cap = cap;
    }

    col = &block->columns[block->ncolumns++];

    memcpy(col->name, prefix.p, prefix.n);
    memcpy(col->name + prefix.n, name.p, name.n);
    col->len = prefix.n + name.n;
    trk_native_init(&col->values, type, LOADER_COLUMN_MAX, block->seed);

    return col;
}


int
loader_block_row(loader_block_t *block)
{
    int     rc;
    size_t  i;

    if (block->failed) {
        return block->failed;
    }

    for (i = 0; i < LOADER_C_COUNT; i++) {
        rc = trk_native_failed(&block->columns[i].values);

        if (rc != TRK_OK) {
            block->failed = rc;
            return rc;
        }
    }

    block->rows++;

    return TRK_OK;
}


static int
loader_column_used(const loader_column_t *col)
{
    return col->values.rows > 0;
}


size_t
loader_block_bytes(const loader_block_t *block)
{
    size_t  i, n;

    for (i = 0, n = 0; i < block->ncolumns; i++) {
        if (loader_column_used(&block->columns[i])) {
            n += trk_native_size(&block->columns[i].values, block->rows);
        }
    }

    return n;
}


int32_t
loader_block_day(const loader_block_t *block)
{
    return block->day;
}


size_t
loader_block_count(const loader_block_t *block)
{
    return block->rows;
}


const uint64_t *
loader_block_offsets(const loader_block_t *block)
{
    return (const uint64_t *) (const void *)
           block->columns[LOADER_C_KAFKA_OFFSET].values.data.p;
}


uint64_t
loader_block_generation(const loader_block_t *block)
{
    return block->generation;
}


void
loader_block_columns(loader_block_t *block, trk_buf_t *out)
{
    size_t                  i, n;
    const loader_column_t  *col;

    for (i = 0, n = 0; i < block->ncolumns; i++) {
        col = &block->columns[i];

        if (!loader_column_used(col)) {
            continue;
        }

        if (n++) {
            trk_buf_byte(out, ',');
        }

        /* names are ours or [A-Za-z0-9_]: nothing to escape */

        trk_buf_byte(out, '`');
        trk_buf_add(out, col->name, col->len);
        trk_buf_byte(out, '`');
    }
}


int
loader_block_native(loader_block_t *block, trk_buf_t *out)
{
    int               rc;
    size_t            i, n;
    loader_column_t  *col;

    for (i = 0, n = 0; i < block->ncolumns; i++) {
        n += loader_column_used(&block->columns[i]);
    }

    trk_native_write_head(out, n, block->rows);

    for (i = 0; i < block->ncolumns; i++) {
        col = &block->columns[i];

        if (!loader_column_used(col)) {
            continue;
        }

        trk_native_write(out, &col->values, trk_str_of(col->name, col->len),
                         block->rows);

        rc = trk_native_failed(&col->values);
        if (rc != TRK_OK) {
            return rc;
        }
    }

    return out->failed;
}
