/*
 * Addresses as track_ip leaves them.
 */

#include "trk_ip.h"

#include <arpa/inet.h>

#include "tap.h"


static void
is_ip(const char *text, int truncated, const char *want)
{
    int      family;
    char     dst[TRK_IP_MAX];
    size_t   n;
    uint8_t  addr[16];

    family = strchr(text, ':') ? AF_INET6 : AF_INET;

    if (inet_pton(family, text, addr) != 1) {
        ok(0, "not an address: %s", text);
        return;
    }

    n = trk_ip_text(dst, addr, family == AF_INET ? 4 : 16, truncated);
    is_text(dst, n, want, "%s%s: %s", text, truncated ? ", truncated" : "",
            want);
}


int
main(void)
{
    char     dst[TRK_IP_MAX];
    uint8_t  addr[16] = { 0 };

    is_ip("192.168.1.77", 0, "192.168.1.77");
    is_ip("192.168.1.77", 1, "192.168.1.0");
    is_ip("255.255.255.255", 1, "255.255.255.0");
    is_ip("::ffff:192.168.1.77", 0, "192.168.1.77");
    is_ip("::ffff:192.168.1.77", 1, "192.168.1.0");

    is_ip("2001:db8:1:2:3:4:5:6", 0, "2001:db8:1:2:3:4:5:6");
    is_ip("2001:db8:1:2:3:4:5:6", 1, "2001:db8:1::");
    is_ip("2001:db8:ffff:ffff::1", 1, "2001:db8:ffff::");
    is_ip("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 0,
          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    is_ip("::1", 0, "::1");
    is_ip("::1", 1, "::");

    is_ip("2002:c0a8:14d::1", 0, "2002:c0a8:14d::1");
    is_ip("2002:c0a8:14d::1", 1, "2002:c0a8:100::");
    is_ip("64:ff9b::192.168.1.77", 1, "64:ff9b::");

    is_int(trk_ip_text(dst, addr, 0, 0), 0, "an address of no bytes");
    is_int(trk_ip_text(dst, addr, 5, 1), 0, "an address of five bytes");

    return done();
}
