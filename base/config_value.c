#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config_internal.h"

typedef struct config_unit {
    const char *name;
    int64_t bytes;
} config_unit;

/* Largest first: printing takes the first one that divides the number. */
static const config_unit config_units[] = {
    {"TiB", (int64_t)1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1},
};

#define CONFIG_UNIT_COUNT (sizeof config_units / sizeof config_units[0])

static void *config_member(alv_config *config, const alv_config_key *key)
{
    return (char *)&config->settings + key->offset;
}

static const void *config_member_const(const alv_config *config, const alv_config_key *key)
{
    return (const char *)&config->settings + key->offset;
}

static bool config_is_text(const alv_config_key *key)
{
    return key->type == ALV_CONFIG_TEXT || key->type == ALV_CONFIG_LIST ||
           key->type == ALV_CONFIG_CHOICE;
}

/* ---- what a value must look like ------------------------------------------------------------- */

static void config_append_size(alv_bytes *out, int64_t value)
{
    size_t unit = 0;
    while (value % config_units[unit].bytes != 0 || value / config_units[unit].bytes == 0) {
        if (config_units[unit].bytes == 1) {
            break;
        }
        unit++;
    }
    alv_bytes_printf(out, "%" PRId64 "%s", value / config_units[unit].bytes,
                     config_units[unit].name);
}

/* "a whole number from 1 to 64", for messages. */
static void config_append_rule(alv_bytes *out, const alv_config_key *key)
{
    switch (key->type) {
    case ALV_CONFIG_TEXT:
    case ALV_CONFIG_LIST:
        alv_bytes_append_text(out, "a text that is not empty");
        return;
    case ALV_CONFIG_INT:
        alv_bytes_printf(out, "%sa whole number from %" PRId64 " to %" PRId64,
                         key->min == -1 ? "-1 or " : "", key->min == -1 ? 1 : key->min, key->max);
        return;
    case ALV_CONFIG_BYTES:
        alv_bytes_append_text(out, "a number of bytes, plain or like 512MiB, from ");
        config_append_size(out, key->min);
        alv_bytes_append_text(out, " to ");
        config_append_size(out, key->max);
        return;
    case ALV_CONFIG_BOOL:
        alv_bytes_append_text(out, "true or false");
        return;
    case ALV_CONFIG_CHOICE:
        for (const char *c = key->choices; *c != '\0'; c++) {
            if (*c == '|') {
                alv_bytes_append_text(out, " or ");
            } else {
                alv_bytes_append(out, c, 1);
            }
        }
        return;
    }
}

static alv_status config_refuse(const alv_config_key *key, const char *text, const char *place,
                                alv_error *err)
{
    alv_bytes rule = ALV_BYTES_EMPTY;
    config_append_rule(&rule, key);
    (void)alv_fail(err, ALV_REJECT, "%s: %s=%s: must be %.*s", place, key->name,
                   key->secret || key->hidden ? "***" : text, (int)rule.size, rule.data);
    alv_bytes_done(&rule);
    return ALV_REJECT;
}

/* ---- parsing --------------------------------------------------------------------------------- */

/* Digits with an optional minus; `out_rest` is what follows. strtoll alone would also take leading
 * blanks and a plus. */
static bool config_parse_digits(const char *text, int64_t *out, const char **out_rest)
{
    const char *digits = *text == '-' ? text + 1 : text;
    if (*digits < '0' || *digits > '9') {
        return false;
    }
    errno = 0;
    char *rest;
    long long value = strtoll(text, &rest, 10);
    if (errno == ERANGE) {
        return false;
    }
    *out = value;
    *out_rest = rest;
    return true;
}

static bool config_parse_int(const alv_config_key *key, const char *text, int64_t *out)
{
    const char *rest;
    int64_t value;
    if (!config_parse_digits(text, &value, &rest) || *rest != '\0') {
        return false;
    }
    if (value < key->min || value > key->max) {
        return false;
    }
    if (value == 0 && key->min == -1) {
        return false;
    }
    *out = value;
    return true;
}

static bool config_parse_bytes(const alv_config_key *key, const char *text, int64_t *out)
{
    const char *rest;
    int64_t value;
    if (!config_parse_digits(text, &value, &rest)) {
        return false;
    }
    rest += strspn(rest, " \t");
    for (size_t i = 0; i < CONFIG_UNIT_COUNT; i++) {
        if (strcasecmp(rest, config_units[i].name) != 0) {
            continue;
        }
        /* A division, so that the product cannot overflow. */
        if (value < 0 || value > key->max / config_units[i].bytes) {
            return false;
        }
        value *= config_units[i].bytes;
        if (value < key->min) {
            return false;
        }
        *out = value;
        return true;
    }
    return false;
}

static bool config_parse_bool(const char *text, bool *out)
{
    bool yes = strcasecmp(text, "true") == 0;
    if (!yes && strcasecmp(text, "false") != 0) {
        return false;
    }
    *out = yes;
    return true;
}

static bool config_is_choice(const alv_config_key *key, const char *text)
{
    size_t length = strlen(text);
    const char *choice = key->choices;
    for (;;) {
        size_t choice_length = strcspn(choice, "|");
        if (choice_length == length && memcmp(choice, text, length) == 0) {
            return true;
        }
        if (choice[choice_length] == '\0') {
            return false;
        }
        choice += choice_length + 1;
    }
}

/* " a, b ,,c" -> "a,b,c". */
static char *config_tidy_list(const char *text)
{
    char *list = alv_alloc(strlen(text) + 1);
    size_t size = 0;
    while (*text != '\0') {
        text += strspn(text, ", \t");
        size_t length = strcspn(text, ",");
        size_t next = length;
        while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t')) {
            length--;
        }
        if (length > 0 && size > 0) {
            list[size++] = ',';
        }
        memcpy(list + size, text, length);
        size += length;
        text += next;
    }
    list[size] = '\0';
    return list;
}

/* NULL when it will not do. An empty one is kept as NULL in the settings, see `fallback`. */
static char *config_parse_text(const alv_config_key *key, const char *text)
{
    char *value = key->type == ALV_CONFIG_LIST ? config_tidy_list(text) : alv_strdup(text);
    bool fits = *value != '\0' || key->fallback == NULL;
    if (key->type == ALV_CONFIG_CHOICE && *value != '\0') {
        fits = config_is_choice(key, value);
    }
    if (!fits) {
        alv_free(value);
        return NULL;
    }
    return value;
}

static bool config_set_text(alv_config *config, size_t index, const char *text)
{
    const alv_config_key *key = &alv_config_keys[index];
    char *value = config_parse_text(key, text);
    if (value == NULL) {
        return false;
    }
    alv_free(config->texts[index]);
    config->texts[index] = value;
    *(const char **)config_member(config, key) = *value == '\0' ? NULL : value;
    return true;
}

static bool config_set_member(alv_config *config, size_t index, const char *text)
{
    const alv_config_key *key = &alv_config_keys[index];
    if (config_is_text(key)) {
        return config_set_text(config, index, text);
    }
    if (*text == '\0' && key->fallback == NULL) { /* not set; alv_config_finish computes it */
        *(int64_t *)config_member(config, key) = 0;
        return true;
    }
    if (key->type == ALV_CONFIG_BOOL) {
        return config_parse_bool(text, config_member(config, key));
    }
    if (key->type == ALV_CONFIG_BYTES) {
        return config_parse_bytes(key, text, config_member(config, key));
    }
    return config_parse_int(key, text, config_member(config, key));
}

/* ---- for the other files --------------------------------------------------------------------- */

alv_status alv_config_value_set(alv_config *config, size_t index, const char *text,
                                const char *place, alv_error *err)
{
    ALV_ASSERT(index < alv_config_key_count);
    const alv_config_key *key = &alv_config_keys[index];
    if (!config_set_member(config, index, text)) {
        ALV_ASSERT(place != NULL); /* the table's own defaults are fine */
        return config_refuse(key, text, place, err);
    }
    if (key->only == NULL || place == NULL) {
        return ALV_OK;
    }

    alv_bytes written = ALV_BYTES_EMPTY;
    alv_config_value_text(config, index, &written);
    bool accepted = alv_view_equal(alv_bytes_view(&written), alv_view_of(key->only));
    alv_bytes_done(&written);
    if (accepted) {
        return ALV_OK;
    }
    if (strcmp(key->only, ALV_CONFIG_NOTHING) == 0) {
        return alv_fail(err, ALV_REJECT, "%s: %s: not yet available; leave it out", place,
                        key->name);
    }
    return alv_fail(err, ALV_REJECT, "%s: %s=%s: not yet available; leave it out or %s%s", place,
                    key->name, text, *key->only == '\0' ? "empty" : "write ", key->only);
}

void alv_config_value_text(const alv_config *config, size_t index, alv_bytes *out)
{
    ALV_ASSERT(index < alv_config_key_count);
    const alv_config_key *key = &alv_config_keys[index];
    const void *member = config_member_const(config, key);
    alv_bytes_clear(out);
    if (config_is_text(key)) {
        const char *text = *(const char *const *)member;
        alv_bytes_append_text(out, text == NULL ? "" : text);
    } else if (key->type == ALV_CONFIG_BOOL) {
        alv_bytes_append_text(out, *(const bool *)member ? "true" : "false");
    } else if (key->type == ALV_CONFIG_BYTES) {
        config_append_size(out, *(const int64_t *)member);
    } else {
        alv_bytes_printf(out, "%" PRId64, *(const int64_t *)member);
    }
}
