#include "tests/sim/sim_cell.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim_tables.h"

static int64_t cell_integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *cell_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static int64_t cell_mix(int64_t chain, int64_t id)
{
    return (int64_t)(((uint64_t)chain * 1000003u + (uint64_t)id * 31u + 7u) %
                     (uint64_t)SIM_CELL_CHAIN_MAX);
}

static void cell_publish(const alv_command *command, int64_t id, int64_t n, int64_t chain,
                         int64_t now_ms, alv_effects *effects)
{
    json_t *event = json_pack("{s:I, s:I, s:I, s:I}", "id", (json_int_t)id, "n", (json_int_t)n,
                              "chain", (json_int_t)chain, "now", (json_int_t)now_ms);
    if (command->timer != NULL) {
        json_object_set_new(event, "timer", json_string(command->timer));
        json_object_set_new(event, "due", json_integer(command->due_ms));
    }
    alv_publish(effects, event);
}

/* What every execution does. */
static void cell_execute(const json_t *state, const alv_command *command, int64_t id,
                         int64_t now_ms, alv_effects *effects)
{
    int64_t n = cell_integer(state, "n") + 1;
    int64_t chain = cell_mix(cell_integer(state, "chain"), id);
    alv_set(effects, "n", json_integer(n));
    alv_set(effects, "chain", json_integer(chain));
    alv_reply(effects, "{s:I, s:I}", "n", (json_int_t)n, "chain", (json_int_t)chain);
    cell_publish(command, id, n, chain, now_ms, effects);
}

static void cell_add(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    cell_execute(state, command, cell_integer(command->body, "id"), now_ms, effects);
}

static void cell_refuse(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    cell_execute(state, command, cell_integer(command->body, "id"), now_ms, effects);
    alv_reject(effects, "refused");
}

static void cell_remove(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    alv_delete(effects);
    alv_reply(effects, "{s:I, s:I}", "n", (json_int_t)0, "chain", (json_int_t)0);
    cell_publish(command, cell_integer(command->body, "id"), 0, 0, now_ms, effects);
}

static void cell_set_timer(const alv_command *command, int64_t left, int64_t now_ms,
                           alv_effects *effects)
{
    int64_t delay_ms = cell_integer(command->body, "delay");
    const char *name = cell_text(command->body, "name");
    json_t *ring = json_pack("{s:s, s:I, s:s, s:I, s:I}", "type", "ring", "id",
                             (json_int_t)cell_integer(command->body, "id"), "name", name, "delay",
                             (json_int_t)delay_ms, "left", (json_int_t)left);
    alv_timer_set(effects, name, now_ms + delay_ms, ring);
}

static void cell_arm(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    cell_add(state, command, now_ms, effects);
    cell_set_timer(command, cell_integer(command->body, "left"), now_ms, effects);
}

static void cell_disarm(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    cell_add(state, command, now_ms, effects);
    alv_timer_cancel(effects, cell_text(command->body, "name"));
}

static void cell_ring(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    int64_t left = cell_integer(command->body, "left");
    cell_add(state, command, now_ms, effects);
    if (left > 0) {
        cell_set_timer(command, left - 1, now_ms, effects);
    }
}

static void cell_pass(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    int64_t id = cell_integer(command->body, "id");
    char key[32];
    (void)snprintf(key, sizeof key, "p%" PRId64, id);
    cell_add(state, command, now_ms, effects);
    json_t *passed = json_pack("{s:s, s:I}", "type", id % 7 == 0 ? "refuse" : "add", "id",
                               (json_int_t)(id + SIM_CELL_PASSED));
    alv_emit(effects, cell_text(command->body, "to"), passed, key, "ack");
}

static void cell_ack(const json_t *state, const alv_command *command, int64_t now_ms,
                     alv_effects *effects)
{
    const char *key = cell_text(command->body, "idempotencyKey");
    bool accepted = json_is_true(json_object_get(command->body, "accepted"));
    int64_t id = strtoll(key + 1, NULL, 10) * 2 + (accepted ? 1 : 0) + 2 * SIM_CELL_PASSED;
    cell_execute(state, command, id, now_ms, effects);
}

static void cell_look(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    const json_t *row = alv_table_get(effects, SIM_TABLE, cell_text(command->body, "row"));
    int64_t value = json_integer_value(json_object_get(row, "v"));
    cell_execute(state, command, cell_integer(command->body, "id") + SIM_CELL_LOOKED * value,
                 now_ms, effects);
}

static void cell_break(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    cell_add(state, command, now_ms, effects); /* nothing of it takes hold */
    alv_fatal(effects, "broken");
}

static struct {
    sim_cell_poison poison;
    void *payload;
} cell_run;

void sim_cell_set_poison(sim_cell_poison poison, void *payload)
{
    cell_run.poison = poison;
    cell_run.payload = payload;
}

/* What it leads to after that nobody sees. */
static void cell_poison(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    bool crashes = json_is_true(json_object_get(command->body, "crash"));
    cell_run.poison(cell_run.payload, cell_integer(command->body, "id"), crashes);
    cell_add(state, command, now_ms, effects);
}

static void cell_tick(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    cell_execute(state, command, cell_integer(command->body, "due") % SIM_CELL_TICKS, now_ms,
                 effects);
}

static const alv_command_row cell_commands[] = {
    {"tick", cell_tick, {ALV_REQUIRED("due", ALV_FIELD_INTEGER)}},
    {"add", cell_add, {ALV_REQUIRED("id", ALV_FIELD_INTEGER)}},
    {"look",
     cell_look,
     {ALV_REQUIRED("id", ALV_FIELD_INTEGER), ALV_REQUIRED("row", ALV_FIELD_TEXT)}},
    {"break", cell_break, {ALV_REQUIRED("id", ALV_FIELD_INTEGER)}},
    {"poison",
     cell_poison,
     {ALV_REQUIRED("id", ALV_FIELD_INTEGER), ALV_REQUIRED("crash", ALV_FIELD_BOOLEAN)}},
    {"refuse", cell_refuse, {ALV_REQUIRED("id", ALV_FIELD_INTEGER)}},
    {"remove", cell_remove, {ALV_REQUIRED("id", ALV_FIELD_INTEGER)}},
    {"arm",
     cell_arm,
     {ALV_REQUIRED("id", ALV_FIELD_INTEGER), ALV_REQUIRED("name", ALV_FIELD_TEXT),
      ALV_REQUIRED("delay", ALV_FIELD_INTEGER), ALV_REQUIRED("left", ALV_FIELD_INTEGER)}},
    {"disarm",
     cell_disarm,
     {ALV_REQUIRED("id", ALV_FIELD_INTEGER), ALV_REQUIRED("name", ALV_FIELD_TEXT)}},
    {"ring",
     cell_ring,
     {ALV_REQUIRED("id", ALV_FIELD_INTEGER), ALV_REQUIRED("name", ALV_FIELD_TEXT),
      ALV_REQUIRED("delay", ALV_FIELD_INTEGER), ALV_REQUIRED("left", ALV_FIELD_INTEGER)}},
    {"pass",
     cell_pass,
     {ALV_REQUIRED("id", ALV_FIELD_INTEGER), ALV_REQUIRED("to", ALV_FIELD_TEXT)}},
    {"ack",
     cell_ack,
     {ALV_REQUIRED("idempotencyKey", ALV_FIELD_TEXT), ALV_REQUIRED("accepted", ALV_FIELD_BOOLEAN)}},
};

static const alv_singleton cell_jobs[] = {{"4", "tick", SIM_JOB_EVERY_MS}};

const alv_behavior sim_cell_behavior = {
    ALV_BEHAVIOR_HEAD,         .type = "cell",
    .commands = cell_commands, .command_count = sizeof cell_commands / sizeof cell_commands[0],
    .singletons = cell_jobs,   .singleton_count = 1,
};

const alv_behavior sim_mist_behavior = {
    ALV_BEHAVIOR_HEAD,
    .type = "mist",
    .commands = cell_commands,
    .command_count = sizeof cell_commands / sizeof cell_commands[0],
    .expire_after_ms = SIM_MIST_EXPIRES_MS,
};
