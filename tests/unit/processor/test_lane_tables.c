/* Goal:   handlers see one version of each global table per transaction; what they did says which; and the
 *         versions that a shard sees never go backwards, also when it comes to a node whose copies are older
 *         (I12). Commands that look nothing up leave no trace of tables.
 * Method: the real lane over the simulated log, with a behavior that prices orders; the test publishes the
 *         versions itself and decides what fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "processor/registry.h"
#include "tests/support/sim_world.h"
#include "topics/schema.h"

#define ORDER "{\"type\":\"order\",\"what\":\"apple\"}"
#define TURNS 600

static alv_sim_world world;
static alv_table copies[2]; /* as published last: prices, limits */
static int32_t shard;       /* of "order/1" */

/* ---- a behavior that looks things up ----------------------------------------------------------- */

static void order_price(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)now_ms;
    const char *what = json_string_value(json_object_get(command->body, "what"));
    const json_t *price = alv_table_get(effects, "prices", what);
    const json_t *limit = alv_table_get(effects, "limits", "all");
    if (price == NULL) {
        alv_reject(effects, "%s has no price", what);
        return;
    }
    alv_set(effects, "price", json_incref((json_t *)(uintptr_t)price));
    if (limit != NULL) {
        alv_set(effects, "limit", json_incref((json_t *)(uintptr_t)limit));
    }
}

static void order_note(const json_t *state, const alv_command *command, int64_t now_ms,
                       alv_effects *effects)
{
    (void)state;
    (void)command;
    alv_set(effects, "noted", json_integer(now_ms));
}

static void order_guess(const json_t *state, const alv_command *command, int64_t now_ms,
                        alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    (void)alv_table_get(effects, "costs", "apple");
    alv_set(effects, "guessed", json_true());
}

static const alv_command_row order_rows[] = {
    {.name = "order", .handler = order_price, .fields = {ALV_REQUIRED("what", ALV_FIELD_TEXT)}},
    {.name = "note", .handler = order_note},
    {.name = "guess", .handler = order_guess},
};
static const char *const order_tables[] = {"prices", "limits"};
static const alv_behavior order = {ALV_BEHAVIOR_HEAD,      .type = "order",
                                   .commands = order_rows, .command_count = 3,
                                   .tables = order_tables, .table_count = 2};

/* ---- the world --------------------------------------------------------------------------------- */

/* Publishes the prices at `offset`, with the apple at `price`. */
static void publish(int64_t offset, int64_t price)
{
    alv_table_map_put(&copies[0].rows, ALV_VIEW("apple"), json_integer(price), 2);
    copies[0].offsets[0] = offset;
    alv_tables_publish(world.tables, copies);
}

static int open_world(void **state)
{
    (void)state;
    static const char *const settings[] = {"global.tables=prices,limits", NULL};
    alv_sim_world_init_with(&world, settings, &order, NULL);
    for (int i = 0; i < 2; i++) {
        memset(&copies[i], 0, sizeof copies[i]);
        (void)snprintf(copies[i].topic_id, sizeof copies[i].topic_id, "topic-%d", i);
        copies[i].partition_count = 1;
        alv_table_map_init(&copies[i].rows, 1);
    }
    publish(10, 50);
    alv_sim_world_activate(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    alv_sim_world_done(&world);
    for (int i = 0; i < 2; i++) {
        alv_table_map_done(&copies[i].rows);
    }
    return 0;
}

static void send(const char *command)
{
    shard = alv_sim_world_send(&world, "order/1", command);
}

static void order_now(void)
{
    send(ORDER);
    alv_sim_world_run(&world, TURNS);
}

/* A member of the order as the changelog has it last; -1 when it has none. */
static int64_t logged(const char *member)
{
    return alv_sim_world_logged(&world, "order/1", member);
}

/* The ledger's record of versions, and how often it was written. */
static const char *recorded(size_t *out_count)
{
    const char *text =
        alv_sim_log_last(world.log, ALV_TOPIC_LEDGER, shard, ALV_TABLES_KEY, out_count);
    return text == NULL ? "none" : text;
}

static bool is_active(void)
{
    return alv_directory_view(world.directory, shard).state == ALV_SHARD_ACTIVE;
}

/* Another node gets the shards, whose copies are the test's to publish. */
static void move_to_another_node(void)
{
    alv_sim_world_crash(&world, 0);
    for (int32_t i = 0; i < ALV_SIM_SHARDS; i++) {
        alv_sim_log_assign(world.log, 0, i);
    }
}

static void publish_older(int64_t offset, int64_t price)
{
    alv_table_map_done(&copies[0].rows);
    publish(offset, price);
}

/* ---- what handlers see ------------------------------------------------------------------------- */

static void handlers__see_the_version_that_is_recorded(void **state)
{
    (void)state;
    size_t count = 0;
    order_now();
    assert_int_equal(logged("price"), 50);
    assert_string_equal(recorded(&count), "{\"prices\":{\"topic\":\"topic-0\",\"offsets\":[10]},"
                                          "\"limits\":{\"topic\":\"topic-1\",\"offsets\":[0]}}");
    assert_int_equal(count, 1);

    order_now(); /* of the same version */
    (void)recorded(&count);
    assert_int_equal(count, 1);

    publish(11, 60);
    order_now();
    assert_int_equal(logged("price"), 60);
    assert_non_null(strstr(recorded(&count), "\"offsets\":[11]"));
    assert_int_equal(count, 2);
}

static void handlers__that_look_nothing_up_leave_no_trace(void **state)
{
    (void)state;
    send("{\"type\":\"note\"}");
    alv_sim_world_run(&world, TURNS);
    assert_int_not_equal(logged("noted"), -1);
    assert_string_equal(recorded(NULL), "none");
    alv_tables_view *view = alv_tables_take(world.tables);
    assert_int_equal(view->references, 2); /* the tables' own, and this one */
    alv_tables_release(view);
}

/* The header of the last record of the changelog, "" when it has none. */
static void read_header(char out[200])
{
    alv_log_port *port = alv_sim_log_port(world.log);
    alv_reader *reader = NULL;
    alv_batch batch;
    alv_header header;
    out[0] = '\0';
    alv_batch_init(&batch, 100);
    assert_int_equal(port->ops->open_reader(port, "test", &reader, NULL), ALV_OK);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, shard, 0, NULL), ALV_OK);
    assert_int_equal(reader->ops->poll(reader, 0, &batch, NULL), ALV_OK);
    assert_true(batch.count > 0);
    if (port->ops->headers(&batch.records[batch.count - 1], &header, 1) == 1) {
        assert_string_equal(header.name, ALV_HEADER_TABLES);
        (void)snprintf(out, 200, "%.*s", (int)header.value.size, header.value.data);
    }
    reader->ops->close(reader);
    alv_batch_done(&batch);
}

static void changes__say_which_version_they_are_from(void **state)
{
    (void)state;
    char header[200];
    order_now();
    read_header(header);
    assert_string_equal(header, "{\"prices\":{\"topic\":\"topic-0\",\"offsets\":[10]},"
                                "\"limits\":{\"topic\":\"topic-1\",\"offsets\":[0]}}");
    send("{\"type\":\"note\"}");
    alv_sim_world_run(&world, TURNS);
    read_header(header);
    assert_string_equal(header, "");
}

/* The version changes between two commands of one transaction: the second sees what the first saw. */
static void transactions__have_one_version(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    send(ORDER);
    assert_int_equal(alv_lane_turn(world.lane, 0, &err), ALV_OK); /* executed, not committed */
    publish(11, 60);
    send(ORDER);
    assert_int_equal(alv_lane_turn(world.lane, 0, &err), ALV_OK);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(logged("price"), 50);
    assert_non_null(strstr(recorded(NULL), "\"offsets\":[10]"));
    order_now();
    assert_int_equal(logged("price"), 60);
}

static void commands__that_run_again_see_the_same_version_or_a_newer_one(void **state)
{
    (void)state;
    static const alv_sim_fault faults[] = {ALV_SIM_COMMIT_ABORTED, ALV_SIM_COMMIT_LOST_REQUEST,
                                           ALV_SIM_PRODUCE_ABORT};
    for (int i = 0; i < 3; i++) {
        alv_error err = ALV_ERROR_NONE;
        size_t before = 0;
        size_t after = 0;
        (void)recorded(&before);
        send(ORDER);
        alv_sim_log_fail_next(world.log, faults[i]);
        assert_int_equal(alv_lane_turn(world.lane, 0, &err), ALV_OK);
        publish(20 + i, 100 + i);
        alv_sim_world_run(&world, TURNS);
        assert_int_equal(logged("price"), 100 + i);
        (void)recorded(&after);
        assert_int_equal(after, before + 1); /* of the attempt that was undone there is nothing */
    }
}

/* The answer was lost, the commit was not: what it recorded is what is known afterwards. */
static void commits__whose_answer_is_lost_are_recorded(void **state)
{
    (void)state;
    size_t count = 0;
    send(ORDER);
    alv_sim_log_fail_next(world.log, ALV_SIM_COMMIT_LOST_ANSWER);
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(logged("price"), 50);
    order_now();
    (void)recorded(&count);
    assert_int_equal(count, 1);
}

static void a_table_that_is_not_there__rejects_the_command(void **state)
{
    (void)state;
    shard = alv_sim_world_send_waiting(&world, "order/1", "{\"type\":\"guess\"}", "c1");
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(world.replies.count, 1);
    alv_result reply = alv_reply_box_get(&world.replies, 0);
    assert_int_equal(reply.kind, ALV_RESULT_REJECTED);
    assert_int_equal(logged("guessed"), -1);
    assert_string_equal(recorded(NULL), "none");
}

static void behaviors__name_the_tables_they_need(void **state)
{
    (void)state;
    alv_table_list list;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_table_list_parse("limits,prices", &list, NULL), ALV_OK);
    assert_int_equal(alv_registry_check_tables(world.registry, &list, NULL), ALV_OK);
    assert_int_equal(alv_table_list_parse("prices", &list, NULL), ALV_OK);
    assert_int_equal(alv_registry_check_tables(world.registry, &list, &err), ALV_REJECT);
    assert_non_null(strstr(err.text, "behavior \"order\""));
    assert_non_null(strstr(err.text, "limits"));
}

/* ---- where a shard goes ------------------------------------------------------------------------ */

static void shards__wait_for_a_copy_that_has_what_they_have_seen(void **state)
{
    (void)state;
    publish(30, 70);
    order_now();
    move_to_another_node();
    publish_older(29, 65);
    send(ORDER);
    alv_sim_world_run(&world, TURNS);
    assert_false(is_active());
    assert_int_equal(alv_directory_view(world.directory, shard).state, ALV_SHARD_RESTORING);
    assert_true(alv_directory_view(world.directory, 1 - shard).state == ALV_SHARD_ACTIVE);
    assert_int_equal(logged("price"), 70);

    publish(30, 70);
    alv_sim_world_run(&world, TURNS);
    assert_true(is_active());
    publish(31, 75);
    order_now();
    assert_int_equal(logged("price"), 75);
}

/* When the copy does not come somebody should look; when it comes after all, nobody need do anything. */
static void shards__are_shown_as_stopped_when_the_copy_does_not_come(void **state)
{
    (void)state;
    publish(30, 70);
    order_now();
    move_to_another_node();
    publish_older(29, 65);
    alv_sim_world_run(&world, TURNS);
    alv_sim_world_pass(&world, ALV_TABLES_WAIT_MS);
    alv_sim_world_run(&world, 2);
    assert_int_equal(alv_directory_view(world.directory, shard).state, ALV_SHARD_STOPPED);
    publish(30, 70);
    alv_sim_world_run(&world, TURNS);
    assert_true(is_active());
    order_now();
    assert_int_equal(logged("price"), 70);
}

static void shards__that_are_taken_away_while_they_wait_are_forgotten(void **state)
{
    (void)state;
    publish(30, 70);
    order_now();
    move_to_another_node();
    publish_older(29, 65);
    alv_sim_world_run(&world, TURNS);
    alv_sim_log_revoke(world.log, 0, shard, false);
    alv_sim_world_run(&world, 10);
    assert_int_equal(alv_directory_view(world.directory, shard).state, ALV_SHARD_UNASSIGNED);
    alv_sim_log_assign(world.log, 0, shard);
    publish(30, 70);
    alv_sim_world_run(&world, TURNS);
    assert_true(is_active());
}

/* Offsets of two topics cannot be compared, and the old one is gone. */
static void a_topic_made_anew__is_taken_as_it_is(void **state)
{
    (void)state;
    publish(30, 70);
    order_now();
    move_to_another_node();
    (void)snprintf(copies[0].topic_id, sizeof copies[0].topic_id, "topic-new");
    publish_older(1, 5);
    order_now();
    assert_true(is_active());
    assert_int_equal(logged("price"), 5);
    assert_non_null(strstr(recorded(NULL), "{\"topic\":\"topic-new\",\"offsets\":[1]}"));
}

/* What it has seen is not known then, and to go on could be to go back. */
static void shards__whose_record_is_unreadable_are_stopped(void **state)
{
    (void)state;
    static const char *const records[] = {"[]", "{\"prices\":7}", "{\"prices\":"};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        order_now();
        const char *before = recorded(NULL);
        char good[200];
        (void)snprintf(good, sizeof good, "%s", before);
        (void)alv_sim_log_append(world.log, ALV_TOPIC_LEDGER, shard, ALV_TABLES_KEY, records[i],
                                 NULL, 0);
        move_to_another_node();
        publish_older(10, 50);
        alv_sim_world_run(&world, TURNS);
        assert_int_equal(alv_directory_view(world.directory, shard).state, ALV_SHARD_STOPPED);
        assert_int_equal(alv_directory_view(world.directory, 1 - shard).state, ALV_SHARD_ACTIVE);
        assert_int_equal(world.faults->wipes, 0);

        (void)alv_sim_log_append(world.log, ALV_TOPIC_LEDGER, shard, ALV_TABLES_KEY, good, NULL, 0);
        move_to_another_node(); /* mended by hand */
        publish_older(10, 50);
        alv_sim_world_run(&world, TURNS);
        assert_true(is_active());
    }
}

static void shards__wait_until_there_is_any_copy(void **state)
{
    (void)state;
    order_now();
    move_to_another_node();
    alv_sim_world_run(&world, TURNS);
    assert_int_equal(alv_directory_count(world.directory, ALV_SHARD_RESTORING), ALV_SIM_SHARDS);
    publish_older(10, 50);
    alv_sim_world_run(&world, TURNS);
    assert_true(is_active());
    order_now();
    assert_int_equal(logged("price"), 50);
}

/* Whichever read fails while a shard becomes active: it becomes so a little later, and is not wiped. */
static void shards__become_active_after_a_read_that_failed(void **state)
{
    (void)state;
    alv_io_faults io;
    order_now();
    world.faults->io = &io;
    for (int64_t at = 0; at < 20; at++) {
        move_to_another_node();
        alv_io_faults_arm(&io, at, 0);
        publish_older(10, 50);
        alv_sim_world_run(&world, TURNS);
        alv_io_faults_disarm(&io);
        alv_sim_world_pass(&world, ALV_BACKOFF_MAX_MS);
        order_now();
        assert_true(is_active());
        assert_int_equal(logged("price"), 50);
        assert_int_equal(world.faults->wipes, 0);
    }
    world.faults->io = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(handlers__see_the_version_that_is_recorded),
        TEST(handlers__that_look_nothing_up_leave_no_trace),
        TEST(changes__say_which_version_they_are_from),
        TEST(transactions__have_one_version),
        TEST(commands__that_run_again_see_the_same_version_or_a_newer_one),
        TEST(commits__whose_answer_is_lost_are_recorded),
        TEST(a_table_that_is_not_there__rejects_the_command),
        TEST(behaviors__name_the_tables_they_need),
        TEST(shards__wait_for_a_copy_that_has_what_they_have_seen),
        TEST(shards__are_shown_as_stopped_when_the_copy_does_not_come),
        TEST(shards__that_are_taken_away_while_they_wait_are_forgotten),
        TEST(shards__whose_record_is_unreadable_are_stopped),
        TEST(shards__wait_until_there_is_any_copy),
        TEST(shards__become_active_after_a_read_that_failed),
        TEST(a_topic_made_anew__is_taken_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
