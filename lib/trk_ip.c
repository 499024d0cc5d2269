/*
 * Client addresses.  See trk_ip.h.
 */

#include "trk_ip.h"

#include <arpa/inet.h>


static size_t trk_ip_kept(const uint8_t *addr, size_t n);


size_t
trk_ip_text(char dst[TRK_IP_MAX], const uint8_t *addr, size_t n,
    int truncated)
{
    uint8_t  bytes[16];

    static const uint8_t  mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                         0xFF, 0xFF };

    if (n != 4 && n != 16) {
        return 0;
    }

    if (n == 16 && memcmp(addr, mapped, sizeof(mapped)) == 0) {
        addr += sizeof(mapped);
        n = 4;
    }

    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, addr, truncated ? trk_ip_kept(addr, n) : n);

    if (inet_ntop(n == 4 ? AF_INET : AF_INET6, bytes, dst, TRK_IP_MAX)
        == NULL)
    {
        return 0;
    }

    return strlen(dst);
}


/* bytes that stay */

static size_t
trk_ip_kept(const uint8_t *addr, size_t n)
{
    if (n == 4) {
        return 3;
    }

    return addr[0] == 0x20 && addr[1] == 0x02 ? 5 : 6;
}
