/* control_client.h — the asking end of control.h, for the command line.
 *
 * Thread: one; blocks.
 * Owns:   the client, and with it the node's checkpoint, until close.
 * Fails:  ALV_RETRY: nobody answers there, or the node cannot now; `err` says why.
 */
#ifndef ALV_API_CONTROL_CLIENT_H
#define ALV_API_CONTROL_CLIENT_H

#include "base/status.h"

typedef struct alv_control_client alv_control_client;

/* A node flushes what it has in memory first: up to half of state.memory.bytes. */
#define ALV_CONTROL_ANSWER_MS 300000

/* Asks the node that has `state_dir` for a checkpoint of its state. */
alv_status alv_control_client_open(const char *state_dir, alv_control_client **out, alv_error *err);

/* Its path, and the node.id of the node that made it. Borrowed until close. */
const char *alv_control_client_checkpoint(const alv_control_client *client);
const char *alv_control_client_node(const alv_control_client *client);

/* Whether the checkpoint is still there: the node has not stopped meanwhile. */
bool alv_control_client_holds(const alv_control_client *client);

/* The node removes the checkpoint. NULL is fine. */
void alv_control_client_close(alv_control_client *client);

#endif
