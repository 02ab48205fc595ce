/* Goal:   every way in which a key or a value can be wrong is found, under its own code, with a
 *         detail that an operator can use; what is right passes.
 * Method: tables of cases, and random bytes and mutations of a good command (fixed seed).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "processor/command.h"
#include "topics/partitioner.h"

#define SHARDS 7

static void handle_nothing(const json_t *state, const alv_command *command, int64_t now_ms,
                           alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    (void)effects;
}

static bool accepts_digits(const char *id)
{
    return id[0] != '\0' && id[strspn(id, "0123456789")] == '\0';
}

static const alv_command_row rows[] = {
    {"bare", handle_nothing, {{0}}},
    {"all",
     handle_nothing,
     {ALV_REQUIRED("text", ALV_FIELD_TEXT), ALV_REQUIRED("flag", ALV_FIELD_BOOLEAN),
      ALV_REQUIRED("whole", ALV_FIELD_INTEGER), ALV_REQUIRED("positive", ALV_FIELD_POSITIVE),
      ALV_REQUIRED("object", ALV_FIELD_OBJECT), ALV_REQUIRED("array", ALV_FIELD_ARRAY),
      ALV_OPTIONAL("maybe", ALV_FIELD_TEXT), ALV_OPTIONAL("last", ALV_FIELD_POSITIVE)}},
};
static const alv_behavior digits = {ALV_BEHAVIOR_HEAD, .type = "digits", .commands = rows,
                                    .command_count = 2, .accepts = accepts_digits};
static const alv_behavior any = {ALV_BEHAVIOR_HEAD, .type = "any", .commands = rows,
                                 .command_count = 1};

/* ---- reasons --------------------------------------------------------------------------------- */

static void reason__has_a_code_and_an_action(void **unused)
{
    (void)unused;
    static const char *const codes[ALV_REASON_COUNT] = {
        "none",
        "no-key",
        "key-too-long",
        "key-not-utf8",
        "bad-key",
        "unknown-entity-type",
        "wrong-shard",
        "too-large",
        "not-json",
        "not-an-object",
        "no-type",
        "unknown-type",
        "bad-field",
        "state-too-large",
        "state-unreadable",
        "crashed-node",
        "bad-idempotency-key",
        "already-answered",
        "failed",
        "quarantined",
        "state-version",
    };
    for (int i = 0; i < ALV_REASON_COUNT; i++) {
        assert_string_equal(alv_reason_code((alv_reason)i), codes[i]);
        assert_true(strlen(alv_reason_action((alv_reason)i)) > 10);
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

static alv_registry *registry;

static int setup(void **state)
{
    (void)state;
    registry = alv_registry_new();
    assert_int_equal(alv_registry_add(registry, &digits, NULL), ALV_OK);
    assert_int_equal(alv_registry_add(registry, &any, NULL), ALV_OK);
    assert_int_equal(alv_registry_set_default(registry, "digits", NULL), ALV_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    alv_registry_free(registry);
    return 0;
}

static void assert_key(alv_view key, int32_t shard, alv_reason reason, const char *detail)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_behavior *behavior = NULL;
    size_t id_at = 99;
    alv_reason got = alv_command_check_key(registry, key, shard, SHARDS, &behavior, &id_at, &err);
    assert_string_equal(alv_reason_code(got), alv_reason_code(reason));
    assert_string_equal(err.text, detail);
    assert_int_equal(err.status, ALV_REJECT);
    assert_null(behavior);
    assert_int_equal(id_at, 99);
}

static void assert_key_good(alv_view key, const alv_behavior *expected, size_t expected_id_at)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_behavior *behavior = NULL;
    size_t id_at = 99;
    assert_int_equal(alv_command_check_key(registry, key, alv_partitioner_shard(key, SHARDS),
                                           SHARDS, &behavior, &id_at, &err),
                     ALV_REASON_NONE);
    assert_ptr_equal(behavior, expected);
    assert_int_equal(id_at, expected_id_at);
    assert_int_equal(err.status, ALV_OK);
}

static void key__passes_when_all_is_right(void **unused)
{
    (void)unused;
    char longest[ALV_KEY_BYTES_MAX];
    memset(longest, '7', sizeof longest);
    assert_key_good(ALV_VIEW("12"), &digits, 0);
    assert_key_good(ALV_VIEW("digits/12"), &digits, 7);
    assert_key_good(ALV_VIEW("any/"), &any, 4);
    assert_key_good(ALV_VIEW("any/\xe2\x82\xac/x"), &any, 4);
    assert_key_good((alv_view){longest, sizeof longest}, &digits, 0);
}

static void key__is_refused_with_its_reason(void **unused)
{
    (void)unused;
    char too_long[ALV_KEY_BYTES_MAX + 1];
    memset(too_long, '7', sizeof too_long);
    assert_key(ALV_VIEW_NONE, 0, ALV_REASON_NO_KEY, "the record has no key");
    assert_key(ALV_VIEW(""), 0, ALV_REASON_NO_KEY, "the record has an empty key");
    assert_key((alv_view){too_long, sizeof too_long}, 0, ALV_REASON_KEY_TOO_LONG,
               "key \"777777777777777777777777777777777777777777777777777777777777777777777777"
               "77...\" has 513 bytes, at most 512 are allowed");
    assert_key(ALV_VIEW("1\0002"), 0, ALV_REASON_KEY_NOT_UTF8, "key \"1 2\" holds a NUL byte");
    assert_key(ALV_VIEW("1\xed\xa0\x80"), 0, ALV_REASON_KEY_NOT_UTF8, "key \"1???\" is not UTF-8");
    assert_key(ALV_VIEW("x\n/1"), 0, ALV_REASON_UNKNOWN_ENTITY_TYPE,
               "key \"x /1\" is of type \"x \", which has no behavior");
    int32_t home = alv_partitioner_shard(ALV_VIEW("x"), SHARDS);
    assert_key(ALV_VIEW("x"), home, ALV_REASON_BAD_KEY,
               "behavior \"digits\" does not accept key \"x\"");
    home = alv_partitioner_shard(ALV_VIEW("digits/"), SHARDS);
    assert_key(ALV_VIEW("digits/"), home, ALV_REASON_BAD_KEY,
               "behavior \"digits\" does not accept key \"digits/\"");
}

static void key__is_refused_in_another_shard(void **unused)
{
    (void)unused;
    int32_t home = alv_partitioner_shard(ALV_VIEW("12"), SHARDS);
    for (int32_t shard = 0; shard < SHARDS; shard++) {
        if (shard == home)
            continue;
        char detail[100];
        (void)snprintf(detail, sizeof detail,
                       "key \"12\" belongs to shard %d of %d, the record is in %d", home, SHARDS,
                       shard);
        assert_key(ALV_VIEW("12"), shard, ALV_REASON_WRONG_SHARD, detail);
    }
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A detail that ends in "*" goes on in jansson's words, which differ from version to version. */
static bool is_detail(const char *text, const char *detail)
{
    size_t size = strlen(detail);
    if (size > 0 && detail[size - 1] == '*')
        return strncmp(text, detail, size - 1) == 0 && strlen(text) >= size;
    return strcmp(text, detail) == 0;
}

static void assert_value(alv_view value, alv_reason reason, const char *detail)
{
    alv_error err = ALV_ERROR_NONE;
    alv_decoded decoded = {(json_t *)&decoded, NULL};
    alv_reason got = alv_command_decode(&digits, value, &decoded, &err);
    if (got != reason || !is_detail(err.text, detail))
        fail_msg("%.*s\n  %s: %s\nexpected\n  %s: %s", (int)value.size, value.data,
                 alv_reason_code(got), err.text, alv_reason_code(reason), detail);
    if (reason == ALV_REASON_NONE) {
        assert_non_null(decoded.body);
        assert_string_equal(decoded.row->name,
                            json_string_value(json_object_get(decoded.body, "type")));
        assert_int_equal(decoded.body->refcount, 1);
    }
    alv_decoded_done(&decoded);
    assert_null(decoded.body);
    assert_null(decoded.row);
}

#define ALL                                                                       \
    "{\"type\":\"all\",\"text\":\"\",\"flag\":false,\"whole\":-1,\"positive\":1," \
    "\"object\":{},\"array\":[]"

static void value__passes_when_all_is_right(void **unused)
{
    (void)unused;
    static const char *const values[] = {
        "{\"type\":\"bare\"}",
        " \n{ \"type\" : \"bare\" } \r\n",
        "{\"type\":\"bare\",\"more\":{\"type\":1},\"\":[1.5e3,null]}",
        ALL "}",
        ALL ",\"maybe\":\"x\",\"last\":9223372036854775807}",
        ALL ",\"maybe\":null,\"last\":null}",
        "{\"type\":\"b\\u0061re\"}",
        "{\"type\":\"bare\",\"x\":\"\xe2\x82\xac\"}",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_value(alv_view_of(values[i]), ALV_REASON_NONE, "");
}

static void value__is_refused_with_its_reason(void **unused)
{
    (void)unused;
    static const struct {
        const char *value;
        alv_reason reason;
        const char *detail;
    } cases[] = {
        {NULL, ALV_REASON_NOT_JSON, "the record has no value"},
        {"", ALV_REASON_NOT_JSON, "byte *"},
        {"{oops}", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"bare\"", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"bare\"} x", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"bare\"}{}", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"b\xff\"}", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"a\\u0000\"}", ALV_REASON_NOT_JSON, "a string holds \\u0000 *"},
        {"{\"type\":\"bare\",\"a\":1,\"a\":2}", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"bare\",\"a\":{\"b\":1,\"b\":1}}", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"bare\",\"a\":01}", ALV_REASON_NOT_JSON, "byte *"},
        {"{\"type\":\"bare\",\"a\":NaN}", ALV_REASON_NOT_JSON, "byte *"},
        {"{'type':'bare'}", ALV_REASON_NOT_JSON, "byte *"},
        {"\xef\xbb\xbf{}", ALV_REASON_NOT_JSON, "byte *"}, /* a byte order mark */

        {"[]", ALV_REASON_NOT_AN_OBJECT, "the value must be an object, is an array"},
        {"42", ALV_REASON_NOT_AN_OBJECT, "the value must be an object, is 42"},
        {"null", ALV_REASON_NOT_AN_OBJECT, "the value must be an object, is null"},
        {"\"{}\"", ALV_REASON_NOT_AN_OBJECT, "the value must be an object, is \"{}\""},

        {"{}", ALV_REASON_NO_TYPE, "the command has no member \"type\""},
        {"{\"Type\":\"bare\"}", ALV_REASON_NO_TYPE, "the command has no member \"type\""},
        {"{\"type\":null}", ALV_REASON_NO_TYPE, "member \"type\" must be a string, is null"},
        {"{\"type\":[\"bare\"]}", ALV_REASON_NO_TYPE,
         "member \"type\" must be a string, is an array"},

        {"{\"type\":\"\"}", ALV_REASON_UNKNOWN_TYPE, "behavior \"digits\" has no command \"\""},
        {"{\"type\":\"Bare\\n\"}", ALV_REASON_UNKNOWN_TYPE,
         "behavior \"digits\" has no command \"Bare \""},

        {"{\"type\":\"bare\",\"n\":9223372036854775808}", ALV_REASON_BAD_FIELD,
         "a number is out of range at byte *"},
        {"{\"type\":\"bare\",\"n\":1e999}", ALV_REASON_BAD_FIELD,
         "a number is out of range at byte *"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_value(alv_view_of(cases[i].value), cases[i].reason, cases[i].detail);
}

/* Each field in turn: missing, null, and of every other kind. */
static void value__is_refused_for_each_bad_field(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        const char *good;
        const char *must;
        bool optional;
    } fields[] = {
        {"text", "\"x\"", "a string", false},    {"flag", "true", "true or false", false},
        {"whole", "0", "a whole number", false}, {"positive", "7", "a whole number > 0", false},
        {"object", "{}", "an object", false},    {"array", "[]", "an array", false},
        {"maybe", "\"x\"", "a string", true},    {"last", "7", "a whole number > 0", true},
    };
    static const struct {
        const char *json;
        const char *shown;
        const char *fits; /* the kinds it is good for */
    } values[] = {
        {"\"12\"", "\"12\"", "a string"},
        {"\"\\u0007\\n\"", "\"  \"", "a string"},
        {"true", "true", "true or false"},
        {"0", "0", "a whole number"},
        {"-5", "-5", "a whole number"},
        {"5", "5", "a whole number > 0"},
        {"1.5", "1.5", ""},
        {"7.0", "7.0", ""},
        {"2.5e100", "2.5e100", ""},
        {"{\"a\":1}", "an object", "an object"},
        {"[1]", "an array", "an array"},
        {"null", "null", "null"},
        {NULL, NULL, "null"},
    };
    const size_t field_count = sizeof fields / sizeof fields[0];
    for (size_t f = 0; f < field_count; f++) {
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            char text[512] = "{\"type\":\"all\"";
            for (size_t i = 0; i < field_count; i++) {
                const char *json = i == f ? values[v].json : fields[i].good;
                size_t length = strlen(text);
                if (json != NULL)
                    (void)snprintf(text + length, sizeof text - length, ",\"%s\":%s",
                                   fields[i].name, json);
            }
            strncat(text, "}", 2);

            bool fits = strcmp(values[v].fits, fields[f].must) == 0 ||
                        (strcmp(values[v].fits, "null") == 0 && fields[f].optional) ||
                        (strcmp(values[v].shown ? values[v].shown : "", "5") == 0 &&
                         strcmp(fields[f].must, "a whole number") == 0);
            char detail[200] = "";
            if (!fits && values[v].json == NULL)
                (void)snprintf(detail, sizeof detail, "field \"%s\" must be %s, is missing",
                               fields[f].name, fields[f].must);
            else if (!fits)
                (void)snprintf(detail, sizeof detail, "field \"%s\" must be %s, is %s",
                               fields[f].name, fields[f].must, values[v].shown);
            assert_value(alv_view_of(text), fits ? ALV_REASON_NONE : ALV_REASON_BAD_FIELD, detail);
        }
    }
}

static void value__is_bounded(void **unused)
{
    (void)unused;
    static char text[ALV_COMMAND_BYTES_MAX + 1];
    memset(text, ' ', sizeof text);
    memcpy(text, "{\"type\":\"bare\"}", 15);
    assert_value((alv_view){text, ALV_COMMAND_BYTES_MAX}, ALV_REASON_NONE, "");
    assert_value((alv_view){text, sizeof text}, ALV_REASON_TOO_LARGE,
                 "the value has 900001 bytes, at most 900000 are allowed");

    memset(text, '[', sizeof text); /* deep instead of long: jansson's own limit */
    assert_value((alv_view){text, 5000}, ALV_REASON_NOT_JSON, "byte *");

    memset(text, 'x', sizeof text);
    memcpy(text, "{\"type\":\"", 9);
    memcpy(text + 5000, "\"}", 2);
    assert_value((alv_view){text, 5002}, ALV_REASON_UNKNOWN_TYPE,
                 "behavior \"digits\" has no command \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\"");
}

/* Nothing that comes in may crash, leak, or leave an unfit detail. */
static void value__survives_damage(void **unused)
{
    (void)unused;
    static const char good[] = ALL ",\"maybe\":\"\xe2\x82\xac\",\"last\":12}";
    uint64_t random = 4711;
    size_t passed = 0;
    for (int round = 0; round < 50000; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        size_t size = sizeof good - 1;
        for (int i = 0; i <= round % 3; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[(random >> 33) % size] = (char)(random >> 25);
            if (random >> 60 == 0)
                size = 1 + (random >> 40) % size;
        }
        alv_error err = ALV_ERROR_NONE;
        alv_decoded decoded;
        alv_reason reason = alv_command_decode(&digits, (alv_view){text, size}, &decoded, &err);
        assert_int_equal(reason == ALV_REASON_NONE, decoded.body != NULL);
        assert_int_equal(reason == ALV_REASON_NONE, err.text[0] == '\0');
        assert_true(alv_utf8_valid(err.text, strlen(err.text)));
        assert_null(strpbrk(err.text, "\n\r\t\x1b"));
        passed += reason == ALV_REASON_NONE;
        alv_decoded_done(&decoded);
    }
    assert_true(passed > 100 && passed < 40000); /* the damage is neither nothing nor everything */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reason__has_a_code_and_an_action),
        cmocka_unit_test_setup_teardown(key__passes_when_all_is_right, setup, teardown),
        cmocka_unit_test_setup_teardown(key__is_refused_with_its_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(key__is_refused_in_another_shard, setup, teardown),
        cmocka_unit_test(value__passes_when_all_is_right),
        cmocka_unit_test(value__is_refused_with_its_reason),
        cmocka_unit_test(value__is_refused_for_each_bad_field),
        cmocka_unit_test(value__is_bounded),
        cmocka_unit_test(value__survives_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
