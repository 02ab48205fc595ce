/* Goal:   global.tables says which tables there are and whose copies they are, and what it cannot mean is
 *         refused.
 * Method: values as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/config.h"
#include "base/table_list.h"

static void list__names_tables_and_their_topics(void **state)
{
    (void)state;
    alv_table_list list;
    assert_int_equal(alv_table_list_parse(NULL, &list, NULL), ALV_OK);
    assert_int_equal(list.count, 0);
    assert_int_equal(alv_table_list_parse("prices,limits=shop.customer-limits", &list, NULL),
                     ALV_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].name, "prices");
    assert_string_equal(list.items[0].topic, "prices");
    assert_string_equal(list.items[1].name, "limits");
    assert_string_equal(list.items[1].topic, "shop.customer-limits");
    assert_int_equal(alv_table_list_find(&list, "limits"), 1);
    assert_true(alv_table_list_find(&list, "shop.customer-limits") == ALV_TABLE_NONE);
}

static void assert_refused(const char *text, const char *part)
{
    alv_table_list list;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_table_list_parse(text, &list, &err), ALV_REJECT);
    if (strstr(err.text, part) == NULL) {
        fail_msg("\"%s\" is not in: %s", part, err.text);
    }
}

static void list__refuses_what_cannot_be(void **state)
{
    (void)state;
    assert_refused("a b", "NAME or NAME=TOPIC");
    assert_refused("a/b", "NAME or NAME=TOPIC");
    assert_refused("=topic", "NAME or NAME=TOPIC");
    assert_refused("name=", "NAME or NAME=TOPIC");
    assert_refused("name=a=b", "NAME or NAME=TOPIC");
    assert_refused("..", "NAME or NAME=TOPIC");
    assert_refused("prices,prices=other", "there twice");
    assert_refused("prices,costs=prices", "there twice");
    char long_name[80] = "";
    memset(long_name, 'n', ALV_TABLE_NAME_BYTES);
    assert_refused(long_name, "64 characters");
}

static void list__has_a_limit(void **state)
{
    (void)state;
    alv_bytes text = ALV_BYTES_EMPTY;
    for (int i = 0; i <= ALV_TABLES_MAX; i++) {
        alv_bytes_printf(&text, "%st%d", i == 0 ? "" : ",", i);
    }
    alv_bytes_append(&text, "", 1);
    assert_refused(text.data, "at most 16");
    alv_bytes_done(&text);
}

static void configuration__checks_the_list(void **state)
{
    (void)state;
    alv_error err = ALV_ERROR_NONE;
    alv_config *config = alv_config_new();
    assert_int_equal(alv_config_set(config, "global.tables= prices , limits=l ", NULL), ALV_OK);
    assert_int_equal(alv_config_finish(config, NULL), ALV_OK);
    assert_string_equal(alv_config_settings(config)->global_tables, "prices,limits=l");
    assert_int_equal(alv_config_set(config, "global.tables=a/b", NULL), ALV_OK);
    assert_int_equal(alv_config_finish(config, &err), ALV_REJECT);
    assert_non_null(strstr(err.text, "-X: global.tables: a/b: must be"));
    alv_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list__names_tables_and_their_topics),
        cmocka_unit_test(list__refuses_what_cannot_be),
        cmocka_unit_test(list__has_a_limit),
        cmocka_unit_test(configuration__checks_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
