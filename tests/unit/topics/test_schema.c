/* Goal:   names, settings and the position record are a contract with other programs and with older
 *         records of this one.
 * Method: literal values; damaged position records must be refused, because taking one for a
 *         position would skip commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <cmocka.h>

#include "topics/schema.h"

static void schema__names_topics_after_the_application(void **state)
{
    (void)state;
    static const char *const expected[ALV_TOPIC_COUNT] = {
        "shop.commands", "shop.changelog", "shop.ledger",
        "shop.events",   "shop.replies",   "shop.dead-letters",
    };
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        char name[ALV_TOPIC_NAME_BYTES];
        alv_schema_name("shop", (alv_topic)topic, name, sizeof(name));
        assert_string_equal(name, expected[topic]);
    }
}

static const char *setting(const alv_topic_setting *settings, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, name) == 0)
            return settings[i].value;
    return "(none)";
}

static void schema__compacts_state_in_small_segments(void **state)
{
    (void)state;
    const alv_settings values = {.tombstone_retention_ms = 86400000};
    alv_topic_setting settings[ALV_TOPIC_SETTINGS_MAX];
    const alv_topic compacted[] = {ALV_TOPIC_CHANGELOG, ALV_TOPIC_LEDGER};
    for (size_t i = 0; i < 2; i++) {
        assert_true(alv_schema_is_compacted(compacted[i]));
        size_t count = alv_schema_settings(compacted[i], &values, settings);
        assert_string_equal(setting(settings, count, "cleanup.policy"), "compact");
        assert_string_equal(setting(settings, count, "segment.bytes"), "67108864");
        assert_string_equal(setting(settings, count, "segment.ms"), "3600000");
        assert_string_equal(setting(settings, count, "delete.retention.ms"), "86400000");
        assert_string_equal(setting(settings, count, "retention.ms"), "(none)");
    }
}

static void schema__deletes_streams_after_their_own_retention(void **state)
{
    (void)state;
    const alv_settings values = {
        .commands_retention_ms = 1,
        .events_retention_ms = 2,
        .replies_retention_ms = 3,
        .dead_letters_retention_ms = -1, /* for ever */
    };
    const struct {
        alv_topic topic;
        const char *retention;
    } expected[] = {{ALV_TOPIC_COMMANDS, "1"},
                    {ALV_TOPIC_EVENTS, "2"},
                    {ALV_TOPIC_REPLIES, "3"},
                    {ALV_TOPIC_DEAD_LETTERS, "-1"}};
    alv_topic_setting settings[ALV_TOPIC_SETTINGS_MAX];
    for (size_t i = 0; i < 4; i++) {
        assert_false(alv_schema_is_compacted(expected[i].topic));
        size_t count = alv_schema_settings(expected[i].topic, &values, settings);
        assert_string_equal(setting(settings, count, "cleanup.policy"), "delete");
        assert_string_equal(setting(settings, count, "retention.ms"), expected[i].retention);
    }
}

static void schema__position_key_is_no_entity_key(void **state)
{
    (void)state;
    assert_int_equal(strlen(ALV_POSITION_KEY), 9);
    assert_int_equal((unsigned char)ALV_POSITION_KEY[0], 0xff);
}

static void schema__reads_the_position_it_wrote(void **state)
{
    (void)state;
    const int64_t offsets[] = {0, 1, 4711, INT64_MAX};
    const int64_t times[] = {0, 1763690400123, -5, INT64_MIN};
    for (size_t i = 0; i < 4; i++) {
        alv_bytes text = ALV_BYTES_EMPTY;
        int64_t offset = -1;
        int64_t at_ms = -1;
        alv_schema_write_position(offsets[i], times[i], &text);
        assert_int_equal(alv_schema_read_position(alv_bytes_view(&text), &offset, &at_ms, NULL),
                         ALV_OK);
        assert_true(offset == offsets[i]);
        assert_true(at_ms == times[i]);
        alv_bytes_done(&text);
    }
}

static void schema__writes_the_documented_text(void **state)
{
    (void)state;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_schema_write_position(42, 1763690400123, &text);
    assert_true(
        alv_view_equal(alv_bytes_view(&text), ALV_VIEW("{\"commands\":42,\"at\":1763690400123}")));
    alv_bytes_done(&text);
}

static void schema__refuses_what_is_no_position(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "",
        "{}",
        "null",
        "{\"commands\":}",
        "{\"commands\":42}",
        "{\"commands\":42,\"at\":}",
        "{\"commands\":-1,\"at\":1}",
        "{\"commands\":+1,\"at\":1}",
        "{\"commands\":042,\"at\":1}",
        "{\"commands\":4.2,\"at\":1}",
        "{\"commands\":42,\"at\":1",
        "{\"commands\":42,\"at\":1}}",
        "{\"commands\":9223372036854775808,\"at\":1}",
        "{\"commands\":42,\"at\":99999999999999999999}",
    };
    int64_t offset = -7;
    int64_t at_ms = -7;
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        alv_error err = ALV_ERROR_NONE;
        if (alv_schema_read_position(alv_view_of(damaged[i]), &offset, &at_ms, &err) != ALV_REJECT)
            fail_msg("accepted: %s", damaged[i]);
        assert_int_equal(err.status, ALV_REJECT);
    }
    assert_int_equal(alv_schema_read_position(ALV_VIEW_NONE, &offset, &at_ms, NULL), ALV_REJECT);
    assert_true(offset == -7 && at_ms == -7); /* written on success only */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema__names_topics_after_the_application),
        cmocka_unit_test(schema__compacts_state_in_small_segments),
        cmocka_unit_test(schema__deletes_streams_after_their_own_retention),
        cmocka_unit_test(schema__position_key_is_no_entity_key),
        cmocka_unit_test(schema__reads_the_position_it_wrote),
        cmocka_unit_test(schema__writes_the_documented_text),
        cmocka_unit_test(schema__refuses_what_is_no_position),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
