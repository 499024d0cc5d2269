/*
 * ClickHouse over HTTP: the only file of the loader that knows libcurl.
 *
 * A handle belongs to the thread that made it.  Two ways to use it:
 * loader_clickhouse_query() blocks, for start, migrations, take-over and the
 * schema thread; loader_clickhouse_start() does not, for the main loop, which
 * then turns by loader_clickhouse_wait().
 */

#ifndef LOADER_CLICKHOUSE_H
#define LOADER_CLICKHOUSE_H

#include "conf.h"


/* What became of a request, by what may be done about it. */
typedef enum {
    LOADER_CH_OK = 0,
    LOADER_CH_AWAY,     /* no answer: network, or its time was up */
    LOADER_CH_BUSY,     /* refused for time, memory, number of parts or
                           queries, or while shutting down */
    LOADER_CH_SETUP,    /* credentials, grants, a missing table or column */
    LOADER_CH_DATA      /* refused, as far as can be told, for its content */
} loader_ch_result_t;

typedef struct loader_clickhouse_s  loader_clickhouse_t;
typedef struct loader_ch_request_s  loader_ch_request_t;

/* out is what the server sent (empty after a failure), good during the call;
 * error a sentence, "" if all is well.  The request is freed afterwards. */
typedef void (*loader_ch_done_pt)(void *data, loader_ch_result_t result,
    trk_str_t out, const char *error);


/* Once in a process, before the first thread.  TRK_OK, TRK_NOMEM. */
TRK_MUSTCHECK int loader_clickhouse_init(void);

/* conf must outlive the handle.  NULL: no memory. */
loader_clickhouse_t *loader_clickhouse_create(const loader_conf_t *conf);
void loader_clickhouse_free(loader_clickhouse_t *ch);


/* Appends s as it must stand in a URL's query. */
void loader_clickhouse_escape(trk_buf_t *out, trk_str_t s);


/*
 * Sends sql and waits.  params is appended to the URL ("&name=value…",
 * escaped by the caller) or NULL; timeout in ms.  TRK_OK: the answer is
 * appended to out (which may be NULL).  TRK_INVALID: the server refused it;
 * TRK_IO: no answer; TRK_NOMEM, TRK_LIMIT: the answer does not fit out;
 * error is then a sentence.
 */
TRK_MUSTCHECK int loader_clickhouse_query(loader_clickhouse_t *ch,
    trk_str_t sql, const char *params, uint64_t timeout, trk_buf_t *out,
    char error[LOADER_ERROR_MAX]);


/*
 * Sends without waiting; done(data, …) is called from loader_clickhouse_wait()
 * later, once, unless the request is dropped before.  url_sql (NULL: the
 * body is the statement) and params go to the URL, params as above; body is
 * not copied and must live until done; query_id is NUL-terminated, or NULL.
 * NULL: no memory, done is not called.
 */
loader_ch_request_t *loader_clickhouse_start(loader_clickhouse_t *ch,
    const trk_str_t *url_sql, trk_str_t body, const char *params,
    const char *query_id, uint64_t timeout, loader_ch_done_pt done,
    void *data);

/* Closes the connection under a request; done is not called.  The server may
 * go on with it. */
void loader_clickhouse_drop(loader_clickhouse_t *ch, loader_ch_request_t *req);

/* Waits at most timeout ms for requests or for one of the descriptors to be
 * readable, then moves the requests on.  TRK_OK, TRK_IO. */
TRK_MUSTCHECK int loader_clickhouse_wait(loader_clickhouse_t *ch,
    const int *fds, size_t nfds, int timeout);


/*
 * Blocks: is this a server the promises can rest on?  TRK_OK; TRK_AGAIN: no
 * answer; TRK_INVALID: it is not.  error is a sentence that says what to do.
 */
TRK_MUSTCHECK int loader_clickhouse_check(loader_clickhouse_t *ch,
    char error[LOADER_ERROR_MAX]);


#endif /* LOADER_CLICKHOUSE_H */
