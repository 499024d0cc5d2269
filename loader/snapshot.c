/*
 * Snapshots of the schema.  See snapshot.h.
 */

#include "snapshot.h"
#include "trk_hash.h"

#include <stdlib.h>


static int loader_snapshot_fill(loader_snapshot_t *snap,
    const loader_field_t *fields, size_t nfields);
static void loader_snapshot_index(loader_snapshot_t *snap);
static int loader_field_cmp(const void *a, const void *b);
static const trk_image_t *loader_snapshot_image(const loader_snapshot_t *snap);
static int loader_version_parse(trk_str_t text, trk_str_t *lineage,
    uint64_t *number);


int
loader_snapshot_create(loader_snapshot_t **out, const loader_field_t *fields,
    size_t nfields, trk_buf_t *image)
{
    loader_snapshot_t  *snap;

    *out = NULL;

    if (image->n > 0 && trk_image_check(image->p, image->n) != TRK_OK) {
        return TRK_CORRUPT;
    }

    snap = calloc(1, sizeof(loader_snapshot_t));
    if (snap == NULL) {
        return TRK_NOMEM;
    }

    atomic_init(&snap->refs, 1);

    if (loader_snapshot_fill(snap, fields, nfields) != TRK_OK) {
        loader_snapshot_release(snap);
        return TRK_NOMEM;
    }

    snap->image = *image;
    memset(image, 0, sizeof(*image));
    *out = snap;

    return TRK_OK;
}


/* Copies the fields, sorts them and builds the table over their names, which
 * is at most half full. */

static int
loader_snapshot_fill(loader_snapshot_t *snap, const loader_field_t *fields,
    size_t nfields)
{
    char    *p;
    size_t   i, bytes, slots;

    for (i = 0, bytes = 1; i < nfields; i++) {
        bytes += fields[i].name.n + 1;
    }

    for (slots = 16; slots < nfields * 2; slots *= 2) { /* void */ }

    snap->names = malloc(bytes);
    snap->fields = calloc(nfields + 1, sizeof(loader_field_t));
    snap->slots = calloc(slots, sizeof(uint32_t));

    if (snap->names == NULL || snap->fields == NULL || snap->slots == NULL) {
        return TRK_NOMEM;
    }

    for (i = 0, p = snap->names; i < nfields; i++) {
        memcpy(p, fields[i].name.p, fields[i].name.n);

        snap->fields[i].name = trk_str_of(p, fields[i].name.n);
        snap->fields[i].data_type = fields[i].data_type;
        snap->fields[i].hash = trk_hash(fields[i].name);

        p += fields[i].name.n;
        *p++ = '\0';
    }

    snap->nfields = (uint32_t) nfields;
    snap->mask = (uint32_t) slots - 1;
    loader_snapshot_index(snap);

    return TRK_OK;
}


static void
loader_snapshot_index(loader_snapshot_t *snap)
{
    uint32_t  f, i;

    qsort(snap->fields, snap->nfields, sizeof(loader_field_t),
          loader_field_cmp);

    for (f = 0; f < snap->nfields; f++) {

        i = snap->fields[f].hash & snap->mask;

        while (snap->slots[i] != 0) {
            i = (i + 1) & snap->mask;
        }

        snap->slots[i] = f + 1;
    }
}


static int
loader_field_cmp(const void *a, const void *b)
{
    const loader_field_t  *x = a, *y = b;

    return trk_str_cmp(x->name, y->name);
}


void
loader_snapshot_hold(loader_snapshot_t *snap)
{
    atomic_fetch_add(&snap->refs, 1);
}


void
loader_snapshot_release(loader_snapshot_t *snap)
{
    if (snap == NULL || atomic_fetch_sub(&snap->refs, 1) > 1) {
        return;
    }

    trk_buf_free(&snap->image);
    free(snap->fields);
    free(snap->slots);
    free(snap->names);
    free(snap);
}


int64_t
loader_snapshot_field(const loader_snapshot_t *snap, trk_str_t name)
{
    uint32_t               i, hash;
    const loader_field_t  *f;

    hash = trk_hash(name);

    for (i = hash & snap->mask; snap->slots[i] != 0; i = (i + 1) & snap->mask) {
        f = &snap->fields[snap->slots[i] - 1];

        if (f->hash == hash && trk_str_eq(f->name, name)) {
            return snap->slots[i] - 1;
        }
    }

    return -1;
}


static const trk_image_t *
loader_snapshot_image(const loader_snapshot_t *snap)
{
    return (const trk_image_t *) (const void *) snap->image.p;
}


int
loader_snapshot_defines(const loader_snapshot_t *snap, trk_str_t type,
    trk_str_t field)
{
    const trk_image_t       *image;
    const trk_image_type_t  *t;

    image = loader_snapshot_image(snap);
    t = image ? trk_image_type(image, type) : NULL;

    return t != NULL && trk_image_field(image, t, field) != NULL;
}


int
loader_snapshot_covers(const loader_snapshot_t *snap, trk_str_t version)
{
    char       own[TRK_SCHEMA_VERSION_MAX];
    uint64_t   number;
    trk_str_t  lineage;

    if (loader_version_parse(version, &lineage, &number) != TRK_OK) {
        return 1;
    }

    if (!snap->has_version) {
        return 0;
    }

    trk_schema_version_format(&snap->lineage, snap->version, own);

    return trk_str_eq(lineage, trk_str_of(own, lineage.n))
           && number <= snap->version;
}


/* "3f2a9c01-42".  TRK_INVALID: anything else. */

static int
loader_version_parse(trk_str_t text, trk_str_t *lineage, uint64_t *number)
{
    size_t  i;

    if (text.n < 10 || text.n > TRK_SCHEMA_VERSION_MAX || text.p[8] != '-') {
        return TRK_INVALID;
    }

    for (i = 0; i < 8; i++) {
        if (strchr("0123456789abcdef", text.p[i]) == NULL || text.p[i] == 0) {
            return TRK_INVALID;
        }
    }

    for (i = 9, *number = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9'
            || *number > (UINT64_MAX - 9) / 10)
        {
            return TRK_INVALID;
        }

        *number = *number * 10 + (uint64_t) (text.p[i] - '0');
    }

    *lineage = trk_str_of(text.p, 8);

    return TRK_OK;
}


trk_native_type_t
loader_column_type(trk_data_type_t type)
{
    switch (type) {

    case TRK_TYPE_INT:
        return TRK_NATIVE_NULL_INT64;

    case TRK_TYPE_FLOAT:
        return TRK_NATIVE_NULL_FLOAT64;

    case TRK_TYPE_BOOL:
        return TRK_NATIVE_NULL_BOOL;

    case TRK_TYPE_TIMESTAMP:
        return TRK_NATIVE_NULL_DATETIME;

    case TRK_TYPE_STRINGS:
        return TRK_NATIVE_STRINGS;

    default:
        return TRK_NATIVE_NULL_STRING;
    }
}
