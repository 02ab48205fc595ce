#include "api/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "control"
#define SOCKET_BACKLOG 8

static alv_status socket_fail(alv_error *err, const char *doing, const char *state_dir, int code)
{
    return alv_fail_from(err, ALV_RETRY, "errno", code, "cannot %s %s/" SOCKET_NAME ": %s", doing,
                         state_dir, strerror(code));
}

/* Makes a socket and does `use` (bind or connect) with its address. *out is -1 when it failed, with
 * errno set. */
static int socket_use(int directory, int (*use)(int, const struct sockaddr *, socklen_t))
{
    union {
        struct sockaddr any;
        struct sockaddr_un un;
    } address = {.un.sun_family = AF_UNIX};
    int length = snprintf(address.un.sun_path, sizeof address.un.sun_path,
                          "/proc/self/fd/%d/" SOCKET_NAME, directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (length < 0 || fd < 0) {
        return -1;
    }
    if (use(fd, &address.any, sizeof address.un) == 0) {
        return fd;
    }
    int code = errno;
    (void)close(fd); /* nothing was sent */
    errno = code;
    return -1;
}

static int socket_at(const char *state_dir, int (*use)(int, const struct sockaddr *, socklen_t))
{
    int directory = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return -1;
    }
    int fd = socket_use(directory, use);
    int code = errno;
    (void)close(directory); /* a path */
    errno = code;
    return fd;
}

void alv_control_socket_remove(const char *state_dir)
{
    int directory = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        (void)unlinkat(directory, SOCKET_NAME, 0); /* mostly not there; bind says what else */
        (void)close(directory);                    /* a path */
    }
}

alv_status alv_control_socket_listen(const char *state_dir, int *out_socket, alv_error *err)
{
    alv_control_socket_remove(state_dir);
    int fd = socket_at(state_dir, bind);
    if (fd < 0) {
        return socket_fail(err, "make", state_dir, errno);
    }
    if (listen(fd, SOCKET_BACKLOG) != 0) {
        int code = errno;
        (void)close(fd); /* nobody has connected */
        return socket_fail(err, "listen at", state_dir, code);
    }
    *out_socket = fd;
    return ALV_OK;
}

alv_status alv_control_socket_connect(const char *state_dir, int *out_socket, alv_error *err)
{
    int fd = socket_at(state_dir, connect);
    if (fd < 0) {
        return socket_fail(err, "ask the node at", state_dir, errno);
    }
    *out_socket = fd;
    return ALV_OK;
}
