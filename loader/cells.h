/*
 * The fields of a record: each with the column it belongs to and its value
 * converted.  Inside of rows.c.  locality: main thread.
 */

#ifndef LOADER_CELLS_H
#define LOADER_CELLS_H

#include "rows.h"


/* A member of fields that has a value, and where it goes. */
typedef struct {
    uint32_t  name;             /* nodes of the record's JSON */
    uint32_t  value;
    int64_t   field;            /* of the snapshot; -1: fields_extra */
    int64_t   i;                /* int, bool, timestamp */
    double    d;                /* float */
    int       raw;              /* json: the text as it came */
} loader_cell_t;

typedef struct {
    loader_cell_t  *list;       /* owned, reused */
    size_t          n;
    size_t          cap;
    trk_buf_t       name;       /* owned scratch: a decoded name */
    trk_buf_t       type;       /* the same: the event type */
} loader_cells_t;


void loader_cells_init(loader_cells_t *cells);
void loader_cells_free(loader_cells_t *cells);

/*
 * Takes the fields of a record apart, until the next call.  null means
 * absent.  TRK_OK; TRK_INVALID: a value does not fit, and reason says which;
 * TRK_NOMEM, TRK_LIMIT.
 */
TRK_MUSTCHECK int loader_cells_read(loader_cells_t *cells,
    trk_record_t *rec, const loader_snapshot_t *snap,
    char reason[LOADER_REASON_MAX]);


#endif /* LOADER_CELLS_H */
