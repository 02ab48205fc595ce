/* requests.c — how long a request takes, and how many there can be, at the owner and through another node.
 *
 * Goal:   the section "HTTP" of docs/performance.md, reproducible with one command.
 * Method: two nodes with default settings on a broker of their own (or on that of ALLUVIUM_TEST_KAFKA). Clients are threads, each with one connection
 *         that stays open and one request at a time. Users are sorted by their owner first (who says
 *         in /v1/shards that the shard is its own), so that each request is known to be local or to be passed on.
 *         The first tenth of each measurement is not counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/bench.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"
#include "topics/partitioner.h"

#define USERS 2000
#define CLIENTS_MAX 64
#define ANSWER_MS 20000
#define REQUEST_BYTES 512
#define SHARE_MS 120000

static const char help[] =
    "usage: requests [--requests N] [--clients N[,N...]] [--json]\n"
    "Latency and rate of GET and POST, at the owner and through another node, for each number\n"
    "of clients (default 1,16), N requests each (default 20000; commands a tenth of that).\n";

typedef struct bench_nodes {
    alv_cluster cluster;
    alv_cluster_node *nodes[2];
    int owner[USERS]; /* index of the node that has the user */
} bench_nodes;

typedef struct bench_client {
    pthread_t thread;
    const bench_nodes *all;
    int asked; /* node */
    bool is_local;
    bool is_post;
    int first; /* user */
    int count;
    int64_t *took_us;
    int failed;
} bench_client;

typedef struct bench_row {
    const char *what;
    const char *where;
    int clients;
    int64_t p50_us;
    int64_t p99_us;
    double per_second;
} bench_row;

/* ---- one client ------------------------------------------------------------------------------ */

static size_t client_write(const bench_client *self, int user, char out[REQUEST_BYTES])
{
    static const char body[] = "{\"type\":\"add_balance\",\"amount\":1}";
    int size =
        self->is_post
            ? snprintf(out, REQUEST_BYTES,
                       "POST /v1/entities/api:%d/commands HTTP/1.1\r\nHost: %s\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       user, self->all->nodes[self->asked]->address, sizeof body - 1, body)
            : snprintf(out, REQUEST_BYTES, "GET /v1/entities/api:%d HTTP/1.1\r\nHost: %s\r\n\r\n",
                       user, self->all->nodes[self->asked]->address);
    return (size_t)size;
}

/* The next user whose requests go the way that is measured. */
static int client_next(const bench_client *self, int user)
{
    do {
        user = (user + 1) % USERS;
    } while ((self->all->owner[user] == self->asked) != self->is_local);
    return user;
}

static void *client_run(void *payload)
{
    bench_client *self = payload;
    char request[REQUEST_BYTES];
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = alv_http_raw_open(self->all->nodes[self->asked]->address);
    int user = self->first;
    for (int i = 0; i < self->count; i++) {
        user = client_next(self, user);
        size_t size = client_write(self, user, request);
        int64_t begin_us = alv_monotonic_us(alv_clock_system());
        alv_http_raw_send(fd, request, size);
        self->failed += alv_http_raw_read(fd, ANSWER_MS, &answer) != 200;
        self->took_us[i] = alv_monotonic_us(alv_clock_system()) - begin_us;
    }
    (void)close(fd);
    alv_bytes_done(&answer);
    return NULL;
}

/* ---- one measurement ------------------------------------------------------------------------- */

static int compare_us(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static bench_row measure(const bench_nodes *all, bool is_post, bool is_local, int clients,
                         int total)
{
    static bench_client client[CLIENTS_MAX];
    int each = total / clients;
    int64_t *took_us = alv_alloc_array((size_t)(each * clients), sizeof *took_us);
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    for (int i = 0; i < clients; i++) {
        client[i] = (bench_client){.all = all,
                                   .asked = i % 2,
                                   .is_local = is_local,
                                   .is_post = is_post,
                                   .first = i * (USERS / clients),
                                   .count = each,
                                   .took_us = took_us + i * each};
        assert_int_equal(pthread_create(&client[i].thread, NULL, client_run, &client[i]), 0);
    }
    int failed = 0;
    for (int i = 0; i < clients; i++) {
        assert_int_equal(pthread_join(client[i].thread, NULL), 0);
        failed += client[i].failed;
    }
    double seconds = (double)(alv_monotonic_us(alv_clock_system()) - begin_us) / 1e6;
    if (failed != 0)
        fail_msg("%d of %d requests were not answered with 200", failed, each * clients);
    size_t counted = 0;
    for (int i = 0; i < each * clients; i++) {
        if (i % each >= each / 10)
            took_us[counted++] = took_us[i];
    }
    qsort(took_us, counted, sizeof *took_us, compare_us);
    bench_row row = {.what = is_post ? "POST" : "GET",
                     .where = is_local ? "owner" : "other node",
                     .clients = clients,
                     .p50_us = took_us[counted / 2],
                     .p99_us = took_us[counted * 99 / 100],
                     .per_second = each * clients / seconds};
    alv_free(took_us);
    return row;
}

/* ---- the nodes ------------------------------------------------------------------------------- */

static void find_owners(bench_nodes *all)
{
    alv_http_result result = alv_http_call(NULL, "GET", all->nodes[0]->address, "/v1/shards", NULL);
    assert_int_equal(result.status, 200);
    int shards = (int)json_array_size(result.json);
    for (int user = 0; user < USERS; user++) {
        char key[32];
        (void)snprintf(key, sizeof key, "api:%d", user);
        int32_t shard = alv_partitioner_shard(alv_view_of(key), shards);
        const json_t *row = json_array_get(result.json, (size_t)shard);
        const char *state = json_string_value(json_object_get(row, "state"));
        all->owner[user] = state != NULL && strcmp(state, "active") == 0 ? 0 : 1;
    }
    alv_http_result_done(&result);
}

static void open_nodes(bench_nodes *all)
{
    if (getenv("ALLUVIUM_TEST_KAFKA") != NULL)
        alv_cluster_open(&all->cluster, "api"); /* a broker that is there already */
    else
        alv_bench_open(&all->cluster, "api");
    for (int i = 0; i < 2; i++) {
        all->nodes[i] = alv_cluster_add_node(&all->cluster);
        alv_cluster_start_node(all->nodes[i], NULL);
        alv_cluster_wait_ready(all->nodes[i]);
    }
    int64_t deadline = alv_wait_deadline(SHARE_MS);
    int here = 0;
    do { /* the second node is ready before the group has given it its share */
        assert_false(alv_wait_expired(deadline));
        find_owners(all);
        here = 0;
        for (int user = 0; user < USERS; user++)
            here += all->owner[user] == 0;
    } while (here < USERS / 4 || here > USERS * 3 / 4);
    (void)measure(all, true, true, 16, 2 * USERS); /* every user exists, and all is warm */
}

static void print_row(const bench_row *row, bool json, json_t *rows)
{
    if (json) {
        (void)json_array_append_new(
            rows,
            json_pack("{s:s, s:s, s:i, s:f, s:f, s:f}", "request", row->what, "through", row->where,
                      "clients", row->clients, "p50_ms", (double)row->p50_us / 1000, "p99_ms",
                      (double)row->p99_us / 1000, "per_second", row->per_second));
        return;
    }
    printf("%-5s %-11s %7d  %8.2f  %8.2f  %10.0f\n", row->what, row->where, row->clients,
           (double)row->p50_us / 1000, (double)row->p99_us / 1000, row->per_second);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    int requests = 20000;
    int clients[8] = {1, 16};
    int client_counts = 2;
    bool json = false;
    const alv_bench_option options[] = {{"--requests", &requests, 1, NULL, NULL},
                                        {"--clients", clients, 8, &client_counts, NULL},
                                        {NULL, NULL, 0, NULL, NULL}};
    alv_bench_parse(argc, argv, options, help, &json);
    static bench_nodes all;
    open_nodes(&all);
    json_t *rows = json_array();
    if (!json)
        printf("two nodes, default settings; %s; ms\n"
               "      through     clients       p50       p99     requests/s\n",
               alv_bench_machine());
    for (int i = 0; i < client_counts; i++) {
        int count = clients[i] < CLIENTS_MAX ? clients[i] : CLIENTS_MAX;
        for (int kind = 0; kind < 4; kind++) {
            bool is_post = kind >= 2;
            bench_row row =
                measure(&all, is_post, kind % 2 == 0, count, is_post ? requests / 10 : requests);
            print_row(&row, json, rows);
        }
    }
    if (json) {
        json_t *report =
            json_pack("{s:s, s:o}", "machine", alv_bench_machine(), "rows", json_incref(rows));
        (void)json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        printf("\n");
        json_decref(report);
    }
    json_decref(rows);
    for (int i = 0; i < 2; i++)
        alv_cluster_stop_node(all.nodes[i]);
    all.cluster.passed = true;
    alv_cluster_close(&all.cluster);
    return 0;
}
