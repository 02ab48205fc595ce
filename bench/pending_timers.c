/* pending_timers.c — what pending timers cost: memory, and the look for those that are due.
 *
 * Goal:   the section "Timers" of docs/performance.md, reproducible with one command.
 * Method: the index of one shard in a RocksDB of its own, without a broker: N entities with a timer each,
 *         spread over 30 days, written as a lane writes them. Then the calls of a lane's turn are timed: a look
 *         when nothing is due, and rounds of 256 due timers with their removal, at the begin and after half of
 *         all were removed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "processor/timers.h"
#include "statestore/ledger.h"
#include "tests/support/scratch.h"

#define START_MS INT64_C(1700000000000)
#define SPREAD_MS (INT64_C(30) * 24 * 3600 * 1000)
#define BATCH 1000
#define ROUNDS 200
#define MEMORY_BYTES (INT64_C(64) * 1024 * 1024)

static const char help[] =
    "usage: pending_timers [N]\n"
    "What N pending timers (1000000) of a shard cost: resident memory, and the time of a look for\n"
    "those that are due, in CPU time.\n";

static struct {
    alv_store *store;
    alv_position position;
    alv_timers timers;
    alv_due_list due;
} bench;

/* CPU time: what others do on the machine does not count. */
static int64_t now_us(void)
{
    return (int64_t)clock() * 1000000 / CLOCKS_PER_SEC;
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ALV_ASSERT(file != NULL);
    ALV_ASSERT(fscanf(file, "%*s %ld", &pages) == 1);
    (void)fclose(file);
    return pages * 4;
}

static void apply(const alv_store_write *writes, size_t count)
{
    bench.position.changelog += (int64_t)count;
    alv_error err = ALV_ERROR_NONE;
    alv_status status =
        bench.store->ops->apply(bench.store, 0, writes, count, &bench.position, &err);
    if (status != ALV_OK) {
        fprintf(stderr, "pending_timers: %s\n", err.text);
        exit(1);
    }
}

/* Entities `from` to `to`, each with a ledger of one timer and its entry in the index. */
static void fill_batch(int64_t from, int64_t to, int64_t total)
{
    alv_store_write writes[2 * BATCH] = {{.kind = ALV_STORE_STATE}};
    alv_bytes texts[3 * BATCH];
    memset(texts, 0, sizeof texts);
    size_t count = 0;
    size_t text = 0;
    for (int64_t i = from; i < to; i++) {
        int64_t due_ms = START_MS + 1 + SPREAD_MS / total * i;
        alv_bytes *key = &texts[text++];
        alv_bytes *ledger = &texts[text++];
        alv_bytes *entry = &texts[text++];
        alv_bytes_printf(key, "order/%012" PRId64, (i * 7919) % total);
        alv_bytes_printf(ledger,
                         "{\"due\":%" PRId64 ",\"timers\":[{\"name\":\"expire\",\"due\":%" PRId64
                         ",\"command\":{\"type\":\"expire\"}}]}",
                         due_ms, due_ms);
        alv_store_timer_key(due_ms, alv_bytes_view(key), entry);
        writes[count++] = (alv_store_write){
            .kind = ALV_STORE_LEDGER, .key = alv_bytes_view(key), .value = alv_bytes_view(ledger)};
        writes[count++] = (alv_store_write){
            .kind = ALV_STORE_TIMER, .key = alv_bytes_view(entry), .value = ALV_VIEW("")};
    }
    apply(writes, count);
    for (size_t i = 0; i < text; i++) {
        alv_bytes_done(&texts[i]);
    }
}

static void collect(int64_t until_ms)
{
    alv_status status =
        alv_timers_collect(&bench.timers, bench.store, 0, until_ms, &bench.due, NULL);
    ALV_ASSERT(status == ALV_OK);
}

/* What was collected has fired: ledger and entry go. */
static void remove_due(void)
{
    alv_store_write writes[2 * ALV_TIMERS_ROUND_MAX] = {{.kind = ALV_STORE_STATE}};
    alv_bytes keys[ALV_TIMERS_ROUND_MAX];
    memset(keys, 0, sizeof keys);
    size_t count = 0;
    for (size_t i = 0; i < bench.due.count; i++) {
        const alv_due *due = &bench.due.items[i];
        alv_store_timer_key(due->due_ms, due->key, &keys[i]);
        writes[count++] = (alv_store_write){.kind = ALV_STORE_LEDGER, .key = due->key};
        writes[count++] =
            (alv_store_write){.kind = ALV_STORE_TIMER, .key = alv_bytes_view(&keys[i])};
    }
    apply(writes, count);
    for (size_t i = 0; i < bench.due.count; i++) {
        alv_bytes_done(&keys[i]);
    }
    alv_timers_commit(&bench.timers, ALV_DUE_NEVER);
}

/* Microseconds per timer of `rounds` rounds of due timers: the look alone. */
static double rounds_us(int rounds)
{
    int64_t looking_us = 0;
    size_t fired = 0;
    for (int i = 0; i < rounds; i++) {
        int64_t began_us = now_us();
        collect(START_MS + SPREAD_MS);
        looking_us += now_us() - began_us;
        fired += bench.due.count;
        remove_due();
    }
    return fired == 0 ? 0 : (double)looking_us / (double)fired;
}

static double idle_us(void)
{
    int64_t began_us = now_us();
    for (int i = 0; i < ROUNDS; i++) {
        collect(START_MS);
    }
    return (double)(now_us() - began_us) / ROUNDS;
}

int main(int argc, char **argv)
{
    int64_t total = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;
    if (total < 4 * ALV_TIMERS_ROUND_MAX) {
        fputs(help, argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    char *directory = alv_scratch_make();
    const alv_store_options options = {
        .directory = directory, .application_id = "bench", .memory_bytes = MEMORY_BYTES};
    alv_error err = ALV_ERROR_NONE;
    if (alv_store_rocksdb_open(&options, &bench.store, &err) != ALV_OK ||
        bench.store->ops->open_shard(bench.store, 0, &bench.position, &err) != ALV_OK) {
        fprintf(stderr, "pending_timers: %s\n", err.text);
        return 1;
    }
    long before_kib = resident_kib();
    for (int64_t i = 0; i < total; i += BATCH) {
        fill_batch(i, i + BATCH < total ? i + BATCH : total, total);
    }
    (void)bench.store->ops->flush(bench.store, NULL);
    alv_timers_start(&bench.timers, 0, 0, 0);
    printf("%" PRId64 " pending timers: %ld MiB resident (%ld before; RocksDB's budget is %d MiB), "
           "%zu bytes in the lane\n",
           total, resident_kib() / 1024, before_kib / 1024, (int)(MEMORY_BYTES >> 20),
           sizeof bench.timers);
    printf("a look when nothing is due: %.1f us\n", idle_us());
    printf("a look per due timer, in rounds of %d: %.2f us at the begin\n", ALV_TIMERS_ROUND_MAX,
           rounds_us(ROUNDS / 10));
    (void)rounds_us((int)(total / 2 / ALV_TIMERS_ROUND_MAX));
    printf("after half of all were removed: %.2f us; when nothing is due: %.1f us\n",
           rounds_us(ROUNDS / 10), idle_us());
    alv_timers_done(&bench.timers);
    alv_bytes_done(&bench.due.keys);
    bench.store->ops->close(bench.store);
    alv_scratch_remove(directory);
    return 0;
}
