/* chaos_check.c — when all is quiet: every view of every entity, and every dead letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/chaos_internal.h"
#include "tests/support/cluster_view.h"
#include "tests/support/user_model.h"
#include "tests/support/wait.h"
#include "tests/support/wire.h"
#include "topics/schema.h"

#define CHECK_DRAIN_TIMEOUT_MS 120000
#define CHECK_POSTGRES_TIMEOUT_MS 60000
#define CHECK_SHOWN_MAX 5
#define CHECK_SHARDS_MAX 64
#define CHECK_VERIFY_TIMEOUT_MS 120000
#define CHECK_JSON (JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS)

enum {
    MODEL,
    CHANGELOG,
    HTTP,
    POSTGRES,
    VIEWS
};

static const char *const view_names[VIEWS] = {"model", "changelog", "HTTP", "PostgreSQL"};

/* ---- views ----------------------------------------------------------------------------------- */

/* Each entity is asked for at a node that chance chooses. */
static json_t *check_http_states(alv_chaos *chaos, json_t *keys)
{
    json_t *asked[ALV_CHAOS_NODES_MAX];
    json_t *all = json_object();
    for (int i = 0; i < chaos->options.nodes; i++) {
        asked[i] = json_array();
    }
    size_t index;
    json_t *key;
    json_array_foreach(keys, index, key)
    {
        uint64_t node = alv_user_model_random(&chaos->random) % (uint64_t)chaos->options.nodes;
        json_array_append(asked[node], key);
    }
    for (int i = 0; i < chaos->options.nodes; i++) {
        json_t *states = alv_cluster_http_states(chaos->slots[i].node, asked[i]);
        (void)json_object_update(all, states);
        json_decref(states);
        json_decref(asked[i]);
    }
    return all;
}

/* The rows, as soon as they are `expected`, or as they are at the deadline. */
static json_t *check_postgres_states(alv_chaos *chaos, json_t *expected)
{
    int64_t deadline = alv_wait_deadline(CHECK_POSTGRES_TIMEOUT_MS);
    json_t *states = alv_cluster_postgres_states(&chaos->cluster);
    while (!json_equal(states, expected) && !alv_wait_expired(deadline)) {
        json_decref(states);
        (void)poll(NULL, 0, 100);
        states = alv_cluster_postgres_states(&chaos->cluster);
    }
    return states != NULL ? states : json_object();
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void check_show(const char *key, json_t *const *views)
{
    fprintf(stderr, "chaos: %s differs\n", key);
    for (int i = 0; i < VIEWS; i++) {
        json_t *state = json_object_get(views[i], key);
        char *text = state != NULL ? json_dumps(state, CHECK_JSON) : NULL;
        fprintf(stderr, "  %-10s %s\n", view_names[i], text != NULL ? text : "absent");
        free(text);
    }
}

/* A json_t that is not there equals one that is not there. */
static bool check_same(json_t *a, json_t *b)
{
    return a == NULL || b == NULL ? a == b : json_equal(a, b) != 0;
}

/* How many entities are not the same everywhere; the first ones are shown. */
static int check_entities(json_t *keys, json_t *const *views)
{
    int different = 0;
    size_t index;
    json_t *item;
    json_array_foreach(keys, index, item)
    {
        bool same = true;
        const char *key = json_string_value(item);
        for (int i = 1; i < VIEWS; i++) {
            same =
                same && check_same(json_object_get(views[0], key), json_object_get(views[i], key));
        }
        if (!same && different++ < CHECK_SHOWN_MAX) {
            check_show(key, views);
        }
    }
    return different;
}

/* Nothing is anywhere that the model has never heard of. */
static void check_sizes(json_t *const *views)
{
    for (int i = 1; i < VIEWS; i++) {
        if (json_object_size(views[i]) != json_object_size(views[MODEL])) {
            fail_msg("%s has %zu entities, the model %zu", view_names[i],
                     json_object_size(views[i]), json_object_size(views[MODEL]));
        }
    }
}

/* ---- dead letters ---------------------------------------------------------------------------- */

/* Takes the number of each dead letter off the list of those that are expected. */
static void check_visit_dead_letter(void *payload, const alv_wire_message *message)
{
    json_t *expected = payload;
    char number[32] = "";
    json_t *body = json_loadb(message->value.data, message->value.size, 0, NULL);
    (void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(body, "n")));
    json_decref(body);
    if (json_object_del(expected, number) != 0) {
        alv_view why = alv_wire_message_header(message, "reason");
        fail_msg("command %s is a dead letter, or is one twice: %.*s (%.*s)", number,
                 (int)message->value.size, (const char *)message->value.data, (int)why.size,
                 why.data != NULL ? (const char *)why.data : "");
    }
}

static void check_dead_letters(alv_chaos *chaos)
{
    json_t *expected = alv_chaos_load_dead_letters(chaos->load);
    alv_wire_read(chaos->cluster.brokers, alv_cluster_topic(&chaos->cluster, "dead-letters"),
                  check_visit_dead_letter, expected);
    if (json_object_size(expected) > 0) {
        fail_msg("%zu dead letters are missing, among them that of command %s",
                 json_object_size(expected), json_object_iter_key(json_object_iter(expected)));
    }
    json_decref(expected);
}

/* ---- owners ---------------------------------------------------------------------------------- */

typedef struct check_owner {
    bool has_timers;                /* a transaction need not consume anything */
    int64_t next[CHECK_SHARDS_MAX]; /* input up to which effects are committed */
    int64_t transactions;
} check_owner;

/* Every transaction says up to where it consumed each of its shards. Whoever committed it, it must have gone
 * on where the one before ended: two owners at a time would say the same twice (I3, I11). */
static void check_visit_position(void *payload, const alv_wire_message *message)
{
    check_owner *owner = payload;
    int64_t next = 0;
    int64_t at_ms = 0;
    if (!alv_view_equal(message->key, ALV_VIEW(ALV_POSITION_KEY))) {
        return;
    }
    assert_in_range(message->partition, 0, CHECK_SHARDS_MAX - 1);
    assert_int_equal(alv_schema_read_position(message->value, &next, &at_ms, NULL), ALV_OK);
    if (next < owner->next[message->partition] + (owner->has_timers ? 0 : 1)) {
        fail_msg("shard %d: commands up to %" PRId64 " were executed, then up to %" PRId64
                 " (ledger offset %" PRId64 ")",
                 message->partition, owner->next[message->partition], next, message->offset);
    }
    owner->next[message->partition] = next;
    owner->transactions++;
}

static check_owner check_owners(const alv_chaos *chaos)
{
    check_owner owner = {.has_timers = !alv_chaos_load_is_alone(chaos->load)};
    alv_wire_read(chaos->cluster.brokers, alv_cluster_topic(&chaos->cluster, "ledger"),
                  check_visit_position, &owner);
    assert_true(owner.transactions > 0);
    return owner;
}

/* ---- rest ------------------------------------------------------------------------------------ */

/* All commands are the load's own: the group has consumed as many as were sent. */
static void check_rest_of_sent(const alv_chaos *chaos)
{
    alv_cluster_wait_consumed(&chaos->cluster, CHECK_DRAIN_TIMEOUT_MS);
    const char *topic = alv_cluster_topic(&chaos->cluster, "commands");
    assert_int_equal(alv_wire_committed(chaos->cluster.brokers, chaos->cluster.application, topic),
                     alv_chaos_load_sent(chaos->load));
    (void)check_owners(chaos);
}

static void check_visit_command(void *payload, const alv_wire_message *message)
{
    int64_t *ends = payload;
    assert_in_range(message->partition, 0, CHECK_SHARDS_MAX - 1);
    ends[message->partition] = message->offset + 1;
}

/* Whether the last command of every shard is executed. What nodes sent each other is among them, with the
 * ends of their transactions in between, which nobody consumes: offsets do not count commands then. */
static bool check_is_consumed(const alv_chaos *chaos, const check_owner *owner)
{
    int64_t ends[CHECK_SHARDS_MAX] = {0};
    alv_wire_read(chaos->cluster.brokers, alv_cluster_topic(&chaos->cluster, "commands"),
                  check_visit_command, ends);
    return memcmp(ends, owner->next, sizeof(ends)) == 0;
}

/* Commands and timers lead to further ones: nothing is pending, and then nothing is left to consume. */
static void check_rest_of_effects(const alv_chaos *chaos)
{
    int64_t deadline = alv_wait_deadline(CHECK_DRAIN_TIMEOUT_MS);
    for (bool at_rest = false; !at_rest;) {
        json_t *changelog = alv_cluster_changelog_states(&chaos->cluster);
        size_t pending = alv_chaos_load_pending(chaos->load, changelog);
        json_decref(changelog);
        check_owner owner = check_owners(chaos);
        at_rest = pending == 0 && check_is_consumed(chaos, &owner);
        if (!at_rest && alv_wait_expired(deadline)) {
            fail_msg("%zu are pending after %d ms, or commands are not consumed", pending,
                     CHECK_DRAIN_TIMEOUT_MS);
        }
    }
}

static void check_rest(const alv_chaos *chaos)
{
    if (alv_chaos_load_is_alone(chaos->load)) {
        check_rest_of_sent(chaos);
    } else {
        check_rest_of_effects(chaos);
    }
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* A shard stops when a person must decide something, and is wiped when its data cannot be continued. Nothing
 * here is of that kind, however a node ended (I6). */
static void check_logs(const alv_chaos *chaos)
{
    for (int i = 0; i <= chaos->options.nodes; i++) {
        const alv_cluster_node *node = chaos->slots[i].node;
        if (alv_cluster_log_has(node, "event=shard-stopped")) {
            fail_msg("%s has stopped a shard; its log says why", node->id);
        }
        if (alv_cluster_log_has(node, "event=shard-wiped")) {
            fail_msg("%s has wiped a shard; its log says why", node->id);
        }
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

static void check_views(alv_chaos *chaos, json_t *changelog)
{
    json_t *keys = alv_chaos_load_keys(chaos->load);
    json_t *views[VIEWS];
    views[MODEL] = alv_chaos_load_states(chaos->load, changelog);
    views[CHANGELOG] = json_incref(changelog);
    views[HTTP] = check_http_states(chaos, keys);
    views[POSTGRES] = check_postgres_states(chaos, views[MODEL]);
    int different = check_entities(keys, views);
    if (different > 0) {
        fail_msg("%d entities are not the same everywhere", different);
    }
    check_sizes(views);
    for (int i = 0; i < VIEWS; i++) {
        json_decref(views[i]);
    }
    json_decref(keys);
}

void alv_chaos_check(alv_chaos *chaos)
{
    check_rest(chaos);
    json_t *changelog = alv_cluster_changelog_states(&chaos->cluster);
    check_views(chaos, changelog);
    alv_chaos_load_check(chaos->load, &chaos->cluster, changelog);
    json_decref(changelog);
    check_dead_letters(chaos);
    check_logs(chaos);
}

/* Reads the whole changelog and compares what a node left on its disk with it (I2), and PostgreSQL (I5). */
void alv_chaos_verify(alv_chaos *chaos)
{
    for (int i = 0; i <= chaos->options.nodes; i++) {
        const alv_cluster_node *node = chaos->slots[i].node;
        char *state_dir = alv_format("state.dir=%s", node->state_dir);
        char *output = alv_cluster_path(&chaos->cluster, "verify.log");
        const char *const argv[] = {chaos->cluster.binary,
                                    "verify",
                                    "-c",
                                    chaos->cluster.config_path,
                                    "-X",
                                    state_dir,
                                    NULL};
        alv_process_files files = {.out = output, .err = output};
        int status = alv_process_run(argv, files, CHECK_VERIFY_TIMEOUT_MS);
        if (status != 0) {
            fail_msg("what %s left differs: verify ended with %d, see verify.log", node->id,
                     status);
        }
        alv_free(state_dir);
        alv_free(output);
    }
}
