/* config_secret.c — which settings are secrets, and secrets that stand elsewhere: ${file:PATH} and ${env:NAME}
 * as the whole of a value.
 *
 * A configuration file is copied, mailed and put under version control, and a command line is seen by
 * everybody on the host; a secret should be in neither. Only values that are never printed may be references:
 * the message about another one that is wrong would quote what stands in the file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config_internal.h"

bool alv_config_is_secret_name(const char *name)
{
    static const char *const parts[] = {"password", "passphrase", "secret",
                                        "key.pem",  "jaas",       "oauthbearer.config"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcasestr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

bool alv_config_kafka_is_secret(const alv_config *config, size_t index)
{
    return config->kafka_origins[index].reference != NULL ||
           alv_config_is_secret_name(config->kafka[index].key);
}

static bool secret_is_exposed(const alv_config_origin *origin)
{
    return origin->rank == ALV_CONFIG_COMMAND_LINE && origin->reference == NULL;
}

/* Whether there is anything in the value that would not be printed. */
static bool secret_is_in(const alv_config_key *key, const char *value)
{
    if (value == NULL || *value == '\0') {
        return false;
    }
    if (!key->secret) {
        return key->hidden;
    }
    alv_bytes shown = ALV_BYTES_EMPTY;
    alv_config_hide_passwords(value, &shown);
    bool is_whole = alv_view_equal(alv_bytes_view(&shown), alv_view_of(value));
    alv_bytes_done(&shown);
    return !is_whole;
}

const char *alv_config_exposed(const alv_config *config)
{
    for (size_t i = 0; i < alv_config_key_count; i++) {
        if (secret_is_exposed(&config->origins[i]) &&
            secret_is_in(&alv_config_keys[i], config->texts[i])) {
            return alv_config_keys[i].name;
        }
    }
    for (size_t i = 0; i < config->kafka_count; i++) {
        if (alv_config_is_secret_name(config->kafka[i].key) &&
            secret_is_exposed(&config->kafka_origins[i])) {
            return config->kafka[i].key;
        }
    }
    return NULL;
}

/* ---- references ------------------------------------------------------------------------------ */

/* Enough for certificates with their chain, and too little for a wrong file to do harm. */
#define REFERENCE_BYTES_MAX (64 * 1024)

/* The part between "${KIND:" and "}"; false when the text is not of that form. */
static bool reference_parse(const char *text, const char *start, char **out)
{
    size_t length = strlen(text);
    size_t start_length = strlen(start);
    if (strncmp(text, start, start_length) != 0 || text[length - 1] != '}') {
        return false;
    }
    *out = alv_strndup(text + start_length, length - start_length - 1);
    return true;
}

static void reference_trim(char *value)
{
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == '\n' || value[size - 1] == '\r')) {
        value[--size] = '\0';
    }
}

static alv_status reference_read(const char *place, const char *key, const char *path, char **out,
                                 alv_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int code = errno;
        return alv_fail_from(err, ALV_REJECT, "errno", code, "%s: %s=${file:%s}: %s", place, key,
                             path, strerror(code));
    }
    char *value = alv_alloc(REFERENCE_BYTES_MAX + 2);
    size_t size = fread(value, 1, REFERENCE_BYTES_MAX + 1, file);
    bool failed = ferror(file) != 0;
    (void)fclose(file); /* it was only read */
    if (failed || size > REFERENCE_BYTES_MAX || memchr(value, '\0', size) != NULL) {
        explicit_bzero(value, REFERENCE_BYTES_MAX + 2);
        alv_free(value);
        return alv_fail(err, ALV_REJECT, "%s: %s=${file:%s}: must be text of at most %d bytes",
                        place, key, path, REFERENCE_BYTES_MAX);
    }
    *out = value; /* alv_alloc has ended it with a NUL */
    return ALV_OK;
}

static alv_status reference_ask(const char *place, const char *key, const char *name, char **out,
                                alv_error *err)
{
    const char *value = getenv(name);
    if (value == NULL) {
        return alv_fail(err, ALV_REJECT,
                        "%s: %s=${env:%s}: there is no such variable in the "
                        "environment",
                        place, key, name);
    }
    *out = alv_strdup(value);
    return ALV_OK;
}

alv_status alv_config_dereference(const char *place, const char *key, const char *text,
                                  bool is_allowed, char **out, alv_error *err)
{
    char *name = NULL;
    *out = NULL;
    bool is_file = reference_parse(text, "${file:", &name);
    if (!is_file && !reference_parse(text, "${env:", &name)) {
        return ALV_OK;
    }
    alv_status status;
    if (!is_allowed) {
        status = alv_fail(err, ALV_REJECT,
                          "%s: %s=%s: only kafka.*, postgres.url and http.auth.token may stand "
                          "elsewhere",
                          place, key, text);
    } else if (is_file) {
        status = reference_read(place, key, name, out, err);
    } else {
        status = reference_ask(place, key, name, out, err);
    }
    if (*out != NULL) {
        reference_trim(*out);
    }
    alv_free(name);
    return status;
}
