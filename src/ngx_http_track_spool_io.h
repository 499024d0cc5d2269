
/*
 * The spool's files on the disk: what the thread tasks of a worker do, and
 * track-spool.  Blocking; plain C, no nginx.  Functions that fail leave a
 * sentence in error (NGX_HTTP_TRACK_SPOOL_ERROR bytes).
 */


#ifndef _NGX_HTTP_TRACK_SPOOL_IO_H_INCLUDED_
#define _NGX_HTTP_TRACK_SPOOL_IO_H_INCLUDED_


#include "trk_seqset.h"
#include "trk_spool.h"

#include <sys/types.h>


#define NGX_HTTP_TRACK_SPOOL_ERROR  256
#define NGX_HTTP_TRACK_SPOOL_PATH   3800    /* bytes of track_spool, at most */


/* Writes the sentence, cut to fit; %m is errno's. */
void ngx_http_track_spool_io_say(char *error, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


/* ngx_http_track_spool_io.c: folders */

/* a spool that is open: PATH/EDGE, and its lock, which is held */

typedef struct {
    int                dir;         /* -1: not open */
    int                lock;        /* -1: not ours, to look at only */
    char               edge[TRK_SPOOL_EDGE + 1];
    trk_spool_meta_t   meta;
} ngx_http_track_spool_dir_t;


/* Makes the spool sd->edge, locked and on the disk when 0 is returned; cluster
 * is Kafka's, or "".  -1: failed, and nothing is left behind. */
int ngx_http_track_spool_io_create(const char *path,
    ngx_http_track_spool_dir_t *sd, const char *cluster, char *error);

/* Takes the spool sd->edge if it has no owner.  1; 0: it has one, or is gone;
 * -1: it must be left alone. */
int ngx_http_track_spool_io_take(const char *path,
    ngx_http_track_spool_dir_t *sd, char *error);

/* Opens it to be read only, owned or not.  1: it has an owner; 0; -1. */
int ngx_http_track_spool_io_look(const char *path,
    ngx_http_track_spool_dir_t *sd, char *error);

void ngx_http_track_spool_io_close(ngx_http_track_spool_dir_t *sd);

/* Kafka's cluster is known now.  0, -1. */
int ngx_http_track_spool_io_meta(ngx_http_track_spool_dir_t *sd,
    const char *cluster, char *error);

/* The numbers of its segments in order, the caller's to free; *aside: bytes
 * of aside.seg, -1 if there is none.  0, -1. */
int ngx_http_track_spool_io_list(ngx_http_track_spool_dir_t *sd,
    uint32_t **numbers, size_t *n, off_t *aside, char *error);

/* Unlinks a segment and its marks.  0, -1. */
int ngx_http_track_spool_io_unlink(ngx_http_track_spool_dir_t *sd,
    uint32_t number, char *error);

/* Removes the whole spool if no segment is left in it, and closes it: 1.
 * 0: something is left; -1. */
int ngx_http_track_spool_io_remove(const char *path,
    ngx_http_track_spool_dir_t *sd, char *error);


/* Calls f for the edge of each spool of path until it returns other than 0,
 * which is then returned.  -1: path cannot be read. */
typedef int (*ngx_http_track_spool_edge_pt)(const char *edge, void *data);

int ngx_http_track_spool_io_edges(const char *path,
    ngx_http_track_spool_edge_pt f, void *data, char *error);

/* Bytes of all files below path; what killed workers left half made for a
 * minute is removed.  -1: failed. */
off_t ngx_http_track_spool_io_usage(const char *path, char *error);


/* ngx_http_track_spool_file.c: what stands in them */

/* one write to a segment that is this process's own; fd -1: it is made */

typedef struct {
    const uint8_t     *p;
    size_t             n;
    off_t              offset;
    uint32_t           number;
    int                fd;
    int64_t            now;         /* ms since the epoch */
} ngx_http_track_spool_write_t;

/* All of it is on the disk when 0 is returned.  -1: the file has been cut to
 * offset if that worked, is closed, and must not be written again. */
int ngx_http_track_spool_io_write(ngx_http_track_spool_dir_t *sd,
    ngx_http_track_spool_write_t *write, char *error);

/* Appends records to aside.seg; records are given their index.  On the disk
 * when 0 is returned; -1. */
int ngx_http_track_spool_io_aside(ngx_http_track_spool_dir_t *sd,
    trk_spool_record_t *records, size_t n, int64_t now, char *error);

/* Writes the marks of n records from index on.  0, -1. */
int ngx_http_track_spool_io_mark(ngx_http_track_spool_dir_t *sd,
    uint32_t number, uint32_t index, const uint8_t *marks, size_t n,
    char *error);

/* The marks of a segment, n bytes, the caller's to free: those that are not
 * there are 0.  NULL: failed. */
uint8_t *ngx_http_track_spool_io_marks(ngx_http_track_spool_dir_t *sd,
    uint32_t number, size_t n, char *error);


/* goes through the records of a segment */

typedef struct {
    int                  fd;
    int                  header;    /* of trk_spool_header_read() */
    int64_t              created;   /* if header is TRK_OK */
    off_t                end;       /* nothing beyond is read */
    trk_spool_segment_t  segment;
    trk_spool_scan_t     scan;
    trk_buf_t            bytes;     /* those from scan.offset on */
} ngx_http_track_spool_reader_t;

/* offset 0: from the beginning, else that of the record `index`; end -1: the
 * file's.  The reader is to be closed also if -1 is returned. */
int ngx_http_track_spool_io_open(ngx_http_track_spool_dir_t *sd,
    ngx_http_track_spool_reader_t *rd, uint32_t number, off_t offset,
    uint32_t index, off_t end, char *error);

/* As trk_spool_scan(), whose TRK_AGAIN it serves; views are good until the
 * next call.  After TRK_CORRUPT the damaged bytes are *record's value.
 * TRK_IO, TRK_NOMEM: error says why. */
int ngx_http_track_spool_io_next(ngx_http_track_spool_reader_t *rd,
    trk_spool_record_t *record, char *error);

/* Where the next record begins. */
#define ngx_http_track_spool_io_tell(rd)                                      \
    ((off_t) ((rd)->scan.offset + (rd)->scan.pos))

void ngx_http_track_spool_io_shut(ngx_http_track_spool_reader_t *rd);


/* what is known of a record beside the file; marks are states, too */

typedef enum {
    NGX_HTTP_TRACK_SPOOL_NONE = 0,      /* no such record */
    NGX_HTTP_TRACK_SPOOL_WAITS = 'W',   /* to be drained */
    NGX_HTTP_TRACK_SPOOL_HELD = 'H',    /* a request's, in the producer */
    NGX_HTTP_TRACK_SPOOL_SENT = 'S',    /* the drain's, in the producer */
    NGX_HTTP_TRACK_SPOOL_BAD = 'B',     /* damaged; is to be set aside */
    NGX_HTTP_TRACK_SPOOL_DONE = TRK_SPOOL_DONE,
    NGX_HTTP_TRACK_SPOOL_APART = TRK_SPOOL_APART
} ngx_http_track_spool_state_e;


/* a segment, gone through once */

typedef struct {
    uint32_t           number;
    off_t              size;        /* up to the torn tail */
    off_t              torn;        /* bytes of that */
    uint8_t           *states;      /* owned; n */
    uint32_t           n;           /* records, lost ones included */
    uint32_t           waits;       /* WAITS or BAD */
    uint32_t           bad;
    uint32_t           lost;        /* indexes without a record */
    uint64_t           bytes;       /* of those that wait */
    uint64_t           rejected;    /* bytes of rejected events, of all */
    int64_t            oldest;      /* ms: of those that wait; 0: none */
} ngx_http_track_spool_loaded_t;

/* seqs: where to add those of records that wait; NULL: nowhere.  0, -1. */
int ngx_http_track_spool_io_load(ngx_http_track_spool_dir_t *sd,
    uint32_t number, ngx_http_track_spool_loaded_t *loaded,
    trk_seqset_t *seqs, char *error);


#endif /* _NGX_HTTP_TRACK_SPOOL_IO_H_INCLUDED_ */
