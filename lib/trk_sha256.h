/*
 * SHA-256 (FIPS 180-4) of bytes in memory: what write keys and admin tokens
 * are kept and found by.
 */

#ifndef TRK_SHA256_H
#define TRK_SHA256_H

#include "trk.h"


#define TRK_SHA256_LEN  32


void trk_sha256(trk_str_t s, uint8_t digest[TRK_SHA256_LEN]);


#endif /* TRK_SHA256_H */
