/* Goal:   checkpoints go over TLS to a PostgreSQL that asks for a password, as a role that owns its schema and
 *         nothing else; who is not let in is told why, and commands go on; and no secret is seen anywhere.
 * Method: a PostgreSQL and brokers of its own that ask for TLS (dev/stack --secured); a node whose secrets stand in
 *         files and in the environment; all that it prints, answers and shows to other processes is searched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/certificates.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/kafka_guard.h"
#include "tests/support/wait.h"

#define SETTLE_MS 60000
#define ROLE "alluvium_node"
/* What must not be seen. The node's user at Kafka and its token have others. */
#define POSTGRES_PASSWORD "secret-of-postgres-37"
#define KAFKA_PASSWORD "secret-of-kafka-4711"
#define TOKEN "secret-of-http-0815-abcdef"

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    char *superuser_url; /* over the listener that asks for nothing */
    char *tls;           /* folder with the authority */
    char *tls_url;       /* with TLS and the name checked, without user and password */
    char *config_path;   /* of the node */
    int tests_passed;
} fixture;

/* ---- what the superuser does and sees ---------------------------------------------------------- */

/* Runs a statement; the first value it returns, "" when none. The caller frees it. */
static char *sql(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *sql(const char *format, ...)
{
    char statement[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(statement, sizeof statement, format, arguments);
    va_end(arguments);
    PGconn *connection = PQconnectdb(fixture.superuser_url);
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    PGresult *result = PQexec(connection, statement);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", statement, PQerrorMessage(connection));
    }
    char *value = alv_strdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(connection);
    return value;
}

static void run_sql(const char *statement)
{
    alv_free(sql("%s", statement));
}

static bool there_are_rows(void *payload)
{
    (void)payload;
    char *table = sql("SELECT to_regclass('%s.entities')", fixture.cluster.schema);
    bool some = false;
    if (*table != '\0') {
        char *count = sql("SELECT count(*) FROM %s.entities", fixture.cluster.schema);
        some = strcmp(count, "0") != 0;
        alv_free(count);
    }
    alv_free(table);
    return some;
}

/* ---- the node --------------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text)
{
    char *path = alv_cluster_path(&fixture.cluster, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    alv_free(path);
}

/* Secrets in every place where they may stand: files, the environment, libpq's own password file. */
static void write_config(const char *sasl_ssl)
{
    const char *directory = fixture.cluster.directory;
    char *passfile = alv_format("*:*:*:%s:%s\n", ROLE, POSTGRES_PASSWORD);
    write_file("pgpass", passfile);
    assert_int_equal(setenv("ALLUVIUM_TEST_KAFKA_PASSWORD", KAFKA_PASSWORD, 1), 0);
    write_file("token", TOKEN "\n");
    char *pgpass_path = alv_cluster_path(&fixture.cluster, "pgpass");
    const char *const argv[] = {"chmod", "600", pgpass_path, NULL};
    assert_int_equal(alv_process_run(argv, (alv_process_files){.in = NULL}, SETTLE_MS), 0);
    char *text = alv_format("application.id=%s\nbootstrap.servers=%s\nlanes=1\nshards=4\n"
                            "kafka.security.protocol=SASL_SSL\nkafka.ssl.ca.location=%s/ca.pem\n"
                            "kafka.sasl.mechanism=SCRAM-SHA-512\nkafka.sasl.username=node\n"
                            "kafka.sasl.password=${env:ALLUVIUM_TEST_KAFKA_PASSWORD}\n"
                            "http.auth.token=${file:%s/token}\n"
                            "postgres.url=%s&user=%s&passfile=%s/pgpass\npostgres.schema=%s\n"
                            "postgres.interval.ms=100\n",
                            fixture.cluster.application, sasl_ssl, fixture.tls, directory,
                            fixture.tls_url, ROLE, directory, fixture.cluster.schema);
    write_file("node.properties", text);
    fixture.config_path = alv_cluster_path(&fixture.cluster, "node.properties");
    alv_free(text);
    alv_free(passfile);
    alv_free(pgpass_path);
}

static void start_node(const char *postgres_url)
{
    char *setting = postgres_url != NULL ? alv_format("postgres.url=%s", postgres_url) : NULL;
    const char *const settings[] = {setting, NULL};
    char *own = fixture.cluster.config_path;
    fixture.cluster.config_path = fixture.config_path;
    alv_cluster_start_node(fixture.node, settings);
    fixture.cluster.config_path = own;
    alv_cluster_wait_log(fixture.node, "event=ready", SETTLE_MS);
    alv_free(setting);
}

/* Through Kafka: what PostgreSQL says must not matter. */
static void send_login(const char *key)
{
    alv_cluster_result result =
        alv_cluster_run(&fixture.cluster, NULL,
                        (const char *const[]){"send", "-c", fixture.config_path, key,
                                              "{\"type\":\"login\"}", NULL});
    assert_int_equal(result.exit_status, 0);
    alv_cluster_result_done(&result);
    alv_cluster_wait_consumed(&fixture.cluster, SETTLE_MS);
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void postgres_security__a_role_that_owns_its_schema_is_enough(void **state)
{
    (void)state;
    start_node(NULL);
    send_login("m:1");
    assert_true(alv_wait_until(there_are_rows, NULL, SETTLE_MS));
    char *encrypted =
        sql("SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) "
            "WHERE a.usename = '%s'",
            ROLE);
    assert_string_equal(encrypted, "t");
    char *owned =
        sql("SELECT string_agg(DISTINCT n.nspname, ',') FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE pg_get_userbyid(c.relowner) = '%s' "
            "AND n.nspname <> 'pg_toast'",
            ROLE);
    assert_string_equal(owned, fixture.cluster.schema);
    char *others = sql("SELECT has_schema_privilege('%s', 'others', 'USAGE') OR "
                       "has_database_privilege('%s', current_database(), 'CREATE')",
                       ROLE, ROLE);
    assert_string_equal(others, "f");
    alv_free(encrypted);
    alv_free(owned);
    alv_free(others);
    fixture.tests_passed++;
}

/* Everything that the process says and shows. */
static void assert_unseen(const char *text, const char *where)
{
    static const char *const secrets[] = {POSTGRES_PASSWORD, KAFKA_PASSWORD, TOKEN};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (strstr(text, secrets[i]) != NULL) {
            fail_msg("%s shows a secret: %s", where, secrets[i]);
        }
    }
}

static void assert_file_unseen(const char *path)
{
    alv_bytes content = ALV_BYTES_EMPTY;
    char buffer[4096];
    size_t size;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while ((size = fread(buffer, 1, sizeof buffer, file)) > 0) {
        for (size_t i = 0; i < size; i++) {
            buffer[i] = buffer[i] == '\0' ? ' ' : buffer[i]; /* a command line has some */
        }
        alv_bytes_append(&content, buffer, size);
    }
    (void)fclose(file);
    alv_bytes_append(&content, "", 1);
    assert_unseen(content.data, path);
    alv_bytes_done(&content);
}

static void assert_command_unseen(const char *const *arguments)
{
    alv_cluster_result result = alv_cluster_run(&fixture.cluster, NULL, arguments);
    assert_unseen(result.out, arguments[0]);
    assert_unseen(result.err, arguments[0]);
    alv_cluster_result_done(&result);
}

#define ASSERT_COMMAND_UNSEEN(...) assert_command_unseen((const char *const[]){__VA_ARGS__, NULL})

static void assert_answers_unseen(void)
{
    static const char *const paths[] = {
        "/",          "/healthz",  "/readyz",     "/metrics",         "/v1/cluster",  "/v1/node",
        "/v1/shards", "/v1/peers", "/v1/nothing", "/v1/entities/m:1", "/openapi.json"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char *url = alv_format("http://%s%s", fixture.node->address, paths[i]);
        char *out = alv_cluster_path(&fixture.cluster, "answer");
        const char *const argv[] = {"curl", "-s", "-o", out, "-H", "Authorization: Bearer " TOKEN,
                                    url,    NULL};
        assert_int_equal(alv_process_run(argv, (alv_process_files){.in = NULL}, SETTLE_MS), 0);
        assert_file_unseen(out);
        alv_free(url);
        alv_free(out);
    }
}

static void postgres_security__no_secret_is_seen_anywhere(void **state)
{
    (void)state;
    const char *config = fixture.config_path;
    char *command_line = alv_format("/proc/%d/cmdline", (int)fixture.node->process.pid);
    assert_file_unseen(command_line);
    assert_file_unseen(fixture.node->log_path);
    assert_answers_unseen();
    ASSERT_COMMAND_UNSEEN("node", "-c", config, "--print-config");
    ASSERT_COMMAND_UNSEEN("node", "-c", config, "--print-config", "--json");
    ASSERT_COMMAND_UNSEEN("node", "-c", config, "--help-config");
    ASSERT_COMMAND_UNSEEN("status", "-c", config, "--node", fixture.node->address);
    ASSERT_COMMAND_UNSEEN("topics", "check", "-c", config);
    /* What is wrong is not quoted. */
    ASSERT_COMMAND_UNSEEN("topics", "check", "-c", config, "-X",
                          "kafka.ssl.key.pem=" KAFKA_PASSWORD);
    ASSERT_COMMAND_UNSEEN("topics", "check", "-c", config, "-X", "http.auth.token=" TOKEN " ");
    ASSERT_COMMAND_UNSEEN("verify", "-c", config, "-X",
                          "postgres.url=postgresql://u:" POSTGRES_PASSWORD "/x@127.0.0.1:1/d");
    ASSERT_COMMAND_UNSEEN("verify", "-c", config, "-X",
                          "postgres.url=postgresql://u:" POSTGRES_PASSWORD "@127.0.0.1:1/d");
    alv_free(command_line);
    fixture.tests_passed++;
}

/* Commands go on, and the log says what is wrong: checkpoints wait. */
static void expect_trouble(const char *url, const char *said)
{
    alv_cluster_stop_node(fixture.node);
    start_node(url);
    send_login("m:2");
    alv_cluster_wait_log(fixture.node, said, SETTLE_MS);
}

/* libpq finds it in the environment, which nodes and commands inherit. */
static void postgres_security__the_password_may_come_from_the_environment(void **state)
{
    (void)state;
    alv_cluster_stop_node(fixture.node);
    alv_free(sql("DELETE FROM %s.entities", fixture.cluster.schema));
    char *url = alv_format("%s&user=%s", fixture.tls_url, ROLE);
    assert_int_equal(setenv("PGPASSWORD", POSTGRES_PASSWORD, 1), 0);
    start_node(url);
    send_login("m:4");
    assert_true(alv_wait_until(there_are_rows, NULL, SETTLE_MS));
    char *command_line = alv_format("/proc/%d/cmdline", (int)fixture.node->process.pid);
    char *setting = alv_format("postgres.url=%s", url);
    assert_file_unseen(command_line);
    assert_file_unseen(fixture.node->log_path);
    assert_answers_unseen();
    ASSERT_COMMAND_UNSEEN("node", "-c", fixture.config_path, "-X", setting, "--print-config");
    ASSERT_COMMAND_UNSEEN("verify", "-c", fixture.config_path, "-X", setting);
    assert_int_equal(unsetenv("PGPASSWORD"), 0);
    expect_trouble(url, "no password supplied");
    alv_free(command_line);
    alv_free(setting);
    alv_free(url);
    fixture.tests_passed++;
}

static void postgres_security__who_is_not_let_in_is_told_why_and_commands_go_on(void **state)
{
    (void)state;
    alv_certificates_make_ca(fixture.cluster.directory, "other-ca");
    char *plain = alv_format("%s&user=%s&password=wrong&sslmode=disable", fixture.tls_url, ROLE);
    char *foreign = alv_format("%s&user=%s&password=wrong&sslrootcert=%s/other-ca.pem",
                               fixture.tls_url, ROLE, fixture.cluster.directory);
    char *wrong = alv_format("%s&user=%s&password=wrong", fixture.tls_url, ROLE);
    char *stranger = alv_format("%s&user=stranger&password=%s", fixture.tls_url, POSTGRES_PASSWORD);
    expect_trouble(plain, "no encryption");
    expect_trouble(foreign, "certificate verify failed");
    expect_trouble(wrong, "password authentication failed for user");
    expect_trouble(stranger, "grant this user CREATE on the database");
    assert_file_unseen(fixture.node->log_path);
    alv_cluster_stop_node(fixture.node);
    alv_free(plain);
    alv_free(foreign);
    alv_free(wrong);
    alv_free(stranger);
    fixture.tests_passed++;
}

/* Somebody else makes and owns the tables; the role may change rows. */
static void postgres_security__rights_to_rows_alone_are_enough(void **state)
{
    (void)state;
    run_sql("CREATE ROLE rows_only LOGIN PASSWORD '" POSTGRES_PASSWORD "'");
    alv_free(sql("GRANT USAGE ON SCHEMA %s TO rows_only", fixture.cluster.schema));
    alv_free(sql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO rows_only",
                 fixture.cluster.schema));
    alv_free(sql("DELETE FROM %s.entities", fixture.cluster.schema));
    char *url = alv_format("%s&user=rows_only&password=%s", fixture.tls_url, POSTGRES_PASSWORD);
    start_node(url);
    send_login("m:3");
    assert_true(alv_wait_until(there_are_rows, NULL, SETTLE_MS));
    alv_free(url);
    fixture.cluster.passed = ++fixture.tests_passed == 5;
}

/* ---- fixture ---------------------------------------------------------------------------------- */

static void make_users(void)
{
    alv_kafka_guard *guard = alv_kafka_guard_open(fixture.cluster.brokers);
    alv_kafka_guard_add_user(guard, "node", KAFKA_PASSWORD);
    static const alv_access_role roles[] = {ALV_ACCESS_NODE, ALV_ACCESS_TOPICS, ALV_ACCESS_SENDER,
                                            ALV_ACCESS_OPERATOR};
    const alv_settings settings = {.application_id = fixture.cluster.application};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        alv_kafka_guard_allow_role(guard, "User:node", roles[i], &settings);
    }
    alv_kafka_guard_close(guard);
    run_sql("CREATE ROLE " ROLE " LOGIN PASSWORD '" POSTGRES_PASSWORD "'");
    run_sql("CREATE ROLE stranger LOGIN PASSWORD '" POSTGRES_PASSWORD "'");
    run_sql("CREATE SCHEMA others");
    alv_free(sql("CREATE SCHEMA %s AUTHORIZATION " ROLE, fixture.cluster.schema));
}

static int start_fixture(void **state)
{
    (void)state;
    static const char *const options[] = {"--secured", NULL};
    alv_cluster_open_alone(&fixture.cluster, "pgtls");
    alv_cluster_start_stack_with(&fixture.cluster, options);
    char *sasl_ssl = alv_cluster_stack_setting(&fixture.cluster, "KAFKA_SASL_SSL");
    fixture.tls = alv_cluster_stack_setting(&fixture.cluster, "KAFKA_TLS");
    fixture.superuser_url = alv_strdup(fixture.cluster.postgres_url);
    fixture.tls_url = alv_format("postgresql://%s?sslmode=verify-full&sslrootcert=%s/ca.pem",
                                 strchr(fixture.superuser_url, '@') + 1, fixture.tls);
    make_users();
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    write_config(sasl_ssl);
    alv_free(sasl_ssl);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_cluster_close(&fixture.cluster);
    alv_free(fixture.superuser_url);
    alv_free(fixture.tls);
    alv_free(fixture.tls_url);
    alv_free(fixture.config_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postgres_security__a_role_that_owns_its_schema_is_enough),
        cmocka_unit_test(postgres_security__no_secret_is_seen_anywhere),
        cmocka_unit_test(postgres_security__the_password_may_come_from_the_environment),
        cmocka_unit_test(postgres_security__who_is_not_let_in_is_told_why_and_commands_go_on),
        cmocka_unit_test(postgres_security__rights_to_rows_alone_are_enough),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
