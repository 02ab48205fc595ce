/* Goal:   a cluster whose nodes show each other certificates and a token works as any other: they forward,
 *         hear each other and take over; and nobody else gets in.
 * Method: three real nodes over mutual TLS with certificates made for this run; the command line and curl as
 *         clients, with and without what is asked for; kill -9 of one node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/certificates.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"

#define NODES 3
#define USERS 24
#define SETTLE_MS 30000
#define NEW_TOKEN "another-token-of-a-test-and-nothing-else"

static struct {
    alv_cluster cluster;
    alv_cluster_node *nodes[NODES];
    int running; /* from nodes[0] on */
    int balance; /* of every user */
    int tests_passed;
} fixture;

/* How many of the other nodes this one hears. */
static int heard_by(const alv_cluster_node *node)
{
    int heard = 0;
    int status = 0;
    json_t *answer = alv_cluster_http(node, "/v1/peers", &status);
    size_t i;
    json_t *peer;
    json_array_foreach(json_object_get(answer, "peers"), i, peer)
    {
        const char *state = json_string_value(json_object_get(peer, "state"));
        heard += state != NULL && strcmp(state, "alive") == 0;
    }
    json_decref(answer);
    return heard;
}

static bool all_are_heard(void *payload)
{
    (void)payload;
    for (int i = 0; i < fixture.running; i++) {
        if (heard_by(fixture.nodes[i]) != fixture.running - 1) {
            return false;
        }
    }
    return true;
}

/* Nodes ask each other about themselves with the same credentials; nobody remains unknown. */
static bool all_are_known(void *payload)
{
    (void)payload;
    int known = 0;
    for (int i = 0; i < fixture.running; i++) {
        int status = 0;
        json_t *answer = alv_cluster_http(fixture.nodes[i], "/v1/cluster", &status);
        known += status == 200 && json_array_size(json_object_get(answer, "unknown")) == 0 &&
                 json_array_size(json_object_get(answer, "nodes")) == (size_t)fixture.running;
        json_decref(answer);
    }
    return known == fixture.running;
}

/* Every node answers for every user, wherever it lives. */
static void assert_balances(int balance)
{
    json_t *keys = json_array();
    for (int i = 0; i < USERS; i++) {
        json_array_append_new(keys, json_sprintf("m:%d", i));
    }
    for (int i = 0; i < fixture.running; i++) {
        json_t *states = alv_cluster_http_states(fixture.nodes[i], keys);
        const char *key;
        json_t *state;
        assert_int_equal(json_object_size(states), USERS);
        json_object_foreach(states, key, state)
        {
            assert_int_equal(json_integer_value(json_object_get(state, "balance")), balance);
        }
        json_decref(states);
    }
    json_decref(keys);
}

static void secured__nodes_hear_each_other_and_forward(void **state)
{
    (void)state;
    assert_true(alv_wait_until(all_are_heard, NULL, SETTLE_MS));
    assert_true(alv_wait_until(all_are_known, NULL, SETTLE_MS));
    alv_cluster_add_to_users(&fixture.cluster, USERS);
    alv_cluster_wait_consumed(&fixture.cluster, SETTLE_MS);
    assert_balances(++fixture.balance);
    fixture.tests_passed++;
}

static long ask_for(const char *path, const char *ca, const char *certificate, const char *key,
                    const char *header)
{
    const alv_http_identity shown = {ca, certificate, key};
    alv_http_result result =
        alv_http_call_as(&shown, "GET", fixture.nodes[0]->address, path, header);
    long status = result.status;
    alv_http_result_done(&result);
    return status;
}

static long ask_as(const char *ca, const char *certificate, const char *key, const char *header)
{
    return ask_for("/v1/entities/m:1", ca, certificate, key, header);
}

static void secured__strangers_are_refused(void **state)
{
    (void)state;
    const char *token = "Authorization: Bearer " ALV_CLUSTER_TOKEN;
    char *ca = alv_cluster_path(&fixture.cluster, "ca.pem");
    char *certificate = alv_cluster_path(&fixture.cluster, "node.pem");
    char *key = alv_cluster_path(&fixture.cluster, "node.key");
    char *foreign = alv_cluster_path(&fixture.cluster, "foreign.pem");
    char *foreign_key = alv_cluster_path(&fixture.cluster, "foreign.key");
    alv_certificates_make_ca(fixture.cluster.directory, "other-ca");
    alv_certificates_make(fixture.cluster.directory, "other-ca", "foreign");
    assert_int_equal(ask_as(ca, certificate, key, token), 200);
    assert_int_equal(ask_as(ca, certificate, key, NULL), 401);
    assert_int_equal(ask_as(ca, certificate, key, "Authorization: Bearer wrong-token-of-a-test"),
                     401);
    assert_int_equal(ask_as(ca, NULL, NULL, token), 403);
    assert_int_equal(ask_as(ca, foreign, foreign_key, token), 403);
    assert_int_equal(ask_as(NULL, NULL, NULL, token), 0); /* plain HTTP */
    static const char *const streams[] = {"/v1/watch?key=m:1", "/v1/peers/stream"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask_for(streams[i], ca, certificate, key, NULL), 401);
        assert_int_equal(ask_for(streams[i], ca, NULL, NULL, token), 403);
        assert_int_equal(ask_for(streams[i], ca, foreign, foreign_key, token), 403);
    }
    alv_free(ca);
    alv_free(certificate);
    alv_free(key);
    alv_free(foreign);
    alv_free(foreign_key);
    fixture.tests_passed++;
}

static void secured__the_command_line_shows_what_its_settings_say(void **state)
{
    (void)state;
    const char *config = fixture.cluster.config_path;
    const char *address = fixture.nodes[1]->address;
    alv_cluster_result result =
        alv_cluster_run(&fixture.cluster, NULL,
                        (const char *const[]){"get", "-c", config, "--node", address, "m:1", NULL});
    assert_int_equal(result.exit_status, 0);
    assert_non_null(strstr(result.out, "\"balance\""));
    alv_cluster_result_done(&result);
    result =
        alv_cluster_run(&fixture.cluster, NULL,
                        (const char *const[]){"status", "-c", config, "--node", address, NULL});
    assert_int_equal(result.exit_status, 0);
    assert_non_null(strstr(result.out, "6 shards, 6 active"));
    alv_cluster_result_done(&result);
    result = alv_cluster_run(&fixture.cluster, NULL,
                             (const char *const[]){"get", "-c", config, "-X",
                                                   "http.auth.token.file=", "--node", address,
                                                   "m:1", NULL});
    assert_int_equal(result.exit_status, 1);
    assert_non_null(strstr(result.err, "401"));
    alv_cluster_result_done(&result);
    result = alv_cluster_run(&fixture.cluster, NULL,
                             (const char *const[]){"node", "-c", config, "--print-config", NULL});
    assert_int_equal(result.exit_status, 0);
    assert_null(strstr(result.out, ALV_CLUSTER_TOKEN));
    assert_non_null(strstr(result.out, "http.auth.token=***"));
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

/* A stream of events over TLS, for a client that shows certificate and token; changes are sent until it has
 * seen some. */
static void secured__changes_are_watched_over_tls(void **state)
{
    (void)state;
    char *out = alv_cluster_path(&fixture.cluster, "watched");
    const char *const argv[] = {fixture.cluster.binary,
                                "watch",
                                "-c",
                                fixture.cluster.config_path,
                                "--node",
                                fixture.nodes[1]->address,
                                "--count",
                                "2",
                                "--prefix",
                                "m:",
                                NULL};
    alv_process watch = {0};
    alv_process_start(&watch, argv, (alv_process_files){.out = out, .err = out});
    int64_t deadline = alv_wait_deadline(SETTLE_MS);
    while (!alv_process_wait(&watch, 500)) {
        assert_false(alv_wait_expired(deadline));
        alv_cluster_add_to_users(&fixture.cluster, USERS);
        fixture.balance++;
    }
    assert_int_equal(watch.exit_status, 0);
    alv_process_done(&watch);
    char line[512] = "";
    FILE *file = fopen(out, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_non_null(strstr(line, "\"balance\""));
    (void)fclose(file);
    alv_free(out);
    fixture.tests_passed++;
}

/* Stops and starts each node, one after the other; in between all others serve, and all hear each other. */
static void roll(const char *const *settings)
{
    for (int i = 0; i < NODES; i++) {
        alv_cluster_stop_node(fixture.nodes[i]);
        alv_cluster_start_node(fixture.nodes[i], settings);
        alv_cluster_wait_ready(fixture.nodes[i]);
        assert_true(alv_wait_until(all_are_heard, NULL, SETTLE_MS));
        assert_true(alv_wait_until(all_are_known, NULL, SETTLE_MS));
        assert_balances(fixture.balance);
    }
}

/* As docs/security.md says: everybody lets the new one in before anybody shows it. */
static void secured__a_token_is_changed_node_by_node(void **state)
{
    (void)state;
    static const char *const first[] = {"lanes=1", "shards=6", "http.auth.token.also=" NEW_TOKEN,
                                        NULL};
    static const char *const second[] = {"lanes=1",
                                         "shards=6",
                                         "http.auth.token.file=",
                                         "http.auth.token=" NEW_TOKEN,
                                         "http.auth.token.also=" ALV_CLUSTER_TOKEN,
                                         NULL};
    roll(first);
    roll(second);
    fixture.tests_passed++;
}

/* The verdict comes over the peers' streams; without it the session would have to end first, in 10 s. */
static void secured__a_killed_node_is_taken_over(void **state)
{
    (void)state;
    alv_process_kill(&fixture.nodes[2]->process);
    fixture.running = 2;
    alv_cluster_wait_log(fixture.nodes[0], "event=node-dead", SETTLE_MS);
    alv_cluster_add_to_users(&fixture.cluster, USERS);
    alv_cluster_wait_consumed(&fixture.cluster, SETTLE_MS);
    assert_balances(++fixture.balance);
    fixture.cluster.passed = ++fixture.tests_passed == 6;
}

static int start_fixture(void **state)
{
    (void)state;
    static const char *const settings[] = {"lanes=1", "shards=6", NULL};
    alv_cluster_open(&fixture.cluster, "secured");
    alv_cluster_use_tls(&fixture.cluster);
    for (int i = 0; i < NODES; i++) {
        fixture.nodes[i] = alv_cluster_add_node(&fixture.cluster);
        alv_cluster_start_node(fixture.nodes[i], settings);
    }
    fixture.running = NODES;
    for (int i = 0; i < NODES; i++) {
        alv_cluster_wait_ready(fixture.nodes[i]);
    }
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secured__nodes_hear_each_other_and_forward),
        cmocka_unit_test(secured__strangers_are_refused),
        cmocka_unit_test(secured__the_command_line_shows_what_its_settings_say),
        cmocka_unit_test(secured__changes_are_watched_over_tls),
        cmocka_unit_test(secured__a_token_is_changed_node_by_node),
        cmocka_unit_test(secured__a_killed_node_is_taken_over),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
