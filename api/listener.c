#include "api/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENER_BACKLOG 1024 /* connections that wait to be accepted; the kernel may allow fewer */

/* The first address that the name stands for. */
static alv_status listener_resolve(const alv_address *address, struct addrinfo **out,
                                   alv_error *err)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)address->port);
    int code = getaddrinfo(address->host, port, &hints, out);
    if (code != 0) {
        return alv_fail_from(err, ALV_REJECT, "getaddrinfo", code, "http.listen: %s: %s",
                             address->host, gai_strerror(code));
    }
    return ALV_OK;
}

/* SO_REUSEADDR lets a node that was just stopped start again while old connections linger in
 * TIME_WAIT; it does not let two processes share the port. */
static int listener_bind(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, LISTENER_BACKLOG) == 0) {
        return fd;
    }
    int code = errno;
    (void)close(fd); /* the first error is the one to tell */
    errno = code;
    return -1;
}

static uint16_t listener_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {.sin6_port = 0}};
    socklen_t size = sizeof bound;
    if (getsockname(fd, &bound.any, &size) != 0) {
        return 0;
    }
    return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
}

alv_status alv_listener_open(const char *address, int *out_socket,
                             char out_address[ALV_LISTENER_ADDRESS_BYTES], alv_error *err)
{
    alv_address parsed;
    if (!alv_address_parse(address, &parsed)) {
        return alv_fail(err, ALV_REJECT, "http.listen: \"%s\" is not host:port or [v6]:port",
                        address);
    }
    struct addrinfo *info;
    alv_status status = listener_resolve(&parsed, &info, err);
    if (status != ALV_OK) {
        return status;
    }
    int fd = listener_bind(info);
    int code = errno;
    freeaddrinfo(info);
    if (fd < 0) {
        return alv_fail_from(err, ALV_REJECT, "errno", code, "http.listen: %s: %s", address,
                             strerror(code));
    }
    bool v6 = strchr(parsed.host, ':') != NULL;
    (void)snprintf(out_address, ALV_LISTENER_ADDRESS_BYTES, v6 ? "[%s]:%u" : "%s:%u", parsed.host,
                   (unsigned)listener_port(fd));
    *out_socket = fd;
    return ALV_OK;
}
