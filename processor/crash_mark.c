#include "processor/crash_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/logger.h"
#include "base/plant.h"

#define CRASH_MARK_ENTRIES 64
_Static_assert(CRASH_MARK_ENTRIES >= ALV_LANES_MAX, "one death does not push out what is in hand");
#define CRASH_MARK_MAGIC 0x616c7669666c7433u /* "alviflt3": a changed layout takes another one */
#define CRASH_MARK_STACK_BYTES (64 * 1024)   /* for the handler, and the one it hands over to */

/* What a lane has in hand; a cache line each, so that lanes do not disturb one another. The compiler
 * must not move the stores past the handler, hence atomics; the processor need not be told. */
typedef struct crash_mark_slot {
    _Atomic uint64_t next; /* its offset + 1; 0 = nothing, as in a page that was lost */
    _Atomic int32_t shard;
    _Atomic int32_t crashed; /* 1: the lane's thread crashed with this in hand */
    atomic_bool in_handler;  /* of this process only */
    char padding[47];
} crash_mark_slot;
_Static_assert(sizeof(crash_mark_slot) == 64, "one cache line");

typedef struct crash_mark_entry {
    int64_t offset;
    int32_t shard;
    int16_t crashes;
    int16_t deaths; /* both 0 = free */
} crash_mark_entry;
_Static_assert(sizeof(crash_mark_entry) == 16, "the file's layout");

/* The file, byte for byte; read by the same machine that wrote it. */
typedef struct crash_mark_file {
    uint64_t magic;
    crash_mark_entry entries[CRASH_MARK_ENTRIES]; /* the one that killed last is the last */
    char padding[56];
    crash_mark_slot slots[ALV_LANES_MAX];
} crash_mark_file;

struct alv_crash_mark {
    crash_mark_file *file;
    bool has_poison;             /* some command has killed often enough: look at the entries */
    void *stacks[ALV_LANES_MAX]; /* for the signal handler; NULL = none */
};

/* ---- the signal handler ---------------------------------------------------------------------- */

/* Where the calling thread notes its crash; NULL on threads that execute no commands. */
static _Thread_local crash_mark_slot *crash_mark_own;
static _Thread_local void *crash_mark_stack; /* that was given to it here */

static const int crash_mark_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

#define SIGNAL_COUNT (sizeof crash_mark_signals / sizeof crash_mark_signals[0])

static struct sigaction crash_mark_before[SIGNAL_COUNT]; /* what was there; written by main */

void alv_crash_mark_note_crash(void)
{
    crash_mark_slot *slot = crash_mark_own;
    if (slot != NULL) {
        atomic_store_explicit(&slot->crashed, 1, memory_order_relaxed);
    }
}

/* A store into the mapped page and the former action back in place: all of it may be done in a signal
 * handler. A fault happens again when this returns; a signal that was sent has to be sent again. One that
 * another process sent says nothing about the command. */
static void crash_mark_on_signal(int number, siginfo_t *about, void *context)
{
    (void)context;
    bool is_fault = about->si_code > 0;
    if (is_fault || about->si_pid == getpid()) {
        alv_crash_mark_note_crash();
    }
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (crash_mark_signals[i] == number) {
            (void)sigaction(number, &crash_mark_before[i], NULL);
        }
    }
    if (!is_fault) {
        (void)raise(number); /* blocked until this returns */
    }
}

/* By main, before lanes run. A handler that somebody put in the place of ours is put behind it. */
static void crash_mark_catch_signals(void)
{
    struct sigaction action = {.sa_sigaction = crash_mark_on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        struct sigaction now;
        int failed = sigaction(crash_mark_signals[i], NULL, &now);
        if (failed == 0 && now.sa_sigaction != crash_mark_on_signal) {
            crash_mark_before[i] = now;
            failed = sigaction(crash_mark_signals[i], &action, NULL);
        }
        ALV_ASSERT(failed == 0);
    }
}

/* ---- taking stock ---------------------------------------------------------------------------- */

/* By parts: crashes / ALV_CRASHES_MAX + deaths / ALV_DEATHS_MAX reaches 1. */
static bool crash_mark_is_enough(const crash_mark_entry *entry)
{
    return entry->crashes * ALV_DEATHS_MAX + entry->deaths * ALV_CRASHES_MAX >=
           ALV_CRASHES_MAX * ALV_DEATHS_MAX;
}

static crash_mark_entry *crash_mark_find(crash_mark_file *file, int32_t shard, int64_t offset)
{
    for (size_t i = 0; i < CRASH_MARK_ENTRIES; i++) {
        crash_mark_entry *entry = &file->entries[i];
        bool is_used = entry->crashes > 0 || entry->deaths > 0;
        if (is_used && entry->shard == shard && entry->offset == offset) {
            return entry;
        }
    }
    return NULL;
}

/* The command's entry, behind all others; a new one takes the place of the first. */
static crash_mark_entry *crash_mark_put_last(crash_mark_file *file, int32_t shard, int64_t offset)
{
    crash_mark_entry *end = &file->entries[CRASH_MARK_ENTRIES - 1];
    crash_mark_entry *known = crash_mark_find(file, shard, offset);
    crash_mark_entry entry =
        known != NULL ? *known : (crash_mark_entry){.shard = shard, .offset = offset};
    crash_mark_entry *gap = known != NULL ? known : file->entries;
    memmove(gap, gap + 1, (size_t)(end - gap) * sizeof *gap);
    *end = entry;
    return end;
}

/* The last process died with this command in hand. */
static void crash_mark_count(crash_mark_file *file, int32_t shard, int64_t offset, bool crashed)
{
    crash_mark_entry *entry = crash_mark_put_last(file, shard, offset);
    int16_t *counter = crashed ? &entry->crashes : &entry->deaths;
    *counter = (int16_t)(*counter < INT16_MAX ? *counter + 1 : INT16_MAX);
    bool buried = crash_mark_is_enough(entry);
    alv_log(ALV_LOG_WARN, crashed ? "crashed-in-command" : "died-with-command",
            "shard=%d offset=%lld crashes=%d of=%d deaths=%d of=%d next=%s", (int)shard,
            (long long)offset, (int)entry->crashes, ALV_CRASHES_MAX, (int)entry->deaths,
            ALV_DEATHS_MAX, buried ? "dead-letter" : "retry");
}

static void crash_mark_reset(crash_mark_file *file)
{
    memset(file, 0, sizeof *file);
    file->magic = CRASH_MARK_MAGIC;
}

/* What the lanes had in hand; with `known`, only what was in hand before. */
static void crash_mark_empty_hands(crash_mark_file *file, bool known)
{
    for (size_t lane = 0; lane < ALV_LANES_MAX; lane++) {
        crash_mark_slot *slot = &file->slots[lane];
        uint64_t next = atomic_load(&slot->next);
        int32_t shard = atomic_load(&slot->shard);
        int64_t offset = (int64_t)(next - 1);
        if (known && (next == 0 || crash_mark_find(file, shard, offset) == NULL)) {
            continue;
        }
        if (next > 0) {
            crash_mark_count(file, shard, offset,
                             atomic_load(&slot->crashed) != 0 && !ALV_PLANTED(FORGET_CRASH));
        }
        atomic_store(&slot->next, 0);
        atomic_store(&slot->crashed, 0);
        atomic_store(&slot->in_handler, false);
    }
}

/* What is known is counted first, so that the command that kills is never pushed out by all those that happened to
 * be in the hands of other lanes. */
static void crash_mark_take_stock(alv_crash_mark *mark)
{
    crash_mark_file *file = mark->file;
    if (file->magic != CRASH_MARK_MAGIC) {
        crash_mark_reset(file);
    }
    crash_mark_empty_hands(file, true);
    crash_mark_empty_hands(file, false);
    for (size_t i = 0; i < CRASH_MARK_ENTRIES; i++) {
        mark->has_poison = mark->has_poison || crash_mark_is_enough(&file->entries[i]);
    }
}

static alv_status crash_mark_map(const char *path, crash_mark_file **out, alv_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return alv_fail_from(err, ALV_REJECT, "errno", errno, "%s: %s", path, strerror(errno));
    }
    alv_status status = ALV_OK;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, sizeof(crash_mark_file)) == 0) {
        memory = mmap(NULL, sizeof(crash_mark_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (memory == MAP_FAILED) {
        status = alv_fail_from(err, ALV_REJECT, "errno", errno, "%s: %s", path, strerror(errno));
    } else {
        *out = memory;
    }
    (void)close(fd); /* the mapping keeps the file */
    return status;
}

alv_status alv_crash_mark_open(const char *directory, alv_crash_mark **out, alv_error *err)
{
    crash_mark_file *file = NULL;
    char *path = alv_format("%s/in-flight", directory);
    alv_status status = crash_mark_map(path, &file, err);
    alv_free(path);
    if (status != ALV_OK) {
        return status;
    }
    ALV_ASSERT(file != NULL);
    alv_crash_mark *mark = alv_alloc(sizeof *mark);
    mark->file = file;
    crash_mark_take_stock(mark);
    crash_mark_catch_signals();
    *out = mark;
    return ALV_OK;
}

/* A sanitizer has given the thread a stack already; that one is as good. */
static void crash_mark_give_stack(alv_crash_mark *mark, int32_t lane)
{
    stack_t now;
    if (sigaltstack(NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) {
        return;
    }
    if (mark->stacks[lane] == NULL) {
        mark->stacks[lane] = alv_alloc(CRASH_MARK_STACK_BYTES);
    }
    const stack_t stack = {.ss_sp = mark->stacks[lane], .ss_size = CRASH_MARK_STACK_BYTES};
    int failed = sigaltstack(&stack, NULL);
    ALV_ASSERT(failed == 0);
    crash_mark_stack = stack.ss_sp;
}

void alv_crash_mark_enter(alv_crash_mark *mark, int32_t lane)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    crash_mark_own = &mark->file->slots[lane];
    crash_mark_give_stack(mark, lane);
}

void alv_crash_mark_leave(void)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    if (crash_mark_stack != NULL) {
        (void)sigaltstack(&none, NULL); /* fails only while on that stack */
    }
    crash_mark_stack = NULL;
    crash_mark_own = NULL;
}

void alv_crash_mark_set(alv_crash_mark *mark, int32_t lane, int32_t shard, int64_t offset)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX && offset >= 0);
    crash_mark_slot *slot = &mark->file->slots[lane];
    atomic_store_explicit(&slot->shard, shard, memory_order_relaxed);
    atomic_store_explicit(&slot->next, (uint64_t)offset + 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

void alv_crash_mark_clear(alv_crash_mark *mark, int32_t lane)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    atomic_store_explicit(&mark->file->slots[lane].next, 0, memory_order_relaxed);
}

void alv_crash_mark_enter_handler(alv_crash_mark *mark, int32_t lane)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    atomic_store_explicit(&mark->file->slots[lane].in_handler, true, memory_order_relaxed);
}

void alv_crash_mark_leave_handler(alv_crash_mark *mark, int32_t lane)
{
    atomic_store_explicit(&mark->file->slots[lane].in_handler, false, memory_order_relaxed);
}

alv_crash_hand alv_crash_mark_hand(const alv_crash_mark *mark, int32_t lane)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    const crash_mark_slot *slot = &mark->file->slots[lane];
    return (alv_crash_hand){
        .is_in_handler = atomic_load_explicit(&slot->in_handler, memory_order_relaxed),
        .shard = atomic_load_explicit(&slot->shard, memory_order_relaxed),
        .offset = (int64_t)atomic_load_explicit(&slot->next, memory_order_relaxed) - 1};
}

bool alv_crash_mark_is_poison(const alv_crash_mark *mark, int32_t shard, int64_t offset)
{
    if (!mark->has_poison) {
        return false;
    }
    const crash_mark_entry *entry = crash_mark_find(mark->file, shard, offset);
    return entry != NULL && crash_mark_is_enough(entry);
}

size_t alv_crash_mark_list(const alv_crash_mark *mark, alv_crash_count *out, size_t capacity)
{
    size_t count = 0;
    for (size_t i = 0; i < CRASH_MARK_ENTRIES; i++) {
        const crash_mark_entry *entry = &mark->file->entries[i];
        if (entry->crashes == 0 && entry->deaths == 0) {
            continue;
        }
        if (count < capacity) {
            out[count] = (alv_crash_count){.offset = entry->offset,
                                           .shard = entry->shard,
                                           .crashes = entry->crashes,
                                           .deaths = entry->deaths};
        }
        count++;
    }
    return count;
}

void alv_crash_mark_close(alv_crash_mark *mark)
{
    if (mark == NULL) {
        return;
    }
    for (int32_t lane = 0; lane < ALV_LANES_MAX; lane++) {
        alv_crash_mark_clear(mark, lane);
        alv_free(mark->stacks[lane]);
    }
    (void)munmap(mark->file, sizeof *mark->file); /* fails for a wrong address only */
    alv_free(mark);
}
