/* Goal:   a secret equals itself and nothing else, and a comparison looks at every byte of the guess.
 * Method: every single wrong byte, every wrong length; that the time tells nothing follows from the one
 *         loop, and is not measured here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/secret.h"

static void secret__equals_itself(void **state)
{
    (void)state;
    char copy[] = "Q7-secret-of-some-length";
    assert_true(alv_secret_equal(ALV_VIEW("Q7-secret-of-some-length"), alv_view_of(copy)));
    assert_true(alv_secret_equal(ALV_VIEW("x"), ALV_VIEW("x")));
}

static void secret__differs_in_any_byte(void **state)
{
    (void)state;
    const char *secret = "0123456789abcdef";
    for (size_t i = 0; i < strlen(secret); i++) {
        for (int bit = 0; bit < 8; bit++) {
            char guess[17];
            memcpy(guess, secret, sizeof guess);
            guess[i] = (char)(guess[i] ^ (1 << bit));
            assert_false(alv_secret_equal(alv_view_of(secret), (alv_view){guess, 16}));
        }
    }
}

/* A guess that repeats the secret, or begins with it, is no better than another. */
static void secret__differs_in_length(void **state)
{
    (void)state;
    alv_view secret = ALV_VIEW("abc");
    assert_false(alv_secret_equal(secret, ALV_VIEW("")));
    assert_false(alv_secret_equal(secret, ALV_VIEW("a")));
    assert_false(alv_secret_equal(secret, ALV_VIEW("ab")));
    assert_false(alv_secret_equal(secret, ALV_VIEW("abca")));
    assert_false(alv_secret_equal(secret, ALV_VIEW("abcabc")));
    assert_false(alv_secret_equal(secret, (alv_view){"abc", 4}));
    assert_false(alv_secret_equal(secret, ALV_VIEW_NONE));
}

static void secret__nothing_equals_an_empty_one(void **state)
{
    (void)state;
    assert_false(alv_secret_equal(ALV_VIEW(""), ALV_VIEW("")));
    assert_false(alv_secret_equal(ALV_VIEW_NONE, ALV_VIEW_NONE));
    assert_false(alv_secret_equal(ALV_VIEW(""), ALV_VIEW("x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret__equals_itself),
        cmocka_unit_test(secret__differs_in_any_byte),
        cmocka_unit_test(secret__differs_in_length),
        cmocka_unit_test(secret__nothing_equals_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
