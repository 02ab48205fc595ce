/* cli_state.h — the state in state.dir, for reading: opened when no node has it, else as a checkpoint of the node's.
 *
 * Why:    an operator should not have to stop a node to back it up or to compare its state.
 * Thread: main.
 * Owns:   the caller's struct. What is open keeps nodes from starting (CLI_STATE_OPENED), or keeps files
 *         that the node may have replaced (CLI_STATE_FROM_NODE): not for longer than needed.
 * Fails:  ALV_RETRY, ALV_REJECT, ALV_FATAL with a next step.
 */
#ifndef ALV_CLI_CLI_STATE_H
#define ALV_CLI_CLI_STATE_H

#include "api/control_client.h"
#include "base/config.h"
#include "statestore/store.h"

typedef enum alv_cli_state_source {
    ALV_CLI_STATE_NONE,      /* there is no state.dir */
    ALV_CLI_STATE_OPENED,    /* no node has it */
    ALV_CLI_STATE_FROM_NODE, /* of the running node */
} alv_cli_state_source;

typedef struct alv_cli_state {
    alv_cli_state_source source;
    alv_store *store;       /* read it only; NULL with ALV_CLI_STATE_NONE */
    const char *checkpoint; /* its path; NULL when none was asked for or made */
    const char *node_id;    /* whose state it is */
    alv_control_client *client;
    char *own_checkpoint; /* made here */
} alv_cli_state;

/* Opens what there is; a directory that is not there stays so. With `as_checkpoint`, `checkpoint` is set
 * whenever there is state at all. */
alv_status alv_cli_state_open(alv_cli_state *state, const alv_settings *settings,
                              bool as_checkpoint, alv_error *err);

/* Whether all that was read since open can be believed: the node has not stopped meanwhile. */
bool alv_cli_state_holds(const alv_cli_state *state);

void alv_cli_state_close(alv_cli_state *state);

#endif
