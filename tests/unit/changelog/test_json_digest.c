/* Goal:   equal JSON values have one digest, however they are written; others have another.
 * Method: pairs of texts, among them what PostgreSQL's jsonb makes of what jansson writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "changelog/json_digest.h"

static uint64_t digest(const char *json)
{
    return alv_json_digest(alv_view_of(json));
}

static void json_digest__equal_values_have_one_digest(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"{\"a\":1,\"b\":[1,2]}", "{\"b\": [1, 2], \"a\": 1}"},
        {"{\"a\":{\"d\":1,\"c\":null}}", "{\"a\": {\"c\": null, \"d\": 1}}"},
        {"100.0", "100"},
        {"1e2", "100"},
        {"1e17", "100000000000000000"},
        {"1.2345678901234567e18", "1234567890123456700"},
        {"-0.0", "0.0"},
        {"[-0.0]", "[0]"},
        {"1e300", "1000000000000000000000000000000000000000000000000000000000000000000000"
                  "0000000000000000000000000000000000000000000000000000000000000000000000"
                  "0000000000000000000000000000000000000000000000000000000000000000000000"
                  "0000000000000000000000000000000000000000000000000000000000000000000000"
                  "000000000000000000000"},
        {"\"\\u00e9\"", "\"\xc3\xa9\""},
        {"{\"a\":1,\"a\":2}", "{\"a\": 2}"},
        {"9007199254740991", "9007199254740991.0"},
        {" true ", "true"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (digest(pairs[i][0]) != digest(pairs[i][1])) {
            fail_msg("%s and %s have two digests", pairs[i][0], pairs[i][1]);
        }
    }
}

static void json_digest__different_values_have_different_ones(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "false",
        "true",
        "0",
        "\"0\"",
        "1",
        "1.5",
        "-1",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "{\"a\":1}",
        "{\"a\":\"1\"}",
        "{\"a\":null}",
        "{\"b\":1}",
        "\"\"",
        "\"\\u0000\"",
        "9007199254740991",
        "9007199254740990",
        "0.1",
        "0.10000000000000002",
        "1e300",
        "1e301",
        /* no JSON: by their bytes */
        "",
        "{",
        "{\"a\":1}}",
        "nul",
        "\xff",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(digest(texts[i]) != digest(texts[j]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_digest__equal_values_have_one_digest),
        cmocka_unit_test(json_digest__different_values_have_different_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
