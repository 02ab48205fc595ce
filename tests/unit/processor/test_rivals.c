/* Goal:   a shard that is active here while the group says for longer that another node has it is not answered
 *         for (I4); a shard that has just come here is, whatever an answer from before says.
 * Method: answers of the group, made up, beside a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/logger.h"
#include "processor/rivals.h"

#define NOW_US 1000000
#define SHARDS 2

typedef struct fixture {
    alv_directory *directory;
    alv_rivals *rivals;
} fixture;

static int setup(void **state)
{
    static fixture f;
    alv_log_set_level(ALV_LOG_ERROR);
    f.directory = alv_directory_new(SHARDS);
    f.rivals = alv_rivals_new(f.directory, "n1");
    alv_directory_lane_turned(f.directory, 0, NOW_US);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    alv_rivals_free(f->rivals);
    alv_directory_free(f->directory);
    return 0;
}

static void activate(fixture *f)
{
    assert_true(alv_directory_claim(f->directory, 0, 0));
    alv_directory_set_state(f->directory, 0, 0, ALV_SHARD_RESTORING);
    alv_directory_set_state(f->directory, 0, 0, ALV_SHARD_ACTIVE);
}

/* Shard 0 is `node`'s; NULL: nobody's. Shard 1 is always n1's, and not here. */
static void answer(fixture *f, const char *node)
{
    int32_t shards[] = {0, 1};
    alv_member members[] = {{.shards = &shards[0], .shard_count = node != NULL ? 1 : 0},
                            {.node_id = "n1", .shards = &shards[1], .shard_count = 1}};
    if (node != NULL) {
        memcpy(members[0].node_id, node, strlen(node) + 1);
    }
    const alv_members known = {members, 2};
    alv_rivals_members_known(f->rivals, &known);
}

static bool is_current(const fixture *f)
{
    return alv_directory_is_current(f->directory, 0, NOW_US);
}

static void shard__is_elsewhere_after_two_answers(void **state)
{
    fixture *f = *state;
    activate(f);
    answer(f, "n1");
    assert_true(is_current(f));
    answer(f, "n2");
    assert_true(is_current(f)); /* it may be from before */
    answer(f, "n2");
    assert_false(is_current(f));
    answer(f, NULL); /* a rebalance */
    assert_false(is_current(f));
    answer(f, "n1");
    assert_true(is_current(f));
}

static void shard__that_has_just_come_is_here(void **state)
{
    fixture *f = *state;
    answer(f, "n2");
    answer(f, "n2");
    activate(f);
    assert_true(is_current(f));
    answer(f, "n2"); /* asked before it came */
    assert_true(is_current(f));
    answer(f, NULL);
    assert_true(is_current(f));
    answer(f, "n1");
    assert_true(is_current(f));
}

static void shard__that_comes_again_is_here_again(void **state)
{
    fixture *f = *state;
    activate(f);
    answer(f, "n2");
    answer(f, "n2");
    assert_false(is_current(f));
    alv_directory_set_state(f->directory, 0, 0, ALV_SHARD_UNASSIGNED);
    activate(f);
    assert_true(is_current(f));
    answer(f, "n2");
    assert_true(is_current(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shard__is_elsewhere_after_two_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(shard__that_has_just_come_is_here, setup, teardown),
        cmocka_unit_test_setup_teardown(shard__that_comes_again_is_here_again, setup, teardown),
    };
    return cmocka_run_group_tests_name("rivals", tests, NULL, NULL);
}
