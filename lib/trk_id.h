/*
 * Identifiers: UUIDs (RFC 9562) as 16 bytes and as text, hex.
 */

#ifndef TRK_ID_H
#define TRK_ID_H

#include "trk.h"


#define TRK_UUID_LEN  36


typedef struct {
    uint8_t  b[16];
} trk_uuid_t;


/* 8-4-4-4-12 hex digits of either case, any version.  TRK_INVALID. */
TRK_MUSTCHECK int trk_uuid_parse(trk_str_t s, trk_uuid_t *u);

/* Writes TRK_UUID_LEN bytes in lower case, no NUL. */
void trk_uuid_format(const trk_uuid_t *u, char *dst);

/* UUIDv7: 48 bits of ms (since the epoch), 74 of the random bytes. */
void trk_uuid_v7(trk_uuid_t *u, int64_t ms, const uint8_t random[10]);

static inline int
trk_uuid_is_nil(const trk_uuid_t *u)
{
    uint64_t  halves[2];

    memcpy(halves, u, sizeof(halves));

    return (halves[0] | halves[1]) == 0;
}

/* The value of a hex digit of either case; -1: it is none. */
int trk_hex_digit(uint8_t c);

/* Writes 2 * n lower-case hex digits, no NUL. */
void trk_hex(char *dst, const uint8_t *p, size_t n);

/* The bytes of hex digits of either case: hex.n / 2 of them.  TRK_INVALID:
 * others are among them, or their number is odd. */
TRK_MUSTCHECK int trk_unhex(uint8_t *dst, trk_str_t hex);


#endif /* TRK_ID_H */
