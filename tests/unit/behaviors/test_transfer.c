/* Goal:   a transfer ends as completed, refunded or failed, whatever its steps answer and whatever dies
 *         meanwhile, and the sum of all balances is then what it was before.
 * Method: the real behavior with the real user behavior, lane and transaction over the simulated log: each
 *         way through the saga once, at last many transfers at random through faults and crashes, against
 *         the sum.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/support/sim_world.h"
#include "tests/support/user_model.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

/* The transfer and `from` in shard 0, `to` in shard 1, so that either side can be taken away. */
static char transfer[32];
static char from[32];
static char to[32];

static void name_in_shard(int32_t shard, const char *prefix, char out[32])
{
    for (int i = 0;; i++) {
        (void)snprintf(out, 32, "%s%d", prefix, i);
        if (alv_partitioner_shard(alv_view_of(out), ALV_SIM_SHARDS) == shard) {
            return;
        }
    }
}

static void open_world(alv_sim_world *world, int64_t balance)
{
    name_in_shard(0, "transfer/t", transfer);
    name_in_shard(0, "m:f", from);
    name_in_shard(1, "m:t", to);
    alv_sim_world_init(world, NULL);
    alv_sim_world_activate(world);
    char *command = alv_format("{\"type\":\"add_balance\",\"amount\":%" PRId64 "}", balance);
    (void)alv_sim_world_send(world, from, command);
    alv_free(command);
    alv_sim_world_run(world, 20);
}

static void start(alv_sim_world *world, const char *receiver, int amount, const char *extra)
{
    char command[256];
    (void)snprintf(command, sizeof command,
                   "{\"type\":\"start\",\"from\":\"%s\",\"to\":\"%s\",\"amount\":%d%s}", from,
                   receiver, amount, extra);
    (void)alv_sim_world_send(world, transfer, command);
}

static json_t *state_of(alv_sim_world *world, const char *key)
{
    int32_t shard = alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS);
    const char *text = alv_sim_log_last(world->log, ALV_TOPIC_CHANGELOG, shard, key, NULL);
    return text == NULL ? NULL : json_loads(text, 0, NULL);
}

/* Its status, and the events of its history in one line. */
static void assert_transfer(alv_sim_world *world, const char *status, const char *history)
{
    json_t *state = state_of(world, transfer);
    assert_non_null(state);
    char line[512] = "";
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(state, "history"), index, item)
    {
        size_t size = strlen(line);
        const char *error = json_string_value(json_object_get(item, "error"));
        assert_int_equal(strlen(json_string_value(json_object_get(item, "at"))), 24);
        (void)snprintf(line + size, sizeof line - size, "%s%s%s%s%s", index == 0 ? "" : " ",
                       json_string_value(json_object_get(item, "event")), error == NULL ? "" : "(",
                       error == NULL ? "" : error, error == NULL ? "" : ")");
    }
    assert_string_equal(line, history);
    assert_string_equal(json_string_value(json_object_get(state, "status")), status);
    json_decref(state);
}

static void assert_balances(alv_sim_world *world, int64_t sender, int64_t receiver)
{
    assert_int_equal(alv_sim_world_logged_balance(world, from), sender);
    assert_int_equal(alv_sim_world_logged_balance(world, to), receiver);
}

/* The last event, and nothing is pending. */
static void assert_ended(alv_sim_world *world, const char *event)
{
    const char *text = alv_sim_log_last(world->log, ALV_TOPIC_EVENTS, 0, transfer, NULL);
    assert_non_null(text);
    json_t *value = json_loads(text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(value, "event")), event);
    assert_string_equal(json_string_value(json_object_get(value, "transfer")), transfer + 9);
    json_decref(value);
    assert_null(alv_sim_log_last(world->log, ALV_TOPIC_LEDGER, 0, transfer, NULL));
}

/* ---- each way through ------------------------------------------------------------------------- */

static void transfer__moves_the_amount(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    start(&world, to, 30, "");
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "completed", "started deducted added");
    assert_balances(&world, 70, 30);
    assert_ended(&world, "transfer_completed");
    alv_sim_world_done(&world);
}

static void transfer__fails_when_there_is_too_little(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    start(&world, to, 101, "");
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "failed", "started deduct_rejected(insufficient balance)");
    assert_balances(&world, 100, -1);
    assert_ended(&world, "transfer_failed");
    alv_sim_world_done(&world);
}

static void transfer__refunds_what_cannot_be_added(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    char *command = alv_format("{\"type\":\"add_balance\",\"amount\":%" PRId64 "}", INT64_MAX - 10);
    (void)alv_sim_world_send(&world, to, command);
    alv_free(command);
    start(&world, to, 30, "");
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "refunded",
                    "started deducted add_rejected(balance too large) refunded");
    assert_balances(&world, 100, INT64_MAX - 10);
    assert_ended(&world, "transfer_refunded");
    alv_sim_world_done(&world);
}

/* The receiver's command becomes a dead letter: the sender is not left waiting. */
static void transfer__refunds_what_nobody_can_receive(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    start(&world, "warehouse/1", 30, "");
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "refunded",
                    "started deducted add_rejected(unknown-entity-type: key \"warehouse/1\" is of "
                    "type \"warehouse\", which has no behavior) refunded");
    assert_int_equal(alv_sim_world_logged_balance(&world, from), 100);
    alv_sim_world_done(&world);
}

static void transfer__refuses_what_makes_no_sense(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    start(&world, from, 30, "");
    start(&world, "", 30, "");
    start(&world, to, 0, "");
    start(&world, to, 30, ",\"timeoutMs\":3000000000");
    alv_sim_world_run(&world, 100);
    assert_balances(&world, 100, -1);
    assert_null(state_of(&world, transfer));
    alv_sim_world_done(&world);
}

static void transfer__starts_once(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    start(&world, to, 30, "");
    start(&world, to, 40, "");
    alv_sim_world_run(&world, 100);
    start(&world, to, 50, "");
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "completed", "started deducted added");
    assert_balances(&world, 70, 30);
    alv_sim_world_done(&world);
}

/* ---- deadlines -------------------------------------------------------------------------------- */

static void transfer__refunds_what_was_deducted_too_late(void **state)
{
    (void)state;
    alv_sim_world world;
    char sender[32];
    open_world(&world, 100);
    name_in_shard(1, "m:s", sender); /* in a shard that is away */
    (void)alv_sim_world_send(&world, sender, "{\"type\":\"add_balance\",\"amount\":100}");
    alv_sim_world_run(&world, 50);
    alv_sim_log_revoke(world.log, 0, 1, false);
    char command[256];
    (void)snprintf(command, sizeof command,
                   "{\"type\":\"start\",\"from\":\"%s\",\"to\":\"%s\",\"amount\":30,"
                   "\"timeoutMs\":5000}",
                   sender, from);
    (void)alv_sim_world_send(&world, transfer, command);
    alv_sim_world_run(&world, 100);
    alv_sim_world_pass(&world, 6000);
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "deducting", "started expired");
    alv_sim_log_assign(world.log, 0, 1);
    alv_sim_world_run(&world, 200);
    assert_transfer(&world, "refunded", "started expired deducted refunded");
    assert_int_equal(alv_sim_world_logged_balance(&world, sender), 100);
    assert_int_equal(alv_sim_world_logged_balance(&world, from), 100);
    alv_sim_world_done(&world);
}

static void transfer__ends_late_when_the_receiver_is_away(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    alv_sim_log_revoke(world.log, 0, 1, false);
    start(&world, to, 30, "");
    alv_sim_world_run(&world, 100);
    alv_sim_world_pass(&world, 61000);
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "adding", "started deducted expired");
    assert_balances(&world, 70, -1);
    alv_sim_log_assign(world.log, 0, 1);
    alv_sim_world_run(&world, 200);
    assert_transfer(&world, "completed", "started deducted expired added");
    assert_balances(&world, 70, 30);
    assert_ended(&world, "transfer_completed");
    alv_sim_world_done(&world);
}

static void transfer__tries_a_refused_refund_again(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, INT64_MAX);
    start(&world, "warehouse/1", 30, "");
    while (alv_sim_world_logged_balance(&world, from) == INT64_MAX) {
        alv_sim_world_run(&world, 1);
    }
    (void)alv_sim_world_send(&world, from, "{\"type\":\"add_balance\",\"amount\":30}");
    alv_sim_world_run(&world, 100);
    assert_int_equal(alv_sim_world_logged_balance(&world, from), INT64_MAX);
    alv_sim_world_pass(&world, 10000); /* again, and refused again */
    alv_sim_world_run(&world, 100);
    (void)alv_sim_world_send(&world, from, "{\"type\":\"deduct_balance\",\"amount\":50}");
    alv_sim_world_pass(&world, 10000);
    alv_sim_world_run(&world, 100);
    json_t *ended = state_of(&world, transfer);
    assert_string_equal(json_string_value(json_object_get(ended, "status")), "refunded");
    assert_int_equal(json_integer_value(json_object_get(ended, "attempts")), 2);
    json_decref(ended);
    assert_int_equal(alv_sim_world_logged_balance(&world, from), INT64_MAX - 20);
    assert_ended(&world, "transfer_refunded");
    alv_sim_world_done(&world);
}

/* ---- others who talk to it -------------------------------------------------------------------- */

static void transfer__believes_only_whom_it_asked(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    alv_sim_log_revoke(world.log, 0, 1, false);
    start(&world, to, 30, "");
    alv_sim_world_run(&world, 100);
    (void)alv_sim_world_send(&world, transfer, "{\"type\":\"added\",\"accepted\":true}");
    (void)alv_sim_world_send(&world, transfer, "{\"type\":\"expire\"}");
    const alv_header headers[] = {{ALV_HEADER_FROM, alv_view_of(from)}};
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, 0, transfer,
                             "{\"type\":\"added\",\"accepted\":false}", headers, 1);
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "adding", "started deducted");
    alv_sim_log_assign(world.log, 0, 1);
    alv_sim_world_run(&world, 200);
    assert_transfer(&world, "completed", "started deducted added");
    alv_sim_world_done(&world);
}

/* An answer that comes a second time changes nothing. */
static void transfer__hears_repeated_answers(void **state)
{
    (void)state;
    alv_sim_world world;
    open_world(&world, 100);
    start(&world, to, 30, "");
    alv_sim_world_run(&world, 100);
    const alv_header headers[] = {{ALV_HEADER_FROM, alv_view_of(from)}};
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, 0, transfer,
                             "{\"type\":\"deducted\",\"accepted\":true}", headers, 1);
    (void)alv_sim_log_append(world.log, ALV_TOPIC_COMMANDS, 0, transfer,
                             "{\"type\":\"refunded\",\"accepted\":true}", headers, 1);
    alv_sim_world_run(&world, 100);
    assert_transfer(&world, "completed", "started deducted added");
    assert_balances(&world, 70, 30);
    alv_sim_world_done(&world);
}

/* ---- many at random --------------------------------------------------------------------------- */

enum {
    STORM_USERS = 12,
    STORM_TRANSFERS = 400,
    STORM_BALANCE = 1000
};

static void storm_start(alv_sim_world *world, uint64_t *random, int number)
{
    char key[32];
    char command[256];
    unsigned sender = (unsigned)(alv_user_model_random(random) % STORM_USERS);
    unsigned receiver = (unsigned)(alv_user_model_random(random) % STORM_USERS);
    bool is_good = alv_user_model_random(random) % 8 != 0; /* else nobody can receive it */
    (void)snprintf(key, sizeof key, "transfer/%d", number);
    (void)snprintf(command, sizeof command,
                   "{\"type\":\"start\",\"from\":\"m:%u\",\"to\":\"%s%u\",\"amount\":%u,"
                   "\"timeoutMs\":%u}",
                   sender, is_good ? "m:" : "warehouse/", is_good ? receiver : 1,
                   (unsigned)(alv_user_model_random(random) % 400 + 1),
                   (unsigned)(alv_user_model_random(random) % 3 == 0 ? 1 : 60000));
    (void)alv_sim_world_send(world, key, command);
}

static void storm_trouble(alv_sim_world *world, uint64_t *random)
{
    int32_t shard = (int32_t)(alv_user_model_random(random) % ALV_SIM_SHARDS);
    switch (alv_user_model_random(random) % 24) {
    case 0:
        alv_sim_log_fail_next(world->log, ALV_SIM_COMMIT_ABORTED);
        break;
    case 1:
        alv_sim_log_fail_next(world->log, ALV_SIM_COMMIT_LOST_ANSWER);
        break;
    case 2:
        alv_sim_log_fail_next(world->log, ALV_SIM_COMMIT_LOST_REQUEST);
        break;
    case 3:
        alv_sim_log_fail_next(world->log, ALV_SIM_PRODUCE_ABORT);
        break;
    case 4:
        alv_sim_world_crash(world, (size_t)(alv_user_model_random(random) % 30));
        alv_sim_world_activate(world);
        break;
    case 5:
        alv_sim_log_revoke(world->log, 0, shard, alv_user_model_random(random) % 2 == 0);
        alv_sim_world_run(world, 20);
        alv_sim_world_pass(world, 1000);
        alv_sim_log_assign(world->log, 0, shard);
        break;
    default:
        break;
    }
}

static int64_t storm_sum(alv_sim_world *world)
{
    int64_t sum = 0;
    char key[32];
    for (int i = 0; i < STORM_USERS; i++) {
        (void)snprintf(key, sizeof key, "m:%d", i);
        int64_t logged = alv_sim_world_logged_balance(world, key);
        assert_int_equal(logged, alv_sim_world_stored_balance(world, key));
        sum += logged;
    }
    return sum;
}

static void transfer__keeps_the_sum_in_a_storm(void **state)
{
    (void)state;
    uint64_t random = 20261126;
    char key[32];
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    for (int i = 0; i < STORM_USERS; i++) {
        (void)snprintf(key, sizeof key, "m:%d", i);
        (void)alv_sim_world_send(&world, key, "{\"type\":\"add_balance\",\"amount\":1000}");
    }
    for (int i = 0; i < STORM_TRANSFERS; i++) {
        storm_start(&world, &random, i);
        storm_trouble(&world, &random);
        alv_sim_world_run(&world, (int)(alv_user_model_random(&random) % 4));
    }
    alv_sim_world_run(&world, 3000);
    assert_int_equal(storm_sum(&world), (int64_t)STORM_USERS * STORM_BALANCE);

    int ends[3] = {0};
    static const char *const names[] = {"completed", "refunded", "failed"};
    int refused = 0; /* from and to were the same */
    for (int i = 0; i < STORM_TRANSFERS; i++) {
        (void)snprintf(key, sizeof key, "transfer/%d", i);
        json_t *ended = state_of(&world, key);
        refused += ended == NULL;
        for (int end = 0; end < 3; end++) {
            const char *status = json_string_value(json_object_get(ended, "status"));
            ends[end] += status != NULL && strcmp(status, names[end]) == 0;
        }
        json_decref(ended);
    }
    print_message("completed %d, refunded %d, failed %d, refused %d\n", ends[0], ends[1], ends[2],
                  refused);
    assert_int_equal(ends[0] + ends[1] + ends[2] + refused, STORM_TRANSFERS);
    assert_true(ends[0] > 50 && ends[1] > 10 && ends[2] > 10);
    alv_sim_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transfer__moves_the_amount),
        cmocka_unit_test(transfer__fails_when_there_is_too_little),
        cmocka_unit_test(transfer__refunds_what_cannot_be_added),
        cmocka_unit_test(transfer__refunds_what_nobody_can_receive),
        cmocka_unit_test(transfer__refuses_what_makes_no_sense),
        cmocka_unit_test(transfer__starts_once),
        cmocka_unit_test(transfer__refunds_what_was_deducted_too_late),
        cmocka_unit_test(transfer__ends_late_when_the_receiver_is_away),
        cmocka_unit_test(transfer__tries_a_refused_refund_again),
        cmocka_unit_test(transfer__believes_only_whom_it_asked),
        cmocka_unit_test(transfer__hears_repeated_answers),
        cmocka_unit_test(transfer__keeps_the_sum_in_a_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
