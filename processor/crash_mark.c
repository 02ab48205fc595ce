#include "processor/crash_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/logger.h"

#define CRASH_MARK_ENTRIES 64
#define CRASH_MARK_MAGIC 0x616c7669666c7431u /* "alviflt1": a changed layout takes another one */

/* What a lane has in hand; a cache line each, so that lanes do not disturb one another. The compiler
 * must not move the stores past the handler, hence atomics; the processor need not be told. */
typedef struct crash_mark_slot {
    _Atomic int64_t offset; /* -1 = nothing */
    _Atomic int32_t shard;
    char padding[52];
} crash_mark_slot;
_Static_assert(sizeof(crash_mark_slot) == 64, "one cache line");

typedef struct crash_mark_entry {
    int64_t offset;
    int32_t shard;
    int32_t crashes; /* 0 = free */
} crash_mark_entry;

/* The file, byte for byte; read by the same machine that wrote it. */
typedef struct crash_mark_file {
    uint64_t magic;
    uint64_t next_entry; /* the one to be overwritten when a new command is to be remembered */
    crash_mark_entry entries[CRASH_MARK_ENTRIES];
    char padding[48];
    crash_mark_slot slots[ALV_LANES_MAX];
} crash_mark_file;

struct alv_crash_mark {
    crash_mark_file *file;
    bool has_poison; /* some command has killed often enough: look at the entries */
};

static crash_mark_entry *crash_mark_find(crash_mark_file *file, int32_t shard, int64_t offset)
{
    for (size_t i = 0; i < CRASH_MARK_ENTRIES; i++) {
        crash_mark_entry *entry = &file->entries[i];
        if (entry->crashes > 0 && entry->shard == shard && entry->offset == offset) {
            return entry;
        }
    }
    return NULL;
}

/* The last process died with this command in hand. */
static void crash_mark_count(crash_mark_file *file, int32_t shard, int64_t offset)
{
    crash_mark_entry *entry = crash_mark_find(file, shard, offset);
    if (entry == NULL) {
        entry = &file->entries[file->next_entry % CRASH_MARK_ENTRIES];
        file->next_entry++;
        *entry = (crash_mark_entry){.shard = shard, .offset = offset};
    }
    entry->crashes++;
    alv_log(ALV_LOG_WARN, "crashed-in-command", "shard=%d offset=%lld crashes=%d of=%d", (int)shard,
            (long long)offset, (int)entry->crashes, ALV_CRASHES_MAX);
}

static void crash_mark_reset(crash_mark_file *file)
{
    memset(file, 0, sizeof *file);
    file->magic = CRASH_MARK_MAGIC;
    for (size_t lane = 0; lane < ALV_LANES_MAX; lane++) {
        atomic_store(&file->slots[lane].offset, -1);
    }
}

static void crash_mark_take_stock(alv_crash_mark *mark)
{
    crash_mark_file *file = mark->file;
    if (file->magic != CRASH_MARK_MAGIC) {
        crash_mark_reset(file);
    }
    for (size_t lane = 0; lane < ALV_LANES_MAX; lane++) {
        crash_mark_slot *slot = &file->slots[lane];
        int64_t offset = atomic_load(&slot->offset);
        if (offset >= 0) {
            crash_mark_count(file, atomic_load(&slot->shard), offset);
            atomic_store(&slot->offset, -1);
        }
    }
    for (size_t i = 0; i < CRASH_MARK_ENTRIES; i++) {
        mark->has_poison = mark->has_poison || file->entries[i].crashes >= ALV_CRASHES_MAX;
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
    alv_crash_mark *mark = alv_alloc(sizeof *mark);
    mark->file = file;
    crash_mark_take_stock(mark);
    *out = mark;
    return ALV_OK;
}

void alv_crash_mark_set(alv_crash_mark *mark, int32_t lane, int32_t shard, int64_t offset)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX && offset >= 0);
    crash_mark_slot *slot = &mark->file->slots[lane];
    atomic_store_explicit(&slot->shard, shard, memory_order_relaxed);
    atomic_store_explicit(&slot->offset, offset, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

void alv_crash_mark_clear(alv_crash_mark *mark, int32_t lane)
{
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    atomic_store_explicit(&mark->file->slots[lane].offset, -1, memory_order_relaxed);
}

bool alv_crash_mark_is_poison(const alv_crash_mark *mark, int32_t shard, int64_t offset)
{
    if (!mark->has_poison) {
        return false;
    }
    const crash_mark_entry *entry = crash_mark_find(mark->file, shard, offset);
    return entry != NULL && entry->crashes >= ALV_CRASHES_MAX;
}

void alv_crash_mark_close(alv_crash_mark *mark)
{
    if (mark == NULL) {
        return;
    }
    for (int32_t lane = 0; lane < ALV_LANES_MAX; lane++) {
        alv_crash_mark_clear(mark, lane);
    }
    (void)munmap(mark->file, sizeof *mark->file); /* fails for a wrong address only */
    alv_free(mark);
}
