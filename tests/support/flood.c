#include "tests/support/flood.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/support/user_model.h"
#include "tests/support/wire.h"
#include "topics/partitioner.h"

#define FLOOD_SEED 0x9e3779b97f4a7c15U
#define FLOOD_TICK_MS 5

/* One entity; `number` is in its key. */
typedef struct flood_entity {
    int number;
    _Atomic int64_t sure;
    _Atomic int64_t unsure;
    int64_t found; /* by the check; -1 = no state */
} flood_entity;

struct alv_flood {
    alv_flood_options options;
    char *topic;
    flood_entity *entities;
    _Atomic int64_t sent;
    pthread_t thread;
    atomic_bool running;
    int rate;
};

/* ---- entities -------------------------------------------------------------------------------- */

void alv_flood_key(const alv_flood *flood, int entity, char out[ALV_FLOOD_KEY_BYTES])
{
    (void)snprintf(out, ALV_FLOOD_KEY_BYTES, "%s%d", flood->options.prefix,
                   flood->entities[entity].number);
}

int32_t alv_flood_shard(const alv_flood *flood, int entity)
{
    char key[ALV_FLOOD_KEY_BYTES];
    alv_flood_key(flood, entity, key);
    return alv_partitioner_shard(alv_view_of(key), flood->options.shard_count);
}

static void flood_choose_entities(alv_flood *flood)
{
    int number = 0;
    for (int entity = 0; entity < flood->options.entities; number++) {
        flood->entities[entity].number = number;
        if (flood->options.shards == NULL ||
            flood->options.shards[alv_flood_shard(flood, entity)]) {
            entity++;
        }
    }
}

alv_flood *alv_flood_new(const alv_flood_options *options)
{
    alv_flood *flood = alv_alloc(sizeof *flood);
    flood->options = *options;
    flood->topic = alv_format("%s.commands", options->application);
    flood->entities = alv_alloc_array((size_t)options->entities, sizeof *flood->entities);
    flood_choose_entities(flood);
    flood->options.shards = NULL;
    return flood;
}

void alv_flood_free(alv_flood *flood)
{
    alv_free(flood->topic);
    alv_free(flood->entities);
    alv_free(flood);
}

int alv_flood_entity(const alv_flood *flood, int64_t number)
{
    uint64_t random = FLOOD_SEED ^ ((uint64_t)number + 1);
    (void)alv_user_model_random(&random);
    uint64_t chance = alv_user_model_random(&random) >> 16;
    bool hot = (int)(chance % 100) < flood->options.hot_percent;
    return hot ? 0 : (int)(chance / 100 % (uint64_t)flood->options.entities);
}

void alv_flood_note(alv_flood *flood, int entity, bool sure)
{
    atomic_fetch_add(sure ? &flood->entities[entity].sure : &flood->entities[entity].unsure, 1);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void flood_send_one(alv_flood *flood, alv_wire *wire)
{
    char key[ALV_FLOOD_KEY_BYTES];
    int entity = alv_flood_entity(flood, atomic_load(&flood->sent));
    alv_flood_key(flood, entity, key);
    const alv_wire_record record = {.topic = flood->topic,
                                    .partition = -1,
                                    .key = alv_view_of(key),
                                    .value = alv_view_of(flood->options.command)};
    alv_wire_send(wire, &record);
    alv_flood_note(flood, entity, true);
    atomic_fetch_add(&flood->sent, 1);
}

static void *flood_run(void *payload)
{
    alv_flood *flood = payload;
    alv_wire *wire = alv_wire_open(flood->options.brokers);
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    int64_t sent = 0;
    while (atomic_load(&flood->running)) {
        int64_t elapsed_us = alv_monotonic_us(alv_clock_system()) - begin_us;
        int64_t due = flood->rate == 0 ? sent + 1000 : elapsed_us * flood->rate / 1000000;
        for (; sent < due && atomic_load(&flood->running); sent++) {
            flood_send_one(flood, wire);
        }
        if (flood->rate != 0) {
            (void)poll(NULL, 0, FLOOD_TICK_MS);
        }
    }
    alv_wire_flush(wire);
    alv_wire_close(wire);
    return NULL;
}

void alv_flood_start(alv_flood *flood, int rate)
{
    flood->rate = rate;
    atomic_store(&flood->running, true);
    assert_int_equal(pthread_create(&flood->thread, NULL, flood_run, flood), 0);
}

int64_t alv_flood_stop(alv_flood *flood)
{
    atomic_store(&flood->running, false);
    assert_int_equal(pthread_join(flood->thread, NULL), 0);
    return alv_flood_sent(flood);
}

void alv_flood_send(alv_flood *flood, int64_t count)
{
    alv_wire *wire = alv_wire_open(flood->options.brokers);
    for (int64_t i = 0; i < count; i++) {
        flood_send_one(flood, wire);
    }
    alv_wire_flush(wire);
    alv_wire_close(wire);
}

int64_t alv_flood_sent(const alv_flood *flood)
{
    return atomic_load(&flood->sent);
}

/* ---- checking -------------------------------------------------------------------------------- */

/* The entity with that number in its key, NULL when there is none: numbers grow with the index. */
static flood_entity *flood_find(const alv_flood *flood, int number)
{
    int low = 0;
    int high = flood->options.entities - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (flood->entities[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return flood->entities[low].number == number ? &flood->entities[low] : NULL;
}

static void flood_look(void *payload, const alv_wire_message *message)
{
    const alv_flood *flood = payload;
    size_t size = strlen(flood->options.prefix);
    char digits[16] = "";
    if (message->key.size <= size || message->key.size - size >= sizeof digits ||
        memcmp(message->key.data, flood->options.prefix, size) != 0) {
        return;
    }
    memcpy(digits, message->key.data + size, message->key.size - size);
    flood_entity *entity = flood_find(flood, (int)strtol(digits, NULL, 10));
    if (entity == NULL) {
        return;
    }
    json_t *state = message->value.data != NULL
                        ? json_loadb(message->value.data, message->value.size, 0, NULL)
                        : NULL;
    entity->found = json_integer_value(json_object_get(state, flood->options.counter));
    json_decref(state);
}

int alv_flood_count_wrong(const alv_flood *flood)
{
    int wrong = 0;
    char *changelog = alv_format("%s.changelog", flood->options.application);
    for (int i = 0; i < flood->options.entities; i++) {
        flood->entities[i].found = 0;
    }
    alv_wire_read(flood->options.brokers, changelog, flood_look, (void *)(uintptr_t)flood);
    for (int i = 0; i < flood->options.entities; i++) {
        const flood_entity *entity = &flood->entities[i];
        int64_t sure = atomic_load(&entity->sure);
        int64_t unsure = atomic_load(&entity->unsure);
        if (entity->found >= sure && entity->found <= sure + unsure) {
            continue;
        }
        if (wrong++ == 0) {
            fprintf(stderr,
                    "wrong: %s%d has %" PRId64 ", was sent %" PRId64 " and perhaps %" PRId64
                    " more\n",
                    flood->options.prefix, entity->number, entity->found, sure, unsure);
        }
    }
    alv_free(changelog);
    return wrong;
}
