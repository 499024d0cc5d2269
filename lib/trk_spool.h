/*
 * The spool's files: what stands in docs/FORMATS.md, in C.  Written by nginx
 * workers and read by them and by track-spool.  No I/O here: bytes in, bytes
 * out, and nothing that is read is trusted.
 *
 * A segment is a header and records.  Each record carries the CRC-32C of its
 * bytes, which begins with the edge and the number of its segment, known from
 * the names of folder and file: so a record stands only where it was written,
 * and blocks that a crash left from another file are none.
 */

#ifndef TRK_SPOOL_H
#define TRK_SPOOL_H

#include "trk.h"


#define TRK_SPOOL_VERSION     1
#define TRK_SPOOL_EDGE        16        /* hex digits */
#define TRK_SPOOL_HEADER      64        /* bytes */
#define TRK_SPOOL_FRAME       40        /* bytes of a record before its text */
#define TRK_SPOOL_RECORD_MAX  (16 * 1024 * 1024)    /* bytes of a record */
#define TRK_SPOOL_TOPIC_MAX   249
#define TRK_SPOOL_CLUSTER_MAX 128
#define TRK_SPOOL_NAME        16        /* bytes of a file's name, with NUL */
#define TRK_SPOOL_ASIDE       0         /* number of what is set aside */


/* A segment as its names tell it. */
typedef struct {
    uint8_t   edge[TRK_SPOOL_EDGE];
    uint32_t  number;           /* from 1; TRK_SPOOL_ASIDE */
} trk_spool_segment_t;

/* Writes its name, with a NUL: "00000007.seg", "aside.seg". */
void trk_spool_segment_name(const trk_spool_segment_t *segment, char *name);

/* Likewise of its marks: "00000007.done". */
void trk_spool_done_name(const trk_spool_segment_t *segment, char *name);

/* The number in the name of a segment (not of aside.seg) or its marks
 * (suffix ".seg", ".done"); 0: it is something else. */
uint32_t trk_spool_name_number(const char *name, const char *suffix);

/* 1: name is an edge, as the folder of a spool is called. */
int trk_spool_is_edge(const char *name);


/* created: ms since the epoch.  dst has TRK_SPOOL_HEADER bytes. */
void trk_spool_header_write(const trk_spool_segment_t *segment,
    int64_t created, uint8_t *dst);

/* TRK_OK; TRK_CORRUPT: damaged or of another segment (its records may be
 * good all the same); TRK_INVALID: of a version we do not know. */
TRK_MUSTCHECK int trk_spool_header_read(const trk_spool_segment_t *segment,
    const uint8_t *p, size_t n, int64_t *created);


typedef enum {
    TRK_SPOOL_ACCEPTED = 1,
    TRK_SPOOL_REJECTED,
    TRK_SPOOL_DAMAGED           /* aside only: bytes that were no record */
} trk_spool_kind_t;


typedef struct {
    uint32_t          index;    /* in its segment, from 0; names its mark */
    trk_spool_kind_t  kind;
    uint64_t          seq;      /* 0: has none */
    int64_t           at;       /* ms since the epoch: written */
    trk_str_t         topic;    /* at most TRK_SPOOL_TOPIC_MAX */
    trk_str_t         key;
    trk_str_t         value;
} trk_spool_record_t;

/* Its bytes in a segment. */
size_t trk_spool_record_size(const trk_spool_record_t *record);

/* Appends it.  Failure shows in out->failed: TRK_NOMEM, or TRK_LIMIT, also of
 * TRK_SPOOL_RECORD_MAX and TRK_SPOOL_TOPIC_MAX. */
void trk_spool_record_write(trk_buf_t *out,
    const trk_spool_segment_t *segment, const trk_spool_record_t *record);


/*
 * Walks through the records of a segment in pieces.  The caller keeps `p` and
 * `n` a view of its bytes from `offset` on; pos and index move by themselves.
 */
typedef struct {
    const uint8_t       *p;
    size_t               n;
    size_t               pos;       /* of the next record, in p */
    uint64_t             offset;    /* of p in the segment */
    uint32_t             index;     /* the next record has at least this */
    int                  eof;       /* nothing comes after p[n - 1] */
    size_t               bad;       /* after TRK_CORRUPT: so many bytes */
} trk_spool_scan_t;

/* Begins after the header. */
void trk_spool_scan_init(trk_spool_scan_t *scan);

/*
 * TRK_OK        *record, views into p
 * TRK_CORRUPT   scan->bad bytes before pos were no record, what follows is
 *               one, or the end
 * TRK_AGAIN     more bytes are needed to tell: of those from pos on at least
 *               twice as many
 * TRK_NOTFOUND  the end.  What lies beyond pos is the beginning of a write
 *               that never ended: the segment is to be cut at offset + pos
 */
TRK_MUSTCHECK int trk_spool_scan(const trk_spool_segment_t *segment,
    trk_spool_scan_t *scan, trk_spool_record_t *record);


/* The marks: a byte for each record.  Another one counts as 0. */
#define TRK_SPOOL_DONE   'D'            /* Kafka has it */
#define TRK_SPOOL_APART  'A'            /* it stands in aside.seg */


/* Makes topic, key and value of the record, whose lengths stand, views of
 * the bytes at p, where they lie one behind the other. */
void trk_spool_record_lie(trk_spool_record_t *record, const uint8_t *p);

/* Appends a record's value as it is drained: an object that says
 * "spooled":true.  What is no object is appended as it is. */
void trk_spool_flag(trk_buf_t *out, trk_str_t value);


/* What `meta` says of a folder. */
typedef struct {
    uint32_t  version;
    char      cluster[TRK_SPOOL_CLUSTER_MAX + 1];   /* of Kafka; "": unknown */
} trk_spool_meta_t;

void trk_spool_meta_write(trk_buf_t *out, const char *cluster);

/* TRK_OK; TRK_INVALID: of a version we do not know (meta->version);
 * TRK_CORRUPT. */
TRK_MUSTCHECK int trk_spool_meta_read(trk_str_t text, trk_spool_meta_t *meta);


#endif /* TRK_SPOOL_H */
