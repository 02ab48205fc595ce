/* Goal:   copies of global tables are handed out only when they have all that was in their topics, follow them
 *         then, and never go backwards, whatever becomes of a topic.
 * Method: the real follower over the simulated log, turn by turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/logger.h"
#include "changelog/table_follower.h"
#include "tests/support/faulty_log.h"
#include "tests/support/sim_log.h"

#define PRICES ALV_TOPIC_OF_TABLE(0)
#define LIMITS ALV_TOPIC_OF_TABLE(1)

static struct {
    alv_config *config;
    alv_manual_clock clock;
    alv_sim_log *log;
    alv_log_port *port; /* as the follower sees it */
    alv_tables *tables;
    alv_table_follower *follower;
    int changes;
} f;

static void note_change(void *payload)
{
    (void)payload;
    f.changes++;
}

static void start_with(const char *budget)
{
    alv_table_list list;
    alv_log_set_level(ALV_LOG_ERROR);
    f.config = alv_config_new();
    assert_int_equal(alv_config_set(f.config, "global.tables=prices,limits", NULL), ALV_OK);
    assert_int_equal(alv_config_set(f.config, budget, NULL), ALV_OK);
    assert_int_equal(alv_config_finish(f.config, NULL), ALV_OK);
    assert_int_equal(alv_table_list_parse("prices,limits", &list, NULL), ALV_OK);
    alv_manual_clock_init(&f.clock, 1700000000000);
    f.tables = alv_tables_new(&list);
    f.changes = 0;
    const alv_table_source sources[] = {{"prices-id", 2}, {"limits-id", 1}};
    const alv_table_follower_options options = {.log = f.port,
                                                .clock = &f.clock.clock,
                                                .settings = alv_config_settings(f.config),
                                                .tables = f.tables,
                                                .sources = sources,
                                                .changed = note_change};
    if (alv_table_follower_new(&options, &f.follower, NULL) !=
        ALV_OK) /* the node is started again */
        assert_int_equal(alv_table_follower_new(&options, &f.follower, NULL), ALV_OK);
}

static void start(void)
{
    start_with("global.tables.memory.bytes=1MiB");
}

static void stop(void)
{
    alv_table_follower_free(f.follower);
    alv_tables_free(f.tables);
    alv_config_free(f.config);
}

static int open_log(void **state)
{
    (void)state;
    f.log = alv_sim_log_new(2);
    f.port = alv_sim_log_port(f.log);
    return 0;
}

static int close_log(void **state)
{
    (void)state;
    alv_sim_log_free(f.log);
    return 0;
}

static void put(alv_topic topic, int32_t partition, const char *key, const char *value)
{
    (void)alv_sim_log_append(f.log, topic, partition, key, value, NULL, 0);
}

static void turn(int times)
{
    for (int i = 0; i < times; i++) {
        alv_table_follower_turn(f.follower, 0);
        alv_manual_clock_advance(&f.clock, 100);
    }
}

/* The row as JSON text, "none" when there is none, "restoring" when there is no view. */
static const char *row(size_t table, const char *key)
{
    static char text[200];
    alv_tables_view *view = alv_tables_take(f.tables);
    if (view == NULL) {
        return "restoring";
    }
    const json_t *value = alv_table_map_get(&view->items[table].rows, alv_view_of(key));
    if (value == NULL) {
        (void)snprintf(text, sizeof text, "none");
    } else {
        size_t size = json_dumpb(value, text, sizeof text - 1, JSON_COMPACT | JSON_ENCODE_ANY);
        text[size] = '\0';
    }
    alv_tables_release(view);
    return text;
}

static int64_t version(size_t table, int32_t partition)
{
    alv_tables_view *view = alv_tables_take(f.tables);
    int64_t offset = view->items[table].offsets[partition];
    alv_tables_release(view);
    return offset;
}

static void follower__hands_out_what_was_there_and_follows(void **state)
{
    (void)state;
    put(PRICES, 0, "apple", "{\"cents\":50}");
    put(PRICES, 1, "pear", "70");
    put(PRICES, 0, "apple", "{\"cents\":55}");
    start();
    assert_string_equal(row(0, "apple"), "restoring");
    turn(2);
    assert_int_equal(f.changes, 1);
    assert_string_equal(row(0, "apple"), "{\"cents\":55}");
    assert_string_equal(row(0, "pear"), "70");
    assert_string_equal(row(1, "apple"), "none"); /* a table without a record is a table */
    assert_int_equal(version(0, 0), 2);
    assert_int_equal(version(0, 1), 1);

    put(PRICES, 1, "pear", NULL);
    put(LIMITS, 0, "anna", "[1]");
    alv_sim_log_append_marker(f.log, LIMITS, 0);
    turn(1);
    assert_string_equal(row(0, "pear"), "none");
    assert_string_equal(row(1, "anna"), "[1]");
    assert_int_equal(version(1, 0), 2); /* behind the marker */
    alv_table_progress progress = alv_tables_progress(f.tables, 0);
    assert_true(progress.is_restored);
    assert_int_equal(progress.rows, 1);
    assert_int_equal(progress.lag, 0);
    assert_string_equal(progress.problem, "");
    stop();
}

/* A transaction that is still open hides what is behind it; the high watermark is what counts. */
static void follower__waits_for_the_end_that_it_saw(void **state)
{
    (void)state;
    alv_producer *producer = NULL;
    alv_log_port *port = alv_sim_log_port(f.log);
    assert_int_equal(port->ops->open_producer(port, 0, &producer, NULL), ALV_OK);
    put(PRICES, 0, "apple", "1");
    assert_int_equal(producer->ops->begin(producer, NULL), ALV_OK);
    const alv_produce record = {
        .topic = PRICES, .shard = 0, .key = ALV_VIEW("apple"), .value = ALV_VIEW("2")};
    assert_int_equal(producer->ops->produce(producer, &record, NULL), ALV_OK);
    start();
    turn(5);
    char why[200] = "";
    assert_string_equal(row(0, "apple"), "restoring");
    assert_false(alv_tables_ready(f.tables, why, sizeof why));
    assert_non_null(strstr(why, "global table prices is being restored: 1 of 2 records"));
    assert_int_equal(producer->ops->abort(producer, NULL), ALV_OK);
    turn(1);
    assert_string_equal(row(0, "apple"), "1");
    assert_true(alv_tables_ready(f.tables, why, sizeof why));
    stop();
    producer->ops->close(producer);
}

/* The row before may be compacted away for whoever reads the topic next. */
static void follower__takes_what_is_not_json_for_no_row(void **state)
{
    (void)state;
    put(PRICES, 0, "apple", "1");
    put(PRICES, 0, "apple", "{\"cents\":");
    put(PRICES, 0, "pear", "2");
    start();
    turn(2);
    assert_string_equal(row(0, "apple"), "none");
    assert_string_equal(row(0, "pear"), "2");
    assert_int_equal(alv_tables_progress(f.tables, 0).unreadable, 1);
    stop();
}

static void follower__keeps_the_last_view_while_it_reads_again(void **state)
{
    (void)state;
    put(PRICES, 0, "apple", "1");
    put(PRICES, 0, "pear", "2");
    start();
    turn(2);
    assert_int_equal(version(0, 0), 2);
    put(PRICES, 0, "apple", "3");
    put(PRICES, 0, "plum", "4");
    put(PRICES, 0, "plum", NULL);
    alv_sim_log_truncate(f.log, PRICES, 0, 4);
    put(PRICES, 0, "pear", "5");
    turn(1); /* the reader's place is gone */
    assert_string_equal(row(0, "apple"), "1");
    assert_int_equal(version(0, 0), 2);
    turn(3);
    assert_string_equal(row(0, "pear"), "5");
    assert_string_equal(row(0, "apple"), "none"); /* as for anybody who reads this topic now */
    assert_int_equal(version(0, 0), 6);
    stop();
}

static void follower__stays_where_it_is_when_memory_is_short(void **state)
{
    (void)state;
    char why[200] = "";
    put(LIMITS, 0, "anna", "1");
    start_with("global.tables.memory.bytes=64KiB");
    turn(2);
    assert_int_equal(version(1, 0), 1);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        put(LIMITS, 0, key, "\"a text of some length\"");
    }
    put(LIMITS, 0, "anna", "2");
    turn(3);
    assert_string_equal(row(1, "anna"), "1");
    assert_int_equal(version(1, 0), 1);
    assert_false(alv_tables_ready(f.tables, why, sizeof why));
    assert_non_null(strstr(why, "global.tables.memory.bytes=65536"));
    assert_int_equal(f.changes, 2); /* ready, and no longer */
    stop();

    start_with("global.tables.memory.bytes=64KiB"); /* from the beginning it is never ready */
    turn(3);
    assert_string_equal(row(1, "anna"), "restoring");
    assert_int_equal(f.changes, 0);
    stop();
}

static void follower__passes_over_records_without_a_key(void **state)
{
    (void)state;
    (void)alv_sim_log_append_bytes(f.log, PRICES, 0, ALV_VIEW_NONE, ALV_VIEW("1"), NULL, 0);
    put(PRICES, 0, "apple", "2");
    start();
    turn(2);
    assert_string_equal(row(0, "apple"), "2");
    assert_int_equal(version(0, 0), 2);
    alv_table_progress progress = alv_tables_progress(f.tables, 0);
    assert_int_equal(progress.rows, 1);
    assert_int_equal(progress.unreadable, 0);
    stop();
}

/* Whichever call to the log fails: what there is to wait for is said, and then the copies are complete. */
static void follower__follows_after_a_call_that_failed(void **state)
{
    (void)state;
    alv_io_faults io;
    int shown = 0;
    put(PRICES, 0, "apple", "1");
    put(PRICES, 1, "pear", "2");
    put(LIMITS, 0, "anna", "3");
    for (int64_t at = 0; at < 20; at++) {
        alv_io_faults_arm(&io, at, 0);
        alv_faulty_log *faulty = alv_faulty_log_new(alv_sim_log_port(f.log), &io, 2);
        f.port = alv_faulty_log_port(faulty);
        start();
        turn(1);
        for (size_t i = 0; i < 2; i++)
            shown += strlen(alv_tables_progress(f.tables, i).problem) > 0;
        alv_manual_clock_advance(&f.clock, ALV_BACKOFF_MAX_MS);
        turn(3);
        assert_string_equal(row(0, "apple"), "1");
        assert_string_equal(row(0, "pear"), "2");
        assert_string_equal(row(1, "anna"), "3");
        for (size_t i = 0; i < 2; i++)
            assert_string_equal(alv_tables_progress(f.tables, i).problem, "");
        stop();
        alv_faulty_log_free(faulty);
    }
    assert_true(shown > 0);
}

/* What was handed out is not handed out again in an older version: there is nothing to read it from. */
static void follower__waits_for_a_topic_that_lost_its_end(void **state)
{
    (void)state;
    alv_table copies[2] = {{.topic_id = "prices-id", .partition_count = 2},
                           {.topic_id = "limits-id", .partition_count = 1}};
    for (int i = 0; i < 2; i++)
        alv_table_map_init(&copies[i].rows, 1);
    put(PRICES, 0, "apple", "1");
    start();
    turn(2);
    assert_string_equal(row(0, "apple"), "1");
    alv_table_map_put(&copies[0].rows, ALV_VIEW("apple"), json_integer(9), 1);
    copies[0].offsets[0] = 4; /* there were three more */
    alv_tables_publish(f.tables, copies);
    put(PRICES, 0, "apple", "2");
    alv_sim_log_truncate(f.log, PRICES, 0, 2); /* so that it is read again */
    turn(3);
    assert_string_equal(row(0, "apple"), "9");
    assert_non_null(strstr(alv_tables_progress(f.tables, 0).problem,
                           "its topic was cut off: partition 0 ends at 2, and 4 was read"));
    put(PRICES, 0, "apple", "3");
    put(PRICES, 0, "apple", "4");
    alv_manual_clock_advance(&f.clock, ALV_BACKOFF_MAX_MS);
    turn(3);
    assert_string_equal(row(0, "apple"), "4");
    assert_int_equal(version(0, 0), 4);
    assert_string_equal(alv_tables_progress(f.tables, 0).problem, "");
    stop();
    for (int i = 0; i < 2; i++)
        alv_table_map_done(&copies[i].rows);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)
    const struct CMUnitTest tests[] = {
        TEST(follower__hands_out_what_was_there_and_follows),
        TEST(follower__waits_for_the_end_that_it_saw),
        TEST(follower__takes_what_is_not_json_for_no_row),
        TEST(follower__keeps_the_last_view_while_it_reads_again),
        TEST(follower__stays_where_it_is_when_memory_is_short),
        TEST(follower__passes_over_records_without_a_key),
        TEST(follower__follows_after_a_call_that_failed),
        TEST(follower__waits_for_a_topic_that_lost_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
