#include "cli/cli_state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "api/control.h"
#include "base/alloc.h"
#include "statestore/store_checkpoint.h"

/* Whether a process holds state.dir; *out_exists is false when there is none. */
static bool state_is_in_use(const char *state_dir, bool *out_exists)
{
    char *path = alv_format("%s/lock", state_dir);
    int lock = open(path, O_RDONLY | O_CLOEXEC);
    alv_free(path);
    *out_exists = lock >= 0;
    if (lock < 0) {
        return false;
    }
    bool in_use = flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(lock); /* gives the lock back: opening the store takes it for good */
    return in_use;
}

/* In use by something that does not answer: not a node, one that starts or stops, or another user's. */
static alv_status state_ask_node(alv_cli_state *state, const alv_settings *settings, alv_error *err)
{
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_control_client_open(settings->state_dir, &state->client, &why);
    if (status != ALV_OK) {
        return alv_fail_from(err, status, why.source, why.code,
                             "state.dir %s is in use, and its node gives no checkpoint: %.250s",
                             settings->state_dir, why.text);
    }
    state->source = ALV_CLI_STATE_FROM_NODE;
    state->checkpoint = alv_control_client_checkpoint(state->client);
    state->node_id = alv_control_client_node(state->client);
    return alv_store_checkpoint_open(state->checkpoint, &state->store, err);
}

static alv_status state_make_checkpoint(alv_cli_state *state, const alv_settings *settings,
                                        alv_error *err)
{
    state->own_checkpoint = alv_format("%s/" ALV_CONTROL_CHECKPOINT, settings->state_dir);
    alv_status status = alv_store_checkpoint_remove(state->own_checkpoint, err);
    if (status == ALV_OK) {
        status = alv_store_checkpoint_make(state->store, state->own_checkpoint, err);
    }
    state->checkpoint = status == ALV_OK ? state->own_checkpoint : NULL;
    return status;
}

static alv_status state_open_store(alv_cli_state *state, const alv_settings *settings,
                                   alv_error *err)
{
    alv_store_options options = {.directory = settings->state_dir,
                                 .application_id = settings->application_id,
                                 .memory_bytes = settings->state_memory_bytes};
    alv_status status = alv_store_rocksdb_open(&options, &state->store, err);
    if (status == ALV_OK) {
        state->source = ALV_CLI_STATE_OPENED;
        state->node_id = settings->node_id;
    }
    return status;
}

alv_status alv_cli_state_open(alv_cli_state *state, const alv_settings *settings,
                              bool as_checkpoint, alv_error *err)
{
    bool exists = false;
    *state = (alv_cli_state){.source = ALV_CLI_STATE_NONE};
    alv_status status = ALV_OK;
    if (state_is_in_use(settings->state_dir, &exists)) {
        status = state_ask_node(state, settings, err);
    } else if (exists) {
        status = state_open_store(state, settings, err);
        if (status == ALV_OK && as_checkpoint) {
            status = state_make_checkpoint(state, settings, err);
        }
    }
    if (status != ALV_OK) {
        alv_cli_state_close(state);
    }
    return status;
}

bool alv_cli_state_holds(const alv_cli_state *state)
{
    return state->client == NULL || alv_control_client_holds(state->client);
}

void alv_cli_state_close(alv_cli_state *state)
{
    if (state->store != NULL) {
        state->store->ops->close(state->store);
    }
    if (state->own_checkpoint != NULL) {
        (void)alv_store_checkpoint_remove(state->own_checkpoint,
                                          NULL); /* the next one tries again */
    }
    alv_control_client_close(state->client);
    alv_free(state->own_checkpoint);
    *state = (alv_cli_state){.source = ALV_CLI_STATE_NONE};
}
