/* Goal:   nodes and the command line work over every way to be let in by Kafka (SCRAM, PLAIN, mutual TLS), with
 *         exactly the rights that `alluvium acls` prints; without any one of these they say which it is; and
 *         who is not let in is told why, soon.
 * Method: a broker of its own with TLS and an authorizer; three nodes of one cluster, each another user over
 *         another mechanism; rights are taken away one at a time, and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/certificates.h"
#include "tests/support/cluster_view.h"
#include "tests/support/kafka_identity.h"
#include "tests/support/wait.h"

#define NODES 3
#define USERS 12
#define SETTLE_MS 60000
/* librdkafka itself would try for ever, and say after 10 s that nobody answers. */
#define REFUSED_MS 8000

enum {
    NODE_SCRAM,
    NODE_PLAIN,
    NODE_TLS,
    MAKER,
    SENDER,
    READER,
    OPERATOR,
    REBUILDER,
    IDENTITY_COUNT
};

static alv_kafka_identity identities[IDENTITY_COUNT] = {
    [NODE_SCRAM] = {.name = "node-scram", .mechanism = "SCRAM-SHA-512"},
    [NODE_PLAIN] = {.name = "plain", .mechanism = "PLAIN"},
    [NODE_TLS] = {.name = "node-tls"},
    [MAKER] = {.name = "maker", .mechanism = "SCRAM-SHA-256"},
    [SENDER] = {.name = "sender", .mechanism = "SCRAM-SHA-256"},
    [READER] = {.name = "reader"},
    [OPERATOR] = {.name = "operator", .mechanism = "SCRAM-SHA-512"},
    [REBUILDER] = {.name = "rebuilder", .mechanism = "SCRAM-SHA-512"},
};

static struct {
    alv_cluster cluster;
    alv_kafka_guard *guard;
    alv_cluster_node *nodes[NODES];
    int balance; /* of every user, by the commands sent so far */
    int tests_passed;
} fixture;

/* ---- who is who ------------------------------------------------------------------------------ */

static void allow(int who, alv_access_role role)
{
    const alv_settings settings = {.application_id = fixture.cluster.application};
    alv_kafka_guard_allow_role(fixture.guard, identities[who].principal, role, &settings);
}

/* Runs `alluvium ARGUMENT...` as somebody. */
static alv_cluster_result run_as(int who, const char *const *arguments)
{
    return alv_kafka_identity_run(&identities[who], &fixture.cluster, arguments);
}

#define RUN_AS(who, ...) run_as(who, (const char *const[]){__VA_ARGS__, NULL})

/* Checks the exit status, and that stderr has the text; frees the result. */
static void expect(alv_cluster_result result, int status, const char *err)
{
    if (result.exit_status != status || (err != NULL && strstr(result.err, err) == NULL)) {
        fail_msg("exit status %d, expected %d and \"%s\"; it said:\n%s%s", result.exit_status,
                 status, err != NULL ? err : "", result.out, result.err);
    }
    alv_cluster_result_done(&result);
}

static void start_node(int number, int who)
{
    static const char *const settings[] = {"lanes=1", "topics.create=false", NULL};
    char *own = fixture.cluster.config_path;
    fixture.cluster.config_path = identities[who].config_path;
    alv_cluster_start_node(fixture.nodes[number], settings);
    fixture.cluster.config_path = own;
}

/* ---- what works ------------------------------------------------------------------------------ */

static void send_to_all_users(void)
{
    alv_bytes lines = ALV_BYTES_EMPTY;
    for (int i = 0; i < USERS; i++) {
        alv_bytes_printf(&lines, "m:%d\t{\"type\":\"add_balance\",\"amount\":1}\n", i);
    }
    alv_bytes_append(&lines, "", 1);
    expect(
        alv_cluster_run(&fixture.cluster, lines.data,
                        (const char *const[]){"send", "-c", identities[SENDER].config_path, NULL}),
        0, NULL);
    alv_bytes_done(&lines);
    fixture.balance++;
}

/* A commit is seen in Kafka a moment before its states are seen here. */
static bool balances_are_right(void *payload)
{
    const alv_cluster_node *asked = payload;
    json_t *keys = json_array();
    for (int i = 0; i < USERS; i++) {
        json_array_append_new(keys, json_sprintf("m:%d", i));
    }
    json_t *states = alv_cluster_http_states(asked, keys);
    const char *key;
    json_t *state;
    int right = 0;
    json_object_foreach(states, key, state)
    {
        right += json_integer_value(json_object_get(state, "balance")) == fixture.balance;
    }
    json_decref(states);
    json_decref(keys);
    return right == USERS;
}

static void wait_for_balances(alv_cluster_node *asked)
{
    assert_true(alv_wait_until(balances_are_right, asked, SETTLE_MS));
}

static void kafka_security__nodes_work_over_every_mechanism(void **state)
{
    (void)state;
    expect(RUN_AS(MAKER, "topics", "create", "-X", "shards=6"), 0, NULL);
    for (int i = 0; i < NODES; i++) {
        start_node(i, NODE_SCRAM + i);
    }
    for (int i = 0; i < NODES; i++) {
        alv_cluster_wait_ready(fixture.nodes[i]);
    }
    send_to_all_users();
    for (int i = 0; i < NODES; i++) {
        wait_for_balances(fixture.nodes[i]);
    }
    fixture.tests_passed++;
}

static void kafka_security__operators_look_and_repair(void **state)
{
    (void)state;
    expect(RUN_AS(OPERATOR, "topics", "check"), 0, NULL);
    expect(RUN_AS(SENDER, "send", "--raw", "m:1", "no JSON"), 0, NULL);
    alv_cluster_wait_consumed(&fixture.cluster, SETTLE_MS);
    alv_cluster_result list = RUN_AS(OPERATOR, "dead-letters", "list", "--json");
    assert_non_null(strstr(list.out, "m:1"));
    expect(list, 0, NULL);
    expect(RUN_AS(OPERATOR, "dead-letters", "retry", "--all"), 0, NULL);
    char *dir = alv_format("state.dir=%s", fixture.nodes[0]->state_dir);
    expect(RUN_AS(OPERATOR, "verify", "-X", dir), 0, NULL);
    alv_free(dir);
    fixture.tests_passed++;
}

/* The exit status. */
static int read_with_kcat(const char *suffix, const char *out)
{
    return alv_kafka_identity_kcat(&identities[READER], alv_cluster_topic(&fixture.cluster, suffix),
                                   out);
}

static void kafka_security__readers_read_states_and_nothing_else(void **state)
{
    (void)state;
    char *out = alv_cluster_path(&fixture.cluster, "kcat.out");
    assert_int_equal(read_with_kcat("changelog", out), 0);
    char line[64] = "";
    FILE *file = fopen(out, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_memory_equal(line, "m:", 2);
    (void)fclose(file);
    assert_int_not_equal(read_with_kcat("commands", out), 0);
    alv_free(out);
    fixture.tests_passed++;
}

/* Seats and transactional ids of another user are taken over: all nodes may use those of all. */
static void kafka_security__a_killed_node_is_taken_over(void **state)
{
    (void)state;
    alv_process_kill(&fixture.nodes[2]->process);
    alv_cluster_wait_log(fixture.nodes[0], "event=evicted node=node-3", SETTLE_MS);
    send_to_all_users();
    wait_for_balances(fixture.nodes[0]);
    fixture.tests_passed++;
}

/* ---- what is missing ------------------------------------------------------------------------- */

static char *what_is_needed(const alv_access *right)
{
    return alv_format("%s on %s %s", alv_access_operation_name(right->operation),
                      alv_access_kind_name(right->kind), right->name);
}

/* A right to a topic, or to transactions, ends the node; without a group it waits and says so. */
static void expect_node_to_say(const alv_access *right)
{
    alv_cluster_node *node = fixture.nodes[2];
    char *needed = what_is_needed(right);
    start_node(2, NODE_TLS);
    alv_cluster_wait_log(node, needed, SETTLE_MS);
    if (right->kind == ALV_ACCESS_GROUP) {
        alv_process_kill(&node->process);
    } else {
        assert_true(alv_process_wait(&node->process, SETTLE_MS));
        assert_int_equal(node->process.exit_status, 1);
    }
    alv_free(needed);
}

static size_t rights_of(alv_access_role role, alv_access out[ALV_ACCESS_MAX])
{
    const alv_settings settings = {.application_id = fixture.cluster.application};
    return alv_access_list(role, &settings, out);
}

/* The prefix of transactional ids is granted; what is missing is said of the one in hand. */
static void name_own_transactional_id(alv_access *right)
{
    if (right->kind == ALV_ACCESS_TRANSACTIONAL_ID) {
        (void)strncat(right->name, "node-3-0", sizeof right->name - strlen(right->name) - 1);
    }
}

static void kafka_security__a_node_names_the_right_it_lacks(void **state)
{
    (void)state;
    const char *principal = identities[NODE_TLS].principal;
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = rights_of(ALV_ACCESS_NODE, rights);
    for (size_t i = 0; i < count; i++) {
        alv_access said = rights[i];
        name_own_transactional_id(&said);
        alv_kafka_guard_forbid(fixture.guard, principal, &rights[i]);
        expect_node_to_say(&said);
        alv_kafka_guard_allow(fixture.guard, principal, &rights[i]);
    }
    start_node(2, NODE_TLS);
    alv_cluster_wait_ready(fixture.nodes[2]);
    fixture.tests_passed++;
}

static const alv_access *find_right(const alv_access *rights, size_t count, alv_topic topic,
                                    alv_access_operation operation)
{
    for (size_t i = 0; i < count; i++) {
        if (rights[i].kind == ALV_ACCESS_TOPIC && rights[i].topic == topic &&
            rights[i].operation == operation) {
            return &rights[i];
        }
    }
    fail_msg("there is no such right");
    return NULL;
}

/* Nothing is lost meanwhile: the transaction is aborted and tried again. */
static void kafka_security__a_right_taken_away_while_it_works_is_named_and_may_come_back(
    void **state)
{
    (void)state;
    static const alv_topic topics[] = {ALV_TOPIC_CHANGELOG, ALV_TOPIC_LEDGER};
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = rights_of(ALV_ACCESS_NODE, rights);
    for (size_t i = 0; i < 2; i++) {
        const alv_access *right = find_right(rights, count, topics[i], ALV_ACCESS_WRITE);
        char *needed = what_is_needed(right);
        alv_kafka_guard_forbid(fixture.guard, identities[NODE_SCRAM].principal, right);
        send_to_all_users();
        alv_cluster_wait_log(fixture.nodes[0], needed, SETTLE_MS);
        alv_kafka_guard_allow(fixture.guard, identities[NODE_SCRAM].principal, right);
        wait_for_balances(fixture.nodes[0]);
        alv_free(needed);
    }
    fixture.tests_passed++;
}

/* Takes one right away, runs a command, expects it to fail and to say so, and gives the right back. */
static void expect_to_lack(int who, alv_access_role role, alv_topic topic,
                           alv_access_operation operation, const char *const *arguments)
{
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = rights_of(role, rights);
    const alv_access *right = find_right(rights, count, topic, operation);
    char *needed = what_is_needed(right);
    alv_kafka_guard_forbid(fixture.guard, identities[who].principal, right);
    expect(run_as(who, arguments), 1, needed);
    alv_kafka_guard_allow(fixture.guard, identities[who].principal, right);
    alv_free(needed);
}

#define EXPECT_TO_LACK(who, role, topic, operation, ...) \
    expect_to_lack(who, role, topic, operation, (const char *const[]){__VA_ARGS__, NULL})

static void kafka_security__the_command_line_names_the_right_it_lacks(void **state)
{
    (void)state;
    char *dir = alv_format("state.dir=%s", fixture.nodes[0]->state_dir);
    char *other = alv_format("application.id=%s.new", fixture.cluster.application);
    EXPECT_TO_LACK(MAKER, ALV_ACCESS_TOPICS, ALV_TOPIC_LEDGER, ALV_ACCESS_DESCRIBE, "topics",
                   "create");
    EXPECT_TO_LACK(MAKER, ALV_ACCESS_TOPICS, ALV_TOPIC_EVENTS, ALV_ACCESS_DESCRIBE_CONFIGS,
                   "topics", "create");
    EXPECT_TO_LACK(SENDER, ALV_ACCESS_SENDER, ALV_TOPIC_COMMANDS, ALV_ACCESS_WRITE, "send", "m:1",
                   "{\"type\":\"login\"}");
    EXPECT_TO_LACK(OPERATOR, ALV_ACCESS_OPERATOR, ALV_TOPIC_EVENTS, ALV_ACCESS_DESCRIBE, "topics",
                   "check");
    EXPECT_TO_LACK(OPERATOR, ALV_ACCESS_OPERATOR, ALV_TOPIC_CHANGELOG, ALV_ACCESS_READ, "verify",
                   "-X", dir);
    EXPECT_TO_LACK(OPERATOR, ALV_ACCESS_OPERATOR, ALV_TOPIC_DEAD_LETTERS, ALV_ACCESS_READ,
                   "dead-letters", "list");
    /* Topics that are to be created and may not. */
    expect(RUN_AS(NODE_SCRAM, "topics", "create", "-X", other), 1, "Describe on topic");
    alv_free(dir);
    alv_free(other);
    fixture.tests_passed++;
}

static void kafka_security__creating_topics_names_the_right_it_lacks(void **state)
{
    (void)state;
    char application[ALV_TOPIC_NAME_BYTES];
    (void)snprintf(application, sizeof application, "%s-2", fixture.cluster.application);
    char *setting = alv_format("application.id=%s", application);
    const alv_settings settings = {.application_id = application};
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(ALV_ACCESS_TOPICS, &settings, rights);
    const alv_access *create = find_right(rights, count, ALV_TOPIC_LEDGER, ALV_ACCESS_CREATE);
    char *needed = what_is_needed(create);
    alv_kafka_guard_allow_role(fixture.guard, identities[MAKER].principal, ALV_ACCESS_TOPICS,
                               &settings);
    alv_kafka_guard_forbid(fixture.guard, identities[MAKER].principal, create);
    expect(RUN_AS(MAKER, "topics", "create", "-X", setting), 1, needed);
    alv_free(needed);
    alv_free(setting);
    fixture.tests_passed++;
}

/* With everything stopped: what may delete is a role of its own. */
static void kafka_security__a_rebuild_names_the_right_it_lacks(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) {
        alv_cluster_stop_node(fixture.nodes[i]);
    }
    EXPECT_TO_LACK(REBUILDER, ALV_ACCESS_REBUILD, ALV_TOPIC_CHANGELOG, ALV_ACCESS_DELETE, "rebuild",
                   "--from", "commands", "--wipe", "--yes");
    expect(RUN_AS(REBUILDER, "rebuild", "--from", "commands", "--wipe", "--yes"), 0, NULL);
    fixture.cluster.passed = ++fixture.tests_passed == 10;
}

/* ---- not let in ------------------------------------------------------------------------------ */

/* Runs `alluvium COMMAND` with a setting that is wrong; it must say so, and soon. */
static void expect_refusal(int who, const char *const *arguments, const char *err)
{
    int64_t began_us = alv_monotonic_us(alv_clock_system());
    expect(run_as(who, arguments), 1, err);
    int64_t took_ms = (alv_monotonic_us(alv_clock_system()) - began_us) / 1000;
    if (strcmp(arguments[0], "send") != 0) {
        assert_in_range(took_ms, 0, REFUSED_MS);
    }
}

#define EXPECT_REFUSAL(who, err, ...) \
    expect_refusal(who, (const char *const[]){__VA_ARGS__, NULL}, err)

static void kafka_security__who_is_not_let_in_is_told_why(void **state)
{
    (void)state;
    alv_certificates_make_ca(fixture.cluster.directory, "other-ca");
    char *dir = alv_format("state.dir=%s/refused", fixture.cluster.directory);
    char *other_ca = alv_format("kafka.ssl.ca.location=%s/other-ca.pem", fixture.cluster.directory);
    const char *wrong = "kafka.sasl.password=not-the-password-of-this-user";
    EXPECT_REFUSAL(OPERATOR, "check kafka.sasl.mechanism", "topics", "check", "-X", wrong);
    EXPECT_REFUSAL(SENDER, "check kafka.sasl.mechanism", "send", "-X", wrong, "m:1",
                   "{\"type\":\"login\"}");
    EXPECT_REFUSAL(NODE_SCRAM, "check kafka.sasl.mechanism", "node", "-X", wrong, "-X", dir, "-X",
                   "http.listen=none");
    EXPECT_REFUSAL(NODE_PLAIN, "check kafka.sasl.mechanism", "topics", "check", "-X", wrong);
    EXPECT_REFUSAL(OPERATOR, "check kafka.ssl.ca.location", "topics", "check", "-X", other_ca);
    EXPECT_REFUSAL(NODE_SCRAM, "check kafka.ssl.ca.location", "node", "-X", other_ca, "-X", dir,
                   "-X", "http.listen=none");
    /* Without the certificate that the broker asks for. */
    EXPECT_REFUSAL(NODE_TLS, "check kafka.ssl.certificate.location", "topics", "check", "-X",
                   "kafka.ssl.certificate.location=", "-X", "kafka.ssl.key.location=");
    alv_free(dir);
    alv_free(other_ca);
    fixture.tests_passed++;
}

/* ---- fixture --------------------------------------------------------------------------------- */

static int start_fixture(void **state)
{
    (void)state;
    static const char *const options[] = {"--secured", "--no-postgres", NULL};
    alv_cluster_open_alone(&fixture.cluster, "guarded");
    alv_cluster_start_stack_with(&fixture.cluster, options);
    fixture.guard = alv_kafka_guard_open(fixture.cluster.brokers);
    for (int i = 0; i < IDENTITY_COUNT; i++) {
        alv_kafka_identity_make(&identities[i], &fixture.cluster, fixture.guard, "");
    }
    for (int i = 0; i < NODES; i++) {
        allow(NODE_SCRAM + i, ALV_ACCESS_NODE);
        fixture.nodes[i] = alv_cluster_add_node(&fixture.cluster);
    }
    allow(MAKER, ALV_ACCESS_TOPICS);
    allow(SENDER, ALV_ACCESS_SENDER);
    allow(READER, ALV_ACCESS_READER);
    allow(OPERATOR, ALV_ACCESS_OPERATOR);
    allow(REBUILDER, ALV_ACCESS_REBUILD);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_kafka_guard_close(fixture.guard);
    alv_cluster_close(&fixture.cluster);
    for (int i = 0; i < IDENTITY_COUNT; i++) {
        alv_kafka_identity_done(&identities[i]);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kafka_security__nodes_work_over_every_mechanism),
        cmocka_unit_test(kafka_security__operators_look_and_repair),
        cmocka_unit_test(kafka_security__readers_read_states_and_nothing_else),
        cmocka_unit_test(kafka_security__a_killed_node_is_taken_over),
        cmocka_unit_test(kafka_security__a_node_names_the_right_it_lacks),
        cmocka_unit_test(
            kafka_security__a_right_taken_away_while_it_works_is_named_and_may_come_back),
        cmocka_unit_test(kafka_security__the_command_line_names_the_right_it_lacks),
        cmocka_unit_test(kafka_security__creating_topics_names_the_right_it_lacks),
        cmocka_unit_test(kafka_security__who_is_not_let_in_is_told_why),
        cmocka_unit_test(kafka_security__a_rebuild_names_the_right_it_lacks),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
