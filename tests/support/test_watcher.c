#include "tests/support/test_watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/glob.h"
#include "tests/support/wire.h"
#include "topics/partitioner.h"

#define TRIES_MAX 20 /* each takes a busy node three seconds */

/* ---- hearing --------------------------------------------------------------------------------- */

void alv_test_watcher_hear(void *payload, alv_sse *sse, const alv_sse_event *event)
{
    (void)payload;
    alv_test_watcher *it = sse->user;
    json_error_t why;
    json_t *data = json_loads(event->data, 0, &why);
    if (data == NULL)
        fail_msg("no JSON: %s: %.300s", why.text, event->data);
    if (strcmp(event->type, "reset") == 0) {
        assert_true(strlen(json_string_value(json_object_get(data, "reason"))) > 0);
        it->resets++;
        json_decref(data);
        return;
    }
    assert_string_equal(event->type, "message");
    int32_t shard = (int32_t)json_integer_value(json_object_get(data, "shard"));
    int64_t offset = json_integer_value(json_object_get(data, "offset"));
    const char *key = json_string_value(json_object_get(data, "key"));
    json_t *state = json_object_get(data, "state");
    assert_non_null(key);
    assert_non_null(state);
    assert_non_null(json_string_value(json_object_get(data, "type")));
    assert_int_equal(strlen(json_string_value(json_object_get(data, "at"))), 24);
    assert_int_equal(shard, alv_partitioner_shard(alv_view_of(key), it->room->shard_count));
    if (offset <= it->last[shard])
        fail_msg("%s: shard %d: %" PRId64 " after %" PRId64, it->path, shard, offset,
                 it->last[shard]);
    it->last[shard] = offset;
    assert_true(it->count < ALV_TEST_WATCHER_HEARD_MAX);
    it->heard[it->count++] = (alv_watch_place){shard, offset};
    if (it->tells) {
        char *text = json_dumps(state, JSON_COMPACT | JSON_ENCODE_ANY);
        alv_bytes_printf(&it->story, "%s %s;", key, text);
        free(text);
    }
    json_decref(data);
}

void alv_test_watcher_init(alv_test_watcher *it, const alv_watch_room *room, alv_watch_kind kind,
                           const char *text)
{
    static const char *const names[] = {"key", "prefix", "pattern"};
    *it = (alv_test_watcher){.room = room, .kind = kind, .tells = true};
    assert_true(room->shard_count <= ALV_TEST_WATCHER_SHARDS_MAX);
    (void)snprintf(it->text, sizeof it->text, "%s", text);
    (void)snprintf(it->path, sizeof it->path, "/v1/watch?%s=%s", names[kind], text);
    it->heard = alv_alloc_array(ALV_TEST_WATCHER_HEARD_MAX, sizeof *it->heard);
    it->last_id = alv_strdup("");
    for (int shard = 0; shard < ALV_TEST_WATCHER_SHARDS_MAX; shard++)
        it->last[shard] = -1;
}

void alv_test_watcher_leave(alv_test_watcher *it)
{
    if (it->sse == NULL)
        return;
    alv_free(it->last_id);
    it->last_id = alv_strdup(it->sse->last_id);
    alv_sse_close(it->room->set, it->sse);
    it->sse = NULL;
}

void alv_test_watcher_done(alv_test_watcher *it)
{
    alv_test_watcher_leave(it);
    alv_free(it->last_id);
    alv_free(it->heard);
    alv_bytes_done(&it->story);
}

void alv_test_watcher_come(alv_test_watcher *it, const char *address)
{
    assert_null(it->sse);
    it->sse = alv_sse_open(it->room->set, address, it->path, it->last_id, it, 0);
}

void alv_test_watcher_enter(alv_test_watcher *it, const char *address)
{
    int status = 503;
    for (int try = 0; status == 503 && try < TRIES_MAX; try++) {
        if (it->sse != NULL) {
            alv_sse_close(it->room->set, it->sse);
            it->sse = NULL;
        }
        alv_test_watcher_come(it, address);
        status = alv_sse_wait_open(it->room->set, it->sse, ALV_TEST_WATCHER_WAIT_MS);
    }
    assert_int_equal(status, 200);
}

void alv_test_watcher_open(alv_test_watcher *it, const alv_watch_room *room, const char *address,
                           alv_watch_kind kind, const char *text)
{
    alv_test_watcher_init(it, room, kind, text);
    alv_test_watcher_enter(it, address);
    assert_true(strlen(it->sse->last_id) > 0);
}

typedef struct wait_count {
    const alv_test_watcher *it;
    int count;
} wait_count;

static bool has_count(void *payload)
{
    const wait_count *wait = payload;
    return wait->it->count >= wait->count;
}

void alv_test_watcher_wait_heard(const alv_test_watcher *it, int count)
{
    wait_count wait = {it, count};
    if (!alv_sse_until(it->room->set, has_count, &wait, ALV_TEST_WATCHER_WAIT_MS))
        fail_msg("%s: heard %d of %d", it->path, it->count, count);
}

void alv_test_watcher_expect_story(const alv_test_watcher *it, const char *story)
{
    alv_view told = alv_bytes_view(&it->story);
    if (!alv_view_equal(told, alv_view_of(story)))
        fail_msg("%s heard \"%.*s\"", it->path, (int)told.size, told.data);
}

/* ---- what there was to hear ------------------------------------------------------------------ */

typedef struct expectation {
    const alv_test_watcher *it;
    alv_watch_place *places;
    int count;
} expectation;

static bool concerns(const alv_test_watcher *it, alv_view key)
{
    switch (it->kind) {
    case ALV_WATCH_KEY:
        return alv_view_equal(key, alv_view_of(it->text));
    case ALV_WATCH_PREFIX:
        return alv_view_starts_with(key, alv_view_of(it->text));
    case ALV_WATCH_PATTERN:
        return alv_glob_match(alv_view_of(it->text), key);
    }
    return false;
}

static void note_expected(void *payload, const alv_wire_message *message)
{
    expectation *expected = payload;
    if (concerns(expected->it, message->key)) {
        assert_true(expected->count < ALV_TEST_WATCHER_HEARD_MAX);
        expected->places[expected->count++] =
            (alv_watch_place){message->partition, message->offset};
    }
}

int alv_watch_place_compare(const void *left, const void *right)
{
    const alv_watch_place *a = left;
    const alv_watch_place *b = right;
    if (a->shard != b->shard)
        return a->shard < b->shard ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* Everything in the topic that concerns it, and nothing twice: the order within each shard was checked
 * as it came. */
void alv_test_watcher_expect_all(alv_test_watcher *it)
{
    expectation expected = {
        .it = it, .places = alv_alloc_array(ALV_TEST_WATCHER_HEARD_MAX, sizeof *expected.places)};
    alv_wire_read(it->room->brokers, it->room->topic, note_expected, &expected);
    alv_test_watcher_wait_heard(it, expected.count);
    assert_int_equal(it->count, expected.count);
    qsort(it->heard, (size_t)it->count, sizeof(alv_watch_place), alv_watch_place_compare);
    qsort(expected.places, (size_t)expected.count, sizeof(alv_watch_place),
          alv_watch_place_compare);
    for (int i = 0; i < it->count; i++)
        assert_int_equal(alv_watch_place_compare(&it->heard[i], &expected.places[i]), 0);
    alv_free(expected.places);
}
