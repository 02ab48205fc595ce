/* sim_load.c — what clients send; see sim_cell.h for the commands. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim_run_internal.h"
#include "tests/sim/sim_trace.h"
#include "topics/schema.h"

#define LOAD_TIMER_NAMES 3

static void load_write_timer(sim_simulation *run, int64_t id, char *out, size_t size)
{
    sim_random *random = &run->random;
    int64_t name = sim_random_below(random, LOAD_TIMER_NAMES);
    if (sim_random_chance(random, 300)) {
        (void)snprintf(out, size,
                       "{\"type\":\"disarm\",\"id\":%" PRId64 ",\"name\":\"t%" PRId64 "\"}", id,
                       name);
        return;
    }
    int64_t delay_ms = sim_random_chance(random, 500) ? sim_random_between(random, 1, 300)
                                                      : sim_random_between(random, 300, 15000);
    (void)snprintf(out, size,
                   "{\"type\":\"arm\",\"id\":%" PRId64 ",\"name\":\"t%" PRId64
                   "\",\"delay\":%" PRId64 ",\"left\":%" PRId64 "}",
                   id, name, delay_ms, sim_random_below(random, 3));
}

static void load_write_bad(sim_simulation *run, char *out, size_t size)
{
    static const char *const bad[] = {"{oops", "{\"type\":\"dance\",\"id\":1}",
                                      "{\"type\":\"add\"}"};
    (void)snprintf(out, size, "%s", bad[sim_random_below(&run->random, 3)]);
}

/* True when it may carry an idempotency key. */
static bool load_write(sim_simulation *run, char *out, size_t size)
{
    int64_t id = ++run->last_id;
    int64_t choice = sim_random_below(&run->random, 100);
    if (choice < 3) {
        load_write_bad(run, out, size);
        return false;
    }
    if (choice >= 90) {
        (void)snprintf(out, size, "{\"type\":\"look\",\"id\":%" PRId64 ",\"row\":\"r%" PRId64 "\"}",
                       id, sim_random_below(&run->random, SIM_TABLE_ROWS));
        return true;
    }
    if (choice < 25) {
        load_write_timer(run, id, out, size);
    } else if (choice < 40) {
        char to[16];
        sim_model_key((int)sim_random_below(&run->random, SIM_CELLS), to, sizeof to);
        (void)snprintf(out, size, "{\"type\":\"pass\",\"id\":%" PRId64 ",\"to\":\"%s\"}", id, to);
    } else {
        const char *type = choice < 44 ? "remove" : choice < 48 ? "refuse" : "add";
        (void)snprintf(out, size, "{\"type\":\"%s\",\"id\":%" PRId64 "}", type, id);
    }
    return true;
}

/* Mostly the same ones fail: it takes some in a row until an entity is quarantined. */
static void load_break(sim_simulation *run, run_sent *out)
{
    static const int weak[] = {3, SIM_MISTS_FROM + 1};
    if (!sim_random_chance(&run->random, 100)) {
        out->cell = weak[sim_random_below(&run->random, 2)];
    }
    (void)snprintf(out->value, sizeof out->value, "{\"type\":\"break\",\"id\":%" PRId64 "}",
                   ++run->last_id);
}

/* An operator releases an entity, mostly one that is quarantined. */
static bool load_releases(sim_simulation *run, run_sent *out)
{
    int from = (int)sim_random_below(&run->random, SIM_CELLS);
    out->cell = from;
    for (int i = 0; i < SIM_CELLS && !sim_model_is_held(run->model, out->cell); i++) {
        out->cell = (from + i) % SIM_CELLS;
    }
    return sim_random_chance(&run->random, sim_model_is_held(run->model, out->cell) ? 60 : 3);
}

/* Each kills every node, three times or ten: large clusters would do little else. */
static bool load_may_poison(const sim_simulation *run)
{
    return run->poison_count < (run->node_count <= 2 ? RUN_POISONS_MAX : 1);
}

/* Where it will be is known when it is sent. */
static void load_poison(sim_simulation *run, run_sent *out)
{
    bool crashes =
        run->poison_count > 0 || run->node_count > 2 || sim_random_chance(&run->random, 700);
    out->poison = &run->poisons[run->poison_count++];
    out->poison->id = ++run->last_id;
    (void)snprintf(out->value, sizeof out->value,
                   "{\"type\":\"poison\",\"id\":%" PRId64 ",\"crash\":%s}", out->poison->id,
                   crashes ? "true" : "false");
}

const run_poison *sim_load_poison(const sim_simulation *run, int64_t id)
{
    for (int i = 0; i < run->poison_count; i++) {
        if (run->poisons[i].id == id) {
            return &run->poisons[i];
        }
    }
    return NULL;
}

/* A new command, or one of the last with an idempotency key once more. */
static void load_choose(sim_simulation *run, run_sent *out)
{
    sim_random *random = &run->random;
    if (run->recent_count > 0 && sim_random_chance(random, 80)) {
        *out = run->recent[sim_random_below(random, run->recent_count)];
        return;
    }
    out->poison = NULL;
    out->is_release = load_releases(run, out);
    if (out->is_release) {
        out->key[0] = out->value[0] = '\0';
        return;
    }
    out->cell = (int)sim_random_below(random, SIM_CELLS);
    out->key[0] = '\0';
    if (load_may_poison(run) && sim_random_chance(random, run->troubles.poison)) {
        load_poison(run, out);
        return;
    }
    if (sim_random_chance(random, 50)) {
        load_break(run, out);
        return;
    }
    if (load_write(run, out->value, sizeof out->value) && sim_random_chance(random, 150)) {
        (void)snprintf(out->key, sizeof out->key, "k%" PRId64, run->last_id);
        int slot = run->recent_count < RUN_RECENT ? run->recent_count++
                                                  : (int)sim_random_below(random, RUN_RECENT);
        run->recent[slot] = *out;
    }
}

static size_t load_add_headers(sim_simulation *run, const run_sent *sent, char *id, size_t id_size,
                               alv_header *headers)
{
    size_t count = 0;
    if (sent->key[0] != '\0') {
        headers[count++] = (alv_header){ALV_HEADER_IDEMPOTENCY_KEY, alv_view_of(sent->key)};
    }
    if (sent->is_release) {
        headers[count++] = (alv_header){ALV_HEADER_RELEASE, ALV_VIEW("1")};
    }
    if (sim_random_chance(&run->random, 400)) {
        bool node = sim_random_chance(&run->random, 700);
        (void)snprintf(id, id_size, "c%" PRId64, ++run->stats.commands);
        headers[count++] = (alv_header){ALV_HEADER_CORRELATION_ID, alv_view_of(id)};
        headers[count++] = (alv_header){ALV_HEADER_REPLY_TO, node ? ALV_VIEW(ALV_REPLY_TO_NODE "n0")
                                                                  : ALV_VIEW("replies")};
    } else {
        run->stats.commands++;
    }
    return count;
}

void sim_load_send(sim_simulation *run)
{
    run_sent sent;
    char id[32];
    char key[32];
    alv_header headers[4];
    load_choose(run, &sent);
    size_t header_count = load_add_headers(run, &sent, id, sizeof id, headers);
    sim_model_key(sent.cell, key, sizeof key);
    const alv_produce record = {.topic = ALV_TOPIC_COMMANDS,
                                .shard = -1,
                                .timestamp_ms = SIM_EPOCH_MS + run->now_ms,
                                .key = alv_view_of(key),
                                .value = sent.is_release ? ALV_VIEW_NONE : alv_view_of(sent.value),
                                .headers = headers,
                                .header_count = header_count};
    int64_t offset = sim_broker_append(&run->broker, &record);
    if (sent.poison != NULL) {
        sent.poison->shard = sim_broker_shard(&run->broker, &record);
        sent.poison->offset = offset;
    }
    sim_trace("client: shard %d offset %" PRId64 ": %s %s%s%s%s",
              sim_broker_shard(&run->broker, &record), offset, key, sent.value,
              sent.is_release ? "is released" : "", sent.key[0] == '\0' ? "" : " key=", sent.key);
    run->commands_left--;
}
