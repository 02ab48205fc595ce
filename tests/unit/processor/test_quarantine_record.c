/* Goal:   what stands in the ledger about an entity that fails is read as it was written; what somebody else wrote
 *         there, or a later version, costs nobody anything; when all places are taken, entities that fail are still
 *         answered with dead letters and the others go on.
 * Method: records by hand; then the real lane over the simulated log, with more broken states than there are
 *         places.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "processor/quarantine.h"
#include "tests/support/sim_world.h"
#include "topics/partitioner.h"
#include "topics/schema.h"

#define ADD "{\"type\":\"add_balance\",\"amount\":1}"

static void record__is_read_as_it_was_written(void **state)
{
    (void)state;
    for (int64_t since_ms = 0; since_ms < 2; since_ms++) {
        alv_quarantine_entry entry = {.failures = 3,
                                      .reason = ALV_REASON_CRASHED_NODE,
                                      .since_ms = since_ms,
                                      .offset = 17,
                                      .waiting = 5,
                                      .detail = "a \"reason\""};
        alv_quarantine_entry read;
        alv_bytes text = ALV_BYTES_EMPTY;
        alv_quarantine_encode(&entry, &text);
        assert_int_equal(alv_quarantine_is_held(alv_bytes_view(&text)), since_ms != 0);
        assert_true(alv_quarantine_decode(alv_bytes_view(&text), &read));
        assert_int_equal(read.failures, 3);
        assert_int_equal(read.reason, ALV_REASON_CRASHED_NODE);
        assert_int_equal(read.since_ms, since_ms);
        assert_int_equal(read.offset, 17);
        assert_int_equal(read.waiting, 5);
        assert_string_equal(read.detail, "a \"reason\"");
        alv_bytes_done(&text);
    }
    assert_false(alv_quarantine_is_held(ALV_VIEW_NONE));
}

#define RECORD(quarantined, reason, since)                                                       \
    "{\"quarantined\":" quarantined ",\"failures\":2,\"reason\":\"" reason "\",\"detail\":\"\"," \
    "\"since\":" since ",\"offset\":0,\"waiting\":0}"

static void record__of_another_version_has_the_plainest_reason(void **state)
{
    (void)state;
    alv_quarantine_entry read;
    assert_true(alv_quarantine_decode(ALV_VIEW(RECORD("true", "bored", "5")), &read));
    assert_int_equal(read.reason, ALV_REASON_FAILED);
}

static void record__that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "", "{", "[]", "{}", RECORD("true", "failed", "0"), RECORD("false", "failed", "5")};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        alv_quarantine_entry read;
        assert_false(alv_quarantine_decode(alv_view_of(broken[i]), &read));
    }
}

/* ---- in a shard ------------------------------------------------------------------------------ */

/* Keys of shard 0: the next one after `*number`. */
static const char *next_key(int *number)
{
    static char key[16];
    do {
        (void)snprintf(key, sizeof key, "m:%d", ++*number);
    } while (alv_partitioner_shard(alv_view_of(key), ALV_SIM_SHARDS) != 0);
    return key;
}

static void quarantine__passes_over_what_it_did_not_write(void **state)
{
    (void)state;
    alv_sim_world world;
    int number = 0;
    alv_bytes key = ALV_BYTES_EMPTY;
    alv_sim_world_init(&world, NULL);
    for (int i = 0; i < 3; i++) {
        alv_bytes_clear(&key);
        alv_quarantine_key(alv_view_of(next_key(&number)), &key);
        (void)alv_sim_log_append_bytes(
            world.log, ALV_TOPIC_LEDGER, 0, alv_bytes_view(&key),
            i == 1 ? ALV_VIEW(RECORD("true", "failed", "5")) : ALV_VIEW("\"x\""), NULL, 0);
    }
    alv_sim_world_activate(&world);
    assert_int_equal(alv_directory_view(world.directory, 0).quarantined, 1);
    number = 0;
    const char *user = next_key(&number);
    (void)alv_sim_world_send(&world, user, ADD);
    alv_sim_world_run(&world, 100);
    assert_int_equal(alv_sim_world_stored_balance(&world, user), 1);
    alv_bytes_done(&key);
    alv_sim_world_done(&world);
}

static void quarantine__with_all_places_taken_lets_the_others_go_on(void **state)
{
    (void)state;
    enum {
        BROKEN = ALV_QUARANTINE_ROWS_MAX + 3
    };
    alv_sim_world world;
    int number = 0;
    alv_sim_world_init(&world, NULL);
    for (int i = 0; i < BROKEN; i++)
        (void)alv_sim_log_append(world.log, ALV_TOPIC_CHANGELOG, 0, next_key(&number), "x", NULL,
                                 0);
    alv_sim_world_activate(&world);
    number = 0;
    for (int i = 0; i < BROKEN; i++)
        (void)alv_sim_world_send(&world, next_key(&number), ADD);
    const char *user = next_key(&number);
    (void)alv_sim_world_send(&world, user, ADD);
    alv_sim_world_run(&world, 200);
    assert_int_equal(alv_sim_world_stored_balance(&world, user), 1);
    assert_int_equal(alv_directory_view(world.directory, 0).quarantined, ALV_QUARANTINE_ROWS_MAX);
    assert_int_equal(alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, 0) +
                         alv_sim_log_count(world.log, ALV_TOPIC_DEAD_LETTERS, 1),
                     BROKEN);
    alv_sim_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__is_read_as_it_was_written),
        cmocka_unit_test(record__of_another_version_has_the_plainest_reason),
        cmocka_unit_test(record__that_makes_no_sense_is_refused),
        cmocka_unit_test(quarantine__passes_over_what_it_did_not_write),
        cmocka_unit_test(quarantine__with_all_places_taken_lets_the_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
