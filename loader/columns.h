/*
 * The f_ columns of track.events, one for each field name.  Pure text, no
 * I/O: schema.c asks and tells ClickHouse.
 *
 * Every such column carries its data type as comment, since string and json
 * have the same column type.
 */

#ifndef LOADER_COLUMNS_H
#define LOADER_COLUMNS_H

#include "snapshot.h"


/* Of `existing` (lines of name, tab, comment) and snap: there[i] becomes 1
 * for each field i that has its column. */
void loader_columns_mark(const trk_buf_t *existing,
    const loader_snapshot_t *snap, uint8_t *there);

/* Appends ADD COLUMN for a field to an ALTER TABLE, begun if sql is empty.
 * Failure shows in sql->failed. */
void loader_columns_add(trk_buf_t *sql, const loader_field_t *field);

/* A snapshot, without version and types, of the columns that exist.
 * TRK_OK, TRK_NOMEM. */
TRK_MUSTCHECK int loader_columns_snapshot(const trk_buf_t *existing,
    loader_snapshot_t **snap);

/* 1: may be a field, and so stand in a statement as it is. */
int loader_column_name_ok(trk_str_t field);


#endif /* LOADER_COLUMNS_H */
