/* Goal:   three real nodes are one service: a command through any of them is done once and seen by the next read
 *         through any other; a planned stop is no error to anybody; after a kill nothing that was answered is
 *         lost, nothing is done twice, and no reader sees a state go back.
 * Method: nodes of one cluster, libcurl from outside, a writer and a reader in the background that keep
 *         their connections to one node while others stop, die and come back. The command line at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <cmocka.h>

#include "api/http_limits.h"
#include "base/alloc.h"
#include "tests/support/cluster.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"

#define NODES 3
#define USERS 24
#define WAIT_MS 90000
#define ADD "{\"type\":\"add_balance\",\"amount\":1}"

static alv_cluster cluster;
static alv_cluster_node *nodes[NODES];

static char *user_path(int user, const char *behind)
{
    return alv_format("/v1/entities/ask:%02d%s", user, behind);
}

static json_int_t balance_of(const alv_http_result *result)
{
    return json_integer_value(json_object_get(json_object_get(result->json, "state"), "balance"));
}

/* ---- in peace -------------------------------------------------------------------------------- */

/* Written through one node, read at once through another, in every direction; as many users on all nodes. */
static void ask__every_node_answers_for_every_entity(void **state)
{
    (void)state;
    for (int user = 0; user < USERS; user++) {
        for (int i = 0; i < NODES; i++) {
            char *path = user_path(user, "/commands");
            alv_http_result result = alv_http_call_post(NULL, nodes[i]->address, path, ADD, NULL);
            assert_int_equal(result.status, 200);
            const json_t *reply = json_object_get(result.json, "reply");
            assert_int_equal(json_integer_value(json_object_get(reply, "balance")), i + 1);
            alv_free(path);
            alv_http_result_done(&result);
            path = user_path(user, "");
            result = alv_http_call(NULL, "GET", nodes[(user + i) % NODES]->address, path, NULL);
            assert_int_equal(result.status, 200);
            assert_int_equal(balance_of(&result), i + 1);
            alv_free(path);
            alv_http_result_done(&result);
        }
    }
}

static void ask__lists_are_the_same_everywhere(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) {
        alv_http_result result = alv_http_call(NULL, "GET", nodes[i]->address,
                                               "/v1/entities?prefix=ask:&limit=1000", NULL);
        assert_int_equal(result.status, 200);
        const json_t *entities = json_object_get(result.json, "entities");
        assert_int_equal(json_array_size(entities), USERS);
        for (int user = 0; user < USERS; user++) {
            char key[16];
            (void)snprintf(key, sizeof key, "ask:%02d", user);
            const json_t *entity = json_array_get(entities, (size_t)user);
            assert_string_equal(json_string_value(json_object_get(entity, "key")), key);
        }
        alv_http_result_done(&result);
    }
}

static void ask__rejections_and_idempotency_through_another_node(void **state)
{
    (void)state;
    static const char *const key[] = {"Idempotency-Key: once", NULL};
    static const char take[] = "{\"type\":\"deduct_balance\",\"amount\":1000000}";
    char *path = user_path(0, "/commands");
    for (int i = 0; i < NODES; i++) {
        alv_http_result result = alv_http_call_post(NULL, nodes[i]->address, path, take, NULL);
        assert_int_equal(result.status, 422);
        assert_string_equal(alv_http_result_text(&result, "error"), "insufficient balance");
        alv_http_result_done(&result);
        result = alv_http_call_post(NULL, nodes[i]->address, path, ADD, key);
        assert_int_equal(result.status, 200); /* each time as the first time */
        assert_int_equal(
            json_integer_value(json_object_get(json_object_get(result.json, "reply"), "balance")),
            NODES + 1);
        alv_http_result_done(&result);
    }
    alv_free(path);
}

/* A hot standby comes with time; then it answers for its owner and says so. */
static void ask__a_standby_answers_who_takes_any_state(void **state)
{
    (void)state;
    int64_t deadline = alv_wait_deadline(WAIT_MS);
    bool seen = false;
    for (int at = 0; !seen && !alv_wait_expired(deadline); at++) {
        char *path = user_path(at % USERS, "?consistency=any");
        alv_http_result result =
            alv_http_call(NULL, "GET", nodes[at / USERS % NODES]->address, path, NULL);
        assert_int_equal(result.status, 200);
        seen = strcmp(alv_http_result_text(&result, "source"), "standby") == 0;
        alv_http_result_done(&result);
        alv_free(path);
    }
    assert_true(seen);
}

/* ---- under way ------------------------------------------------------------------------------- */

typedef struct traffic {
    pthread_t writer;
    pthread_t reader;
    const char *address;
    bool strict; /* every answer must be good */
    atomic_bool ended;
    atomic_int written;
    atomic_int read;
    json_int_t balances[USERS]; /* as the writer knows them */
    char problem[512];          /* the first; empty = none */
} traffic;

static void complain(traffic *self, const char *what, const alv_http_result *result)
{
    if (self->problem[0] == '\0')
        (void)snprintf(self->problem, sizeof self->problem, "%s: %ld %.*s", what, result->status,
                       (int)(result->body.size < 300 ? result->body.size : 300),
                       result->body.size > 0 ? result->body.data : "");
}

/* Sends a command until it is done: under one idempotency key, so that it is done once. */
static bool write_one(traffic *self, CURL *curl, int user, int number)
{
    char *path = user_path(user, "/commands");
    char *key = alv_format("Idempotency-Key: write-%p-%d", (void *)self, number);
    const char *const headers[] = {key, NULL};
    bool done = false;
    int64_t deadline = alv_wait_deadline(WAIT_MS);
    while (!done && !alv_wait_expired(deadline)) {
        alv_http_result result = alv_http_call_post(curl, self->address, path, ADD, headers);
        done = result.status == 200;
        json_int_t balance =
            json_integer_value(json_object_get(json_object_get(result.json, "reply"), "balance"));
        if (done && balance != ++self->balances[user])
            complain(self, "done twice, or not at all", &result);
        if (!done && self->strict)
            complain(self, "a command", &result);
        alv_http_result_done(&result);
    }
    alv_free(path);
    alv_free(key);
    return done;
}

static void *write_always(void *payload)
{
    traffic *self = payload;
    CURL *curl = curl_easy_init();
    for (int number = 0; !atomic_load(&self->ended); number++) {
        if (!write_one(self, curl, number % USERS, number))
            break;
        atomic_fetch_add(&self->written, 1);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

/* While a node dies its neighbours may be without an answer. A planned stop is no excuse, unless the machine is so
 * busy that the shard was not there within all the time that a request is held. */
static bool is_excused(const traffic *self, const alv_http_result *result)
{
    return (result->status == 503 && (!self->strict || result->total_ms >= ALV_HTTP_HOLD_MS)) ||
           (result->status == 0 && !self->strict);
}

/* I4: on this connection no balance is ever smaller than before. */
static void *read_always(void *payload)
{
    traffic *self = payload;
    CURL *curl = curl_easy_init();
    json_int_t last[USERS] = {0};
    for (int at = 0; !atomic_load(&self->ended); at++) {
        int user = at % USERS;
        char *path = user_path(user, at % 3 == 0 ? "?consistency=any" : "");
        alv_http_result result = alv_http_call(curl, "GET", self->address, path, NULL);
        if (result.status == 200 && balance_of(&result) < last[user])
            complain(self, "a read went back", &result);
        if (result.status == 200)
            last[user] = balance_of(&result);
        else if (!is_excused(self, &result))
            complain(self, "a read", &result);
        atomic_fetch_add(&self->read, 1);
        alv_http_result_done(&result);
        alv_free(path);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

static void traffic_begin(traffic *self, const alv_cluster_node *node, bool strict)
{
    memset(self, 0, sizeof *self);
    self->address = node->address;
    self->strict = strict;
    for (int user = 0; user < USERS; user++) {
        char *path = user_path(user, "");
        alv_http_result result = alv_http_call(NULL, "GET", node->address, path, NULL);
        assert_int_equal(result.status, 200);
        self->balances[user] = balance_of(&result);
        alv_http_result_done(&result);
        alv_free(path);
    }
    assert_int_equal(pthread_create(&self->writer, NULL, write_always, self), 0);
    assert_int_equal(pthread_create(&self->reader, NULL, read_always, self), 0);
}

/* Until a few more commands were done and a few more states read. */
static void traffic_goes_on(traffic *self)
{
    int written = atomic_load(&self->written);
    int read = atomic_load(&self->read);
    int64_t deadline = alv_wait_deadline(WAIT_MS);
    while ((atomic_load(&self->written) < written + 2 * USERS ||
            atomic_load(&self->read) < read + 2 * USERS) &&
           self->problem[0] == '\0') {
        assert_false(alv_wait_expired(deadline));
        (void)poll(NULL, 0, 5);
    }
}

static void traffic_end(traffic *self)
{
    atomic_store(&self->ended, true);
    assert_int_equal(pthread_join(self->writer, NULL), 0);
    assert_int_equal(pthread_join(self->reader, NULL), 0);
    if (self->problem[0] != '\0')
        fail_msg("%s", self->problem);
    for (int user = 0; user < USERS; user++) {
        char *path = user_path(user, "");
        alv_http_result result = alv_http_call(NULL, "GET", self->address, path, NULL);
        assert_int_equal(result.status, 200);
        assert_int_equal(balance_of(&result), self->balances[user]);
        alv_http_result_done(&result);
        alv_free(path);
    }
}

/* A node leaves and comes back: to whoever asks another one, nothing happens but a longer answer. */
static void ask__a_planned_stop_is_no_error(void **state)
{
    (void)state;
    static traffic all;
    traffic_begin(&all, nodes[0], true);
    traffic_goes_on(&all);
    alv_cluster_stop_node(nodes[2]);
    traffic_goes_on(&all);
    alv_cluster_start_node(nodes[2], NULL);
    alv_cluster_wait_ready(nodes[2]);
    traffic_goes_on(&all);
    traffic_end(&all);
}

/* A node dies: what was answered stays, what was not is sent again and done once (I7). */
static void ask__a_kill_loses_and_doubles_nothing(void **state)
{
    (void)state;
    static traffic all;
    traffic_begin(&all, nodes[0], false);
    traffic_goes_on(&all);
    alv_process_kill(&nodes[1]->process);
    traffic_goes_on(&all);
    alv_cluster_start_node(nodes[1], NULL);
    alv_cluster_wait_ready(nodes[1]);
    traffic_goes_on(&all);
    traffic_end(&all);
}

/* ---- the command line ------------------------------------------------------------------------ */

static void expect_run(const char *input, const char *const *arguments, int exit_status,
                       const char *out, const char *err)
{
    alv_cluster_result result = alv_cluster_run(&cluster, input, arguments);
    if (result.exit_status != exit_status || strstr(result.out, out) == NULL ||
        strstr(result.err, err) == NULL)
        fail_msg("%s: %d\n%s%s", arguments[0], result.exit_status, result.out, result.err);
    alv_cluster_result_done(&result);
}

static void cli__send_waits_for_replies(void **state)
{
    (void)state;
    const char *const one[] = {"send", "--wait", "--node", nodes[1]->address, "cli:a", ADD, NULL};
    expect_run(NULL, one, 0, "{\"event\":\"balance_added\",\"balance\":1}\n", "");
    const char *const lines[] = {"send", "--wait", "--node", nodes[2]->address, NULL};
    expect_run("cli:a\t" ADD "\ncli:b\t" ADD "\n\ncli:a\t" ADD "\n", lines, 0,
               "cli:a\t{\"event\":\"balance_added\",\"balance\":2}\n"
               "cli:b\t{\"event\":\"balance_added\",\"balance\":1}\n"
               "cli:a\t{\"event\":\"balance_added\",\"balance\":3}\n",
               "");
    expect_run("cli:a\t{\"type\":\"deduct_balance\",\"amount\":9}\ncli:a\t" ADD "\n", lines, 1,
               "\"balance\":4}\n", "insufficient balance");
    expect_run("cli:a\t{\"type\":\"fly\"}\ncli:a\t" ADD "\n", lines, 1, "", "line 1: ");
    const char *const json[] = {"send",  "--wait", "--json", "--node", nodes[0]->address,
                                "cli:a", ADD,      NULL};
    expect_run(NULL, json, 0, "\"http_status\":200", ""); /* and the fly ended the run */
    expect_run(NULL, json, 0, "\"balance\":6}", "");
}

static void cli__get_lists_and_takes_any_state(void **state)
{
    (void)state;
    const char *const list[] = {"get", "--node", nodes[1]->address, "--prefix", "cli:", NULL};
    expect_run(NULL, list, 0, "cli:b\t{", "");
    const char *const first[] = {
        "get", "--node", nodes[1]->address, "--prefix", "cli:", "--json", "--limit", "1", NULL};
    expect_run(NULL, first, 0, "{\"key\":\"cli:a\",", "");
    const char *const any[] = {
        "get", "--node", nodes[2]->address, "--json", "cli:a", "--consistency", "any", NULL};
    expect_run(NULL, any, 0, "\"source\":", "");
    const char *const both[] = {"get", "cli:a", "--prefix", "cli:", NULL};
    expect_run(NULL, both, 2, "", "not both");
}

static char *only_letter(void)
{
    const char *const list[] = {"dead-letters", "list",     "-c",     cluster.config_path,
                                "--key",        "cli:dead", "--json", NULL};
    alv_cluster_result result = alv_cluster_run(&cluster, NULL, list);
    json_t *letter = json_loads(result.out, JSON_DISABLE_EOF_CHECK, NULL);
    const char *id = json_string_value(json_object_get(letter, "id"));
    char *copy = id != NULL ? alv_strdup(id) : NULL;
    json_decref(letter);
    alv_cluster_result_done(&result);
    return copy;
}

static void cli__dead_letters_are_retried_once(void **state)
{
    (void)state;
    const char *const send[] = {
        "send", "-c", cluster.config_path, "--raw", "cli:dead", "{\"type\":\"fly\"}", NULL};
    expect_run(NULL, send, 0, "1 sent", "");
    char *id = NULL;
    int64_t deadline = alv_wait_deadline(WAIT_MS);
    while ((id = only_letter()) == NULL)
        assert_false(alv_wait_expired(deadline));
    const char *const show[] = {"dead-letters", "show", "-c", cluster.config_path, id, NULL};
    expect_run(NULL, show, 0, "value    {\"type\":\"fly\"}", "");
    const char *const retry[] = {"dead-letters", "retry", "-c", cluster.config_path, id, NULL};
    expect_run(NULL, retry, 0, "1 put back", "");
    expect_run(NULL, retry, 1, "0 put back", "--again");
    const char *const again[] = {"dead-letters", "retry", "-c", cluster.config_path, id,
                                 "--again",      NULL};
    expect_run(NULL, again, 0, "1 put back", "");
    expect_run(NULL, show, 0, "retried  20", "");
    const char *const none[] = {"dead-letters",      "retry",       "-c",
                                cluster.config_path, "0/999999999", NULL};
    expect_run(NULL, none, 1, "", "no dead letters");
    const char *const wrong[] = {"dead-letters", "lits", NULL};
    expect_run(NULL, wrong, 2, "", "did you mean \"list\"");
    alv_free(id);
}

int main(void)
{
    static const char *const settings[] = {"shards=12", "lanes=1", NULL};
    alv_cluster_open(&cluster, "ask");
    for (int i = 0; i < NODES; i++)
        nodes[i] = alv_cluster_add_node(&cluster);
    for (int i = 0; i < NODES; i++)
        alv_cluster_start_node(nodes[i], settings);
    for (int i = 0; i < NODES; i++)
        alv_cluster_wait_ready(nodes[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ask__every_node_answers_for_every_entity),
        cmocka_unit_test(ask__lists_are_the_same_everywhere),
        cmocka_unit_test(ask__rejections_and_idempotency_through_another_node),
        cmocka_unit_test(ask__a_standby_answers_who_takes_any_state),
        cmocka_unit_test(ask__a_planned_stop_is_no_error),
        cmocka_unit_test(ask__a_kill_loses_and_doubles_nothing),
        cmocka_unit_test(cli__send_waits_for_replies),
        cmocka_unit_test(cli__get_lists_and_takes_any_state),
        cmocka_unit_test(cli__dead_letters_are_retried_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cluster.passed = failed == 0;
    alv_cluster_close(&cluster);
    return failed;
}
