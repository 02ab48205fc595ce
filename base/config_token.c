/* config_token.c — the secrets of http.auth.token, from the settings or a file, and http.auth.token.also. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config_internal.h"

/* Shorter ones can be guessed; a longer one is probably another file. */
#define TOKEN_LENGTH_MIN 16
#define TOKEN_LENGTH_MAX 512

static const char *token_place(const alv_config *config, const char *key)
{
    return alv_config_origin_text(&config->origins[alv_config_key_find(key)]);
}

/* What may stand behind "Bearer " in a header (RFC 6750). */
static alv_status token_check(const char *place, const char *key, const char *token, alv_error *err)
{
    size_t length = strlen(token);
    size_t good = strspn(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~+/=");
    if (good == length && length >= TOKEN_LENGTH_MIN && length <= TOKEN_LENGTH_MAX) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT,
                    "%s: %s: must be %d to %d characters out of A-Z a-z 0-9 - . _ ~ + / =", place,
                    key, TOKEN_LENGTH_MIN, TOKEN_LENGTH_MAX);
}

static alv_status token_read(const char *place, const char *path, char out[TOKEN_LENGTH_MAX + 3],
                             alv_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int code = errno;
        return alv_fail_from(err, ALV_REJECT, "errno", code, "%s: http.auth.token.file=%s: %s",
                             place, path, strerror(code));
    }
    size_t size = fread(out, 1, TOKEN_LENGTH_MAX + 2, file);
    (void)fclose(file); /* it was only read */
    while (size > 0 && (out[size - 1] == '\n' || out[size - 1] == '\r')) {
        size--;
    }
    out[size] = '\0';
    return ALV_OK;
}

static alv_status token_from_file(alv_config *config, const char *path, alv_error *err)
{
    const char *place = token_place(config, "http.auth.token.file");
    char token[TOKEN_LENGTH_MAX + 3];
    if (config->settings.http_auth_token != NULL) {
        return alv_fail(err, ALV_REJECT,
                        "%s: http.auth.token.file: http.auth.token is set as well; leave one out",
                        place);
    }
    alv_status status = token_read(place, path, token, err);
    if (status == ALV_OK) {
        status = token_check(place, "http.auth.token.file", token, err);
    }
    if (status == ALV_OK) {
        size_t index = alv_config_key_find("http.auth.token");
        status = alv_config_value_set(config, index, token, NULL, NULL);
        ALV_ASSERT(status == ALV_OK);
        config->origins[index].rank = ALV_CONFIG_COMPUTED;
    }
    explicit_bzero(token, sizeof token);
    return status;
}

/* Finishing twice must not find the token of the first time as one that was set. */
static alv_status token_load(alv_config *config, alv_error *err)
{
    const alv_settings *settings = &config->settings;
    size_t index = alv_config_key_find("http.auth.token");
    if (config->origins[index].rank == ALV_CONFIG_COMPUTED) {
        return ALV_OK;
    }
    if (settings->http_auth_token_file != NULL) {
        return token_from_file(config, settings->http_auth_token_file, err);
    }
    if (settings->http_auth_token != NULL) {
        return token_check(token_place(config, "http.auth.token"), "http.auth.token",
                           settings->http_auth_token, err);
    }
    return ALV_OK;
}

/* A second secret alone would let in whoever shows it, and nobody could be shown it. */
static alv_status token_check_also(const alv_config *config, alv_error *err)
{
    const alv_settings *settings = &config->settings;
    if (settings->http_auth_token_also == NULL) {
        return ALV_OK;
    }
    const char *place = token_place(config, "http.auth.token.also");
    if (settings->http_auth_token == NULL) {
        return alv_fail(err, ALV_REJECT,
                        "%s: http.auth.token.also: needs http.auth.token or http.auth.token.file",
                        place);
    }
    return token_check(place, "http.auth.token.also", settings->http_auth_token_also, err);
}

alv_status alv_config_load_token(alv_config *config, alv_error *err)
{
    alv_status status = token_load(config, err);
    return status == ALV_OK ? token_check_also(config, err) : status;
}
