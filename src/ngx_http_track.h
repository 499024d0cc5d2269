
/*
 * What the files of the nginx side share.
 *
 * Who runs what: configuration in the master, everything else in the event
 * loop of a worker, but for what the schema thread runs, the files _follower,
 * _pg, _schema_file and _image: what is declared for them at the end takes
 * plain C types and calls no nginx function.  lib/ (trk_*.h) is pure and
 * serves both.
 */


#ifndef _NGX_HTTP_TRACK_H_INCLUDED_
#define _NGX_HTTP_TRACK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "trk.h"
#include "trk_answer.h"
#include "trk_error.h"
#include "trk_id.h"
#include "trk_image.h"
#include "trk_record.h"
#include "trk_reject.h"
#include "trk_request.h"
#include "trk_schema.h"


#if (NGX_PTR_SIZE != 8)
#error ngx_http_track_module needs a 64-bit platform: generations are one word
#endif


#define NGX_HTTP_TRACK_ERROR_LEN   256      /* of a sentence, with its NUL */
#define NGX_HTTP_TRACK_UNPROCESSABLE  422
#define NGX_HTTP_TRACK_EDGE_LEN    16
#define NGX_HTTP_TRACK_RETRY       "5"      /* Retry-After, in seconds */
#define NGX_HTTP_TRACK_TICK        1000     /* of each worker, in ms */
#define NGX_HTTP_TRACK_IMAGE_MAX   (256 * 1024 * 1024)
#define NGX_HTTP_TRACK_TEMP_EXT    ".tmp"


typedef struct ngx_http_track_follower_s  ngx_http_track_follower_t;
typedef struct ngx_http_track_inflate_s   ngx_http_track_inflate_t;
typedef struct ngx_http_track_kafka_s     ngx_http_track_kafka_t;
typedef struct ngx_http_track_ledger_s    ngx_http_track_ledger_t;
typedef struct ngx_http_track_live_s      ngx_http_track_live_t;
typedef struct ngx_http_track_message_s   ngx_http_track_message_t;
typedef struct ngx_http_track_pg_s        ngx_http_track_pg_t;
typedef struct ngx_http_track_spool_s     ngx_http_track_spool_t;
typedef struct ngx_http_track_wait_s      ngx_http_track_wait_t;
typedef struct ngx_http_track_waits_s     ngx_http_track_waits_t;
typedef struct ngx_http_track_worker_s    ngx_http_track_worker_t;


/* configuration */

typedef struct {
    ngx_str_t                    postgres;
    ngx_str_t                    schema_file;
    ngx_str_t                    brokers;
    ngx_array_t                  properties;    /* ngx_keyval_t */
    ngx_array_t                  topics;        /* ngx_str_t, distinct */
    ngx_array_t                  timeouts;      /* ngx_msec_t, distinct */
    ngx_msec_t                   max_ack_timeout;   /* of all locations */
    size_t                       max_events;        /* likewise */
    ngx_uint_t                   ledger_topic;  /* in topics */
    ngx_uint_t                   enabled;       /* some location has track */
    ngx_uint_t                   status;        /* or track_status */
    ngx_uint_t                   live;          /* or track_live */
    ngx_uint_t                   ack_spool;     /* some track_ack spool */
    ngx_str_t                    spool;         /* its path; len 0: off */
    off_t                        spool_size;    /* of all in that path */
    size_t                       spool_segment;
    ngx_thread_pool_t           *spool_pool;
    ngx_shm_zone_t              *zone;
    ngx_cycle_t                 *cycle;
} ngx_http_track_main_conf_t;


/* when to answer, and, in a context, what was answered for */

typedef enum {
    NGX_HTTP_TRACK_ACK_KAFKA = 0,
    NGX_HTTP_TRACK_ACK_SPOOL,
    NGX_HTTP_TRACK_ACK_NONE
} ngx_http_track_ack_e;


typedef enum {
    NGX_HTTP_TRACK_KEY_OFF = 0,
    NGX_HTTP_TRACK_KEY_OPTIONAL,
    NGX_HTTP_TRACK_KEY_REQUIRED
} ngx_http_track_key_e;


typedef enum {
    NGX_HTTP_TRACK_IP_FULL = 0,
    NGX_HTTP_TRACK_IP_TRUNCATED,
    NGX_HTTP_TRACK_IP_OFF
} ngx_http_track_ip_e;


#define NGX_HTTP_TRACK_NOWHERE  ((ngx_uint_t) -1)   /* topic is off */


typedef struct {
    ngx_str_t                    topic;
    ngx_uint_t                   topic_index;   /* in main conf's topics */
    ngx_str_t                    rejected;      /* len 0: off */
    ngx_uint_t                   rejected_index;    /* or NOWHERE */
    ngx_uint_t                   ack;           /* ngx_http_track_ack_e */
    ngx_msec_t                   ack_timeout;
    ngx_uint_t                   lane;          /* in main conf's timeouts */
    ngx_int_t                    max_events;
    size_t                       max_event_size;
    ngx_uint_t                   key;           /* ngx_http_track_key_e */
    ngx_array_t                 *cors;          /* ngx_str_t, patterns as of
                                                   trk_origin.h; NULL: off */
    ngx_uint_t                   ip;            /* ngx_http_track_ip_e */
    ngx_flag_t                   honor;         /* privacy signals */
    ngx_uint_t                   enabled;       /* unsigned  enabled:1; */
    ngx_uint_t                   pixel;         /* track_pixel */
    ngx_uint_t                   serves;        /* events come here: not to
                                                   a location within */
} ngx_http_track_loc_conf_t;


#include "ngx_http_track_zone.h"


/* everything a worker has, from init_process to exit_process */

struct ngx_http_track_worker_s {
    ngx_http_track_main_conf_t  *conf;
    ngx_http_track_shm_t        *sh;
    ngx_slab_pool_t             *shpool;
    ngx_http_track_slot_t       *slot;
    ngx_atomic_uint_t            life;          /* ours, see _life.c */
    ngx_http_track_counters_t   *counters;      /* of the slot's stripe */
    uint16_t                    *series;        /* see _count.c */
    uint64_t                     series_of;     /* the generation they fit */
    ngx_log_t                   *log;           /* of the cycle */
    ngx_event_t                  tick;

    /* schema */
    const trk_image_t           *image;         /* mapped; NULL: none */
    uint64_t                     generation;    /* of image */
    uint64_t                     bad_generation;    /* could not be mapped, */
    ngx_msec_t                   bad_since;         /* not tried for a tick */
    u_char                       version[TRK_SCHEMA_VERSION_MAX];
    size_t                       version_len;

    /* lead */
    ngx_atomic_uint_t            epoch;         /* of our lease; 0: none */
    ngx_http_track_follower_t   *follower;
    ngx_connection_t            *reports;       /* of the follower */

    /* events */
    ngx_http_track_kafka_t      *kafka;
    ngx_http_track_ledger_t     *ledger;
    ngx_http_track_live_t       *live;          /* NULL: no track_live */
    trk_buf_t                    verdict;       /* for the live ring */
    ngx_http_track_spool_t      *spool;         /* NULL: track_spool off */
    ngx_http_track_waits_t      *waits;
    ngx_http_track_inflate_t    *inflate;       /* NULL: no gzip so far */
    trk_buf_t                    body;          /* that is not in one piece */
    trk_request_t                request;
    trk_buf_t                    answer;
    trk_buf_t                    origin;        /* of a request's records */
    trk_buf_t                    records;
    ngx_http_track_message_t    *messages;      /* conf's max_events */
    u_char                       edge[NGX_HTTP_TRACK_EDGE_LEN];
    size_t                       max_record;    /* bytes, key included */
    size_t                       max_records;   /* bytes of a batch */
    size_t                       random_left;
    u_char                       random[1024];
};


#include "ngx_http_track_access.h"


/*
 * What is known of one request: header filter, variables and live ring read
 * it.  Lives in the request's pool, and is found again after an internal
 * redirect, which forgets all modules' contexts.
 */

struct ngx_http_track_ctx_s {
    ngx_http_track_loc_conf_t   *conf;          /* see track_location() */
    ngx_http_track_headers_t     headers;
    ngx_str_t                    ip;            /* as track_ip leaves it */
    ngx_str_t                    source;        /* of the write key; "": none */
    u_char                       key[32];       /* its hash, if has_key */
    ngx_uint_t                   events;        /* judged */
    ngx_uint_t                   rejected;      /* of those */
    ngx_uint_t                   error;         /* trk_error_code_t of all */
    ngx_uint_t                   ack;           /* ngx_http_track_ack_e */
    ngx_msec_t                   began;         /* waiting, ngx_current_msec */
    ngx_msec_t                   ack_time;      /* ms waited */
    trk_body_t                   type;          /* of the body */
    unsigned                     gzip:1;        /* it is, says a header */
    unsigned                     has_key:1;     /* and it is known */
    unsigned                     signals:1;     /* privacy: no identifiers */
    unsigned                     quiet:1;       /* no line with the client */
    unsigned                     pixel:1;
    unsigned                     safe:1;        /* answered, as ack says */
    unsigned                     kept:1;        /* there is something to ack */
};


/* an answer: status and JSON (in the request's pool; empty: no body) */

struct ngx_http_track_answer_s {
    ngx_uint_t                   status;
    ngx_str_t                    body;
};


/*
 * A repeating error: at first one line a second, with the number of those
 * left out; as long as it goes on the lines grow rarer, to one a minute.
 */

typedef struct {
    ngx_msec_t                   last;          /* line that was written */
    ngx_msec_t                   seen;          /* that was to be */
    ngx_msec_t                   interval;      /* 0: none so far */
    ngx_uint_t                   muted;
} ngx_http_track_mute_t;


#define ngx_http_track_str(s)  trk_str_of((s).data, (s).len)

#include "ngx_http_track_spool.h"
#include "ngx_http_track_ledger.h"
#include "ngx_http_track_live.h"


/* ngx_http_track_module.c */

extern ngx_module_t              ngx_http_track_module;

/* The place of a topic in main conf's topics, added if new.  NGX_ERROR: no
 * memory. */
ngx_int_t ngx_http_track_topic_index(ngx_http_track_main_conf_t *tmcf,
    ngx_str_t *topic, ngx_uint_t *index);


/* ngx_http_track_worker.c */

/* NULL: this process serves no track location */
extern ngx_http_track_worker_t  *ngx_http_track_worker;

/* what timers without a connection show as theirs in the debug log */
extern ngx_connection_t          ngx_http_track_dumb;

ngx_int_t ngx_http_track_init_process(ngx_cycle_t *cycle);
void ngx_http_track_exit_process(ngx_cycle_t *cycle);

/* What muted lines there were since, and 1 if one may be written now. */
ngx_uint_t ngx_http_track_unmute(ngx_http_track_mute_t *mute,
    ngx_uint_t *muted);

/* Wraps fd (an eventfd) for the event loop; the connection owns it from now
 * on, also on failure (NULL). */
ngx_connection_t *ngx_http_track_watch(int fd, ngx_event_handler_pt handler,
    void *data, ngx_log_t *log);


/* ngx_http_track_handler.c */

ngx_int_t ngx_http_track_handler(ngx_http_request_t *r);

/* Judges the text of a body, delivers what is accepted, and answers.  What
 * finalizes r, or NGX_DONE: r is parked. */
ngx_int_t ngx_http_track_judge(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, trk_str_t text);


/* ngx_http_track_ctx.c */

/* The context of r, made if there is none.  NULL: no memory. */
ngx_http_track_ctx_t *ngx_http_track_ctx_make(ngx_http_request_t *r);

/* NULL: r never came to a location of ours. */
ngx_http_track_ctx_t *ngx_http_track_ctx(ngx_http_request_t *r);


/* ngx_http_track_media.c */

/* Reads Content-Type and Content-Encoding into ctx->type and ctx->gzip.
 * TRK_ERR_UNSUPPORTED_MEDIA_TYPE: the header that goes with it is set. */
trk_error_code_t ngx_http_track_media(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);


/* ngx_http_track_body.c */

typedef struct {
    trk_str_t                    text;
    size_t                       size;          /* of all of it, in bytes */
    trk_error_code_t             code;          /* after NGX_DECLINED */
} ngx_http_track_body_t;

/*
 * The text of the request body, inflated if it is gzip, in one piece; good
 * as long as r and until the next body of this worker.  NGX_OK.  NGX_ERROR.
 * NGX_DECLINED: body->code is REQUEST_TOO_LARGE (sent, over max bytes;
 * inflated, over max or client_max_body_size), or BAD_ENCODING: then
 * body->text is what was sent, as much as trk_reject_body() wants.
 */
ngx_int_t ngx_http_track_body(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx, size_t max, ngx_http_track_body_t *body);

/* Its text is not needed any more: gives back memory beyond that of usual
 * bodies. */
void ngx_http_track_body_trim(ngx_http_track_worker_t *wk);

/* Bytes [at, at + n) of a temporary file.  NGX_OK, NGX_ERROR (logged). */
ngx_int_t ngx_http_track_body_read(ngx_file_t *file, u_char *p, size_t n,
    off_t at, ngx_log_t *log);


/* ngx_http_track_inflate.c: all of zlib */

/* Appends to out, which is empty, the text of a gzip body.  NGX_OK;
 * NGX_DECLINED: *code is REQUEST_TOO_LARGE or BAD_ENCODING; NGX_ERROR. */
ngx_int_t ngx_http_track_inflate(ngx_http_track_worker_t *wk,
    ngx_chain_t *cl, size_t max, trk_buf_t *out, trk_error_code_t *code,
    ngx_log_t *log);
void ngx_http_track_inflate_exit(ngx_http_track_worker_t *wk);


/* ngx_http_track_response.c; all return what finalizes the request */

ngx_int_t ngx_http_track_send(ngx_http_request_t *r,
    ngx_http_track_answer_t *answer);

/* What an error of the whole request answers; offset SIZE_MAX: without. */
ngx_int_t ngx_http_track_refusal(ngx_http_request_t *r,
    trk_error_code_t code, size_t offset, ngx_http_track_answer_t *answer);

/* Answers so. */
ngx_int_t ngx_http_track_refuse(ngx_http_request_t *r, trk_error_code_t code,
    size_t offset);

/* Adds a header; name and value are literals.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_track_response_header(ngx_http_request_t *r, char *name,
    char *value);

/* 405; allow is a literal. */
ngx_int_t ngx_http_track_not_allowed(ngx_http_request_t *r, char *allow);

/* Copies what the worker's answer buffer holds.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_track_answer_body(ngx_http_request_t *r, ngx_str_t *body);


/* ngx_http_track_event.c */

/* How many messages the judged request makes: of accepted events, and, where
 * they are kept, of *rejected ones. */
size_t ngx_http_track_event_count(ngx_http_track_worker_t *wk,
    ngx_http_track_loc_conf_t *tlcf, size_t *rejected);

/* Mints ids and writes them, numbered from seq: their bytes one behind the
 * other into wk->records, all else but addresses into wk->messages.  NGX_OK;
 * NGX_DECLINED: more bytes than could ever be queued; NGX_ERROR. */
ngx_int_t ngx_http_track_event_records(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf,
    uint64_t seq);

/* Likewise the one of a body that was refused as a whole, with body->code at
 * `offset` (SIZE_MAX: nowhere). */
ngx_int_t ngx_http_track_event_body(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf,
    ngx_http_track_body_t *body, size_t offset, uint64_t seq);

/* Nothing is kept: for the live ring alone.  body NULL: the judged request. */
void ngx_http_track_event_show(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_body_t *body, size_t offset);

/* A fresh edge id into wk->edge.  NGX_ERROR: no randomness. */
ngx_int_t ngx_http_track_event_edge(ngx_http_track_worker_t *wk);


/* ngx_http_track_deliver.c; both return what finalizes r */

/* Sends the messages of the judged request on their way, and answer when
 * they are safe, or what went wrong. */
ngx_int_t ngx_http_track_deliver(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf,
    ngx_http_track_answer_t *answer);

/* Refuses a body as a whole, with body->code, when it is kept as a rejected
 * one. */
ngx_int_t ngx_http_track_deliver_body(ngx_http_request_t *r,
    ngx_http_track_worker_t *wk, ngx_http_track_loc_conf_t *tlcf,
    ngx_http_track_body_t *body, size_t offset);


/* ngx_http_track_wait.c */

ngx_int_t ngx_http_track_wait_init(ngx_http_track_worker_t *wk);

/* exit_process: what is not safe yet gets what time there is to reach Kafka
 * or the spool, and its outcome is booked. */
void ngx_http_track_wait_exit(ngx_http_track_worker_t *wk);

/* Where waits of that timeout stand; at configuration time. */
ngx_int_t ngx_http_track_wait_lane(ngx_http_track_main_conf_t *tmcf,
    ngx_msec_t timeout, ngx_uint_t *lane);

/* Kafka has taken something; in the library's poll. */
void ngx_http_track_wait_delivered(ngx_http_track_worker_t *wk);

/* Does what reports have made possible: answers requests. */
void ngx_http_track_wait_finish(ngx_http_track_worker_t *wk);

/* Whether nobody waits, and what the producer holds need not be waited for:
 * Kafka is away, and the spool has it. */
ngx_uint_t ngx_http_track_wait_hopeless(ngx_http_track_worker_t *wk);

/* Waits hold a leaving worker no longer. */
void ngx_http_track_wait_let_go(ngx_http_track_worker_t *wk);


/* ngx_http_track_property.c; error has NGX_HTTP_TRACK_ERROR_LEN bytes */

typedef ngx_int_t (*ngx_http_track_property_pt)(void *conf, const char *name,
    const char *value, char *error);

/* 1: it may not be set; error says why. */
ngx_uint_t ngx_http_track_property_refused(ngx_keyval_t *property,
    char *error);

/* Sets all that a producer is to have.  NGX_OK, or what `set` returned. */
ngx_int_t ngx_http_track_properties(ngx_http_track_main_conf_t *tmcf,
    ngx_http_track_property_pt set, void *conf, char *error);


/* ngx_http_track_kafka.c; what it knows of librdkafka is in _rdkafka */

/* Configuration time, without a producer; error has
 * NGX_HTTP_TRACK_ERROR_LEN bytes. */
ngx_int_t ngx_http_track_kafka_check_property(ngx_keyval_t *property,
    char *error);
ngx_int_t ngx_http_track_kafka_check(ngx_http_track_main_conf_t *tmcf,
    char *error);

/* Kafka being away is no error: NGX_ERROR is want of memory. */
ngx_int_t ngx_http_track_kafka_init(ngx_http_track_worker_t *wk);
void ngx_http_track_kafka_exit(ngx_http_track_worker_t *wk);

/* exit_process, before that: serves reports for at most ms. */
void ngx_http_track_kafka_flush(ngx_http_track_worker_t *wk, ngx_msec_t ms);

/*
 * What became of a message.  FAILED: not there, or not known to be; another
 * try may do.  REFUSED: for good, for what it is.  NO_TOPIC: its topic is
 * missing or closed to us.
 */

typedef enum {
    NGX_HTTP_TRACK_DELIVERED = 0,
    NGX_HTTP_TRACK_FAILED,
    NGX_HTTP_TRACK_REFUSED,
    NGX_HTTP_TRACK_NO_TOPIC
} ngx_http_track_outcome_e;

typedef void (*ngx_http_track_report_pt)(ngx_http_track_message_t *m,
    ngx_http_track_outcome_e outcome);


/*
 * The unit that goes to Kafka: of a request's wait, of the spool's drain, of
 * the ledger.  The sender owns it and the bytes it shows, and keeps both
 * where they are until the handler was called: the library makes no copy.
 * A handler runs inside the library's poll: it finishes no request and
 * produces nothing.
 */

struct ngx_http_track_message_s {
    u_char                      *key;
    size_t                       key_len;
    u_char                      *value;
    size_t                       value_len;
    ngx_uint_t                   topic;         /* of kafka_topic() */
    uint64_t                     seq;           /* 0: has none */
    ngx_http_track_report_pt     handler;
    void                        *data;          /* the sender's */
    ngx_http_track_place_t       place;         /* in the spool */
    unsigned                     rejected:1;    /* is of a rejected event */
    unsigned                     held:1;        /* handler is to be called */
    unsigned                     delivered:1;
    unsigned                     spooled:1;     /* and synced */
    unsigned                     too_large:1;   /* that is why REFUSED */
    unsigned                     outcome:2;     /* of what was not taken, */
    ngx_http_track_message_t    *next;          /* until it is reported */
};


/* Hands n messages to the producer.  NGX_OK: the handler of each will be
 * called once, never from inside here, also if the library refuses some;
 * NGX_DECLINED: no room for all, or no producer; nothing was handed over. */
ngx_int_t ngx_http_track_kafka_produce(ngx_http_track_worker_t *wk,
    ngx_http_track_message_t *messages, size_t n);

/* A number for a topic, those of the configuration first and in its order;
 * for others, as a spool may hold.  NGX_ERROR: it cannot be used now. */
ngx_int_t ngx_http_track_kafka_topic(ngx_http_track_worker_t *wk,
    ngx_str_t *name);

/* The cluster's id, NUL-terminated, as long as this producer; NULL: not
 * known yet. */
const char *ngx_http_track_kafka_cluster(ngx_http_track_worker_t *wk);


/* ngx_http_track_schema.c */

/* The first image: mapped, built from the schema file, or waited for. */
void ngx_http_track_schema_init(ngx_http_track_worker_t *wk);
void ngx_http_track_schema_exit(ngx_http_track_worker_t *wk);

/* The image in force, good until the event loop is entered again; NULL:
 * there never was a schema. */
const trk_image_t *ngx_http_track_schema(ngx_http_track_worker_t *wk);

/* Puts an image in force for all workers, if we still lead. */
void ngx_http_track_schema_publish(ngx_http_track_worker_t *wk,
    uint64_t generation);


/* ngx_http_track_leader.c */

/* Takes, renews or gives up the lead; once a tick. */
void ngx_http_track_leader_tick(ngx_http_track_worker_t *wk);

/* Gives the lead up.  wait: ms to wait for the schema thread. */
void ngx_http_track_leader_resign(ngx_http_track_worker_t *wk,
    ngx_msec_t wait);


/* ngx_http_track_status.c */

char *ngx_http_track_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/*
 * ngx_http_track_schema_file.c: the schema file, the durable form.  Blocking;
 * runs in the schema thread, and in init_process.  Functions that fail leave
 * a sentence in error (NGX_HTTP_TRACK_ERROR_LEN bytes).
 */

/* Writes the sentence, cut to fit; %m is errno's. */
void ngx_http_track_say(char *error, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads and checks the JSON of path; the caller frees it.  NULL: failed, or,
 * with an empty error, there is no such file. */
trk_schema_t *ngx_http_track_schema_file_read(const char *path, char *error);

/* Opens what stands at path, for _write(), before the schema to be written is
 * read: *held, which the caller closes; -1 there: no such file.  0, -1. */
int ngx_http_track_schema_file_hold(const char *path, int *held, char *error);

/* Writes it: atomically, and on the disk when 0 is returned; -1: failed; 1:
 * no longer what is held stands there, so a later schema may: read anew. */
int ngx_http_track_schema_file_write(const char *path, int held,
    const trk_schema_t *schema, char *error);

/* Writes target, a name beside path, by way of a temporary file
 * "<path>.<anything>.tmp"; not synced.  0, -1. */
int ngx_http_track_file_write(const char *path, const char *target,
    trk_buf_t *text, char *error);


/* ngx_http_track_image.c: the images beside it, likewise */

/* Compiles a finished schema and writes its image beside path under the name
 * that *generation stands for, unless that is `present` already.  0, -1. */
int ngx_http_track_image_write(const char *path, const trk_schema_t *schema,
    uint64_t present, uint64_t *generation, char *error);

/* Maps the image of that generation and checks it all.  NULL: failed. */
const trk_image_t *ngx_http_track_image_map(const char *path,
    uint64_t generation, char *error);
void ngx_http_track_image_unmap(const trk_image_t *image);

/* 1: the file of that generation is there. */
int ngx_http_track_image_exists(const char *path, uint64_t generation);

/* Removes all images but the newest two, and what killed writers left. */
void ngx_http_track_image_clean(const char *path);


/*
 * ngx_http_track_follower.c: the schema thread of the leader.
 */

typedef struct {
    ngx_http_track_state_e       state;
    uint64_t                     generation;    /* written; 0: none yet */
    char                         error[NGX_HTTP_TRACK_ERROR_LEN];
                                                /* of PostgreSQL; "": none */
    char                         schema_error[NGX_HTTP_TRACK_ERROR_LEN];
                                                /* of what it said */
} ngx_http_track_follower_report_t;

/* Starts the thread.  `present` is the generation in force.  *fd becomes
 * readable whenever there is something to take; the caller closes it.
 * NULL: failed, see errno. */
ngx_http_track_follower_t *ngx_http_track_follower_start(
    const char *conninfo, const char *path, uint64_t present, int *fd);

/* What there is to know now. */
void ngx_http_track_follower_take(ngx_http_track_follower_t *f,
    ngx_http_track_follower_report_t *report);

/* Ends the thread, waiting at most wait ms; f is gone either way. */
void ngx_http_track_follower_stop(ngx_http_track_follower_t *f,
    unsigned wait);

/* 1: fd (-1: none) is readable; 0: timeout (ms) is over, or poll() failed;
 * -1: stop_fd is readable, the thread is to end. */
int ngx_http_track_poll(int stop_fd, int fd, int timeout);


/*
 * ngx_http_track_pg.c: all of libpq.  Runs in that thread; functions that
 * fail because of the connection, which is of no use then, leave a sentence
 * in the error given to open (NGX_HTTP_TRACK_ERROR_LEN bytes).
 */

#define NGX_HTTP_TRACK_VERSION_LEN  128     /* "<lineage> <number>", NUL */

/* Configuration time: 0, or -1 and a sentence. */
int ngx_http_track_pg_check(const char *conninfo, char *error);

/* Connects, blocking, and LISTENs.  What follows gives up when stop_fd
 * becomes readable.  NULL: failed. */
ngx_http_track_pg_t *ngx_http_track_pg_open(const char *conninfo,
    int stop_fd, char *error);
void ngx_http_track_pg_close(ngx_http_track_pg_t *pg);

/* 0: notified, or timeout (ms) is over; -1. */
int ngx_http_track_pg_wait(ngx_http_track_pg_t *pg, int timeout);

/* The version in force there: 0, -1. */
int ngx_http_track_pg_version(ngx_http_track_pg_t *pg, char *version,
    size_t size);

/* The whole schema, finished, and its version, of one transaction; the
 * caller frees it.  NULL: failed, or, with a sentence in refused, what stands
 * there is no good. */
trk_schema_t *ngx_http_track_pg_read(ngx_http_track_pg_t *pg, char *version,
    size_t size, char *refused);


#endif /* _NGX_HTTP_TRACK_H_INCLUDED_ */
