/* Goal:   typing errors find the word that was meant, and strangers find nothing.
 * Method: a small list of names and the usual slips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/nearest.h"

static const char *const names[] = {"lanes", "shards", "state.dir", "postgres.url"};

static const char *nearest(const char *word)
{
    return alv_nearest(word, names, sizeof names / sizeof names[0]);
}

static void nearest__finds_what_was_meant(void **state)
{
    (void)state;
    assert_string_equal(nearest("lane"), "lanes");
    assert_string_equal(nearest("lames"), "lanes");
    assert_string_equal(nearest("sahrds"), "shards");
    assert_string_equal(nearest("state-dir"), "state.dir");
    assert_string_equal(nearest("postgres.uri"), "postgres.url");
    assert_string_equal(nearest("shards"), "shards");
}

static void nearest__does_not_guess_wildly(void **state)
{
    (void)state;
    assert_null(nearest(""));
    assert_null(nearest("x"));
    assert_null(nearest("session.timeout.ms"));
    char word[ALV_NEAREST_BYTES_MAX + 2];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(nearest(word));
    assert_null(alv_nearest("lanes", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest__finds_what_was_meant),
        cmocka_unit_test(nearest__does_not_guess_wildly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
