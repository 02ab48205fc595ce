/* Goal:   of what `alluvium acls` prints for the command line nothing can be left out: without any one right a
 *         command of that role fails, and says which right it is and what prints them all.
 * Method: a broker of its own with an authorizer. Each right of each role is taken away alone; one that brings
 *         Describe with it is then replaced by Describe alone, so that it is needed for more than to look. No node
 *         runs meanwhile: one has left dead letters, states, and rows in PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/cluster_view.h"
#include "tests/support/kafka_identity.h"

#define SETTLE_MS 60000
#define ARGUMENTS_MAX 12

enum {
    MAKER,
    SENDER,
    READER,
    OPERATOR,
    REBUILDER,
    IDENTITY_COUNT
};

static alv_kafka_identity identities[IDENTITY_COUNT] = {
    [MAKER] = {.name = "maker"},         [SENDER] = {.name = "sender"},
    [READER] = {.name = "reader"},       [OPERATOR] = {.name = "operator"},
    [REBUILDER] = {.name = "rebuilder"},
};

static struct {
    alv_cluster cluster;
    alv_kafka_guard *guard;
    char *tables; /* the global tables, as in the configuration */
    alv_cluster_node *node;
    int tests_passed;
} fixture;

/* A command of a role. */
typedef struct role_task {
    const char *arguments[ARGUMENTS_MAX];
    void (*prepare)(void); /* NULL = nothing is needed */
    const char *finds;     /* it fails with this while no right is missing; NULL = it is done */
} role_task;

/* ---- one command ----------------------------------------------------------------------------- */

static alv_cluster_result run_task(int who, const role_task *task)
{
    if (task->prepare != NULL) {
        task->prepare();
    }
    return alv_kafka_identity_run(&identities[who], &fixture.cluster, task->arguments);
}

static bool task_is_done(const role_task *task, const alv_cluster_result *result)
{
    return task->finds == NULL ? result->exit_status == 0
                               : result->exit_status == 1 && strstr(result->err, task->finds);
}

static void expect_task(int who, const role_task *task)
{
    alv_cluster_result result = run_task(who, task);
    if (!task_is_done(task, &result)) {
        fail_msg("%s %s: exit status %d with all rights of the role; it said:\n%s%s",
                 task->arguments[0], task->arguments[1], result.exit_status, result.out,
                 result.err);
    }
    alv_cluster_result_done(&result);
}

/* "Read on topic x", for the operation; the caller frees it. */
static char *what_is_needed(const alv_access *right, alv_access_operation operation)
{
    return alv_format("%s on %s %s", alv_access_operation_name(operation),
                      alv_access_kind_name(right->kind), right->name);
}

static bool names(const alv_cluster_result *result, const alv_access *right,
                  alv_access_operation operation)
{
    char *needed = what_is_needed(right, operation);
    bool found = strstr(result->err, needed) != NULL;
    alv_free(needed);
    return found;
}

/* Whether the command fails for the right and says so; any other failure fails the test. Who may not even look
 * (is_blind) may be told that first. */
static bool task_lacks(int who, const role_task *task, const alv_access *right, bool is_blind)
{
    alv_cluster_result result = run_task(who, task);
    bool says = result.exit_status == 1 && strstr(result.err, "`alluvium acls") != NULL &&
                (names(&result, right, right->operation) ||
                 (is_blind && names(&result, right, ALV_ACCESS_DESCRIBE)));
    if (!says && !task_is_done(task, &result)) {
        fail_msg("%s %s without %s on %s: exit status %d; it said:\n%s%s", task->arguments[0],
                 task->arguments[1], alv_access_operation_name(right->operation), right->name,
                 result.exit_status, result.out, result.err);
    }
    alv_cluster_result_done(&result);
    return says;
}

/* ---- one right ------------------------------------------------------------------------------- */

static bool brings_describe(const alv_access *right)
{
    return right->operation == ALV_ACCESS_READ || right->operation == ALV_ACCESS_WRITE ||
           right->operation == ALV_ACCESS_DELETE;
}

/* Whether it is the only one of its resource that lets the client look. */
static bool is_eye(const alv_access *rights, size_t count, const alv_access *right)
{
    bool has_other = false;
    for (size_t i = 0; i < count; i++) {
        has_other =
            has_other || (&rights[i] != right && rights[i].kind == right->kind &&
                          brings_describe(&rights[i]) && strcmp(rights[i].name, right->name) == 0);
    }
    return brings_describe(right) && !has_other;
}

static void expect_needed(int who, const role_task *tasks, size_t task_count,
                          const alv_access *right, bool is_blind)
{
    bool is_needed = false;
    for (size_t i = 0; i < task_count && !is_needed; i++) {
        is_needed = task_lacks(who, &tasks[i], right, is_blind);
    }
    if (!is_needed) {
        fail_msg("%s works without %s", identities[who].name,
                 what_is_needed(right, right->operation));
    }
}

static void check_right(int who, const role_task *tasks, size_t task_count, const alv_access *right,
                        bool is_only_eye)
{
    const char *principal = identities[who].principal;
    alv_access look = *right;
    look.operation = ALV_ACCESS_DESCRIBE;
    alv_kafka_guard_forbid(fixture.guard, principal, right);
    expect_needed(who, tasks, task_count, right, is_only_eye);
    if (is_only_eye) {
        alv_kafka_guard_allow(fixture.guard, principal, &look);
        expect_needed(who, tasks, task_count, right, false);
        alv_kafka_guard_forbid(fixture.guard, principal, &look);
    }
    alv_kafka_guard_allow(fixture.guard, principal, right);
}

static alv_settings application_settings(void)
{
    return (alv_settings){.application_id = fixture.cluster.application,
                          .global_tables = fixture.tables};
}

static void allow(int who, alv_access_role role)
{
    const alv_settings settings = application_settings();
    alv_kafka_guard_allow_role(fixture.guard, identities[who].principal, role, &settings);
}

/* Every right of the role but Create on topics that are there already, which creating is for. */
static void check_role(int who, alv_access_role role, const role_task *tasks, size_t task_count)
{
    const alv_settings settings = application_settings();
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(role, &settings, rights);
    for (size_t i = 0; i < task_count; i++) {
        expect_task(who, &tasks[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (role != ALV_ACCESS_TOPICS || rights[i].operation != ALV_ACCESS_CREATE) {
            check_right(who, tasks, task_count, &rights[i], is_eye(rights, count, &rights[i]));
            expect_task(who, &tasks[0]); /* ends what was done by half */
        }
    }
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void kafka_rights__whoever_creates_topics_needs_to_see_all_of_them(void **state)
{
    (void)state;
    static const role_task tasks[] = {{.arguments = {"topics", "create"}}};
    check_role(MAKER, ALV_ACCESS_TOPICS, tasks, 1);
    fixture.tests_passed++;
}

/* One application more for each right, because the others are created all the same. */
static void expect_to_create(size_t number, const alv_settings *settings)
{
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(ALV_ACCESS_TOPICS, settings, rights);
    assert_true(number < count);
    const alv_access *right = &rights[number];
    char *id = alv_format("application.id=%s", settings->application_id);
    char *tables = alv_format("global.tables=%s", settings->global_tables);
    const role_task create = {
        .arguments = {"topics", "create", "-X", id, "-X", tables, "-X", "shards=1"}};
    alv_kafka_guard_allow_role(fixture.guard, identities[MAKER].principal, ALV_ACCESS_TOPICS,
                               settings);
    alv_kafka_guard_forbid(fixture.guard, identities[MAKER].principal, right);
    expect_needed(MAKER, &create, 1, right, false);
    alv_kafka_guard_allow(fixture.guard, identities[MAKER].principal, right);
    expect_task(MAKER, &create);
    alv_free(id);
    alv_free(tables);
}

static void kafka_rights__whoever_creates_topics_needs_to_be_allowed_each(void **state)
{
    (void)state;
    const alv_settings of_first = application_settings();
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(ALV_ACCESS_TOPICS, &of_first, rights);
    size_t created = 0;
    for (size_t i = 0; i < count; i++) {
        if (rights[i].operation != ALV_ACCESS_CREATE) {
            continue;
        }
        char *id = alv_format("%s-%zu", fixture.cluster.application, i);
        char *tables = alv_format("prices=%s.prices", id);
        const alv_settings settings = {.application_id = id, .global_tables = tables};
        expect_to_create(i, &settings);
        alv_free(tables);
        alv_free(id);
        created++;
    }
    assert_int_equal(created, ALV_TOPIC_COUNT + 1);
    fixture.tests_passed++;
}

/* ---- clients that are not ours --------------------------------------------------------------- */

static void expect_to_read_alone(int who, const alv_access *right)
{
    const char *principal = identities[who].principal;
    char *out = alv_cluster_path(&fixture.cluster, "kcat.out");
    alv_access look = *right;
    look.operation = ALV_ACCESS_DESCRIBE;
    assert_int_equal(alv_kafka_identity_kcat(&identities[who], right->name, out), 0);
    alv_kafka_guard_forbid(fixture.guard, principal, right);
    assert_int_not_equal(alv_kafka_identity_kcat(&identities[who], right->name, out), 0);
    alv_kafka_guard_allow(fixture.guard, principal, &look);
    assert_int_not_equal(alv_kafka_identity_kcat(&identities[who], right->name, out), 0);
    alv_kafka_guard_forbid(fixture.guard, principal, &look);
    alv_kafka_guard_allow(fixture.guard, principal, right);
    alv_free(out);
}

/* States, events; and replies, for whoever asked for them with a client that is not ours. */
static void kafka_rights__whoever_reads_a_topic_needs_read(void **state)
{
    (void)state;
    static const int who[] = {READER, SENDER};
    static const alv_access_role roles[] = {ALV_ACCESS_READER, ALV_ACCESS_SENDER};
    const alv_settings settings = application_settings();
    size_t read = 0;
    for (size_t i = 0; i < 2; i++) {
        alv_access rights[ALV_ACCESS_MAX];
        size_t count = alv_access_list(roles[i], &settings, rights);
        for (size_t j = 0; j < count; j++) {
            if (rights[j].operation == ALV_ACCESS_READ) {
                expect_to_read_alone(who[i], &rights[j]);
                read++;
            }
        }
    }
    assert_int_equal(read, 3);
    fixture.tests_passed++;
}

static void kafka_rights__whoever_sends_needs_to_write_commands(void **state)
{
    (void)state;
    static const role_task tasks[] = {{.arguments = {"send", "m:1", "{\"type\":\"login\"}"}}};
    const alv_settings settings = application_settings();
    alv_access rights[ALV_ACCESS_MAX];
    (void)alv_access_list(ALV_ACCESS_SENDER, &settings, rights);
    assert_int_equal(rights[0].operation, ALV_ACCESS_WRITE);
    check_right(SENDER, tasks, 1, &rights[0], true);
    expect_task(SENDER, &tasks[0]);
    fixture.tests_passed++;
}

/* ---- looking and repairing ------------------------------------------------------------------- */

static void kafka_rights__operators_need_all_of_theirs(void **state)
{
    (void)state;
    static const role_task tasks[] = {
        {.arguments = {"topics", "check"}},
        {.arguments = {"dead-letters", "list"}},
        {.arguments = {"verify"}},
        {.arguments = {"dead-letters", "retry", "--all", "--again"}},
        {.arguments = {"table", "put", "prices", "apple", "1"}},
    };
    check_role(OPERATOR, ALV_ACCESS_OPERATOR, tasks, sizeof tasks / sizeof tasks[0]);
    fixture.tests_passed++;
}

/* ---- making anew ----------------------------------------------------------------------------- */

/* A change that PostgreSQL does not have. */
static void change_state_alone(void)
{
    static const char script[] = "printf 'm:0\\t{\"balance\":1}\\n' | "
                                 "exec kcat -P -b \"$1\" -K '\\t' -p 0 -t \"$2\"";
    const char *const argv[] = {"sh",
                                "-c",
                                script,
                                "kcat",
                                fixture.cluster.brokers,
                                alv_cluster_topic(&fixture.cluster, "changelog"),
                                NULL};
    assert_int_equal(alv_process_run(argv, (alv_process_files){.out = NULL}, SETTLE_MS), 0);
}

static void kafka_rights__a_rebuild_needs_all_of_its_own(void **state)
{
    (void)state;
    static const role_task tasks[] = {
        {.arguments = {"rebuild", "--from", "postgres", "--commands-from", "end", "--wipe",
                       "--accept-loss", "--yes"}},
        {.arguments = {"rebuild", "--from", "postgres", "--wipe", "--dry-run"},
         .prepare = change_state_alone,
         .finds = "records ahead of PostgreSQL"},
    };
    check_role(REBUILDER, ALV_ACCESS_REBUILD, tasks, sizeof tasks / sizeof tasks[0]);
    fixture.cluster.passed = ++fixture.tests_passed == 6;
}

/* ---- fixture --------------------------------------------------------------------------------- */

static void make_identities(void)
{
    char *shared = alv_format("global.tables=%s\n", fixture.tables);
    char *local = alv_format("%sstate.dir=%s\n", shared, fixture.node->state_dir);
    char *rows =
        alv_format("%spostgres.url=%s\npostgres.schema=%s\nstate.dir=%s/none\n", shared,
                   fixture.cluster.postgres_url, fixture.cluster.schema, fixture.cluster.directory);
    for (int i = 0; i < IDENTITY_COUNT; i++) {
        const char *settings = i == OPERATOR ? local : i == REBUILDER ? rows : shared;
        alv_kafka_identity_make(&identities[i], &fixture.cluster, fixture.guard, settings);
    }
    alv_free(rows);
    alv_free(local);
    alv_free(shared);
}

/* A node that may do everything works for a while: states, rows and a dead letter are there. */
static void run_node(void)
{
    static const char commands[] = "m:0\t{\"type\":\"add_balance\",\"amount\":1}\n"
                                   "m:1\t{\"type\":\"add_balance\",\"amount\":1}\n"
                                   "m:2\tno JSON\n";
    static const char *const settings[] = {"lanes=1", "topics.create=false", NULL};
    const role_task create = {.arguments = {"topics", "create", "-X", "shards=2"}};
    expect_task(MAKER, &create);
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    const char *const send[] = {"send", "-c", fixture.cluster.config_path, "--raw", NULL};
    alv_cluster_result sent = alv_cluster_run(&fixture.cluster, commands, send);
    assert_int_equal(sent.exit_status, 0);
    alv_cluster_result_done(&sent);
    alv_cluster_wait_consumed(&fixture.cluster, SETTLE_MS);
    json_t *states = alv_cluster_changelog_states(&fixture.cluster);
    alv_cluster_wait_postgres(&fixture.cluster, states, SETTLE_MS);
    json_decref(states);
    alv_cluster_stop_node(fixture.node);
}

static int start_fixture(void **state)
{
    (void)state;
    static const char *const options[] = {"--secured", NULL};
    alv_cluster_open_alone(&fixture.cluster, "rights");
    alv_cluster_start_stack_with(&fixture.cluster, options);
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    fixture.guard = alv_kafka_guard_open(fixture.cluster.brokers);
    fixture.tables = alv_format("prices=%s.prices", fixture.cluster.application);
    make_identities();
    allow(MAKER, ALV_ACCESS_TOPICS);
    allow(SENDER, ALV_ACCESS_SENDER);
    allow(READER, ALV_ACCESS_READER);
    allow(OPERATOR, ALV_ACCESS_OPERATOR);
    allow(REBUILDER, ALV_ACCESS_REBUILD);
    run_node();
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
    alv_free(fixture.tables);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kafka_rights__whoever_creates_topics_needs_to_see_all_of_them),
        cmocka_unit_test(kafka_rights__whoever_creates_topics_needs_to_be_allowed_each),
        cmocka_unit_test(kafka_rights__whoever_reads_a_topic_needs_read),
        cmocka_unit_test(kafka_rights__whoever_sends_needs_to_write_commands),
        cmocka_unit_test(kafka_rights__operators_need_all_of_theirs),
        cmocka_unit_test(kafka_rights__a_rebuild_needs_all_of_its_own),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
