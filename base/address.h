/* address.h — host:port as people write it.
 *
 * Why:    listening, advertising and connecting must agree on what "[::1]:8090" means, and on which
 *         addresses nobody outside this host can reach.
 * Thread: any.
 * Fails:  by returning false; the caller knows what the address was for.
 */
#ifndef ALV_BASE_ADDRESS_H
#define ALV_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define ALV_ADDRESS_HOST_BYTES 254 /* a DNS name of 253 characters and a NUL */

typedef struct alv_address {
    char
        host[ALV_ADDRESS_HOST_BYTES]; /* a name, an IPv4 address, or an IPv6 one without brackets */
    uint16_t port;                    /* 0 = the operating system chooses, when listening */
} alv_address;

/* Parses "host:port" or "[v6]:port". False, and `out` untouched, for anything else. Names are not
 * looked up. */
bool alv_address_parse(const char *text, alv_address *out);

/* 127.0.0.0/8, ::1 and "localhost": cannot be reached from another host. */
bool alv_address_is_loopback(const alv_address *address);

/* 0.0.0.0 and ::, "every interface": nobody can connect to it. */
bool alv_address_is_wildcard(const alv_address *address);

#endif
