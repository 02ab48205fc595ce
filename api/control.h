/* control.h — the socket in state.dir by which commands of this machine ask the running node.
 *
 * Why:    `alluvium backup` and `verify` need the state that a node holds open. Whoever may enter state.dir
 *         may read that state anyway, so the file system decides who may ask: no port, no token, and it
 *         works without HTTP. The node writes nothing but a checkpoint in its own state.dir; copying it
 *         elsewhere is done by the command, with the rights of whoever runs it.
 * Thread: start, stop: main. The rest on a thread of its own, "control".
 * Owns:   the socket <state.dir>/control and the checkpoint <state.dir>/checkpoint.
 * Fails:  ALV_RETRY: no socket can be made there; the node works without it.
 * Limits: one command at a time, others are told so; ALV_CONTROL_LINE_BYTES per line;
 *         ALV_CONTROL_ASK_MS for the question.
 *
 *   command                           node
 *   checkpoint\n            ------->
 *                           <-------  {"node": "<node.id>"}\n: it is in state.dir
 *   reads <state.dir>/checkpoint
 *   closes the connection             removes it, also when the command was killed
 *
 * The answer may be {"error": "<why not>"} instead.
 */
#ifndef ALV_API_CONTROL_H
#define ALV_API_CONTROL_H

#include "statestore/store.h"

#define ALV_CONTROL_CHECKPOINT "checkpoint" /* its name within state.dir */
#define ALV_CONTROL_LINE_BYTES 2048
#define ALV_CONTROL_ASK_MS 5000

typedef struct alv_control alv_control;

typedef struct alv_control_options {
    const char *state_dir; /* locked by this process; borrowed, here and below */
    const char *node_id;
    alv_store *store;
} alv_control_options;

/* Removes what a predecessor left, and listens. */
alv_status alv_control_start(const alv_control_options *options, alv_control **out, alv_error *err);

/* Ends the connection there is and removes its checkpoint. The store must still be there. NULL is fine. */
void alv_control_stop(alv_control *control);

#endif
