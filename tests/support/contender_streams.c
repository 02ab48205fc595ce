/* contender_streams.c — instances of the Kafka Streams program as a contender. What they do, they say
 * on stdout, one JSON object per line (bench/kafka-streams/README.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/contender_internal.h"

#define STREAMS_ARGUMENTS_MAX 48
#define STREAMS_LINE_BYTES 4096
#define STREAMS_PRINT_TIMEOUT_MS 10000

typedef struct streams_node {
    alv_process process;
    char *state_dir;
    char *err_path;
    char *out_path; /* of its last run */
    int runs;
} streams_node;

typedef struct contender_streams {
    alv_contender base;
    char *directory;
    streams_node nodes[ALV_CONTENDER_NODES_MAX];
} contender_streams;

static streams_node *node_of(alv_contender *contender, int node)
{
    return &((contender_streams *)contender)->nodes[node];
}

static int put(const char **argv, int count, char *argument)
{
    assert_true(count + 1 < STREAMS_ARGUMENTS_MAX);
    argv[count] = argument;
    return count + 1;
}

/* Each run has an output of its own, so that nothing of the last one is taken for it. TMPDIR: a JVM that
 * is killed leaves RocksDB's library there. */
static void streams_start(alv_contender *contender, int number)
{
    const contender_streams *self = (const contender_streams *)contender;
    streams_node *node = node_of(contender, number);
    char *own[] = {
        alv_format("TMPDIR=%s", self->directory),
        alv_format("%s/bench/kafka-streams/run", contender->stack->root),
        alv_format("bootstrap.servers=%s", contender->stack->brokers),
        alv_format("application.id=%s", contender->group),
        alv_format("topics=%s", contender->topics),
        alv_format("state.dir=%s", node->state_dir),
    };
    const char *argv[STREAMS_ARGUMENTS_MAX] = {"env"};
    int count = 1;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        count = put(argv, count, own[i]);
    }
    for (char **setting = contender->settings; *setting != NULL; setting++) {
        count = put(argv, count, *setting);
    }
    alv_free(node->out_path);
    node->out_path = alv_format("%s.%d.out", node->state_dir, ++node->runs);
    alv_process_files files = {.out = node->out_path, .err = node->err_path};
    alv_process_start(&node->process, argv, files);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        alv_free(own[i]);
    }
}

static alv_process *streams_process(alv_contender *contender, int node)
{
    return &node_of(contender, node)->process;
}

static const char *streams_state_dir(alv_contender *contender, int node)
{
    return node_of(contender, node)->state_dir;
}

/* The last line of that event, NULL when there is none. The caller frees it. */
static json_t *last_event(const streams_node *node, const char *event)
{
    char line[STREAMS_LINE_BYTES];
    char last[STREAMS_LINE_BYTES] = "";
    char *mark = alv_format("\"event\":\"%s\"", event);
    FILE *file = fopen(node->out_path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strstr(line, mark) != NULL && strchr(line, '\n') != NULL) {
            memcpy(last, line, sizeof(last));
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    alv_free(mark);
    return last[0] != '\0' ? json_loads(last, 0, NULL) : NULL;
}

static bool is_running(const json_t *event)
{
    const char *state = json_string_value(json_object_get(event, "state"));
    return state != NULL && strcmp(state, "RUNNING") == 0;
}

static bool streams_is_ready(alv_contender *contender, int node)
{
    json_t *event = last_event(node_of(contender, node), "state");
    bool ready = is_running(event);
    json_decref(event);
    return ready;
}

/* Content: it runs, and has its share of the shards. Until then they are only being prepared, and are
 * moved at a next rebalance. */
static void streams_look(alv_contender *contender, int node, alv_contender_view *view)
{
    json_t *event = last_event(node_of(contender, node), "tasks");
    const json_t *active = json_object_get(event, "active");
    size_t i;
    json_t *shard;
    json_array_foreach(active, i, shard)
    {
        view->owner[json_integer_value(shard)] = node;
        view->active++;
    }
    size_t standbys = json_array_size(json_object_get(event, "standby"));
    size_t hot = json_array_size(json_object_get(event, "hot"));
    view->hot += (int)hot;
    int share = contender->shards / alv_contender_count_up(contender);
    view->calm = view->calm && is_running(event) && standbys == hot &&
                 abs((int)json_array_size(active) - share) <= 2;
    json_decref(event);
}

static void streams_restore(alv_contender *contender, int node, int64_t *out_records,
                            int64_t *out_ms)
{
    json_t *event = last_event(node_of(contender, node), "restored");
    *out_records = json_integer_value(json_object_get(event, "records"));
    *out_ms = json_integer_value(json_object_get(event, "ms"));
    json_decref(event);
}

static void print_log(const streams_node *node)
{
    if (node->runs == 0) {
        return;
    }
    char *command =
        alv_format("tail -n 5 '%s' >&2; tail -n 15 '%s' >&2", node->out_path, node->err_path);
    const char *const argv[] = {"sh", "-c", command, NULL};
    alv_process_files files = {.err = "/dev/stderr"};
    (void)alv_process_run(argv, files, STREAMS_PRINT_TIMEOUT_MS);
    alv_free(command);
}

static void streams_close(alv_contender *contender)
{
    contender_streams *self = (contender_streams *)contender;
    for (int i = 0; i < ALV_CONTENDER_NODES_MAX; i++) {
        streams_node *node = &self->nodes[i];
        if (!contender->passed) {
            print_log(node);
        }
        alv_free(node->state_dir);
        alv_free(node->err_path);
        alv_free(node->out_path);
    }
    alv_cluster_remove(self->directory);
    alv_free(self->directory);
    alv_free(self);
}

static const contender_ops streams_ops = {
    .start = streams_start,
    .is_ready = streams_is_ready,
    .process = streams_process,
    .state_dir = streams_state_dir,
    .look = streams_look,
    .restore = streams_restore,
    .close = streams_close,
};

alv_contender *contender_open_streams(const alv_contender_options *options)
{
    contender_streams *self = alv_alloc(sizeof(*self));
    contender_init(&self->base, options, &streams_ops);
    self->base.group = alv_format("%s-streams", options->topics);
    self->base.changelog = alv_format("%s-users-changelog", self->base.group);
    self->directory = alv_format("%s/streams.XXXXXX", options->stack->directory);
    assert_non_null(mkdtemp(self->directory));
    for (int i = 0; i < ALV_CONTENDER_NODES_MAX; i++) {
        streams_node *node = &self->nodes[i];
        node->state_dir = alv_format("%s/streams-%d", self->directory, i + 1);
        node->err_path = alv_format("%s.err", node->state_dir);
    }
    return &self->base;
}
