/* control_socket.h — the place of the socket of control.h, for both of its ends.
 *
 * Why:    the name of a socket has at most 107 bytes, a state.dir may be longer; both ends reach it through
 *         a descriptor of the directory instead.
 * Thread: any.
 * Owns:   descriptors belong to the caller.
 * Fails:  ALV_RETRY with the system's reason.
 */
#ifndef ALV_API_CONTROL_SOCKET_H
#define ALV_API_CONTROL_SOCKET_H

#include "base/status.h"

/* Listens at <state_dir>/control in the place of whoever did before. */
alv_status alv_control_socket_listen(const char *state_dir, int *out_socket, alv_error *err);

alv_status alv_control_socket_connect(const char *state_dir, int *out_socket, alv_error *err);

/* Takes the name away. */
void alv_control_socket_remove(const char *state_dir);

#endif
