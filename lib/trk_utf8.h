/*
 * UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above
 * U+10FFFF.
 */

#ifndef TRK_UTF8_H
#define TRK_UTF8_H

#include "trk.h"


/* Length in bytes of the character that begins the n bytes at p (n > 0), 1
 * to 4; 0: they do not begin with one. */
size_t trk_utf8_next(const uint8_t *p, size_t n);

/* Writes code point cp, at most U+10FFFF and no surrogate; returns 1..4. */
size_t trk_utf8_put(uint8_t *dst, uint32_t cp);


#endif /* TRK_UTF8_H */
