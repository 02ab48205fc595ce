/* cluster.h — an application of its own for one test program: nodes, topics, tables, folders.
 *
 * Why:    cluster tests run real nodes against a real Kafka and PostgreSQL, side by side with other
 *         tests. Each gets its own application id, schema and folder, and leaves nothing behind.
 *
 * Where things are: ALLUVIUM_BIN (the program under test), ALLUVIUM_TEST_KAFKA (brokers) and
 * ALLUVIUM_TEST_POSTGRES (a URL) come from dev/test. Without ALLUVIUM_BIN, the program of the build
 * folder of the test is taken; without brokers the test is skipped (exit status 77).
 *
 * Thread: one; the same that runs the tests.
 * Owns:   the caller's struct; alv_cluster_close kills the nodes and cleans up. Unless `passed` was set
 *         by then, it prints the end of every node's log.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_CLUSTER_H
#define ALV_TESTS_SUPPORT_CLUSTER_H

#include <jansson.h>

#include "tests/support/process.h"

#define ALV_CLUSTER_NODES_MAX 4

typedef struct alv_cluster alv_cluster;

typedef struct alv_cluster_node {
    alv_cluster *cluster;
    char id[24];
    char address[32]; /* of its HTTP API */
    char *state_dir;
    char *log_path;
    const char *fault; /* ALLUVIUM_FAULT of the next start (base/fault.h); borrowed, NULL = none */
    alv_process process;
} alv_cluster_node;

struct alv_cluster {
    char *root;           /* of the repository */
    char *binary;         /* the program under test */
    char *directory;      /* everything this test writes */
    char *config_path;    /* a .properties file with what all nodes of it share */
    char *brokers;        /* NULL until there are some */
    char *postgres_url;   /* NULL = none */
    char application[64]; /* also the schema in PostgreSQL, with "_" for "-" */
    char schema[64];
    char *tls;    /* folder with ca.pem, node.pem, node.key and token; NULL = plain HTTP */
    int stack_fd; /* of a stack of its own; -1 = none. Closing it ends the stack */
    alv_process stack_guard;
    alv_cluster_node nodes[ALV_CLUSTER_NODES_MAX];
    int node_count;
    bool passed;
};

/* Prepares an application on the brokers of the environment. `name` is part of its id. */
void alv_cluster_open(alv_cluster *cluster, const char *name);

/* Prepares one without brokers; alv_cluster_start_stack makes them. */
void alv_cluster_open_alone(alv_cluster *cluster, const char *name);

/* From now on nodes get certificates and a token, and show and ask for both. Before the first node is
 * started. */
#define ALV_CLUSTER_TOKEN "token-of-a-test-and-nothing-else"
void alv_cluster_use_tls(alv_cluster *cluster);

/* Writes the configuration file again, after brokers or postgres_url have changed. */
void alv_cluster_write_config(const alv_cluster *cluster);

void alv_cluster_close(alv_cluster *cluster);

/* "<application>.<suffix>"; valid until the next call. */
const char *alv_cluster_topic(const alv_cluster *cluster, const char *suffix);

/* A path inside the cluster's folder. The caller frees it with alv_free. */
char *alv_cluster_path(const alv_cluster *cluster, const char *name);

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Describes node-1, node-2, ... with a state folder and an HTTP port; does not start it. Borrowed. */
alv_cluster_node *alv_cluster_add_node(alv_cluster *cluster);

/* Starts `alluvium node` with the cluster's configuration, the node's own settings (id, folder, port)
 * and then `settings`, a NULL-terminated list of key=value, or NULL. */
void alv_cluster_start_node(alv_cluster_node *node, const char *const *settings);

/* Waits until /readyz says 200; fails at once when the node ends. */
void alv_cluster_wait_ready(alv_cluster_node *node);

/* SIGTERM, and waits for the end, which must be exit status 0. Not for a node that got SIGTERM
 * already: a second one ends it at once, with status 1. */
void alv_cluster_stop_node(alv_cluster_node *node);

/* Waits for the end of a node that was told to stop, which must be exit status 0. */
void alv_cluster_wait_stopped(alv_cluster_node *node);

/* Whether the node's log (of all its runs) has `text` in it. */
bool alv_cluster_log_has(const alv_cluster_node *node, const char *text);

/* Waits until it has; fails when it does not in time. */
void alv_cluster_wait_log(const alv_cluster_node *node, const char *text, int timeout_ms);

/* Removes a folder and everything in it. */
void alv_cluster_remove(const char *path);

/* ---- the command line ------------------------------------------------------------------------ */

typedef struct alv_cluster_result {
    int exit_status;
    char *out; /* what it printed; freed by alv_cluster_result_done */
    char *err;
} alv_cluster_result;

/* Runs `alluvium ARGUMENTS...` (NULL-terminated) to its end, with `input` on stdin unless NULL. */
alv_cluster_result alv_cluster_run(alv_cluster *cluster, const char *input,
                                   const char *const *arguments);
void alv_cluster_result_done(alv_cluster_result *result);

/* Sends add_balance of 1 to users m:0 to m:<users - 1>, with `alluvium send`. */
void alv_cluster_add_to_users(alv_cluster *cluster, int users);

/* ---- servers of its own ---------------------------------------------------------------------- */

/* Makes and starts a stack (dev/stack start) for this cluster alone and sets brokers and
 * postgres_url (NULL with --no-postgres). It ends with the cluster, or with the test program. */
void alv_cluster_start_stack(alv_cluster *cluster);

/* The same with further options of dev/stack start, a NULL-terminated list. */
void alv_cluster_start_stack_with(alv_cluster *cluster, const char *const *options);

/* What dev/stack printed as NAME=value when it started, NULL when it did not; the caller frees it with
 * alv_free. */
char *alv_cluster_stack_setting(const alv_cluster *cluster, const char *name);

/* Any other command of dev/stack: "stop-postgres", "start-broker", "1". `argument` may be NULL. */
void alv_cluster_stack(alv_cluster *cluster, const char *command, const char *argument);

#endif
