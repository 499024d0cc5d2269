/*
 * Origins: what a browser says of the page that sends, and the patterns that
 * track_cors and sources allow.
 *
 * Both are brought into one form first (scheme and host in lower case, the
 * scheme's default port left out, IPv6 literals in one spelling), as plain
 * text that may lie in the configuration or in the schema image; matching
 * is comparing bytes.
 *
 *   https://shop.example.com      this origin
 *   http://[::1]:8080             likewise
 *   https: *.example.com          every host below example.com, however deep,
 *                                 but not example.com (two slashes left out:
 *                                 they would begin a comment)
 *   null                          what has no origin: sandboxed frames, files
 *   *                             whatever sends, null too
 */

#ifndef TRK_ORIGIN_H
#define TRK_ORIGIN_H

#include "trk.h"


#define TRK_ORIGIN_MAX  320     /* bytes of the longest one */


typedef struct {
    size_t   n;
    uint8_t  text[TRK_ORIGIN_MAX];
} trk_origin_text_t;

#define trk_origin_str(o)  trk_str_of((o)->text, (o)->n)


/* An Origin header's value.  TRK_INVALID: it is none. */
TRK_MUSTCHECK int trk_origin_read(trk_origin_text_t *out, trk_str_t text);

/* A pattern.  TRK_INVALID: none of the forms above; a path or a slash at the
 * end is the usual mistake. */
TRK_MUSTCHECK int trk_origin_pattern(trk_origin_text_t *out, trk_str_t text);

/* Whether the origin, read, is one of the pattern, read. */
int trk_origin_match(trk_str_t origin, trk_str_t pattern);

/* Whether the origin, read, has the host and port of a Host header.  The
 * scheme is not compared: behind a proxy that ends TLS it is not known; a
 * Host without a port has the default one of the origin's scheme. */
int trk_origin_is_host(trk_str_t origin, trk_str_t host);


#endif /* TRK_ORIGIN_H */
