/* executor_version.c — states that an older (or newer) library has written.
 *
 * A state is migrated when its entity gets a command, and not when it is read, because it is the author's code that
 * runs then: the command is marked as being in hand (crash_mark.h) and becomes the dead letter if it fails. Nothing
 * walks over all entities, so loading a new library costs nothing, and going back is possible for entities that were
 * not changed meanwhile.
 */
#include <inttypes.h>

#include "processor/executor_internal.h"
#include "statestore/codec.h"

alv_reason alv_executor_read_version(execution *run, alv_error *err)
{
    alv_entity *entity = run->entity;
    uint32_t current = alv_registry_state_version(entity->behavior);
    const json_t *member = json_object_get(entity->state, ALV_CODEC_VERSION);
    json_int_t stored =
        member == NULL ? 1 : json_integer_value(member); /* 0 when it is no number */
    if (stored < 1 || stored > current) {
        (void)alv_fail(err, ALV_REJECT,
                       "the stored state is of version %" JSON_INTEGER_FORMAT
                       ", this behavior knows 1 to %" PRIu32,
                       stored, current);
        return ALV_REASON_STATE_VERSION;
    }
    if (member != NULL) {
        (void)json_object_del(entity->state, ALV_CODEC_VERSION);
    }
    entity->state_version = (uint32_t)stored;
    entity->is_outdated = stored < current;
    return ALV_REASON_NONE;
}

/* On a copy, so that a migration that gives up in the middle leaves nothing. */
alv_reason alv_executor_migrate(execution *run, alv_error *err)
{
    alv_entity *entity = run->entity;
    const alv_behavior *behavior = entity->behavior;
    json_t *state = json_deep_copy(entity->state);
    if (state == NULL || !behavior->migrate(entity->state_version, state)) {
        json_decref(state);
        (void)alv_fail(err, ALV_REJECT,
                       "the state cannot be brought from version %" PRIu32 " to %" PRIu32,
                       entity->state_version, behavior->state_version);
        return ALV_REASON_STATE_VERSION;
    }
    (void)json_object_del(state, ALV_CODEC_VERSION); /* ours to write */
    json_decref(entity->state);
    entity->state = state;
    entity->state_version = behavior->state_version;
    entity->is_outdated = false;
    return ALV_REASON_NONE;
}
