/* Goal:   a page has the smallest keys of all that were met, in order, and knows up to where it is complete.
 * Method: keys in every order against a sorted list; then bytes, cuts and doubles by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/scan_page.h"

static void put(alv_scan_page *page, const char *key)
{
    if (alv_scan_page_wants(page, alv_view_of(key)))
        alv_scan_page_put(page, alv_view_of(key), ALV_VIEW("text"));
}

static void expect_keys(const alv_scan_page *page, const char *keys, bool more)
{
    char found[256] = "";
    for (size_t i = 0; i < page->count; i++) {
        alv_view key = alv_scan_page_key(page, i);
        (void)snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s ", (int)key.size,
                       key.data);
    }
    assert_string_equal(found, keys);
    assert_int_equal(page->more, more);
}

static void page__keeps_the_smallest_in_order(void **state)
{
    (void)state;
    static const char *const orders[] = {"abcdef", "fedcba", "cafebd", "bdface"};
    for (size_t i = 0; i < 4; i++) {
        alv_scan_page page;
        alv_scan_page_init(&page, 4, 1000);
        for (const char *at = orders[i]; *at != '\0'; at++)
            put(&page, (char[]){*at, '\0'});
        expect_keys(&page, "a b c d ", true);
        alv_scan_page_done(&page);
    }
}

static void page__that_has_room_is_complete(void **state)
{
    (void)state;
    alv_scan_page page;
    alv_scan_page_init(&page, 4, 1000);
    put(&page, "ab");
    put(&page, "a");
    put(&page, "\xc3\xbc");
    put(&page, "b");
    put(&page, "b");
    expect_keys(&page, "a ab b \xc3\xbc ", false);
    assert_int_equal(alv_scan_page_text(&page, 1).size, 4);
    alv_scan_page_done(&page);
}

/* What was dropped for its size must not come back behind keys that are shown. */
static void page__is_bounded_in_bytes(void **state)
{
    (void)state;
    alv_scan_page page;
    alv_scan_page_init(&page, 100, 10); /* two texts fit */
    put(&page, "d");
    put(&page, "b");
    put(&page, "c");
    expect_keys(&page, "b c ", true);
    assert_false(alv_scan_page_wants(&page, ALV_VIEW("d")));
    assert_false(alv_scan_page_wants(&page, ALV_VIEW("e")));
    put(&page, "a");
    expect_keys(&page, "a b ", true);
    alv_scan_page_done(&page);
    alv_scan_page_init(&page, 100, 1);
    put(&page, "x"); /* larger than all that may be: one is shown */
    expect_keys(&page, "x ", false);
    alv_scan_page_done(&page);
}

static void page__is_cut(void **state)
{
    (void)state;
    alv_scan_page page;
    alv_scan_page_init(&page, 10, 1000);
    put(&page, "a");
    put(&page, "c");
    put(&page, "e");
    alv_scan_page_cut(&page, ALV_VIEW("c")); /* a part knows nothing behind c */
    expect_keys(&page, "a c ", true);
    put(&page, "ca");
    put(&page, "b");
    expect_keys(&page, "a b c ", true);
    alv_scan_page_cut(&page, ALV_VIEW("z")); /* another part knows more, which does not help */
    assert_false(alv_scan_page_wants(&page, ALV_VIEW("d")));
    alv_scan_page_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page__keeps_the_smallest_in_order),
        cmocka_unit_test(page__that_has_room_is_complete),
        cmocka_unit_test(page__is_bounded_in_bytes),
        cmocka_unit_test(page__is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
