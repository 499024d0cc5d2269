
/*
 * What a request says of its body: Content-Type and Content-Encoding.
 *
 * What is not taken is answered with 415 and with what would be taken:
 * Accept after a media type, Accept-Encoding after an encoding, never both,
 * so that a client can tell one from the other (RFC 9110, 12.5.3).
 */


#include "ngx_http_track.h"


static trk_error_code_t ngx_http_track_media_refuse(ngx_http_request_t *r,
    char *name, char *value);
static ngx_int_t ngx_http_track_media_type(ngx_str_t *value,
    trk_body_t *type);
static ngx_uint_t ngx_http_track_media_charset(u_char *p, u_char *last);
static ngx_int_t ngx_http_track_media_encoding(ngx_http_request_t *r,
    ngx_uint_t *gzip);
static ngx_int_t ngx_http_track_media_coding(ngx_str_t *value,
    ngx_uint_t *gzip);


trk_error_code_t
ngx_http_track_media(ngx_http_request_t *r, ngx_http_track_ctx_t *ctx)
{
    ngx_uint_t  gzip;
    trk_body_t  type;

    /* beacons have none, or text/plain, which needs no preflight */

    gzip = 0;
    type = TRK_BODY_TEXT;

    if (r->headers_in.content_type
        && ngx_http_track_media_type(&r->headers_in.content_type->value,
                                     &type)
           != NGX_OK)
    {
        return ngx_http_track_media_refuse(r, "Accept", "application/json, "
                                           "application/x-ndjson, text/plain");
    }

    if (ngx_http_track_media_encoding(r, &gzip) != NGX_OK) {
        return ngx_http_track_media_refuse(r, "Accept-Encoding", "gzip");
    }

    ctx->type = type;
    ctx->gzip = gzip;

    return TRK_ERR_NONE;
}


static trk_error_code_t
ngx_http_track_media_refuse(ngx_http_request_t *r, char *name, char *value)
{
    /* without memory for it there is none for the answer either */

    (void) ngx_http_track_response_header(r, name, value);

    return TRK_ERR_UNSUPPORTED_MEDIA_TYPE;
}


static ngx_int_t
ngx_http_track_media_type(ngx_str_t *value, trk_body_t *type)
{
    size_t       n;
    u_char      *p, *last, *parameters;
    ngx_uint_t   i;

    static const struct {
        ngx_str_t   name;
        trk_body_t  type;
    } types[] = {
        { ngx_string("application/json"), TRK_BODY_JSON },
        { ngx_string("text/plain"), TRK_BODY_TEXT },
        { ngx_string("application/x-ndjson"), TRK_BODY_NDJSON },
        { ngx_null_string, TRK_BODY_TEXT }
    };

    p = value->data;
    last = value->data + value->len;

    parameters = ngx_strlchr(p, last, ';');
    n = parameters ? (size_t) (parameters - p) : value->len;

    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t')) {
        n--;
    }

    for (i = 0; types[i].name.len; i++) {
        if (n == types[i].name.len
            && ngx_strncasecmp(p, types[i].name.data, n) == 0)
        {
            *type = types[i].type;
            return ngx_http_track_media_charset(p + n, last) ? NGX_OK
                                                             : NGX_DECLINED;
        }
    }

    return NGX_DECLINED;
}


/* JSON is UTF-8: another charset among the parameters is refused, the other
 * parameters mean nothing. */

static ngx_uint_t
ngx_http_track_media_charset(u_char *p, u_char *last)
{
    u_char  *start;

    start = ngx_strlcasestrn(p, last, (u_char *) "charset=",
                             sizeof("charset=") - 2);
    if (start == NULL) {
        return 1;
    }

    start += sizeof("charset=") - 1;

    if (start < last && *start == '"') {
        start++;
    }

    if (last - start < 5
        || ngx_strncasecmp(start, (u_char *) "utf-8", 5) != 0)
    {
        return 0;
    }

    start += 5;

    return start == last || *start == '"' || *start == ';' || *start == ' '
           || *start == '\t';
}


/* All lines of Content-Encoding together may name gzip once. */

static ngx_int_t
ngx_http_track_media_encoding(ngx_http_request_t *r, ngx_uint_t *gzip)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NGX_OK;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == sizeof("Content-Encoding") - 1
            && ngx_strcasecmp(h[i].key.data, (u_char *) "Content-Encoding")
               == 0
            && ngx_http_track_media_coding(&h[i].value, gzip) != NGX_OK)
        {
            return NGX_DECLINED;
        }
    }
}


static ngx_int_t
ngx_http_track_media_coding(ngx_str_t *value, ngx_uint_t *gzip)
{
    if (value->len == 0
        || ngx_strcasecmp(value->data, (u_char *) "identity") == 0)
    {
        return NGX_OK;
    }

    if (*gzip
        || (ngx_strcasecmp(value->data, (u_char *) "gzip") != 0
            && ngx_strcasecmp(value->data, (u_char *) "x-gzip") != 0))
    {
        return NGX_DECLINED;
    }

    *gzip = 1;

    return NGX_OK;
}
