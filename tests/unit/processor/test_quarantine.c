/* Goal:   an entity that keeps failing is set aside alone, exactly once, whatever dies in between: its commands are
 *         in the dead letters in their order and no handler sees them, its timers wait, all others go on; a
 *         release undoes that once.
 * Method: a behavior that fails when it is told to, over the simulated log and the memory store, with faults,
 *         crashes and lost stores; then a model and random commands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "changelog/log_scan.h"
#include "processor/quarantine.h"
#include "tests/support/sim_world.h"
#include "tests/support/user_model.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define DOOR "door/1"

/* ---- a behavior that fails ---------------------------------------------------------------------- */

/* {"id":N} is noted in the state; with "fatal" the handler gives up instead. */
static void door_knock(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)now_ms;
    json_t *knocks = json_array();
    json_array_extend(knocks, json_object_get(state, "knocks"));
    json_array_append(knocks, json_object_get(command->body, "id"));
    alv_set(effects, "knocks", knocks);
    alv_reply(effects, "{s:O}", "id", json_object_get(command->body, "id"));
    if (json_is_true(json_object_get(command->body, "fatal"))) {
        alv_reject(effects, "never told");
        alv_fatal(effects, "the hinge is broken");
    }
}

static void door_refuse(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_reject(effects, "closed");
}

/* {"at":MS,"command":{...}} */
static void door_wait(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_timer_set(effects, json_string_value(json_object_get(command->body, "name")),
                  json_integer_value(json_object_get(command->body, "at")),
                  json_incref(json_object_get(command->body, "command")));
}

/* Has another door knocked at. */
static void door_send(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_emit(effects, json_string_value(json_object_get(command->body, "to")),
             json_pack("{s:s, s:i}", "type", "knock", "id", 7), NULL, "heard");
}

static void door_heard(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_set(effects, "heard", json_incref(json_object_get(command->body, "accepted")));
}

static const alv_command_row door_rows[] = {
    {"knock", door_knock, {ALV_REQUIRED("id", ALV_FIELD_INTEGER)}},
    {"refuse", door_refuse, {{0}}},
    {"wait", door_wait, {{0}}},
    {"send", door_send, {{0}}},
    {"heard", door_heard, {{0}}},
};

static const alv_behavior door_behavior = {ALV_BEHAVIOR_HEAD, .type = "door", .commands = door_rows,
                                           .command_count = sizeof door_rows / sizeof door_rows[0]};

/* ---- the world ---------------------------------------------------------------------------------- */

static alv_sim_world world;

static void open_with(const char *const *assignments)
{
    alv_sim_world_init_with(&world, assignments, &door_behavior, NULL);
    alv_sim_world_activate(&world);
}

static int open_world(void **state)
{
    (void)state;
    open_with(NULL);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    return 0;
}

static int32_t shard_of(const char *key)
{
    return alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
}

static void knock(const char *key, int id, bool fatal)
{
    char command[64];
    (void)snprintf(command, sizeof command, "{\"type\":\"knock\",\"id\":%d,\"fatal\":%s}", id,
                   fatal ? "true" : "false");
    (void)alv_sim_world_send(&world, key, command);
}

static void release(const char *key)
{
    const alv_header headers[] = {
        {ALV_HEADER_RELEASE, ALV_VIEW("1")},
        {ALV_HEADER_REPLY_TO, ALV_VIEW(ALV_REPLY_TO_NODE "node-b")},
        {ALV_HEADER_CORRELATION_ID, ALV_VIEW("c-1")},
    };
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, shard_of(key), key, NULL, headers, 3);
}

static void settle(void)
{
    alv_sim_world_run(&world, 300);
}

/* Fails until it is enough. */
static void quarantine(const char *key)
{
    for (int i = 0; i < 3; i++) {
        knock(key, 900 + i, true);
    }
    settle();
}

/* Ids in the state of a door by the changelog, "1,2,3". */
static void knocks_of(const char *key, char *out, size_t size)
{
    const char *text = alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard_of(key), key, NULL);
    json_t *state = text == NULL ? NULL : json_loads(text, 0, NULL);
    size_t index = 0;
    json_t *id = NULL;
    out[0] = '\0';
    json_array_foreach(json_object_get(state, "knocks"), index, id)
    {
        size_t at = strlen(out);
        (void)snprintf(out + at, size - at, "%s%d", at > 0 ? "," : "", (int)json_integer_value(id));
    }
    json_decref(state);
}

static void assert_knocks(const char *key, const char *expected)
{
    char got[8192];
    knocks_of(key, got, sizeof got);
    assert_string_equal(got, expected);
}

typedef struct letters {
    const char *key;
    char text[65536]; /* "reason:id reason:id" */
    int answered;
    alv_log_port *log;
} letters;

static void take_letter(void *payload, const alv_record *record)
{
    letters *found = payload;
    if (!alv_view_equal(record->key, alv_view_of(found->key))) {
        return;
    }
    alv_header headers[ALV_HEADERS_MAX];
    size_t count = found->log->ops->headers(record, headers, ALV_HEADERS_MAX);
    alv_view reason = ALV_VIEW_NONE;
    for (size_t i = 0; i < count; i++) {
        reason = strcmp(headers[i].name, ALV_HEADER_REASON) == 0 ? headers[i].value : reason;
        found->answered += strcmp(headers[i].name, ALV_HEADER_ANSWERED) == 0;
    }
    json_t *body = json_loadb(record->value.data, record->value.size, 0, NULL);
    size_t at = strlen(found->text);
    (void)snprintf(found->text + at, sizeof found->text - at, "%s%.*s:%d", at > 0 ? " " : "",
                   (int)reason.size, reason.data,
                   (int)json_integer_value(json_object_get(body, "id")));
    json_decref(body);
}

static void letters_of(const char *key, letters *out)
{
    alv_reader *reader = NULL;
    *out = (letters){.key = key, .log = alv_sim_log_port(world.log)};
    assert_int_equal(out->log->ops->open_reader(out->log, "test", &reader, NULL), ALV_OK);
    const alv_log_range all = {ALV_TOPIC_DEAD_LETTERS, shard_of(key), 0,
                               alv_sim_log_end(world.log, ALV_TOPIC_DEAD_LETTERS, shard_of(key))};
    assert_int_equal(alv_log_scan(reader, &all, alv_clock_system(), take_letter, out, NULL),
                     ALV_OK);
    reader->ops->close(reader);
}

static void assert_letters(const char *key, const char *expected)
{
    letters found;
    letters_of(key, &found);
    assert_string_equal(found.text, expected);
}

/* The record in the ledger; NULL = none. The caller's. */
static json_t *record_of(const char *key)
{
    char *record_key = alv_format("%s%s", ALV_QUARANTINE_KEY, key);
    const char *text =
        alv_sim_log_last(world.log, ALV_TOPIC_LEDGER, shard_of(key), record_key, NULL);
    alv_free(record_key);
    return text == NULL ? NULL : json_loads(text, 0, NULL);
}

static bool is_held(const char *key)
{
    json_t *record = record_of(key);
    bool held = json_is_true(json_object_get(record, "quarantined"));
    json_decref(record);
    return held;
}

static void assert_shown(int64_t count)
{
    int64_t shown = 0;
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        shown += alv_directory_view(world.directory, shard).quarantined;
    }
    assert_int_equal(shown, count);
}

static void assert_last_reply(alv_result_kind kind, const char *text)
{
    assert_true(world.replies.count > 0);
    alv_result reply = alv_reply_box_get(&world.replies, world.replies.count - 1);
    assert_int_equal(reply.kind, kind);
    if (!alv_view_equal(reply.text, alv_view_of(text))) {
        fail_msg("%.*s instead of %s", (int)reply.text.size, reply.text.data, text);
    }
}

/* ---- when it begins ------------------------------------------------------------------------------ */

static void quarantine__begins_after_failures_in_a_row(void **state)
{
    (void)state;
    knock(DOOR, 1, true);
    knock(DOOR, 2, true);
    knock(DOOR, 3, false); /* forgets the two */
    knock(DOOR, 4, true);
    knock(DOOR, 5, true);
    (void)alv_sim_world_send(&world, DOOR, "{\"type\":\"fly\"}"); /* nobody's failure */
    settle();
    assert_false(is_held(DOOR));
    knock(DOOR, 6, true);
    knock(DOOR, 7, false);
    knock("door/2", 8, false);
    settle();
    assert_true(is_held(DOOR));
    assert_knocks(DOOR, "3");
    assert_knocks("door/2", "8");
    assert_letters(DOOR, "failed:1 failed:2 failed:4 failed:5 unknown-type:0 failed:6 "
                         "quarantined:7");
    assert_shown(1);
    assert_int_equal(alv_counter_get(&world.meter->quarantined), 1);
    json_t *record = record_of(DOOR);
    assert_int_equal(json_integer_value(json_object_get(record, "failures")), 3);
    assert_int_equal(json_integer_value(json_object_get(record, "waiting")), 1);
    assert_int_equal(json_integer_value(json_object_get(record, "offset")), 3);
    assert_string_equal(json_string_value(json_object_get(record, "reason")), "failed");
    assert_string_equal(json_string_value(json_object_get(record, "detail")),
                        "the hinge is broken");
    json_decref(record);
}

static void quarantine__needs_no_success_but_an_execution_to_forget(void **state)
{
    (void)state;
    knock(DOOR, 1, true);
    knock(DOOR, 2, true);
    (void)alv_sim_world_send(&world, DOOR, "{\"type\":\"refuse\"}"); /* it can be worked with */
    knock(DOOR, 3, true);
    knock(DOOR, 4, true);
    settle();
    assert_false(is_held(DOOR));
    (void)alv_sim_world_send(&world, DOOR, "{\"type\":\"refuse\"}");
    settle();
    json_t *record = record_of(DOOR);
    assert_null(record);
}

static void quarantine__is_off_with_0(void **state)
{
    (void)state;
    static const char *const off[] = {"quarantine.after.failures=0", NULL};
    alv_sim_world_done(&world);
    open_with(off);
    for (int i = 1; i <= 5; i++) {
        knock(DOOR, i, true);
    }
    knock(DOOR, 6, false);
    settle();
    assert_knocks(DOOR, "6");
    assert_null(record_of(DOOR));
}

/* Each failure counts once, however often its transaction runs. */
static void quarantine__counts_what_is_committed(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_ANSWER,
                                           ALV_SIM_COMMIT_LOST_REQUEST, ALV_SIM_PRODUCE_ABORT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "door/%zu", 10 + i);
        knock(key, 1, true);
        settle();
        alv_sim_log_fail_next(world.log, faults[i]);
        knock(key, 2, true);
        alv_sim_world_run(&world, 1000);
        assert_false(is_held(key));
        alv_sim_log_fail_next(world.log, faults[i]);
        knock(key, 3, true);
        knock(key, 4, false);
        alv_sim_world_run(&world, 1000);
        assert_true(is_held(key));
        assert_letters(key, "failed:1 failed:2 failed:3 quarantined:4");
        assert_knocks(key, "");
    }
}

/* Somebody wrote into the changelog what is no state. */
static void quarantine__begins_at_once_with_a_broken_state(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    alv_sim_world_init_with(&world, NULL, &door_behavior, NULL);
    (void)alv_sim_log_append(world.log, ALV_TOPIC_CHANGELOG, shard_of(DOOR), DOOR, "{\"kno", NULL,
                             0);
    alv_sim_world_activate(&world);
    knock(DOOR, 1, false);
    knock(DOOR, 2, false);
    release(DOOR);
    knock(DOOR, 3, false);
    settle();
    assert_true(is_held(DOOR)); /* again */
    assert_letters(DOOR, "state-unreadable:1 quarantined:2 state-unreadable:3");
    assert_int_equal(alv_counter_get(&world.meter->quarantined), 2);
    assert_int_equal(alv_counter_get(&world.meter->released), 1);
}

/* ---- while it lasts ------------------------------------------------------------------------------ */

static void quarantine__follows_its_shard(void **state)
{
    (void)state;
    quarantine(DOOR);
    for (size_t applies = 0; applies < 100; applies += 33) { /* the last: nothing is left */
        alv_sim_world_crash(&world, applies);
        alv_sim_world_activate(&world);
        assert_shown(1);
        knock(DOOR, (int)applies, false);
        settle();
    }
    assert_knocks(DOOR, "");
    assert_letters(DOOR, "failed:900 failed:901 failed:902 quarantined:0 quarantined:33 "
                         "quarantined:66 quarantined:99");
    json_t *record = record_of(DOOR);
    assert_int_equal(json_integer_value(json_object_get(record, "waiting")), 4);
    json_decref(record);
}

static void quarantine__tells_who_waits_for_a_reply(void **state)
{
    (void)state;
    quarantine(DOOR);
    (void)alv_sim_world_send_waiting(&world, DOOR, "{\"type\":\"knock\",\"id\":1}", "c-1");
    settle();
    assert_last_reply(ALV_RESULT_DEAD,
                      "the entity is quarantined after 3 failures; the last: failed: the hinge is "
                      "broken");
    assert_int_equal(alv_reply_box_get(&world.replies, 0).reason, ALV_REASON_QUARANTINED);
}

/* Whoever emitted a command hears of it when it is executed, and not that it failed: it only waits. */
static void quarantine__lets_emitted_commands_wait(void **state)
{
    (void)state;
    quarantine(DOOR);
    (void)alv_sim_world_send(&world, "door/2", "{\"type\":\"send\",\"to\":\"" DOOR "\"}");
    settle();
    letters found;
    letters_of(DOOR, &found);
    assert_string_equal(found.text, "failed:900 failed:901 failed:902 quarantined:7");
    assert_int_equal(found.answered, 0);
    assert_null(
        alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard_of("door/2"), "door/2", NULL));
    release(DOOR);
    const alv_header headers[] = {{ALV_HEADER_FROM, ALV_VIEW("door/2")},
                                  {ALV_HEADER_ON_REPLY, ALV_VIEW("heard")}};
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, shard_of(DOOR), DOOR,
                             "{\"type\":\"knock\",\"id\":7}", headers, 2);
    settle();
    assert_knocks(DOOR, "7");
    assert_string_equal(
        alv_sim_log_last(world.log, ALV_TOPIC_CHANGELOG, shard_of("door/2"), "door/2", NULL),
        "{\"heard\":true}");
}

static void set_timer(const char *name, int64_t in_ms, int id, bool fatal)
{
    char *command =
        alv_format("{\"type\":\"wait\",\"name\":\"%s\",\"at\":%" PRId64
                   ",\"command\":{\"type\":\"knock\",\"id\":%d,\"fatal\":%s}}",
                   name, alv_now_ms(&world.clock.clock) + in_ms, id, fatal ? "true" : "false");
    (void)alv_sim_world_send(&world, DOOR, command);
    alv_free(command);
}

static void quarantine__lets_timers_wait(void **state)
{
    (void)state;
    set_timer("a", 10000, 1, false);
    set_timer("b", 20000, 2, false);
    settle();
    quarantine(DOOR);
    alv_sim_world_pass(&world, 15000);
    settle();
    alv_sim_world_crash(&world, 0);
    alv_sim_world_activate(&world);
    alv_sim_world_pass(&world, 15000);
    settle();
    assert_knocks(DOOR, "");
    release(DOOR);
    settle();
    assert_knocks(DOOR, "1,2");
    assert_letters(DOOR, "failed:900 failed:901 failed:902");
    alv_sim_world_pass(&world, 60000);
    settle();
    assert_knocks(DOOR, "1,2");
}

/* Those that fail themselves are in the dead letters; the first after the last failure waits. */
static void quarantine__begins_with_timers_too(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        char name[] = {(char)('a' + i), '\0'};
        set_timer(name, 10000 + i, i, true);
    }
    set_timer("z", 10010, 9, false);
    settle();
    alv_sim_world_pass(&world, 20000);
    settle();
    assert_letters(DOOR, "failed:0 failed:1 failed:2");
    assert_true(is_held(DOOR));
    release(DOOR);
    settle();
    assert_letters(DOOR, "failed:0 failed:1 failed:2 failed:3");
    assert_knocks(DOOR, "9");
}

/* ---- release ------------------------------------------------------------------------------------- */

static void release__lets_commands_be_executed(void **state)
{
    (void)state;
    quarantine(DOOR);
    knock(DOOR, 1, false);
    release(DOOR);
    knock(DOOR, 2, false);
    settle();
    assert_last_reply(ALV_RESULT_DONE, "{\"released\":true,\"waiting\":1}");
    assert_int_equal(world.replies_early, 0);
    assert_knocks(DOOR, "2");
    assert_null(record_of(DOOR));
    assert_shown(0);
    release(DOOR); /* once more */
    release("door/2");
    settle();
    assert_last_reply(ALV_RESULT_DONE, "{\"released\":false,\"waiting\":0}");
    assert_int_equal(alv_counter_get(&world.meter->released), 1);
    knock(DOOR, 3, true); /* counts from 0 */
    knock(DOOR, 4, true);
    settle();
    assert_false(is_held(DOOR));
}

static void release__happens_once_through_faults(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_ANSWER,
                                           ALV_SIM_COMMIT_LOST_REQUEST, ALV_SIM_PRODUCE_ABORT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "door/%zu", 10 + i);
        quarantine(key);
        alv_sim_log_fail_next(world.log, faults[i]);
        release(key);
        knock(key, 1, false);
        alv_sim_world_run(&world, 1000);
        assert_false(is_held(key));
        assert_knocks(key, "1");
        assert_shown(0);
    }
}

/* The release read the entity, and left it in the cache, before its transaction was undone. */
static void release__that_was_undone_lets_nothing_through(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_REQUEST};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "door/%zu", 20 + i);
        quarantine(key);
        alv_sim_world_crash(&world, 0);
        alv_sim_world_activate(&world);
        alv_sim_log_fail_next(world.log, faults[i]);
        knock(key, 1, false);
        release(key);
        knock(key, 2, false);
        alv_sim_world_run(&world, 1000);
        assert_letters(key, "failed:900 failed:901 failed:902 quarantined:1");
        assert_knocks(key, "2");
    }
}

static void release__of_a_bad_key_is_a_dead_letter(void **state)
{
    (void)state;
    release("window/1");
    settle();
    assert_int_equal(alv_reply_box_get(&world.replies, 0).reason, ALV_REASON_UNKNOWN_ENTITY_TYPE);
}

/* ---- the list ------------------------------------------------------------------------------------ */

static void list__is_bounded_and_can_be_undone(void **state)
{
    (void)state;
    alv_quarantine list = {.rows = NULL};
    char key[32];
    for (int i = 0; i < ALV_QUARANTINE_ROWS_MAX; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        alv_quarantine_entry *entry = alv_quarantine_change(&list, alv_view_of(key));
        assert_non_null(entry);
        entry->since_ms = i == 77 ? 0 : 1; /* one of them only counts failures */
    }
    alv_quarantine_commit(&list);
    assert_int_equal(list.held, ALV_QUARANTINE_ROWS_MAX - 1);
    assert_non_null(alv_quarantine_change(&list, ALV_VIEW("new"))); /* takes its place */
    alv_quarantine_rewind(&list);
    assert_null(alv_quarantine_find(&list, ALV_VIEW("new")));
    assert_non_null(alv_quarantine_find(&list, ALV_VIEW("k77")));
    alv_quarantine_change(&list, ALV_VIEW("new"))->since_ms = 1;
    alv_quarantine_commit(&list);
    assert_null(alv_quarantine_find(&list, ALV_VIEW("k77")));
    assert_null(alv_quarantine_change(&list, ALV_VIEW("one too many")));
    assert_int_equal(list.count, ALV_QUARANTINE_ROWS_MAX);
    alv_quarantine_remove(&list, ALV_VIEW("k5"));
    assert_null(alv_quarantine_find(&list, ALV_VIEW("k5")));
    alv_quarantine_rewind(&list);
    assert_non_null(alv_quarantine_find(&list, ALV_VIEW("k5")));
    alv_quarantine_done(&list);
}

/* ---- a model ------------------------------------------------------------------------------------- */

#define MODEL_DOORS 3

typedef struct door_model {
    int failures;
    bool held;
    char knocks[8192];
    char letters[65536];
} door_model;

static void model_add(char *list, size_t size, const char *separator, const char *reason, int id)
{
    size_t at = strlen(list);
    (void)snprintf(list + at, size - at, "%s%s%d", at > 0 ? separator : "", reason, id);
}

static void model_knock(door_model *model, int id, bool fatal)
{
    if (model->held) {
        model_add(model->letters, sizeof model->letters, " ", "quarantined:", id);
    } else if (fatal) {
        model_add(model->letters, sizeof model->letters, " ", "failed:", id);
        model->held = ++model->failures == 3;
    } else {
        model_add(model->knocks, sizeof model->knocks, ",", "", id);
        model->failures = 0;
    }
}

static void model_step(door_model *models, uint64_t *random, int id)
{
    int door = (int)(alv_user_model_random(random) % MODEL_DOORS);
    char key[16];
    (void)snprintf(key, sizeof key, "door/%d", door);
    if (alv_user_model_random(random) % 12 == 0) {
        release(key);
        models[door].failures = models[door].held ? 0 : models[door].failures;
        models[door].held = false;
        return;
    }
    bool fatal = alv_user_model_random(random) % 2 == 0;
    knock(key, id, fatal);
    model_knock(&models[door], id, fatal);
}

static void quarantine__agrees_with_a_model(void **state)
{
    (void)state;
    uint64_t random = 20261126;
    door_model *models = alv_alloc_array(MODEL_DOORS, sizeof *models);
    for (int step = 0; step < 800; step++) {
        model_step(models, &random, step);
        uint64_t fault = alv_user_model_random(&random) % 24;
        if (fault == 0) {
            alv_sim_world_crash(&world, (size_t)(alv_user_model_random(&random) % 20));
            alv_sim_world_activate(&world);
        } else if (fault < 5) {
            alv_sim_log_fail_next(world.log, (alv_sim_fault)((int)fault + ALV_SIM_NONE));
        }
        alv_sim_world_run(&world, (int)(alv_user_model_random(&random) % 30));
    }
    alv_sim_world_run(&world, 2000);
    for (int door = 0; door < MODEL_DOORS; door++) {
        char key[16];
        (void)snprintf(key, sizeof key, "door/%d", door);
        assert_knocks(key, models[door].knocks);
        assert_letters(key, models[door].letters);
        assert_int_equal(is_held(key), models[door].held);
    }
    alv_free(models);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(quarantine__begins_after_failures_in_a_row),
        WITH_WORLD(quarantine__needs_no_success_but_an_execution_to_forget),
        WITH_WORLD(quarantine__is_off_with_0),
        WITH_WORLD(quarantine__counts_what_is_committed),
        WITH_WORLD(quarantine__begins_at_once_with_a_broken_state),
        WITH_WORLD(quarantine__follows_its_shard),
        WITH_WORLD(quarantine__tells_who_waits_for_a_reply),
        WITH_WORLD(quarantine__lets_emitted_commands_wait),
        WITH_WORLD(quarantine__lets_timers_wait),
        WITH_WORLD(quarantine__begins_with_timers_too),
        WITH_WORLD(release__lets_commands_be_executed),
        WITH_WORLD(release__happens_once_through_faults),
        WITH_WORLD(release__that_was_undone_lets_nothing_through),
        WITH_WORLD(release__of_a_bad_key_is_a_dead_letter),
        cmocka_unit_test(list__is_bounded_and_can_be_undone),
        WITH_WORLD(quarantine__agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
