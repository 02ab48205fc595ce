/* Goal:   whatever stands in changelog and ledger, a restore comes to an end: the shard is active and executes
 *         commands, or it is stopped because of its position record, and the other shard goes on (I8).
 * Method: each line of the input is a record: "c" (changelog), "l" (ledger), "p" (the ledger's position record)
 *         or "s" (its pause), the key, a tab, the value. A lane over the simulated log restores the shard, and executes
 *         commands for each key that stands there.
 */
#include "base/assert.h"
#include "tests/support/fuzz_target.h"
#include "tests/support/sim_world.h"
#include "topics/schema.h"

#define TURNS_MAX 60
#define RECORDS_MAX 40

/* "-" as value is a tombstone. */
static void fuzz_append(alv_sim_world *world, alv_view line)
{
    unsigned kind = alv_fuzz_byte(&line);
    alv_view key = alv_fuzz_field(&line, '\t');
    alv_view value = alv_view_equal(line, ALV_VIEW("-")) ? ALV_VIEW_NONE : line;
    if (kind == 'p') {
        key = ALV_VIEW(ALV_POSITION_KEY);
    } else if (kind == 's') {
        key = ALV_VIEW(ALV_PAUSED_KEY);
    }
    alv_topic topic = kind == 'c' ? ALV_TOPIC_CHANGELOG : ALV_TOPIC_LEDGER;
    (void)alv_sim_log_append_bytes(world->log, topic, 0, key, value, NULL, 0);
    if (kind == 'c' || kind == 'l') {
        (void)alv_sim_log_append_bytes(world->log, ALV_TOPIC_COMMANDS, 0, key,
                                       ALV_VIEW("{\"type\":\"add_balance\",\"amount\":1}"),
                                       &(alv_header){ALV_HEADER_IDEMPOTENCY_KEY, ALV_VIEW("k1")},
                                       1);
    }
}

static bool fuzz_is_settled(alv_sim_world *world)
{
    alv_shard_state state = alv_directory_view(world->directory, 0).state;
    alv_shard_state other = alv_directory_view(world->directory, 1).state;
    return (state == ALV_SHARD_ACTIVE || state == ALV_SHARD_STOPPED) && other == ALV_SHARD_ACTIVE;
}

static void fuzz_activate(alv_sim_world *world)
{
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        alv_sim_log_assign(world->log, 0, shard);
    }
    for (int turn = 0; turn < TURNS_MAX && !fuzz_is_settled(world); turn++) {
        alv_sim_world_run(world, 1);
    }
    ALV_ASSERT(fuzz_is_settled(world));
    alv_sim_world_run(world, 10);
    ALV_ASSERT(fuzz_is_settled(world));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_sim_world world;
    alv_view input = alv_fuzz_view(data, size);
    alv_sim_world_init(&world, NULL);
    for (int i = 0; i < RECORDS_MAX && input.size > 0; i++) {
        fuzz_append(&world, alv_fuzz_line(&input));
    }
    fuzz_activate(&world);
    const char *other = alv_sim_world_user(1);
    (void)alv_sim_world_send(&world, other, "{\"type\":\"add_balance\",\"amount\":5}");
    alv_sim_world_run(&world, 10);
    ALV_ASSERT(alv_sim_world_stored_balance(&world, other) == 5);
    alv_sim_world_crash(&world, SIZE_MAX);
    fuzz_activate(&world);
    alv_sim_world_done(&world);
    return 0;
}
