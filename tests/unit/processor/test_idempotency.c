/* Goal:   a command with an idempotency key takes effect once however often it comes, and is answered each
 *         time as it was the first time, also by another owner; the answer is kept as long as promised, and
 *         commands without a key are not looked at.
 * Method: the real lane over the simulated log; replies are read from the replies topic; faults and crashes
 *         between the two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/sim_world.h"
#include "tests/support/user_model.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define USER "m:1"

static void send_keyed(alv_sim_world *world, const char *command, const char *key)
{
    const alv_header headers[] = {{ALV_HEADER_IDEMPOTENCY_KEY, alv_view_of(key)},
                                  {ALV_HEADER_CORRELATION_ID, ALV_VIEW("caller")},
                                  {ALV_HEADER_REPLY_TO, ALV_VIEW("x")}};
    int32_t shard = alv_partitioner_shard(ALV_VIEW(USER), ALV_SIM_SHARDS);
    (void)alv_sim_log_append(world->log, ALV_TOPIC_COMMANDS, shard, USER, command, headers, 3);
}

static void add(alv_sim_world *world, int amount, const char *key)
{
    char command[80];
    (void)snprintf(command, sizeof command, "{\"type\":\"add_balance\",\"amount\":%d}", amount);
    send_keyed(world, command, key);
}

/* The last reply, and how many there are. */
static void assert_reply(alv_sim_world *world, const char *expected, size_t expected_count)
{
    alv_sim_world_run(world, 100);
    size_t count = 0;
    int32_t shard = alv_partitioner_shard(ALV_VIEW("caller"), ALV_SIM_SHARDS);
    const char *reply = alv_sim_log_last(world->log, ALV_TOPIC_REPLIES, shard, "caller", &count);
    assert_non_null(reply);
    assert_string_equal(reply, expected);
    assert_int_equal(count, expected_count);
}

static const char *ledger_of(alv_sim_world *world, size_t *out_count)
{
    int32_t shard = alv_partitioner_shard(ALV_VIEW(USER), ALV_SIM_SHARDS);
    return alv_sim_log_last(world->log, ALV_TOPIC_LEDGER, shard, USER, out_count);
}

#define ADDED "{\"event\":\"balance_added\",\"balance\":5}"

static void idempotency__answers_again_without_doing_it_again(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    add(&world, 5, "k1");
    assert_reply(&world, ADDED, 1);
    add(&world, 5, "k1");
    assert_reply(&world, ADDED, 2);
    add(&world, 7, "k1"); /* the key counts, whatever the command says */
    assert_reply(&world, ADDED, 3);
    add(&world, 5, "k2");
    assert_reply(&world, "{\"event\":\"balance_added\",\"balance\":10}", 4);
    add(&world, 5, "k1");
    add(&world, 5, "k1"); /* also within one transaction */
    assert_reply(&world, ADDED, 6);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), 10);
    alv_sim_world_done(&world);
}

static void idempotency__keeps_a_rejection_too(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    static const char deduct[] = "{\"type\":\"deduct_balance\",\"amount\":5}";
    send_keyed(&world, deduct, "k1");
    assert_reply(&world, "{\"error\":\"insufficient balance\"}", 1);
    add(&world, 50, "k2");
    send_keyed(&world, deduct, "k1"); /* would be accepted now */
    assert_reply(&world, "{\"error\":\"insufficient balance\"}", 3);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), 50);
    alv_sim_world_done(&world);
}

static void idempotency__is_one_transaction_with_the_state(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_ANSWER,
                                           ALV_SIM_COMMIT_LOST_REQUEST, ALV_SIM_PRODUCE_ABORT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        alv_sim_world world;
        alv_sim_world_init(&world, NULL);
        alv_sim_world_activate(&world);
        alv_sim_log_fail_next(world.log, faults[i]);
        add(&world, 5, "k1");
        alv_sim_world_run(&world, 300);
        add(&world, 5, "k1");
        assert_reply(&world, ADDED, 2);
        assert_int_equal(alv_sim_world_logged_balance(&world, USER), 5);
        assert_int_equal(alv_sim_world_stored_balance(&world, USER), 5);
        alv_sim_world_done(&world);
    }
}

/* The next owner has what the log has: with its store as it was, some of it gone, and empty. */
static void idempotency__survives_a_crash_and_a_restore(void **state)
{
    (void)state;
    for (size_t applies = 0; applies < 30; applies += 1 + applies / 2) {
        alv_sim_world world;
        alv_sim_world_init(&world, NULL);
        alv_sim_world_activate(&world);
        add(&world, 5, "k1");
        alv_sim_world_run(&world, 50);
        add(&world, 1, "k2");
        alv_sim_world_run(&world, 50);
        alv_sim_world_crash(&world, applies);
        alv_sim_world_activate(&world);
        add(&world, 5, "k1");
        assert_reply(&world, ADDED, 3);
        assert_int_equal(alv_sim_world_stored_balance(&world, USER), 6);
        alv_sim_world_done(&world);
    }
}

/* An idle user leaves memory; state and ledger are there again with the next command. */
static void idempotency__survives_passivation(void **state)
{
    (void)state;
    const char *const assignments[] = {"passivate.after.ms=10", "passivate.check.ms=10", NULL};
    alv_sim_world world;
    alv_sim_world_init(&world, assignments);
    alv_sim_world_activate(&world);
    add(&world, 5, "k1");
    assert_reply(&world, ADDED, 1);
    alv_sim_world_pass(&world, 2000); /* until the lane shows its numbers again */
    alv_sim_world_run(&world, 2);
    const alv_meter_cache *cache = &world.meter->caches[0];
    assert_int_equal(alv_counter_get(&cache->passivations), 1);
    assert_int_equal(alv_counter_get(&cache->entities), 0);
    add(&world, 5, "k1");
    assert_reply(&world, ADDED, 2);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), 5);
    add(&world, 5, "k2");
    assert_reply(&world, "{\"event\":\"balance_added\",\"balance\":10}", 3);
    alv_sim_world_done(&world);
}

static void idempotency__survives_the_entity(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    add(&world, 5, "k1");
    send_keyed(&world, "{\"type\":\"delete_user\"}", "k2");
    assert_reply(&world, "{\"event\":\"deleted\"}", 2);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), -1);
    add(&world, 5, "k1");
    assert_reply(&world, ADDED, 3);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), -1); /* not made again */
    alv_sim_world_done(&world);
}

static void idempotency__forgets_as_configured(void **state)
{
    (void)state;
    const char *const assignments[] = {"idempotency.keys.max=2", "idempotency.retention.ms=60000",
                                       NULL};
    alv_sim_world world;
    alv_sim_world_init(&world, assignments);
    alv_sim_world_activate(&world);
    add(&world, 1, "k1");
    add(&world, 1, "k2");
    add(&world, 1, "k3");
    add(&world, 1, "k2");
    add(&world, 1, "k1"); /* pushed out by k3: executed again, and pushes out k2 */
    alv_sim_world_run(&world, 50);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), 4);
    alv_sim_world_pass(&world, 59000);
    add(&world, 1, "k1");
    alv_sim_world_run(&world, 50);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), 4);
    alv_sim_world_pass(&world, 2000);
    add(&world, 1, "k1");
    alv_sim_world_run(&world, 50);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), 5);
    alv_sim_world_done(&world);
}

static void idempotency__writes_a_ledger_once_per_transaction(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    add(&world, 1, "k1");
    add(&world, 1, "k2");
    alv_sim_world_run(&world, 50);
    size_t count = 0;
    const char *ledger = ledger_of(&world, &count);
    assert_non_null(strstr(ledger, "\"key\":\"k1\""));
    assert_non_null(strstr(ledger, "\"key\":\"k2\""));
    assert_int_equal(count, 1);
    alv_sim_world_done(&world);
}

static void idempotency__costs_nothing_without_a_key(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    int gets = world.faults->gets;
    (void)alv_sim_world_send(&world, USER, "{\"type\":\"add_balance\",\"amount\":1}");
    alv_sim_world_run(&world, 50);
    assert_int_equal(world.faults->gets, gets + 1); /* the state */
    size_t count = 0;
    assert_null(ledger_of(&world, &count));
    assert_int_equal(count, 0);
    add(&world, 1, "k1");
    add(&world, 1, "k2");
    alv_sim_world_run(&world, 50);
    assert_int_equal(world.faults->gets, gets + 2); /* the ledger, once */
    alv_sim_world_done(&world);
}

/* A command that could not be processed was not executed: it may come again. */
static void idempotency__does_not_count_dead_letters(void **state)
{
    (void)state;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    send_keyed(&world, "{\"type\":\"nonsense\"}", "k1");
    add(&world, 5, "k1");
    assert_reply(&world, ADDED, 1);
    alv_sim_world_done(&world);
}

/* A model that knows what was sent: random keys, repeats, faults and crashes. */
static void idempotency__agrees_with_a_model(void **state)
{
    (void)state;
    uint64_t random = 20261126;
    alv_sim_world world;
    alv_sim_world_init(&world, NULL);
    alv_sim_world_activate(&world);
    bool seen[40] = {false};
    int64_t balance = 0;
    for (int step = 0; step < 1500; step++) {
        unsigned key = (unsigned)(alv_user_model_random(&random) % 40);
        char text[16];
        (void)snprintf(text, sizeof text, "k%u", key);
        add(&world, (int)key + 1, text);
        balance += seen[key] ? 0 : (int64_t)key + 1;
        seen[key] = true;
        switch (alv_user_model_random(&random) % 40) {
        case 0:
            alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_ABORTED);
            break;
        case 1:
            alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_LOST_ANSWER);
            break;
        case 2:
            alv_sim_world_crash(&world, (size_t)(alv_user_model_random(&random) % 5));
            alv_sim_world_activate(&world);
            break;
        case 3:
            memset(seen, 0, sizeof seen); /* all are too old */
            alv_sim_world_run(&world, 400);
            alv_sim_world_pass(&world, (int64_t)86400001);
            break;
        default:
            alv_sim_world_run(&world, (int)(alv_user_model_random(&random) % 3));
            break;
        }
    }
    alv_sim_world_run(&world, 600);
    assert_int_equal(alv_sim_world_logged_balance(&world, USER), balance);
    assert_int_equal(alv_sim_world_stored_balance(&world, USER), balance);
    alv_sim_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idempotency__answers_again_without_doing_it_again),
        cmocka_unit_test(idempotency__keeps_a_rejection_too),
        cmocka_unit_test(idempotency__is_one_transaction_with_the_state),
        cmocka_unit_test(idempotency__survives_a_crash_and_a_restore),
        cmocka_unit_test(idempotency__survives_passivation),
        cmocka_unit_test(idempotency__survives_the_entity),
        cmocka_unit_test(idempotency__forgets_as_configured),
        cmocka_unit_test(idempotency__writes_a_ledger_once_per_transaction),
        cmocka_unit_test(idempotency__costs_nothing_without_a_key),
        cmocka_unit_test(idempotency__does_not_count_dead_letters),
        cmocka_unit_test(idempotency__agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
