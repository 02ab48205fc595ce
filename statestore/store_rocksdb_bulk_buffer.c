/* store_rocksdb_bulk_buffer.c — entries of a load in memory: appended, then sorted. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/store_rocksdb_bulk_internal.h"

/* Before each key: its size and that of the value, which is NO_VALUE for a deletion. */
typedef struct entry_head {
    uint32_t key_size; /* with the kind */
    uint32_t value_size;
} entry_head;

#define NO_VALUE UINT32_MAX

/* Pages come with the first touch, and go back when the buffer is freed: malloc would keep them. */
static char *buffer_map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ALV_ASSERT(memory != MAP_FAILED && "out of memory");
    return memory;
}

alv_bulk_buffer *alv_bulk_buffer_new(size_t size)
{
    alv_bulk_buffer *buffer = alv_alloc(sizeof *buffer);
    buffer->memory = buffer_map(size);
    buffer->size = size;
    return buffer;
}

void alv_bulk_buffer_free(alv_bulk_buffer *buffer)
{
    ALV_ASSERT(munmap(buffer->memory, buffer->size) == 0);
    for (int kind = 0; kind < ALV_BULK_KINDS; kind++) {
        alv_free(buffer->entries[kind]);
    }
    alv_free(buffer);
}

void alv_bulk_buffer_clear(alv_bulk_buffer *buffer, size_t needed)
{
    ALV_ASSERT(needed < UINT32_MAX);
    if (needed > buffer->size) {
        ALV_ASSERT(munmap(buffer->memory, buffer->size) == 0);
        buffer->memory = buffer_map(needed);
        buffer->size = needed;
    }
    buffer->load = NULL;
    buffer->used = 0;
    for (int kind = 0; kind < ALV_BULK_KINDS; kind++) {
        buffer->count[kind] = 0;
    }
}

size_t alv_bulk_buffer_needs(const alv_store_write *writes, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += sizeof(alv_bulk_entry) + sizeof(entry_head) + 1 + writes[i].key.size +
                 writes[i].value.size;
    }
    return bytes;
}

/* The list of entries counts as if it lay in `memory`. */
bool alv_bulk_buffer_fits(const alv_bulk_buffer *buffer, size_t needed)
{
    size_t entries = 0;
    for (int kind = 0; kind < ALV_BULK_KINDS; kind++) {
        entries += buffer->count[kind];
    }
    return buffer->used + entries * sizeof(alv_bulk_entry) + needed <= buffer->size;
}

static int buffer_kind(alv_store_kind kind)
{
    switch (kind) {
    case ALV_STORE_LEDGER:
        return ALV_BULK_LEDGER;
    case ALV_STORE_STATE:
        return ALV_BULK_STATE;
    case ALV_STORE_TIMER:
        return ALV_BULK_TIMER;
    }
    ALV_ASSERT(false && "a kind of entry");
    return ALV_BULK_STATE;
}

static void buffer_add_entry(alv_bulk_buffer *buffer, int kind)
{
    if (buffer->count[kind] == buffer->capacity[kind]) {
        buffer->capacity[kind] = 2 * buffer->capacity[kind] + 1024;
        buffer->entries[kind] = alv_realloc(buffer->entries[kind],
                                            buffer->capacity[kind] * sizeof *buffer->entries[kind]);
    }
    buffer->entries[kind][buffer->count[kind]++].at = (uint32_t)buffer->used;
}

static void buffer_append(alv_bulk_buffer *buffer, const void *data, size_t size)
{
    if (size > 0) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): only what is empty has no data */
        memcpy(buffer->memory + buffer->used, data, size);
        buffer->used += size;
    }
}

void alv_bulk_buffer_add(alv_bulk_buffer *buffer, const alv_store_write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const alv_store_write *write = &writes[i];
        entry_head head = {.key_size = (uint32_t)(1 + write->key.size), .value_size = NO_VALUE};
        if (write->value.data != NULL) {
            head.value_size = (uint32_t)write->value.size;
        }
        char kind = (char)write->kind;
        buffer_add_entry(buffer, buffer_kind(write->kind));
        buffer_append(buffer, &head, sizeof head);
        buffer_append(buffer, &kind, 1);
        buffer_append(buffer, write->key.data, write->key.size);
        buffer_append(buffer, write->value.data, write->value.size);
    }
    ALV_ASSERT(buffer->used <= buffer->size);
}

void alv_bulk_buffer_read(const alv_bulk_buffer *buffer, const alv_bulk_entry *entry,
                          alv_view *out_key, alv_view *out_value)
{
    entry_head head;
    const char *data = buffer->memory + entry->at;
    memcpy(&head, data, sizeof head);
    *out_key = (alv_view){data + sizeof head, head.key_size};
    *out_value = ALV_VIEW_NONE;
    if (head.value_size != NO_VALUE) {
        *out_value = (alv_view){data + sizeof head + head.key_size, head.value_size};
    }
}

/* ---- sorting ------------------------------------------------------------------------------------- */

static alv_view buffer_key(const alv_bulk_buffer *buffer, const alv_bulk_entry *entry)
{
    alv_view key;
    alv_view value;
    alv_bulk_buffer_read(buffer, entry, &key, &value);
    return key;
}

/* How many bytes all keys have in common at the front. */
static size_t buffer_shared_prefix(const alv_bulk_buffer *buffer, int kind)
{
    alv_view first = buffer_key(buffer, &buffer->entries[kind][0]);
    size_t shared = first.size;
    for (size_t i = 1; i < buffer->count[kind]; i++) {
        alv_view key = buffer_key(buffer, &buffer->entries[kind][i]);
        size_t same = 0;
        shared = key.size < shared ? key.size : shared;
        while (same < shared && key.data[same] == first.data[same]) {
            same++;
        }
        shared = same;
    }
    return shared;
}

/* Up to eight bytes from `from` on as a number that orders as they do; missing ones count as 0. */
static uint64_t key_digits(alv_view key, size_t from)
{
    unsigned char bytes[8] = {0};
    if (from < key.size) {
        size_t left = key.size - from;
        memcpy(bytes, key.data + from, left < sizeof bytes ? left : sizeof bytes);
    }
    uint64_t digits = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        digits = digits << 8 | bytes[i];
    }
    return digits;
}

static int key_compare(alv_view left, alv_view right)
{
    size_t shared = left.size < right.size ? left.size : right.size;
    int order = memcmp(left.data, right.data, shared);
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static int entry_compare_keys(const alv_bulk_buffer *buffer, const alv_bulk_entry *left,
                              const alv_bulk_entry *right)
{
    if (left->first != right->first) {
        return left->first < right->first ? -1 : 1;
    }
    if (left->second != right->second) {
        return left->second < right->second ? -1 : 1;
    }
    return key_compare(buffer_key(buffer, left), buffer_key(buffer, right));
}

/* Equal keys: in the order in which they were added. */
static int entry_compare(const void *left_entry, const void *right_entry, void *payload)
{
    const alv_bulk_entry *left = left_entry;
    const alv_bulk_entry *right = right_entry;
    int order = entry_compare_keys(payload, left, right);
    return order != 0 ? order : (left->at > right->at) - (left->at < right->at);
}

static void buffer_keep_last(alv_bulk_buffer *buffer, int kind)
{
    alv_bulk_entry *entries = buffer->entries[kind];
    size_t kept = 0;
    for (size_t i = 0; i < buffer->count[kind]; i++) {
        bool is_last = i + 1 == buffer->count[kind] ||
                       entry_compare_keys(buffer, &entries[i], &entries[i + 1]) != 0;
        if (is_last) {
            entries[kept++] = entries[i];
        }
    }
    buffer->count[kind] = kept;
}

void alv_bulk_buffer_sort(alv_bulk_buffer *buffer)
{
    for (int kind = 0; kind < ALV_BULK_KINDS; kind++) {
        if (buffer->count[kind] == 0) {
            continue;
        }
        size_t shared = buffer_shared_prefix(buffer, kind);
        for (size_t i = 0; i < buffer->count[kind]; i++) {
            alv_bulk_entry *entry = &buffer->entries[kind][i];
            alv_view key = buffer_key(buffer, entry);
            entry->first = key_digits(key, shared);
            entry->second = key_digits(key, shared + sizeof(uint64_t));
        }
        qsort_r(buffer->entries[kind], buffer->count[kind], sizeof *buffer->entries[kind],
                entry_compare, buffer);
        buffer_keep_last(buffer, kind);
    }
}
