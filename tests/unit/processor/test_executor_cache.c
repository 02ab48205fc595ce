/* Goal:   a cache that is full of what has changed, and so must stay until the commit, takes away nothing that is in
 *         use: what is only looked at may leave, after the last look at it.
 * Method: the real lane over the simulated log, with a cache of 4 KiB and many entities in one transaction; a
 *         sanitizer sees what is used too late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/support/sim_world.h"
#include "topics/partitioner.h"

/* Entities that change in one transaction. */
#define OTHERS_MIN 10
#define OTHERS_MAX 80

static void box_put(const json_t *state, const alv_command *command, int64_t now_ms,
                    alv_effects *effects)
{
    (void)command;
    (void)now_ms;
    alv_set(effects, "n", json_integer(json_integer_value(json_object_get(state, "n")) + 1));
}

static void box_break(const json_t *state, const alv_command *command, int64_t now_ms,
                      alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    alv_fatal(effects, "broken");
}

static const alv_command_row box_rows[] = {{"put", box_put, {{0}}}, {"break", box_break, {{0}}}};

static const alv_behavior box_behavior = {ALV_BEHAVIOR_HEAD, .type = "box", .commands = box_rows,
                                          .command_count = sizeof box_rows / sizeof box_rows[0]};

static alv_sim_world world;

static void send(int box, const char *type)
{
    char key[16];
    char command[32];
    (void)snprintf(key, sizeof key, "box/%d", box);
    (void)snprintf(command, sizeof command, "{\"type\":\"%s\"}", type);
    (void)alv_sim_world_send(&world, key, command);
}

static int64_t put_into(int box)
{
    char key[16];
    (void)snprintf(key, sizeof key, "box/%d", box);
    return alv_sim_world_logged(&world, key, "n");
}

/* A quarantined entity is found in the cache and left alone, so nothing counts it as used. Whose turn it is to leave
 * depends on how many others there are. */
static void executor__evicts_a_quarantined_entity_after_its_command(void **state)
{
    (void)state;
    alv_sim_world_init_with(
        &world,
        (const char *[]){"cache.memory.bytes=4096", "lanes=1", "quarantine.after.failures=1", NULL},
        &box_behavior, NULL);
    alv_sim_world_activate(&world);
    int box = 0;
    for (int others = OTHERS_MIN; others <= OTHERS_MAX; others++) {
        int first = box;
        int weak = first + others;
        for (; box < weak; box++) {
            send(box, "put");
        }
        send(weak, "break");
        send(weak + 1, "put");
        send(weak, "put");
        alv_sim_world_run(&world, 10);
        assert_int_equal(put_into(first), 1);
        assert_int_equal(put_into(weak), -1);
        assert_int_equal(put_into(weak + 1), 1);
        box = weak + 2;
    }
    alv_sim_world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(executor__evicts_a_quarantined_entity_after_its_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
