/* Goal: a node whose disk fails once while it writes ends, says why, and lets go of its shards at once, also with
 *       shutdown=stay: the others go on with them, and it is a node like any other when it is started again.
 *
 * Method: a limit on the size of the files of one process stands for the disk. Nobody who waits for the session of
 *         the node to end, or keeps the shards without being able to write, gets through before the deadline.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/padded_load.h"

#define USERS 4000
#define STATE_BYTES 2000
#define CHANGES 30000            /* several times what RocksDB keeps in memory */
#define FILE_BYTES (1024 * 1024) /* a table does not fit, what the node logs does */
#define TIMEOUT_MS 50000

static const char *const settings[] = {"lanes=1",
                                       "shards=4",
                                       "shutdown=stay",
                                       "state.memory.bytes=16MiB",
                                       "kafka.session.timeout.ms=60000",
                                       NULL};

static void limit_files(const alv_cluster_node *node)
{
    const struct rlimit limit = {FILE_BYTES, FILE_BYTES};
    assert_int_equal(prlimit(node->process.pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

static void disk_failure__ends_the_node_and_nothing_else(void **state)
{
    (void)state;
    alv_cluster cluster;
    alv_cluster_open(&cluster, "disk-failure");
    alv_cluster_node *whole = alv_cluster_add_node(&cluster);
    alv_cluster_node *failing = alv_cluster_add_node(&cluster);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR); /* the nodes inherit it: EFBIG instead */
    alv_cluster_start_node(whole, settings);
    alv_cluster_start_node(failing, settings);
    alv_cluster_wait_ready(whole);
    alv_cluster_wait_ready(failing);
    const alv_padded_load_options options = {.brokers = cluster.brokers,
                                             .topics = cluster.application,
                                             .users = USERS,
                                             .state_bytes = STATE_BYTES};
    alv_padded_load *load = alv_padded_load_open(&options);
    alv_padded_load_bring_up(load);
    alv_cluster_wait_consumed(&cluster, TIMEOUT_MS);

    limit_files(failing);
    alv_padded_load_change(load, CHANGES);
    assert_true(alv_process_wait(&failing->process, TIMEOUT_MS));
    assert_int_equal(failing->process.exit_status, 1);
    assert_true(
        alv_cluster_log_has(failing, "RocksDB writes no more, because the disk has failed"));
    assert_true(alv_cluster_log_has(failing, "start the node again"));
    alv_cluster_wait_consumed(&cluster, TIMEOUT_MS);
    assert_int_equal(alv_padded_load_count_wrong(load, alv_cluster_topic(&cluster, "changelog")),
                     0);

    alv_cluster_start_node(failing, settings);
    alv_cluster_wait_ready(failing);
    alv_padded_load_change(load, CHANGES);
    alv_cluster_wait_consumed(&cluster, TIMEOUT_MS);
    assert_int_equal(alv_padded_load_count_wrong(load, alv_cluster_topic(&cluster, "changelog")),
                     0);
    alv_padded_load_close(load);

    alv_cluster_stop_node(failing);
    alv_cluster_stop_node(whole);
    cluster.passed = true;
    alv_cluster_close(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_failure__ends_the_node_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
