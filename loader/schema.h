/*
 * The schema thread: blocking libpq on a thread of its own.  LISTEN
 * track_schema; at each notification, and every LOADER_SCHEMA_EVERY, it asks
 * for the version and reads all when that moved.  What it read becomes a
 * snapshot; then the missing f_ columns are added to ClickHouse's events.
 *
 * Two things reach the main thread, each announced by wake():
 *   the current snapshot                 -> loader_schema_current()
 *   "columns of generation n are there"  -> loader_schema_ready()
 *
 * With PostgreSQL away at start, the snapshot is made of ClickHouse's own f_
 * columns, so typed columns go on being filled.
 */

#ifndef LOADER_SCHEMA_H
#define LOADER_SCHEMA_H

#include "conf.h"
#include "snapshot.h"


#define LOADER_SCHEMA_EVERY  5000   /* ms between looks at the version */
#define LOADER_SCHEMA_WAIT   5000   /* ms a record waits for its version */


typedef struct loader_schema_s  loader_schema_t;


/* Starts the thread.  conf must outlive it.  wake(data) is called from the
 * schema thread and must only wake the main thread.  TRK_OK; TRK_NOMEM,
 * TRK_IO: error is a sentence. */
TRK_MUSTCHECK int loader_schema_start(loader_schema_t **schema,
    const loader_conf_t *conf, void (*wake)(void *data), void *data,
    char error[LOADER_ERROR_MAX]);

/* Ends the thread; waits for it at most 2 s and else leaves it (and its
 * memory) behind, since the process is about to end. */
void loader_schema_stop(loader_schema_t *schema);

/* locality: main thread.  The newest snapshot, or NULL: none yet, do not
 * consume.  Good until the next call. */
const loader_snapshot_t *loader_schema_current(loader_schema_t *schema);

/* 1: the columns of this generation exist in ClickHouse; a block may only be
 * sent then (loader_block_generation()). */
int loader_schema_ready(loader_schema_t *schema, uint64_t generation);

/*
 * locality: main thread.  A record names a version that the current snapshot
 * does not cover: makes the thread read PostgreSQL now.  TRK_AGAIN: wait
 * (wake() comes; ask again at the latest LOADER_SCHEMA_WAIT later).  TRK_OK:
 * it is covered now, or has been waited for long enough: use what there is.
 * now is monotonic ms.
 */
TRK_MUSTCHECK int loader_schema_want(loader_schema_t *schema,
    trk_str_t version, int64_t now);


#endif /* LOADER_SCHEMA_H */
