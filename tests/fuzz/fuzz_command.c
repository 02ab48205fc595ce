/* Goal:   whatever bytes come as key and value of a command, they become a checked command or a reason that
 *         people can act upon, and the key decides the behavior as documented.
 * Method: the first line is the key, the rest the value. What is accepted is written and decoded once more,
 *         and must be the same.
 */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "behaviors/builtin.h"
#include "processor/command.h"
#include "tests/support/fuzz_target.h"
#include "topics/partitioner.h"

#define SHARDS 7

static const alv_registry *fuzz_registry(void)
{
    static alv_registry *registry;
    if (registry == NULL) {
        registry = alv_registry_new();
        ALV_ASSERT(alv_builtin_register(registry, NULL) == ALV_OK);
        ALV_ASSERT(alv_registry_set_default(registry, "user", NULL) == ALV_OK);
    }
    return registry;
}

static void fuzz_check_reason(alv_reason reason, const alv_error *why)
{
    ALV_ASSERT(reason > ALV_REASON_NONE && reason < ALV_REASON_COUNT);
    ALV_ASSERT(strlen(alv_reason_code(reason)) > 0 && strlen(alv_reason_action(reason)) > 0);
    alv_fuzz_check_refusal(why);
}

static void fuzz_key(alv_view key)
{
    alv_error why = ALV_ERROR_NONE;
    const alv_behavior *behavior = NULL;
    size_t id_at = 0;
    int32_t home = alv_partitioner_shard(key, SHARDS);
    ALV_ASSERT(home >= 0 && home < SHARDS);
    alv_reason reason =
        alv_command_check_key(fuzz_registry(), key, home, SHARDS, &behavior, &id_at, &why);
    if (reason != ALV_REASON_NONE) {
        fuzz_check_reason(reason, &why);
        ALV_ASSERT(reason != ALV_REASON_WRONG_SHARD);
        return;
    }
    ALV_ASSERT(key.size > 0 && key.size <= ALV_KEY_BYTES_MAX);
    ALV_ASSERT(alv_utf8_valid(key.data, key.size) && memchr(key.data, '\0', key.size) == NULL);
    ALV_ASSERT(behavior != NULL && id_at <= key.size);
    ALV_ASSERT(id_at == 0 || key.data[id_at - 1] == '/');
    reason = alv_command_check_key(fuzz_registry(), key, (home + 1) % SHARDS, SHARDS, &behavior,
                                   &id_at, &why);
    ALV_ASSERT(reason == ALV_REASON_WRONG_SHARD);
}

static void fuzz_again(const alv_behavior *behavior, const alv_decoded *first)
{
    alv_decoded again;
    char *text = json_dumps(first->body, JSON_COMPACT);
    ALV_ASSERT(text != NULL);
    alv_reason reason = alv_command_decode(behavior, alv_view_of(text), &again, NULL);
    ALV_ASSERT(reason == ALV_REASON_NONE);
    ALV_ASSERT(again.row == first->row && json_equal(again.body, first->body));
    alv_decoded_done(&again);
    free(text);
}

static void fuzz_value(const alv_behavior *behavior, alv_view value)
{
    alv_error why = ALV_ERROR_NONE;
    alv_decoded decoded;
    alv_reason reason = alv_command_decode(behavior, value, &decoded, &why);
    if (reason != ALV_REASON_NONE) {
        fuzz_check_reason(reason, &why);
        ALV_ASSERT(decoded.body == NULL && decoded.row == NULL);
        return;
    }
    const char *type = json_string_value(json_object_get(decoded.body, "type"));
    ALV_ASSERT(type != NULL && strcmp(type, decoded.row->name) == 0);
    fuzz_again(behavior, &decoded);
    alv_decoded_done(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_view value = alv_fuzz_view(data, size);
    fuzz_key(alv_fuzz_line(&value));
    const alv_behavior *behavior;
    for (size_t i = 0; (behavior = alv_registry_at(fuzz_registry(), i)) != NULL; i++) {
        fuzz_value(behavior, value);
    }
    return 0;
}
