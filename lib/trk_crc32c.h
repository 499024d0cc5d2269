/*
 * CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected; RFC 3720 B.4).
 */

#ifndef TRK_CRC32C_H
#define TRK_CRC32C_H

#include "trk.h"


/* Of n bytes at p, going on from crc (0 at the start). */
uint32_t trk_crc32c(uint32_t crc, const void *p, size_t n);

/* The same on any machine: trk_crc32c() where the processor has nothing
 * better. */
uint32_t trk_crc32c_by_table(uint32_t crc, const void *p, size_t n);


#endif /* TRK_CRC32C_H */
