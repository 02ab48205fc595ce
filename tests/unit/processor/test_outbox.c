/* Goal:   what a command sends to others is there once, with everything else it did, or not at all (I1):
 *         emitted commands, events, and the outcome that comes back to whoever emitted a command.
 * Method: a behavior that emits what it is told to, between two shards of the simulated log; the real
 *         lane, executor and transaction; one fault at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "changelog/log_scan.h"
#include "processor/effects.h"
#include "statestore/codec.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

/* ---- a behavior that emits -------------------------------------------------------------------- */

static const char *text_of(const alv_command *command, const char *field)
{
    return json_string_value(json_object_get(command->body, field));
}

static json_t *member(const alv_command *command, const char *field)
{
    return json_incref(json_object_get(command->body, field));
}

static void relay_send(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)now_ms;
    json_int_t sent = json_integer_value(json_object_get(state, "sent"));
    alv_set(effects, "sent", json_integer(sent + 1));
    alv_emit(effects, text_of(command, "to"), member(command, "command"), text_of(command, "key"),
             text_of(command, "onReply"));
    if (json_is_true(json_object_get(command->body, "reject"))) {
        alv_reject(effects, "told to");
    }
}

static void relay_told(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)now_ms;
    json_int_t told = json_integer_value(json_object_get(state, "told"));
    alv_set(effects, "told", json_integer(told + 1));
    alv_set(effects, "last", json_incref((json_t *)(uintptr_t)command->body));
    alv_set(effects, "by", json_string(command->from));
}

static void relay_publish(const json_t *state, const alv_command *command, int64_t now_ms,
                          alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    alv_publish(effects, json_pack("{s:s}", "event", "first"));
    alv_publish(effects, member(command, "event"));
}

static const alv_command_row relay_rows[] = {
    {"send", relay_send, {ALV_REQUIRED("to", ALV_FIELD_TEXT)}},
    {"told", relay_told, {ALV_REQUIRED("accepted", ALV_FIELD_BOOLEAN)}},
    {"publish", relay_publish, {ALV_REQUIRED("event", ALV_FIELD_OBJECT)}},
};

static const alv_behavior relay = {ALV_BEHAVIOR_HEAD, .type = "relay", .commands = relay_rows,
                                   .command_count = 3};

/* ---- the world -------------------------------------------------------------------------------- */

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"

/* Two relays and two users, one of each in each shard. */
static struct {
    char relays[ALV_SIM_SHARDS][32];
    char users[ALV_SIM_SHARDS][32];
} names;

static void name_in_shard(int32_t shard, const char *prefix, char out[32])
{
    for (int i = 0;; i++) {
        (void)snprintf(out, 32, "%s%d", prefix, i);
        if (alv_partitioner_shard(alv_view_of(out), ALV_SIM_SHARDS) == shard) {
            return;
        }
    }
}

static int group_setup(void **state)
{
    (void)state;
    for (int32_t shard = 0; shard < ALV_SIM_SHARDS; shard++) {
        name_in_shard(shard, "relay/", names.relays[shard]);
        name_in_shard(shard, "m:", names.users[shard]);
    }
    return 0;
}

static void open_world(alv_sim_world *world)
{
    alv_sim_world_init_with(world, NULL, &relay, NULL);
    alv_sim_world_activate(world);
}

static void send(alv_sim_world *world, const char *key, const char *command)
{
    (void)alv_sim_world_send(world, key, command);
}

static json_t *state_of(alv_sim_world *world, const char *key)
{
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    const char *text = alv_sim_log_last(world->log, ALV_TOPIC_CHANGELOG, shard, key, NULL);
    return text == NULL ? NULL : json_loads(text, 0, NULL);
}

static void assert_member(alv_sim_world *world, const char *key, const char *field,
                          const char *expected)
{
    json_t *state = state_of(world, key);
    char *text = json_dumps(json_object_get(state, field), JSON_ENCODE_ANY | JSON_COMPACT);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    json_decref(state);
}

/* ---- emitted commands ------------------------------------------------------------------------- */

static void emit_add(alv_sim_world *world, const char *extra)
{
    char command[256];
    (void)snprintf(command, sizeof command, "{\"type\":\"send\",\"to\":\"%s\",\"command\":%s%s}",
                   names.users[1], ADD, extra);
    send(world, names.relays[0], command);
}

static void outbox__sends_a_command_to_another_shard(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    for (int i = 0; i < 3; i++) {
        emit_add(&world, "");
    }
    alv_sim_world_run(&world, 50);
    assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), 3);
    assert_member(&world, names.relays[0], "sent", "3"); /* coalesced; the commands are not */
    alv_sim_world_done(&world);
}

static void outbox__sends_nothing_for_a_rejected_command(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    emit_add(&world, ",\"reject\":true");
    alv_sim_world_run(&world, 50);
    assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), -1);
    assert_null(state_of(&world, names.relays[0]));
    alv_sim_world_done(&world);
}

/* Whatever happens to the transaction, each is executed once. */
static void outbox__sends_once_through_faults(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_ANSWER,
                                           ALV_SIM_COMMIT_LOST_REQUEST, ALV_SIM_PRODUCE_ABORT,
                                           ALV_SIM_BEGIN_RETRY};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        alv_sim_world world;
        open_world(&world);
        emit_add(&world, "");
        alv_sim_log_fail_next(world.log, faults[i]);
        alv_sim_world_run(&world, 400);
        assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), 1);
        assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_COMMANDS, 1), 1);
        alv_sim_world_done(&world);
    }
}

static void outbox__sends_once_through_a_crash(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    emit_add(&world, "");
    alv_sim_world_run(&world, 1); /* executed, not committed */
    alv_sim_world_crash(&world, 1);
    alv_sim_world_activate(&world);
    alv_sim_world_run(&world, 100);
    assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), 1);
    alv_sim_world_done(&world);
}

/* ---- outcomes --------------------------------------------------------------------------------- */

static void outbox__tells_the_outcome_to_who_emitted(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    emit_add(&world, ",\"onReply\":\"told\",\"key\":\"k1\"");
    alv_sim_world_run(&world, 100);
    char expected[256];
    (void)snprintf(expected, sizeof expected,
                   "{\"type\":\"told\",\"from\":\"%s\",\"idempotencyKey\":\"k1\",\"accepted\":true,"
                   "\"reply\":{\"event\":\"balance_added\",\"balance\":1}}",
                   names.users[1]);
    assert_member(&world, names.relays[0], "last", expected);
    (void)snprintf(expected, sizeof expected, "\"%s\"", names.users[1]);
    assert_member(&world, names.relays[0], "by", expected);
    alv_sim_world_done(&world);
}

static void outbox__tells_rejections_and_dead_letters(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    char command[256];
    (void)snprintf(command, sizeof command,
                   "{\"type\":\"send\",\"to\":\"%s\",\"onReply\":\"told\","
                   "\"command\":{\"type\":\"deduct_balance\",\"amount\":5}}",
                   names.users[1]);
    send(&world, names.relays[0], command);
    alv_sim_world_run(&world, 100);
    char expected[256];
    (void)snprintf(expected, sizeof expected,
                   "{\"type\":\"told\",\"from\":\"%s\",\"idempotencyKey\":null,\"accepted\":false,"
                   "\"error\":\"insufficient balance\"}",
                   names.users[1]);
    assert_member(&world, names.relays[0], "last", expected);

    (void)snprintf(command, sizeof command,
                   "{\"type\":\"send\",\"to\":\"%s\",\"onReply\":\"told\","
                   "\"command\":{\"type\":\"nonsense\"}}",
                   names.users[1]);
    send(&world, names.relays[0], command);
    alv_sim_world_run(&world, 100);
    (void)snprintf(expected, sizeof expected,
                   "{\"type\":\"told\",\"from\":\"%s\",\"idempotencyKey\":null,\"accepted\":false,"
                   "\"error\":\"unknown-type: behavior \\\"user\\\" has no command "
                   "\\\"nonsense\\\"\"}",
                   names.users[1]);
    assert_member(&world, names.relays[0], "last", expected);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, 1), 1);
    alv_sim_world_done(&world);
}

/* Its emitter has compensated by now: executing it would do both. */
static void outbox__does_not_execute_what_was_answered_as_failed(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    const alv_header headers[] = {{ALV_HEADER_FROM, alv_view_of(names.relays[0])},
                                  {ALV_HEADER_ON_REPLY, ALV_VIEW("told")},
                                  {ALV_HEADER_ANSWERED, ALV_VIEW("1")}};
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, 1, names.users[1], ADD, headers, 3);
    alv_sim_world_run(&world, 100);
    assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), -1);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, 1), 1);
    assert_null(state_of(&world, names.relays[0])); /* and it is not told again */
    alv_sim_world_done(&world);
}

/* Anybody can write headers. */
static void outbox__ignores_headers_that_no_entity_wrote(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    char *long_text = alv_alloc(2 * ALV_STATE_BYTES_MAX);
    memset(long_text, 'x', 2 * ALV_STATE_BYTES_MAX - 1);
    const alv_header sets[][2] = {
        {{ALV_HEADER_FROM, alv_view_of(long_text)}, {ALV_HEADER_ON_REPLY, ALV_VIEW("told")}},
        {{ALV_HEADER_FROM, ALV_VIEW("relay/1")}, {ALV_HEADER_ON_REPLY, alv_view_of(long_text)}},
        {{ALV_HEADER_FROM, ALV_VIEW("")}, {ALV_HEADER_ON_REPLY, ALV_VIEW("told")}},
        {{ALV_HEADER_ON_REPLY, ALV_VIEW("told")}, {ALV_HEADER_CORRELATION_ID, ALV_VIEW("c")}},
    };
    for (size_t i = 0; i < 4; i++) {
        (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, 1, names.users[1], ADD, sets[i], 2);
    }
    alv_sim_world_run(&world, 100);
    assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), 4);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_COMMANDS, 0), 0);
    alv_free(long_text);
    alv_sim_world_done(&world);
}

/* Ignoring it could make a command take effect twice. */
static void outbox__buries_commands_with_bad_idempotency_keys(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    char *long_text = alv_alloc(ALV_IDEMPOTENCY_KEY_BYTES_MAX + 2);
    memset(long_text, 'x', ALV_IDEMPOTENCY_KEY_BYTES_MAX + 1);
    const alv_view keys[] = {alv_view_of(long_text), ALV_VIEW(""), ALV_VIEW("\xff")};
    for (size_t i = 0; i < 3; i++) {
        const alv_header header = {ALV_HEADER_IDEMPOTENCY_KEY, keys[i]};
        (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, 1, names.users[1], ADD, &header, 1);
    }
    alv_sim_world_run(&world, 100);
    assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), -1);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, 1), 3);
    alv_free(long_text);
    alv_sim_world_done(&world);
}

static void outbox__refuses_an_outcome_that_nobody_takes(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    emit_add(&world, ",\"onReply\":\"unheard_of\"");
    alv_sim_world_run(&world, 50);
    assert_int_equal(alv_sim_world_logged_balance(&world, names.users[1]), -1);
    assert_null(state_of(&world, names.relays[0]));
    alv_sim_world_done(&world);
}

static void send_with_headers(alv_sim_world *world, const char *key, const char *command,
                              const alv_header *headers, size_t count)
{
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    (void)alv_sim_log_append(world->log, ALV_TOPIC_COMMANDS, shard, key, command, headers, count);
}

/* A handler need not reply; that it was done is an outcome as well. */
static void outbox__tells_an_outcome_without_a_reply(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    const alv_header headers[] = {{ALV_HEADER_FROM, alv_view_of(names.relays[0])},
                                  {ALV_HEADER_ON_REPLY, ALV_VIEW("told")}};
    send_with_headers(&world, names.relays[1], "{\"type\":\"publish\",\"event\":{\"n\":1}}",
                      headers, 2);
    alv_sim_world_run(&world, 100);
    char expected[256];
    (void)snprintf(expected, sizeof expected,
                   "{\"type\":\"told\",\"from\":\"%s\",\"idempotencyKey\":null,\"accepted\":true,"
                   "\"reply\":null}",
                   names.relays[1]);
    assert_member(&world, names.relays[0], "last", expected);
    alv_sim_world_done(&world);
}

/* What a dead letter carries. */
typedef struct letter_headers {
    alv_log_port *log;
    alv_header items[ALV_HEADERS_MAX + 16];
    size_t count;
    size_t own; /* of those that the command came with */
    bool is_answered;
    bool has_reason;
} letter_headers;

static void take_letter(void *payload, const alv_record *record)
{
    letter_headers *letter = payload;
    letter->count = letter->log->ops->headers(record, letter->items,
                                              sizeof letter->items / sizeof letter->items[0]);
    for (size_t i = 0; i < letter->count; i++) {
        const char *name = letter->items[i].name;
        letter->is_answered = letter->is_answered || strcmp(name, ALV_HEADER_ANSWERED) == 0;
        letter->has_reason = letter->has_reason || strcmp(name, ALV_HEADER_REASON) == 0;
        letter->own += strcmp(name, "own") == 0;
    }
}

static void read_letter(alv_sim_world *world, int32_t shard, letter_headers *out)
{
    alv_reader *reader = NULL;
    const alv_log_range all = {ALV_TOPIC_DEAD_LETTERS, shard, 0,
                               alv_sim_log_end(world->log, ALV_TOPIC_DEAD_LETTERS, shard)};
    *out = (letter_headers){.log = alv_sim_log_port(world->log)};
    assert_int_equal(out->log->ops->open_reader(out->log, "test", &reader, NULL), ALV_OK);
    assert_int_equal(alv_log_scan(reader, &all, alv_clock_system(), take_letter, out, NULL),
                     ALV_OK);
    reader->ops->close(reader);
}

/* A dead letter keeps as many headers as fit; that its emitter was told is one of them, whatever else there is. */
static void outbox__notes_an_answer_beside_as_many_headers_as_there_may_be(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_header headers[ALV_HEADERS_MAX];
    letter_headers letter;
    open_world(&world);
    for (size_t i = 0; i < ALV_HEADERS_MAX; i++) {
        headers[i] = (alv_header){"own", ALV_VIEW("x")};
    }
    headers[0] = (alv_header){ALV_HEADER_FROM, alv_view_of(names.relays[0])};
    headers[1] = (alv_header){ALV_HEADER_ON_REPLY, ALV_VIEW("told")};
    send_with_headers(&world, names.users[1], "{\"type\":\"nonsense\"}", headers, ALV_HEADERS_MAX);
    alv_sim_world_run(&world, 100);
    assert_member(&world, names.relays[0], "told", "1");
    read_letter(&world, 1, &letter);
    assert_true(letter.is_answered);
    assert_true(letter.has_reason);
    assert_int_equal(letter.own, ALV_HEADERS_MAX - 3); /* the last one gave way */
    alv_sim_world_done(&world);
}

/* ---- events ----------------------------------------------------------------------------------- */

static void outbox__publishes_every_event_of_a_transaction(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world);
    for (int i = 0; i < 3; i++) {
        send(&world, names.relays[0], "{\"type\":\"publish\",\"event\":{\"n\":1}}");
    }
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_ABORTED);
    alv_sim_world_run(&world, 100);
    size_t count = 0;
    const char *last = alv_sim_log_last(world.log, ALV_TOPIC_EVENTS, 0, names.relays[0], &count);
    assert_string_equal(last, "{\"n\":1}");
    assert_int_equal(count, 6);
    alv_sim_world_done(&world);
}

/* ---- what a handler may ask for --------------------------------------------------------------- */

static void assert_rejected(alv_effects *effects, const char *text)
{
    assert_non_null(alv_effects_rejection(effects));
    assert_string_equal(alv_effects_rejection(effects), text);
    assert_int_equal(alv_effects_output_count(effects), 0);
    alv_effects_begin(effects, true);
    assert_int_equal(alv_effects_output_count(effects), 0);
}

static json_t *text_of_size(size_t size)
{
    char *text = alv_alloc(size + 1);
    memset(text, 'x', size);
    json_t *value = json_string(text);
    alv_free(text);
    return value;
}

static void outbox__refuses_what_cannot_be_sent(void **state)
{
    (void)state;
    alv_effects *effects = alv_effects_new();
    alv_effects_begin(effects, true);
    alv_emit(effects, NULL, json_pack("{s:s}", "type", "x"), NULL, NULL);
    assert_rejected(effects, "an emitted command has no key");
    alv_emit(effects, "", json_pack("{s:s}", "type", "x"), NULL, NULL);
    assert_rejected(effects, "the key of an emitted command is not UTF-8 of 1 to 512 bytes");
    alv_emit(effects, "k", json_integer(1), NULL, NULL);
    assert_rejected(effects, "an emitted command is no JSON object");
    alv_emit(effects, "k", NULL, NULL, NULL);
    assert_rejected(effects, "an emitted command is no JSON object");
    alv_emit(effects, "k", json_object(), NULL, NULL);
    assert_rejected(effects, "an emitted command has no member \"type\"");
    alv_emit(effects, "k", json_pack("{s:s}", "type", "x"), "", NULL);
    assert_rejected(effects, "an idempotency key is not UTF-8 of 1 to 1024 bytes");
    alv_emit(effects, "k", json_pack("{s:s}", "type", "x"), "\xff", NULL);
    assert_rejected(effects, "an idempotency key is not UTF-8 of 1 to 1024 bytes");
    alv_publish(effects, json_array());
    assert_rejected(effects, "an event is no JSON object");
    alv_publish(effects, json_pack("{s:o}", "x", text_of_size(ALV_OUTPUT_BYTES_MAX)));
    assert_rejected(effects,
                    "an event is too large: 262152 bytes, 262153 bytes with what was asked "
                    "for before");
    for (int i = 0; i <= ALV_OUTPUTS_MAX; i++) {
        alv_publish(effects, json_object());
    }
    assert_rejected(effects, "more than 256 commands, events and timers");
    for (int i = 0; i < 9; i++) {
        alv_publish(effects, json_pack("{s:o}", "x", text_of_size(ALV_OUTPUT_BYTES_MAX - 100)));
    }
    assert_non_null(alv_effects_rejection(effects));
    alv_effects_free(effects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outbox__sends_a_command_to_another_shard),
        cmocka_unit_test(outbox__sends_nothing_for_a_rejected_command),
        cmocka_unit_test(outbox__sends_once_through_faults),
        cmocka_unit_test(outbox__sends_once_through_a_crash),
        cmocka_unit_test(outbox__tells_the_outcome_to_who_emitted),
        cmocka_unit_test(outbox__tells_rejections_and_dead_letters),
        cmocka_unit_test(outbox__does_not_execute_what_was_answered_as_failed),
        cmocka_unit_test(outbox__ignores_headers_that_no_entity_wrote),
        cmocka_unit_test(outbox__buries_commands_with_bad_idempotency_keys),
        cmocka_unit_test(outbox__refuses_an_outcome_that_nobody_takes),
        cmocka_unit_test(outbox__tells_an_outcome_without_a_reply),
        cmocka_unit_test(outbox__notes_an_answer_beside_as_many_headers_as_there_may_be),
        cmocka_unit_test(outbox__publishes_every_event_of_a_transaction),
        cmocka_unit_test(outbox__refuses_what_cannot_be_sent),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
