/* Goal:   a scan delivers what is committed of a shard, once, in order, up to the end it was given.
 * Method: the simulated log, with records outside of and inside transactions, committed and aborted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "changelog/log_scan.h"
#include "tests/support/faulty_log.h"
#include "tests/support/sim_log.h"

typedef struct fixture {
    alv_sim_log *log;
    alv_log_port *port;
    alv_reader *reader;
    alv_consumer *consumer; /* for commits */
    char seen[256];         /* keys, one letter each */
    int64_t last;
} fixture;

static void no_assigned(void *payload, const int32_t *shards, size_t count)
{
    (void)payload;
    (void)shards;
    (void)count;
}

static void no_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    (void)lost;
    no_assigned(payload, shards, count);
}

static int set_up(void **state)
{
    const alv_rebalance_listener listener = {.assigned = no_assigned, .revoked = no_revoked};
    static fixture f;
    f = (fixture){.log = alv_sim_log_new(2), .last = -1};
    f.port = alv_sim_log_port(f.log);
    assert_int_equal(f.port->ops->open_reader(f.port, "test", &f.reader, NULL), ALV_OK);
    assert_int_equal(f.port->ops->open_consumer(f.port, 0, &listener, &f.consumer, NULL), ALV_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    f->reader->ops->close(f->reader);
    f->consumer->ops->close(f->consumer, false);
    alv_sim_log_free(f->log);
    return 0;
}

static void visit(void *payload, const alv_record *record)
{
    fixture *f = payload;
    assert_int_equal(record->shard, 1);
    assert_true(record->offset > f->last);
    f->last = record->offset;
    strncat(f->seen, record->key.data, 1);
}

static void append(fixture *f, int32_t shard, const char *key)
{
    (void)alv_sim_log_append(f->log, ALV_TOPIC_CHANGELOG, shard, key, "{}", NULL, 0);
}

/* A transaction of one record, committed or not. */
static void append_in_transaction(fixture *f, alv_producer *producer, const char *key, bool commit)
{
    const alv_produce record = {
        .topic = ALV_TOPIC_CHANGELOG, .shard = 1, .key = alv_view_of(key), .value = ALV_VIEW("{}")};
    assert_int_equal(producer->ops->begin(producer, NULL), ALV_OK);
    assert_int_equal(producer->ops->produce(producer, &record, NULL), ALV_OK);
    if (commit) {
        assert_int_equal(producer->ops->commit(producer, f->consumer, NULL, 0, "test", NULL),
                         ALV_COMMIT_DONE);
    } else {
        assert_int_equal(producer->ops->abort(producer, NULL), ALV_OK);
    }
}

static void scan(fixture *f, int64_t end)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_log_range range = {ALV_TOPIC_CHANGELOG, 1, 0, end};
    if (alv_log_scan(f->reader, &range, alv_clock_system(), visit, f, &err) != ALV_OK) {
        fail_msg("%s", err.text);
    }
}

static void log_scan__visits_what_is_committed(void **state)
{
    fixture *f = *state;
    alv_producer *producer = NULL;
    assert_int_equal(f->port->ops->open_producer(f->port, 0, &producer, NULL), ALV_OK);
    append(f, 1, "a");
    append(f, 0, "x");
    append_in_transaction(f, producer, "b", true);
    append_in_transaction(f, producer, "c", false);
    append(f, 1, "d");
    append_in_transaction(f, producer, "e",
                          false); /* nothing but what is not delivered at the end */
    scan(f, alv_sim_log_end(f->log, ALV_TOPIC_CHANGELOG, 1));
    assert_string_equal(f->seen, "abd");
    producer->ops->close(producer);
}

static void log_scan__ends_where_it_is_told_to(void **state)
{
    fixture *f = *state;
    append(f, 1, "a");
    append(f, 1, "b");
    append(f, 1, "c");
    scan(f, 2);
    assert_string_equal(f->seen, "ab");
    f->last = -1;
    scan(f, 3); /* the reader is free again */
    assert_string_equal(f->seen, "ababc");
}

static void log_scan__an_empty_shard_is_done_at_once(void **state)
{
    fixture *f = *state;
    append(f, 0, "x");
    scan(f, 0);
    assert_string_equal(f->seen, "");
}

/* A poll that fails in passing costs nothing; a scan that cannot begin says why. */
static void log_scan__goes_on_when_a_call_fails(void **state)
{
    fixture *f = *state;
    alv_io_faults io;
    alv_faulty_log *faulty = alv_faulty_log_new(f->port, &io, 2);
    alv_log_port *port = alv_faulty_log_port(faulty);
    alv_reader *reader = NULL;
    alv_error err = ALV_ERROR_NONE;
    const alv_clock *clock = alv_clock_system();
    const alv_log_range all = {ALV_TOPIC_CHANGELOG, 1, 0, 2};
    alv_io_faults_arm(&io, ALV_IO_FAULTS_OFF, 0);
    assert_int_equal(port->ops->open_reader(port, "faulty", &reader, NULL), ALV_OK);
    append(f, 1, "a");
    append(f, 1, "b");
    alv_io_faults_arm(&io, 0, 0);
    assert_int_equal(alv_log_scan(reader, &all, clock, visit, f, &err), ALV_RETRY);
    assert_string_equal(io.call, "reader.assign");
    assert_non_null(strstr(err.text, "reader.assign"));
    assert_string_equal(f->seen, "");
    alv_io_faults_arm(&io, 1, 0);
    assert_int_equal(alv_log_scan(reader, &all, clock, visit, f, NULL), ALV_OK);
    assert_string_equal(io.call, "reader.poll");
    assert_string_equal(f->seen, "ab");
    reader->ops->close(reader);
    alv_faulty_log_free(faulty);
}

/* ---- giving up ------------------------------------------------------------------------------- */

#define TURN_MS 1000
#define PATIENCE_MS (3 * ALV_TRANSACTION_TIMEOUT_MS)

/* A clock that moves by a second whenever it is asked. */
typedef struct walking_clock {
    alv_clock clock;
    int64_t asked;
} walking_clock;

static int64_t walk(const alv_clock *clock)
{
    return ++((walking_clock *)(uintptr_t)clock)->asked * TURN_MS * 1000;
}

static walking_clock walking_clock_new(void)
{
    return (walking_clock){.clock = {.monotonic_us = walk}};
}

/* A transaction that nobody ends: what is in front of it is delivered, and then it is said where it stands. */
static void log_scan__gives_up_in_front_of_a_transaction_that_stays_open(void **state)
{
    fixture *f = *state;
    alv_producer *producer = NULL;
    alv_error err = ALV_ERROR_NONE;
    walking_clock clock = walking_clock_new();
    const alv_produce record = {
        .topic = ALV_TOPIC_CHANGELOG, .shard = 1, .key = ALV_VIEW("b"), .value = ALV_VIEW("{}")};
    append(f, 1, "a");
    assert_int_equal(f->port->ops->open_producer(f->port, 0, &producer, NULL), ALV_OK);
    assert_int_equal(producer->ops->begin(producer, NULL), ALV_OK);
    assert_int_equal(producer->ops->produce(producer, &record, NULL), ALV_OK);
    const alv_log_range all = {ALV_TOPIC_CHANGELOG, 1, 0, 2};
    assert_int_equal(alv_log_scan(f->reader, &all, &clock.clock, visit, f, &err), ALV_RETRY);
    assert_string_equal(err.text, "changelog of shard 1 cannot be read past offset 1 of 2: a "
                                  "transaction stays open there");
    assert_string_equal(f->seen, "a");
    assert_in_range(clock.asked * TURN_MS, PATIENCE_MS, PATIENCE_MS + 10 * TURN_MS);
    producer->ops->close(producer);
}

/* A log whose polls all fail. */
static alv_status poll_nothing(alv_reader *reader, int timeout_ms, alv_batch *out, alv_error *err)
{
    (void)reader;
    (void)timeout_ms;
    alv_batch_clear(out);
    return alv_fail(err, ALV_RETRY, "all brokers are away");
}

static void log_scan__gives_up_with_the_reason_that_the_log_gave(void **state)
{
    fixture *f = *state;
    alv_error err = ALV_ERROR_NONE;
    walking_clock clock = walking_clock_new();
    append(f, 1, "a");
    const alv_reader_ops *ops = f->reader->ops;
    alv_reader_ops away = *ops;
    away.poll = poll_nothing;
    f->reader->ops = &away;
    const alv_log_range all = {ALV_TOPIC_CHANGELOG, 1, 0, 1};
    assert_int_equal(alv_log_scan(f->reader, &all, &clock.clock, visit, f, &err), ALV_RETRY);
    f->reader->ops = ops;
    assert_string_equal(err.text, "all brokers are away");
    assert_string_equal(f->seen, "");
    scan(f, 1); /* the shard is not left assigned */
    assert_string_equal(f->seen, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(log_scan__visits_what_is_committed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_scan__ends_where_it_is_told_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_scan__an_empty_shard_is_done_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(log_scan__goes_on_when_a_call_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            log_scan__gives_up_in_front_of_a_transaction_that_stays_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(log_scan__gives_up_with_the_reason_that_the_log_gave,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
