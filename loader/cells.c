/*
 * Fields of a record.  See cells.h.
 */

#include "cells.h"

#include <stdio.h>
#include <stdlib.h>


#define LOADER_CELLS_TEXT  (1 << 30)
#define LOADER_CELLS_KEEP  65536


static loader_cell_t *loader_cells_add(loader_cells_t *cells);
static int loader_cell_place(loader_cells_t *cells, loader_cell_t *cell,
    trk_record_t *rec, const loader_snapshot_t *snap, char *reason);
static int loader_cell_read(const trk_json_t *json, loader_cell_t *cell,
    trk_data_type_t type);
static int loader_cell_strings(const trk_json_t *json, uint32_t value);
static int loader_cell_misfit(loader_cells_t *cells, loader_cell_t *cell,
    trk_record_t *rec, const loader_snapshot_t *snap, trk_str_t name,
    char *reason);
static const char *loader_json_kind(uint8_t type);


void
loader_cells_init(loader_cells_t *cells)
{
    memset(cells, 0, sizeof(*cells));
    trk_buf_init(&cells->name, LOADER_CELLS_TEXT);
    trk_buf_init(&cells->type, LOADER_CELLS_TEXT);
}


void
loader_cells_free(loader_cells_t *cells)
{
    trk_buf_free(&cells->name);
    trk_buf_free(&cells->type);
    free(cells->list);
    cells->list = NULL;
    cells->n = 0;
    cells->cap = 0;
}


int
loader_cells_read(loader_cells_t *cells, trk_record_t *rec,
    const loader_snapshot_t *snap, char reason[LOADER_REASON_MAX])
{
    int                     rc;
    uint32_t                name;
    loader_cell_t          *cell;
    const trk_json_node_t  *nodes;

    cells->n = 0;

    if (rec->fields == 0) {
        return TRK_OK;
    }

    nodes = rec->json.nodes;

    for (name = rec->fields + 1; name < nodes[rec->fields].next;
         name = nodes[name + 1].next)
    {
        if (nodes[name + 1].type == TRK_JSON_NULL) {
            continue;
        }

        cell = loader_cells_add(cells);
        if (cell == NULL) {
            return TRK_NOMEM;
        }

        memset(cell, 0, sizeof(*cell));
        cell->name = name;
        cell->value = name + 1;

        rc = loader_cell_place(cells, cell, rec, snap, reason);
        if (rc != TRK_OK) {
            return rc;
        }
    }

    return TRK_OK;
}


static loader_cell_t *
loader_cells_add(loader_cells_t *cells)
{
    size_t          cap;
    loader_cell_t  *list;

    if (cells->n == cells->cap) {
        cap = cells->cap ? cells->cap * 2 : 64;

        list = realloc(cells->list, cap * sizeof(loader_cell_t));
        if (list == NULL) {
            return NULL;
        }

        cells->list = list;
        cells->cap = cap;
    }

    return &cells->list[cells->n++];
}


static int
loader_cell_place(loader_cells_t *cells, loader_cell_t *cell,
    trk_record_t *rec, const loader_snapshot_t *snap, char *reason)
{
    trk_str_t  name;

    trk_buf_reset(&cells->name, LOADER_CELLS_KEEP);
    name = trk_json_string(&rec->json, cell->name, &cells->name);
    if (cells->name.failed) {
        return cells->name.failed;
    }

    cell->field = loader_snapshot_field(snap, name);
    if (cell->field == -1) {
        return TRK_OK;
    }

    switch (loader_cell_read(&rec->json, cell,
                             snap->fields[cell->field].data_type))
    {

    case TRK_OK:
        return TRK_OK;

    case TRK_NOMEM:
        return TRK_NOMEM;

    default:
        return loader_cell_misfit(cells, cell, rec, snap, name, reason);
    }
}


/*
 * A field name has one type, whoever defines it.  A value that does not fit
 * makes the record dead where its own event type defines the field: the edge
 * cannot have accepted that.  Elsewhere the name is only a namesake that the
 * event type keeps: fields_extra.
 */

static int
loader_cell_misfit(loader_cells_t *cells, loader_cell_t *cell,
    trk_record_t *rec, const loader_snapshot_t *snap, trk_str_t name,
    char *reason)
{
    uint8_t          kind;
    trk_str_t        type;
    trk_data_type_t  wanted;

    trk_buf_reset(&cells->type, LOADER_CELLS_KEEP);
    type = trk_json_string(&rec->json, rec->event_type, &cells->type);
    if (cells->type.failed) {
        return cells->type.failed;
    }

    if (!loader_snapshot_defines(snap, type, name)) {
        cell->field = -1;
        return TRK_OK;
    }

    kind = rec->json.nodes[cell->value].type;
    wanted = snap->fields[cell->field].data_type;

    (void) snprintf(reason, LOADER_REASON_MAX, "field %.*s is %s, which does"
                    " not fit its type %s", (int) name.n,
                    (const char *) name.p, loader_json_kind(kind),
                    trk_data_type_name(wanted));

    return TRK_INVALID;
}


/* Converts a value, without loss or not at all.  TRK_OK, TRK_INVALID,
 * TRK_NOMEM. */

static int
loader_cell_read(const trk_json_t *json, loader_cell_t *cell,
    trk_data_type_t type)
{
    int      rc;
    uint8_t  kind;

    kind = json->nodes[cell->value].type;

    switch (type) {

    case TRK_TYPE_STRING:
        return kind == TRK_JSON_STRING ? TRK_OK : TRK_INVALID;

    case TRK_TYPE_BOOL:
        cell->i = kind == TRK_JSON_TRUE;
        return kind == TRK_JSON_TRUE || kind == TRK_JSON_FALSE ? TRK_OK
                                                               : TRK_INVALID;

    case TRK_TYPE_INT:
        rc = kind != TRK_JSON_NUMBER ? TRK_INVALID
             : trk_number_int64(trk_json_text(json, cell->value), &cell->i);
        break;

    case TRK_TYPE_FLOAT:
        rc = kind != TRK_JSON_NUMBER ? TRK_INVALID
             : trk_number_double(trk_json_text(json, cell->value), &cell->d);
        break;

    case TRK_TYPE_TIMESTAMP:
        rc = trk_json_time(json, cell->value, &cell->i);
        break;

    case TRK_TYPE_STRINGS:
        return loader_cell_strings(json, cell->value);

    default:    /* TRK_TYPE_JSON */
        cell->raw = 1;
        return TRK_OK;
    }

    return rc == TRK_OK || rc == TRK_NOMEM ? rc : TRK_INVALID;
}


static int
loader_cell_strings(const trk_json_t *json, uint32_t value)
{
    uint32_t  i;

    if (json->nodes[value].type != TRK_JSON_ARRAY) {
        return TRK_INVALID;
    }

    for (i = value + 1; i < json->nodes[value].next; i = json->nodes[i].next) {
        if (json->nodes[i].type != TRK_JSON_STRING) {
            return TRK_INVALID;
        }
    }

    return TRK_OK;
}


static const char *
loader_json_kind(uint8_t type)
{
    static const char *const  kinds[] = {
        [TRK_JSON_NULL] = "null",
        [TRK_JSON_FALSE] = "a boolean",
        [TRK_JSON_TRUE] = "a boolean",
        [TRK_JSON_NUMBER] = "a number",
        [TRK_JSON_STRING] = "a string",
        [TRK_JSON_ARRAY] = "an array",
        [TRK_JSON_OBJECT] = "an object",
    };

    return kinds[type];
}
