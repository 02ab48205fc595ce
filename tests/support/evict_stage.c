#include "tests/support/evict_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/scratch.h"

int64_t alv_evict_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* ---- an application on the broker ------------------------------------------------------------ */

static void config_add(alv_config *config, const char *key, const char *value)
{
    alv_error err = ALV_ERROR_NONE;
    char *assignment = alv_format("%s=%s", key, value);
    if (alv_config_set(config, assignment, &err) != ALV_OK) {
        fail_msg("%s: %s", assignment, err.text);
    }
    alv_free(assignment);
}

alv_config *alv_evict_config(const char *servers, const char *app, const char *node,
                             const char *shards)
{
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    config_add(config, "bootstrap.servers", servers);
    config_add(config, "application.id", app);
    config_add(config, "node.id", node);
    config_add(config, "shards", shards);
    config_add(config, "kafka.session.timeout.ms", "30000");
    if (alv_config_finish(config, &err) != ALV_OK) {
        fail_msg("config: %s", err.text);
    }
    return config;
}

alv_evict_node alv_evict_node_open(const char *app, const char *id)
{
    alv_error err = ALV_ERROR_NONE;
    alv_evict_node node = {.config = alv_evict_config(getenv("ALLUVIUM_TEST_KAFKA"), app, id, "6")};
    if (alv_kafka_open(node.config, &node.log, &err) != ALV_OK) {
        fail_msg("open: %s", err.text);
    }
    return node;
}

void alv_evict_node_close(alv_evict_node *node)
{
    node->log->ops->close(node->log);
    alv_config_free(node->config);
}

/* A new application with its topics; this process is its node n1. */
alv_evict_node alv_evict_app_new(char app[64], const char *shards)
{
    static int count;
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info made[ALV_TOPICS_MAX];
    snprintf(app, 64, "evict-%d-%lld-%d", (int)getpid(),
             (long long)(alv_now_ms(alv_clock_system()) % 100000000), count++);
    alv_config *config = alv_evict_config(getenv("ALLUVIUM_TEST_KAFKA"), app, "n1", shards);
    if (alv_kafka_prepare_topics(config, made, &err) != ALV_OK) {
        fail_msg("prepare: %s", err.text);
    }
    alv_config_free(config);
    return alv_evict_node_open(app, "n1");
}

/* ---- a member of the group ------------------------------------------------------------------- */

static void member_assigned(void *payload, const int32_t *shards, size_t count)
{
    alv_evict_member *member = payload;
    for (size_t i = 0; i < count; i++) {
        member->owns[shards[i]] = true;
    }
    member->owned += (int)count;
    if (count > 0) {
        member->arrivals++;
        member->assigned_at_ms = alv_evict_now_ms();
    }
}

static void member_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    alv_evict_member *member = payload;
    for (size_t i = 0; i < count; i++) {
        member->owns[shards[i]] = false;
    }
    member->owned -= (int)count;
    member->was_lost = member->was_lost || lost;
}

void alv_evict_member_join(alv_evict_member *member, const alv_evict_node *node, int lane)
{
    alv_error err = ALV_ERROR_NONE;
    *member = (alv_evict_member){0};
    const alv_rebalance_listener listener = {member_assigned, member_revoked, member};
    alv_batch_init(&member->batch, 100);
    if (node->log->ops->open_consumer(node->log, lane, &listener, &member->consumer, &err) !=
        ALV_OK) {
        fail_msg("open consumer: %s", err.text);
    }
}

void alv_evict_member_close(alv_evict_member *member, bool stay)
{
    if (member->producer != NULL) {
        member->producer->ops->close(member->producer);
    }
    member->consumer->ops->close(member->consumer, stay);
    alv_batch_done(&member->batch);
}

void alv_evict_member_poll(alv_evict_member *member, int timeout_ms)
{
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        member->consumer->ops->poll(member->consumer, timeout_ms, &member->batch, &err);
    if (status == ALV_FENCED) {
        member->was_fenced = true;
    } else if (status != ALV_OK && status != ALV_RETRY) {
        fail_msg("poll: %s", err.text);
    }
}

void alv_evict_member_wait(alv_evict_member *member, int owned)
{
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while (member->owned != owned) {
        alv_evict_member_poll(member, 20);
        if (alv_evict_now_ms() > deadline) {
            fail_msg("%d shards came, not %d", member->owned, owned);
        }
    }
}

/* Opens a transaction that has written a record to the changelog of each of its shards. */
void alv_evict_member_begin(alv_evict_member *member, const alv_evict_node *node, int lane)
{
    alv_error err = ALV_ERROR_NONE;
    if (node->log->ops->open_producer(node->log, lane, &member->producer, &err) != ALV_OK ||
        member->producer->ops->begin(member->producer, &err) != ALV_OK) {
        fail_msg("begin: %s", err.text);
    }
    for (int32_t shard = 0; shard < ALV_EVICT_SHARDS; shard++) {
        const alv_produce record = {.topic = ALV_TOPIC_CHANGELOG,
                                    .shard = shard,
                                    .key = ALV_VIEW("user/1"),
                                    .value = ALV_VIEW("{}")};
        if (member->owns[shard] &&
            member->producer->ops->produce(member->producer, &record, &err) != ALV_OK) {
            fail_msg("produce: %s", err.text);
        }
    }
    if (member->producer->ops->flush(member->producer, &err) != ALV_OK) {
        fail_msg("flush: %s", err.text);
    }
}

/* What a living member finds out when it commits. */
alv_status alv_evict_member_commit(alv_evict_member *member, int32_t shard)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_shard_offset offset = {shard, 0};
    alv_commit_outcome outcome =
        member->producer->ops->commit(member->producer, member->consumer, &offset, 1, "n2-0", &err);
    assert_int_not_equal(outcome, ALV_COMMIT_DONE);
    return err.status;
}

/* ---- a node that will die: this program in another mode -------------------------------------- */

/* Joins with `lanes` lanes, waits until they own `wanted` shards together, opens a transaction on each,
 * says "ready" and goes on until it is killed. */
_Noreturn static void doomed_main(const char *app, const char *id, int lanes, int wanted)
{
    alv_evict_member members[ALV_EVICT_STAGE_LANES];
    alv_evict_node node = alv_evict_node_open(app, id);
    for (int lane = 0; lane < lanes; lane++) {
        alv_evict_member_join(&members[lane], &node, lane);
    }
    bool is_ready = false;
    for (;;) {
        int owned = 0;
        for (int lane = 0; lane < lanes; lane++) {
            alv_evict_member_poll(&members[lane], 10);
            owned += members[lane].owned;
        }
        if (is_ready || owned != wanted) {
            continue;
        }
        for (int lane = 0; lane < lanes; lane++) {
            alv_evict_member_begin(&members[lane], &node, lane);
        }
        is_ready = true;
        puts("ready");
        fflush(stdout);
    }
}

void alv_evict_doomed_start(alv_evict_doomed *doomed, const char *app, const char *id,
                            const char *lanes, const char *wanted)
{
    const char *const argv[] = {"/proc/self/exe", "doomed", app, id, lanes, wanted, NULL};
    doomed->folder = alv_scratch_make();
    doomed->output = alv_format("%s/output", doomed->folder);
    alv_process_start(&doomed->process, argv,
                      (alv_process_files){.out = doomed->output, .err = doomed->output});
}

static bool doomed_is_ready(const alv_evict_doomed *doomed)
{
    char text[16] = "";
    FILE *file = fopen(doomed->output, "r");
    if (file == NULL) {
        return false;
    }
    bool is_ready = fgets(text, sizeof(text), file) != NULL && strcmp(text, "ready\n") == 0;
    (void)fclose(file);
    return is_ready;
}

/* Polls a member that lives on, so that the group can settle. */
void alv_evict_doomed_wait(const alv_evict_doomed *doomed, alv_evict_member *survivor)
{
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while (!doomed_is_ready(doomed)) {
        alv_evict_member_poll(survivor, 20);
        if (alv_evict_now_ms() > deadline || !alv_process_running(&doomed->process)) {
            fail_msg("the other node does not get ready");
        }
    }
}

void alv_evict_doomed_kill(alv_evict_doomed *doomed)
{
    alv_process_kill(&doomed->process);
    alv_process_done(&doomed->process);
    alv_scratch_remove(doomed->folder);
    alv_free(doomed->output);
}

/* ---- a reader of the changelog --------------------------------------------------------------- */

/* A topic that was made a moment ago may not have a leader everywhere yet, which passes (ALV_RETRY). */
static void watch_range(alv_evict_watch *watch, int32_t shard)
{
    int64_t start = 0;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_RETRY;
    int64_t deadline = alv_evict_now_ms() + ALV_EVICT_WAIT_MS;
    while (status == ALV_RETRY && alv_evict_now_ms() < deadline) {
        alv_error_clear(&err);
        status = watch->reader->ops->range(watch->reader, ALV_TOPIC_CHANGELOG, shard, &start,
                                           &watch->ends[shard], &err);
    }
    if (status != ALV_OK) {
        fail_msg("reader: %s", err.text);
    }
}

void alv_evict_watch_open(alv_evict_watch *watch, const alv_evict_node *node, int32_t shard_count)
{
    alv_error err = ALV_ERROR_NONE;
    *watch = (alv_evict_watch){0};
    alv_batch_init(&watch->batch, 100);
    if (node->log->ops->open_reader(node->log, "test", &watch->reader, &err) != ALV_OK) {
        fail_msg("open reader: %s", err.text);
    }
    for (int32_t shard = 0; shard < shard_count; shard++) {
        watch_range(watch, shard);
        if (watch->reader->ops->assign(watch->reader, ALV_TOPIC_CHANGELOG, shard, 0, &err) !=
            ALV_OK) {
            fail_msg("reader: %s", err.text);
        }
    }
}

/* True when it has got past what was written before it was opened: nothing is open there any more. */
bool alv_evict_watch_is_past(alv_evict_watch *watch)
{
    if (watch->reader->ops->poll(watch->reader, 5, &watch->batch, NULL) == ALV_OK) {
        watch->records += watch->batch.count;
    }
    for (int32_t shard = 0; shard < ALV_EVICT_SHARDS; shard++) {
        if (watch->ends[shard] > 0 &&
            watch->reader->ops->position(watch->reader, ALV_TOPIC_CHANGELOG, shard) <
                watch->ends[shard]) {
            return false;
        }
    }
    return true;
}

int alv_evict_watch_open_shards(const alv_evict_watch *watch)
{
    int count = 0;
    for (int32_t shard = 0; shard < ALV_EVICT_SHARDS; shard++) {
        count += watch->ends[shard] > 0;
    }
    return count;
}

void alv_evict_watch_close(alv_evict_watch *watch)
{
    watch->reader->ops->close(watch->reader);
    alv_batch_done(&watch->batch);
}

/* ---- an eviction on a thread of its own, as the survivors must be polled meanwhile ------------ */

static void *eviction_main(void *argument)
{
    alv_evict_run *eviction = argument;
    eviction->status = alv_kafka_evict(eviction->config, eviction->seats, eviction->count,
                                       eviction->times, &eviction->err);
    eviction->took_ms = alv_evict_now_ms() - eviction->begun_at_ms;
    atomic_store(&eviction->is_over, true);
    return NULL;
}

void alv_evict_run_start(alv_evict_run *eviction, const alv_evict_node *node, const alv_seat *seats,
                         size_t count)
{
    *eviction = (alv_evict_run){
        .config = node->config, .seats = seats, .count = count, .begun_at_ms = alv_evict_now_ms()};
    assert_int_equal(pthread_create(&eviction->thread, NULL, eviction_main, eviction), 0);
}

void alv_evict_run_join(alv_evict_run *eviction, alv_status expected)
{
    assert_int_equal(pthread_join(eviction->thread, NULL), 0);
    if (eviction->status != expected) {
        fail_msg("%s: %s", alv_status_name(eviction->status), eviction->err.text);
    }
}

/* Polls the survivor until it owns everything, the transactions are gone and the call is over; says
 * how long each took. */
void alv_evict_run_expect_takeover(alv_evict_run *eviction, alv_evict_member *survivor, int shards,
                                   alv_evict_watch *watch)
{
    int64_t past_at_ms = -1;
    while (survivor->owned < shards || past_at_ms < 0 || !atomic_load(&eviction->is_over)) {
        alv_evict_member_poll(survivor, 5);
        if (past_at_ms < 0 && alv_evict_watch_is_past(watch)) {
            past_at_ms = alv_evict_now_ms();
        }
        if (alv_evict_now_ms() > eviction->begun_at_ms + ALV_EVICT_WAIT_MS) {
            fail_msg("%d of %d shards, transactions %s", survivor->owned, shards,
                     past_at_ms < 0 ? "open" : "gone");
        }
    }
    alv_evict_run_join(eviction, ALV_OK);
    int64_t assigned_ms = survivor->assigned_at_ms - eviction->begun_at_ms;
    print_message("assigned %lld ms, transactions gone %lld ms, call over %lld ms\n",
                  (long long)assigned_ms, (long long)(past_at_ms - eviction->begun_at_ms),
                  (long long)eviction->took_ms);
    for (size_t i = 0; i < eviction->count; i++) {
        const alv_evicted *times = &eviction->times[i];
        print_message("  %s-%d: seated %lld, left %lld, fenced %lld ms\n",
                      eviction->seats[i].node_id, (int)eviction->seats[i].lane,
                      (long long)times->seated_ms, (long long)times->left_ms,
                      (long long)times->fenced_ms);
        assert_true(times->seated_ms >= 0 && times->left_ms >= times->seated_ms);
        assert_true(times->fenced_ms >= 0);
    }
    assert_true(assigned_ms < ALV_EVICT_FAILOVER_MS);
    assert_true(past_at_ms - eviction->begun_at_ms < ALV_EVICT_FAILOVER_MS);
    assert_int_equal(watch->records, 0);
}

void alv_evict_expect_quiet(alv_evict_member *survivor, int arrivals)
{
    int owned = survivor->owned;
    int64_t until = alv_evict_now_ms() + ALV_EVICT_QUIET_MS;
    while (alv_evict_now_ms() < until) {
        alv_evict_member_poll(survivor, 20);
    }
    assert_int_equal(survivor->arrivals, arrivals);
    assert_int_equal(survivor->owned, owned);
    assert_false(survivor->was_lost || survivor->was_fenced);
}

/* ---- the program ------------------------------------------------------------------------------- */

bool alv_evict_start(int argc, char **argv)
{
    const char *broker = getenv("ALLUVIUM_TEST_KAFKA");
    if (broker == NULL || *broker == '\0') {
        puts("skipped: set ALLUVIUM_TEST_KAFKA=host:port (dev/stack start; dev/stack env)");
        return false;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    if (argc == 6 && strcmp(argv[1], "doomed") == 0) {
        doomed_main(argv[2], argv[3], (int)strtol(argv[4], NULL, 10),
                    (int)strtol(argv[5], NULL, 10));
    }
    return true;
}
