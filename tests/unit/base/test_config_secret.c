/* Goal:   secrets may stand in files and in the environment, and none of them is ever printed.
 * Method: configurations with references to a scratch file and to a variable; what is printed is searched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/config.h"

#define SECRET "geheim-und-lang-genug"

/* A file with the given bytes; the caller unlinks and frees. */
static char *make_file(const char *data, size_t size)
{
    char *path = alv_strdup("/tmp/alluvium-config.XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, size), (ssize_t)size);
    assert_int_equal(close(file), 0);
    return path;
}

static void drop_file(char *path)
{
    assert_int_equal(unlink(path), 0);
    alv_free(path);
}

static alv_status set(alv_config *config, const char *key, const char *value, alv_error *err)
{
    char *assignment = alv_format("%s=%s", key, value);
    alv_status status = alv_config_set(config, assignment, err);
    alv_free(assignment);
    return status;
}

static const char *kafka_value(const alv_config *config, const char *key)
{
    size_t count = 0;
    const alv_property *items = alv_config_kafka(config, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].key, key) == 0)
            return items[i].value;
    fail_msg("%s is not set", key);
    return NULL;
}

static void assert_not_printed(const alv_config *config, const char *text)
{
    for (int json = 0; json < 2; json++) {
        alv_bytes out = ALV_BYTES_EMPTY;
        alv_config_print(config, json == 1, &out);
        alv_bytes_append(&out, "", 1);
        assert_null(strstr(out.data, text));
        alv_bytes_done(&out);
    }
}

static void assert_printed(const alv_config *config, const char *text)
{
    alv_bytes out = ALV_BYTES_EMPTY;
    alv_config_print(config, false, &out);
    alv_bytes_append(&out, "", 1);
    assert_non_null(strstr(out.data, text));
    alv_bytes_done(&out);
}

static void reference__stands_for_what_is_in_the_file(void **state)
{
    (void)state;
    char *path = make_file(SECRET "\r\n", strlen(SECRET) + 2);
    char *reference = alv_format("${file:%s}", path);
    alv_config *config = alv_config_new();
    assert_int_equal(set(config, "kafka.sasl.password", reference, NULL), ALV_OK);
    assert_int_equal(set(config, "http.auth.token", reference, NULL), ALV_OK);
    assert_int_equal(set(config, "postgres.url", reference, NULL), ALV_OK);
    assert_string_equal(kafka_value(config, "sasl.password"), SECRET);
    assert_string_equal(alv_config_settings(config)->http_auth_token, SECRET);
    assert_string_equal(alv_config_settings(config)->postgres_url, SECRET);
    assert_int_equal(alv_config_finish(config, NULL), ALV_OK);
    assert_not_printed(config, SECRET);
    assert_printed(config, reference);
    assert_null(alv_config_exposed(config));
    alv_config_free(config);
    alv_free(reference);
    drop_file(path);
}

static void reference__stands_for_what_is_in_the_environment(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    assert_int_equal(setenv("ALLUVIUM_TEST_SECRET", SECRET, 1), 0);
    assert_int_equal(set(config, "kafka.ssl.key.password", "${env:ALLUVIUM_TEST_SECRET}", NULL),
                     ALV_OK);
    assert_string_equal(kafka_value(config, "ssl.key.password"), SECRET);
    assert_not_printed(config, SECRET);
    assert_printed(config, "kafka.ssl.key.password=${env:ALLUVIUM_TEST_SECRET}  # -X\n");
    alv_config_free(config);
}

/* A later value is no reference any more, and is hidden by its name alone. */
static void reference__is_replaced_as_any_value(void **state)
{
    (void)state;
    alv_config *config = alv_config_new();
    assert_int_equal(setenv("ALLUVIUM_TEST_SECRET", SECRET, 1), 0);
    assert_int_equal(set(config, "kafka.sasl.username", "${env:ALLUVIUM_TEST_SECRET}", NULL),
                     ALV_OK);
    assert_not_printed(config, SECRET);
    assert_int_equal(set(config, "kafka.sasl.username", "u", NULL), ALV_OK);
    assert_printed(config, "kafka.sasl.username=u  # -X\n");
    alv_config_free(config);
}

static void check_refused(const char *key, const char *value, const char *reason)
{
    alv_config *config = alv_config_new();
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(set(config, key, value, &err), ALV_REJECT);
    if (strstr(err.text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
    assert_null(strstr(err.text, SECRET));
    alv_config_free(config);
}

static void reference__that_leads_nowhere_is_refused(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("ALLUVIUM_TEST_NOTHING"), 0);
    check_refused("kafka.sasl.password", "${file:/nothing/here}", "No such file");
    check_refused("kafka.sasl.password", "${env:ALLUVIUM_TEST_NOTHING}", "no such variable");
    char *binary = make_file("a\0b", 3);
    char *reference = alv_format("${file:%s}", binary);
    check_refused("kafka.sasl.password", reference, "must be text");
    alv_free(reference);
    drop_file(binary);
}

/* The message about a wrong value would quote what stands in the file. */
static void reference__is_for_secrets_alone(void **state)
{
    (void)state;
    char *path = make_file(SECRET, strlen(SECRET));
    char *reference = alv_format("${file:%s}", path);
    check_refused("lanes", reference, "only kafka.*, postgres.url and http.auth.token");
    check_refused("application.id", reference, "only kafka.*");
    alv_free(reference);
    drop_file(path);
}

static void exposed__is_a_secret_on_the_command_line(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *value;
        bool exposed;
    } cases[] = {
        {"kafka.sasl.password", SECRET, true},
        {"http.auth.token", SECRET, true},
        {"postgres.url", "postgresql://u:" SECRET "@h/d", true},
        {"postgres.url", "postgresql://u@h/d?passfile=/etc/alluvium/pgpass", false},
        {"kafka.sasl.username", "u", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        alv_config *config = alv_config_new();
        assert_int_equal(set(config, cases[i].key, cases[i].value, NULL), ALV_OK);
        assert_int_equal(alv_config_exposed(config) != NULL, cases[i].exposed);
        alv_config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference__stands_for_what_is_in_the_file),
        cmocka_unit_test(reference__stands_for_what_is_in_the_environment),
        cmocka_unit_test(reference__is_replaced_as_any_value),
        cmocka_unit_test(reference__that_leads_nowhere_is_refused),
        cmocka_unit_test(reference__is_for_secrets_alone),
        cmocka_unit_test(exposed__is_a_secret_on_the_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
