
/*
 * Who sends, from what page, with what key, and how much of that may leave:
 * the files _access, _cors, _ip, _pixel and _variable.
 */


#ifndef _NGX_HTTP_TRACK_ACCESS_H_INCLUDED_
#define _NGX_HTTP_TRACK_ACCESS_H_INCLUDED_


typedef struct ngx_http_track_answer_s  ngx_http_track_answer_t;
typedef struct ngx_http_track_ctx_s     ngx_http_track_ctx_t;


/* Request headers that mean something here; data NULL: not sent.  One that
 * was sent twice counts as sent once, with a value that fits nothing. */

typedef struct {
    ngx_str_t                    origin;
    ngx_str_t                    key;           /* X-Track-Key */
    ngx_str_t                    method;    /* Access-Control-Request-Method */
    unsigned                     signals:1;     /* Sec-GPC: 1 or DNT: 1 */
    unsigned                     allowed:1;     /* origin may send */
} ngx_http_track_headers_t;


/* ngx_http_track_access.c */

/* The configuration of the track or track_pixel location that r came to, as
 * far as it can be told: nginx's own errors go to an error_page before we see
 * the request.  NULL: it came to none. */
ngx_http_track_loc_conf_t *ngx_http_track_location(ngx_http_request_t *r);

/* The context of r with its headers read.  NULL: r came to no location of
 * ours, or no memory. */
ngx_http_track_ctx_t *ngx_http_track_known(ngx_http_request_t *r);

void ngx_http_track_headers(ngx_http_request_t *r,
    ngx_http_track_headers_t *headers);

/* The beginning of every request for events: counts it, answers OPTIONS and
 * other methods than those given, and who may not send: by origin, write key,
 * the source's own origins.  `allow` is a literal.  NGX_DECLINED: go on;
 * others finalize r. */
ngx_int_t ngx_http_track_enter(ngx_http_request_t *r, ngx_uint_t methods,
    char *allow, ngx_http_track_ctx_t **ctx);

/* Looks the write key up; ctx->source is then set.  *source: NULL, if none was
 * sent and none is needed; else good until the event loop is entered
 * again. */
trk_error_code_t ngx_http_track_key(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx, const trk_image_source_t **source);


/* ngx_http_track_cors.c */

/* track_cors */
char *ngx_http_track_cors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Puts the header filter into nginx's chain. */
void ngx_http_track_cors_init(void);

/* Whether track_cors lets r in, its headers being read; kept in
 * ctx->headers.allowed. */
ngx_uint_t ngx_http_track_cors_allowed(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);

/* Answers OPTIONS, a preflight or not.  Returns what finalizes r. */
ngx_int_t ngx_http_track_options(ngx_http_request_t *r,
    ngx_http_track_ctx_t *ctx);


/* ngx_http_track_ip.c */

/* The client's address as track_ip of that location leaves it; len 0: no
 * part of it may be known.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_track_ip(ngx_http_request_t *r,
    ngx_http_track_loc_conf_t *tlcf, ngx_uint_t signals, ngx_str_t *ip);

/* Where lines about r go: the connection's log shows the client's address and
 * the request line, so where one of them is not to be known, the cycle's. */
ngx_log_t *ngx_http_track_log(ngx_http_request_t *r);


/* ngx_http_track_pixel.c */

/* track_pixel */
char *ngx_http_track_pixel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Turns the answer to a pixel whose event is safe into the image. */
void ngx_http_track_pixel_answer(ngx_http_track_answer_t *answer,
    ngx_str_t *type);


/* ngx_http_track_variable.c */

ngx_int_t ngx_http_track_variables(ngx_conf_t *cf);


#endif /* _NGX_HTTP_TRACK_ACCESS_H_INCLUDED_ */
