#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config_internal.h"
#include "base/utf8.h"

#define CONFIG_HIDDEN "***"

/* ---- secrets --------------------------------------------------------------------------------- */

/* Length of a value in a libpq connection string: 'quoted with \ escapes', or up to a blank. */
static size_t config_keyword_value_size(const char *value)
{
    if (*value != '\'') {
        return strcspn(value, " \t\r\n");
    }
    size_t size = 1;
    while (value[size] != '\0' && value[size] != '\'') {
        size += value[size] == '\\' && value[size + 1] != '\0' ? 2 : 1;
    }
    return value[size] == '\0' ? size : size + 1;
}

/* Hides the values behind "password =" and "...secret=", in a URL's query or in a connection
 * string. */
static void config_hide_parameters(const char *text, bool is_url, alv_bytes *out)
{
    while (*text != '\0') {
        size_t name_size = strncasecmp(text, "password", 8) == 0 ? 8
                           : strncasecmp(text, "secret", 6) == 0 ? 6
                                                                 : 0;
        size_t value_at = name_size + strspn(text + name_size, " \t");
        if (name_size == 0 || text[value_at] != '=') {
            alv_bytes_append(out, text++, 1);
            continue;
        }
        value_at++;
        if (!is_url) {
            value_at += strspn(text + value_at, " \t");
        }
        alv_bytes_append(out, text, value_at);
        alv_bytes_append_text(out, CONFIG_HIDDEN);
        const char *value = text + value_at;
        text = value + (is_url ? strcspn(value, "&") : config_keyword_value_size(value));
    }
}

/* The value of postgres.url without its passwords. In "scheme://user:password@host" everything from
 * the first ':' to the last '@' goes, so that a password which is not encoded as it should be stays
 * hidden too. */
void alv_config_hide_passwords(const char *url, alv_bytes *out)
{
    const char *scheme = strstr(url, "://");
    if (scheme == NULL) {
        config_hide_parameters(url, false, out);
        return;
    }
    const char *user = scheme + strlen("://");
    const char *colon = strchr(user, ':');
    const char *at = strrchr(user, '@');
    if (colon != NULL && at != NULL && colon < at) {
        alv_bytes_append(out, url, (size_t)(colon + 1 - url));
        alv_bytes_append_text(out, CONFIG_HIDDEN);
        url = at;
    }
    config_hide_parameters(url, true, out);
}

/* ---- one item: a key of ours or of librdkafka's ---------------------------------------------- */

typedef void (*config_show)(void *payload, const char *key, const char *value, size_t index,
                            const alv_config_origin *origin);

/* Calls `show` for everything; `index` is that of our own key, or alv_config_key_count. */
static void config_each(const alv_config *config, config_show show, void *payload)
{
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_bytes shown = ALV_BYTES_EMPTY;
    for (size_t i = 0; i < alv_config_key_count; i++) {
        alv_config_value_text(config, i, &value);
        alv_bytes_append(&value, "", 1);
        alv_bytes_clear(&shown);
        if (config->origins[i].reference != NULL) {
            alv_bytes_append_text(&shown, config->origins[i].reference);
        } else if (alv_config_keys[i].hidden && *value.data != '\0') {
            alv_bytes_append_text(&shown, CONFIG_HIDDEN);
        } else if (alv_config_keys[i].secret) {
            alv_config_hide_passwords(value.data, &shown);
        } else {
            alv_bytes_append_text(&shown, value.data);
        }
        alv_bytes_append(&shown, "", 1);
        show(payload, alv_config_keys[i].name, shown.data, i, &config->origins[i]);
    }
    for (size_t i = 0; i < config->kafka_count; i++) {
        const alv_property *kafka = &config->kafka[i];
        const char *reference = config->kafka_origins[i].reference;
        char *key = alv_format("kafka.%s", kafka->key);
        const char *plain = alv_config_is_secret_name(key) ? CONFIG_HIDDEN : kafka->value;
        show(payload, key, reference != NULL ? reference : plain, alv_config_key_count,
             &config->kafka_origins[i]);
        alv_free(key);
    }
    alv_bytes_done(&shown);
    alv_bytes_done(&value);
}

/* ---- as lines -------------------------------------------------------------------------------- */

/* One item is one line: control characters are written as they would be in the file. */
static void config_append_escaped(alv_bytes *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '\\') {
            alv_bytes_append_text(out, "\\\\");
        } else if (c < 0x20 || c == 0x7f) {
            alv_bytes_printf(out, "\\u%04x", c);
        } else {
            alv_bytes_append(out, text, 1);
        }
    }
}

static void config_show_line(void *payload, const char *key, const char *value, size_t index,
                             const alv_config_origin *origin)
{
    alv_bytes *out = payload;
    (void)index;
    config_append_escaped(out, key);
    alv_bytes_append_text(out, "=");
    config_append_escaped(out, value);
    alv_bytes_append_text(out, "  # ");
    config_append_escaped(out, alv_config_origin_text(origin));
    alv_bytes_append_text(out, "\n");
}

/* ---- as JSON --------------------------------------------------------------------------------- */

typedef struct config_json {
    const alv_config *config;
    json_t *object;
} config_json;

/* Numbers and truth values as such, bytes as a plain number, what is not set as null. */
static json_t *config_json_value(const alv_config *config, const char *value, size_t index)
{
    if (index == alv_config_key_count) {
        return json_string(value);
    }
    const alv_config_key *key = &alv_config_keys[index];
    const char *member = (const char *)&config->settings + key->offset;
    switch (key->type) {
    case ALV_CONFIG_INT:
    case ALV_CONFIG_BYTES:
        return json_integer(*(const int64_t *)(const void *)member);
    case ALV_CONFIG_BOOL:
        return json_boolean(*(const bool *)(const void *)member);
    case ALV_CONFIG_TEXT:
    case ALV_CONFIG_LIST:
    case ALV_CONFIG_CHOICE:
        break;
    }
    return *value == '\0' ? json_null() : json_string(value);
}

static void config_show_json(void *payload, const char *key, const char *value, size_t index,
                             const alv_config_origin *origin)
{
    config_json *json = payload;
    /* The origin may be a path in whatever encoding the file system has. */
    char *place = alv_strdup(alv_config_origin_text(origin));
    alv_utf8_repair(place);
    json_t *item = json_pack("{s:o, s:s}", "value", config_json_value(json->config, value, index),
                             "origin", place);
    ALV_ASSERT(item != NULL);
    int failed = json_object_set_new(json->object, key, item);
    ALV_ASSERT(failed == 0);
    alv_free(place);
}

static int config_append_json(const char *piece, size_t size, void *payload)
{
    alv_bytes_append(payload, piece, size);
    return 0;
}

static void config_print_json(const alv_config *config, alv_bytes *out)
{
    config_json json = {config, json_object()};
    ALV_ASSERT(json.object != NULL);
    config_each(config, config_show_json, &json);
    int failed = json_dump_callback(json.object, config_append_json, out, JSON_INDENT(2));
    ALV_ASSERT(failed == 0);
    alv_bytes_append_text(out, "\n");
    json_decref(json.object);
}

void alv_config_print(const alv_config *config, bool json, alv_bytes *out)
{
    if (json) {
        config_print_json(config, out);
    } else {
        config_each(config, config_show_line, out);
    }
}

/* ---- the table of keys ----------------------------------------------------------------------- */

static void config_append_default(alv_bytes *out, const alv_config_key *key)
{
    if (key->fallback != NULL) {
        alv_bytes_printf(out, "`%s`", key->fallback);
    } else {
        alv_bytes_append_text(out, key->computed != NULL ? key->computed : "none");
    }
}

void alv_config_describe(alv_bytes *out)
{
    alv_bytes_append_text(out, "| key | default | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < alv_config_key_count; i++) {
        const alv_config_key *key = &alv_config_keys[i];
        alv_bytes_printf(out, "| `%s` | ", key->name);
        config_append_default(out, key);
        alv_bytes_printf(out, " | %s%s |\n", key->meaning,
                         key->only != NULL ? " (not yet available)" : "");
    }
    alv_bytes_append_text(out, "| `kafka.*` | none | handed to librdkafka |\n");
}
