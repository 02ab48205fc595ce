/* listener.h — a listening TCP socket from "host:port".
 *
 * Why:    opened here rather than by the HTTP library, so that a failure names its cause.
 * Thread: main.
 * Owns:   the socket belongs to the caller, who closes it.
 * Fails:  ALV_REJECT with the address and the system's reason.
 */
#ifndef ALV_API_LISTENER_H
#define ALV_API_LISTENER_H

#include "base/address.h"
#include "base/status.h"

#define ALV_LISTENER_ADDRESS_BYTES (ALV_ADDRESS_HOST_BYTES + 16)

/* Listens on "host:port" or "[v6]:port". `out_address` gets the bound address in the same notation,
 * with the port that was chosen when it was 0. Blocks while a name is looked up. */
alv_status alv_listener_open(const char *address, int *out_socket,
                             char out_address[ALV_LISTENER_ADDRESS_BYTES], alv_error *err);

#endif
