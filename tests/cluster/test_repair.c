/* Goal: `alluvium verify` finds nothing where nothing is wrong and names what is, and `alluvium rebuild`
 * makes a lost changelog anew from either source: every state is what it was, no command counts twice, later
 * ones count on top, and it refuses whenever it might do harm. docs/operations.md shows no command that is
 * not run here.
 *
 * Method: one node with PostgreSQL and a model of its users computed without the product's code. The tests
 * run in the order of the file, each on what the one before has left. What breaks the data comes from
 * outside: a plain producer, a plain SQL connection, deleted topics, a deleted group.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/user_model.h"
#include "tests/support/wire.h"

#define USERS 600
#define COMMANDS 5000
#define SHARDS 4
#define TIMEOUT_MS 60000
#define RAN_MAX 64
#define ARGUMENTS_MAX 24
#define CONFIG_NAME "alluvium.properties" /* as docs/operations.md calls it, */
#define BACKUP_NAME "/backups/node-1"     /* and this */

static const char *const settings[] = {"lanes=1", "shards=4", NULL};

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    alv_wire *wire;
    alv_user_model *users;
    uint64_t random;
    int64_t time_ms;   /* of the next command */
    char *config_path; /* the node's, with its state.dir */
    char *backup_path;
    char *ran[RAN_MAX]; /* commands that were run, as a person writes them */
    size_t ran_count;
    int tests_passed;
} repair;

/* ---- the load -------------------------------------------------------------------------------- */

static void send_one(const char *key, const char *value, int64_t timestamp_ms)
{
    char topic[256];
    (void)snprintf(topic, sizeof(topic), "%s", alv_cluster_topic(&repair.cluster, "commands"));
    alv_wire_record record = {.topic = topic,
                              .partition = -1,
                              .timestamp_ms = timestamp_ms,
                              .key = alv_view_of(key),
                              .value = alv_view_of(value)};
    alv_wire_send(repair.wire, &record);
}

/* To users from `first_user` on: a test may need some that stay as they are. */
static void send_commands(int count, unsigned first_user)
{
    for (int i = 0; i < count; i++) {
        uint64_t random = alv_user_model_random(&repair.random);
        alv_user_model *user = &repair.users[first_user + random % (USERS - first_user)];
        alv_user_command command;
        alv_user_model_step(user, &repair.random, repair.time_ms++, &command);
        send_one(command.key, command.value, command.timestamp_ms);
    }
    alv_wire_flush(repair.wire);
}

/* ---- what is right --------------------------------------------------------------------------- */

static json_t *expected_states(json_t *keys)
{
    json_t *states = json_object();
    char key[64];
    for (int i = 0; i < USERS; i++) {
        json_t *state = alv_user_model_json(&repair.users[i]);
        alv_user_model_key(&repair.users[i], key, sizeof(key));
        json_array_append_new(keys, json_string(key));
        if (state != NULL) {
            json_object_set_new(states, key, state);
        }
    }
    return states;
}

/* Every view of every user is what the model says. */
static void check_states(void)
{
    alv_cluster_wait_consumed(&repair.cluster, TIMEOUT_MS);
    json_t *keys = json_array();
    json_t *expected = expected_states(keys);
    json_t *states = alv_cluster_http_states(repair.node, keys);
    json_t *changelog = alv_cluster_changelog_states(&repair.cluster);
    alv_cluster_assert_states(states, expected, "HTTP");
    alv_cluster_assert_states(changelog, expected, "changelog");
    alv_cluster_wait_postgres(&repair.cluster, expected, TIMEOUT_MS);
    json_decref(changelog);
    json_decref(states);
    json_decref(expected);
    json_decref(keys);
}

/* ---- the operator ---------------------------------------------------------------------------- */

/* Runs a command as docs/operations.md writes it, and remembers it. */
static alv_cluster_result operate(const char *command)
{
    const char *arguments[ARGUMENTS_MAX] = {NULL};
    char *text = alv_strdup(command);
    char *rest = NULL;
    int count = 0;
    assert_true(repair.ran_count < RAN_MAX);
    repair.ran[repair.ran_count++] = alv_strdup(command);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < ARGUMENTS_MAX - 1);
        arguments[count++] = strcmp(word, CONFIG_NAME) == 0   ? repair.config_path
                             : strcmp(word, BACKUP_NAME) == 0 ? repair.backup_path
                                                              : word;
    }
    assert_string_equal(arguments[0], "alluvium");
    alv_cluster_result result = alv_cluster_run(&repair.cluster, NULL, arguments + 1);
    alv_free(text);
    return result;
}

static void expect(const char *command, int exit_status, const char *out, const char *err)
{
    alv_cluster_result result = operate(command);
    if (result.exit_status != exit_status || (out != NULL && strstr(result.out, out) == NULL) ||
        (err != NULL && strstr(result.err, err) == NULL)) {
        fail_msg("%s: exit status %d, expected %d\nstdout: %s\nstderr: %s\nexpected: %s", command,
                 result.exit_status, exit_status, result.out, result.err, out != NULL ? out : err);
    }
    alv_cluster_result_done(&result);
}

/* Runs a verify with --json: the report. */
static json_t *verify(const char *command, int exit_status)
{
    alv_cluster_result result = operate(command);
    json_t *report = json_loads(result.out, 0, NULL);
    if (report == NULL || result.exit_status != exit_status) {
        fail_msg("%s: exit status %d\n%s%s", command, result.exit_status, result.out, result.err);
    }
    alv_cluster_result_done(&result);
    return report;
}

static int64_t number_of(json_t *object, const char *name)
{
    json_t *number = json_object_get(object, name);
    assert_true(json_is_integer(number));
    return json_integer_value(number);
}

/* All entities were compared with PostgreSQL and, unless state.dir is gone, with the store. */
static void expect_all_equal(bool with_store)
{
    json_t *report = verify("alluvium verify -c " CONFIG_NAME " --json", 0);
    assert_int_equal(number_of(report, "differences"), 0);
    json_t *shards = json_object_get(report, "shards");
    assert_int_equal(json_array_size(shards), SHARDS);
    size_t i;
    json_t *shard;
    json_array_foreach(shards, i, shard)
    {
        int64_t entities = number_of(shard, "entities");
        assert_true(entities > 0);
        json_t *postgres = json_object_get(shard, "postgres");
        assert_int_equal(number_of(postgres, "compared"), entities);
        if (with_store) {
            json_t *store = json_object_get(shard, "store");
            assert_int_equal(number_of(store, "compared"), entities);
        }
    }
    json_decref(report);
}

static void start_node(void)
{
    alv_cluster_start_node(repair.node, settings);
    alv_cluster_wait_ready(repair.node);
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void run_sql(const char *format, const char *key)
{
    char *sql = alv_format(format, repair.cluster.schema, key);
    PGconn *connection = PQconnectdb(repair.cluster.postgres_url);
    PGresult *result = PQexec(connection, sql);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    assert_string_equal(PQcmdTuples(result), "1");
    PQclear(result);
    PQfinish(connection);
    alv_free(sql);
}

static void lose_topics(void)
{
    char topic[256];
    (void)snprintf(topic, sizeof(topic), "%s", alv_cluster_topic(&repair.cluster, "changelog"));
    alv_wire_delete_topics(repair.cluster.brokers, topic);
    (void)snprintf(topic, sizeof(topic), "%s", alv_cluster_topic(&repair.cluster, "ledger"));
    alv_wire_delete_topics(repair.cluster.brokers, topic);
}

static rd_kafka_t *admin_open(void)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(
        rd_kafka_conf_set(conf, "bootstrap.servers", repair.cluster.brokers, text, sizeof(text)),
        RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(rk);
    return rk;
}

/* Waits for the answer of the one call under way. */
static void admin_finish(rd_kafka_t *rk, rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    assert_non_null(event);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_msg("%s", rd_kafka_event_error_string(event));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void lose_group(void)
{
    rd_kafka_t *rk = admin_open();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new(repair.cluster.application);
    rd_kafka_DeleteGroups(rk, &group, 1, NULL, queue);
    rd_kafka_DeleteGroup_destroy(group);
    admin_finish(rk, queue);
    assert_int_equal(alv_wire_committed(repair.cluster.brokers, repair.cluster.application,
                                        alv_cluster_topic(&repair.cluster, "commands")),
                     0);
}

/* The first command of shard 0 is gone, as if its retention were over. */
static void lose_first_command(void)
{
    rd_kafka_t *rk = admin_open();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, alv_cluster_topic(&repair.cluster, "commands"), 0)
        ->offset = 1;
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    admin_finish(rk, queue);
}

/* ---- verify ---------------------------------------------------------------------------------- */

static void repair__verify_finds_nothing_where_nothing_is_wrong(void **state)
{
    (void)state;
    send_commands(COMMANDS, 0);
    check_states();
    expect("alluvium verify -c " CONFIG_NAME, 0, "no differences", NULL);
    expect_all_equal(true); /* store, changelog and PostgreSQL, while the node has the store */
    expect("alluvium backup /backups/node-1 -c " CONFIG_NAME, 0, "4 shards of node-1", NULL);
    alv_cluster_stop_node(repair.node);
    expect("alluvium verify -c " CONFIG_NAME, 0, "no differences", NULL);
    expect("alluvium verify -c " CONFIG_NAME " --shards 0,2-3 --limit 5", 0, "no differences",
           NULL);
    expect("alluvium verify -c " CONFIG_NAME " --shards 4", 2, NULL, "there is no shard 4");
    expect("alluvium verify -c " CONFIG_NAME " --shards 3-1", 2, NULL, "no list of shards");
    expect_all_equal(true);
    repair.tests_passed++;
}

/* While nodes run and commands come in: nothing is wrong, whatever each side has got to; and what is wrong
 * is seen all the same. */
static void repair__verify_compares_a_store_that_a_node_writes_to(void **state)
{
    (void)state;
    start_node();
    send_commands(COMMANDS, 0);
    json_t *report = verify("alluvium verify -c " CONFIG_NAME " --json", 0);
    json_t *shards = json_object_get(report, "shards");
    size_t i;
    json_t *shard;
    json_array_foreach(shards, i, shard)
    {
        assert_true(number_of(json_object_get(shard, "store"), "compared") > 0);
    }
    json_decref(report);
    check_states();
    expect("alluvium status -c " CONFIG_NAME, 0, "4 active", NULL);
    expect("alluvium status -c " CONFIG_NAME " --all", 0, "STANDBYS", NULL);
    alv_cluster_stop_node(repair.node);
    repair.tests_passed++;
}

/* The disk of the node is lost: docs/operations.md says what is done then. */
static void repair__a_backup_brings_a_lost_disk_back(void **state)
{
    (void)state;
    expect("alluvium restore /backups/node-1 -c " CONFIG_NAME, 1, NULL, "is not empty");
    alv_cluster_remove(repair.node->state_dir);
    expect("alluvium restore /backups/node-1 -c " CONFIG_NAME, 0, "start the node", NULL);
    start_node();
    check_states();
    alv_cluster_stop_node(repair.node);
    expect_all_equal(true);
    repair.tests_passed++;
}

/* A store that fell back after a crash, or the disk of a node that was away, is behind, not wrong. */
static void repair__verify_does_not_blame_who_is_behind(void **state)
{
    (void)state;
    char *kept = alv_cluster_path(&repair.cluster, "kept");
    const char *const copy[] = {"cp", "-r", repair.node->state_dir, kept, NULL};
    assert_int_equal(alv_process_run(copy, (alv_process_files){.in = NULL}, TIMEOUT_MS), 0);
    start_node();
    send_commands(COMMANDS, 0);
    check_states();
    alv_cluster_stop_node(repair.node);
    char *command = alv_format("alluvium verify -c " CONFIG_NAME " --json -X state.dir=%s", kept);
    json_t *report = verify(command, 0);
    json_t *shards = json_object_get(report, "shards");
    size_t i;
    json_t *shard;
    json_array_foreach(shards, i, shard)
    {
        json_t *store = json_object_get(shard, "store");
        assert_true(number_of(store, "behind") > 1);
        assert_true(number_of(store, "compared") > 0);
    }
    json_decref(report);
    alv_free(command);
    alv_free(kept);
    repair.tests_passed++;
}

static bool report_names(json_t *report, const char *key, const char *side, const char *fault)
{
    size_t i;
    json_t *found;
    json_array_foreach(json_object_get(report, "first"), i, found)
    {
        if (strcmp(json_string_value(json_object_get(found, "key")), key) == 0) {
            assert_string_equal(json_string_value(json_object_get(found, "side")), side);
            assert_string_equal(json_string_value(json_object_get(found, "fault")), fault);
            return true;
        }
    }
    return false;
}

/* The first user from `first` on who exists. */
static unsigned existing_user(unsigned first, char *out_key, size_t size)
{
    while (first < USERS && !repair.users[first].exists) {
        first++;
    }
    assert_true(first < USERS);
    alv_user_model_key(&repair.users[first], out_key, size);
    return first;
}

/* Somebody writes to the changelog beside the node: it never reads its own changelog while it owns the
 * shard, so its store and the changelog part ways. PostgreSQL follows the changelog. */
static void forge_record(const char *key)
{
    char topic[256];
    (void)snprintf(topic, sizeof(topic), "%s", alv_cluster_topic(&repair.cluster, "changelog"));
    alv_wire_record record = {.topic = topic,
                              .partition = -1,
                              .key = alv_view_of(key),
                              .value = ALV_VIEW("{\"balance\":1000000}")};
    alv_wire_send(repair.wire, &record);
    alv_wire_flush(repair.wire);
}

static void repair__verify_names_what_was_tampered_with(void **state)
{
    (void)state;
    char forged[64];
    char changed[64];
    unsigned user = existing_user(0, forged, sizeof(forged));
    user = existing_user(user + 1, changed, sizeof(changed));
    start_node();
    forge_record(forged);
    send_commands(COMMANDS / 10, user + 1);
    alv_cluster_wait_consumed(&repair.cluster, TIMEOUT_MS);
    json_t *changelog = alv_cluster_changelog_states(&repair.cluster);
    alv_cluster_wait_postgres(&repair.cluster, changelog, TIMEOUT_MS);
    alv_cluster_stop_node(repair.node);
    run_sql("update \"%s\".entities set state = state || '{\"balance\": -1}' where key = '%s'",
            changed);

    json_t *report = verify("alluvium verify -c " CONFIG_NAME " --json --limit 100", 1);
    assert_int_equal(number_of(report, "differences"), 2);
    assert_true(report_names(report, forged, "store", "other-state"));
    assert_true(report_names(report, changed, "postgres", "other-state"));
    expect("alluvium verify -c " CONFIG_NAME, 1, forged, NULL);
    expect("alluvium verify -c " CONFIG_NAME, 1, changed, NULL);
    json_decref(report);
    json_decref(changelog);
    repair.tests_passed++;
}

/* ---- rebuild --------------------------------------------------------------------------------- */

static void repair__rebuild_refuses_what_might_do_harm(void **state)
{
    (void)state;
    start_node();
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands --wipe --yes", 1, NULL,
           "node-1 is still a member");
    alv_cluster_stop_node(repair.node);
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands --yes", 1, NULL,
           "the changelog is not empty");
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --yes", 1, NULL,
           "the changelog is not empty");
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands --wipe --yes", 1, NULL,
           "belongs to the old changelog");
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands", 2, NULL, "--dry-run");
    expect("alluvium rebuild -c " CONFIG_NAME " --yes", 2, NULL, "--from postgres");
    repair.tests_passed++;
}

static void repair__a_dry_run_changes_nothing(void **state)
{
    (void)state;
    json_t *before = alv_cluster_changelog_states(&repair.cluster);
    json_t *rows_before = alv_cluster_postgres_states(&repair.cluster);
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands --wipe --dry-run", 0,
           "nothing was done", NULL);
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --wipe --dry-run", 0,
           "nothing was done", NULL);
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --wipe --dry-run", 0,
           "must be moved away first", NULL);
    json_t *after = alv_cluster_changelog_states(&repair.cluster);
    json_t *rows_after = alv_cluster_postgres_states(&repair.cluster);
    assert_true(json_equal(before, after));
    assert_true(json_equal(rows_before, rows_after));
    json_decref(before);
    json_decref(after);
    json_decref(rows_before);
    json_decref(rows_after);
    repair.tests_passed++;
}

/* What was tampered with above is right again afterwards. */
static void repair__commands_make_all_state_anew(void **state)
{
    (void)state;
    alv_cluster_remove(repair.node->state_dir);
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands --wipe --yes", 0, "start the nodes",
           NULL);
    start_node();
    check_states();
    send_commands(COMMANDS / 5, 0);
    check_states();
    alv_cluster_stop_node(repair.node);
    expect_all_equal(true);
    repair.tests_passed++;
}

static void repair__postgres_makes_a_lost_changelog_anew(void **state)
{
    (void)state;
    lose_topics();
    expect("alluvium verify -c " CONFIG_NAME, 1, NULL, "there is no topic");
    alv_cluster_remove(repair.node->state_dir);
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --dry-run", 0, "rows", NULL);
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --yes", 0, "in the changelog now",
           NULL);
    expect("alluvium verify -c " CONFIG_NAME, 0, "no differences", NULL);
    expect_all_equal(false); /* the rows are of the new changelog at once */
    start_node();
    check_states();
    /* Rows must go on following: their offsets are those of the new changelog. */
    send_commands(COMMANDS, 0);
    check_states();
    alv_cluster_stop_node(repair.node);
    expect_all_equal(true);
    repair.tests_passed++;
}

/* Offsets of the group and ledger are lost as well: nobody knows what was consumed. */
static void repair__rebuild_runs_no_command_twice_when_positions_are_lost(void **state)
{
    (void)state;
    char key[64];
    lose_topics();
    lose_group();
    alv_cluster_remove(repair.node->state_dir);
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --yes", 1, NULL,
           "nobody knows which commands");
    (void)existing_user(0, key, sizeof(key));
    send_one(key, "{\"type\":\"add_balance\",\"amount\":7}", repair.time_ms++); /* is skipped */
    alv_wire_flush(repair.wire);
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --commands-from end --yes", 0,
           "in the changelog now", NULL);
    start_node();
    send_commands(COMMANDS / 5, 0);
    check_states();
    alv_cluster_stop_node(repair.node);
    expect_all_equal(true);
    repair.tests_passed++;
}

/* A row whose state PostgreSQL did not take is a lost entity, and its key must be usable again. */
static void repair__rebuild_says_what_postgres_does_not_have(void **state)
{
    (void)state;
    char key[64];
    unsigned user = existing_user(0, key, sizeof(key));
    run_sql("update \"%s\".entities set state = null where key = '%s'", key);
    alv_cluster_remove(repair.node->state_dir);
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --wipe --yes", 1, NULL,
           "1 rows have no state");
    expect("alluvium rebuild -c " CONFIG_NAME " --from postgres --wipe --accept-loss --yes", 0,
           "in the changelog now", NULL);
    alv_user_model_init(&repair.users[user], user);
    start_node();
    for (int i = 0; i < 20; i++) { /* until the user exists again */
        alv_user_command command;
        alv_user_model_step(&repair.users[user], &repair.random, repair.time_ms++, &command);
        send_one(command.key, command.value, command.timestamp_ms);
    }
    alv_wire_flush(repair.wire);
    check_states();
    alv_cluster_stop_node(repair.node);
    expect_all_equal(true);
    repair.tests_passed++;
}

/* A changelog that is there and newer than PostgreSQL is not thrown away by mistake. */
static void repair__rebuild_keeps_what_only_the_changelog_has(void **state)
{
    (void)state;
    const char *const command =
        "alluvium rebuild -c " CONFIG_NAME " --from postgres --wipe --dry-run";
    expect(command, 0, "nothing was done", NULL);
    run_sql("update \"%s\".positions set changelog_offset = changelog_offset - 4 where shard = %s",
            "1");
    expect(command, 1, NULL, "records ahead of PostgreSQL");
    run_sql("update \"%s\".positions set changelog_offset = changelog_offset + 4 where shard = %s",
            "1");
    repair.tests_passed++;
}

static void repair__rebuild_from_commands_wants_all_of_them(void **state)
{
    (void)state;
    lose_first_command();
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands --wipe --dry-run", 1, NULL,
           "--accept-gap");
    expect("alluvium rebuild -c " CONFIG_NAME " --from commands --wipe --accept-gap --dry-run", 0,
           "nothing was done", NULL);
    repair.tests_passed++;
}

/* ---- the page -------------------------------------------------------------------------------- */

static bool was_run(const char *command)
{
    for (size_t i = 0; i < repair.ran_count; i++) {
        if (strcmp(repair.ran[i], command) == 0) {
            return true;
        }
    }
    return false;
}

static void repair__the_page_shows_what_works(void **state)
{
    (void)state;
    char line[512];
    int shown = 0;
    char *path = alv_format("%s/docs/operations.md", repair.cluster.root);
    FILE *page = fopen(path, "r");
    assert_non_null(page);
    while (fgets(line, sizeof(line), page) != NULL) {
        if (strncmp(line, "alluvium ", 9) != 0) {
            continue;
        }
        char *comment = strchr(line, '#');
        size_t end = comment != NULL ? (size_t)(comment - line) : strcspn(line, "\n");
        while (end > 0 && line[end - 1] == ' ') {
            end--;
        }
        line[end] = '\0';
        if (!was_run(line)) {
            fail_msg("docs/operations.md shows \"%s\", which no test here runs", line);
        }
        shown++;
    }
    (void)fclose(page);
    assert_true(shown > 0);
    alv_free(path);
    repair.cluster.passed = repair.tests_passed == 13; /* the tests before this one */
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void choose_seed(void)
{
    const char *given = getenv("ALLUVIUM_TEST_SEED");
    repair.random =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)alv_monotonic_us(alv_clock_system());
    repair.random += repair.random == 0;
    print_message("seed: ALLUVIUM_TEST_SEED=%" PRIu64 "\n", repair.random);
}

static void write_config(void)
{
    const alv_cluster *cluster = &repair.cluster;
    repair.config_path = alv_cluster_path(cluster, "operator.properties");
    repair.backup_path = alv_cluster_path(cluster, "operator-backup");
    FILE *file = fopen(repair.config_path, "w");
    assert_non_null(file);
    fprintf(file, "bootstrap.servers=%s\napplication.id=%s\npostgres.url=%s\npostgres.schema=%s\n",
            cluster->brokers, cluster->application, cluster->postgres_url, cluster->schema);
    fprintf(file, "state.dir=%s\nshards=%d\nhttp.listen=%s\n", repair.node->state_dir, SHARDS,
            repair.node->address);
    assert_int_equal(fclose(file), 0);
}

static int start_repair(void **state)
{
    (void)state;
    choose_seed();
    repair.users = alv_alloc_array(USERS, sizeof(*repair.users));
    for (unsigned i = 0; i < USERS; i++) {
        alv_user_model_init(&repair.users[i], i);
    }
    repair.time_ms = alv_now_ms(alv_clock_system()) - 60 * 60 * 1000;
    alv_cluster_open(&repair.cluster, "repair");
    if (repair.cluster.postgres_url == NULL) {
        fprintf(stderr, "skipped: ALLUVIUM_TEST_POSTGRES names no server; run it with dev/test\n");
        alv_cluster_close(&repair.cluster);
        exit(77);
    }
    repair.node = alv_cluster_add_node(&repair.cluster);
    write_config();
    repair.wire = alv_wire_open(repair.cluster.brokers);
    start_node();
    return 0;
}

static int end_repair(void **state)
{
    (void)state;
    alv_wire_close(repair.wire);
    alv_cluster_close(&repair.cluster);
    for (size_t i = 0; i < repair.ran_count; i++) {
        alv_free(repair.ran[i]);
    }
    alv_free(repair.config_path);
    alv_free(repair.backup_path);
    alv_free(repair.users);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repair__verify_finds_nothing_where_nothing_is_wrong),
        cmocka_unit_test(repair__verify_compares_a_store_that_a_node_writes_to),
        cmocka_unit_test(repair__a_backup_brings_a_lost_disk_back),
        cmocka_unit_test(repair__verify_does_not_blame_who_is_behind),
        cmocka_unit_test(repair__verify_names_what_was_tampered_with),
        cmocka_unit_test(repair__rebuild_refuses_what_might_do_harm),
        cmocka_unit_test(repair__a_dry_run_changes_nothing),
        cmocka_unit_test(repair__commands_make_all_state_anew),
        cmocka_unit_test(repair__postgres_makes_a_lost_changelog_anew),
        cmocka_unit_test(repair__rebuild_runs_no_command_twice_when_positions_are_lost),
        cmocka_unit_test(repair__rebuild_says_what_postgres_does_not_have),
        cmocka_unit_test(repair__rebuild_keeps_what_only_the_changelog_has),
        cmocka_unit_test(repair__rebuild_from_commands_wants_all_of_them),
        cmocka_unit_test(repair__the_page_shows_what_works),
    };
    return cmocka_run_group_tests(tests, start_repair, end_repair);
}
