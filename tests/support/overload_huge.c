/* overload_huge.c — the scenario of bench/overload with keys and values at and over their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "tests/support/overload_stage.h"
#include "tests/support/wire.h"

typedef struct huge_kind {
    size_t key_bytes;
    size_t value_bytes;
    const char *reason; /* of the dead letter; NULL = it is executed */
} huge_kind;

static const huge_kind huge_kinds[] = {
    {512, 200, NULL},
    {513, 200, "key-too-long"},
    {100 * 1000, 200, "key-too-long"},
    {990 * 1000, 200, "key-too-long"},
    {10, ALV_COMMAND_BYTES_MAX, NULL},
    {10, ALV_COMMAND_BYTES_MAX + 1, "too-large"},
    {10, 990 * 1000, "too-large"},
    {512, ALV_COMMAND_BYTES_MAX, NULL},
    {490 * 1000, 490 * 1000, "key-too-long"},
};
#define HUGE_KINDS (sizeof huge_kinds / sizeof huge_kinds[0])

/* "<number>hhhh:u", as long as wanted. */
static void huge_key(int number, size_t bytes, alv_bytes *out)
{
    alv_bytes_clear(out);
    alv_bytes_printf(out, "%d", number % 10);
    while (out->size + 2 < bytes) {
        alv_bytes_append(out, "h", 1);
    }
    alv_bytes_append_text(out, ":u");
}

static void huge_send(alv_wire *wire, const char *topic, int number)
{
    static alv_bytes key;
    static alv_bytes value;
    const huge_kind *kind = &huge_kinds[(size_t)number % HUGE_KINDS];
    huge_key(number, kind->key_bytes, &key);
    alv_overload_profile(kind->value_bytes, &value);
    const alv_wire_record record = {.topic = topic,
                                    .partition = -1,
                                    .key = alv_bytes_view(&key),
                                    .value = alv_bytes_view(&value)};
    alv_wire_send(wire, &record);
}

static void count_letter(void *payload, const alv_wire_message *message)
{
    int *counts = payload;
    alv_view reason = alv_wire_message_header(message, "alluvium-reason");
    for (size_t kind = 0; kind < HUGE_KINDS; kind++) {
        if (huge_kinds[kind].reason != NULL &&
            alv_view_equal(reason, alv_view_of(huge_kinds[kind].reason))) {
            counts[kind]++;
            return;
        }
    }
    fail_msg("a dead letter for %.*s", (int)reason.size, reason.data);
}

/* As many as were sent, by reason. */
static int count_wrong_letters(const alv_overload_stage *stage, int sent)
{
    int found[HUGE_KINDS] = {0};
    int expected[HUGE_KINDS] = {0};
    int wrong = 0;
    for (int number = 0; number < sent; number++) {
        const char *reason = huge_kinds[(size_t)number % HUGE_KINDS].reason;
        for (size_t kind = 0; reason != NULL && kind < HUGE_KINDS; kind++) {
            if (huge_kinds[kind].reason != NULL && strcmp(huge_kinds[kind].reason, reason) == 0) {
                expected[kind]++;
                break;
            }
        }
    }
    alv_wire_read(stage->cluster.brokers, alv_cluster_topic(&stage->cluster, "dead-letters"),
                  count_letter, found);
    for (size_t kind = 0; kind < HUGE_KINDS; kind++) {
        wrong += abs(found[kind] - expected[kind]);
    }
    return wrong;
}

static void huge_post_write(void *payload, int64_t number, alv_bytes *out)
{
    static alv_bytes key;
    static alv_bytes value;
    (void)payload;
    const huge_kind *kind = &huge_kinds[(size_t)number % HUGE_KINDS];
    huge_key((int)number, kind->key_bytes, &key);
    alv_overload_profile(kind->value_bytes, &value);
    alv_bytes_printf(out,
                     "POST /v1/entities/%.*s/commands HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     (int)key.size, key.data, value.size);
    alv_bytes_append(out, value.data, value.size);
}

void alv_overload_run_huge(alv_overload_stage *stage)
{
    bool nowhere[ALV_OVERLOAD_SHARDS] = {false};
    alv_overload_row row = {.what = "huge"};
    alv_overload_begin(stage, row.what, NULL);
    char *topic = alv_strdup(alv_cluster_topic(&stage->cluster, "commands"));
    alv_flood *good = alv_overload_flood(
        stage, (alv_flood_options){.prefix = "good:",
                                   .command = "{\"type\":\"add_balance\",\"amount\":1}",
                                   .counter = "balance",
                                   .entities = 1000});
    alv_probe *probe = alv_overload_probe(stage);
    alv_wire *wire = alv_wire_open(stage->cluster.brokers);
    const alv_http_flood_options options = {.address = stage->node->address,
                                            .connections = 16,
                                            .pause_ms = 100,
                                            .write = huge_post_write};
    int count = alv_overload_scaled(stage, 1800);
    int64_t flood_us = alv_monotonic_us(alv_clock_system());
    alv_flood_start(good, 1000);
    alv_http_flood *posts = alv_http_flood_start(&options);
    for (int number = 0; number < count; number++) {
        huge_send(wire, topic, number);
    }
    alv_wire_flush(wire);
    row.offered_s = count / ((double)(alv_monotonic_us(alv_clock_system()) - flood_us) / 1e6);
    alv_overload_note(&row, "POST:", posts);
    int64_t stopped_us = alv_monotonic_us(alv_clock_system());
    (void)alv_flood_stop(good);
    (void)alv_overload_drain(stage);
    row.back_ms = alv_overload_ms_since(stopped_us);
    row.done_s = count / ((double)(alv_monotonic_us(alv_clock_system()) - flood_us) / 1e6);
    row.wrong = alv_flood_count_wrong(good) + count_wrong_letters(stage, count);
    alv_overload_probe_end(probe, flood_us, nowhere, &row);
    alv_overload_end(stage, &row);
    alv_wire_close(wire);
    alv_flood_free(good);
    alv_free(topic);
}
