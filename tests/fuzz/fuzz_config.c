/* Goal:   a configuration file is refused with file, line and reason, or means what java.util.Properties would
 *         read; the values in effect are within their bounds, and what --print-config --json shows gives the
 *         same configuration again.
 * Method: the input is a file. What was read is written with every byte escaped that can be, and read again.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/config_internal.h"
#include "base/utf8.h"
#include "tests/support/fuzz_target.h"

/* ---- the file -------------------------------------------------------------------------------- */

static void fuzz_escape(const char *text, alv_bytes *out)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20) {
            alv_bytes_printf(out, "\\u%04X", (unsigned)byte);
        } else if (byte < 0x80 && byte != 't' && byte != 'n' && byte != 'r' && byte != 'f' &&
                   byte != 'u') {
            alv_bytes_printf(out, "\\%c", *text);
        } else {
            alv_bytes_append(out, text, 1);
        }
    }
}

static void fuzz_read_again(const alv_properties *read)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_properties again;
    alv_bytes_append_text(&text, "! what stands at the very beginning may be a byte order mark\n");
    for (size_t i = 0; i < read->count; i++) {
        fuzz_escape(read->items[i].key, &text);
        alv_bytes_append_text(&text, " : ");
        fuzz_escape(read->items[i].value, &text);
        alv_bytes_append_text(&text, "\r\n# a comment \\\n");
    }
    alv_status status = alv_properties_parse(alv_bytes_view(&text), "again", &again, NULL);
    ALV_ASSERT(status == ALV_OK && again.count == read->count);
    for (size_t i = 0; i < read->count; i++) {
        ALV_ASSERT(strcmp(again.items[i].key, read->items[i].key) == 0);
        ALV_ASSERT(strcmp(again.items[i].value, read->items[i].value) == 0);
        ALV_ASSERT(again.items[i].line == 2 * (int)i + 2);
    }
    alv_properties_done(&again);
    alv_bytes_done(&text);
}

static void fuzz_check_properties(const alv_properties *read)
{
    int line = 0;
    for (size_t i = 0; i < read->count; i++) {
        const alv_property *item = &read->items[i];
        ALV_ASSERT(item->key[0] != '\0' && alv_utf8_valid(item->key, strlen(item->key)));
        ALV_ASSERT(alv_utf8_valid(item->value, strlen(item->value)));
        ALV_ASSERT(item->line > line);
        line = item->line;
    }
    fuzz_read_again(read);
}

/* ---- what it means --------------------------------------------------------------------------- */

static void fuzz_check_bounds(const alv_config *config)
{
    for (size_t i = 0; i < alv_config_key_count; i++) {
        const alv_config_key *key = &alv_config_keys[i];
        if (key->type == ALV_CONFIG_INT || key->type == ALV_CONFIG_BYTES) {
            const char *member = (const char *)alv_config_settings(config) + key->offset;
            int64_t value = *(const int64_t *)(const void *)member;
            ALV_ASSERT(value >= key->min && value <= key->max);
        }
    }
}

static json_t *fuzz_print(const alv_config *config)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_config_print(config, true, &text);
    json_t *printed = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
    ALV_ASSERT(json_is_object(printed));
    alv_bytes_clear(&text);
    alv_config_print(config, false, &text);
    ALV_ASSERT(alv_utf8_valid(text.data, text.size));
    alv_bytes_done(&text);
    return printed;
}

/* Sets one key as it was printed, unless that was not all of it. */
static void fuzz_set_printed(alv_config *config, const char *name, const json_t *value)
{
    size_t index = alv_config_key_find(name);
    if (index == alv_config_key_count || alv_config_keys[index].secret ||
        alv_config_keys[index].hidden || json_is_null(value)) {
        return;
    }
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
    alv_bytes assignment = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&assignment, name);
    alv_bytes_append_text(&assignment, "=");
    alv_bytes_append_text(&assignment, text != NULL ? text : json_string_value(value));
    alv_bytes_append(&assignment, "", 1);
    ALV_ASSERT(alv_config_set(config, assignment.data, NULL) == ALV_OK);
    alv_bytes_done(&assignment);
    free(text);
}

static void fuzz_compare(const json_t *printed, const json_t *again)
{
    for (size_t i = 0; i < alv_config_key_count; i++) {
        const alv_config_key *key = &alv_config_keys[i];
        if (!key->secret && !key->hidden) {
            const json_t *value = json_object_get(json_object_get(printed, key->name), "value");
            const json_t *same = json_object_get(json_object_get(again, key->name), "value");
            ALV_ASSERT(json_equal(value, same));
        }
    }
}

static void fuzz_use_printed(const alv_config *config)
{
    json_t *printed = fuzz_print(config);
    alv_config *second = alv_config_new();
    const char *name;
    json_t *item;
    json_object_foreach(printed, name, item)
    {
        fuzz_set_printed(second, name, json_object_get(item, "value"));
    }
    json_t *again = fuzz_print(second);
    fuzz_compare(printed, again);
    json_decref(again);
    json_decref(printed);
    alv_config_free(second);
}

/* A file with secrets names other files, which are no input of ours. */
static bool fuzz_names_files(const alv_properties *read)
{
    for (size_t i = 0; i < read->count; i++) {
        if (strcmp(read->items[i].key, "http.auth.token.file") == 0) {
            return true;
        }
    }
    return false;
}

static void fuzz_take(const alv_properties *read)
{
    alv_config *config = alv_config_new();
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_config_apply(config, read, "input", &err);
    if (status == ALV_OK) {
        status = alv_config_finish(config, &err);
    }
    if (status == ALV_OK) {
        fuzz_check_bounds(config);
        fuzz_use_printed(config);
    } else {
        ALV_ASSERT(status == ALV_REJECT);
        alv_fuzz_check_refusal(&err);
    }
    alv_config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_properties read;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_properties_parse(alv_fuzz_view(data, size), "input", &read, &err);
    if (status != ALV_OK) {
        ALV_ASSERT(status == ALV_REJECT && read.count == 0);
        ALV_ASSERT(strncmp(err.text, "input:", 6) == 0);
        alv_fuzz_check_refusal(&err);
        return 0;
    }
    fuzz_check_properties(&read);
    if (!fuzz_names_files(&read)) {
        fuzz_take(&read);
    }
    alv_properties_done(&read);
    return 0;
}
