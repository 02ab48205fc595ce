/* Goal:   the note beside an offset names the lane that committed it, and only a lane's own note does.
 * Method: write and read; then whatever else somebody may have put there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "topics/offset_note.h"

static void note__names_the_lane_that_wrote_it(void **state)
{
    (void)state;
    char node_id[16];
    int32_t lane = -1;
    alv_bytes note = ALV_BYTES_EMPTY;
    alv_offset_note_write("node-a-3", &note);
    assert_true(alv_view_equal(alv_bytes_view(&note), ALV_VIEW("{\"owner\":\"node-a-3\"}")));
    assert_true(alv_offset_note_read(alv_bytes_view(&note), node_id, sizeof node_id, &lane));
    assert_string_equal(node_id, "node-a");
    assert_int_equal(lane, 3);
    alv_bytes_done(&note);
}

static void note__is_json_whatever_the_name(void **state)
{
    (void)state;
    char node_id[16];
    int32_t lane = -1;
    alv_bytes note = ALV_BYTES_EMPTY;
    alv_offset_note_write("a\"\\\n-63", &note);
    assert_true(alv_offset_note_read(alv_bytes_view(&note), node_id, sizeof node_id, &lane));
    assert_string_equal(node_id, "a\"\\\n");
    assert_int_equal(lane, 63);
    alv_bytes_done(&note);
}

static void note__of_somebody_else_names_nobody(void **state)
{
    (void)state;
    static const char *const notes[] = {
        "",
        "a note",
        "{}",
        "[\"owner\"]",
        "{\"owner\":7}",
        "{\"owner\":\"node\"}",
        "{\"owner\":\"-1\"}",
        "{\"owner\":\"node-\"}",
        "{\"owner\":\"node-1x\"}",
        "{\"owner\":\"node-64\"}", /* there are 64 lanes at most */
        "{\"owner\":\"node-99999999999999999999\"}",
        "{\"owner\":\"node-01\"}",                   /* not how a lane writes itself */
        "{\"owner\":\"a-node-with-a-long-name-1\"}", /* does not fit */
    };
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        char node_id[16] = "untouched";
        int32_t lane = -1;
        if (alv_offset_note_read(alv_view_of(notes[i]), node_id, sizeof node_id, &lane)) {
            fail_msg("%s names %s, lane %d", notes[i], node_id, (int)lane);
        }
        assert_string_equal(node_id, "untouched");
        assert_int_equal(lane, -1);
    }
    assert_false(alv_offset_note_read(ALV_VIEW_NONE, (char[4]){""}, 4, &(int32_t){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(note__names_the_lane_that_wrote_it),
        cmocka_unit_test(note__is_json_whatever_the_name),
        cmocka_unit_test(note__of_somebody_else_names_nobody),
    };
    return cmocka_run_group_tests_name("offset_note", tests, NULL, NULL);
}
