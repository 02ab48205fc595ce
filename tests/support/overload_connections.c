/* overload_connections.c — the scenario of bench/overload with all connections in use, and readers that do not
 * read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "tests/support/http_call.h"
#include "tests/support/overload_stage.h"
#include "tests/support/sse.h"

#define CALM_MS 3000
#define LARGE_BYTES 880000 /* a state of nearly the size that one may have */
#define WATCHERS 2000
#define READERS 600
#define SURPLUS 300
#define IDLE_MAX (ALV_HTTP_CONNECTIONS_MAX + SURPLUS)
#define RECEIVE_BYTES 4096
#define OPEN_MS 60000
#define BIG "big:1"

static struct {
    int idle[IDLE_MAX];
    int idle_count;
    int readers[READERS];
    alv_sse *watchers[WATCHERS];
} many;

static void hear_nothing(void *payload, alv_sse *sse, const alv_sse_event *event)
{
    (void)payload;
    (void)sse;
    (void)event;
}

static bool watchers_open(void *payload)
{
    (void)payload;
    for (int i = 0; i < WATCHERS; i++) {
        if (many.watchers[i]->last_id[0] == '\0') {
            return false;
        }
    }
    return true;
}

/* Ask for a state of nearly a megabyte and take none of it. */
static void open_readers(const alv_overload_stage *stage)
{
    static const char text[] = "GET /v1/entities/" BIG " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const int bytes = RECEIVE_BYTES;
    for (int i = 0; i < READERS; i++) {
        many.readers[i] = alv_http_raw_open(stage->node->address);
        (void)setsockopt(many.readers[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        alv_http_raw_send(many.readers[i], text, sizeof text - 1);
    }
}

static void close_all(void)
{
    for (int i = 0; i < many.idle_count; i++) {
        (void)close(many.idle[i]);
    }
    for (int i = 0; i < READERS; i++) {
        (void)close(many.readers[i]);
    }
}

static int status_of(const alv_overload_stage *stage, const char *path)
{
    alv_http_result result = alv_http_call(NULL, "GET", stage->node->address, path, NULL);
    int status = (int)result.status;
    alv_http_result_done(&result);
    return status;
}

static int64_t wait_served(const alv_overload_stage *stage)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    while (status_of(stage, "/v1/entities/" BIG) != 200) {
        if (alv_overload_ms_since(begin_us) > ALV_OVERLOAD_WAIT_MS) {
            fail_msg("new connections are not served again");
        }
        (void)poll(NULL, 0, 20);
    }
    return alv_overload_ms_since(begin_us);
}

static void make_big(const alv_overload_stage *stage)
{
    alv_bytes value = ALV_BYTES_EMPTY;
    alv_overload_profile(LARGE_BYTES, &value);
    alv_bytes_append(&value, "", 1);
    alv_http_result result = alv_http_call_post(NULL, stage->node->address,
                                                "/v1/entities/" BIG "/commands", value.data, NULL);
    if (result.status != 200) {
        fail_msg("the large state is answered with %ld", result.status);
    }
    alv_http_result_done(&result);
    alv_bytes_done(&value);
}

/* The watchers read for a while. */
static void pass(alv_sse_set *set, int ms)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    while (alv_overload_ms_since(begin_us) < ms) {
        alv_sse_turn(set, 20);
    }
}

void alv_overload_run_connections(alv_overload_stage *stage)
{
    bool nowhere[ALV_OVERLOAD_SHARDS] = {false};
    alv_overload_row row = {.what = "connections"};
    alv_overload_begin(stage, row.what, NULL);
    make_big(stage);
    alv_probe *probe = alv_overload_probe(stage);
    alv_http_flood *asked = alv_overload_get(stage, "/v1/entities/bench:1");
    alv_sse_set *set = alv_sse_set_new(hear_nothing, NULL);
    int64_t flood_us = alv_monotonic_us(alv_clock_system());
    for (int i = 0; i < WATCHERS; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/v1/watch?key=bench:%d", i % ALV_OVERLOAD_PROBE_USERS);
        many.watchers[i] = alv_sse_open(set, stage->node->address, path, NULL, NULL, 0);
        if (i % 64 == 0) {
            alv_sse_turn(set, 0);
        }
    }
    if (!alv_sse_until(set, watchers_open, NULL, OPEN_MS)) {
        fail_msg("not all watchers are open after %d ms", OPEN_MS);
    }
    fprintf(stderr, "  %d watchers\n", WATCHERS);
    int64_t watchers_kib = alv_node_watch_look(stage->watch).last_kib;
    many.idle_count = IDLE_MAX - WATCHERS - 2;
    for (int i = 0; i < many.idle_count; i++) {
        many.idle[i] = alv_http_raw_open(stage->node->address);
    }
    pass(set, CALM_MS);
    fprintf(stderr, "  %d idle connections\n", many.idle_count);
    int full = status_of(stage, "/v1/entities/" BIG);
    int64_t idle_kib = alv_node_watch_look(stage->watch).last_kib;
    for (int i = 0; i < 2 * READERS; i++) { /* places for the readers */
        (void)close(many.idle[--many.idle_count]);
    }
    pass(set, CALM_MS);
    open_readers(stage);
    fprintf(stderr, "  %d readers that do not read\n", READERS);
    pass(set, 2 * CALM_MS);
    int64_t readers_kib = alv_node_watch_look(stage->watch).peak_kib;
    int64_t closed_us = alv_monotonic_us(alv_clock_system());
    close_all();
    (void)wait_served(stage);
    row.back_ms = alv_overload_ms_since(closed_us);
    alv_overload_note(&row, "GET over an open connection:", asked);
    int ended = 0;
    for (int i = 0; i < WATCHERS; i++) {
        ended += many.watchers[i]->ended;
    }
    alv_sse_set_free(set);
    alv_bytes_printf(&row.notes,
                     "; one more connection when full: %d; %d watchers cut off; MiB with watchers "
                     "%" PRId64 ", and with idle connections %" PRId64 ", with readers %" PRId64,
                     full, ended, watchers_kib / 1024, idle_kib / 1024, readers_kib / 1024);
    (void)alv_overload_drain(stage);
    alv_overload_probe_end(probe, flood_us, nowhere, &row);
    alv_overload_end(stage, &row);
}
