/* Goal: a list of shards means what people mean by it, and anything else is refused.
 * Method: texts that are lists and texts that are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli_shards.h"

static void cli_shards__without_a_choice_all_are_meant(void **state)
{
    (void)state;
    static alv_cli_shards shards;
    shards = (alv_cli_shards){.some = false};
    assert_true(alv_cli_shards_has(&shards, 0));
    assert_true(alv_cli_shards_has(&shards, ALV_SHARDS_MAX - 1));
    assert_int_equal(alv_cli_shards_last(&shards), -1);
}

static void cli_shards__lists_and_ranges_add_up(void **state)
{
    (void)state;
    static alv_cli_shards shards;
    shards = (alv_cli_shards){.some = false};
    assert_true(alv_cli_shards_add(&shards, "3"));
    assert_true(alv_cli_shards_add(&shards, "0,5-7,9-9"));
    const bool expected[] = {true, false, false, true, false, true, true, true, false, true, false};
    for (int32_t i = 0; i < 11; i++) {
        assert_int_equal(alv_cli_shards_has(&shards, i), expected[i]);
    }
    assert_int_equal(alv_cli_shards_last(&shards), 9);
    assert_true(alv_cli_shards_add(&shards, "4095"));
    assert_int_equal(alv_cli_shards_last(&shards), 4095);
}

static void cli_shards__anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        ",",
                                        "1,",
                                        ",1",
                                        "-1",
                                        "1-",
                                        "3-1",
                                        "a",
                                        "1a",
                                        "1 2",
                                        "1,,2",
                                        "4096",
                                        "99999",
                                        "1--2",
                                        "+1",
                                        "1-2-3",
                                        "1;2",
                                        "0x1",
                                        "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        static alv_cli_shards shards;
        shards = (alv_cli_shards){.some = false};
        assert_false(alv_cli_shards_add(&shards, texts[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cli_shards__without_a_choice_all_are_meant),
        cmocka_unit_test(cli_shards__lists_and_ranges_add_up),
        cmocka_unit_test(cli_shards__anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
