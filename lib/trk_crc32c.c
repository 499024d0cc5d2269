/*
 * CRC-32C by the processor's own instruction where there is one (SSE 4.2),
 * else by table, eight bytes a step ("slicing by 8", M. Kounavis and
 * F. Berry, Intel, 2005).  The tables are computed from the polynomial when
 * first needed; two threads that do so at once write the same values, and
 * the flag is released after them.
 */

#include "trk_crc32c.h"

#include <stdatomic.h>


#define TRK_CRC32C_POLY  0x82F63B78     /* reflected 0x1EDC6F41 */


static void trk_crc32c_init(void);


static _Atomic uint32_t  trk_crc32c_table[8][256];
static atomic_int        trk_crc32c_ready;


#define T(k, i)                                                               \
    atomic_load_explicit(&trk_crc32c_table[k][i], memory_order_relaxed)


#ifdef __x86_64__

__attribute__((target("sse4.2")))
static uint32_t
trk_crc32c_by_instruction(uint32_t crc, const uint8_t *s, size_t n)
{
    uint64_t  c, w;

    for (c = ~crc; n >= 8; n -= 8, s += 8) {
        memcpy(&w, s, 8);
        c = __builtin_ia32_crc32di(c, w);
    }

    for (crc = (uint32_t) c; n > 0; n--, s++) {
        crc = __builtin_ia32_crc32qi(crc, *s);
    }

    return ~crc;
}

#endif


uint32_t
trk_crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return trk_crc32c_by_instruction(crc, p, n);
    }
#endif

    return trk_crc32c_by_table(crc, p, n);
}


uint32_t
trk_crc32c_by_table(uint32_t crc, const void *p, size_t n)
{
    uint32_t        low, high;
    const uint8_t  *s;

    if (!atomic_load_explicit(&trk_crc32c_ready, memory_order_acquire)) {
        trk_crc32c_init();
    }

    s = p;
    crc = ~crc;

    for ( /* void */ ; n >= 8; n -= 8, s += 8) {

        low = crc ^ ((uint32_t) s[0] | (uint32_t) s[1] << 8
                     | (uint32_t) s[2] << 16 | (uint32_t) s[3] << 24);
        high = (uint32_t) s[4] | (uint32_t) s[5] << 8
               | (uint32_t) s[6] << 16 | (uint32_t) s[7] << 24;

        crc = T(7, low & 255) ^ T(6, low >> 8 & 255)
              ^ T(5, low >> 16 & 255) ^ T(4, low >> 24)
              ^ T(3, high & 255) ^ T(2, high >> 8 & 255)
              ^ T(1, high >> 16 & 255) ^ T(0, high >> 24);
    }

    while (n-- > 0) {
        crc = crc >> 8 ^ T(0, (crc ^ *s++) & 255);
    }

    return ~crc;
}


static void
trk_crc32c_init(void)
{
    uint32_t  i, k, c;

    for (i = 0; i < 256; i++) {

        for (c = i, k = 0; k < 8; k++) {
            c = c & 1 ? c >> 1 ^ TRK_CRC32C_POLY : c >> 1;
        }

        atomic_store_explicit(&trk_crc32c_table[0][i], c,
                              memory_order_relaxed);
    }

    for (i = 0; i < 256; i++) {

        for (c = T(0, i), k = 1; k < 8; k++) {
            c = c >> 8 ^ T(0, c & 255);
            atomic_store_explicit(&trk_crc32c_table[k][i], c,
                                  memory_order_relaxed);
        }
    }

    atomic_store_explicit(&trk_crc32c_ready, 1, memory_order_release);
}
