
/*
 * The spool's files: segments, their marks, what is set aside.  See
 * ngx_http_track_spool_io.h.
 *
 * Runs in threads of nginx's pool, and in track-spool.  Plain C: it calls no
 * nginx function, keeps no state, and touches nothing but its arguments.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ngx_http_track_spool_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>


#define NGX_HTTP_TRACK_SPOOL_READ  (256 * 1024)     /* bytes at a time */
#define NGX_HTTP_TRACK_SPOOL_MOST  (1024 * 1024 * 1024)


static int ngx_http_track_spool_file_make(ngx_http_track_spool_dir_t *sd,
    ngx_http_track_spool_write_t *write, char *error);
static int ngx_http_track_spool_file_all(int fd, const uint8_t *p, size_t n,
    off_t offset);
static int ngx_http_track_spool_file_aside_fd(
    ngx_http_track_spool_dir_t *sd, int64_t now, off_t *size, char *error);
static int ngx_http_track_spool_file_more(ngx_http_track_spool_reader_t *rd,
    char *error);
static int ngx_http_track_spool_file_room(
    ngx_http_track_spool_loaded_t *loaded, uint32_t n, char *error);
static int ngx_http_track_spool_file_count(
    ngx_http_track_spool_loaded_t *loaded, const trk_spool_record_t *record,
    trk_seqset_t *seqs, char *error);


static void
ngx_http_track_spool_file_segment(ngx_http_track_spool_dir_t *sd,
    uint32_t number, trk_spool_segment_t *segment)
{
    memcpy(segment->edge, sd->edge, TRK_SPOOL_EDGE);
    segment->number = number;
}


int
ngx_http_track_spool_io_write(ngx_http_track_spool_dir_t *sd,
    ngx_http_track_spool_write_t *write, char *error)
{
    int  rc, made;

    made = (write->fd == -1);

    if (made && ngx_http_track_spool_file_make(sd, write, error) == -1) {
        return -1;
    }

    if (ngx_http_track_spool_file_all(write->fd, write->p, write->n,
                                      write->offset)
        == -1
        || fdatasync(write->fd) == -1)
    {
        ngx_http_track_spool_io_say(error, "writing segment %u of spool %s "
                                    "failed: %m", (unsigned) write->number,
                                    sd->edge);

    } else if (made && fsync(sd->dir) == -1) {
        ngx_http_track_spool_io_say(error, "sync of spool %s failed: %m",
                                    sd->edge);

    } else {
        return 0;
    }

    /* what of it came to the disk was acknowledged to nobody; its marks say
     * so, too, if it cannot be cut off */

    rc = ftruncate(write->fd, write->offset);
    (void) rc;

    (void) close(write->fd);
    write->fd = -1;

    return -1;
}


static int
ngx_http_track_spool_file_make(ngx_http_track_spool_dir_t *sd,
    ngx_http_track_spool_write_t *write, char *error)
{
    char                 name[TRK_SPOOL_NAME];
    uint8_t              header[TRK_SPOOL_HEADER];
    trk_spool_segment_t  segment;

    ngx_http_track_spool_file_segment(sd, write->number, &segment);
    trk_spool_segment_name(&segment, name);
    trk_spool_header_write(&segment, write->now, header);

    write->fd = openat(sd->dir, name, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC,
                       0600);

    if (write->fd == -1) {
        ngx_http_track_spool_io_say(error, "making \"%s\" in spool %s "
                                    "failed: %m", name, sd->edge);
        return -1;
    }

    if (ngx_http_track_spool_file_all(write->fd, header, sizeof(header), 0)
        == -1)
    {
        ngx_http_track_spool_io_say(error, "writing \"%s\" in spool %s "
                                    "failed: %m", name, sd->edge);
        (void) unlinkat(sd->dir, name, 0);
        (void) close(write->fd);
        write->fd = -1;
        return -1;
    }

    return 0;
}


static int
ngx_http_track_spool_file_all(int fd, const uint8_t *p, size_t n,
    off_t offset)
{
    ssize_t  written;

    while (n) {
        written = pwrite(fd, p, n, offset);

        if (written == -1) {

            if (errno == EINTR) {
                continue;
            }

            return -1;
        }

        p += written;
        n -= (size_t) written;
        offset += written;
    }

    return 0;
}


int
ngx_http_track_spool_io_aside(ngx_http_track_spool_dir_t *sd,
    trk_spool_record_t *records, size_t n, int64_t now, char *error)
{
    int                  fd, rc, cut;
    off_t                size;
    size_t               i;
    trk_buf_t            out;
    trk_spool_segment_t  segment;

    fd = ngx_http_track_spool_file_aside_fd(sd, now, &size, error);

    if (fd == -1) {
        return -1;
    }

    ngx_http_track_spool_file_segment(sd, TRK_SPOOL_ASIDE, &segment);
    trk_buf_init(&out, NGX_HTTP_TRACK_SPOOL_MOST);

    for (i = 0; i < n; i++) {

        /* unlike any before it, without having read those */

        records[i].index = (uint32_t) (((uint64_t) size + out.n)
                                       / TRK_SPOOL_FRAME);
        trk_spool_record_write(&out, &segment, &records[i]);
    }

    rc = 0;

    if (out.failed) {
        ngx_http_track_spool_io_say(error, "no memory for \"aside.seg\" of "
                                    "spool %s", sd->edge);
        rc = -1;

    } else if (ngx_http_track_spool_file_all(fd, out.p, out.n, size) == -1
               || fdatasync(fd) == -1)
    {
        ngx_http_track_spool_io_say(error, "writing \"aside.seg\" of spool "
                                    "%s failed: %m", sd->edge);
        rc = -1;
    }

    if (rc == -1) {

        /* if not, whoever reads it finds the torn tail */

        cut = ftruncate(fd, size);
        (void) cut;
    }

    (void) close(fd);
    trk_buf_free(&out);

    return rc;
}


static int
ngx_http_track_spool_file_aside_fd(ngx_http_track_spool_dir_t *sd,
    int64_t now, off_t *size, char *error)
{
    int                  fd;
    uint8_t              header[TRK_SPOOL_HEADER];
    struct stat          st;
    trk_spool_segment_t  segment;

    fd = openat(sd->dir, "aside.seg", O_WRONLY|O_CREAT|O_CLOEXEC, 0600);

    if (fd == -1 || fstat(fd, &st) == -1) {
        goto failed;
    }

    *size = st.st_size;

    if (*size < TRK_SPOOL_HEADER) {
        ngx_http_track_spool_file_segment(sd, TRK_SPOOL_ASIDE, &segment);
        trk_spool_header_write(&segment, now, header);

        if (ngx_http_track_spool_file_all(fd, header, sizeof(header), 0) == -1
            || fsync(sd->dir) == -1)
        {
            goto failed;
        }

        *size = TRK_SPOOL_HEADER;
    }

    return fd;

failed:

    ngx_http_track_spool_io_say(error, "making \"aside.seg\" in spool %s "
                                "failed: %m", sd->edge);

    if (fd != -1) {
        (void) close(fd);
    }

    return -1;
}


int
ngx_http_track_spool_io_mark(ngx_http_track_spool_dir_t *sd,
    uint32_t number, uint32_t index, const uint8_t *marks, size_t n,
    char *error)
{
    int                  fd, rc;
    char                 name[TRK_SPOOL_NAME];
    trk_spool_segment_t  segment;

    segment.number = number;
    trk_spool_done_name(&segment, name);

    fd = openat(sd->dir, name, O_WRONLY|O_CREAT|O_CLOEXEC, 0600);

    rc = fd == -1 ? -1
                  : ngx_http_track_spool_file_all(fd, marks, n, (off_t) index);
    if (rc == -1) {
        ngx_http_track_spool_io_say(error, "writing \"%s\" of spool %s "
                                    "failed: %m", name, sd->edge);
    }

    if (fd != -1) {
        (void) close(fd);
    }

    return rc;
}


uint8_t *
ngx_http_track_spool_io_marks(ngx_http_track_spool_dir_t *sd,
    uint32_t number, size_t n, char *error)
{
    int                  fd;
    char                 name[TRK_SPOOL_NAME];
    size_t               i, got;
    ssize_t              size;
    uint8_t             *marks;
    trk_spool_segment_t  segment;

    marks = calloc(n ? n : 1, 1);

    if (marks == NULL) {
        ngx_http_track_spool_io_say(error, "no memory for %zu marks", n);
        return NULL;
    }

    segment.number = number;
    trk_spool_done_name(&segment, name);

    /* without its marks a record is sent again: better than not at all */

    fd = openat(sd->dir, name, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return marks;
    }

    for (got = 0; got < n; got += (size_t) size) {
        size = read(fd, marks + got, n - got);

        if (size == -1 && errno == EINTR) {
            size = 0;
            continue;
        }

        if (size <= 0) {
            break;
        }
    }

    (void) close(fd);

    for (i = 0; i < got; i++) {
        if (marks[i] != TRK_SPOOL_DONE && marks[i] != TRK_SPOOL_APART) {
            marks[i] = 0;
        }
    }

    return marks;
}


int
ngx_http_track_spool_io_open(ngx_http_track_spool_dir_t *sd,
    ngx_http_track_spool_reader_t *rd, uint32_t number, off_t offset,
    uint32_t index, off_t end, char *error)
{
    char         name[TRK_SPOOL_NAME];
    uint8_t      header[TRK_SPOOL_HEADER];
    ssize_t      n;
    struct stat  st;

    memset(rd, 0, sizeof(*rd));
    trk_buf_init(&rd->bytes, NGX_HTTP_TRACK_SPOOL_MOST);
    ngx_http_track_spool_file_segment(sd, number, &rd->segment);
    trk_spool_segment_name(&rd->segment, name);

    rd->fd = openat(sd->dir, name, O_RDONLY|O_CLOEXEC);

    if (rd->fd == -1 || fstat(rd->fd, &st) == -1) {
        ngx_http_track_spool_io_say(error, "open() of \"%s\" in spool %s "
                                    "failed: %m", name, sd->edge);
        return -1;
    }

    n = pread(rd->fd, header, sizeof(header), 0);

    rd->header = trk_spool_header_read(&rd->segment, header,
                                       n > 0 ? (size_t) n : 0, &rd->created);
    rd->end = end == -1 || end > st.st_size ? st.st_size : end;

    trk_spool_scan_init(&rd->scan);

    if (offset) {
        rd->scan.pos = (size_t) offset;
        rd->scan.index = index;
    }

    rd->scan.offset = rd->scan.pos;
    rd->scan.pos = 0;

    return 0;
}


int
ngx_http_track_spool_io_next(ngx_http_track_spool_reader_t *rd,
    trk_spool_record_t *record, char *error)
{
    int  rc;

    for ( ;; ) {
        rd->scan.p = rd->bytes.p;
        rd->scan.n = rd->bytes.n;
        rd->scan.eof = rd->scan.offset + rd->bytes.n >= (uint64_t) rd->end;

        rc = trk_spool_scan(&rd->segment, &rd->scan, record);

        if (rc == TRK_CORRUPT) {
            memset(record, 0, sizeof(*record));
            record->kind = TRK_SPOOL_DAMAGED;
            record->index = rd->scan.index;
            record->value = trk_str_of(rd->scan.p + rd->scan.pos
                                       - rd->scan.bad, rd->scan.bad);
        }

        if (rc != TRK_AGAIN) {
            return rc;
        }

        rc = ngx_http_track_spool_file_more(rd, error);

        if (rc != TRK_OK) {
            return rc;
        }
    }
}


/* Keeps what is not walked through yet, and reads at least as much again. */

static int
ngx_http_track_spool_file_more(ngx_http_track_spool_reader_t *rd,
    char *error)
{
    off_t     from;
    size_t    left, want;
    ssize_t   n;
    uint8_t  *p;

    left = rd->bytes.n - rd->scan.pos;

    if (left) {
        memmove(rd->bytes.p, rd->bytes.p + rd->scan.pos, left);
    }

    rd->scan.offset += rd->scan.pos;
    rd->scan.pos = 0;
    rd->bytes.n = left;

    want = left > NGX_HTTP_TRACK_SPOOL_READ ? left
                                            : NGX_HTTP_TRACK_SPOOL_READ;
    from = (off_t) (rd->scan.offset + left);

    if ((off_t) want > rd->end - from) {
        want = (size_t) (rd->end - from);
    }

    p = trk_buf_reserve(&rd->bytes, want);

    if (p == NULL) {
        ngx_http_track_spool_io_say(error, "no memory to read a segment");
        return TRK_NOMEM;
    }

    do {
        n = pread(rd->fd, p, want, from);
    } while (n == -1 && errno == EINTR);

    if (n == -1) {
        ngx_http_track_spool_io_say(error, "reading a segment failed: %m");
        return TRK_IO;
    }

    if (n == 0) {
        rd->end = from;
    }

    rd->bytes.n += (size_t) n;

    return TRK_OK;
}


void
ngx_http_track_spool_io_shut(ngx_http_track_spool_reader_t *rd)
{
    if (rd->fd != -1) {
        (void) close(rd->fd);
        rd->fd = -1;
    }

    trk_buf_free(&rd->bytes);
}


int
ngx_http_track_spool_io_load(ngx_http_track_spool_dir_t *sd,
    uint32_t number, ngx_http_track_spool_loaded_t *loaded,
    trk_seqset_t *seqs, char *error)
{
    int                            rc;
    ngx_http_track_spool_reader_t  rd;
    trk_spool_record_t             record;

    memset(loaded, 0, sizeof(*loaded));
    loaded->number = number;

    rc = ngx_http_track_spool_io_open(sd, &rd, number, 0, 0, -1, error);

    if (rc == 0 && rd.header == TRK_INVALID) {
        ngx_http_track_spool_io_say(error, "segment %u of spool %s is of "
                                    "another version: the spool is left "
                                    "alone", (unsigned) number, sd->edge);
        rc = -1;
    }

    if (rc == 0) {
        /* so many marks at most, and a state for each of them */

        loaded->states = ngx_http_track_spool_io_marks(sd, number,
                          (size_t) rd.end / TRK_SPOOL_FRAME + 2, error);
        rc = loaded->states ? 0 : -1;
    }

    while (rc == 0) {

        rc = ngx_http_track_spool_io_next(&rd, &record, error);

        if (rc != TRK_OK && rc != TRK_CORRUPT) {
            break;
        }

        rc = ngx_http_track_spool_file_count(loaded, &record, seqs, error);
    }

    if (rc == TRK_NOTFOUND) {
        loaded->size = ngx_http_track_spool_io_tell(&rd);
        loaded->torn = rd.end - loaded->size;
        rc = ngx_http_track_spool_file_room(loaded, loaded->n, error);

    } else {
        rc = -1;
    }

    ngx_http_track_spool_io_shut(&rd);

    if (rc == -1) {
        free(loaded->states);
        loaded->states = NULL;
    }

    return rc;
}


/* Gives back what the marks of a segment of tiny records would have taken. */

static int
ngx_http_track_spool_file_room(ngx_http_track_spool_loaded_t *loaded,
    uint32_t n, char *error)
{
    uint8_t  *states;

    states = realloc(loaded->states, n ? n : 1);

    if (states == NULL) {
        ngx_http_track_spool_io_say(error, "no memory for %u marks",
                                    (unsigned) n);
        return -1;
    }

    loaded->states = states;

    return 0;
}


static int
ngx_http_track_spool_file_count(ngx_http_track_spool_loaded_t *loaded,
    const trk_spool_record_t *record, trk_seqset_t *seqs, char *error)
{
    uint8_t   mark;
    uint32_t  i;

    /* what was lost between two records has no state */

    for (i = loaded->n; i < record->index; i++) {
        loaded->states[i] = NGX_HTTP_TRACK_SPOOL_NONE;
        loaded->lost++;
    }

    mark = loaded->states[record->index];

    if (record->kind == TRK_SPOOL_DAMAGED) {
        loaded->n = record->index + 1;

        if (mark != TRK_SPOOL_APART) {
            loaded->states[record->index] = NGX_HTTP_TRACK_SPOOL_BAD;
            loaded->bad++;
            loaded->waits++;
        }

        return 0;
    }

    if (mark == NGX_HTTP_TRACK_SPOOL_BAD) {

        /* rubbish before this one, but no record is missing */

        loaded->bad--;
        loaded->waits--;
    }

    loaded->n = record->index + 1;

    if (record->kind == TRK_SPOOL_REJECTED) {
        loaded->rejected += trk_spool_record_size(record);
    }

    if (mark == TRK_SPOOL_DONE || mark == TRK_SPOOL_APART) {
        return 0;
    }

    loaded->states[record->index] = NGX_HTTP_TRACK_SPOOL_WAITS;
    loaded->waits++;
    loaded->bytes += trk_spool_record_size(record);

    if (loaded->oldest == 0 || record->at < loaded->oldest) {
        loaded->oldest = record->at;
    }

    if (seqs && record->seq
        && trk_seqset_add(seqs, record->seq) != TRK_OK)
    {
        ngx_http_track_spool_io_say(error, "no memory for the numbers of a "
                                    "segment");
        return -1;
    }

    return 0;
}
