#include "base/config.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config_internal.h"
#include "base/utf8.h"

#define CONFIG_KAFKA_PREFIX "kafka."
#define CONFIG_COMMAND_LINE "-X"

alv_config *alv_config_new(void)
{
    alv_config *config = alv_alloc(sizeof *config);
    config->texts = alv_alloc_array(alv_config_key_count, sizeof *config->texts);
    config->origins = alv_alloc_array(alv_config_key_count, sizeof *config->origins);
    for (size_t i = 0; i < alv_config_key_count; i++) {
        const char *fallback = alv_config_keys[i].fallback;
        if (fallback != NULL) {
            (void)alv_config_value_set(config, i, fallback, NULL, NULL); /* asserts that it fits */
        }
    }
    return config;
}

const char *alv_config_origin_text(const alv_config_origin *origin)
{
    if (origin->place != NULL) {
        return origin->place;
    }
    return origin->rank == ALV_CONFIG_COMPUTED ? "computed" : "default";
}

static void config_set_origin(alv_config_origin *origin, alv_config_rank rank, const char *place,
                              const char *reference)
{
    alv_free(origin->place);
    alv_free(origin->reference);
    origin->rank = rank;
    origin->place = alv_strdup(place);
    origin->reference = reference != NULL ? alv_strdup(reference) : NULL;
}

static bool config_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

/* A copy without blanks at its ends, which nobody sees in a file; Kafka's own settings lose them
 * as well. */
static char *config_trimmed(alv_view text)
{
    while (text.size > 0 && config_is_blank(text.data[0])) {
        text = (alv_view){text.data + 1, text.size - 1};
    }
    while (text.size > 0 && config_is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return alv_strndup(text.data, text.size);
}

/* ---- settings of librdkafka ------------------------------------------------------------------ */

/* Index of the setting, or kafka_count. */
static size_t config_kafka_find(const alv_config *config, const char *name)
{
    size_t index = 0;
    while (index < config->kafka_count && strcmp(config->kafka[index].key, name) != 0) {
        index++;
    }
    return index;
}

static size_t config_kafka_add(alv_config *config, const char *name)
{
    size_t index = config->kafka_count++;
    config->kafka = alv_realloc(config->kafka, config->kafka_count * sizeof *config->kafka);
    config->kafka_origins =
        alv_realloc(config->kafka_origins, config->kafka_count * sizeof *config->kafka_origins);
    config->kafka[index] = (alv_property){.key = alv_strdup(name)};
    config->kafka_origins[index] = (alv_config_origin){0};
    return index;
}

static alv_status config_kafka_take(alv_config *config, const alv_property *given,
                                    alv_config_rank rank, const char *place, alv_error *err)
{
    const char *name = given->key + strlen(CONFIG_KAFKA_PREFIX);
    size_t index = config_kafka_find(config, name);
    if (index < config->kafka_count && rank < config->kafka_origins[index].rank) {
        return ALV_OK;
    }
    char *value = NULL;
    alv_status status = alv_config_dereference(place, given->key, given->value, true, &value, err);
    if (status != ALV_OK) {
        return status;
    }
    if (index == config->kafka_count) {
        index = config_kafka_add(config, name);
    }
    alv_property *property = &config->kafka[index];
    config_set_origin(&config->kafka_origins[index], rank, place,
                      value != NULL ? given->value : NULL);
    alv_free(property->value);
    property->value = value != NULL ? value : alv_strdup(given->value);
    property->line = given->line;
    return ALV_OK;
}

/* ---- settings of ours ------------------------------------------------------------------------ */

static alv_status config_unknown(const char *key, const char *place, alv_error *err)
{
    const char *nearest = alv_config_key_nearest(key);
    if (nearest != NULL) {
        return alv_fail(err, ALV_REJECT, "%s: unknown key '%s': did you mean '%s'?", place, key,
                        nearest);
    }
    return alv_fail(err, ALV_REJECT,
                    "%s: unknown key '%s' (settings of librdkafka are written kafka.NAME)", place,
                    key);
}

/* One key that somebody wrote; the value has no blanks at its ends. */
static alv_status config_take(alv_config *config, const alv_property *given, alv_config_rank rank,
                              const char *place, alv_error *err)
{
    alv_view key = alv_view_of(given->key);
    if (alv_view_starts_with(key, ALV_VIEW(CONFIG_KAFKA_PREFIX)) &&
        key.size > strlen(CONFIG_KAFKA_PREFIX)) {
        return config_kafka_take(config, given, rank, place, err);
    }
    size_t index = alv_config_key_find(given->key);
    if (index == alv_config_key_count) {
        return config_unknown(given->key, place, err);
    }
    if (rank < config->origins[index].rank) {
        return ALV_OK;
    }
    const alv_config_key *row = &alv_config_keys[index];
    char *value = NULL;
    alv_status status = alv_config_dereference(place, given->key, given->value,
                                               row->secret || row->hidden, &value, err);
    if (status == ALV_OK) {
        const char *text = value != NULL ? value : given->value;
        status = alv_config_value_set(config, index, text, place, err);
    }
    if (status == ALV_OK) {
        config_set_origin(&config->origins[index], rank, place,
                          value != NULL ? given->value : NULL);
    }
    alv_free(value);
    return status;
}

alv_status alv_config_apply(alv_config *config, const alv_properties *properties,
                            const char *origin, alv_error *err)
{
    alv_status status = ALV_OK;
    for (size_t i = 0; i < properties->count && status == ALV_OK; i++) {
        const alv_property *property = &properties->items[i];
        alv_property given = {property->key, config_trimmed(alv_view_of(property->value)),
                              property->line};
        char *place = alv_format("%s:%d", origin, property->line);
        status = config_take(config, &given, ALV_CONFIG_FILE, place, err);
        alv_free(place);
        alv_free(given.value);
    }
    return status;
}

alv_status alv_config_set(alv_config *config, const char *assignment, alv_error *err)
{
    const char *equals = strchr(assignment, '=');
    if (!alv_utf8_valid(assignment, strlen(assignment))) {
        return alv_fail(err, ALV_REJECT, CONFIG_COMMAND_LINE ": not UTF-8 text: %s", assignment);
    }
    if (equals == NULL || equals == assignment) {
        return alv_fail(err, ALV_REJECT, CONFIG_COMMAND_LINE " %s: must be key=value", assignment);
    }
    alv_view key = {assignment, (size_t)(equals - assignment)};
    alv_property given = {config_trimmed(key), config_trimmed(alv_view_of(equals + 1)), 0};
    alv_status status =
        config_take(config, &given, ALV_CONFIG_COMMAND_LINE, CONFIG_COMMAND_LINE, err);
    alv_free(given.key);
    alv_free(given.value);
    return status;
}

/* ---- what is in effect ----------------------------------------------------------------------- */

const alv_settings *alv_config_settings(const alv_config *config)
{
    return &config->settings;
}

bool alv_config_is_set(const alv_config *config, const char *key)
{
    size_t index = alv_config_key_find(key);
    ALV_ASSERT(index < alv_config_key_count);
    return config->origins[index].rank >= ALV_CONFIG_FILE;
}

const alv_property *alv_config_kafka(const alv_config *config, size_t *out_count)
{
    *out_count = config->kafka_count;
    return config->kafka;
}

void alv_config_free(alv_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < alv_config_key_count; i++) {
        alv_free(config->texts[i]);
        alv_free(config->origins[i].place);
        alv_free(config->origins[i].reference);
    }
    for (size_t i = 0; i < config->kafka_count; i++) {
        alv_free(config->kafka[i].key);
        alv_free(config->kafka[i].value);
        alv_free(config->kafka_origins[i].place);
        alv_free(config->kafka_origins[i].reference);
    }
    alv_free(config->texts);
    alv_free(config->origins);
    alv_free(config->kafka);
    alv_free(config->kafka_origins);
    alv_free(config);
}
