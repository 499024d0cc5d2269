/*
 * A client's address as text, whole or with the part that singles one out
 * taken away (design: track_ip).
 */

#ifndef TRK_IP_H
#define TRK_IP_H

#include "trk.h"


#define TRK_IP_MAX  46      /* bytes of the longest text, with its NUL */


/*
 * Writes the address of n bytes (4 or 16, in network order) to dst, NUL-
 * terminated, and returns its length; 0: n is neither.  An IPv4 address that
 * comes as an IPv6 one (::ffff:0:0/96) is written as what it is.
 *
 * truncated: of IPv4 the first 24 bits stay, of IPv6 the first 48, of 6to4
 * (2002::/16), which has an IPv4 address in the next 32, the first 40.
 */
size_t trk_ip_text(char dst[TRK_IP_MAX], const uint8_t *addr, size_t n,
    int truncated);


#endif /* TRK_IP_H */
