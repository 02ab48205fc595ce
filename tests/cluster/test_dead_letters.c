/* Goal: nothing that arrives in the command topic stops a shard. What cannot be processed is in the dead
 * letters, as it came, with a reason that people can filter by; what comes after it is processed.
 *
 * Method: one bad record of each kind goes into both shards of an application through a plain producer,
 * good commands follow. Then the dead letters are read back and matched by a header that the test gave
 * each record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_view.h"
#include "tests/support/wire.h"

#define SHARDS 2
#define USERS 16
#define DRAIN_TIMEOUT_MS 30000

/* What is wrong, what it is to be called, and the record. */
typedef struct bad_record {
    const char *name;
    const char *reason;
    alv_view key;
    alv_view value;
    bool any_shard; /* goes into each shard; otherwise the key decides */
} bad_record;

static char long_key[ALV_KEY_BYTES_MAX + 1];
static char large_value[ALV_COMMAND_BYTES_MAX + 1];

#define BYTES(literal)                 \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }
#define USER BYTES("m:1")
#define LOGIN BYTES("{\"type\":\"login\"}")

/* clang-format off */
static const bad_record bad_records[] = {
    {"no key", "no-key", {NULL, 0}, LOGIN, true},
    {"empty key", "no-key", {"", 0}, LOGIN, true},
    {"long key", "key-too-long", {long_key, sizeof(long_key)}, LOGIN, false},
    {"broken key", "key-not-utf8", BYTES("m:\xff\xfe"), LOGIN, false},
    {"zero in key", "key-not-utf8", BYTES("m:\0u"), LOGIN, false},
    {"user without mall", "bad-key", BYTES("nobody"), LOGIN, false},
    {"unknown entity", "unknown-entity-type", BYTES("ghost/1"), LOGIN, false},
    {"no value", "not-json", USER, {NULL, 0}, false},
    {"empty value", "not-json", USER, {"", 0}, false},
    {"not JSON", "not-json", USER, BYTES("{\"type\":\"login\""), false},
    {"broken text", "not-json", USER, BYTES("{\"type\":\"log\xffin\"}"), false},
    {"member twice", "not-json", USER, BYTES("{\"type\":\"login\",\"type\":\"x\"}"), false},
    {"array", "not-an-object", USER, BYTES("[1,2]"), false},
    {"no type", "no-type", USER, BYTES("{\"amount\":1}"), false},
    {"number as type", "no-type", USER, BYTES("{\"type\":7}"), false},
    {"unknown type", "unknown-type", USER, BYTES("{\"type\":\"fly\"}"), false},
    {"no amount", "bad-field", USER, BYTES("{\"type\":\"add_balance\"}"), false},
    {"text amount", "bad-field", USER,
     BYTES("{\"type\":\"add_balance\",\"amount\":\"5\"}"), false},
    {"negative amount", "bad-field", USER,
     BYTES("{\"type\":\"add_balance\",\"amount\":-5}"), false},
    {"large value", "too-large", USER, {large_value, sizeof(large_value)}, false},
};
/* clang-format on */

#define BAD_RECORD_COUNT (sizeof(bad_records) / sizeof(bad_records[0]))

static struct {
    alv_cluster cluster;
    alv_cluster_node *node;
    alv_wire *wire;
    char topic[256];
} fixture;

/* ---- sending --------------------------------------------------------------------------------- */

static void send_one(int32_t shard, const char *name, alv_view key, alv_view value)
{
    const alv_wire_header headers[] = {{"test", name}, {"correlation-id", "c-1"}};
    alv_wire_record record = {
        .topic = fixture.topic,
        .partition = shard,
        .key = key,
        .value = value,
        .headers = headers,
        .header_count = 2,
    };
    alv_wire_send(fixture.wire, &record);
}

static void send_good_commands(void)
{
    char key[32];
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(key, sizeof(key), "good:%d", i);
        send_one(-1, "good", alv_view_of(key), ALV_VIEW("{\"type\":\"add_balance\",\"amount\":1}"));
    }
    alv_wire_flush(fixture.wire);
}

/* Each of these users has been counted `balance` times: no shard stands still, nothing is doubled. */
static void assert_good_users(int balance)
{
    json_t *keys = json_array();
    for (int i = 0; i < USERS; i++) {
        json_array_append_new(keys, json_sprintf("good:%d", i));
    }
    json_t *states = alv_cluster_http_states(fixture.node, keys);
    assert_int_equal(json_object_size(states), USERS);
    const char *key;
    json_t *user;
    json_object_foreach(states, key, user)
    {
        assert_int_equal(json_integer_value(json_object_get(user, "balance")), balance);
    }
    json_decref(states);
    json_decref(keys);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct found {
    const char *name; /* of the record that is looked for */
    int count;
    char reason[64];
    char shard[16];
    char topic[256];
    bool explained; /* detail, action, offset and time are there */
    bool same;      /* key and value as they were sent, the sender's headers kept */
    alv_view key;
    alv_view value;
} found;

static void copy_view(char *out, size_t size, alv_view view)
{
    (void)snprintf(out, size, "%.*s", (int)view.size, view.data != NULL ? view.data : "");
}

static void visit_dead_letter(void *payload, const alv_wire_message *message)
{
    found *letter = payload;
    if (!alv_view_equal(alv_wire_message_header(message, "test"), alv_view_of(letter->name))) {
        return;
    }
    letter->count++;
    copy_view(letter->reason, sizeof(letter->reason),
              alv_wire_message_header(message, "alluvium-reason"));
    copy_view(letter->shard, sizeof(letter->shard),
              alv_wire_message_header(message, "alluvium-partition"));
    copy_view(letter->topic, sizeof(letter->topic),
              alv_wire_message_header(message, "alluvium-topic"));
    letter->explained = alv_wire_message_header(message, "alluvium-detail").size > 0 &&
                        alv_wire_message_header(message, "alluvium-action").size > 0 &&
                        alv_wire_message_header(message, "alluvium-offset").size > 0 &&
                        alv_wire_message_header(message, "alluvium-timestamp").size > 0;
    letter->same =
        alv_view_equal(message->key, letter->key) &&
        alv_view_equal(message->value, letter->value) &&
        alv_view_equal(alv_wire_message_header(message, "correlation-id"), ALV_VIEW("c-1"));
}

static found find_dead_letter(const char *name, alv_view key, alv_view value)
{
    found letter = {.name = name, .key = key, .value = value};
    alv_wire_read(fixture.cluster.brokers, alv_cluster_topic(&fixture.cluster, "dead-letters"),
                  visit_dead_letter, &letter);
    return letter;
}

static void assert_dead_letter(const char *name, const char *reason, int count, alv_view key,
                               alv_view value)
{
    found letter = find_dead_letter(name, key, value);
    if (letter.count != count || strcmp(letter.reason, reason) != 0) {
        fail_msg("\"%s\": %d dead letters with reason \"%s\", expected %d with \"%s\"", name,
                 letter.count, letter.reason, count, reason);
    }
    if (!letter.explained || !letter.same) {
        fail_msg("\"%s\": the dead letter is %s", name,
                 letter.same ? "without an explanation" : "not what was sent");
    }
    assert_string_equal(letter.topic, fixture.topic);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void dead_letters__every_bad_record_is_kept_with_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < BAD_RECORD_COUNT; i++) {
        const bad_record *bad = &bad_records[i];
        for (int32_t shard = 0; shard < (bad->any_shard ? SHARDS : 1); shard++) {
            send_one(bad->any_shard ? shard : -1, bad->name, bad->key, bad->value);
        }
    }
    send_good_commands();
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
    for (size_t i = 0; i < BAD_RECORD_COUNT; i++) {
        const bad_record *bad = &bad_records[i];
        assert_dead_letter(bad->name, bad->reason, bad->any_shard ? SHARDS : 1, bad->key,
                           bad->value);
    }
    assert_good_users(1);
}

/* The letters that a node lists; *out_more as it says. The caller releases them. */
static json_t *list(const char *query, bool *out_more)
{
    int status = 0;
    char *path = alv_format("/v1/dead-letters%s", query);
    json_t *answer = alv_cluster_http(fixture.node, path, &status);
    assert_int_equal(status, 200);
    *out_more = json_is_true(json_object_get(answer, "more"));
    json_t *letters = json_incref(json_object_get(answer, "letters"));
    json_decref(answer);
    alv_free(path);
    return letters;
}

static const char *text_of(const json_t *letter, const char *name)
{
    return json_string_value(json_object_get(letter, name));
}

/* All letters of a shard, page by page: each offset below the one before. */
static size_t count_pages(int shard)
{
    json_int_t after = INT64_MAX;
    size_t count = 0;
    bool more = true;
    while (more) {
        char query[96];
        (void)snprintf(query, sizeof query, "?limit=4&shard=%d&after=%lld", shard,
                       (long long)after);
        json_t *letters = list(query, &more);
        size_t i;
        json_t *letter;
        json_array_foreach(letters, i, letter)
        {
            assert_int_equal(json_integer_value(json_object_get(letter, "shard")), shard);
            json_int_t offset = json_integer_value(json_object_get(letter, "offset"));
            assert_true(offset < after);
            after = offset;
            count++;
        }
        assert_true(json_array_size(letters) > 0 || !more);
        json_decref(letters);
    }
    return count;
}

static void dead_letters__are_listed_over_http(void **state)
{
    (void)state;
    size_t total = BAD_RECORD_COUNT;
    for (size_t i = 0; i < BAD_RECORD_COUNT; i++) {
        total += bad_records[i].any_shard;
    }
    bool more = true;
    json_t *letters = list("?limit=500", &more);
    assert_int_equal(json_array_size(letters), total);
    assert_false(more);
    for (size_t i = 0; i < total; i++) {
        const json_t *letter = json_array_get(letters, i);
        assert_non_null(text_of(json_object_get(letter, "headers"), "test"));
        assert_true(strlen(text_of(letter, "detail")) > 0 && strlen(text_of(letter, "action")) > 0);
        assert_true(json_is_null(json_object_get(letter, "retried")));
        assert_true(i == 0 || strcmp(text_of(json_array_get(letters, i - 1), "at"),
                                     text_of(letter, "at")) >= 0);
    }
    json_decref(letters);

    letters = list("?limit=3", &more);
    assert_int_equal(json_array_size(letters), 3);
    assert_true(more);
    json_decref(letters);
    letters = list("?reason=bad-field&key=m:1", &more);
    assert_int_equal(json_array_size(letters), 3);
    assert_string_equal(text_of(json_array_get(letters, 0), "reason"), "bad-field");
    json_decref(letters);
    assert_int_equal(count_pages(0) + count_pages(1), total);
}

/* A producer with another partitioner puts half of the keys into the wrong one of two shards; their
 * entities live in the other one. */
static void dead_letters__commands_in_the_wrong_shard_are_refused(void **state)
{
    (void)state;
    const alv_view login = ALV_VIEW("{\"type\":\"login\"}");
    int refused = 0;
    for (int i = 0; i < USERS; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "lost:%d", i);
        send_one(0, key, alv_view_of(key), login);
    }
    alv_wire_flush(fixture.wire);
    send_good_commands();
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
    json_t *keys = json_array();
    for (int i = 0; i < USERS; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "lost:%d", i);
        found letter = find_dead_letter(key, alv_view_of(key), login);
        if (letter.count == 1) {
            refused++;
            assert_string_equal(letter.reason, "wrong-shard");
            assert_string_equal(letter.shard, "0");
        }
        json_array_append_new(keys, json_string(key));
    }
    json_t *states = alv_cluster_http_states(fixture.node, keys);
    assert_in_range(refused, 1, USERS - 1);
    assert_int_equal(json_object_size(states), USERS - refused);
    assert_good_users(2);
    json_decref(states);
    json_decref(keys);
}

/* A command that the behavior refuses is answered, not broken: it is no dead letter. */
static void dead_letters__rejected_commands_are_none(void **state)
{
    (void)state;
    const alv_view deduct = ALV_VIEW("{\"type\":\"deduct_balance\",\"amount\":1000}");
    send_one(-1, "rejected", ALV_VIEW("good:0"), deduct);
    alv_wire_flush(fixture.wire);
    alv_cluster_wait_consumed(&fixture.cluster, DRAIN_TIMEOUT_MS);
    assert_int_equal(find_dead_letter("rejected", ALV_VIEW("good:0"), deduct).count, 0);
    assert_good_users(2);
    alv_cluster_stop_node(fixture.node);
    fixture.cluster.passed = true;
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int start_fixture(void **state)
{
    (void)state;
    static const char *const settings[] = {"lanes=1", "shards=2", NULL};
    memset(long_key, 'k', sizeof(long_key));
    memset(large_value, ' ', sizeof(large_value));
    memcpy(large_value, "{\"type\":\"login\"}", 16);
    alv_cluster_open(&fixture.cluster, "dead-letters");
    fixture.node = alv_cluster_add_node(&fixture.cluster);
    (void)snprintf(fixture.topic, sizeof(fixture.topic), "%s",
                   alv_cluster_topic(&fixture.cluster, "commands"));
    alv_cluster_start_node(fixture.node, settings);
    alv_cluster_wait_ready(fixture.node);
    fixture.wire = alv_wire_open(fixture.cluster.brokers);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_wire_close(fixture.wire);
    alv_cluster_close(&fixture.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_letters__every_bad_record_is_kept_with_its_reason),
        cmocka_unit_test(dead_letters__are_listed_over_http),
        cmocka_unit_test(dead_letters__commands_in_the_wrong_shard_are_refused),
        cmocka_unit_test(dead_letters__rejected_commands_are_none),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
