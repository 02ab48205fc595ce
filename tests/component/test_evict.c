/* Goal:   the lanes of a dead node are taken out of the group long before its session ends: its shards
 *         move in one rebalance, its open transactions are aborted. A member that was alive after all is
 *         fenced and notices; one that takes its seat back ends the eviction.
 * Method: members that die are processes of their own, this program in another mode: each joins, leaves
 *         a transaction open and gets SIGKILL. The session time-out is 30 s everywhere, so whatever comes
 *         within seconds was the eviction. The broker is the one that ALLUVIUM_TEST_KAFKA names; without
 *         it all is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "topics/kafka.h"
#include "topics/kafka_evict.h"

#define SHARDS 6
#define LANES_MAX 4
#define WAIT_MS 25000 /* less than the session time-out */
/* From the begin of an eviction to the survivor's assigned callback. */
#define FAILOVER_MS 2000
/* A second rebalance would come within this. */
#define QUIET_MS 1500

static const char *broker;

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* ---- an application on the broker ------------------------------------------------------------ */

typedef struct test_node {
    alv_config *config;
    alv_log_port *log;
} test_node;

static void config_add(alv_config *config, const char *key, const char *value)
{
    alv_error err = ALV_ERROR_NONE;
    char *assignment = alv_format("%s=%s", key, value);
    if (alv_config_set(config, assignment, &err) != ALV_OK) {
        fail_msg("%s: %s", assignment, err.text);
    }
    alv_free(assignment);
}

static alv_config *config_new(const char *servers, const char *app, const char *node,
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

static test_node node_open(const char *app, const char *id)
{
    alv_error err = ALV_ERROR_NONE;
    test_node node = {.config = config_new(broker, app, id, "6")};
    if (alv_kafka_open(node.config, &node.log, &err) != ALV_OK) {
        fail_msg("open: %s", err.text);
    }
    return node;
}

static void node_close(test_node *node)
{
    node->log->ops->close(node->log);
    alv_config_free(node->config);
}

/* A new application with its topics; this process is its node n1. */
static test_node app_new(char app[64], const char *shards)
{
    static int count;
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info made[ALV_TOPIC_COUNT];
    snprintf(app, 64, "evict-%d-%lld-%d", (int)getpid(),
             (long long)(alv_now_ms(alv_clock_system()) % 100000000), count++);
    alv_config *config = config_new(broker, app, "n1", shards);
    if (alv_kafka_prepare_topics(config, made, &err) != ALV_OK) {
        fail_msg("prepare: %s", err.text);
    }
    alv_config_free(config);
    return node_open(app, "n1");
}

/* ---- a member of the group ------------------------------------------------------------------- */

typedef struct test_member {
    alv_consumer *consumer;
    alv_producer *producer;
    alv_batch batch;
    int owned;
    bool owns[SHARDS];
    int rebalances; /* that it took part in */
    int64_t assigned_at_ms;
    bool was_lost;
    bool was_fenced;
} test_member;

static void member_assigned(void *payload, const int32_t *shards, size_t count)
{
    test_member *member = payload;
    for (size_t i = 0; i < count; i++) {
        member->owns[shards[i]] = true;
    }
    member->owned += (int)count;
    member->rebalances++;
    if (count > 0) {
        member->assigned_at_ms = now_ms();
    }
}

static void member_revoked(void *payload, const int32_t *shards, size_t count, bool lost)
{
    test_member *member = payload;
    for (size_t i = 0; i < count; i++) {
        member->owns[shards[i]] = false;
    }
    member->owned -= (int)count;
    member->was_lost = member->was_lost || lost;
}

static void member_join(test_member *member, const test_node *node, int lane)
{
    alv_error err = ALV_ERROR_NONE;
    *member = (test_member){0};
    const alv_rebalance_listener listener = {member_assigned, member_revoked, member};
    alv_batch_init(&member->batch, 100);
    if (node->log->ops->open_consumer(node->log, lane, &listener, &member->consumer, &err) !=
        ALV_OK) {
        fail_msg("open consumer: %s", err.text);
    }
}

static void member_close(test_member *member, bool stay)
{
    if (member->producer != NULL) {
        member->producer->ops->close(member->producer);
    }
    member->consumer->ops->close(member->consumer, stay);
    alv_batch_done(&member->batch);
}

static void member_poll(test_member *member, int timeout_ms)
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

static void member_wait(test_member *member, int owned)
{
    int64_t deadline = now_ms() + WAIT_MS;
    while (member->owned != owned) {
        member_poll(member, 20);
        if (now_ms() > deadline) {
            fail_msg("%d shards came, not %d", member->owned, owned);
        }
    }
}

/* Opens a transaction that has written a record to the changelog of each of its shards. */
static void member_begin(test_member *member, const test_node *node, int lane)
{
    alv_error err = ALV_ERROR_NONE;
    if (node->log->ops->open_producer(node->log, lane, &member->producer, &err) != ALV_OK ||
        member->producer->ops->begin(member->producer, &err) != ALV_OK) {
        fail_msg("begin: %s", err.text);
    }
    for (int32_t shard = 0; shard < SHARDS; shard++) {
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
static alv_status member_commit(test_member *member, int32_t shard)
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
    test_member members[LANES_MAX];
    test_node node = node_open(app, id);
    for (int lane = 0; lane < lanes; lane++) {
        member_join(&members[lane], &node, lane);
    }
    bool is_ready = false;
    for (;;) {
        int owned = 0;
        for (int lane = 0; lane < lanes; lane++) {
            member_poll(&members[lane], 10);
            owned += members[lane].owned;
        }
        if (is_ready || owned != wanted) {
            continue;
        }
        for (int lane = 0; lane < lanes; lane++) {
            member_begin(&members[lane], &node, lane);
        }
        is_ready = true;
        puts("ready");
        fflush(stdout);
    }
}

typedef struct test_doomed {
    alv_process process;
    char *folder;
    char *output;
} test_doomed;

static void doomed_start(test_doomed *doomed, const char *app, const char *id, const char *lanes,
                         const char *wanted)
{
    const char *const argv[] = {"/proc/self/exe", "doomed", app, id, lanes, wanted, NULL};
    doomed->folder = alv_scratch_make();
    doomed->output = alv_format("%s/output", doomed->folder);
    alv_process_start(&doomed->process, argv,
                      (alv_process_files){.out = doomed->output, .err = doomed->output});
}

static bool doomed_is_ready(const test_doomed *doomed)
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
static void doomed_wait(const test_doomed *doomed, test_member *survivor)
{
    int64_t deadline = now_ms() + WAIT_MS;
    while (!doomed_is_ready(doomed)) {
        member_poll(survivor, 20);
        if (now_ms() > deadline || !alv_process_running(&doomed->process)) {
            fail_msg("the other node does not get ready");
        }
    }
}

static void doomed_kill(test_doomed *doomed)
{
    alv_process_kill(&doomed->process);
    alv_process_done(&doomed->process);
    alv_scratch_remove(doomed->folder);
    alv_free(doomed->output);
}

/* ---- a reader of the changelog --------------------------------------------------------------- */

typedef struct test_watch {
    alv_reader *reader;
    alv_batch batch;
    int64_t ends[SHARDS]; /* when it began */
    size_t records;
} test_watch;

/* A topic that was made a moment ago may not have a leader everywhere yet, which passes (ALV_RETRY). */
static void watch_range(test_watch *watch, int32_t shard)
{
    int64_t start = 0;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_RETRY;
    int64_t deadline = now_ms() + WAIT_MS;
    while (status == ALV_RETRY && now_ms() < deadline) {
        alv_error_clear(&err);
        status = watch->reader->ops->range(watch->reader, ALV_TOPIC_CHANGELOG, shard, &start,
                                           &watch->ends[shard], &err);
    }
    if (status != ALV_OK) {
        fail_msg("reader: %s", err.text);
    }
}

static void watch_open(test_watch *watch, const test_node *node, int32_t shard_count)
{
    alv_error err = ALV_ERROR_NONE;
    *watch = (test_watch){0};
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
static bool watch_is_past(test_watch *watch)
{
    if (watch->reader->ops->poll(watch->reader, 5, &watch->batch, NULL) == ALV_OK) {
        watch->records += watch->batch.count;
    }
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        if (watch->ends[shard] > 0 &&
            watch->reader->ops->position(watch->reader, ALV_TOPIC_CHANGELOG, shard) <
                watch->ends[shard]) {
            return false;
        }
    }
    return true;
}

static int watch_open_shards(const test_watch *watch)
{
    int count = 0;
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        count += watch->ends[shard] > 0;
    }
    return count;
}

static void watch_close(test_watch *watch)
{
    watch->reader->ops->close(watch->reader);
    alv_batch_done(&watch->batch);
}

/* ---- an eviction on a thread of its own, as the survivors must be polled meanwhile ------------ */

typedef struct test_eviction {
    pthread_t thread;
    const alv_config *config;
    const alv_seat *seats;
    size_t count;
    alv_evicted times[LANES_MAX];
    alv_status status;
    alv_error err;
    int64_t begun_at_ms;
    int64_t took_ms;
    _Atomic bool is_over;
} test_eviction;

static void *eviction_main(void *argument)
{
    test_eviction *eviction = argument;
    eviction->status = alv_kafka_evict(eviction->config, eviction->seats, eviction->count,
                                       eviction->times, &eviction->err);
    eviction->took_ms = now_ms() - eviction->begun_at_ms;
    atomic_store(&eviction->is_over, true);
    return NULL;
}

static void eviction_start(test_eviction *eviction, const test_node *node, const alv_seat *seats,
                           size_t count)
{
    *eviction = (test_eviction){
        .config = node->config, .seats = seats, .count = count, .begun_at_ms = now_ms()};
    assert_int_equal(pthread_create(&eviction->thread, NULL, eviction_main, eviction), 0);
}

static void eviction_join(test_eviction *eviction, alv_status expected)
{
    assert_int_equal(pthread_join(eviction->thread, NULL), 0);
    if (eviction->status != expected) {
        fail_msg("%s: %s", alv_status_name(eviction->status), eviction->err.text);
    }
}

/* Polls the survivor until it owns everything, the transactions are gone and the call is over; says
 * how long each took. */
static void eviction_expect_takeover(test_eviction *eviction, test_member *survivor, int shards,
                                     test_watch *watch)
{
    int64_t past_at_ms = -1;
    while (survivor->owned < shards || past_at_ms < 0 || !atomic_load(&eviction->is_over)) {
        member_poll(survivor, 5);
        if (past_at_ms < 0 && watch_is_past(watch)) {
            past_at_ms = now_ms();
        }
        if (now_ms() > eviction->begun_at_ms + WAIT_MS) {
            fail_msg("%d of %d shards, transactions %s", survivor->owned, shards,
                     past_at_ms < 0 ? "open" : "gone");
        }
    }
    eviction_join(eviction, ALV_OK);
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
    assert_true(assigned_ms < FAILOVER_MS);
    assert_true(past_at_ms - eviction->begun_at_ms < FAILOVER_MS);
    assert_int_equal(watch->records, 0);
}

static void expect_quiet(test_member *survivor, int rebalances)
{
    int64_t until = now_ms() + QUIET_MS;
    while (now_ms() < until) {
        member_poll(survivor, 20);
    }
    assert_int_equal(survivor->rebalances, rebalances);
    assert_false(survivor->was_lost || survivor->was_fenced);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const alv_seat both_lanes[] = {{"n2", 0}, {"n2", 1}};

static void evict__moves_shards_in_one_rebalance_and_ends_transactions(void **state)
{
    (void)state;
    char app[64];
    test_node node = app_new(app, "6");
    test_member survivor;
    test_doomed doomed;
    test_watch watch;
    test_eviction eviction;
    member_join(&survivor, &node, 0);
    member_wait(&survivor, SHARDS);
    doomed_start(&doomed, app, "n2", "2", "4");
    doomed_wait(&doomed, &survivor);
    member_wait(&survivor, 2);
    watch_open(&watch, &node, SHARDS);
    assert_int_equal(watch_open_shards(&watch), 4);
    assert_false(watch_is_past(&watch));
    int rebalances = survivor.rebalances;

    doomed_kill(&doomed);
    eviction_start(&eviction, &node, both_lanes, 2);
    eviction_expect_takeover(&eviction, &survivor, SHARDS, &watch);
    expect_quiet(&survivor, rebalances + 1);
    watch_close(&watch);
    member_close(&survivor, false);
    node_close(&node);
}

/* Whoever did not hear that it is done may do it again: the seats are new then, and leave at once. */
static void evict__may_be_done_again(void **state)
{
    (void)state;
    char app[64];
    test_node node = app_new(app, "6");
    test_member survivor;
    test_eviction eviction;
    member_join(&survivor, &node, 0);
    member_wait(&survivor, SHARDS);
    eviction_start(&eviction, &node, both_lanes, 2);
    while (!atomic_load(&eviction.is_over)) {
        member_poll(&survivor, 5);
    }
    eviction_join(&eviction, ALV_OK);
    member_wait(&survivor, SHARDS);
    print_message("evicted nobody in %lld ms\n", (long long)eviction.took_ms);
    member_close(&survivor, false);
    node_close(&node);
}

/* The member that joined first leads the group, and computes the assignment for all. */
static void evict__works_for_the_leader_of_the_group(void **state)
{
    (void)state;
    char app[64];
    test_node node = app_new(app, "6");
    test_member survivor;
    test_doomed doomed;
    test_watch watch;
    test_eviction eviction;
    alv_group_view *view = NULL;
    alv_members members = {0};
    int64_t deadline = now_ms() + WAIT_MS;
    doomed_start(&doomed, app, "n2", "2", "4");
    assert_int_equal(alv_group_view_open(node.config, &view, NULL), ALV_OK);
    while (members.count < 2 && now_ms() < deadline) {
        alv_members_done(&members);
        (void)alv_group_view_members(view, 5000, &members, NULL);
    }
    assert_int_equal(members.count, 2);
    alv_members_done(&members);
    alv_group_view_close(view);

    member_join(&survivor, &node, 0);
    doomed_wait(&doomed, &survivor);
    member_wait(&survivor, 2);
    watch_open(&watch, &node, SHARDS);
    int rebalances = survivor.rebalances;
    doomed_kill(&doomed);
    eviction_start(&eviction, &node, both_lanes, 2);
    eviction_expect_takeover(&eviction, &survivor, SHARDS, &watch);
    expect_quiet(&survivor, rebalances + 1);
    watch_close(&watch);
    member_close(&survivor, false);
    node_close(&node);
}

static void evict__takes_two_nodes_that_died_together(void **state)
{
    (void)state;
    char app[64];
    static const alv_seat seats[] = {{"n2", 0}, {"n3", 0}};
    test_node node = app_new(app, "6");
    test_member survivor;
    test_doomed doomed[2];
    test_watch watch;
    test_eviction eviction;
    member_join(&survivor, &node, 0);
    doomed_start(&doomed[0], app, "n2", "1", "2");
    doomed_start(&doomed[1], app, "n3", "1", "2");
    doomed_wait(&doomed[0], &survivor);
    doomed_wait(&doomed[1], &survivor);
    member_wait(&survivor, 2);
    watch_open(&watch, &node, SHARDS);
    assert_int_equal(watch_open_shards(&watch), 4);
    int rebalances = survivor.rebalances;

    doomed_kill(&doomed[0]);
    doomed_kill(&doomed[1]);
    eviction_start(&eviction, &node, seats, 2);
    eviction_expect_takeover(&eviction, &survivor, SHARDS, &watch);
    expect_quiet(&survivor, rebalances + 1);
    watch_close(&watch);
    member_close(&survivor, false);
    node_close(&node);
}

static void evict__takes_lanes_without_shards(void **state)
{
    (void)state;
    char app[64];
    static const alv_seat seats[] = {{"n2", 0}, {"n2", 1}, {"n2", 2}};
    test_node node = app_new(app, "2");
    test_member survivor;
    test_doomed doomed;
    test_watch watch;
    test_eviction eviction;
    member_join(&survivor, &node, 0);
    member_wait(&survivor, 2);
    doomed_start(&doomed, app, "n2", "3", "1");
    doomed_wait(&doomed, &survivor);
    watch_open(&watch, &node, 2);
    assert_int_equal(watch_open_shards(&watch), 1);

    doomed_kill(&doomed);
    eviction_start(&eviction, &node, seats, 3);
    eviction_expect_takeover(&eviction, &survivor, 2, &watch);
    watch_close(&watch);
    member_close(&survivor, false);
    node_close(&node);
}

/* The eviction was a mistake: the member must find out, commit nothing, and be able to come back. */
static void evict__is_noticed_by_a_member_that_lives(void **state)
{
    (void)state;
    char app[64];
    test_node node = app_new(app, "6");
    test_node other = node_open(app, "n2");
    test_member survivor;
    test_member living;
    test_watch watch;
    test_eviction eviction;
    member_join(&survivor, &node, 0);
    member_join(&living, &other, 0);
    int64_t deadline = now_ms() + WAIT_MS;
    while ((survivor.owned != 3 || living.owned != 3) && now_ms() < deadline) {
        member_poll(&survivor, 10);
        member_poll(&living, 10);
    }
    int32_t shard = 0;
    while (!living.owns[shard]) {
        shard++;
    }
    member_begin(&living, &other, 0);
    watch_open(&watch, &node, SHARDS);

    eviction_start(&eviction, &node, both_lanes, 1);
    deadline = now_ms() + WAIT_MS;
    while (!living.was_fenced && !living.was_lost && now_ms() < deadline) {
        member_poll(&living, 5);
        member_poll(&survivor, 5);
    }
    print_message("noticed after %lld ms: %s\n", (long long)(now_ms() - eviction.begun_at_ms),
                  living.was_fenced ? "fenced" : "lost");
    assert_true(living.was_lost);
    /* Not a member any more: refused before anything is sent, or by the coordinator. */
    alv_status refused = member_commit(&living, shard);
    assert_true(refused == ALV_ABORT || refused == ALV_FENCED);
    if (living.was_fenced) {
        member_close(&living, true);
        eviction_expect_takeover(&eviction, &survivor, SHARDS, &watch);
        member_join(&living, &other, 0);
    } else {
        eviction_join(&eviction, ALV_OK);
    }
    deadline = now_ms() + WAIT_MS;
    while ((survivor.owned != 3 || living.owned != 3) && now_ms() < deadline) {
        member_poll(&survivor, 10);
        member_poll(&living, 10);
    }
    assert_int_equal(survivor.owned, 3);
    assert_int_equal(living.owned, 3);
    watch_close(&watch);
    member_close(&living, false);
    member_close(&survivor, false);
    node_close(&other);
    node_close(&node);
}

/* A seat can be held for long when the group is kept in a rebalance by a dead member that nobody has
 * evicted (n2). Meanwhile the owner of the seat (n3) comes back. */
static void evict__ends_when_a_seat_is_taken_back(void **state)
{
    (void)state;
    char app[64];
    static const alv_seat alive = {"n3", 0};
    test_node node = app_new(app, "6");
    test_node others[2] = {node_open(app, "n3"), node_open(app, "n4")};
    test_member members[3]; /* n1, n3, n4 */
    test_doomed doomed;
    test_eviction eviction;
    alv_group_view *view = NULL;
    member_join(&members[0], &node, 0);
    doomed_start(&doomed, app, "n2", "1", "3");
    doomed_wait(&doomed, &members[0]);
    member_wait(&members[0], 3);
    doomed_kill(&doomed);

    /* The rebalance that does not end. */
    member_join(&members[1], &others[0], 0);
    assert_int_equal(alv_group_view_open(node.config, &view, NULL), ALV_OK);
    int64_t deadline = now_ms() + WAIT_MS;
    size_t count = 0;
    while (count < 3 && now_ms() < deadline) {
        alv_members found = {0};
        member_poll(&members[0], 5);
        member_poll(&members[1], 5);
        if (alv_group_view_members(view, 5000, &found, NULL) == ALV_OK) {
            count = found.count;
        }
        alv_members_done(&found);
    }
    assert_int_equal(count, 3);

    eviction_start(&eviction, &node, &alive, 1);
    deadline = now_ms() + WAIT_MS;
    while (!members[1].was_fenced && now_ms() < deadline) {
        member_poll(&members[0], 5);
        member_poll(&members[1], 5);
    }
    assert_true(members[1].was_fenced);
    member_close(&members[1], true);
    member_join(&members[1], &others[0], 0);
    while (!atomic_load(&eviction.is_over)) {
        member_poll(&members[0], 5);
        member_poll(&members[1], 5);
    }
    eviction_join(&eviction, ALV_FENCED);
    print_message("%s (%lld ms)\n", eviction.err.text, (long long)eviction.took_ms);
    assert_int_equal(eviction.times[0].left_ms, -1);
    assert_true(eviction.took_ms < ALV_EVICT_MS);

    /* Evicting the dead one ends the rebalance. */
    eviction_start(&eviction, &node, both_lanes, 1);
    member_join(&members[2], &others[1], 0);
    deadline = now_ms() + WAIT_MS;
    bool is_settled = false;
    while (!is_settled && now_ms() < deadline) {
        is_settled = true;
        for (int i = 0; i < 3; i++) {
            member_poll(&members[i], 5);
            is_settled = is_settled && members[i].owned == 2;
        }
    }
    assert_true(is_settled);
    eviction_join(&eviction, ALV_OK);
    print_message("settled after %lld ms\n", (long long)(now_ms() - eviction.begun_at_ms));
    for (int i = 0; i < 3; i++) {
        member_close(&members[i], false);
    }
    alv_group_view_close(view);
    node_close(&others[1]);
    node_close(&others[0]);
    node_close(&node);
}

static void evict__gives_up_when_brokers_are_away(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    alv_evicted times[2];
    alv_config *config = config_new("127.0.0.1:1", "evict-nobody", "n1", "6");
    int64_t begun_at_ms = now_ms();
    assert_int_equal(alv_kafka_evict(config, both_lanes, 2, times, &err), ALV_RETRY);
    int64_t took_ms = now_ms() - begun_at_ms;
    print_message("%s (%lld ms)\n", err.text, (long long)took_ms);
    assert_true(took_ms >= ALV_EVICT_MS && took_ms < ALV_EVICT_MS + 1500);
    assert_int_equal(times[1].seated_ms, -1);
    assert_int_equal(times[1].left_ms, -1);
    assert_int_equal(times[1].fenced_ms, -1);
    alv_config_free(config);
}

static void fence__ends_a_transaction_and_leaves_the_seat(void **state)
{
    (void)state;
    char app[64];
    alv_error err = ALV_ERROR_NONE;
    test_node node = app_new(app, "6");
    test_node other = node_open(app, "n2");
    test_member living;
    test_watch watch;
    member_join(&living, &other, 0);
    member_wait(&living, SHARDS);
    member_begin(&living, &other, 0);
    watch_open(&watch, &node, SHARDS);
    assert_int_equal(watch_open_shards(&watch), SHARDS);
    int64_t begun_at_ms = now_ms();
    if (alv_kafka_fence(node.config, &both_lanes[0], &err) != ALV_OK) {
        fail_msg("fence: %s", err.text);
    }
    int64_t took_ms = now_ms() - begun_at_ms;
    while (!watch_is_past(&watch) && now_ms() < begun_at_ms + WAIT_MS) {
        member_poll(&living, 5);
    }
    print_message("fenced after %lld ms, transaction gone %lld ms\n", (long long)took_ms,
                  (long long)(now_ms() - begun_at_ms));
    assert_true(now_ms() < begun_at_ms + FAILOVER_MS);
    assert_int_equal(watch.records, 0);

    assert_int_equal(member_commit(&living, 0), ALV_FENCED);
    expect_quiet(&living, living.rebalances);
    assert_int_equal(living.owned, SHARDS);
    watch_close(&watch);
    member_close(&living, false);
    node_close(&other);
    node_close(&node);
}

int main(int argc, char **argv)
{
    broker = getenv("ALLUVIUM_TEST_KAFKA");
    if (broker == NULL || *broker == '\0') {
        puts("skipped: set ALLUVIUM_TEST_KAFKA=host:port (dev/stack start; dev/stack env)");
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    if (argc == 6 && strcmp(argv[1], "doomed") == 0) {
        doomed_main(argv[2], argv[3], (int)strtol(argv[4], NULL, 10),
                    (int)strtol(argv[5], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evict__moves_shards_in_one_rebalance_and_ends_transactions),
        cmocka_unit_test(evict__may_be_done_again),
        cmocka_unit_test(evict__works_for_the_leader_of_the_group),
        cmocka_unit_test(evict__takes_two_nodes_that_died_together),
        cmocka_unit_test(evict__takes_lanes_without_shards),
        cmocka_unit_test(evict__is_noticed_by_a_member_that_lives),
        cmocka_unit_test(evict__ends_when_a_seat_is_taken_back),
        cmocka_unit_test(evict__gives_up_when_brokers_are_away),
        cmocka_unit_test(fence__ends_a_transaction_and_leaves_the_seat),
    };
    return cmocka_run_group_tests_name("evict", tests, NULL, NULL);
}
