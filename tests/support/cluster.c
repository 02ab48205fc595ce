#include "tests/support/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "tests/support/certificates.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"

#define CLUSTER_READY_TIMEOUT_MS 180000
#define CLUSTER_STOP_TIMEOUT_MS 40000
#define CLUSTER_RUN_TIMEOUT_MS 60000
#define CLUSTER_SKIPPED 77 /* what ctest takes for "skipped" */
#define CLUSTER_LOG_LINES 25

/* ---- where things are ------------------------------------------------------------------------ */

/* The folder of the test program, cut off `levels` times: build/tests/cluster/x is 4 below the root. */
static char *cluster_folder_above(int levels)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(length > 0);
    path[length] = '\0';
    for (; levels > 0; levels--) {
        char *slash = strrchr(path, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    return alv_strdup(path);
}

static char *cluster_find_binary(void)
{
    const char *given = getenv("ALLUVIUM_BIN");
    if (given != NULL) {
        return alv_strdup(given);
    }
    char *build = cluster_folder_above(3);
    char *binary = alv_format("%s/alluvium", build);
    alv_free(build);
    return binary;
}

static char *cluster_find_root(void)
{
    const char *given = getenv("ALLUVIUM_ROOT");
    return given != NULL ? alv_strdup(given) : cluster_folder_above(4);
}

static char *cluster_make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char *directory = alv_format("%s/alluvium-test.XXXXXX", parent != NULL ? parent : "/tmp");
    assert_non_null(mkdtemp(directory));
    return directory;
}

char *alv_cluster_path(const alv_cluster *cluster, const char *name)
{
    return alv_format("%s/%s", cluster->directory, name);
}

const char *alv_cluster_topic(const alv_cluster *cluster, const char *suffix)
{
    static char topic[256];
    (void)snprintf(topic, sizeof(topic), "%s.%s", cluster->application, suffix);
    return topic;
}

/* ---- open and close -------------------------------------------------------------------------- */

void alv_cluster_write_config(const alv_cluster *cluster)
{
    FILE *file = fopen(cluster->config_path, "w");
    assert_non_null(file);
    fprintf(file, "# written by a test\nbootstrap.servers=%s\napplication.id=%s\n",
            cluster->brokers != NULL ? cluster->brokers : "127.0.0.1:1", cluster->application);
    if (cluster->postgres_url != NULL) {
        fprintf(file, "postgres.url=%s\npostgres.schema=%s\npostgres.interval.ms=200\n",
                cluster->postgres_url, cluster->schema);
    }
    if (cluster->tls != NULL) {
        fprintf(file,
                "http.tls.cert=%s/node.pem\nhttp.tls.key=%s/node.key\n"
                "http.tls.client.ca=%s/ca.pem\nhttp.auth.token.file=%s/token\n",
                cluster->tls, cluster->tls, cluster->tls, cluster->tls);
    }
    assert_int_equal(fclose(file), 0);
}

void alv_cluster_use_tls(alv_cluster *cluster)
{
    cluster->tls = alv_strdup(cluster->directory);
    alv_certificates_make_ca(cluster->tls, "ca");
    alv_certificates_make(cluster->tls, "ca", "node");
    char *path = alv_cluster_path(cluster, "token");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, ALV_CLUSTER_TOKEN "\n");
    assert_int_equal(fclose(file), 0);
    alv_free(path);
    alv_cluster_write_config(cluster);
}

void alv_cluster_open_alone(alv_cluster *cluster, const char *name)
{
    *cluster = (alv_cluster){.stack_fd = -1};
    cluster->root = cluster_find_root();
    cluster->binary = cluster_find_binary();
    cluster->directory = cluster_make_directory();
    cluster->config_path = alv_cluster_path(cluster, "alluvium.properties");
    unsigned now = (unsigned)alv_now_ms(alv_clock_system());
    (void)snprintf(cluster->application, sizeof(cluster->application), "test-%s-%d-%x", name,
                   (int)getpid(), now);
    (void)snprintf(cluster->schema, sizeof(cluster->schema), "%s", cluster->application);
    for (char *dash = cluster->schema; (dash = strchr(dash, '-')) != NULL;) {
        *dash = '_';
    }
    alv_cluster_write_config(cluster);
}

void alv_cluster_open(alv_cluster *cluster, const char *name)
{
    const char *brokers = getenv("ALLUVIUM_TEST_KAFKA");
    const char *postgres = getenv("ALLUVIUM_TEST_POSTGRES");
    if (brokers == NULL) {
        fprintf(stderr, "skipped: ALLUVIUM_TEST_KAFKA names no broker; run it with dev/test\n");
        exit(CLUSTER_SKIPPED);
    }
    alv_cluster_open_alone(cluster, name);
    cluster->brokers = alv_strdup(brokers);
    cluster->postgres_url = postgres != NULL ? alv_strdup(postgres) : NULL;
    alv_cluster_write_config(cluster);
}

/* Logs matter only when something went wrong. */
static void cluster_print_log(const alv_cluster_node *node)
{
    char *command = alv_format("echo '---- end of the log of %s:' >&2; tail -n %d '%s' >&2",
                               node->id, CLUSTER_LOG_LINES, node->log_path);
    const char *const argv[] = {"sh", "-c", command, NULL};
    alv_process_files files = {.err = "/dev/stderr"};
    (void)alv_process_run(argv, files, CLUSTER_RUN_TIMEOUT_MS);
    alv_free(command);
}

void alv_cluster_remove(const char *path)
{
    const char *const argv[] = {"rm", "-rf", "--", path, NULL};
    (void)alv_process_run(argv, (alv_process_files){.in = NULL}, CLUSTER_RUN_TIMEOUT_MS);
}

static void cluster_end_stack(alv_cluster *cluster)
{
    if (cluster->stack_fd >= 0) {
        (void)close(cluster->stack_fd);
        cluster->stack_fd = -1;
        (void)alv_process_wait(&cluster->stack_guard, CLUSTER_RUN_TIMEOUT_MS);
    }
}

void alv_cluster_close(alv_cluster *cluster)
{
    for (int i = 0; i < cluster->node_count; i++) {
        alv_process_done(&cluster->nodes[i].process);
        if (!cluster->passed) {
            cluster_print_log(&cluster->nodes[i]);
        }
    }
    if (cluster->stack_fd >= 0) {
        cluster_end_stack(cluster);
    } else if (cluster->brokers != NULL) {
        alv_wire_delete_topics(cluster->brokers, cluster->application);
        alv_cluster_drop_schema(cluster);
    }
    alv_cluster_remove(cluster->directory);
    for (int i = 0; i < cluster->node_count; i++) {
        alv_free(cluster->nodes[i].state_dir);
        alv_free(cluster->nodes[i].log_path);
    }
    alv_free(cluster->root);
    alv_free(cluster->binary);
    alv_free(cluster->directory);
    alv_free(cluster->config_path);
    alv_free(cluster->brokers);
    alv_free(cluster->postgres_url);
    alv_free(cluster->tls);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool cluster_port_is_free(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd);
    return is_free;
}

/* Below the ports that the kernel hands out and those of dev/stack, so that nobody takes it while the
 * node is down. */
static int cluster_free_port(void)
{
    static int next;
    for (int tries = 0; tries < 12000; tries++, next++) {
        int port = 12000 + (getpid() * 17 + next) % 12000;
        if (cluster_port_is_free(port)) {
            next++;
            return port;
        }
    }
    fail_msg("no free port");
    return 0;
}

alv_cluster_node *alv_cluster_add_node(alv_cluster *cluster)
{
    assert_true(cluster->node_count < ALV_CLUSTER_NODES_MAX);
    alv_cluster_node *node = &cluster->nodes[cluster->node_count++];
    node->cluster = cluster;
    (void)snprintf(node->id, sizeof(node->id), "node-%d", cluster->node_count);
    (void)snprintf(node->address, sizeof(node->address), "127.0.0.1:%d", cluster_free_port());
    node->state_dir = alv_cluster_path(cluster, node->id);
    node->log_path = alv_format("%s.log", node->state_dir);
    return node;
}

#define CLUSTER_ARGUMENTS_MAX 64

void alv_cluster_start_node(alv_cluster_node *node, const char *const *settings)
{
    char *own[] = {
        alv_format("node.id=%s", node->id),
        alv_format("state.dir=%s", node->state_dir),
        alv_format("http.listen=%s", node->address),
    };
    char *fault = alv_format("ALLUVIUM_FAULT=%s", node->fault != NULL ? node->fault : "");
    const char *argv[CLUSTER_ARGUMENTS_MAX] = {"env",  fault, node->cluster->binary,
                                               "node", "-c",  node->cluster->config_path};
    int count = 6;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        argv[count++] = "-X";
        argv[count++] = own[i];
    }
    for (; settings != NULL && *settings != NULL; settings++) {
        assert_true(count + 3 <= CLUSTER_ARGUMENTS_MAX);
        argv[count++] = "-X";
        argv[count++] = *settings;
    }
    alv_process_files files = {.out = node->log_path, .err = node->log_path};
    alv_process_start(&node->process, node->fault != NULL ? argv : argv + 2, files);
    alv_free(fault);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        alv_free(own[i]);
    }
}

static bool node_is_ready(void *payload)
{
    alv_cluster_node *node = payload;
    if (alv_process_wait(&node->process, 0)) {
        fail_msg("%s ended with status %d before it was ready", node->id,
                 node->process.exit_status);
    }
    int status = 0;
    json_decref(alv_cluster_http(node, "/readyz", &status));
    return status == 200;
}

void alv_cluster_wait_ready(alv_cluster_node *node)
{
    if (!alv_wait_until(node_is_ready, node, CLUSTER_READY_TIMEOUT_MS)) {
        fail_msg("%s was not ready after %d ms", node->id, CLUSTER_READY_TIMEOUT_MS);
    }
}

void alv_cluster_stop_node(alv_cluster_node *node)
{
    alv_process_signal(&node->process, SIGTERM);
    alv_cluster_wait_stopped(node);
}

void alv_cluster_wait_stopped(alv_cluster_node *node)
{
    if (!alv_process_wait(&node->process, CLUSTER_STOP_TIMEOUT_MS)) {
        fail_msg("%s did not stop", node->id);
    }
    if (node->process.exit_status != 0) {
        fail_msg("%s stopped with status %d", node->id, node->process.exit_status);
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The whole file as a string, empty when it is not there. The caller frees it. */
static char *cluster_read_file(const char *path)
{
    alv_bytes content = ALV_BYTES_EMPTY;
    char buffer[65536];
    size_t size;
    FILE *file = fopen(path, "r");
    while (file != NULL && (size = fread(buffer, 1, sizeof(buffer), file)) > 0) {
        alv_bytes_append(&content, buffer, size);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    char *text = alv_strndup(content.size > 0 ? content.data : "", content.size);
    alv_bytes_done(&content);
    return text;
}

bool alv_cluster_log_has(const alv_cluster_node *node, const char *text)
{
    char *log = cluster_read_file(node->log_path);
    bool found = strstr(log, text) != NULL;
    alv_free(log);
    return found;
}

void alv_cluster_wait_log(const alv_cluster_node *node, const char *text, int timeout_ms)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    while (!alv_cluster_log_has(node, text)) {
        if (alv_wait_expired(deadline)) {
            fail_msg("the log of %s does not say \"%s\" after %d ms", node->id, text, timeout_ms);
        }
        (void)poll(NULL, 0, 20);
    }
}

/* ---- the command line ------------------------------------------------------------------------ */

static void cluster_write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

alv_cluster_result alv_cluster_run(alv_cluster *cluster, const char *input,
                                   const char *const *arguments)
{
    const char *argv[CLUSTER_ARGUMENTS_MAX] = {cluster->binary};
    for (int i = 0; arguments[i] != NULL; i++) {
        assert_true(i + 2 < CLUSTER_ARGUMENTS_MAX);
        argv[i + 1] = arguments[i];
    }
    char *in = alv_cluster_path(cluster, "stdin");
    char *out = alv_cluster_path(cluster, "stdout");
    char *err = alv_cluster_path(cluster, "stderr");
    cluster_write_file(in, input != NULL ? input : "");
    cluster_write_file(out, "");
    cluster_write_file(err, "");
    alv_process_files files = {.in = in, .out = out, .err = err};
    alv_cluster_result result = {.exit_status =
                                     alv_process_run(argv, files, CLUSTER_RUN_TIMEOUT_MS)};
    result.out = cluster_read_file(out);
    result.err = cluster_read_file(err);
    alv_free(in);
    alv_free(out);
    alv_free(err);
    return result;
}

void alv_cluster_result_done(alv_cluster_result *result)
{
    alv_free(result->out);
    alv_free(result->err);
    *result = (alv_cluster_result){0};
}

void alv_cluster_add_to_users(alv_cluster *cluster, int users)
{
    alv_bytes lines = ALV_BYTES_EMPTY;
    for (int i = 0; i < users; i++) {
        alv_bytes_printf(&lines, "m:%d\t{\"type\":\"add_balance\",\"amount\":1}\n", i);
    }
    alv_bytes_append(&lines, "", 1);
    alv_cluster_result result = alv_cluster_run(
        cluster, lines.data, (const char *const[]){"send", "-c", cluster->config_path, NULL});
    assert_int_equal(result.exit_status, 0);
    alv_cluster_result_done(&result);
    alv_bytes_done(&lines);
}
