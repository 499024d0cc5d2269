/*
 * A gzip body through the module's own inflating, against nginx's headers
 * and without nginx: in buffers of any size, some of them in a file, under a
 * bound.  It must come to what zlib makes of the whole in one call, never to
 * more than the bound, and to the same in any pieces.  The text is judged.
 *
 * The first byte is the size of the pieces, the second chooses the bound (its
 * lower half) and which pieces lie in the file.
 */

#include "fuzz.h"

#include "ngx_http_track.h"

#include "schema_fixture.h"

#include <zlib.h>


#define FUZZ_PIECES  512
#define FUZZ_TEXT    (1 << 20)


typedef struct {
    ngx_int_t         rc;
    trk_error_code_t  code;
    trk_buf_t         text;
} fuzz_inflated_t;


static ngx_http_track_worker_t  fuzz_worker;
static const uint8_t           *fuzz_file;


static fuzz_inflated_t fuzz_inflate(const uint8_t *p, size_t n, size_t step,
    ngx_uint_t files, size_t max);
static void fuzz_same(const fuzz_inflated_t *ours, const uint8_t *p,
    size_t n);
static void fuzz_judge(const trk_buf_t *text);


/* What src/ngx_http_track_inflate.c wants of nginx and of its neighbours. */

void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return calloc(1, size);
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    (void) level;
    (void) log;
    (void) err;
    (void) fmt;
}


ngx_int_t
ngx_http_track_body_read(ngx_file_t *file, u_char *p, size_t n, off_t at,
    ngx_log_t *log)
{
    (void) file;
    (void) log;

    memcpy(p, fuzz_file + at, n);

    return NGX_OK;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t           max;
    uint8_t         *copy;
    fuzz_inflated_t  whole, pieces;

    if (n < 2) {
        return 0;
    }

    max = (size_t) 1 << (4 + (data[1] & 15));
    copy = fuzz_copy(data + 2, n - 2);

    whole = fuzz_inflate(copy, n - 2, n, 0, max);
    pieces = fuzz_inflate(copy, n - 2, data[0] + 1U, data[1] >> 4, max);

    fuzz_must(whole.rc == pieces.rc);
    fuzz_must(whole.rc != NGX_DECLINED
              || whole.code == pieces.code
              || whole.code == TRK_ERR_REQUEST_TOO_LARGE
              || pieces.code == TRK_ERR_REQUEST_TOO_LARGE);

    if (whole.rc == NGX_OK) {
        fuzz_must(whole.text.n == pieces.text.n && whole.text.n <= max);
        fuzz_must(whole.text.n == 0
                  || memcmp(whole.text.p, pieces.text.p, whole.text.n) == 0);
        fuzz_judge(&whole.text);
    }

    fuzz_same(&whole, copy, n - 2);

    trk_buf_free(&whole.text);
    trk_buf_free(&pieces.text);
    free(copy);

    return 0;
}


static fuzz_inflated_t
fuzz_inflate(const uint8_t *p, size_t n, size_t step, ngx_uint_t files,
    size_t max)
{
    size_t            at, i, len;
    ngx_log_t         log;
    fuzz_inflated_t   got;

    static ngx_buf_t    bufs[FUZZ_PIECES];
    static ngx_chain_t  chain[FUZZ_PIECES];

    memset(bufs, 0, sizeof(bufs));
    memset(chain, 0, sizeof(chain));
    memset(&log, 0, sizeof(log));
    memset(&got, 0, sizeof(got));
    fuzz_file = p;

    if (n / step >= FUZZ_PIECES) {
        step = n / (FUZZ_PIECES - 1) + 1;
    }

    for (at = 0, i = 0; at < n; at += step, i++) {

        len = n - at < step ? n - at : step;
        chain[i].buf = &bufs[i];
        chain[i].next = at + len < n ? &chain[i + 1] : NULL;

        if (files >> (i % 4) & 1) {
            bufs[i].in_file = 1;
            bufs[i].file_pos = (off_t) at;
            bufs[i].file_last = (off_t) (at + len);
            continue;
        }

        bufs[i].pos = (u_char *) p + at;
        bufs[i].last = bufs[i].pos + len;
    }

    trk_buf_init(&got.text, SIZE_MAX);
    got.rc = ngx_http_track_inflate(&fuzz_worker, n ? chain : NULL, max,
                                    &got.text, &got.code, &log);

    fuzz_must(got.rc == NGX_OK || got.rc == NGX_DECLINED);
    fuzz_must(got.rc == NGX_OK || got.code == TRK_ERR_BAD_ENCODING
              || got.code == TRK_ERR_REQUEST_TOO_LARGE);
    fuzz_must(got.text.n <= max + 1 && got.text.cap <= max + 1);

    return got;
}


/* Against one call of zlib with room for everything. */

static void
fuzz_same(const fuzz_inflated_t *ours, const uint8_t *p, size_t n)
{
    int              rc;
    z_stream         stream;
    static uint8_t  *text;

    if (text == NULL) {
        text = malloc(FUZZ_TEXT);
        fuzz_must(text != NULL);
    }

    memset(&stream, 0, sizeof(stream));
    fuzz_must(inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);

    stream.next_in = (uint8_t *) p;
    stream.avail_in = (uInt) n;
    stream.next_out = text;
    stream.avail_out = FUZZ_TEXT;
    rc = inflate(&stream, Z_FINISH);

    if (ours->rc == NGX_OK) {
        fuzz_must(rc == Z_STREAM_END && stream.avail_in == 0);
        fuzz_must(stream.total_out == ours->text.n);
        fuzz_must(ours->text.n == 0
                  || memcmp(text, ours->text.p, ours->text.n) == 0);

    } else if (ours->code == TRK_ERR_BAD_ENCODING) {
        fuzz_must(rc != Z_STREAM_END || stream.avail_in > 0);
    }

    (void) inflateEnd(&stream);
}


static void
fuzz_judge(const trk_buf_t *text)
{
    int                   rc;
    trk_limits_t          limits;
    static trk_image_t   *image;
    static trk_request_t  req;

    if (image == NULL) {
        image = fixture_image();
        trk_request_init(&req);
    }

    memset(&limits, 0, sizeof(limits));
    limits.max_events = 500;
    limits.max_event_size = 65536;

    rc = trk_request_judge(&req, image, &limits, TRK_BODY_TEXT,
                           text->n ? text->p : (const uint8_t *) "", text->n);
    fuzz_must(rc == TRK_OK || rc == TRK_INVALID);
}
