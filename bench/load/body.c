/*
 * bench-load's requests.  See body.h.
 *
 * A request is made once; what varies is written over in place: every '#' of
 * the template is a hex digit, every '$' a digit of the session.  Compressed
 * bodies cannot be, so a pool of them is made at the start and its event ids
 * come back.
 */

#include "body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <zlib.h>


#define BODY_HEAD_MAX  1024
#define BODY_POOL      1024
#define BODY_DIGITS    4        /* of a session, for BODY_SESSIONS_MAX */


typedef struct {
    size_t  *at;
    size_t   n;
} body_places_t;


/* "%s" is the time; '~' is filled up to BODY_EVENT_SIZE */

static const char  body_event[] =
    "{\"event_type\":\"button_click\","
    "\"event_id\":\"########-####-7###-8###-############\","
    "\"timestamp\":\"%s\",\"user_id\":\"user-52713\","
    "\"session_id\":\"0198f3c2-5a7e-7c31-9d04-5e8f6a10$$$$\","
    "\"fields\":{\"button_name\":\"checkout\",\"position\":3,"
    "\"price\":129.5,\"logged_in\":true,\"note\":\"~\"},"
    "\"context\":{\"page_url\":\"https://shop.example/cart?step=2\","
    "\"page_title\":\"Cart\",\"referrer\":\"https://shop.example/\","
    "\"locale\":\"zh-TW\",\"timezone\":\"Asia/Taipei\","
    "\"screen\":\"1920x1080\",\"viewport\":\"1280x720\"}}";

static const char  body_head[] =
    "POST %s HTTP/1.1\r\n"
    "Host: %s\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, "
    "like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n"
    "Accept: */*\r\n"
    "Content-Type: application/json\r\n"
    "%s"
    "Content-Length: %zu\r\n"
    "\r\n";


static body_options_t  body_options;
static uint64_t        body_seed;
static body_t          body_plain;     /* of gzip: what is compressed */
static body_places_t   body_hex;
static body_places_t   body_digits;
static body_t         *body_pool;


static void *body_alloc(size_t n);
static void body_make_event(char *event);
static char *body_make_batch(const char *event);
static void body_make_request(body_t *request, const char *body, size_t n);
static void body_find(body_places_t *places, const body_t *text, char mark);
static void body_vary(void);
static void body_compress(body_t *request);
static uint64_t body_random(void);


void
body_init(const body_options_t *options)
{
    char    *batch;
    char     event[BODY_EVENT_SIZE + 1];
    size_t   i;

    body_options = *options;

    if (getrandom(&body_seed, sizeof(body_seed), 0) == -1) {
        perror("bench-load: getrandom");
        exit(1);
    }

    body_make_event(event);
    batch = body_make_batch(event);

    if (!options->gzip) {
        body_make_request(&body_plain, batch, strlen(batch));
        free(batch);

    } else {
        body_plain = (body_t) { batch, strlen(batch) };
    }

    body_find(&body_hex, &body_plain, '#');
    body_find(&body_digits, &body_plain, '$');

    if (options->gzip) {
        body_pool = body_alloc(BODY_POOL * sizeof(body_t));

        for (i = 0; i < BODY_POOL; i++) {
            body_vary();
            body_compress(&body_pool[i]);
        }
    }
}


body_t
body_next(void)
{
    if (body_pool) {
        return body_pool[body_random() % BODY_POOL];
    }

    body_vary();

    return body_plain;
}


static void *
body_alloc(size_t n)
{
    void  *p;

    p = malloc(n);

    if (p == NULL) {
        fprintf(stderr, "bench-load: no memory for %zu bytes\n", n);
        exit(1);
    }

    return p;
}


/* All times are the program's start: what a browser's queue sends. */

static void
body_make_event(char *event)
{
    char       when[32], text[2 * BODY_EVENT_SIZE];
    char      *fill;
    size_t     n, pad, tail;
    time_t     now;
    struct tm  tm;

    now = time(NULL);
    (void) gmtime_r(&now, &tm);
    (void) strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S.000Z", &tm);

    n = (size_t) snprintf(text, sizeof(text), body_event, when);
    fill = strchr(text, '~');

    pad = BODY_EVENT_SIZE + 1 - n;      /* '~' itself counts */
    tail = n - (size_t) (fill + 1 - text);
    n = (size_t) (fill - text);

    memcpy(event, text, n);
    memset(event + n, 'x', pad);
    memcpy(event + n + pad, fill + 1, tail);
    event[BODY_EVENT_SIZE] = '\0';
}


/* One event is sent as it is, several as the SDK does. */

static char *
body_make_batch(const char *event)
{
    char      *batch;
    size_t     n, size;
    unsigned   i;

    size = (size_t) body_options.events * (BODY_EVENT_SIZE + 1)
           + sizeof("{\"batch\":[]}");
    batch = body_alloc(size);

    if (body_options.events == 1) {
        (void) snprintf(batch, size, "%s", event);
        return batch;
    }

    n = (size_t) snprintf(batch, size, "{\"batch\":[");

    for (i = 0; i < body_options.events; i++) {
        n += (size_t) snprintf(batch + n, size - n, "%s%s", i ? "," : "",
                               event);
    }

    (void) snprintf(batch + n, size - n, "]}");

    return batch;
}


static void
body_make_request(body_t *request, const char *body, size_t n)
{
    int   head;
    char *p;

    p = body_alloc(BODY_HEAD_MAX + n);

    head = snprintf(p, BODY_HEAD_MAX, body_head, body_options.path,
                    body_options.host, body_options.gzip
                                       ? "Content-Encoding: gzip\r\n" : "",
                    n);

    if (head >= BODY_HEAD_MAX) {
        fprintf(stderr, "bench-load: the path is too long\n");
        exit(1);
    }

    memcpy(p + head, body, n);

    *request = (body_t) { p, (size_t) head + n };
}


static void
body_find(body_places_t *places, const body_t *text, char mark)
{
    size_t  i;

    places->at = body_alloc(text->n * sizeof(size_t));

    for (i = 0; i < text->n; i++) {
        if (text->p[i] == mark) {
            places->at[places->n++] = i;
        }
    }
}


static void
body_vary(void)
{
    char      digits[BODY_DIGITS];
    size_t    i;
    uint64_t  random;

    random = 0;

    for (i = 0; i < body_hex.n; i++) {

        if (i % 16 == 0) {
            random = body_random();
        }

        body_plain.p[body_hex.at[i]] = "0123456789abcdef"[random & 15];
        random >>= 4;
    }

    random = body_random() % body_options.sessions;

    for (i = BODY_DIGITS; i > 0; i--, random /= 10) {
        digits[i - 1] = (char) ('0' + random % 10);
    }

    for (i = 0; i < body_digits.n; i++) {
        body_plain.p[body_digits.at[i]] = digits[i % BODY_DIGITS];
    }
}


static void
body_compress(body_t *request)
{
    char      *p;
    uLong      bound;
    z_stream   z;

    memset(&z, 0, sizeof(z));

    /* 16: with gzip's header */

    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
                     Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        fprintf(stderr, "bench-load: zlib: no memory\n");
        exit(1);
    }

    bound = deflateBound(&z, body_plain.n);
    p = body_alloc(bound);

    z.next_in = (Bytef *) body_plain.p;
    z.avail_in = (uInt) body_plain.n;
    z.next_out = (Bytef *) p;
    z.avail_out = (uInt) bound;

    if (deflate(&z, Z_FINISH) != Z_STREAM_END) {
        fprintf(stderr, "bench-load: zlib: deflate failed\n");
        exit(1);
    }

    body_make_request(request, p, z.total_out);

    (void) deflateEnd(&z);
    free(p);
}


/* splitmix64 */

static uint64_t
body_random(void)
{
    uint64_t  z;

    z = (body_seed += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;

    return z ^ (z >> 31);
}
