/* Goal:   invariant I2 for the RocksDB store: killed at any moment, each shard equals the replay of
 *         what was applied, up to its own position, exactly; and what was flushed is still there
 *         (I6).
 * Method: a child writes batches to several shards from several threads, with tiny memtables, while
 *         one thread flushes, one shard is wiped now and then, and two are loaded in bulk for a while
 *         again and again. What batch n of a shard contains
 *         follows from n alone. The parent watches the progress in shared memory, kills the child
 *         with SIGKILL at a random point of it, and has another child open the directory and
 *         compare everything. The next round goes on from there. The parent itself never opens
 *         RocksDB: its threads would be missing in the children. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "statestore/store.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

enum {
    KILLS = 14,
    WRITERS = 3,
    SHARDS = 6, /* writer w owns shards w and w + WRITERS */
    WIPED_SHARD = SHARDS - 1,
    WIPE_EVERY = 700, /* batches */
    LOADER = 1,       /* the writer whose shards are loaded in bulk */
    LOAD_EVERY = 60,  /* batches: begin, and end, and ... */
    KEYS = 400,
    BATCH_MAX = 24,
    VALUE_BYTES_MAX = 360,
    STEP_TIMEOUT_MS = 30000,
};

/* Enough to make RocksDB's smallest memtable, 64 KiB. */
#define MEMORY_BYTES (1 << 20)

/* Between parent and child. */
typedef struct crash_progress {
    atomic_long batches;           /* applied by the child that runs */
    atomic_long applied[SHARDS];   /* position after the last apply that returned */
    atomic_long durable[SHARDS];   /* position that a flush or a load which ended has covered */
    atomic_bool loading[SHARDS];   /* by the child that runs */
    atomic_long loads;             /* that ended */
    atomic_long recovered[SHARDS]; /* position found after the kill */
} crash_progress;

typedef struct crash_test {
    char *directory;
    crash_progress *progress;
    alv_store *store; /* in children */
} crash_test;

/* ---- what batch n contains --------------------------------------------------------------------
 * */

typedef struct batch_write {
    int kind; /* index into `kinds` */
    int key;
    size_t value_size; /* 0 = delete */
} batch_write;

static const alv_store_kind kinds[2] = {ALV_STORE_STATE, ALV_STORE_LEDGER};

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t batch_random(int shard, long batch, size_t index)
{
    return mix(mix(mix((uint64_t)shard) + (uint64_t)batch) + index);
}

static size_t batch_size(int shard, long batch)
{
    return batch_random(shard, batch, 999) % (BATCH_MAX + 1);
}

static batch_write batch_write_at(int shard, long batch, size_t index)
{
    uint64_t random = batch_random(shard, batch, index);
    batch_write write = {.kind = (int)(random >> 8 & 1),
                         .key = (int)(random >> 16 & 0xffff) % KEYS};
    if ((random & 7) != 0)
        write.value_size = 40 + (size_t)(random >> 32) % (VALUE_BYTES_MAX - 40);
    return write;
}

/* The value names who wrote it, and is filled up to its size. */
static void batch_value(int shard, long batch, size_t index, size_t size, char *out)
{
    int length =
        snprintf(out, VALUE_BYTES_MAX, "shard %d batch %ld write %zu ", shard, batch, index);
    memset(out + length, 'a' + (int)(batch % 26), size - (size_t)length);
}

static size_t key_name(int key, char out[16])
{
    return (size_t)snprintf(out, 16, "entity/%d", key);
}

/* ---- the child that writes --------------------------------------------------------------------
 * */

static alv_store *store_open(const crash_test *test)
{
    alv_store_options options = {test->directory, "crash-test", MEMORY_BYTES};
    alv_store *store = NULL;
    alv_error err = ALV_ERROR_NONE;
    if (alv_store_rocksdb_open(&options, &store, &err) != ALV_OK) {
        fprintf(stderr, "open: %s\n", err.text);
        _exit(2);
    }
    return store;
}

static void child_check(alv_status status, const alv_error *err)
{
    if (status == ALV_OK)
        return;
    fprintf(stderr, "child: %s\n", err->text);
    _exit(3);
}

static void child_apply(const crash_test *test, int shard, long batch)
{
    static _Thread_local char keys[BATCH_MAX][16];
    static _Thread_local char values[BATCH_MAX][VALUE_BYTES_MAX];
    alv_store_write writes[BATCH_MAX];
    alv_error err = ALV_ERROR_NONE;
    size_t count = batch_size(shard, batch);
    for (size_t i = 0; i < count; i++) {
        batch_write write = batch_write_at(shard, batch, i);
        writes[i] = (alv_store_write){
            kinds[write.kind], {keys[i], key_name(write.key, keys[i])}, ALV_VIEW_NONE};
        if (write.value_size == 0)
            continue;
        batch_value(shard, batch, i, write.value_size, values[i]);
        writes[i].value = (alv_view){values[i], write.value_size};
    }
    alv_position position = {3 * batch, batch, 2 * batch, 1};
    const alv_store_ops *ops = test->store->ops;
    if (test->progress->loading[shard]) {
        while (!ops->bulk_wait(test->store, STEP_TIMEOUT_MS))
            sched_yield();
        child_check(ops->bulk_apply(test->store, shard, writes, count, &position, &err), &err);
    } else {
        child_check(ops->apply(test->store, shard, writes, count, &position, &err), &err);
    }
    test->progress->applied[shard] = batch;
    test->progress->batches++;
}

/* From one way to the other. What a load that ended has installed is durable. */
static void child_change_way(const crash_test *test, int shard)
{
    crash_progress *progress = test->progress;
    const alv_store_ops *ops = test->store->ops;
    alv_error err = ALV_ERROR_NONE;
    bool done = false;
    if (!progress->loading[shard]) {
        progress->loading[shard] =
            true; /* first: a flush from here on covers nothing of the load */
        child_check(ops->bulk_begin(test->store, shard, &err), &err);
        return;
    }
    while (!done) {
        child_check(ops->bulk_end(test->store, shard, true, &done, &err), &err);
        sched_yield();
    }
    progress->durable[shard] = progress->applied[shard];
    progress->loading[shard] = false;
    progress->loads++;
}

typedef struct child_writer {
    crash_test *test;
    int number;
} child_writer;

static void *child_write(void *payload)
{
    const child_writer *self = payload;
    crash_test *test = self->test;
    alv_error err = ALV_ERROR_NONE;
    int shards[2] = {self->number, self->number + WRITERS};
    long next[2];
    for (int i = 0; i < 2; i++) {
        alv_position position;
        child_check(test->store->ops->open_shard(test->store, shards[i], &position, &err), &err);
        next[i] = position.changelog + 1;
    }
    for (int i = 0;; i = 1 - i) {
        if (shards[i] == WIPED_SHARD && next[i] % WIPE_EVERY == 0) {
            child_check(test->store->ops->wipe_shard(test->store, shards[i], &err), &err);
            test->progress->applied[WIPED_SHARD] = 0;
            next[i] = 1;
        }
        if (self->number == LOADER && next[i] % LOAD_EVERY == 0)
            child_change_way(test, shards[i]);
        child_apply(test, shards[i], next[i]++);
    }
    return NULL;
}

static void *child_flush(void *payload)
{
    crash_test *test = payload;
    alv_error err = ALV_ERROR_NONE;
    for (;;) {
        long before[SHARDS];
        for (int shard = 0; shard < SHARDS; shard++)
            before[shard] =
                test->progress->loading[shard] ? 0 : (long)test->progress->applied[shard];
        child_check(test->store->ops->flush(test->store, &err), &err);
        for (int shard = 0; shard < WIPED_SHARD; shard++)
            if (before[shard] > test->progress->durable[shard])
                test->progress->durable[shard] = before[shard];
        /* As long between flushes as some batches take, so that memtables also fill up by
         * themselves and there is something to lose. */
        long resume = test->progress->batches + 200;
        while (test->progress->batches < resume)
            sched_yield();
    }
    return NULL;
}

static void child_run(crash_test *test)
{
    pthread_t threads[WRITERS + 1];
    child_writer writers[WRITERS];
    test->store = store_open(test);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (child_writer){test, i};
        if (pthread_create(&threads[i], NULL, child_write, &writers[i]) != 0)
            _exit(4);
    }
    if (pthread_create(&threads[WRITERS], NULL, child_flush, test) != 0)
        _exit(4);
    for (;;)
        pause();
}

/* ---- the child that compares ------------------------------------------------------------------
 * */

/* Who wrote a key last: batch and index; batch 0 = nobody. */
typedef struct replayed {
    long batch;
    size_t index;
    size_t value_size;
} replayed;

typedef struct comparison {
    int shard;
    int kind;
    replayed (*expected)[KEYS]; /* by kind and key */
    int wrong;
    int seen;
} comparison;

static void replay(int shard, long up_to, replayed expected[2][KEYS])
{
    for (long batch = 1; batch <= up_to; batch++)
        for (size_t i = 0; i < batch_size(shard, batch); i++) {
            batch_write write = batch_write_at(shard, batch, i);
            expected[write.kind][write.key] =
                write.value_size == 0 ? (replayed){0} : (replayed){batch, i, write.value_size};
        }
}

static bool compare_visit(void *payload, alv_view key, alv_view value)
{
    comparison *self = payload;
    char name[16] = {0};
    char expected[VALUE_BYTES_MAX];
    if (key.size < sizeof name)
        memcpy(name, key.data, key.size);
    long number = strncmp(name, "entity/", 7) == 0 ? strtol(name + 7, NULL, 10) : -1;
    self->seen++;
    if (number < 0 || number >= KEYS) {
        self->wrong++;
        return true;
    }
    const replayed *last = &self->expected[self->kind][number];
    if (last->batch != 0)
        batch_value(self->shard, last->batch, last->index, last->value_size, expected);
    if (last->batch == 0 || value.size != last->value_size ||
        memcmp(value.data, expected, value.size) != 0) {
        fprintf(stderr, "shard %d key %s: found \"%.40s\", expected batch %ld write %zu\n",
                self->shard, name, value.data, last->batch, last->index);
        self->wrong++;
    }
    return true;
}

/* True when the shard is as its position says. */
static bool compare_shard(const crash_test *test, int shard)
{
    static replayed expected[2][KEYS];
    alv_error err = ALV_ERROR_NONE;
    alv_position position;
    child_check(test->store->ops->open_shard(test->store, shard, &position, &err), &err);
    long at = position.changelog;
    test->progress->recovered[shard] = at;
    memset(expected, 0, sizeof expected);
    replay(shard, at, expected);

    comparison compared = {.shard = shard, .expected = expected};
    int present = 0;
    for (compared.kind = 0; compared.kind < 2; compared.kind++) {
        child_check(test->store->ops->scan(test->store, shard, kinds[compared.kind], ALV_VIEW_NONE,
                                           ALV_VIEW_NONE, compare_visit, &compared, &err),
                    &err);
        for (int key = 0; key < KEYS; key++)
            present += expected[compared.kind][key].batch != 0;
    }
    if (compared.seen != present || position.commands != 3 * at || position.ledger != 2 * at) {
        fprintf(stderr, "shard %d at %ld: %d entries, expected %d\n", shard, at, compared.seen,
                present);
        compared.wrong++;
    }
    return compared.wrong == 0;
}

static void compare_run(crash_test *test)
{
    bool right = true;
    test->store = store_open(test);
    for (int shard = 0; shard < SHARDS; shard++)
        right = compare_shard(test, shard) && right;
    test->store->ops->close(test->store);
    _exit(right ? 0 : 1);
}

/* ---- the parent -------------------------------------------------------------------------------
 * */

static pid_t start(void (*body)(crash_test *test), crash_test *test)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        body(test);
        _exit(9);
    }
    return child;
}

/* Lets the child come as far as `batches` and kills it there. */
static void kill_after(pid_t child, const crash_progress *progress, long batches)
{
    int64_t deadline = alv_wait_deadline(STEP_TIMEOUT_MS);
    int status = 0;
    /* No pause: the moment of the kill should not follow a timer's grid. */
    while (progress->batches < batches && !alv_wait_expired(deadline))
        assert_int_equal(0, waitpid(child, &status, WNOHANG)); /* it has not given up */
    assert_int_equal(0, kill(child, SIGKILL));
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGKILL, WTERMSIG(status));
    assert_true(progress->batches >= batches);
}

static void expect_consistent(crash_test *test)
{
    pid_t child = start(compare_run, test);
    int status = 0;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    assert_int_equal(0, WEXITSTATUS(status));
}

static int setup(void **state)
{
    crash_test *test = alv_alloc(sizeof *test);
    test->directory = alv_scratch_make();
    test->progress = mmap(NULL, sizeof *test->progress, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(test->progress != MAP_FAILED);
    *state = test;
    return 0;
}

static int teardown(void **state)
{
    crash_test *test = *state;
    (void)munmap(test->progress, sizeof *test->progress);
    alv_scratch_remove(test->directory);
    alv_free(test);
    return 0;
}

static void store__equals_its_replay_after_every_kill(void **state)
{
    crash_test *test = *state;
    crash_progress *progress = test->progress;
    unsigned seed = (unsigned)getpid();
    long lost = 0;
    print_message("seed %u\n", seed);
    for (int round = 0; round < KILLS; round++) {
        progress->batches = 0;
        for (int shard = 0; shard < SHARDS; shard++)
            progress->loading[shard] = false;
        kill_after(start(child_run, test), progress, 1 + rand_r(&seed) % 4000);
        expect_consistent(test);
        for (int shard = 0; shard < WIPED_SHARD; shard++) {
            /* At most the one batch whose apply had not returned is there beyond `applied`. */
            assert_in_range(progress->recovered[shard], progress->durable[shard],
                            progress->applied[shard] + 1);
            lost += progress->applied[shard] - progress->recovered[shard];
        }
        for (int shard = 0; shard < SHARDS; shard++) {
            progress->durable[shard] = progress->recovered[shard]; /* closed clean: flushed */
            progress->applied[shard] = progress->recovered[shard];
        }
    }
    long total = 0;
    for (int shard = 0; shard < WIPED_SHARD; shard++)
        total += progress->recovered[shard];
    print_message("%ld batches kept, %ld lost to %d kills, %ld loads ended\n", total, lost, KILLS,
                  (long)progress->loads);
    /* Otherwise nothing was tested. */
    assert_true(total > 0);
    assert_true(lost > 0);
    assert_true(progress->loads > 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(store__equals_its_replay_after_every_kill, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
