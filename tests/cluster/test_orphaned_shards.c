/* Goal: a shard that the group has given to nobody is found and given to somebody, and its commands are executed.
 *
 * Method: a node that has all shards dies in the moment in which it is told to hand some of them to a second one,
 * and comes back before its session ends: the coordinator gives it what it was told to keep, and the others to
 * nobody. failover.evict=false, because evicting the dead node would make the group assign anew. Without the
 * remedy the commands of those shards wait until the test gives up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wait.h"

#define USERS 100
#define TIMEOUT_MS 90000

static const char *const settings[] = {"lanes=1", "shards=8", "failover.evict=false",
                                       "kafka.session.timeout.ms=60000", NULL};

static bool has_died(void *payload)
{
    return !alv_process_running(payload);
}

static void orphaned_shards__get_an_owner(void **state)
{
    (void)state;
    alv_cluster cluster;
    alv_cluster_open(&cluster, "orphans");
    alv_cluster_node *first = alv_cluster_add_node(&cluster);
    alv_cluster_node *second = alv_cluster_add_node(&cluster);

    first->fault = "in-revoke:1:kill";
    alv_cluster_start_node(first, settings);
    alv_cluster_wait_ready(first);
    alv_cluster_start_node(second, settings);
    assert_true(alv_wait_until(has_died, &first->process, TIMEOUT_MS));
    first->fault = NULL;
    alv_cluster_start_node(first, settings);

    alv_cluster_add_to_users(&cluster, USERS);
    alv_cluster_wait_consumed(&cluster, TIMEOUT_MS);
    json_t *states = alv_cluster_changelog_states(&cluster);
    assert_int_equal(json_object_size(states), USERS);
    json_decref(states);
    assert_true(alv_cluster_log_has(first, "event=shards-orphaned"));
    assert_true(alv_cluster_log_has(first, "event=group-nudged"));

    alv_cluster_stop_node(second);
    alv_cluster_stop_node(first);
    cluster.passed = true;
    alv_cluster_close(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orphaned_shards__get_an_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
