/* Goal:   a dead letter carries the command as it came, and says why, from where, and what to do.
 * Method: build letters from records with many, foreign and repeated headers, and read them back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "processor/dead_letter.h"

static const alv_record a_record = {
    .topic = ALV_TOPIC_COMMANDS,
    .shard = 5,
    .offset = 1234567890123,
    .timestamp_ms = 1700000000000,
    .key = {"m:1", 3},
    .value = {"{oops", 5},
};

static int setup(void **state)
{
    *state = alv_dead_letter_new();
    return 0;
}

static int teardown(void **state)
{
    alv_dead_letter_free(*state);
    return 0;
}

static void assert_header(const alv_produce *letter, size_t at, const char *name, const char *value)
{
    assert_true(at < letter->header_count);
    assert_string_equal(letter->headers[at].name, name);
    if (!alv_view_equal(letter->headers[at].value, alv_view_of(value)))
        fail_msg("%s: %.*s", name, (int)letter->headers[at].value.size,
                 letter->headers[at].value.data);
}

static void dead_letter__carries_the_command_and_its_story(void **state)
{
    const alv_header headers[] = {{"trace", {"\x00\xff", 2}}, {"correlation-id", {"c1", 2}}};
    const alv_produce *letter =
        alv_dead_letter_build(*state, &a_record, headers, 2, "app.commands", ALV_REASON_NOT_JSON,
                              "byte 2 of 5: string or '}' expected");
    assert_int_equal(letter->topic, ALV_TOPIC_DEAD_LETTERS);
    assert_int_equal(letter->shard, 5);
    assert_int_equal(letter->timestamp_ms, 0);
    assert_ptr_equal(letter->key.data, a_record.key.data);
    assert_int_equal(letter->key.size, 3);
    assert_ptr_equal(letter->value.data, a_record.value.data);
    assert_int_equal(letter->value.size, 5);

    assert_int_equal(letter->header_count, 9);
    assert_ptr_equal(letter->headers[0].value.data, headers[0].value.data);
    assert_int_equal(letter->headers[0].value.size, 2);
    assert_header(letter, 1, "correlation-id", "c1");
    assert_header(letter, 2, "alluvium-reason", "not-json");
    assert_header(letter, 3, "alluvium-detail", "byte 2 of 5: string or '}' expected");
    assert_header(letter, 4, "alluvium-action", alv_reason_action(ALV_REASON_NOT_JSON));
    assert_header(letter, 5, "alluvium-topic", "app.commands");
    assert_header(letter, 6, "alluvium-partition", "5");
    assert_header(letter, 7, "alluvium-offset", "1234567890123");
    assert_header(letter, 8, "alluvium-timestamp", "1700000000000");
}

static void dead_letter__keeps_what_is_absent_absent(void **state)
{
    alv_record record = a_record;
    record.key = ALV_VIEW_NONE;
    record.value = ALV_VIEW_NONE;
    record.offset = INT64_MIN;
    record.timestamp_ms = INT64_MIN;
    record.shard = INT32_MAX;
    const alv_produce *letter =
        alv_dead_letter_build(*state, &record, NULL, 0, "t", ALV_REASON_NO_KEY, NULL);
    assert_null(letter->key.data);
    assert_null(letter->value.data);
    assert_int_equal(letter->header_count, 7);
    assert_header(letter, 1, "alluvium-detail", "");
    assert_header(letter, 4, "alluvium-partition", "2147483647");
    assert_header(letter, 5, "alluvium-offset", "-9223372036854775808");
    assert_header(letter, 6, "alluvium-timestamp", "-9223372036854775808");
}

static void dead_letter__replaces_the_headers_of_an_earlier_one(void **state)
{
    const alv_header headers[] = {
        {"alluvium-reason", {"not-json", 8}}, {"a", {"1", 1}},
        {"alluvium-offset", {"9", 1}},        {"alluvium-else", {"2", 1}},
        {"alluvium-reason", {"bad-key", 7}},  {"a", {"3", 1}},
    };
    const alv_produce *letter =
        alv_dead_letter_build(*state, &a_record, headers, 6, "t", ALV_REASON_UNKNOWN_TYPE, "no");
    assert_int_equal(letter->header_count, 10);
    assert_header(letter, 0, "a", "1");
    assert_header(letter, 1, "alluvium-else", "2");
    assert_header(letter, 2, "a", "3");
    assert_header(letter, 3, "alluvium-reason", "unknown-type");
    assert_header(letter, 8, "alluvium-offset", "1234567890123");
}

static void dead_letter__keeps_the_first_headers_of_many(void **state)
{
    static char names[100][8];
    alv_header headers[100];
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof names[i], "h%zu", i);
        headers[i] = (alv_header){names[i], ALV_VIEW("v")};
    }
    headers[10].name = "alluvium-detail"; /* does not count */
    const alv_produce *letter =
        alv_dead_letter_build(*state, &a_record, headers, 100, "t", ALV_REASON_BAD_KEY, "no");
    assert_int_equal(letter->header_count, ALV_HEADERS_MAX + 7);
    assert_header(letter, 9, "h9", "v");
    assert_header(letter, 10, "h11", "v");
    assert_header(letter, ALV_HEADERS_MAX - 1, "h64", "v");
    assert_header(letter, ALV_HEADERS_MAX, "alluvium-reason", "bad-key");
}

static void dead_letter__cuts_and_cleans_the_detail(void **state)
{
    char detail[3000];
    for (size_t i = 0; i + 3 < sizeof detail; i += 3)
        memcpy(detail + i, "\xe2\x82\xac", 4);
    const alv_produce *letter =
        alv_dead_letter_build(*state, &a_record, NULL, 0, "t", ALV_REASON_BAD_FIELD, detail);
    alv_view kept = letter->headers[1].value;
    assert_int_equal(kept.size, 1023 / 3 * 3);
    assert_true(alv_utf8_valid(kept.data, kept.size));

    letter = alv_dead_letter_build(*state, &a_record, NULL, 0, "t", ALV_REASON_BAD_FIELD,
                                   "a\r\nb\x1b\xff");
    assert_header(letter, 1, "alluvium-detail", "a  b ?");
}

static void dead_letter__adds_a_bounded_number_of_bytes(void **state)
{
    char longest[2000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    alv_record record = a_record;
    record.offset = INT64_MIN;
    for (int reason = 1; reason < ALV_REASON_COUNT; reason++) {
        const alv_produce *letter =
            alv_dead_letter_build(*state, &record, NULL, 0, longest, (alv_reason)reason, longest);
        size_t bytes = 0;
        for (size_t i = 0; i < letter->header_count; i++)
            bytes += strlen(letter->headers[i].name) + letter->headers[i].value.size;
        size_t fixed = bytes - letter->headers[1].value.size - letter->headers[3].value.size;
        assert_true(fixed < 512);
        assert_true(bytes < ALV_DEAD_LETTER_HEADER_BYTES_MAX);
    }
}

static void dead_letter__can_be_shortened(void **state)
{
    const alv_header headers[] = {{"a", {"1", 1}}, {"b", {"2", 1}}};
    (void)alv_dead_letter_build(*state, &a_record, headers, 2, "app.commands", ALV_REASON_TOO_LARGE,
                                "the value has 5 bytes");
    const alv_produce *letter = alv_dead_letter_shorten(*state);
    assert_null(letter->value.data);
    assert_ptr_equal(letter->key.data, a_record.key.data);
    assert_int_equal(letter->header_count, 7);
    assert_header(letter, 0, "alluvium-reason", "too-large");
    assert_header(letter, 1, "alluvium-detail",
                  "value of 5 bytes and headers left out: too large; the value has 5 bytes");
    assert_header(letter, 5, "alluvium-offset", "1234567890123");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dead_letter__carries_the_command_and_its_story, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(dead_letter__keeps_what_is_absent_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_letter__replaces_the_headers_of_an_earlier_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(dead_letter__keeps_the_first_headers_of_many, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(dead_letter__cuts_and_cleans_the_detail, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_letter__adds_a_bounded_number_of_bytes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(dead_letter__can_be_shortened, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
