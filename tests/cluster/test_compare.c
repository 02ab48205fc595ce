/* test_compare.c — what bench/compare relies on: both contenders end with the states of the model, and a
 * wrong state is found.
 *
 * Goal:   the comparison never sets a wrong answer against a right one, and the Kafka Streams program
 *         builds and does the job.
 * Method: a small topic of random commands, drained by each contender; then one more command that the
 *         model does not know. Without Maven, or without a network for its first build, the Kafka
 *         Streams part is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/contender.h"
#include "tests/support/group_offsets.h"
#include "tests/support/usage.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"
#include "tests/support/workload.h"

#define SHARDS 4
#define USERS 300
#define COMMANDS 3000
#define BUILD_TIMEOUT_MS 300000
#define DRAIN_TIMEOUT_MS 180000

static alv_cluster cluster;

typedef struct drained {
    alv_group_offsets *offsets;
    int64_t commands;
} drained;

static bool is_drained(void *payload)
{
    drained *d = payload;
    return alv_group_offsets_sum(d->offsets) == d->commands;
}

static void wait_drained(alv_contender *contender, int64_t commands)
{
    drained d = {alv_group_offsets_open(cluster.brokers, alv_contender_group(contender),
                                        alv_cluster_topic(&cluster, "commands")),
                 commands};
    assert_true(alv_wait_until(is_drained, &d, DRAIN_TIMEOUT_MS));
    alv_group_offsets_close(d.offsets);
}

static alv_workload *fill(void)
{
    alv_contender_create_topics(&cluster, cluster.application, SHARDS);
    const alv_workload_options options = {.brokers = cluster.brokers,
                                          .topics = cluster.application,
                                          .users = USERS,
                                          .commands = COMMANDS,
                                          .seed = 7};
    alv_workload *workload = alv_workload_fill(&options);
    assert_int_equal(alv_workload_commands(workload), COMMANDS);
    assert_true(alv_workload_commands_first(workload) >= USERS);
    return workload;
}

static alv_contender *start(alv_contender_kind kind)
{
    const alv_contender_options options = {
        .kind = kind, .stack = &cluster, .topics = cluster.application, .shards = SHARDS};
    alv_contender *contender = alv_contender_open(&options);
    alv_contender_start(contender, 0);
    return contender;
}

/* A command that the model has not made. */
static void send_behind_its_back(void)
{
    alv_wire *wire = alv_wire_open(cluster.brokers);
    const alv_wire_record record = {
        .topic = alv_cluster_topic(&cluster, "commands"),
        .partition = -1,
        .key = ALV_VIEW("mall-0:user-0"),
        .value = ALV_VIEW("{\"type\":\"add_balance\",\"amount\":1}"),
    };
    alv_wire_send(wire, &record);
    alv_wire_flush(wire);
    alv_wire_close(wire);
}

static void check_contender(alv_contender_kind kind)
{
    alv_cluster_open(&cluster, "compare");
    alv_workload *workload = fill();
    alv_contender *contender = start(kind);
    wait_drained(contender, COMMANDS);
    const char *changelog = alv_contender_changelog(contender);
    assert_int_equal(alv_workload_count_wrong(workload, changelog), 0);
    assert_true(alv_usage_cpu_us(alv_contender_pid(contender, 0)) > 0);
    assert_true(alv_usage_peak_kib(alv_contender_pid(contender, 0)) > 1024);

    send_behind_its_back();
    wait_drained(contender, COMMANDS + 1);
    assert_int_equal(alv_workload_count_wrong(workload, changelog), 1);

    alv_contender_stop(contender, 0);
    alv_wire_delete_group(cluster.brokers, alv_contender_group(contender));
    assert_int_equal(alv_wire_committed(cluster.brokers, alv_contender_group(contender),
                                        alv_cluster_topic(&cluster, "commands")),
                     0); /* as if it had never been there */
    alv_contender_passed(contender);
    alv_contender_close(contender);
    alv_workload_free(workload);
    cluster.passed = true;
    alv_cluster_close(&cluster);
}

static void alluvium__leaves_the_states_of_the_model(void **state)
{
    (void)state;
    check_contender(ALV_CONTENDER_ALLUVIUM);
}

static bool streams_builds(void)
{
    alv_cluster_open(&cluster, "compare");
    char *build = alv_format("%s/bench/kafka-streams/build", cluster.root);
    const char *const argv[] = {build, NULL};
    alv_process_files files = {.err = "/dev/stderr"};
    int status = alv_process_run(argv, files, BUILD_TIMEOUT_MS);
    alv_free(build);
    cluster.passed = true;
    alv_cluster_close(&cluster);
    return status == 0;
}

static void streams__leaves_the_states_of_the_model(void **state)
{
    (void)state;
    if (!streams_builds()) {
        skip();
    }
    check_contender(ALV_CONTENDER_STREAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alluvium__leaves_the_states_of_the_model),
        cmocka_unit_test(streams__leaves_the_states_of_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
