/* cli_rebuild_print.c — what `alluvium rebuild` will do, or has done. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/assert.h"
#include "cli/cli_rebuild_internal.h"

static void print_offset(int64_t offset)
{
    if (offset == ALV_OFFSET_NONE) {
        printf("  %10s", "-");
    } else {
        printf("  %10" PRId64, offset);
    }
}

static void print_table(const rebuild_plan *plan)
{
    printf("%5s  %10s  %10s  %10s  %10s  %10s  %10s\n", "SHARD", "COMMANDS", "TO", "CONSUMED",
           "LEDGER", "GOES-ON-AT", "ROWS");
    for (int32_t i = 0; i < plan->shard_count; i++) {
        const rebuild_shard *shard = &plan->shards[i];
        printf("%5" PRId32, i);
        print_offset(shard->commands_start);
        print_offset(shard->commands_end);
        print_offset(shard->committed);
        print_offset(shard->ledger_command);
        print_offset(shard->next_command);
        print_offset(shard->rows.rows);
        putchar('\n');
    }
}

static void print_steps_postgres(const rebuild_plan *plan)
{
    int64_t lost = alv_cli_rebuild_rows_without_state(plan);
    printf("- %" PRId64 " rows of PostgreSQL are written into the changelog, and get its offsets\n",
           alv_cli_rebuild_rows(plan) - lost);
    if (lost > 0) {
        printf("- %" PRId64 " rows without a state are deleted: these entities are lost\n", lost);
    }
    puts("- what was changed after the last checkpoint is lost; no command runs twice");
    printf("- nodes go on with %" PRId64 " commands that are in the topic\n",
           alv_cli_rebuild_replays(plan));
}

static void print_steps_commands(const rebuild_plan *plan)
{
    puts("- the group's committed offsets are forgotten");
    if (plan->durable != NULL) {
        printf("- %" PRId64 " rows of PostgreSQL are deleted; nodes write them anew\n",
               alv_cli_rebuild_rows(plan));
    }
    printf("- nodes run %" PRId64 " commands from the start of the topic; replies, events and dead "
           "letters are written again\n",
           alv_cli_rebuild_replays(plan));
}

void alv_cli_rebuild_print(const rebuild_plan *plan)
{
    print_table(plan);
    if (plan->state_is_there) {
        printf("- state.dir %s must be moved away first, here and on every other node\n",
               plan->settings->state_dir);
    }
    if (alv_cli_rebuild_records(plan) > 0 && plan->options->wipe) {
        printf("- what changelog and ledger hold is deleted, at most %" PRId64 " records\n",
               alv_cli_rebuild_records(plan));
    }
    if (plan->options->from == REBUILD_FROM_POSTGRES) {
        print_steps_postgres(plan);
    } else {
        print_steps_commands(plan);
    }
}

static json_t *offset_to_json(int64_t offset)
{
    return offset == ALV_OFFSET_NONE ? json_null() : json_integer(offset);
}

static json_t *shards_to_json(const rebuild_plan *plan)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < plan->shard_count; i++) {
        const rebuild_shard *shard = &plan->shards[i];
        json_t *object = json_pack(
            "{s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:I}", "shard", (json_int_t)i, "commandsStart",
            (json_int_t)shard->commands_start, "commandsEnd", (json_int_t)shard->commands_end,
            "committed", offset_to_json(shard->committed), "ledger",
            offset_to_json(shard->ledger_command), "next", offset_to_json(shard->next_command),
            "rows", (json_int_t)shard->rows.rows, "rowsWithoutState",
            (json_int_t)shard->rows.rows_without_state);
        ALV_ASSERT(object != NULL);
        json_array_append_new(list, object);
    }
    return list;
}

void alv_cli_rebuild_print_json(const rebuild_plan *plan, bool done)
{
    bool from_rows = plan->options->from == REBUILD_FROM_POSTGRES;
    json_t *answer =
        json_pack("{s:s, s:b, s:o, s:I, s:I, s:I}", "from", from_rows ? "postgres" : "commands",
                  "done", (int)done, "shards", shards_to_json(plan), "rows",
                  (json_int_t)alv_cli_rebuild_rows(plan), "rowsWritten", (json_int_t)plan->written,
                  "commandsToRun", (json_int_t)alv_cli_rebuild_replays(plan));
    ALV_ASSERT(answer != NULL);
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(answer);
}
