/*
 * The schema in PostgreSQL, by libpq (one of the two files that know it; the
 * other is migrate.c).  locality: schema thread; all calls block, each with
 * a deadline, and return soon after *stop becomes 1.
 */

#ifndef LOADER_POSTGRES_H
#define LOADER_POSTGRES_H

#include "conf.h"
#include "snapshot.h"


typedef struct loader_pg_s  loader_pg_t;


/* Connects and listens.  TRK_OK; TRK_IO, TRK_NOMEM: error is a sentence. */
TRK_MUSTCHECK int loader_pg_connect(loader_pg_t **pg, const char *conninfo,
    const _Atomic int *stop, char error[LOADER_ERROR_MAX]);
void loader_pg_close(loader_pg_t *pg);

/* Readable when PostgreSQL says something; -1 if pg is NULL. */
int loader_pg_fd(const loader_pg_t *pg);

/* 1: notified since the last call, or the connection is lost. */
int loader_pg_notified(loader_pg_t *pg);

/* *changed: is the version another than that of snap (which may be NULL)?
 * TRK_OK, TRK_IO: close, then connect anew. */
TRK_MUSTCHECK int loader_pg_changed(loader_pg_t *pg,
    const loader_snapshot_t *snap, int *changed,
    char error[LOADER_ERROR_MAX]);

/* Reads all in one transaction.  TRK_OK: *snap has one reference, and no
 * generation yet.  TRK_IO, TRK_NOMEM. */
TRK_MUSTCHECK int loader_pg_snapshot(loader_pg_t *pg,
    loader_snapshot_t **snap, char error[LOADER_ERROR_MAX]);


#endif /* LOADER_POSTGRES_H */
