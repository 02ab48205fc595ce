/* schema.c — names, policies and the position record. */
#include "topics/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/decimal.h"
#include "base/table_list.h"

/* Compacted topics: the active segment is never compacted, so it must not grow large or old. */
#define SEGMENT_BYTES "67108864" /* 64 MiB */
#define SEGMENT_MS "3600000"     /* 1 h */
/* Compact once a tenth is superseded: restores read what compaction left over. */
#define DIRTY_RATIO "0.1"

const char *alv_schema_suffix(alv_topic topic)
{
    static const char *const suffixes[ALV_TOPIC_COUNT] = {
        [ALV_TOPIC_COMMANDS] = "commands", [ALV_TOPIC_CHANGELOG] = "changelog",
        [ALV_TOPIC_LEDGER] = "ledger",     [ALV_TOPIC_EVENTS] = "events",
        [ALV_TOPIC_REPLIES] = "replies",   [ALV_TOPIC_DEAD_LETTERS] = "dead-letters",
    };
    ALV_ASSERT(topic < ALV_TOPIC_COUNT);
    return suffixes[topic];
}

void alv_schema_name(const char *application_id, alv_topic topic, char *out, size_t size)
{
    int length = snprintf(out, size, "%s.%s", application_id, alv_schema_suffix(topic));
    ALV_ASSERT(length > 0 && (size_t)length < size);
}

/* The configuration was checked when it was finished. */
static alv_table_list schema_tables(const alv_settings *settings)
{
    alv_table_list list;
    alv_status status = alv_table_list_parse(settings->global_tables, &list, NULL);
    ALV_ASSERT(status == ALV_OK);
    return list;
}

size_t alv_schema_topic_count(const alv_settings *settings)
{
    return ALV_TOPIC_COUNT + schema_tables(settings).count;
}

void alv_schema_topic_name(const alv_settings *settings, alv_topic topic, char *out, size_t size)
{
    if (topic < ALV_TOPIC_COUNT) {
        alv_schema_name(settings->application_id, topic, out, size);
        return;
    }
    alv_table_list list = schema_tables(settings);
    ALV_ASSERT((size_t)topic - ALV_TOPIC_COUNT < list.count);
    snprintf(out, size, "%s", list.items[topic - ALV_TOPIC_COUNT].topic);
}

alv_status alv_schema_check_tables(const alv_settings *settings, alv_error *err)
{
    alv_table_list list = schema_tables(settings);
    for (size_t i = 0; i < list.count; i++) {
        for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
            char name[ALV_TOPIC_NAME_BYTES];
            alv_schema_name(settings->application_id, (alv_topic)topic, name, sizeof(name));
            if (strcmp(name, list.items[i].topic) == 0) {
                return alv_fail(err, ALV_REJECT,
                                "global.tables: %s is a topic of the application itself", name);
            }
        }
    }
    return ALV_OK;
}

bool alv_schema_is_compacted(alv_topic topic)
{
    return topic == ALV_TOPIC_CHANGELOG || topic == ALV_TOPIC_LEDGER || topic >= ALV_TOPIC_COUNT;
}

static void setting_add_text(alv_topic_setting *out, size_t *count, const char *name,
                             const char *value)
{
    ALV_ASSERT(*count < ALV_TOPIC_SETTINGS_MAX);
    out[*count].name = name;
    snprintf(out[*count].value, sizeof(out[*count].value), "%s", value);
    (*count)++;
}

static void setting_add_number(alv_topic_setting *out, size_t *count, const char *name,
                               int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    setting_add_text(out, count, name, text);
}

static int64_t schema_retention_ms(alv_topic topic, const alv_settings *settings)
{
    switch (topic) {
    case ALV_TOPIC_COMMANDS:
        return settings->commands_retention_ms;
    case ALV_TOPIC_EVENTS:
        return settings->events_retention_ms;
    case ALV_TOPIC_REPLIES:
        return settings->replies_retention_ms;
    case ALV_TOPIC_DEAD_LETTERS:
        return settings->dead_letters_retention_ms;
    case ALV_TOPIC_CHANGELOG:
    case ALV_TOPIC_LEDGER:
    case ALV_TOPIC_COUNT:
        break;
    }
    ALV_ASSERT(false && "a compacted topic has no retention");
    return 0;
}

size_t alv_schema_settings(alv_topic topic, const alv_settings *settings,
                           alv_topic_setting out[ALV_TOPIC_SETTINGS_MAX])
{
    size_t count = 0;
    if (alv_schema_is_compacted(topic)) {
        setting_add_text(out, &count, "cleanup.policy", "compact");
        setting_add_text(out, &count, "segment.bytes", SEGMENT_BYTES);
        setting_add_text(out, &count, "segment.ms", SEGMENT_MS);
        setting_add_text(out, &count, "min.cleanable.dirty.ratio", DIRTY_RATIO);
        setting_add_number(out, &count, "delete.retention.ms", settings->tombstone_retention_ms);
    } else {
        setting_add_text(out, &count, "cleanup.policy", "delete");
        setting_add_number(out, &count, "retention.ms", schema_retention_ms(topic, settings));
    }
    return count;
}

void alv_schema_write_position(int64_t next_command_offset, int64_t at_ms, alv_bytes *out)
{
    ALV_ASSERT(next_command_offset >= 0);
    alv_bytes_printf(out, "{\"commands\":%" PRId64 ",\"at\":%" PRId64 "}", next_command_offset,
                     at_ms);
}

/* Takes `expected` off the front of the text. */
static bool position_skip(alv_view *text, const char *expected)
{
    size_t size = strlen(expected);
    if (text->size < size || memcmp(text->data, expected, size) != 0) {
        return false;
    }
    text->data += size;
    text->size -= size;
    return true;
}

/* Only what alv_schema_write_position writes is accepted. A looser reader would take a record that
 * somebody else put there for a position, and commands would be skipped. */
alv_status alv_schema_read_position(alv_view value, int64_t *out_next_command_offset,
                                    int64_t *out_at_ms, alv_error *err)
{
    alv_view rest = value;
    int64_t offset = 0;
    int64_t at_ms = 0; /* a producer may send any time */
    bool valid = value.data != NULL && position_skip(&rest, "{\"commands\":") &&
                 alv_decimal_take(&rest, &offset) && offset >= 0 &&
                 position_skip(&rest, ",\"at\":") && alv_decimal_take(&rest, &at_ms) &&
                 position_skip(&rest, "}") && rest.size == 0;
    if (!valid) {
        return alv_fail(err, ALV_REJECT, "not a position record: %.*s",
                        value.size > 80 ? 80 : (int)value.size,
                        value.data == NULL ? "" : value.data);
    }
    *out_next_command_offset = offset;
    *out_at_ms = at_ms;
    return ALV_OK;
}
