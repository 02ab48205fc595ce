/* contender_alluvium.c — nodes of Alluvium as a contender. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/cluster_view.h"
#include "tests/support/contender_internal.h"
#include "tests/support/node_log.h"

typedef struct contender_alluvium {
    alv_contender base;
    alv_cluster cluster;
    int64_t started_ms[ALV_CONTENDER_NODES_MAX]; /* wall clock */
} contender_alluvium;

static alv_cluster_node *node_of(alv_contender *contender, int node)
{
    return &((contender_alluvium *)contender)->cluster.nodes[node];
}

static void alluvium_start(alv_contender *contender, int node)
{
    ((contender_alluvium *)contender)->started_ms[node] = alv_now_ms(alv_clock_system());
    alv_cluster_start_node(node_of(contender, node),
                           (const char *const *)(const void *)contender->settings);
}

static bool alluvium_is_ready(alv_contender *contender, int node)
{
    int status = 0;
    json_decref(alv_cluster_http(node_of(contender, node), "/readyz", &status));
    return status == 200;
}

static alv_process *alluvium_process(alv_contender *contender, int node)
{
    return &node_of(contender, node)->process;
}

static const char *alluvium_state_dir(alv_contender *contender, int node)
{
    return node_of(contender, node)->state_dir;
}

static bool is_word(const json_t *row, const char *name, const char *word)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text != NULL && strcmp(text, word) == 0;
}

static void look_at_shards(alv_contender *contender, int node, alv_contender_view *view)
{
    int status = 0;
    size_t shard;
    json_t *row;
    json_t *rows = alv_cluster_http(node_of(contender, node), "/v1/node", &status);
    json_array_foreach(json_object_get(rows, "shards"), shard, row)
    {
        if ((int)shard < contender->shards && is_word(row, "state", "active")) {
            view->owner[shard] = node;
            view->active++;
            view->restored[node] += json_integer_value(json_object_get(row, "restored"));
        }
        view->hot += is_word(row, "standby", "hot");
    }
    json_decref(rows);
}

/* Whether every other node is alive for it. */
static bool hears_all(alv_contender *contender, int node)
{
    int status = 0;
    int alive = 0;
    size_t i;
    json_t *peer;
    json_t *answer = alv_cluster_http(node_of(contender, node), "/v1/peers", &status);
    json_array_foreach(json_object_get(answer, "peers"), i, peer)
    {
        alive += is_word(peer, "state", "alive");
    }
    json_decref(answer);
    return alive + 1 == alv_contender_count_up(contender);
}

static void alluvium_look(alv_contender *contender, int node, alv_contender_view *view)
{
    look_at_shards(contender, node, view);
    view->calm = view->calm && hears_all(contender, node);
}

static void alluvium_restore(alv_contender *contender, int node, int64_t *out_records,
                             int64_t *out_ms)
{
    const alv_cluster_node *log = node_of(contender, node);
    int64_t since_ms = ((contender_alluvium *)contender)->started_ms[node];
    alv_contender_view view = alv_contender_look(contender);
    *out_records = view.restored[node];
    *out_ms = alv_node_log_last(log, "state=active", since_ms) -
              alv_node_log_last(log, "state=restoring", since_ms);
}

/* The brokers are taken away first: its topics are the caller's. */
static void alluvium_close(alv_contender *contender)
{
    contender_alluvium *self = (contender_alluvium *)contender;
    self->cluster.passed = contender->passed;
    alv_free(self->cluster.brokers);
    self->cluster.brokers = NULL;
    alv_cluster_close(&self->cluster);
    alv_free(self);
}

static const contender_ops alluvium_ops = {
    .start = alluvium_start,
    .is_ready = alluvium_is_ready,
    .process = alluvium_process,
    .state_dir = alluvium_state_dir,
    .look = alluvium_look,
    .restore = alluvium_restore,
    .close = alluvium_close,
};

alv_contender *contender_open_alluvium(const alv_contender_options *options)
{
    contender_alluvium *self = alv_alloc(sizeof(*self));
    contender_init(&self->base, options, &alluvium_ops);
    alv_cluster *cluster = &self->cluster;
    alv_cluster_open_alone(cluster, "contender");
    (void)snprintf(cluster->application, sizeof(cluster->application), "%s", options->topics);
    cluster->brokers = alv_strdup(options->stack->brokers);
    alv_cluster_write_config(cluster);
    for (int node = 0; node < ALV_CONTENDER_NODES_MAX; node++) {
        (void)alv_cluster_add_node(cluster);
    }
    self->base.cluster = cluster;
    self->base.group = alv_strdup(options->topics);
    self->base.changelog = alv_format("%s.changelog", options->topics);
    return &self->base;
}
