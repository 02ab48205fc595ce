/* Goal: the command line does what it says, and when it does not, says why: on stderr, in one line that
 * names the next step, with an exit status that scripts can rely on (0 done, 1 failed, 2 usage).
 *
 * Method: the program is run as a person would run it, against a real Kafka and one node.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wire.h"

#define DRAIN_TIMEOUT_MS 30000

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    char *other_application; /* "application.id=..." */
    int tests_passed;
} fixture;

/* Runs `alluvium ARGUMENT...` without input. */
#define RUN(...) alv_cluster_run(&fixture.cluster, NULL, (const char *const[]){__VA_ARGS__, NULL})

/* The same with the configuration of the cluster. */
#define RUN_CONFIGURED(subcommand, ...) \
    RUN(subcommand, "-c", fixture.cluster.config_path, __VA_ARGS__)

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, text);
    }
}

/* A broker that is slow is worth a warning of librdkafka's, on whatever machine that happens. All other lines
 * are the command's own. */
static void assert_says_nothing(const char *err)
{
    while (*err != '\0') {
        size_t size = strcspn(err, "\n");
        if (memmem(err, size, " level=warn ", 12) == NULL ||
            memmem(err, size, " event=rdkafka ", 15) == NULL) {
            fail_msg("it said: %s", err);
        }
        err += size + (err[size] == '\n');
    }
}

/* Checks status and one part of each stream (NULL = nothing is said there), and frees the result. */
static void expect(alv_cluster_result result, int status, const char *out, const char *err)
{
    if (result.exit_status != status) {
        fail_msg("exit status %d, expected %d; it said:\n%s%s", result.exit_status, status,
                 result.out, result.err);
    }
    assert_has(result.out, out != NULL ? out : "");
    assert_has(result.err, err != NULL ? err : "");
    if (out == NULL) {
        assert_string_equal(result.out, "");
    }
    if (err == NULL) {
        assert_says_nothing(result.err);
    }
    alv_cluster_result_done(&result);
}

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    if (value == NULL) {
        fail_msg("not JSON:\n%s", text);
    }
    return value;
}

/* ---- without servers ------------------------------------------------------------------------- */

static void cli__wrong_usage_is_status_2_and_says_what_is_right(void **state)
{
    (void)state;
    expect(alv_cluster_run(&fixture.cluster, NULL, (const char *const[]){NULL}), 2, NULL,
           "usage: alluvium COMMAND");
    expect(RUN("nod"), 2, NULL, "did you mean \"node\"?");
    expect(RUN("help", "tpoics"), 2, NULL, "did you mean \"topics\"?");
    expect(RUN("xylophone"), 2, NULL, "`alluvium --help` lists them");
    expect(RUN("node", "--no-such-option"), 2, NULL, "alluvium node: unrecognized option");
    expect(RUN("node", "lanes=2"), 2, NULL, "-X KEY=VALUE");
    expect(RUN("send", "m:1"), 2, NULL, "the command for \"m:1\" is missing");
    expect(RUN("send", "--wait", "-H", "x=y", "m:1", "{}"), 2, NULL, "only the header");
    expect(RUN("send", "--header", "x", "m:1", "{}"), 2, NULL, "NAME=VALUE");
    expect(RUN("get"), 2, NULL, "Give a key");
    expect(RUN("get", "m:1", "m:2"), 2, NULL, "one key at a time");
    expect(RUN("watch", "m:1", "m:2"), 2, NULL, "--prefix or --pattern");
    expect(RUN("watch", "m:1", "--prefix", "m:"), 2, NULL, "exclude each other");
    expect(RUN("watch", "--count", "0"), 2, NULL, "a number from 1 on");
    expect(RUN("watch", "-X", "http.listen=none"), 2, NULL, "no HTTP API");
    expect(RUN("acls", "nod"), 2, NULL, "did you mean \"node\"?");
    expect(RUN("topics"), 2, NULL, "create, check or describe");
    expect(RUN("topics", "crate"), 2, NULL, "did you mean \"create\"?");
    fixture.tests_passed++;
}

static void cli__help_is_printed_on_request(void **state)
{
    (void)state;
    expect(RUN("--help"), 0, "topics", NULL);
    expect(RUN("help"), 0, "Exit status", NULL);
    expect(RUN("help", "send"), 0, "KEY JSON", NULL);
    expect(RUN("get", "--help"), 0, "--node", NULL);
    expect(RUN("watch", "--help"), 0, "--last-event-id", NULL);
    expect(RUN("node", "--help-config"), 0, "bootstrap.servers", NULL);
    fixture.tests_passed++;
}

static void cli__acls_prints_calls_of_kafka_acls(void **state)
{
    (void)state;
    expect(RUN("acls"), 0, "# rebuild: ", NULL);
    expect(RUN("acls", "sender", "--principal", "User:shop", "-X", "application.id=mall"), 0,
           "--allow-principal User:shop --topic mall.commands --operation Write", NULL);
    alv_cluster_result result = RUN("acls", "sender", "reader", "--json");
    json_t *roles = parse(result.out);
    assert_int_equal(json_object_size(roles), 2);
    assert_int_equal(json_array_size(json_object_get(roles, "sender")), 2);
    json_decref(roles);
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

static void cli__version_names_the_libraries(void **state)
{
    (void)state;
    expect(RUN("version"), 0, "librdkafka ", NULL);
    expect(RUN("--version"), 0, "alluvium ", NULL);
    alv_cluster_result result = RUN("version", "--json");
    json_t *versions = parse(result.out);
    assert_non_null(json_string_value(json_object_get(versions, "alluvium")));
    static const char *const libraries[] = {"librdkafka",    "rocksdb", "jansson", "libpq",
                                            "libmicrohttpd", "libcurl", "gnutls",  "compiler"};
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        const char *version = json_string_value(json_object_get(versions, libraries[i]));
        if (version == NULL || *version == '\0') {
            fail_msg("no version of %s", libraries[i]);
        }
    }
    json_decref(versions);
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

/* Runs bash with the program as $1 and the test's folder as $2; what it printed. */
static char *run_bash(const char *script)
{
    char *out = alv_cluster_path(&fixture.cluster, "bash-out");
    const char *const argv[] = {
        "bash", "-c", script, "bash", fixture.cluster.binary, fixture.cluster.directory, NULL};
    (void)remove(out);
    int status = alv_process_run(argv, (alv_process_files){.out = out, .err = out}, 60000);
    FILE *file = fopen(out, "r");
    assert_non_null(file);
    char *text = alv_alloc(65536);
    text[fread(text, 1, 65535, file)] = '\0';
    (void)fclose(file);
    alv_free(out);
    if (status != 0) {
        fail_msg("bash ended with status %d: %s", status, text);
    }
    return text;
}

static void expect_completion(const char *words, int word, const char *completions)
{
    char *script = alv_format("source <(\"$1\" completion bash) && COMP_WORDS=(\"$1\" %s) && "
                              "COMP_CWORD=%d && _alluvium && printf '%%s\\n' \"${COMPREPLY[@]}\"",
                              words, word);
    char *out = run_bash(script);
    assert_string_equal(out, completions);
    alv_free(out);
    alv_free(script);
}

static void cli__completion_knows_what_the_program_knows(void **state)
{
    (void)state;
    alv_free(run_bash("\"$1\" completion bash >\"$2/c.bash\" && bash -n \"$2/c.bash\""));
    alv_free(run_bash("for s in zsh fish; do \"$1\" completion $s >\"$2/c.$s\" || exit 1; "
                      "if command -v $s >/dev/null; then $s -n \"$2/c.$s\" || exit 1; fi; done"));
    expect_completion("sta", 1, "status\n");
    expect_completion("ver", 1, "verify\nversion\n");
    expect_completion("status --wa", 2, "--watch\n");
    expect_completion("topics ch", 2, "check\n");
    expect_completion("get -X http.adv", 3, "http.advertise=\n");
    expect_completion("node --print", 2, "--print-config\n");
    expect(RUN("completion"), 2, NULL, "bash, zsh or fish");
    expect(RUN("completion", "tcsh"), 2, NULL, "bash, zsh and fish");
    expect(RUN("completion", "options", "nothing"), 2, NULL, NULL);
    /* Every subcommand of the help is completed, and has options. */
    alv_free(run_bash("\"$1\" --help | sed -n 's/^  \\([a-z][a-z-]*\\) .*/\\1/p' >\"$2/help\" && "
                      "\"$1\" completion commands | cut -f 1 >\"$2/commands\" && "
                      "[ -s \"$2/help\" ] && ! grep -vxF -f \"$2/commands\" \"$2/help\" && "
                      "while read -r c; do \"$1\" completion options \"$c\" | grep -q -- --json "
                      "|| { echo \"$c\"; exit 1; }; done <\"$2/help\""));
    fixture.tests_passed++;
}

static void cli__configuration_errors_name_the_place_and_the_cure(void **state)
{
    (void)state;
    expect(RUN("node", "-X", "aplication.id=x"), 2, NULL, "application.id");
    expect(RUN("node", "-X", "lanes=many"), 2, NULL, "lanes");
    expect(RUN("node", "-X", "lanes"), 2, NULL, "key=value");
    expect(RUN("get", "-c", "/no/such/file", "m:1"), 2, NULL, "/no/such/file");
    fixture.tests_passed++;
}

static void cli__print_config_tells_values_and_origins(void **state)
{
    (void)state;
    alv_cluster_result result = RUN_CONFIGURED("node", "-X", "lanes=3", "--print-config");
    assert_int_equal(result.exit_status, 0);
    assert_has(result.out, "lanes=3");
    assert_has(result.out, fixture.cluster.config_path);
    assert_has(result.out, "shards=32");
    alv_cluster_result_done(&result);
    result = RUN_CONFIGURED("node", "-X", "lanes=3", "--print-config", "--json");
    json_t *settings = parse(result.out);
    assert_non_null(json_object_get(json_object_get(settings, "lanes"), "value"));
    json_decref(settings);
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void cli__topics_are_created_once_and_then_left_alone(void **state)
{
    (void)state;
    const char *other = fixture.other_application;
    expect(RUN_CONFIGURED("topics", "-X", other, "check"), 1, "commands",
           "commands: does not exist: run `alluvium topics create`");
    expect(RUN_CONFIGURED("topics", "-X", other, "-X", "shards=5", "create"), 0, "6 created", NULL);
    expect(RUN_CONFIGURED("topics", "-X", other, "check"), 0, "compact", NULL);
    expect(RUN_CONFIGURED("topics", "-X", other, "create"), 0, "0 created, 6 were there", NULL);
    alv_cluster_result result = RUN_CONFIGURED("topics", "-X", other, "describe", "--json");
    json_t *answer = parse(result.out);
    json_t *topics = json_object_get(answer, "topics");
    assert_int_equal(json_array_size(topics), 6);
    size_t i;
    json_t *topic;
    json_array_foreach(topics, i, topic)
    {
        assert_int_equal(json_integer_value(json_object_get(topic, "shards")), 5);
    }
    json_decref(answer);
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

/* What exists and is wrong is reported and never changed, by the command and by a node. */
static void assert_refused(const char *application, const char *topic)
{
    char *state_dir = alv_cluster_path(&fixture.cluster, "refused");
    char *state_setting = alv_format("state.dir=%s", state_dir);
    expect(RUN_CONFIGURED("topics", "-X", application, "check"), 1, topic, topic);
    expect(RUN_CONFIGURED("node", "-X", application, "-X", state_setting, "-X", "http.listen=none"),
           1, NULL, topic);
    alv_cluster_remove(state_dir);
    alv_free(state_setting);
    alv_free(state_dir);
}

static void cli__wrong_topics_are_refused(void **state)
{
    (void)state;
    const alv_cluster *cluster = &fixture.cluster;
    char *commands = alv_format("%s-count.commands", cluster->application);
    char *changelog = alv_format("%s-count.changelog", cluster->application);
    char *application = alv_format("application.id=%s-count", cluster->application);
    alv_wire_create_topic(cluster->brokers, commands, 4, "delete");
    alv_wire_create_topic(cluster->brokers, changelog, 3, "compact");
    assert_refused(application, changelog);
    alv_free(commands);
    alv_free(changelog);
    alv_free(application);

    commands = alv_format("%s-policy.commands", cluster->application);
    changelog = alv_format("%s-policy.changelog", cluster->application);
    application = alv_format("application.id=%s-policy", cluster->application);
    alv_wire_create_topic(cluster->brokers, commands, 4, "delete");
    alv_wire_create_topic(cluster->brokers, changelog, 4, "delete");
    assert_refused(application, changelog);
    alv_free(commands);
    alv_free(changelog);
    alv_free(application);
    fixture.tests_passed++;
}

/* ---- send and get ---------------------------------------------------------------------------- */

static json_t *get_state(const char *key)
{
    alv_cluster_result result = RUN_CONFIGURED("get", "--node", fixture.node->address, key);
    if (result.exit_status != 0) {
        fail_msg("get %s: %s", key, result.err);
    }
    json_t *answer = parse(result.out);
    alv_cluster_result_done(&result);
    return answer;
}

static void assert_balance(const char *key, int balance)
{
    json_t *user = get_state(key);
    assert_int_equal(json_integer_value(json_object_get(user, "balance")), balance);
    json_decref(user);
}

static void cli__what_is_sent_can_be_read_back(void **state)
{
    (void)state;
    const char *address = fixture.node->address;
    const char *add = "{\"type\":\"add_balance\",\"amount\":5}";
    expect(RUN_CONFIGURED("send", "m:1", add), 0, "1 sent", NULL);
    expect(RUN_CONFIGURED("send", "-v", "--header", "correlation-id=7", "m:1", add), 0,
           "offset=", NULL);
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
    assert_balance("m:1", 10);

    alv_cluster_result result = RUN_CONFIGURED("get", "--node", address, "--json", "m:1");
    json_t *answer = parse(result.out);
    assert_string_equal(json_string_value(json_object_get(answer, "key")), "m:1");
    assert_string_equal(json_string_value(json_object_get(answer, "type")), "user");
    json_decref(answer);
    alv_cluster_result_done(&result);

    expect(RUN_CONFIGURED("get", "--node", address, "m:nobody"), 1, NULL, "no such entity");
    expect(RUN_CONFIGURED("get", "--node", "127.0.0.1:1", "m:1"), 1, NULL, "127.0.0.1:1");
    fixture.tests_passed++;
}

static void cli__lines_are_sent_up_to_the_first_bad_one(void **state)
{
    (void)state;
    const char *const arguments[] = {"send", "-c", fixture.cluster.config_path, NULL};
    const char *good = "m:2\t{\"type\":\"add_balance\",\"amount\":1}\n"
                       "m:3\t{\"type\":\"add_balance\",\"amount\":2}\n";
    const char *bad = "m:2\t{\"type\":\"add_balance\",\"amount\":10}\n"
                      "m:3\t{\"amount\":20}\n"
                      "m:2\t{\"type\":\"add_balance\",\"amount\":100}\n";
    expect(alv_cluster_run(&fixture.cluster, good, arguments), 0, "2 sent", NULL);
    alv_cluster_result result = alv_cluster_run(&fixture.cluster, bad, arguments);
    assert_has(result.err, "line 2: ");
    assert_has(result.err, "1 sent");
    assert_int_equal(result.exit_status, 1);
    alv_cluster_result_done(&result);
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
    assert_balance("m:2", 11);
    assert_balance("m:3", 2);
    fixture.tests_passed++;
}

static void cli__what_is_no_command_is_sent_raw_only(void **state)
{
    (void)state;
    expect(RUN_CONFIGURED("send", "m:1", "{\"type\":"), 1, NULL, "not JSON");
    expect(RUN_CONFIGURED("send", "m:1", "[1]"), 1, NULL, "not an object");
    expect(RUN_CONFIGURED("send", "m:1", "{\"type\":1}"), 1, NULL, "no member \"type\"");
    expect(RUN_CONFIGURED("send", "", "{\"type\":\"login\"}"), 1, NULL, "--raw");
    alv_cluster_result result = RUN_CONFIGURED("send", "--raw", "--json", "m:1", "{\"type\":");
    json_t *sent = parse(result.out);
    assert_string_equal(json_string_value(json_object_get(sent, "key")), "m:1");
    assert_true(json_is_integer(json_object_get(sent, "offset")));
    json_decref(sent);
    assert_int_equal(result.exit_status, 0);
    alv_cluster_result_done(&result);
    fixture.tests_passed++;
}

/* ---- status ---------------------------------------------------------------------------------- */

static void cli__status_is_a_table(void **state)
{
    (void)state;
    const char *address = fixture.node->address;
    alv_cluster_result result = RUN_CONFIGURED("status", "--node", address, "--all");
    assert_int_equal(result.exit_status, 0);
    assert_has(result.out, "4 shards, 4 active");
    assert_has(result.out, "NODE");
    assert_has(result.out, address);
    assert_has(result.out, "takes-over");
    assert_has(result.out, "STANDBYS");
    alv_cluster_result_done(&result);
    result = RUN_CONFIGURED("status", "--node", address);
    assert_null(strstr(result.out, "CHANGELOG")); /* all shards are as they should be */
    alv_cluster_result_done(&result);
    result = RUN_CONFIGURED("status", "--node", address, "--json");
    json_t *answer = parse(result.out);
    assert_int_equal(json_array_size(json_object_get(answer, "shards")), 4);
    assert_int_equal(json_array_size(json_object_get(json_object_get(answer, "cluster"), "nodes")),
                     1);
    json_decref(answer);
    alv_cluster_result_done(&result);
    expect(RUN_CONFIGURED("status", "--node", "127.0.0.1:1"), 1, NULL, "127.0.0.1:1");
    expect(RUN_CONFIGURED("status", "--interval", "0"), 2, NULL, "from 0.1 to 3600");
    fixture.tests_passed++;
}

static void cli__status_can_be_watched(void **state)
{
    (void)state;
    const char *address = fixture.node->address;
    alv_cluster_result result =
        RUN_CONFIGURED("status", "--node", address, "--watch", "--count", "2", "--interval", "0.1");
    assert_int_equal(result.exit_status, 0);
    const char *second = strstr(result.out, "application ");
    assert_non_null(second);
    assert_non_null(strstr(second + 1, "application "));
    assert_null(strchr(result.out, '\033')); /* nothing for terminals */
    alv_cluster_result_done(&result);
    char *script = alv_format("script -qec \"'$1' status -c '%s' --node %s --watch --count 2 "
                              "--interval 0.1\" /dev/null </dev/null",
                              fixture.cluster.config_path, address);
    char *out = run_bash(script);
    assert_has(out, "\033[2J\033[Happlication ");
    assert_has(out, "\033[J\033[Happlication "); /* the second time, over the first */
    alv_free(out);
    alv_free(script);
    fixture.tests_passed++;
}

/* ---- bench ----------------------------------------------------------------------------------- */

static json_int_t member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* The balances themselves are read here, too: what bench says of them is not taken on trust. */
static json_int_t bench_balances(int users)
{
    json_int_t sum = 0;
    for (int i = 1; i <= users; i++) {
        char *key = alv_format("bench:%d", i);
        json_t *user = get_state(key);
        sum += json_integer_value(json_object_get(user, "balance"));
        json_decref(user);
        alv_free(key);
    }
    return sum;
}

static void cli__bench_measures_and_counts_right(void **state)
{
    (void)state;
    const char *address = fixture.node->address;
    alv_cluster_result result = RUN_CONFIGURED("bench", "--node", address, "--seconds", "2",
                                               "--users", "5", "--in-flight", "70", "--json");
    assert_says_nothing(result.err);
    assert_int_equal(result.exit_status, 0);
    json_t *answer = parse(result.out);
    json_int_t done = member(answer, "done");
    const json_t *balances = json_object_get(answer, "balances");
    const json_t *latency = json_object_get(answer, "latency_ms");
    assert_true(done > 0);
    assert_int_equal(member(answer, "sent"),
                     done + member(answer, "refused") + member(answer, "unknown"));
    assert_int_equal(member(json_object_get(answer, "by_status"), "200"), done);
    assert_true(json_is_true(json_object_get(balances, "exact")));
    assert_int_equal(member(balances, "grown"), bench_balances(5));
    assert_true(json_real_value(json_object_get(latency, "p50")) > 0);
    assert_true(json_real_value(json_object_get(latency, "max")) >=
                json_real_value(json_object_get(latency, "p99.9")));
    json_decref(answer);
    alv_cluster_result_done(&result);
    result = RUN_CONFIGURED("bench", "--node", address, "--seconds", "0.5", "--rate", "20",
                            "--users", "5", "--no-keys", "--json");
    answer = parse(result.out);
    assert_int_equal(result.exit_status, 0);
    assert_in_range(member(answer, "sent"), 1, 10); /* never more than were due */
    json_decref(answer);
    alv_cluster_result_done(&result);
    expect(RUN_CONFIGURED("bench", "--node", address, "--seconds", "0.1", "--users", "5"), 0,
           "each command that is done once", NULL);
    expect(RUN_CONFIGURED("bench", "--node", "127.0.0.1:1"), 1, NULL, "cannot be read");
    fixture.tests_passed++;
}

static void cli__bench_refuses_wrong_usage(void **state)
{
    (void)state;
    expect(RUN("bench", "--seconds", "0"), 2, NULL, "from 0.1 to 86400");
    expect(RUN("bench", "--in-flight", "1025"), 2, NULL, "from 1 to 1024");
    expect(RUN("bench", "now"), 2, NULL, "no arguments");
    fixture.tests_passed++;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void cli__a_state_folder_belongs_to_one_process(void **state)
{
    (void)state;
    char *state_dir = alv_format("state.dir=%s", fixture.node->state_dir);
    expect(
        RUN_CONFIGURED("node", "-X", "node.id=second", "-X", state_dir, "-X", "http.listen=none"),
        1, NULL, fixture.node->state_dir);
    alv_free(state_dir);
    assert_balance("m:2", 11); /* the first one has not noticed */
    fixture.tests_passed++;
}

static void cli__a_node_logs_start_ready_and_stop(void **state)
{
    (void)state;
    assert_true(alv_cluster_log_has(fixture.node, "event=start "));
    assert_true(alv_cluster_log_has(fixture.node, "event=ready "));
    alv_cluster_stop_node(fixture.node);
    assert_true(alv_cluster_log_has(fixture.node, "event=stopped "));
    fixture.cluster.passed = fixture.tests_passed == 17; /* the tests before this one */
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int start_fixture(void **state)
{
    (void)state;
    static const char *const settings[] = {"lanes=1", "shards=4", NULL};
    alv_cluster_open(&fixture.cluster, "cli");
    fixture.other_application = alv_format("application.id=%s-other", fixture.cluster.application);
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_cluster_close(&fixture.cluster);
    alv_free(fixture.other_application);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cli__wrong_usage_is_status_2_and_says_what_is_right),
        cmocka_unit_test(cli__help_is_printed_on_request),
        cmocka_unit_test(cli__acls_prints_calls_of_kafka_acls),
        cmocka_unit_test(cli__version_names_the_libraries),
        cmocka_unit_test(cli__completion_knows_what_the_program_knows),
        cmocka_unit_test(cli__configuration_errors_name_the_place_and_the_cure),
        cmocka_unit_test(cli__print_config_tells_values_and_origins),
        cmocka_unit_test(cli__topics_are_created_once_and_then_left_alone),
        cmocka_unit_test(cli__wrong_topics_are_refused),
        cmocka_unit_test(cli__what_is_sent_can_be_read_back),
        cmocka_unit_test(cli__lines_are_sent_up_to_the_first_bad_one),
        cmocka_unit_test(cli__what_is_no_command_is_sent_raw_only),
        cmocka_unit_test(cli__status_is_a_table),
        cmocka_unit_test(cli__status_can_be_watched),
        cmocka_unit_test(cli__bench_measures_and_counts_right),
        cmocka_unit_test(cli__bench_refuses_wrong_usage),
        cmocka_unit_test(cli__a_state_folder_belongs_to_one_process),
        cmocka_unit_test(cli__a_node_logs_start_ready_and_stop),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
