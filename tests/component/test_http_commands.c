/* Goal:   a command over HTTP is checked before it is written, written once to the right shard, and answered
 *         with what became of it, through whichever node; what is too much, malformed or unknown is told as
 *         such.
 * Method: two real nodes in this process over a log that only takes records; the test executes them by
 *         handing a box of outcomes to either node, as a lane does after its commit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pthread.h>
#include <cmocka.h>

#include "api/http_limits.h"
#include "api/url.h"
#include "base/alloc.h"
#include "base/logger.h"
#include "processor/reply_box.h"
#include "tests/support/api_node.h"
#include "tests/support/fake_sender.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"

#define ANSWER_MS 20000
#define KEY "7:42"
#define PATH "/v1/entities/7:42/commands"
#define TOUCH "{\"type\":\"touch\"}"

static alv_fake_group group;
static alv_fake_sender *sender;
static alv_api_node here;
static alv_api_node there;

static void members(const alv_api_node *first, const alv_api_node *second)
{
    alv_fake_lane lanes[2] = {{.lane = 0, .shards = {0, 1, -1}}, {.lane = 0, .shards = {2, 3, -1}}};
    const alv_api_node *nodes[] = {first, second};
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        if (nodes[i] == NULL)
            continue;
        (void)snprintf(lanes[count].node_id, sizeof lanes[0].node_id, "%s",
                       nodes[i]->settings.node_id);
        (void)snprintf(lanes[count].address, sizeof lanes[0].address, "%s",
                       alv_api_node_address(nodes[i]));
        count++;
    }
    alv_fake_group_say(&group, lanes, count);
}

static int open_nodes(void **state)
{
    (void)state;
    alv_fake_group_init(&group);
    sender = alv_fake_sender_new();
    alv_api_node_open_sending(&here, "node-1", &group, alv_fake_sender_log(sender));
    alv_api_node_open(&there, "node-2", &group);
    members(&here, &there);
    return 0;
}

static int close_nodes(void **state)
{
    (void)state;
    alv_api_node_close(&here);
    alv_api_node_close(&there);
    alv_fake_sender_free(sender);
    alv_fake_group_done(&group);
    return 0;
}

/* ---- a request in the background ------------------------------------------------------------- */

typedef struct call {
    pthread_t thread;
    const char *path;
    const char *body;
    const char *const *headers;
    alv_http_result result;
} call;

static void *call_run(void *payload)
{
    call *self = payload;
    self->result = alv_http_call_post(NULL, alv_api_node_address(&here), self->path, self->body,
                                      self->headers);
    return NULL;
}

static void call_begin(call *self, const char *path, const char *body, const char *const *headers)
{
    *self = (call){.path = path, .body = body, .headers = headers};
    assert_int_equal(pthread_create(&self->thread, NULL, call_run, self), 0);
}

static const alv_http_result *call_end(call *self)
{
    assert_int_equal(pthread_join(self->thread, NULL), 0);
    return &self->result;
}

/* Executes a record on `node`: what a lane hands on after the commit. */
static void execute(alv_api_node *node, const alv_fake_record *record, alv_result outcome)
{
    assert_string_equal(record->reply_to, "node:node-1");
    alv_reply_box box;
    alv_reply_box_init(&box);
    outcome.shard = record->shard;
    outcome.offset = record->offset;
    outcome.node = ALV_VIEW("node-1");
    outcome.id = alv_view_of(record->correlation_id);
    outcome.position = (alv_position){.commands = record->offset + 1, .changelog = 40};
    alv_reply_box_add(&box, &outcome);
    alv_api_replied(node->api, &box);
    assert_int_equal(box.count, 0);
    alv_reply_box_done(&box);
}

static alv_result done_with(const char *reply)
{
    return (alv_result){.kind = ALV_RESULT_DONE, .text = alv_view_of(reply)};
}

static void expect_body(const alv_http_result *result, int status, const char *expected)
{
    assert_int_equal(result->status, status);
    if (result->body.size != strlen(expected) ||
        memcmp(result->body.data, expected, result->body.size) != 0)
        fail_msg("%.*s instead of %s", (int)result->body.size, result->body.data, expected);
}

/* ---- what is executed ------------------------------------------------------------------------ */

static void check_answered_by(alv_api_node *node)
{
    call post;
    call_begin(&post, PATH, TOUCH, NULL);
    alv_fake_record record = alv_fake_sender_take(sender);
    assert_string_equal(record.key, KEY);
    assert_string_equal(record.value, TOUCH);
    assert_string_equal(record.idempotency_key, "");
    assert_int_equal(record.shard, alv_api_node_shard(KEY));
    execute(node, &record, done_with("{\"n\":1.50,\"a\":[]}"));
    char *expected = alv_format("{\"shard\":%d,\"offset\":%d,\"position\":{\"commands\":%d,"
                                "\"changelog\":40},\"reply\":{\"n\":%s,\"a\":[]}}",
                                (int)record.shard, (int)record.offset, (int)record.offset + 1,
                                node == &here ? "1.50" : "1.5");
    expect_body(call_end(&post), 200, expected);
    assert_string_equal(post.result.content_type, "application/json");
    alv_free(expected);
    alv_http_result_done(&post.result);
}

static void command__is_answered_by_this_node(void **state)
{
    (void)state;
    check_answered_by(&here);
}

static void command__is_answered_by_another_node(void **state)
{
    (void)state;
    check_answered_by(&there);
}

static void command__without_a_reply_is_null(void **state)
{
    (void)state;
    call post;
    for (int i = 0; i < 2; i++) {
        call_begin(&post, PATH, TOUCH, NULL);
        alv_fake_record record = alv_fake_sender_take(sender);
        execute(i == 0 ? &here : &there, &record, done_with(""));
        assert_int_equal(call_end(&post)->status, 200);
        assert_true(json_is_null(json_object_get(post.result.json, "reply")));
        alv_http_result_done(&post.result);
    }
}

static void command__keys_of_every_kind(void **state)
{
    (void)state;
    static const char *const keys[] = {"transfer/1", "a/../b", "x?y", "7:42/commands", "\xc3\xbc "};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool known = strchr(keys[i], '/') == NULL || keys[i][0] == 't';
        alv_bytes path = ALV_BYTES_EMPTY;
        alv_bytes_append_text(&path, "/v1/entities/");
        alv_url_encode(alv_view_of(keys[i]), &path);
        alv_bytes_append_text(&path, "/commands");
        alv_bytes_append(&path, "", 1);
        call post;
        call_begin(&post, path.data, TOUCH, NULL);
        if (known) {
            alv_fake_record record = alv_fake_sender_take(sender);
            assert_string_equal(record.key, keys[i]);
            assert_int_equal(record.shard, alv_api_node_shard(keys[i]));
            execute(&there, &record, done_with("1"));
        }
        assert_int_equal(call_end(&post)->status, known ? 200 : 404);
        alv_http_result_done(&post.result);
        alv_bytes_done(&path);
    }
}

static void command__rejected_is_422(void **state)
{
    (void)state;
    call post;
    for (int i = 0; i < 2; i++) {
        call_begin(&post, PATH, TOUCH, NULL);
        alv_fake_record record = alv_fake_sender_take(sender);
        execute(i == 0 ? &here : &there, &record,
                (alv_result){.kind = ALV_RESULT_REJECTED, .text = ALV_VIEW("\"no\" \xc3\xbc")});
        assert_int_equal(call_end(&post)->status, 422);
        assert_string_equal(post.result.content_type, "application/problem+json");
        assert_string_equal(alv_http_result_text(&post.result, "error"), "\"no\" \xc3\xbc");
        assert_int_equal(json_integer_value(json_object_get(post.result.json, "offset")), i);
        alv_http_result_done(&post.result);
    }
}

static void command__that_became_a_dead_letter_says_why(void **state)
{
    (void)state;
    static const struct {
        alv_reason reason;
        int status;
    } cases[] = {{ALV_REASON_STATE_TOO_LARGE, 422},
                 {ALV_REASON_CRASHED_NODE, 500},
                 {ALV_REASON_FAILED, 500},
                 {ALV_REASON_QUARANTINED, 409},
                 {ALV_REASON_UNKNOWN_TYPE, 400}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        call post;
        call_begin(&post, PATH, TOUCH, NULL);
        alv_fake_record record = alv_fake_sender_take(sender);
        execute(&there, &record,
                (alv_result){.kind = ALV_RESULT_DEAD,
                             .reason = cases[i].reason,
                             .text = ALV_VIEW("it did not fit")});
        assert_int_equal(call_end(&post)->status, cases[i].status);
        assert_string_equal(alv_http_result_text(&post.result, "reason"),
                            alv_reason_code(cases[i].reason));
        assert_non_null(strstr(alv_http_result_text(&post.result, "detail"), "it did not fit"));
        assert_true(strlen(alv_http_result_text(&post.result, "action")) > 0);
        alv_http_result_done(&post.result);
    }
}

static void command__idempotency_key_goes_along(void **state)
{
    (void)state;
    static const char *const forms[] = {"Idempotency-Key: k-1", "Idempotency-Key: \"k-1\""};
    for (size_t i = 0; i < 2; i++) {
        const char *const headers[] = {forms[i], NULL};
        call post;
        call_begin(&post, PATH, TOUCH, headers);
        alv_fake_record record = alv_fake_sender_take(sender);
        assert_string_equal(record.idempotency_key, "k-1");
        execute(&here, &record, done_with("{}"));
        assert_int_equal(call_end(&post)->status, 200);
        alv_http_result_done(&post.result);
    }
}

#define RELEASE_PATH "/v1/quarantine/7:42/release"

static void *release_run(void *payload)
{
    call *self = payload;
    self->result = alv_http_call(NULL, "POST", alv_api_node_address(&here), self->path, NULL);
    return NULL;
}

/* It goes the way of a command, and is none. */
static void release__is_written_and_answered(void **state)
{
    (void)state;
    call release = {.path = RELEASE_PATH};
    assert_int_equal(pthread_create(&release.thread, NULL, release_run, &release), 0);
    alv_fake_record record = alv_fake_sender_take(sender);
    assert_string_equal(record.key, "7:42");
    assert_string_equal(record.value, "");
    assert_string_equal(record.release, "1");
    execute(&there, &record, done_with("{\"released\":true,\"waiting\":2}"));
    const json_t *reply = json_object_get(call_end(&release)->json, "reply");
    assert_int_equal(release.result.status, 200);
    assert_true(json_is_true(json_object_get(reply, "released")));
    alv_http_result_done(&release.result);
    alv_http_result bad = alv_http_call(NULL, "POST", alv_api_node_address(&here),
                                        "/v1/quarantine/ghost%2F1/release", NULL);
    assert_int_equal(bad.status, 404);
    alv_http_result_done(&bad);
}

static void command__async_is_202_once_it_is_written(void **state)
{
    (void)state;
    static const char *const headers[] = {"Prefer: wait=5, Respond-Async;x", NULL};
    call post;
    call_begin(&post, PATH, TOUCH, headers);
    alv_fake_record record = alv_fake_sender_take(sender);
    assert_string_equal(record.reply_to, "");
    assert_string_equal(record.correlation_id, "");
    char *expected = alv_format("{\"shard\":%d,\"offset\":0}", (int)record.shard);
    expect_body(call_end(&post), 202, expected);
    alv_free(expected);
    alv_http_result_done(&post.result);
}

/* Many on one connection each, answered in the opposite order, half of them by the other node. */
#define MANY 60
static void command__many_at_once(void **state)
{
    (void)state;
    static call posts[MANY];
    static alv_fake_record records[MANY];
    for (int i = 0; i < MANY; i++)
        call_begin(&posts[i], PATH, TOUCH, NULL);
    for (int i = 0; i < MANY; i++)
        records[i] = alv_fake_sender_take(sender);
    for (int i = MANY - 1; i >= 0; i--) {
        char reply[16];
        (void)snprintf(reply, sizeof reply, "%d", (int)records[i].offset);
        execute(i % 2 == 0 ? &here : &there, &records[i], done_with(reply));
    }
    bool seen[MANY] = {false};
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(call_end(&posts[i])->status, 200);
        json_int_t offset = json_integer_value(json_object_get(posts[i].result.json, "offset"));
        json_int_t reply = json_integer_value(json_object_get(posts[i].result.json, "reply"));
        assert_int_equal(offset, reply);
        assert_false(seen[offset]);
        seen[offset] = true;
        alv_http_result_done(&posts[i].result);
    }
}

static void command__large_replies_come_through(void **state)
{
    (void)state;
    alv_bytes reply = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&reply, "\"");
    while (reply.size < ALV_STATE_BYTES_MAX - 16)
        alv_bytes_append_text(&reply, "0123456789");
    alv_bytes_append_text(&reply, "\"");
    call posts[3];
    for (int i = 0; i < 3; i++)
        call_begin(&posts[i], PATH, TOUCH, NULL);
    alv_reply_box box;
    alv_reply_box_init(&box);
    for (int i = 0; i < 3; i++) {
        alv_fake_record record = alv_fake_sender_take(sender);
        alv_result outcome = {.kind = ALV_RESULT_DONE,
                              .shard = record.shard,
                              .node = ALV_VIEW("node-1"),
                              .id = alv_view_of(record.correlation_id),
                              .text = alv_bytes_view(&reply)};
        alv_reply_box_add(&box, &outcome);
    }
    alv_api_replied(there.api, &box);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call_end(&posts[i])->status, 200);
        assert_true(posts[i].result.body.size > reply.size);
        alv_http_result_done(&posts[i].result);
    }
    alv_reply_box_done(&box);
    alv_bytes_done(&reply);
}

/* ---- what is not written --------------------------------------------------------------------- */

static void expect_refused(const char *path, const char *body, const char *header, int status,
                           const char *reason)
{
    const char *const headers[] = {header, NULL};
    alv_http_result result =
        alv_http_call_post(NULL, alv_api_node_address(&here), path, body, headers);
    if (result.status != status)
        fail_msg("%s: %ld instead of %d", body, result.status, status);
    assert_string_equal(result.content_type, "application/problem+json");
    assert_string_equal(alv_http_result_text(&result, "reason"), reason);
    alv_http_result_done(&result);
}

static void refused__before_anything_is_written(void **state)
{
    (void)state;
    expect_refused(PATH, "", NULL, 400, "not-json");
    expect_refused(PATH, "{", NULL, 400, "not-json");
    expect_refused(PATH, "{\"type\":\"touch\",\"type\":\"touch\"}", NULL, 400, "not-json");
    expect_refused(PATH, "[]", NULL, 400, "not-an-object");
    expect_refused(PATH, "{}", NULL, 400, "no-type");
    expect_refused(PATH, "{\"type\":\"fly\"}", NULL, 400, "unknown-type");
    expect_refused(PATH, "{\"type\":\"add\",\"amount\":0}", NULL, 400, "bad-field");
    expect_refused("/v1/entities/nobody%2F1/commands", TOUCH, NULL, 404, "unknown-entity-type");
    expect_refused("/v1/entities//commands", TOUCH, NULL, 400, "");
    expect_refused("/v1/entities/%ff/commands", TOUCH, NULL, 400, "");
    expect_refused("/v1/entities/a%00/commands", TOUCH, NULL, 400, "");
    expect_refused(PATH, TOUCH, "Content-Type: text/plain", 415, "");
    expect_refused(PATH, TOUCH, "Content-Type: application/jsonp", 415, "");
    expect_refused(PATH, TOUCH, "Content-Type:", 415, "");
    expect_refused(PATH, TOUCH, "Idempotency-Key: \"\"", 400, "");
    expect_refused(PATH, TOUCH, "Idempotency-Key: \xc3\xbc", 400, "");
    assert_int_equal(alv_fake_sender_count(sender), 0);
}

static void refused__too_large(void **state)
{
    (void)state;
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&body, "{\"type\":\"touch\",\"x\":\"");
    while (body.size <= ALV_COMMAND_BYTES_MAX)
        alv_bytes_append_text(&body, "0123456789");
    alv_bytes_append(&body, "\"}", 3);
    expect_refused(PATH, body.data, NULL, 413, "");
    expect_refused(PATH, body.data, "Transfer-Encoding: chunked", 413, "");
    expect_refused(PATH, body.data, "Expect: 100-continue", 413, "");
    assert_int_equal(alv_fake_sender_count(sender), 0);
    body.size = ALV_COMMAND_BYTES_MAX - 2;
    alv_bytes_append(&body, "\"}", 3);
    call post;
    call_begin(&post, PATH, body.data, NULL);
    alv_fake_record record = alv_fake_sender_take(sender);
    execute(&here, &record, done_with("{}"));
    assert_int_equal(call_end(&post)->status, 200);
    alv_http_result_done(&post.result);
    alv_bytes_done(&body);
}

static void expect_raw(const char *text, int status)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = alv_http_raw_open(alv_api_node_address(&here));
    alv_http_raw_send(fd, text, strlen(text));
    int got = alv_http_raw_read(fd, ANSWER_MS, &answer);
    if (got != status)
        fail_msg("%.60s: %d instead of %d", text, got, status);
    (void)close(fd);
    alv_bytes_done(&answer);
}

static void refused__malformed_requests(void **state)
{
    (void)state;
#define HEAD "POST " PATH " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    expect_raw("POST " PATH " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 411);
    expect_raw(HEAD "\r\n", 411);
    expect_raw(HEAD "Content-Length: 0\r\n\r\n", 400);
    expect_raw(HEAD "Content-Length: nine\r\n\r\n" TOUCH, 400);
    expect_raw(HEAD "Content-Length: -1\r\n\r\n" TOUCH, 400);
    expect_raw(HEAD "Content-Length: 99999999999\r\n\r\n", 413);
    expect_raw(HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhel\r\n0\r\n\r\n", 400);
    expect_raw("PUT " PATH " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", 405);
    assert_int_equal(alv_fake_sender_count(sender), 0);
}

/* A key of that shard, as it stands in a path. */
static const char *key_of(int32_t shard)
{
    static char key[16];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "7:%d", i);
        if (alv_api_node_shard(key) == shard)
            return key;
    }
    fail_msg("no key of shard %d", (int)shard);
    return NULL;
}

/* A command under way: a connection that waits for its answer, and the record. */
typedef struct waiting {
    int fd;
    alv_fake_record record;
} waiting;

static int connect_and_send(int32_t shard)
{
    char text[256];
    int size = snprintf(text, sizeof text,
                        "POST /v1/entities/%s/commands HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                        "Content-Type: application/json\r\nContent-Length: 16\r\n\r\n" TOUCH,
                        key_of(shard));
    int fd = alv_http_raw_open(alv_api_node_address(&here));
    alv_http_raw_send(fd, text, (size_t)size);
    return fd;
}

static void begin_one(waiting *it, int32_t shard)
{
    it->fd = connect_and_send(shard);
    it->record = alv_fake_sender_take(sender);
    assert_int_equal(it->record.shard, shard);
}

static void expect_end(const waiting *it, int status)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    assert_int_equal(alv_http_raw_read(it->fd, ANSWER_MS, &answer), status);
    alv_bytes_done(&answer);
    (void)close(it->fd);
}

static void end_one(const waiting *it)
{
    execute(&here, &it->record, done_with("{}"));
    expect_end(it, 200);
}

static void expect_no_room(int32_t shard, int status, const char *part)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = connect_and_send(shard);
    assert_int_equal(alv_http_raw_read(fd, ANSWER_MS, &answer), status);
    alv_bytes_append(&answer, "", 1);
    assert_non_null(strstr(answer.data, "Retry-After: 1"));
    assert_non_null(strstr(answer.data, part));
    (void)close(fd);
    alv_bytes_done(&answer);
}

/* One shard whose commands wait gets half of the places and is then told so; others have room all the time, and
 * when its commands are answered it has room again. */
static void refused__too_many_of_one_shard(void **state)
{
    (void)state;
    static waiting slow[ALV_HTTP_COMMANDS_MAX / 2];
    for (int i = 0; i < ALV_HTTP_COMMANDS_MAX / 2; i++)
        begin_one(&slow[i], 1);
    expect_no_room(1, 429, "too many commands of shard 1");
    for (int32_t shard = 0; shard < ALV_API_NODE_SHARDS; shard++) {
        waiting quick;
        if (shard != 1) {
            begin_one(&quick, shard);
            end_one(&quick);
        }
    }
    for (int i = 0; i < ALV_HTTP_COMMANDS_MAX / 2; i++)
        end_one(&slow[i]);
    waiting again;
    begin_one(&again, 1);
    end_one(&again);
}

/* ---- what is not certain --------------------------------------------------------------------- */

static void expect_unwritten(alv_status told, int status, const char *part)
{
    alv_fake_sender_answer(sender, told, false);
    alv_http_result result =
        alv_http_call_post(NULL, alv_api_node_address(&here), PATH, TOUCH, NULL);
    assert_int_equal(result.status, status);
    assert_non_null(strstr(alv_http_result_text(&result, "detail"), part));
    alv_http_result_done(&result);
}

static void unknown__what_kafka_says_of_the_record(void **state)
{
    (void)state;
    expect_unwritten(ALV_RETRY, 503, "not written");
    expect_unwritten(ALV_REJECT, 413, "does not take");
    expect_unwritten(ALV_ABORT, 504, "no Idempotency-Key");
}

static void unknown__no_reply_in_time_is_504(void **state)
{
    (void)state;
    static const char *const headers[] = {"Idempotency-Key: k", NULL};
    call post;
    call_begin(&post, PATH, TOUCH, headers);
    alv_fake_record record = alv_fake_sender_take(sender);
    assert_int_equal(call_end(&post)->status, 504);
    assert_true(post.result.total_ms >= ALV_HTTP_COMMAND_WAIT_MS - 1);
    assert_int_equal(json_integer_value(json_object_get(post.result.json, "offset")), 0);
    assert_non_null(strstr(alv_http_result_text(&post.result, "detail"), "same Idempotency-Key"));
    alv_http_result_done(&post.result);
    execute(&here, &record, done_with("{}")); /* too late: nobody is there, and nothing happens */
    check_answered_by(&here);
}

/* Commands of a shard that is behind end as 504; from then on only a few are written, to find out when it is not
 * any more, and the others are refused before anything is written. Other shards do not know of it. */
static void unknown__shard_that_is_behind_is_503_early(void **state)
{
    (void)state;
    static waiting late[ALV_HTTP_COMMANDS_LATE_MAX + 1];
    for (int i = 0; i <= ALV_HTTP_COMMANDS_LATE_MAX; i++)
        begin_one(&late[i], 2); /* nothing is known against it */
    for (int i = 0; i <= ALV_HTTP_COMMANDS_LATE_MAX; i++)
        expect_end(&late[i], 504);
    for (int i = 0; i < ALV_HTTP_COMMANDS_LATE_MAX; i++)
        begin_one(&late[i], 2);
    int written = alv_fake_sender_count(sender);
    expect_no_room(2, 503, "shard 2 does not execute commands within 10 s");
    assert_int_equal(alv_fake_sender_count(sender), written);
    waiting other;
    begin_one(&other, 1);
    end_one(&other);
    end_one(&late[0]); /* a reply in time */
    for (int i = 0; i < 2; i++)
        begin_one(&late[i == 0 ? 0 : ALV_HTTP_COMMANDS_LATE_MAX], 2);
    for (int i = 0; i <= ALV_HTTP_COMMANDS_LATE_MAX; i++)
        end_one(&late[i]);
}

/* The node that executed it does not know the waiting one yet, or it does not answer for a moment. */
static void unknown__reply_waits_for_its_node(void **state)
{
    (void)state;
    members(&there, NULL);
    alv_api_node_stop(&there);
    alv_api_node_restart(&there, &group, NULL); /* it has never heard of node-1 */
    call post;
    call_begin(&post, PATH, TOUCH, NULL);
    alv_fake_record record = alv_fake_sender_take(sender);
    int asked = alv_fake_group_asked(&group);
    execute(&there, &record, done_with("{}"));
    while (alv_fake_group_asked(&group) < asked + 2) {
    }
    members(&here, &there);
    assert_int_equal(call_end(&post)->status, 200);
    alv_http_result_done(&post.result);
}

/* Who guesses ids, or sends nonsense, answers nobody. */
static void unknown__foreign_replies_are_ignored(void **state)
{
    (void)state;
    call post;
    call_begin(&post, PATH, TOUCH, NULL);
    alv_fake_record record = alv_fake_sender_take(sender);
    static const char *const bodies[] = {
        "",
        "{",
        "{}",
        "[]",
        "[1]",
        "[{\"id\":\"x\"}]",
        ("[{\"id\":\"00000000000000000000000000000000-100000000\",\"kind\":\"done\",\"reason\":"
         "\"none\",\"shard\":0,\"offset\":0,\"position\":{\"commands\":0,\"changelog\":0}}]")};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        alv_http_result result =
            alv_http_call_post(NULL, alv_api_node_address(&here), "/v1/replies", bodies[i], NULL);
        assert_int_equal(result.status, 200);
        alv_http_result_done(&result);
    }
    execute(&here, &record, done_with("7"));
    assert_int_equal(call_end(&post)->status, 200);
    assert_int_equal(json_integer_value(json_object_get(post.result.json, "reply")), 7);
    alv_http_result_done(&post.result);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void *stop_here(void *payload)
{
    (void)payload;
    alv_api_node_stop(&here);
    return NULL;
}

/* A stop waits a moment for replies from the other nodes; new commands are not taken any more. */
static void stop__waits_for_replies(void **state)
{
    (void)state;
    call post;
    call_begin(&post, PATH, TOUCH, NULL);
    alv_fake_record record = alv_fake_sender_take(sender);
    char *address = alv_strdup(alv_api_node_address(&here));
    pthread_t stopping;
    assert_int_equal(pthread_create(&stopping, NULL, stop_here, NULL), 0);
    long status = 0;
    while (status != 503) { /* in time: the stop would be over, and nobody answer */
        static const char *const headers[] = {"Prefer: respond-async", NULL};
        alv_http_result result = alv_http_call_post(NULL, address, PATH, TOUCH, headers);
        status = result.status;
        assert_int_not_equal(status, 0);
        alv_http_result_done(&result);
    }
    execute(&there, &record, done_with("{}"));
    assert_int_equal(call_end(&post)->status, 200);
    alv_http_result_done(&post.result);
    assert_int_equal(pthread_join(stopping, NULL), 0);
    alv_free(address);
}

static void stop__answers_what_is_left(void **state)
{
    (void)state;
    alv_fake_sender_answer(sender, ALV_OK, true);
    call post;
    call_begin(&post, PATH, TOUCH, NULL);
    (void)alv_fake_sender_take(sender);
    alv_api_node_stop(&here);
    assert_int_equal(call_end(&post)->status, 504);
    assert_non_null(strstr(alv_http_result_text(&post.result, "detail"), "stopping"));
    alv_http_result_done(&post.result);
}

#define NODES_TEST(test) cmocka_unit_test_setup_teardown(test, open_nodes, close_nodes)

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        NODES_TEST(command__is_answered_by_this_node),
        NODES_TEST(command__is_answered_by_another_node),
        NODES_TEST(command__without_a_reply_is_null),
        NODES_TEST(command__keys_of_every_kind),
        NODES_TEST(command__rejected_is_422),
        NODES_TEST(command__that_became_a_dead_letter_says_why),
        NODES_TEST(command__idempotency_key_goes_along),
        NODES_TEST(release__is_written_and_answered),
        NODES_TEST(command__async_is_202_once_it_is_written),
        NODES_TEST(command__many_at_once),
        NODES_TEST(command__large_replies_come_through),
        NODES_TEST(refused__before_anything_is_written),
        NODES_TEST(refused__too_large),
        NODES_TEST(refused__malformed_requests),
        NODES_TEST(refused__too_many_of_one_shard),
        NODES_TEST(unknown__what_kafka_says_of_the_record),
        NODES_TEST(unknown__no_reply_in_time_is_504),
        NODES_TEST(unknown__shard_that_is_behind_is_503_early),
        NODES_TEST(unknown__reply_waits_for_its_node),
        NODES_TEST(unknown__foreign_replies_are_ignored),
        NODES_TEST(stop__waits_for_replies),
        NODES_TEST(stop__answers_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
