/* cli_rebuild_plan.c — what there is, and whether a changelog can be made from it without harm. */
#include <inttypes.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "changelog/log_scan.h"
#include "cli/cli_rebuild_internal.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

/* Rows whose key is looked at to find out whether they belong to these topics. */
#define PLAN_SAMPLE_ROWS 100

static int64_t plan_max(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

/* ---- who runs -------------------------------------------------------------------------------- */

/* A node that was killed counts until its session ends: it may only be slow. */
static alv_status plan_refuse_members(const rebuild_plan *plan, alv_error *err)
{
    alv_group_view *view = NULL;
    alv_members members = {0};
    alv_status status = alv_group_view_open(plan->config, &view, err);
    if (status == ALV_OK) {
        status = alv_group_view_members(view, ALV_KAFKA_CALL_MS, &members, err);
    }
    if (status == ALV_OK && members.count > 0) {
        status =
            alv_fail(err, ALV_REJECT,
                     "node %s is still a member of group %s (%zu lanes in all): stop all nodes "
                     "first. One that was killed, or stopped with shutdown=stay, counts until "
                     "its session has ended, after kafka.session.timeout.ms",
                     members.items[0].node_id, plan->settings->application_id, members.count);
    }
    alv_members_done(&members);
    alv_group_view_close(view);
    return status;
}

/* Local state belongs to the changelog that is to be replaced. Once the new one is longer than the old one
 * was, nothing could tell any more that the two do not belong together. */
static alv_status plan_refuse_state(rebuild_plan *plan, alv_error *err)
{
    char *lock = alv_format("%s/lock", plan->settings->state_dir);
    plan->state_is_there = access(lock, F_OK) == 0;
    alv_free(lock);
    if (!plan->state_is_there || plan->options->dry_run) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT,
                    "state.dir %s belongs to the old changelog: move it away, here and on every "
                    "other node",
                    plan->settings->state_dir);
}

/* ---- what there is --------------------------------------------------------------------------- */

static alv_status plan_look_at_topics(rebuild_plan *plan, alv_error *err)
{
    alv_status status =
        alv_kafka_describe_topics(plan->config, ALV_ACCESS_REBUILD, plan->topics, err);
    if (status != ALV_OK) {
        return status;
    }
    const alv_topic_info *commands = &plan->topics[ALV_TOPIC_COMMANDS];
    if (!commands->exists) {
        return alv_fail(err, ALV_REJECT,
                        "there is no topic %s; if it is lost as well, make all topics anew with "
                        "`alluvium topics create`, with the number of shards they had",
                        commands->name);
    }
    plan->shard_count = commands->shards;
    plan->shards = alv_alloc_array((size_t)plan->shard_count, sizeof(*plan->shards));
    return ALV_OK;
}

static void plan_take_ledger(void *payload, const alv_record *record)
{
    rebuild_shard *shard = payload;
    int64_t commands = 0;
    int64_t at_ms = 0;
    if (alv_view_equal(record->key, ALV_VIEW(ALV_POSITION_KEY)) &&
        alv_schema_read_position(record->value, &commands, &at_ms, NULL) == ALV_OK) {
        shard->ledger_command = plan_max(shard->ledger_command, commands);
    }
}

/* A topic that is not there is empty. */
static alv_status plan_range(const rebuild_plan *plan, alv_topic topic, int32_t shard,
                             int64_t *out_start, int64_t *out_end, alv_error *err)
{
    *out_start = *out_end = 0;
    if (!plan->topics[topic].exists) {
        return ALV_OK;
    }
    if (plan->topics[topic].shards != plan->shard_count) {
        return alv_fail(err, ALV_REJECT,
                        "topic %s has %" PRId32 " partitions, the command topic %" PRId32
                        ": delete it, it is then made anew",
                        plan->topics[topic].name, plan->topics[topic].shards, plan->shard_count);
    }
    return plan->reader->ops->range(plan->reader, topic, shard, out_start, out_end, err);
}

static alv_status plan_look_at_shard(rebuild_plan *plan, int32_t number, alv_error *err)
{
    rebuild_shard *shard = &plan->shards[number];
    int64_t start = 0;
    int64_t end = 0;
    *shard = (rebuild_shard){.ledger_command = ALV_OFFSET_NONE, .next_command = ALV_OFFSET_NONE};
    shard->rows.shard = number;
    alv_status status = plan_range(plan, ALV_TOPIC_COMMANDS, number, &shard->commands_start,
                                   &shard->commands_end, err);
    if (status == ALV_OK) {
        status = plan_range(plan, ALV_TOPIC_CHANGELOG, number, &start, &end, err);
    }
    if (status == ALV_OK) {
        shard->changelog_records = end - start;
        shard->changelog_end = end;
        status = plan_range(plan, ALV_TOPIC_LEDGER, number, &start, &end, err);
    }
    if (status == ALV_OK) {
        shard->ledger_records = end - start;
        const alv_log_range all = {ALV_TOPIC_LEDGER, number, start, end};
        status = alv_log_scan(plan->reader, &all, alv_clock_system(), plan_take_ledger, shard, err);
    }
    return status;
}

static alv_status plan_look_at_offsets(rebuild_plan *plan, alv_error *err)
{
    alv_shard_offset *items = alv_alloc_array((size_t)plan->shard_count, sizeof(*items));
    for (int32_t i = 0; i < plan->shard_count; i++) {
        items[i] = (alv_shard_offset){.shard = i, .offset = ALV_OFFSET_NONE};
    }
    alv_status status = plan->reader->ops->committed(plan->reader, items, (size_t)plan->shard_count,
                                                     ALV_KAFKA_CALL_MS, err);
    for (int32_t i = 0; i < plan->shard_count; i++) {
        plan->shards[i].committed = items[i].offset;
    }
    alv_free(items);
    return status;
}

static alv_status plan_look_at_rows(rebuild_plan *plan, alv_error *err)
{
    alv_durable_shard *shards = NULL;
    size_t count = 0;
    if (plan->durable == NULL) {
        return ALV_OK;
    }
    alv_status status = alv_durable_rows_survey(plan->durable, &shards, &count, err);
    for (size_t i = 0; status == ALV_OK && i < count; i++) {
        if (shards[i].shard < 0 || shards[i].shard >= plan->shard_count) {
            status =
                alv_fail(err, ALV_REJECT,
                         "PostgreSQL has rows of shard %" PRId32 ", the command topic has %" PRId32
                         " partitions: it was made anew with fewer of them",
                         shards[i].shard, plan->shard_count);
        } else {
            plan->shards[shards[i].shard].rows = shards[i];
        }
    }
    alv_free(shards);
    return status;
}

static alv_status plan_look(rebuild_plan *plan, alv_error *err)
{
    alv_status status = plan_look_at_topics(plan, err);
    for (int32_t i = 0; status == ALV_OK && i < plan->shard_count; i++) {
        status = plan_look_at_shard(plan, i, err);
    }
    if (status == ALV_OK) {
        status = plan_look_at_offsets(plan, err);
    }
    return status == ALV_OK ? plan_look_at_rows(plan, err) : status;
}

/* ---- decisions ------------------------------------------------------------------------------- */

static alv_status plan_refuse_records(const rebuild_plan *plan, alv_error *err)
{
    bool ledger_too = plan->options->from == REBUILD_FROM_COMMANDS;
    int64_t changelog = 0;
    int64_t ledger = 0;
    for (int32_t i = 0; i < plan->shard_count; i++) {
        changelog += plan->shards[i].changelog_records;
        ledger += plan->shards[i].ledger_records;
    }
    if (plan->options->wipe || (changelog == 0 && (ledger == 0 || !ledger_too))) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT,
                    "%s is not empty (%" PRId64 " records): nothing is lost, or it was begun anew; "
                    "--wipe deletes it",
                    changelog > 0 ? "the changelog" : "the ledger",
                    changelog > 0 ? changelog : ledger);
}

static alv_status plan_place_end(const rebuild_plan *plan, int32_t number, alv_error *err)
{
    rebuild_shard *shard = &plan->shards[number];
    shard->next_command = shard->commands_end;
    if (shard->ledger_command > shard->commands_end && !plan->options->wipe) {
        return alv_fail(err, ALV_REJECT,
                        "the ledger of shard %" PRId32 " says that command %" PRId64
                        " is next, but the command topic ends at %" PRId64 ": it was made anew; "
                        "--wipe deletes the ledger as well",
                        number, shard->ledger_command, shard->commands_end);
    }
    return ALV_OK;
}

/* Everything below the larger of the two was consumed, its effects are in the rows or lost; to run it again
 * would count twice. */
static alv_status plan_place_committed(const rebuild_plan *plan, int32_t number, alv_error *err)
{
    rebuild_shard *shard = &plan->shards[number];
    shard->next_command = plan_max(shard->committed, shard->ledger_command);
    bool started = shard->rows.rows > 0 || shard->rows.position > 0;
    if (shard->next_command == ALV_OFFSET_NONE && started) {
        return alv_fail(
            err, ALV_REJECT,
            "nobody knows which commands of shard %" PRId32 " were consumed: neither the "
            "group's offsets nor the ledger have it; --commands-from end skips all that "
            "are in the topic",
            number);
    }
    if (shard->next_command > shard->commands_end) {
        return alv_fail(err, ALV_REJECT,
                        "command %" PRId64 " of shard %" PRId32 " is next, but the topic ends at "
                        "%" PRId64 ": it was made anew as well; --commands-from end --wipe goes on "
                        "with what is sent from now on",
                        shard->next_command, number, shard->commands_end);
    }
    return ALV_OK;
}

static void plan_count_record(void *payload, const alv_record *record)
{
    (void)record;
    ++*(int64_t *)payload;
}

/* A changelog that is still there and goes on behind the checkpoint has what PostgreSQL has not. They are
 * counted, because commit markers have offsets as well. (What an interrupted rebuild left does not go on: it
 * has no more records than there are rows, and a position is never smaller than that.) */
static alv_status plan_refuse_newer(const rebuild_plan *plan, int32_t number, alv_error *err)
{
    const rebuild_shard *shard = &plan->shards[number];
    int64_t newer = 0;
    if (plan->options->accept_loss) {
        return ALV_OK;
    }
    int64_t start = plan_max(shard->rows.position, shard->changelog_end - shard->changelog_records);
    const alv_log_range rest = {ALV_TOPIC_CHANGELOG, number, start, shard->changelog_end};
    alv_status status =
        alv_log_scan(plan->reader, &rest, alv_clock_system(), plan_count_record, &newer, err);
    if (status == ALV_OK && newer > 0) {
        status = alv_fail(err, ALV_REJECT,
                          "the changelog of shard %" PRId32 " is %" PRId64 " records ahead of "
                          "PostgreSQL: if it is good, let nodes run until PostgreSQL has caught up "
                          "(alluvium verify); --accept-loss gives these changes up",
                          number, newer);
    }
    return status;
}

typedef struct plan_sample {
    int32_t shard_count;
    int rows;
    bool misplaced;
} plan_sample;

static bool plan_look_at_row(void *payload, const alv_checkpoint_row *row)
{
    plan_sample *sample = payload;
    sample->misplaced = alv_partitioner_shard(row->key, sample->shard_count) != row->shard;
    return !sample->misplaced && ++sample->rows < PLAN_SAMPLE_ROWS;
}

/* With another number of partitions at least half of the keys would be elsewhere: some rows of each shard
 * are enough to notice. */
static alv_status plan_refuse_misplaced(const rebuild_plan *plan, int32_t shard, alv_error *err)
{
    plan_sample sample = {.shard_count = plan->shard_count};
    int64_t position = 0;
    alv_status status =
        alv_durable_rows_scan(plan->durable, shard, plan_look_at_row, &sample, &position, err);
    if (status == ALV_OK && sample.misplaced) {
        status =
            alv_fail(err, ALV_REJECT,
                     "rows of shard %" PRId32 " in PostgreSQL belong to another one of %" PRId32
                     ": the command topic had another number of partitions",
                     shard, plan->shard_count);
    }
    return status;
}

static alv_status plan_for_postgres(const rebuild_plan *plan, alv_error *err)
{
    alv_status status = ALV_OK;
    for (int32_t i = 0; status == ALV_OK && i < plan->shard_count; i++) {
        status = plan->options->commands_end ? plan_place_end(plan, i, err)
                                             : plan_place_committed(plan, i, err);
        if (status == ALV_OK) {
            status = plan_refuse_newer(plan, i, err);
        }
    }
    if (status == ALV_OK && alv_cli_rebuild_rows(plan) == 0) {
        status = alv_fail(err, ALV_REJECT, "PostgreSQL has no rows of application %s in schema %s",
                          plan->settings->application_id, plan->settings->postgres_schema);
    }
    if (status == ALV_OK && alv_cli_rebuild_rows_without_state(plan) > 0 &&
        !plan->options->accept_loss) {
        status =
            alv_fail(err, ALV_REJECT,
                     "%" PRId64 " rows have no state, for PostgreSQL did not take it (look for "
                     "state IS NULL): these entities are lost; --accept-loss goes on without "
                     "them",
                     alv_cli_rebuild_rows_without_state(plan));
    }
    for (int32_t i = 0; status == ALV_OK && i < plan->shard_count; i++) {
        if (plan->shards[i].rows.rows > 0) {
            status = plan_refuse_misplaced(plan, i, err);
        }
    }
    return status;
}

static alv_status plan_for_commands(const rebuild_plan *plan, alv_error *err)
{
    for (int32_t i = 0; i < plan->shard_count; i++) {
        rebuild_shard *shard = &plan->shards[i];
        shard->next_command = shard->commands_start;
        if (shard->commands_start > 0 && !plan->options->accept_gap) {
            return alv_fail(err, ALV_REJECT,
                            "the commands of shard %" PRId32 " begin at %" PRId64
                            ": those before are gone (retention), and with them what they did; "
                            "--accept-gap goes on without them, --from postgres may have more",
                            i, shard->commands_start);
        }
    }
    return ALV_OK;
}

alv_status alv_cli_rebuild_plan(rebuild_plan *plan, alv_error *err)
{
    alv_status status = plan_refuse_members(plan, err);
    if (status == ALV_OK) {
        status = plan_look(plan, err);
    }
    if (status == ALV_OK) {
        status = plan_refuse_records(plan, err);
    }
    if (status == ALV_OK) {
        status = plan->options->from == REBUILD_FROM_POSTGRES ? plan_for_postgres(plan, err)
                                                              : plan_for_commands(plan, err);
    }
    return status == ALV_OK ? plan_refuse_state(plan, err) : status;
}

/* ---- sums ------------------------------------------------------------------------------------ */

int64_t alv_cli_rebuild_rows(const rebuild_plan *plan)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < plan->shard_count; i++) {
        sum += plan->shards[i].rows.rows;
    }
    return sum;
}

int64_t alv_cli_rebuild_rows_without_state(const rebuild_plan *plan)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < plan->shard_count; i++) {
        sum += plan->shards[i].rows.rows_without_state;
    }
    return sum;
}

int64_t alv_cli_rebuild_replays(const rebuild_plan *plan)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < plan->shard_count; i++) {
        const rebuild_shard *shard = &plan->shards[i];
        int64_t next = plan_max(shard->next_command, shard->commands_start);
        sum += plan_max(shard->commands_end - next, 0);
    }
    return sum;
}

int64_t alv_cli_rebuild_records(const rebuild_plan *plan)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < plan->shard_count; i++) {
        sum += plan->shards[i].changelog_records + plan->shards[i].ledger_records;
    }
    return sum;
}
