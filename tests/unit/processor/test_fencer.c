/* Goal:   a lane is fenced when its transaction blocks a restore and it is no member any more; never while it
 *         is one, never without need, never when the group cannot be asked. The lane that had the shard last
 *         is thought of as well, because the committed offsets may be of somebody before it.
 * Method: the real thread over a group and its offsets that are a table in this file, and a clock that stands
 *         still until it is moved. "Nothing happens" is seen by nothing having happened although the group
 *         was asked twice more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/logger.h"
#include "processor/fencer.h"
#include "tests/support/wait.h"

#define SHARDS 4
#define WAIT_MS 10000

static struct {
    pthread_mutex_t lock;
    alv_owner owners[SHARDS];
    const char *members[4]; /* node ids; each has lane 0 */
    bool is_away;           /* the group cannot be asked */
    alv_status answer;      /* of a fence */
    int asked;              /* about owners */
    unsigned shards_asked;  /* a bit each */
    int fences;
    char fenced[256]; /* "node/lane " each */
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static alv_manual_clock manual;
static alv_config *config;
static alv_directory *directory;
static alv_fencer *fencer;

/* ---- the world ------------------------------------------------------------------------------- */

static alv_status world_owners(void *payload, alv_owner *items, size_t count, alv_error *err)
{
    (void)payload;
    (void)err;
    pthread_mutex_lock(&world.lock);
    for (size_t i = 0; i < count; i++) {
        int32_t shard = items[i].shard;
        items[i] = world.owners[shard];
        items[i].shard = shard;
        world.shards_asked |= 1u << shard;
    }
    world.asked++;
    pthread_mutex_unlock(&world.lock);
    return ALV_OK;
}

static alv_status world_members(void *payload, alv_members *out, alv_error *err)
{
    (void)payload;
    pthread_mutex_lock(&world.lock);
    bool is_away = world.is_away;
    out->items = alv_alloc_array(4, sizeof *out->items);
    for (size_t i = 0; i < 4 && world.members[i] != NULL; i++) {
        alv_member *member = &out->items[out->count++];
        (void)snprintf(member->node_id, sizeof member->node_id, "%s", world.members[i]);
    }
    pthread_mutex_unlock(&world.lock);
    return is_away ? alv_fail(err, ALV_RETRY, "no broker") : ALV_OK;
}

static alv_status world_fence(void *payload, const alv_seat *seat, alv_error *err)
{
    (void)payload;
    pthread_mutex_lock(&world.lock);
    alv_status status = world.answer;
    size_t size = strlen(world.fenced);
    (void)snprintf(world.fenced + size, sizeof world.fenced - size, "%s/%d ", seat->node_id,
                   (int)seat->lane);
    for (int shard = 0; shard < SHARDS && status == ALV_OK; shard++) {
        world.owners[shard].is_blocked = false;
    }
    world.fences++;
    pthread_mutex_unlock(&world.lock);
    return status == ALV_OK ? ALV_OK : alv_fail(err, status, "not now");
}

static int read_count(const int *count)
{
    pthread_mutex_lock(&world.lock);
    int value = *count;
    pthread_mutex_unlock(&world.lock);
    return value;
}

static bool has_asked(void *payload)
{
    return read_count(&world.asked) >= *(const int *)payload;
}

static bool has_fenced(void *payload)
{
    return read_count(&world.fences) >= *(const int *)payload;
}

/* Moves the clock on at every look; less than what lies between two questions. */
static bool has_asked_by_now(void *payload)
{
    if (has_asked(payload)) {
        return true;
    }
    alv_manual_clock_advance(&manual, ALV_FENCER_AGAIN_MS / 2);
    return false;
}

/* Until owners have been asked about `times` more. */
static void let_it_look(int times)
{
    for (int i = 0; i < times; i++) {
        int next = read_count(&world.asked) + 1;
        assert_true(alv_wait_until(has_asked_by_now, &next, WAIT_MS));
    }
}

static void expect_fenced(int times, const char *lanes)
{
    let_it_look(1);
    assert_true(alv_wait_until(has_fenced, &times, WAIT_MS));
    assert_int_equal(read_count(&world.fences), times);
    assert_string_equal(world.fenced, lanes);
}

static void expect_nothing(void)
{
    int fences = read_count(&world.fences);
    let_it_look(2);
    assert_int_equal(read_count(&world.fences), fences);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void block(int32_t shard, const char *committed_by)
{
    pthread_mutex_lock(&world.lock);
    world.owners[shard].is_blocked = true;
    world.owners[shard].is_named = committed_by != NULL;
    (void)snprintf(world.owners[shard].node_id, sizeof world.owners[shard].node_id, "%s",
                   committed_by != NULL ? committed_by : "");
    pthread_mutex_unlock(&world.lock);
}

/* The shard comes here and has to be restored. */
static void assign(int32_t shard)
{
    assert_true(alv_directory_claim(directory, shard, 0));
    alv_directory_set_state(directory, shard, 0, ALV_SHARD_RESTORING);
}

/* The group says that a node's lane 0 has the shard. */
static void see_owner(const char *node_id, int32_t shard)
{
    int32_t shards[] = {shard};
    alv_member member = {.shards = shards, .shard_count = 1};
    (void)snprintf(member.node_id, sizeof member.node_id, "%s", node_id);
    const alv_members members = {.items = &member, .count = 1};
    alv_fencer_members_known(fencer, &members);
}

static int setup(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    world.answer = ALV_OK;
    world.is_away = false;
    world.asked = 0;
    world.shards_asked = 0;
    world.fences = 0;
    world.fenced[0] = '\0';
    memset(world.owners, 0, sizeof world.owners);
    memset(world.members, 0, sizeof world.members);
    world.members[0] = "here";
    config = alv_config_new();
    assert_int_equal(alv_config_set(config, "node.id=here", &err), ALV_OK);
    assert_int_equal(alv_config_finish(config, &err), ALV_OK);
    directory = alv_directory_new(SHARDS);
    alv_manual_clock_init(&manual, 1000000);
    const alv_fencer_options options = {.config = config,
                                        .clock = &manual.clock,
                                        .directory = directory,
                                        .owners = world_owners,
                                        .members = world_members,
                                        .fence = world_fence};
    assert_int_equal(alv_fencer_start(&options, &fencer, &err), ALV_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    alv_fencer_stop(fencer);
    alv_directory_free(directory);
    alv_config_free(config);
    return 0;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void fencer__fences_who_committed_last_and_is_gone(void **state)
{
    (void)state;
    block(0, "gone");
    block(2, "gone");
    assign(0);
    assign(2);
    expect_fenced(1, "gone/0 "); /* once for both shards */
    expect_nothing();
}

static void fencer__leaves_a_member_alone(void **state)
{
    (void)state;
    world.members[1] = "alive";
    block(0, "alive");
    see_owner("alive", 0);
    assign(0);
    expect_nothing();
    pthread_mutex_lock(&world.lock);
    world.members[1] = NULL; /* its session ends */
    pthread_mutex_unlock(&world.lock);
    expect_fenced(1, "alive/0 ");
}

/* Who committed last is alive; the open transaction is the first one of who came after. */
static void fencer__thinks_of_who_had_the_shard_last(void **state)
{
    (void)state;
    world.members[1] = "before";
    block(1, "before");
    see_owner("before", 1);
    see_owner("after", 1);
    assign(1);
    expect_fenced(1, "after/0 ");
}

static void fencer__fences_both_when_both_are_gone(void **state)
{
    (void)state;
    block(1, "before");
    see_owner("after", 1);
    assign(1);
    expect_fenced(2, "before/0 after/0 ");
}

/* The first transaction ever, and nobody was seen with the shard. */
static void fencer__fences_nobody_when_nobody_is_known(void **state)
{
    (void)state;
    block(0, NULL);
    see_owner("other", 3);
    assign(0);
    expect_nothing();
}

static void fencer__acts_only_where_something_is_open(void **state)
{
    (void)state;
    block(0, "gone");
    pthread_mutex_lock(&world.lock);
    world.owners[0].is_blocked = false; /* named, and only slow */
    pthread_mutex_unlock(&world.lock);
    assign(0);
    expect_nothing();
}

static void fencer__asks_about_restores_only(void **state)
{
    (void)state;
    block(0, "gone");
    assign(0);
    alv_directory_set_state(directory, 0, 0, ALV_SHARD_ACTIVE);
    assign(1);
    expect_nothing();
    pthread_mutex_lock(&world.lock);
    assert_int_equal(world.shards_asked, 1u << 1);
    pthread_mutex_unlock(&world.lock);
}

static void fencer__does_not_guess_who_is_a_member(void **state)
{
    (void)state;
    world.is_away = true;
    block(0, "gone");
    assign(0);
    expect_nothing();
    pthread_mutex_lock(&world.lock);
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    expect_fenced(1, "gone/0 ");
}

static void fencer__tries_again_what_failed(void **state)
{
    (void)state;
    world.answer = ALV_RETRY;
    block(0, "gone");
    assign(0);
    expect_fenced(1, "gone/0 ");
    pthread_mutex_lock(&world.lock);
    world.answer = ALV_OK;
    pthread_mutex_unlock(&world.lock);
    expect_fenced(2, "gone/0 gone/0 ");
    expect_nothing();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(fencer__fences_who_committed_last_and_is_gone),
        TEST(fencer__leaves_a_member_alone),
        TEST(fencer__thinks_of_who_had_the_shard_last),
        TEST(fencer__fences_both_when_both_are_gone),
        TEST(fencer__fences_nobody_when_nobody_is_known),
        TEST(fencer__acts_only_where_something_is_open),
        TEST(fencer__asks_about_restores_only),
        TEST(fencer__does_not_guess_who_is_a_member),
        TEST(fencer__tries_again_what_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
