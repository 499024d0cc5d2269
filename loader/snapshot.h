/*
 * What the loader knows of the schema: which field has which column, and
 * which event type defines which field.  Immutable once made; counted, since
 * the schema thread makes them and the main thread uses them.
 */

#ifndef LOADER_SNAPSHOT_H
#define LOADER_SNAPSHOT_H

#include <stdatomic.h>

#include "trk_image.h"
#include "trk_native.h"
#include "trk_schema.h"


typedef struct {
    trk_str_t        name;          /* without f_; NUL-terminated */
    trk_data_type_t  data_type;
    uint32_t         hash;
} loader_field_t;

typedef struct {
    _Atomic int      refs;
    uint64_t         generation;    /* from 1, one more for each snapshot */
    int              has_version;   /* 0: made of ClickHouse's columns */
    trk_uuid_t       lineage;
    uint64_t         version;
    loader_field_t  *fields;        /* sorted by name */
    uint32_t         nfields;
    uint32_t        *slots;         /* hash -> field + 1 */
    uint32_t         mask;
    trk_buf_t        image;         /* trk_image_t; empty: types unknown */
    char            *names;
} loader_snapshot_t;


/* Makes a snapshot of field names and types (copied; in any order, none
 * twice) with one reference.  `image` is moved into it and is empty after.
 * TRK_OK, TRK_NOMEM, TRK_CORRUPT: image is not one. */
TRK_MUSTCHECK int loader_snapshot_create(loader_snapshot_t **snap,
    const loader_field_t *fields, size_t nfields, trk_buf_t *image);
void loader_snapshot_hold(loader_snapshot_t *snap);
void loader_snapshot_release(loader_snapshot_t *snap);

/* Index of a field, or -1. */
int64_t loader_snapshot_field(const loader_snapshot_t *snap, trk_str_t name);

/* 1: this event type defines this field. */
int loader_snapshot_defines(const loader_snapshot_t *snap, trk_str_t type,
    trk_str_t field);

/* 1: a record of this schema_version can be read with this snapshot: same
 * lineage, and the number is not above.  A text that is no version at all
 * (other producers) is covered. */
int loader_snapshot_covers(const loader_snapshot_t *snap, trk_str_t version);

/* The column type a field has. */
trk_native_type_t loader_column_type(trk_data_type_t type);


#endif /* LOADER_SNAPSHOT_H */
