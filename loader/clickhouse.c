/*
 * ClickHouse over HTTP: see clickhouse.h.  A handle and its requests belong
 * to one thread.  Every statement goes by POST with wait_end_of_query=1, so
 * that an answer of 200 means it succeeded as a whole.
 *
 * An answer is held to ANSWER_MAX.  Redirects are not followed and proxies of
 * the environment not used: rows go where loader.conf says.
 */

#include "clickhouse.h"

#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>


#define ANSWER_MAX      (64 * 1024 * 1024)
#define URL_MAX         (1024 * 1024)
#define CONNECT_MS      5000
#define FDS_MAX         8

#define VERSION_MAJOR   23
#define VERSION_MINOR   8
#define WINDOW_MIN      10000       /* blocks; migrations set 100000 */


struct loader_ch_request_s {
    loader_clickhouse_t  *ch;
    CURL                 *easy;
    trk_buf_t             url;
    trk_buf_t             answer;
    int                   code;         /* ClickHouse's exception, or 0 */
    loader_ch_done_pt     done;
    void                 *data;
    loader_ch_request_t  *next;
    loader_ch_request_t  *prev;
};

struct loader_clickhouse_s {
    const loader_conf_t  *conf;
    CURLM                *multi;
    CURL                 *blocking;     /* keeps its connection */
    struct curl_slist    *headers;
    loader_ch_request_t  *requests;     /* under way in multi */
};


int
loader_clickhouse_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? TRK_OK
                                                             : TRK_NOMEM;
}


static int
add_header(struct curl_slist **list, const char *name, const char *value)
{
    char                line[1024];
    int                 n;
    struct curl_slist  *longer;

    n = snprintf(line, sizeof(line), "%s:%s%s", name, *value ? " " : "",
                 value);
    if (n < 0 || (size_t) n >= sizeof(line)) {
        return TRK_LIMIT;
    }

    longer = curl_slist_append(*list, line);
    if (longer == NULL) {
        return TRK_NOMEM;
    }

    *list = longer;

    return TRK_OK;
}


static int
make_headers(loader_clickhouse_t *ch)
{
    const loader_conf_t  *conf;

    conf = ch->conf;

    /* an empty Expect keeps curl from waiting a second for a 100 */

    if (add_header(&ch->headers, "Expect", "") != TRK_OK
        || add_header(&ch->headers, "Content-Type",
                      "application/octet-stream") != TRK_OK)
    {
        return TRK_NOMEM;
    }

    if (conf->clickhouse_user[0] == '\0') {
        return TRK_OK;
    }

    if (add_header(&ch->headers, "X-ClickHouse-User", conf->clickhouse_user)
        != TRK_OK)
    {
        return TRK_NOMEM;
    }

    return add_header(&ch->headers, "X-ClickHouse-Key",
                      conf->clickhouse_password);
}


loader_clickhouse_t *
loader_clickhouse_create(const loader_conf_t *conf)
{
    loader_clickhouse_t  *ch;

    ch = calloc(1, sizeof(*ch));
    if (ch == NULL) {
        return NULL;
    }

    ch->conf = conf;
    ch->multi = curl_multi_init();
    ch->blocking = curl_easy_init();

    if (ch->multi == NULL || ch->blocking == NULL
        || make_headers(ch) != TRK_OK)
    {
        loader_clickhouse_free(ch);
        return NULL;
    }

    return ch;
}


void
loader_clickhouse_free(loader_clickhouse_t *ch)
{
    if (ch == NULL) {
        return;
    }

    while (ch->requests != NULL) {
        loader_clickhouse_drop(ch, ch->requests);
    }

    curl_easy_cleanup(ch->blocking);
    curl_multi_cleanup(ch->multi);
    curl_slist_free_all(ch->headers);
    free(ch);
}


void
loader_clickhouse_escape(trk_buf_t *out, trk_str_t s)
{
    size_t             i;
    uint8_t            c;
    static const char  hex[] = "0123456789ABCDEF";

    for (i = 0; i < s.n; i++) {
        c = s.p[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.')
        {
            trk_buf_byte(out, c);
            continue;
        }

        trk_buf_byte(out, '%');
        trk_buf_byte(out, (uint8_t) hex[c >> 4]);
        trk_buf_byte(out, (uint8_t) hex[c & 15]);
    }
}


static size_t
body_cb(char *p, size_t size, size_t n, void *data)
{
    loader_ch_request_t  *req;

    req = data;
    trk_buf_add(&req->answer, p, size * n);

    return req->answer.failed ? 0 : size * n;
}


static size_t
header_cb(char *p, size_t size, size_t n, void *data)
{
    char                  value[16];
    size_t                len;
    loader_ch_request_t  *req;
    static const char     name[] = "X-ClickHouse-Exception-Code:";

    req = data;
    len = size * n;

    if (len > sizeof(name) - 1 && len < sizeof(name) + sizeof(value) - 2
        && strncasecmp(p, name, sizeof(name) - 1) == 0)
    {
        memcpy(value, p + sizeof(name) - 1, len - (sizeof(name) - 1));
        value[len - (sizeof(name) - 1)] = '\0';
        req->code = (int) strtol(value, NULL, 10);
    }

    return len;
}


static int
make_url(loader_ch_request_t *req, const trk_str_t *url_sql,
    const char *params, const char *query_id)
{
    trk_buf_t   *url;
    const char  *base;

    url = &req->url;
    base = req->ch->conf->clickhouse_url;

    trk_buf_init(url, URL_MAX);
    trk_buf_add(url, base, strlen(base));
    trk_buf_lit(url, "/?wait_end_of_query=1");

    if (query_id != NULL) {
        trk_buf_lit(url, "&query_id=");
        loader_clickhouse_escape(url, trk_str_of(query_id, strlen(query_id)));
    }

    if (params != NULL) {
        trk_buf_add(url, params, strlen(params));
    }

    if (url_sql != NULL) {
        trk_buf_lit(url, "&query=");
        loader_clickhouse_escape(url, *url_sql);
    }

    trk_buf_byte(url, '\0');

    return url->failed;
}


#define SET(option, value)                                                    \
    if (curl_easy_setopt(easy, option, value) != CURLE_OK) {                  \
        return TRK_NOMEM;                                                     \
    }

static int
prepare(loader_ch_request_t *req, trk_str_t body, uint64_t timeout)
{
    CURL  *easy;

    easy = req->easy;

    SET(CURLOPT_URL, (char *) req->url.p);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDS, body.p ? (const char *) body.p : "");
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) body.n);
    SET(CURLOPT_HTTPHEADER, req->ch->headers);
    SET(CURLOPT_WRITEFUNCTION, body_cb);
    SET(CURLOPT_WRITEDATA, (void *) req);
    SET(CURLOPT_HEADERFUNCTION, header_cb);
    SET(CURLOPT_HEADERDATA, (void *) req);
    SET(CURLOPT_PRIVATE, (void *) req);
    SET(CURLOPT_TIMEOUT_MS, (long) timeout);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) CONNECT_MS);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);

    return TRK_OK;
}

#undef SET


static loader_ch_result_t
classify(int code)
{
    switch (code) {

    case 159:   /* TIMEOUT_EXCEEDED */
    case 202:   /* TOO_MANY_SIMULTANEOUS_QUERIES */
    case 209:   /* SOCKET_TIMEOUT */
    case 210:   /* NETWORK_ERROR */
    case 216:   /* QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING */
    case 236:   /* ABORTED */
    case 241:   /* MEMORY_LIMIT_EXCEEDED */
    case 242:   /* TABLE_IS_READ_ONLY */
    case 243:   /* NOT_ENOUGH_SPACE */
    case 252:   /* TOO_MANY_PARTS */
    case 319:   /* UNKNOWN_STATUS_OF_INSERT */
    case 394:   /* QUERY_WAS_CANCELLED */
    case 473:   /* DEADLOCK_AVOIDED */
    case 999:   /* KEEPER_EXCEPTION */
        return LOADER_CH_BUSY;

    case 16:    /* NO_SUCH_COLUMN_IN_TABLE */
    case 60:    /* UNKNOWN_TABLE */
    case 81:    /* UNKNOWN_DATABASE */
    case 115:   /* UNKNOWN_SETTING */
    case 164:   /* READONLY */
    case 192:   /* UNKNOWN_USER */
    case 193:   /* WRONG_PASSWORD */
    case 194:   /* REQUIRED_PASSWORD */
    case 452:   /* SETTING_CONSTRAINT_VIOLATION */
    case 497:   /* ACCESS_DENIED */
    case 516:   /* AUTHENTICATION_FAILED */
        return LOADER_CH_SETUP;

    default:
        return LOADER_CH_DATA;
    }
}


/* What became of a finished transfer; error is filled unless it is OK. */

static loader_ch_result_t
judge(loader_ch_request_t *req, CURLcode rc, char error[LOADER_ERROR_MAX])
{
    int                  n;
    long                 status;
    const loader_conf_t *conf;

    conf = req->ch->conf;
    status = 0;
    error[0] = '\0';

    if (rc != CURLE_OK) {
        snprintf(error, LOADER_ERROR_MAX, "no answer from ClickHouse at %s: "
                 "%s", conf->clickhouse_url, req->answer.failed
                 ? "it is too large" : curl_easy_strerror(rc));
        return LOADER_CH_AWAY;
    }

    curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &status);

    if (status == 200 && req->code == 0) {
        return LOADER_CH_OK;
    }

    n = req->answer.n < 300 ? (int) req->answer.n : 300;
    snprintf(error, LOADER_ERROR_MAX, "ClickHouse at %s answered %ld: %.*s",
             conf->clickhouse_url, status, n,
             n ? (const char *) req->answer.p : "");

    /* without ClickHouse's own code it is a proxy that speaks, or a server
     * that is starting or ending */

    return req->code ? classify(req->code) : LOADER_CH_AWAY;
}


static void
free_request(loader_ch_request_t *req)
{
    trk_buf_free(&req->url);
    trk_buf_free(&req->answer);
    free(req);
}


static loader_ch_request_t *
make_request(loader_clickhouse_t *ch, CURL *easy, const trk_str_t *url_sql,
    trk_str_t body, const char *params, const char *query_id,
    uint64_t timeout)
{
    loader_ch_request_t  *req;

    req = calloc(1, sizeof(*req));
    if (req == NULL) {
        return NULL;
    }

    req->ch = ch;
    req->easy = easy;
    trk_buf_init(&req->answer, ANSWER_MAX);

    if (make_url(req, url_sql, params, query_id) != TRK_OK
        || prepare(req, body, timeout) != TRK_OK)
    {
        free_request(req);
        return NULL;
    }

    return req;
}


int
loader_clickhouse_query(loader_clickhouse_t *ch, trk_str_t sql,
    const char *params, uint64_t timeout, trk_buf_t *out,
    char error[LOADER_ERROR_MAX])
{
    loader_ch_result_t    result;
    loader_ch_request_t  *req;

    req = make_request(ch, ch->blocking, NULL, sql, params, NULL, timeout);
    if (req == NULL) {
        snprintf(error, LOADER_ERROR_MAX, "no memory for a query");
        return TRK_NOMEM;
    }

    result = judge(req, curl_easy_perform(req->easy), error);

    if (result == LOADER_CH_OK && out != NULL) {
        trk_buf_add(out, req->answer.p, req->answer.n);
    }

    free_request(req);

    if (result != LOADER_CH_OK) {
        return result == LOADER_CH_AWAY ? TRK_IO : TRK_INVALID;
    }

    if (out != NULL && out->failed) {
        snprintf(error, LOADER_ERROR_MAX, "ClickHouse's answer is too large");
        return out->failed;
    }

    return TRK_OK;
}


static void
unlink_request(loader_ch_request_t *req)
{
    if (req->prev != NULL) {
        req->prev->next = req->next;
    } else {
        req->ch->requests = req->next;
    }

    if (req->next != NULL) {
        req->next->prev = req->prev;
    }

    curl_multi_remove_handle(req->ch->multi, req->easy);
    curl_easy_cleanup(req->easy);
    req->easy = NULL;
}


loader_ch_request_t *
loader_clickhouse_start(loader_clickhouse_t *ch, const trk_str_t *url_sql,
    trk_str_t body, const char *params, const char *query_id,
    uint64_t timeout, loader_ch_done_pt done, void *data)
{
    CURL                 *easy;
    loader_ch_request_t  *req;

    easy = curl_easy_init();
    if (easy == NULL) {
        return NULL;
    }

    req = make_request(ch, easy, url_sql, body, params, query_id, timeout);

    if (req == NULL || curl_multi_add_handle(ch->multi, easy) != CURLM_OK) {
        curl_easy_cleanup(easy);
        if (req != NULL) {
            free_request(req);
        }
        return NULL;
    }

    req->done = done;
    req->data = data;
    req->next = ch->requests;

    if (ch->requests != NULL) {
        ch->requests->prev = req;
    }

    ch->requests = req;

    return req;
}


void
loader_clickhouse_drop(loader_clickhouse_t *ch, loader_ch_request_t *req)
{
    (void) ch;

    unlink_request(req);
    free_request(req);
}


static void
finish(CURL *easy, CURLcode rc)
{
    char                  error[LOADER_ERROR_MAX];
    char                 *private;
    trk_str_t             out;
    loader_ch_result_t    result;
    loader_ch_request_t  *req;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    req = (loader_ch_request_t *) private;

    result = judge(req, rc, error);
    out = (result == LOADER_CH_OK) ? trk_str_of(req->answer.p, req->answer.n)
                                   : trk_null;

    unlink_request(req);
    req->done(req->data, result, out, error);
    free_request(req);
}


int
loader_clickhouse_wait(loader_clickhouse_t *ch, const int *fds, size_t nfds,
    int timeout)
{
    int                 running, left;
    CURL               *easy;
    size_t              i;
    CURLMsg            *msg;
    CURLcode            rc;
    struct curl_waitfd  wait[FDS_MAX];

    for (i = 0; i < nfds && i < FDS_MAX; i++) {
        wait[i] = (struct curl_waitfd) { fds[i], CURL_WAIT_POLLIN, 0 };
    }

    /* what was started since the last turn is sent before waiting */

    if (curl_multi_perform(ch->multi, &running) != CURLM_OK
        || curl_multi_poll(ch->multi, wait, (unsigned) i, timeout, NULL)
           != CURLM_OK
        || curl_multi_perform(ch->multi, &running) != CURLM_OK)
    {
        return TRK_IO;
    }

    while ((msg = curl_multi_info_read(ch->multi, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE) {
            easy = msg->easy_handle;
            rc = msg->data.result;
            finish(easy, rc);       /* msg is gone after this */
        }
    }

    return TRK_OK;
}


static int
check_version(const char *version, char error[LOADER_ERROR_MAX])
{
    int  major, minor;

    if (sscanf(version, "%d.%d", &major, &minor) != 2) {
        snprintf(error, LOADER_ERROR_MAX, "ClickHouse gives its version as "
                 "\"%.40s\", which is none", version);
        return TRK_INVALID;
    }

    if (major < VERSION_MAJOR
        || (major == VERSION_MAJOR && minor < VERSION_MINOR))
    {
        snprintf(error, LOADER_ERROR_MAX, "ClickHouse is version %d.%d; the "
                 "loader needs %d.%d or newer", major, minor, VERSION_MAJOR,
                 VERSION_MINOR);
        return TRK_INVALID;
    }

    return TRK_OK;
}


/* "2\n100000\n": number of tables, and the smaller of the windows. */

static int
check_tables(const char *answer, char error[LOADER_ERROR_MAX])
{
    long long  tables, window;

    if (sscanf(answer, "%lld %lld", &tables, &window) != 2 || tables != 3) {
        snprintf(error, LOADER_ERROR_MAX, "tables of database %s are missing "
                 "in ClickHouse: run track-loader migrate", LOADER_DATABASE);
        return TRK_INVALID;
    }

    if (window < WINDOW_MIN) {
        snprintf(error, LOADER_ERROR_MAX, "setting "
                 "non_replicated_deduplication_window of %s.events is %lld in "
                 "ClickHouse; a block sent twice would count twice: set it to "
                 "100000 with ALTER TABLE … MODIFY SETTING", LOADER_DATABASE,
                 window);
        return TRK_INVALID;
    }

    return TRK_OK;
}


#define SQL_TABLES                                                            \
    "SELECT count(), minIf(toInt64OrZero(extract(engine_full, "               \
    "'non_replicated_deduplication_window = (\\\\d+)')), name = 'events') "   \
    "FROM system.tables WHERE database = '" LOADER_DATABASE "' AND name IN "  \
    "('events', 'events_skipped', 'offsets_landed') FORMAT TSV"

static int
ask(loader_clickhouse_t *ch, trk_str_t sql, trk_buf_t *answer,
    char error[LOADER_ERROR_MAX])
{
    int  rc;

    trk_buf_reset(answer, answer->max);

    rc = loader_clickhouse_query(ch, sql, NULL, CONNECT_MS, answer, error);
    trk_buf_byte(answer, '\0');

    return rc == TRK_IO ? TRK_AGAIN : rc;
}


int
loader_clickhouse_check(loader_clickhouse_t *ch, char error[LOADER_ERROR_MAX])
{
    int        rc;
    trk_buf_t  answer;

    trk_buf_init(&answer, 4096);

    rc = ask(ch, trk_str("SELECT version() FORMAT TSV"), &answer, error);
    if (rc == TRK_OK) {
        rc = check_version((char *) answer.p, error);
    }

    if (rc == TRK_OK) {
        rc = ask(ch, trk_str(SQL_TABLES), &answer, error);
    }

    if (rc == TRK_OK) {
        rc = check_tables((char *) answer.p, error);
    }

    trk_buf_free(&answer);

    return rc;
}
