#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/contender_internal.h"
#include "tests/support/wait.h"

#define CONTENDER_POLL_MS 2
#define CONTENDER_STOP_TIMEOUT_MS 40000
#define CONTENDER_TOPICS_TIMEOUT_MS 30000
#define CONTENDER_JVM_TERMINATED 143 /* how a JVM ends that got SIGTERM */

const char *alv_contender_name(alv_contender_kind kind)
{
    return kind == ALV_CONTENDER_ALLUVIUM ? "Alluvium" : "Kafka Streams";
}

/* ---- life ------------------------------------------------------------------------------------ */

static char **contender_copy_settings(const char *const *settings)
{
    size_t count = 0;
    while (settings != NULL && settings[count] != NULL) {
        count++;
    }
    char **copy = alv_alloc_array(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = alv_strdup(settings[i]);
    }
    return copy;
}

void contender_init(alv_contender *contender, const alv_contender_options *options,
                    const contender_ops *ops)
{
    contender->ops = ops;
    contender->kind = options->kind;
    contender->stack = options->stack;
    contender->topics = alv_strdup(options->topics);
    contender->shards = options->shards;
    contender->settings = contender_copy_settings(options->settings);
}

alv_contender *alv_contender_open(const alv_contender_options *options)
{
    assert_true(options->shards <= ALV_CONTENDER_SHARDS_MAX);
    alv_contender *contender = options->kind == ALV_CONTENDER_ALLUVIUM
                                   ? contender_open_alluvium(options)
                                   : contender_open_streams(options);
    return contender;
}

void alv_contender_create_topics(const alv_cluster *stack, const char *topics, int shards)
{
    char *brokers = alv_format("bootstrap.servers=%s", stack->brokers);
    char *application = alv_format("application.id=%s", topics);
    char *count = alv_format("shards=%d", shards);
    char *log = alv_cluster_path(stack, "topics.log");
    const char *const argv[] = {stack->binary, "topics",    "create", "-X",  brokers,
                                "-X",          application, "-X",     count, NULL};
    alv_process_files files = {.out = log, .err = log};
    int status = alv_process_run(argv, files, CONTENDER_TOPICS_TIMEOUT_MS);
    if (status != 0) {
        fail_msg("the topics of %s were not created, see %s", topics, log);
    }
    alv_free(brokers);
    alv_free(application);
    alv_free(count);
    alv_free(log);
}

void alv_contender_close(alv_contender *contender)
{
    for (int node = 0; node < ALV_CONTENDER_NODES_MAX; node++) {
        alv_process_done(contender->ops->process(contender, node));
    }
    for (char **setting = contender->settings; *setting != NULL; setting++) {
        alv_free(*setting);
    }
    alv_free(contender->settings);
    alv_free(contender->topics);
    alv_free(contender->group);
    alv_free(contender->changelog);
    contender->ops->close(contender);
}

void alv_contender_passed(alv_contender *contender)
{
    contender->passed = true;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

void alv_contender_start(alv_contender *contender, int node)
{
    assert_true(node < ALV_CONTENDER_NODES_MAX && !contender->up[node]);
    contender->ops->start(contender, node);
    contender->up[node] = true;
}

bool alv_contender_is_ready(alv_contender *contender, int node)
{
    alv_process *process = contender->ops->process(contender, node);
    if (!alv_process_running(process)) {
        (void)alv_process_wait(process, 0);
        int status = process->exit_status;
        const char *name = alv_contender_name(contender->kind);
        alv_contender_close(contender);
        fail_msg("node %d of %s ended with status %d", node, name, status);
        return false;
    }
    return contender->ops->is_ready(contender, node);
}

/* Finer than alv_wait_until, which is not for measuring. */
int64_t alv_contender_wait_ready(alv_contender *contender, int node, int timeout_ms)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    int64_t deadline = alv_wait_deadline(timeout_ms);
    while (!alv_contender_is_ready(contender, node)) {
        if (alv_wait_expired(deadline)) {
            alv_contender_close(contender);
            fail_msg("node %d is not ready after %d ms", node, timeout_ms);
        }
        (void)poll(NULL, 0, CONTENDER_POLL_MS);
    }
    return (alv_monotonic_us(alv_clock_system()) - begin_us) / 1000;
}

void alv_contender_stop(alv_contender *contender, int node)
{
    contender->up[node] = false;
    alv_process *process = contender->ops->process(contender, node);
    alv_process_signal(process, SIGTERM);
    if (!alv_process_wait(process, CONTENDER_STOP_TIMEOUT_MS)) {
        fail_msg("node %d did not stop", node);
    }
    if (process->exit_status != 0 && process->exit_status != CONTENDER_JVM_TERMINATED) {
        fail_msg("node %d stopped with status %d", node, process->exit_status);
    }
}

void alv_contender_kill(alv_contender *contender, int node)
{
    contender->up[node] = false;
    alv_process_signal(contender->ops->process(contender, node), SIGKILL);
}

void alv_contender_reap(alv_contender *contender, int node)
{
    alv_process_kill(contender->ops->process(contender, node));
}

void alv_contender_wipe(alv_contender *contender, int node)
{
    alv_contender_reap(contender, node);
    alv_cluster_remove(contender->ops->state_dir(contender, node));
}

int alv_contender_count_up(const alv_contender *contender)
{
    int count = 0;
    for (int node = 0; node < ALV_CONTENDER_NODES_MAX; node++) {
        count += contender->up[node];
    }
    return count;
}

pid_t alv_contender_pid(const alv_contender *contender, int node)
{
    return contender->ops->process((alv_contender *)contender, node)->pid;
}

/* ---- what is seen of them -------------------------------------------------------------------- */

alv_contender_view alv_contender_look(alv_contender *contender)
{
    alv_contender_view view = {.calm = true};
    for (int shard = 0; shard < ALV_CONTENDER_SHARDS_MAX; shard++) {
        view.owner[shard] = -1;
    }
    for (int node = 0; node < ALV_CONTENDER_NODES_MAX; node++) {
        if (contender->up[node]) {
            contender->ops->look(contender, node, &view);
        }
    }
    return view;
}

bool alv_contender_is_settled(alv_contender *contender)
{
    alv_contender_view view = alv_contender_look(contender);
    int standbys = alv_contender_count_up(contender) > 1 ? contender->shards : 0;
    return view.calm && view.active == contender->shards && view.hot == standbys;
}

void alv_contender_restore(alv_contender *contender, int node, int64_t *out_records,
                           int64_t *out_ms)
{
    contender->ops->restore(contender, node, out_records, out_ms);
}

const char *alv_contender_changelog(const alv_contender *contender)
{
    return contender->changelog;
}

const char *alv_contender_group(const alv_contender *contender)
{
    return contender->group;
}

const alv_cluster *alv_contender_cluster(const alv_contender *contender)
{
    return contender->cluster;
}
