/* Goal: a node that comes back under another address, before its session with the group has ended, is found there.
 *
 * Method: failover.evict=false, so that nobody takes the seats of the killed node away meanwhile; every entity is
 * asked of the other node. Without the remedy that one asks at the former address until the test gives up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wait.h"

#define USERS 40
#define TIMEOUT_MS 60000

static const char *const settings[] = {"lanes=2", "shards=8", "failover.evict=false",
                                       "kafka.session.timeout.ms=60000", NULL};

/* A part of them belongs to the other node. */
static bool knows_all(void *payload)
{
    for (int i = 0; i < USERS; i++) {
        char path[64];
        int status = 0;
        (void)snprintf(path, sizeof path, "/v1/entities/m:%d", i);
        json_decref(alv_cluster_http(payload, path, &status));
        if (status != 200) {
            return false;
        }
    }
    return true;
}

/* Whether the first node knows shards that are at the address of the second. */
static bool sees_shards(void *payload)
{
    alv_cluster_node *const *nodes = payload;
    int status = 0;
    json_t *shards = alv_cluster_http(nodes[0], "/v1/shards", &status);
    char *text = status == 200 ? json_dumps(shards, JSON_COMPACT) : NULL;
    bool sees = text != NULL && strstr(text, nodes[1]->address) != NULL;
    free(text);
    json_decref(shards);
    return sees;
}

static void readdress__a_node_is_found_where_it_is_now(void **state)
{
    (void)state;
    alv_cluster cluster;
    alv_cluster_open(&cluster, "readdress");
    alv_cluster_node *stays = alv_cluster_add_node(&cluster);
    alv_cluster_node *moves = alv_cluster_add_node(&cluster);
    const alv_cluster_node *elsewhere = alv_cluster_add_node(&cluster); /* its address is wanted */
    alv_cluster_node *nodes[] = {stays, moves};
    alv_cluster_start_node(stays, settings);
    alv_cluster_start_node(moves, settings);
    alv_cluster_wait_ready(stays);
    alv_cluster_wait_ready(moves);
    assert_true(alv_wait_until(sees_shards, nodes, TIMEOUT_MS));
    alv_cluster_add_to_users(&cluster, USERS);
    alv_cluster_wait_consumed(&cluster, TIMEOUT_MS);
    assert_true(alv_wait_until(knows_all, stays, TIMEOUT_MS));

    alv_process_kill(&moves->process);
    memcpy(moves->address, elsewhere->address, sizeof moves->address);
    alv_cluster_start_node(moves, settings);
    alv_cluster_wait_ready(moves);
    assert_true(alv_wait_until(sees_shards, nodes, TIMEOUT_MS));
    assert_true(alv_wait_until(knows_all, stays, TIMEOUT_MS));
    assert_true(alv_cluster_log_has(moves, "event=readdressed"));

    alv_cluster_stop_node(moves);
    alv_cluster_stop_node(stays);
    cluster.passed = true;
    alv_cluster_close(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readdress__a_node_is_found_where_it_is_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
