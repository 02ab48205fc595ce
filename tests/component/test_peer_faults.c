/* Goal:   whichever request between nodes fails, and however: whoever asked gets a right answer or the one that
 *         docs/http.md has for it, soon; nothing a stranger says is passed on; and when the fault has passed, the
 *         answer is right again.
 * Method: two real nodes in this process, each behind a faulty_peer.h. Something is asked again and again, and the n-th
 *         request between the nodes fails, n = 0, 1, 2, ..., until it is answered before that; then the same with
 *         all requests from the n-th on; all of this for each fault. Nodes of another application, a process that was
 *         the node once, and another node of the application are real as well. What takes time is mostly waiting, so
 *         each fault of each kind of request has a process of its own, many at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/http_follow.h"
#include "api/http_get.h"
#include "api/http_limits.h"
#include "api/twin.h"
#include "base/alloc.h"
#include "base/logger.h"
#include "processor/reply_box.h"
#include "tests/support/api_node.h"
#include "tests/support/fake_sender.h"
#include "tests/support/faulty_peer.h"
#include "tests/support/http_call.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define REQUESTS_MAX 32 /* more than anything asks */
#define AGAIN_MS \
    20000 /* for what takes a while to be right again, such as a pause after a refusal */
#define GET_MS 2000
#define PEER_TIMEOUT_MS 400
#define CHILDREN_MAX 64
#define CHILD_MS 150000

#define KEY "7:10"     /* of the other node; strangers have another state */
#define MISSING "7:11" /* the same; strangers have one */
#define SET_ASIDE "7:9"

/* What came of asking. */
typedef enum outcome {
    WRONG,
    SAID, /* that it cannot be told now, in the way that is documented */
    RIGHT,
} outcome;

static struct {
    alv_peer_fault fault;
    alv_fake_group group;
    alv_fake_group nobody; /* what others than the two nodes hear of the group */
    alv_fake_sender *sender;
    alv_api_node here;
    alv_api_node there;
    alv_api_node strangers[2]; /* with the ids of here and there */
    alv_api_node old[2];
    alv_api_node other;
    alv_peer_faults faults;
    alv_faulty_peer *fronts[2]; /* of here and there */
} stage;

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool pause_at_once(void *payload, int32_t shard, bool paused,
                          void (*done)(void *payload, alv_status status), void *done_payload)
{
    alv_api_node *node = payload;
    if (alv_directory_view(node->directory, shard).state != ALV_SHARD_ACTIVE)
        return false;
    alv_directory_set_paused(node->directory, shard, paused);
    done(done_payload, ALV_OK);
    return true;
}

static void node_open(alv_api_node *node, const char *application, const char *node_id,
                      bool has_peers, alv_fake_group *group)
{
    const alv_settings settings = {.node_id = node_id,
                                   .application_id = application,
                                   .lanes = 1,
                                   .http_listen = "127.0.0.1:0",
                                   .failover_evict = has_peers,
                                   .peer_timeout_ms = PEER_TIMEOUT_MS};
    alv_api_node_open_with(node, &settings, group);
}

/* A state that nobody may see; the shards are as new as `position` says. */
static void impostor_fill(alv_api_node *node, int64_t position)
{
    node->not_ready = "impostor";
    alv_api_node_activate_all(node);
    alv_api_node_put(node, KEY, ALV_VIEW("{\"n\":-1}"), position);
    alv_api_node_put(node, MISSING, ALV_VIEW("{\"n\":-2}"), position);
    for (int i = 0; i < 10; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "7:%d", i);
        alv_api_node_put(node, key, ALV_VIEW("{\"n\":-3}"), position);
    }
}

static bool is_there(int32_t shard)
{
    return shard == alv_api_node_shard(KEY) || shard == alv_api_node_shard(MISSING);
}

static void group_says(void)
{
    alv_fake_lane lanes[2] = {{.lane = 0}, {.lane = 0}};
    size_t counts[2] = {0, 0};
    for (int32_t shard = 0; shard < ALV_API_NODE_SHARDS; shard++) {
        int owner = is_there(shard);
        lanes[owner].shards[counts[owner]++] = shard;
    }
    for (int i = 0; i < 2; i++) {
        lanes[i].shards[counts[i]] = -1;
        (void)snprintf(lanes[i].node_id, sizeof lanes[i].node_id, "node-%d", i + 1);
        (void)snprintf(lanes[i].address, sizeof lanes[i].address, "%s",
                       alv_faulty_peer_address(stage.fronts[i]));
    }
    alv_fake_group_say(&stage.group, lanes, 2);
}

static void put(const char *key, const char *state)
{
    alv_api_node *owner = is_there(alv_api_node_shard(key)) ? &stage.there : &stage.here;
    alv_api_node_put(owner, key, alv_view_of(state), 50);
}

static bool group_is_known(void *payload)
{
    (void)payload;
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_api_node_address(&stage.here), "/v1/cluster", NULL);
    size_t count = json_array_size(json_object_get(result.json, "nodes"));
    alv_http_result_done(&result);
    return count == 2;
}

static void stage_open(bool has_peers)
{
    static const char *const ids[] = {"node-1", "node-2"};
    alv_fake_group_init(&stage.group);
    alv_fake_group_init(&stage.nobody);
    stage.sender = alv_fake_sender_new();
    stage.here.set_paused = stage.there.set_paused = pause_at_once;
    node_open(&stage.here, "mall", ids[0], has_peers, &stage.group);
    alv_api_node_stop(&stage.here); /* again, with a log */
    stage.here.log = alv_fake_sender_log(stage.sender);
    alv_api_node_restart(&stage.here, &stage.group, NULL);
    node_open(&stage.there, "mall", ids[1], has_peers, &stage.group);
    node_open(&stage.other, "mall", "node-9", has_peers, &stage.nobody);
    alv_peer_faults_init(&stage.faults);
    for (int i = 0; i < 2; i++) {
        node_open(&stage.strangers[i], "harbour", ids[i], has_peers, &stage.nobody);
        impostor_fill(&stage.strangers[i], 99);
        node_open(&stage.old[i], "mall", ids[i], has_peers, &stage.nobody);
        impostor_fill(&stage.old[i], 3);
        const alv_peer_seats seats = {.node =
                                          alv_api_node_address(i == 0 ? &stage.here : &stage.there),
                                      .stranger = alv_api_node_address(&stage.strangers[i]),
                                      .old = alv_api_node_address(&stage.old[i]),
                                      .other = alv_api_node_address(&stage.other)};
        stage.fronts[i] = alv_faulty_peer_start(&stage.faults, &seats);
    }
    for (int32_t shard = 0; shard < ALV_API_NODE_SHARDS; shard++)
        alv_api_node_activate(is_there(shard) ? &stage.there : &stage.here, shard);
    for (int i = 0; i < 10; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "7:%d", i);
        put(key, "{\"n\":0}");
    }
    put(KEY, "{\"n\":1}");
    alv_api_node_quarantine(is_there(alv_api_node_shard(SET_ASIDE)) ? &stage.there : &stage.here,
                            SET_ASIDE, "{\"quarantined\":true,\"reason\":\"failed\"}", 51);
    group_says();
    assert_true(alv_wait_until(group_is_known, NULL, AGAIN_MS));
}

static void stage_close(void)
{
    alv_api_node *all[] = {&stage.here,   &stage.there,  &stage.strangers[0], &stage.strangers[1],
                           &stage.old[0], &stage.old[1], &stage.other};
    for (int i = 0; i < 2; i++)
        alv_faulty_peer_stop(stage.fronts[i]); /* they have borrowed the addresses of nodes */
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        alv_api_node_close(all[i]);
    alv_fake_sender_free(stage.sender);
    alv_fake_group_done(&stage.group);
    alv_fake_group_done(&stage.nobody);
}

static int files_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count;
}

/* ---- what is asked --------------------------------------------------------------------------- */

/* 503 as docs/http.md has it. */
static bool is_unavailable(const alv_http_result *result)
{
    return result->status == 503 && strcmp(result->content_type, "application/problem+json") == 0 &&
           result->retry_after_s > 0 && strlen(alv_http_result_text(result, "detail")) > 0;
}

static outcome ask_path(const char *method, const char *path,
                        bool (*is_right)(const alv_http_result *result))
{
    alv_http_result result =
        alv_http_call(NULL, method, alv_api_node_address(&stage.here), path, NULL);
    outcome came = is_right(&result) ? RIGHT : is_unavailable(&result) ? SAID : WRONG;
    if (came == WRONG)
        print_error("%s: %ld %.*s\n", path, result.status, (int)result.body.size,
                    result.body.data != NULL ? result.body.data : "");
    alv_http_result_done(&result);
    return came;
}

static bool has_state(const alv_http_result *result)
{
    return result->status == 200 &&
           json_integer_value(json_object_get(json_object_get(result->json, "state"), "n")) == 1;
}

static outcome ask_entity(void)
{
    return ask_path("GET", "/v1/entities/" KEY, has_state);
}

static bool is_missing(const alv_http_result *result)
{
    return result->status == 404 && strcmp(result->content_type, "application/problem+json") == 0 &&
           strstr(alv_http_result_text(result, "detail"), MISSING) != NULL;
}

static outcome ask_missing(void)
{
    return ask_path("GET", "/v1/entities/" MISSING, is_missing);
}

static bool has_all(const alv_http_result *result)
{
    json_t *entities = json_object_get(result->json, "entities");
    bool good = result->status == 200 && json_array_size(entities) == 11;
    size_t i = 0;
    json_t *entity = NULL;
    json_array_foreach(entities, i, entity)
    {
        good =
            good && json_integer_value(json_object_get(json_object_get(entity, "state"), "n")) >= 0;
    }
    return good;
}

static outcome ask_list(void)
{
    return ask_path("GET", "/v1/entities?prefix=7:", has_all);
}

static bool has_quarantined(const alv_http_result *result)
{
    json_t *list = json_object_get(result->json, "quarantined");
    return result->status == 200 && json_array_size(list) == 1;
}

static outcome ask_quarantine(void)
{
    return ask_path("GET", "/v1/quarantine", has_quarantined);
}

static bool has_metrics(const alv_http_result *result)
{
    return result->status == 200 &&
           memmem(result->body.data, result->body.size, "\nalluvium_", 10) != NULL;
}

static outcome ask_metrics(void)
{
    return ask_path("GET", "/v1/nodes/node-2/metrics", has_metrics);
}

static bool is_paused(const alv_http_result *result)
{
    return result->status == 200 && strcmp(alv_http_result_text(result, "node"), "node-2") == 0 &&
           alv_directory_view(stage.there.directory, alv_api_node_shard(KEY)).is_paused;
}

static outcome ask_pause(void)
{
    char path[64];
    int32_t shard = alv_api_node_shard(KEY);
    alv_directory_set_paused(stage.there.directory, shard, false);
    (void)snprintf(path, sizeof path, "/v1/shards/%d/pause", (int)shard);
    return ask_path("POST", path, is_paused);
}

/* What the other node says of itself, or that it is not known. Who has taken its place within the application and under
 * its id is the node, as far as anybody can tell. */
static outcome ask_cluster_once(void)
{
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_api_node_address(&stage.here), "/v1/cluster", NULL);
    const json_t *node = json_array_get(json_object_get(result.json, "nodes"), 1);
    const json_t *ready = json_object_get(node, "ready");
    size_t unknown = json_array_size(json_object_get(result.json, "unknown"));
    outcome came = WRONG;
    if (result.status == 200 && unknown == 1 && json_is_null(ready))
        came = SAID;
    else if (result.status == 200 && unknown == 0 &&
             (json_is_true(ready) || stage.fault == ALV_PEER_OLD))
        came = RIGHT;
    else
        print_error("%ld %.*s\n", result.status, (int)result.body.size, result.body.data);
    alv_http_result_done(&result);
    return came;
}

/* What was asked a moment ago is told again without asking. */
static outcome ask_cluster(void)
{
    int asked = alv_peer_faults_asked(&stage.faults);
    int64_t deadline = alv_wait_deadline(AGAIN_MS);
    outcome came = RIGHT;
    while (came == RIGHT && asked == alv_peer_faults_asked(&stage.faults) &&
           !alv_wait_expired(deadline))
        came = ask_cluster_once();
    return came;
}

/* ---- a command that the other node executes -------------------------------------------------- */

static void *post_command(void *payload)
{
    alv_http_result *result = payload;
    *result = alv_http_call_post(NULL, alv_api_node_address(&stage.here),
                                 "/v1/entities/" KEY "/commands", "{\"type\":\"touch\"}", NULL);
    return NULL;
}

static void execute(const alv_fake_record *record)
{
    const alv_result done = {.kind = ALV_RESULT_DONE,
                             .text = ALV_VIEW("{\"n\":7}"),
                             .shard = record->shard,
                             .offset = record->offset,
                             .node = ALV_VIEW("node-1"),
                             .id = alv_view_of(record->correlation_id),
                             .position = {.commands = 50, .changelog = 100}};
    alv_reply_box box;
    alv_reply_box_init(&box);
    alv_reply_box_add(&box, &done);
    alv_api_replied(stage.there.api, &box);
    alv_reply_box_done(&box);
}

static outcome ask_command(void)
{
    pthread_t thread;
    alv_http_result result;
    assert_int_equal(pthread_create(&thread, NULL, post_command, &result), 0);
    alv_fake_record record = alv_fake_sender_take(stage.sender);
    execute(&record);
    assert_int_equal(pthread_join(thread, NULL), 0);
    const json_t *reply = json_object_get(result.json, "reply");
    outcome came = WRONG;
    if (result.status == 200 && json_integer_value(json_object_get(reply, "n")) == 7)
        came = RIGHT;
    else if (result.status == 504 && strlen(alv_http_result_text(&result, "detail")) > 0)
        came = SAID;
    alv_http_result_done(&result);
    return came;
}

/* ---- who asks and waits ---------------------------------------------------------------------- */

static outcome ask_twin(void)
{
    alv_members members;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_twin_check(stage.here.api, &members, &err);
    alv_members_done(&members);
    if (status == ALV_REJECT)
        return stage.fault == ALV_PEER_OLD ? SAID : WRONG; /* it is one */
    return status == ALV_OK ? RIGHT : WRONG;
}

static alv_status fetch(bool *out_right, alv_error *err)
{
    alv_http_security security;
    alv_bytes body = ALV_BYTES_EMPTY;
    int http_status = 0;
    alv_http_security_init_client(&stage.here.settings, &security);
    alv_status status = alv_http_get(&security, alv_faulty_peer_address(stage.fronts[1]),
                                     "/v1/node", GET_MS, &http_status, &body, err);
    *out_right = status == ALV_OK && http_status == 200 && body.size > 0 &&
                 memmem(body.data, body.size, "\"node-2\"", 8) != NULL;
    alv_bytes_done(&body);
    return status;
}

/* The commands of the command line look at status and body themselves. */
static outcome ask_fetch(void)
{
    alv_error err = ALV_ERROR_NONE;
    bool right = false;
    alv_status status = fetch(&right, &err);
    bool said = status == ALV_OK || ((status == ALV_RETRY || status == ALV_REJECT) && err.text[0]);
    return right ? RIGHT : said ? SAID : WRONG;
}

static bool take_event(void *payload, const alv_sse_event *event)
{
    (void)payload;
    (void)event;
    return true;
}

/* These nodes have no changelog: they say 503, so that another one is asked. */
static outcome ask_follow(void)
{
    alv_http_security security;
    alv_error err = ALV_ERROR_NONE;
    alv_sse_parser parser;
    const volatile sig_atomic_t stop = 0;
    alv_http_security_init_client(&stage.here.settings, &security);
    alv_sse_parser_init(&parser, take_event, NULL);
    const alv_http_follow follow = {.security = &security,
                                    .address = alv_faulty_peer_address(stage.fronts[1]),
                                    .path = "/v1/watch?key=a",
                                    .silent_ms = GET_MS,
                                    .parser = &parser,
                                    .stop = &stop};
    alv_status status = alv_http_follow_run(&follow, &err);
    alv_sse_parser_done(&parser);
    return (status == ALV_RETRY || status == ALV_REJECT) && err.text[0] ? RIGHT : WRONG;
}

/* ---- the stream between peers ---------------------------------------------------------------- */

static const char *peer_state(void)
{
    static char text[32];
    alv_http_result result =
        alv_http_call(NULL, "GET", alv_api_node_address(&stage.here), "/v1/peers", NULL);
    const json_t *peer = json_array_get(json_object_get(result.json, "peers"), 0);
    const char *state = json_string_value(json_object_get(peer, "state"));
    (void)snprintf(text, sizeof text, "%s", state != NULL ? state : "");
    alv_http_result_done(&result);
    return text;
}

static bool peer_is_alive(void *payload)
{
    (void)payload;
    return strcmp(peer_state(), "alive") == 0;
}

/* Only a refusal is a proof of death. */
static bool peer_is_missed(void *payload)
{
    (void)payload;
    const char *state = peer_state();
    if (strcmp(state, "dead") == 0)
        assert_int_equal(stage.fault, ALV_PEER_REFUSES);
    return strcmp(state, "suspected") == 0 || strcmp(state, "dead") == 0;
}

static void check_stream(void)
{
    assert_true(alv_wait_until(peer_is_alive, NULL, AGAIN_MS));
    for (int always = 0; always < 2; always++) {
        alv_peer_faults_arm(&stage.faults, stage.fault, 0, always != 0);
        alv_faulty_peer_mend(stage.fronts[1]); /* the stream there is ends */
        if (always != 0 && stage.fault != ALV_PEER_OLD)
            assert_true(alv_wait_until(peer_is_missed, NULL, AGAIN_MS));
        else
            assert_true(alv_wait_until(peer_is_alive, NULL, AGAIN_MS) ||
                        stage.fault == ALV_PEER_REFUSES);
        (void)alv_peer_faults_disarm(&stage.faults);
        alv_faulty_peer_mend(stage.fronts[0]);
        alv_faulty_peer_mend(stage.fronts[1]);
        assert_true(alv_wait_until(peer_is_alive, NULL, AGAIN_MS));
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    outcome (*ask)(void); /* NULL = the stream between peers */
    bool passes_on; /* the body as it is, so that one that makes no sense is passed on as well */
} requests[] = {
    {"twin", ask_twin, false},       {"follow", ask_follow, false},
    {"fetch", ask_fetch, false},     {"stream", NULL, false},
    {"cluster", ask_cluster, false}, {"metrics", ask_metrics, true},
    {"pause", ask_pause, true},      {"entity", ask_entity, true},
    {"missing", ask_missing, true},  {"quarantine", ask_quarantine, false},
    {"list", ask_list, false},       {"command", ask_command, false},
};
#define REQUESTS (sizeof requests / sizeof requests[0])

static bool is_right(void *payload)
{
    const size_t *number = payload;
    return requests[*number].ask() == RIGHT;
}

static void check_request(size_t number, bool always)
{
    int failed = 1;
    for (int at = 0; failed > 0; at++) {
        assert_true(at < REQUESTS_MAX);
        alv_peer_faults_arm(&stage.faults, stage.fault, at, always);
        outcome came = requests[number].ask();
        failed = alv_peer_faults_disarm(&stage.faults);
        assert_int_not_equal(came, WRONG);
        assert_true(failed > 0 || came == RIGHT);
        assert_true(failed > 0 || at > 0); /* something was asked of the other node */
        alv_faulty_peer_mend(stage.fronts[0]);
        alv_faulty_peer_mend(stage.fronts[1]);
        assert_true(alv_wait_until(is_right, &number, AGAIN_MS));
    }
}

static size_t child_number; /* of the request */

static void child__one_fault_of_one_request(void **state)
{
    (void)state;
    int files = files_open();
    stage_open(requests[child_number].ask == NULL);
    if (requests[child_number].ask == NULL) {
        check_stream();
    } else {
        assert_true(alv_wait_until(is_right, &child_number, AGAIN_MS));
        check_request(child_number, false);
        check_request(child_number, true);
    }
    stage_close();
    assert_int_equal(files_open(), files);
}

static int run_child(const char *fault, const char *request)
{
    while (strcmp(alv_peer_fault_names[stage.fault], fault) != 0)
        stage.fault++;
    while (strcmp(requests[child_number].name, request) != 0)
        child_number++;
    const struct CMUnitTest tests[] = {cmocka_unit_test(child__one_fault_of_one_request)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* ---- the parent ------------------------------------------------------------------------------ */

typedef struct child {
    alv_process process;
    bool started;
    char *output;
} child;

static child children[ALV_PEER_FAULTS][REQUESTS];
static char *scratch;

static bool is_played(size_t fault, size_t request)
{
    return fault != ALV_PEER_SPOILS || !requests[request].passes_on;
}

static void child_start(size_t fault, size_t request)
{
    child *one = &children[fault][request];
    const char *const argv[] = {"/proc/self/exe", alv_peer_fault_names[fault],
                                requests[request].name, NULL};
    one->output = alv_format("%s/%s-%s", scratch, argv[1], argv[2]);
    const alv_process_files files = {.out = one->output, .err = one->output};
    alv_process_start(&one->process, argv, files);
    one->started = true;
}

static int children_running(void)
{
    int running = 0;
    for (size_t i = 0; i < ALV_PEER_FAULTS * REQUESTS; i++) {
        child *one = &children[i / REQUESTS][i % REQUESTS];
        running += one->started && !alv_process_wait(&one->process, 0);
    }
    return running;
}

static bool has_room(void *payload)
{
    (void)payload;
    return children_running() < CHILDREN_MAX;
}

/* Those that wait longest first. */
static int start_children(void **state)
{
    (void)state;
    scratch = alv_scratch_make();
    for (size_t request = REQUESTS; request-- > 0;) {
        for (size_t fault = 0; fault < ALV_PEER_FAULTS; fault++) {
            if (!is_played(fault, request))
                continue;
            assert_true(alv_wait_until(has_room, NULL, CHILD_MS));
            child_start(fault, request);
        }
    }
    return 0;
}

static int end_children(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALV_PEER_FAULTS * REQUESTS; i++) {
        alv_process_done(&children[i / REQUESTS][i % REQUESTS].process);
        alv_free(children[i / REQUESTS][i % REQUESTS].output);
    }
    alv_scratch_remove(scratch);
    return 0;
}

static void show(const char *path)
{
    char line[512];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        print_error("%s", line);
    if (file != NULL)
        (void)fclose(file);
}

static void peer__fails_in_this_way(void **state)
{
    const size_t *fault = *state;
    int failed = 0;
    for (size_t request = 0; request < REQUESTS; request++) {
        child *one = &children[*fault][request];
        if (!is_played(*fault, request))
            continue;
        bool ended = alv_process_wait(&one->process, CHILD_MS);
        if (!ended || one->process.exit_status != 0) {
            print_error("%s %s: %s %d\n", alv_peer_fault_names[*fault], requests[request].name,
                        ended ? "status" : "does not end", one->process.exit_status);
            show(one->output);
            failed++;
        }
    }
    assert_int_equal(failed, 0);
}

int main(int argc, char **argv)
{
    alv_log_set_level(ALV_LOG_NOTHING);
    if (argc == 3)
        return run_child(argv[1], argv[2]);
    static size_t numbers[ALV_PEER_FAULTS];
    struct CMUnitTest tests[ALV_PEER_FAULTS];
    for (size_t i = 0; i < ALV_PEER_FAULTS; i++) {
        numbers[i] = i;
        tests[i] = (struct CMUnitTest){.name = alv_peer_fault_names[i],
                                       .test_func = peer__fails_in_this_way,
                                       .initial_state = &numbers[i]};
    }
    return cmocka_run_group_tests_name("peer", tests, start_children, end_children);
}
