/*
 * /metrics, /healthz and /readyz by libmicrohttpd, on a thread of its own
 * that only reads metrics.
 *
 * /healthz: 200 while the main loop turns (LOADER_M_LOOP_AT within
 *           LOADER_HTTP_STUCK), else 503.
 * /readyz:  200 when a schema is read and Kafka and ClickHouse answer, else
 *           503 with the names of those that are missing.
 */

#ifndef LOADER_HTTP_H
#define LOADER_HTTP_H

#include "conf.h"


#define LOADER_HTTP_STUCK  30000    /* ms */


typedef struct loader_http_s  loader_http_t;


/* Listens on conf->http_listen.  TRK_OK (*http is NULL if that is empty);
 * TRK_INVALID or TRK_IO: error is a sentence. */
TRK_MUSTCHECK int loader_http_start(loader_http_t **http,
    const loader_conf_t *conf, char error[LOADER_ERROR_MAX]);
void loader_http_stop(loader_http_t *http);


#endif /* LOADER_HTTP_H */
