/*
 * Metrics and health over HTTP: the only file that knows libmicrohttpd.  Its
 * thread runs loader_http_answer() and what is below it; nothing there
 * writes anything but the answer.  See http.h.
 */

#include "http.h"
#include "log.h"
#include "metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>


#define LOADER_HTTP_CONNECTIONS  32
#define LOADER_HTTP_TIMEOUT      10         /* s a connection may be idle */
#define LOADER_HTTP_BODY         65536      /* bytes of an answer */


struct loader_http_s {
    struct MHD_Daemon  *daemon;
};


static int loader_http_address(const char *listen, struct addrinfo **ai,
    char error[LOADER_ERROR_MAX]);
static enum MHD_Result loader_http_answer(void *data,
    struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **ctx);
static unsigned loader_http_metrics(trk_buf_t *out);
static unsigned loader_http_health(trk_buf_t *out);
static unsigned loader_http_ready(trk_buf_t *out);
static enum MHD_Result loader_http_send(struct MHD_Connection *c,
    unsigned status, trk_buf_t *body);


static const struct {
    const char  *url;
    unsigned   (*write)(trk_buf_t *out);
} loader_http_pages[] = {
    { "/metrics", loader_http_metrics },
    { "/healthz", loader_http_health },
    { "/readyz", loader_http_ready },
};


int
loader_http_start(loader_http_t **http, const loader_conf_t *conf,
    char error[LOADER_ERROR_MAX])
{
    int               rc;
    loader_http_t    *h;
    struct addrinfo  *ai;

    *http = NULL;

    if (conf->http_listen[0] == '\0') {
        return TRK_OK;
    }

    rc = loader_http_address(conf->http_listen, &ai, error);
    if (rc != TRK_OK) {
        return rc;
    }

    h = malloc(sizeof(loader_http_t));
    if (h == NULL) {
        freeaddrinfo(ai);
        snprintf(error, LOADER_ERROR_MAX, "no memory");
        return TRK_NOMEM;
    }

    h->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD
                                 | (ai->ai_family == AF_INET6 ? MHD_USE_IPv6
                                                              : 0),
                    0, NULL, NULL, loader_http_answer, NULL,
                    MHD_OPTION_SOCK_ADDR, ai->ai_addr,
                    MHD_OPTION_CONNECTION_LIMIT,
                    (unsigned) LOADER_HTTP_CONNECTIONS,
                    MHD_OPTION_CONNECTION_TIMEOUT,
                    (unsigned) LOADER_HTTP_TIMEOUT,
                    MHD_OPTION_END);
    freeaddrinfo(ai);

    if (h->daemon == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "cannot listen on %s: %s (choose"
                 " another address with listen in [http])", conf->http_listen,
                 strerror(errno));
        free(h);
        return TRK_IO;
    }

    *http = h;

    return TRK_OK;
}


void
loader_http_stop(loader_http_t *http)
{
    if (http != NULL) {
        MHD_stop_daemon(http->daemon);
        free(http);
    }
}


/* "127.0.0.1:8606", "[::1]:8606".  The caller frees *ai. */

static int
loader_http_address(const char *listen, struct addrinfo **ai,
    char error[LOADER_ERROR_MAX])
{
    int          rc;
    char         host[64];
    size_t       n;
    const char  *colon, *begin;

    static const struct addrinfo  hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
        .ai_socktype = SOCK_STREAM,
    };

    colon = strrchr(listen, ':');
    n = colon ? (size_t) (colon - listen) : 0;
    begin = listen;

    if (n > 1 && begin[0] == '[' && begin[n - 1] == ']') {
        begin++;
        n -= 2;
    }

    if (n == 0 || n >= sizeof(host)) {
        snprintf(error, LOADER_ERROR_MAX, "listen in [http] is \"%s\", but"
                 " must be address:port", listen);
        return TRK_INVALID;
    }

    memcpy(host, begin, n);
    host[n] = '\0';

    rc = getaddrinfo(host, colon + 1, &hints, ai);
    if (rc != 0) {
        snprintf(error, LOADER_ERROR_MAX, "listen in [http] is \"%s\", but"
                 " must be address:port with a numeric address: %s", listen,
                 gai_strerror(rc));
        return TRK_INVALID;
    }

    return TRK_OK;
}


static enum MHD_Result
loader_http_answer(void *data, struct MHD_Connection *c, const char *url,
    const char *method, const char *version, const char *upload,
    size_t *upload_size, void **ctx)
{
    size_t     i;
    unsigned   status;
    trk_buf_t  body;

    (void) data;
    (void) version;
    (void) upload;

    if (*upload_size != 0) {
        *upload_size = 0;
        return MHD_YES;
    }

    if (*ctx == NULL) {
        /* first call: the head alone; answered at the second */
        *ctx = c;
        return MHD_YES;
    }

    trk_buf_init(&body, LOADER_HTTP_BODY);
    status = MHD_HTTP_NOT_FOUND;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        trk_buf_lit(&body, "only GET and HEAD\n");
        return loader_http_send(c, MHD_HTTP_METHOD_NOT_ALLOWED, &body);
    }

    for (i = 0; i < sizeof(loader_http_pages) / sizeof(loader_http_pages[0]);
         i++)
    {
        if (strcmp(url, loader_http_pages[i].url) == 0) {
            status = loader_http_pages[i].write(&body);
        }
    }

    if (status == MHD_HTTP_NOT_FOUND) {
        trk_buf_lit(&body, "there are /metrics, /healthz and /readyz\n");
    }

    return loader_http_send(c, status, &body);
}


static unsigned
loader_http_metrics(trk_buf_t *out)
{
    loader_metrics_write(out);

    return MHD_HTTP_OK;
}


static unsigned
loader_http_health(trk_buf_t *out)
{
    int64_t  since;

    since = loader_monotonic() - loader_metric_get(LOADER_M_LOOP_AT);

    if (since > LOADER_HTTP_STUCK) {
        trk_buf_lit(out, "the main loop has not turned for ");
        trk_buf_int(out, since / 1000);
        trk_buf_lit(out, " s\n");
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }

    trk_buf_lit(out, "ok\n");

    return MHD_HTTP_OK;
}


static unsigned
loader_http_ready(trk_buf_t *out)
{
    size_t  i;

    static const struct {
        loader_metric_t  metric;
        const char      *text;
    } needed[] = {
        { LOADER_M_SCHEMA_LOADED, "no schema has been read yet\n" },
        { LOADER_M_KAFKA_UP, "Kafka does not answer\n" },
        { LOADER_M_CLICKHOUSE_UP, "ClickHouse does not answer\n" },
    };

    for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (loader_metric_get(needed[i].metric) == 0) {
            trk_buf_add(out, needed[i].text, strlen(needed[i].text));
        }
    }

    if (out->n > 0) {
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }

    trk_buf_lit(out, "ok\n");

    return MHD_HTTP_OK;
}


/* Sends and frees the body. */

static enum MHD_Result
loader_http_send(struct MHD_Connection *c, unsigned status, trk_buf_t *body)
{
    enum MHD_Result       rc;
    struct MHD_Response  *resp;

    if (body->failed) {
        trk_buf_free(body);
        return MHD_NO;
    }

    resp = MHD_create_response_from_buffer(body->n, body->p,
                                           MHD_RESPMEM_MUST_COPY);
    trk_buf_free(body);

    if (resp == NULL) {
        return MHD_NO;
    }

    rc = MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE,
                                 "text/plain; version=0.0.4; charset=utf-8");
    if (rc == MHD_YES) {
        rc = MHD_queue_response(c, status, resp);
    }

    MHD_destroy_response(resp);

    return rc;
}
