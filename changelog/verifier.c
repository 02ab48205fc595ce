/* Keys lie side by side in an array; an open-addressing table (linear probing, at most half full) finds
 * one. Keys never go, so the table needs no deletion. */
#include "changelog/verifier.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"
#include "changelog/json_digest.h"
#include "topics/record.h"

#define VERIFIER_SLOTS_FIRST 1024
#define VERIFIER_SLOT_FREE UINT32_MAX

/* A key as one side has it, and as the changelog says this side must have it. */
typedef struct verifier_mark {
    uint64_t held_digest;
    int64_t held_offset;
    uint64_t last_digest; /* of L, see the header */
    int64_t last_offset;  /* of L; ALV_OFFSET_NONE = there is none */
    bool held;
    bool held_without_state;
    bool last_deleted; /* L is a tombstone */
    bool has_later;    /* there is a record at the side's position or later */
} verifier_mark;

typedef struct verifier_entry {
    char *key;
    uint32_t key_size;
    bool alive; /* the last record of all is a state */
    uint64_t hash;
    verifier_mark marks[ALV_VERIFY_SIDES];
} verifier_entry;

struct alv_verifier {
    int64_t positions[ALV_VERIFY_SIDES]; /* ALV_OFFSET_NONE = does not take part */
    verifier_entry *entries;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* index of an entry, or VERIFIER_SLOT_FREE */
    size_t slot_count;
    int64_t last_offset; /* of the records given so far */
    bool finished;
    int64_t alive;
    alv_verify_tally tallies[ALV_VERIFY_SIDES];
    alv_verify_difference *differences;
    size_t difference_count;
    size_t difference_capacity;
};

/* ---- life ------------------------------------------------------------------------------------ */

static void verifier_index(alv_verifier *verifier, size_t slot_count)
{
    verifier->slot_count = slot_count;
    verifier->slots = alv_realloc(verifier->slots, slot_count * sizeof(*verifier->slots));
    memset(verifier->slots, 0xff, slot_count * sizeof(*verifier->slots)); /* VERIFIER_SLOT_FREE */
    for (size_t i = 0; i < verifier->count; i++) {
        size_t slot = (size_t)verifier->entries[i].hash & (slot_count - 1);
        while (verifier->slots[slot] != VERIFIER_SLOT_FREE) {
            slot = (slot + 1) & (slot_count - 1);
        }
        verifier->slots[slot] = (uint32_t)i;
    }
}

alv_verifier *alv_verifier_new(void)
{
    alv_verifier *verifier = alv_alloc(sizeof(*verifier));
    for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
        verifier->positions[side] = ALV_OFFSET_NONE;
    }
    verifier->last_offset = ALV_OFFSET_NONE;
    verifier_index(verifier, VERIFIER_SLOTS_FIRST);
    return verifier;
}

void alv_verifier_free(alv_verifier *verifier)
{
    if (verifier == NULL) {
        return;
    }
    for (size_t i = 0; i < verifier->count; i++) {
        alv_free(verifier->entries[i].key);
    }
    alv_free(verifier->entries);
    alv_free(verifier->slots);
    alv_free(verifier->differences);
    alv_free(verifier);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static verifier_entry *verifier_add(alv_verifier *verifier, alv_view key, uint64_t hash)
{
    if (verifier->count == verifier->capacity) {
        verifier->capacity = verifier->capacity > 0 ? verifier->capacity * 2 : 256;
        verifier->entries =
            alv_realloc(verifier->entries, verifier->capacity * sizeof(*verifier->entries));
    }
    verifier_entry *entry = &verifier->entries[verifier->count++];
    *entry = (verifier_entry){
        .key = alv_strndup(key.data, key.size),
        .key_size = (uint32_t)key.size,
        .hash = hash,
    };
    for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
        entry->marks[side].held_offset = ALV_OFFSET_NONE;
        entry->marks[side].last_offset = ALV_OFFSET_NONE;
    }
    return entry;
}

static alv_view entry_key(const verifier_entry *entry)
{
    return (alv_view){entry->key, entry->key_size};
}

/* The key's entry, made when it is new. Valid until the next call. */
static verifier_entry *verifier_entry_of(alv_verifier *verifier, alv_view key)
{
    ALV_ASSERT(!verifier->finished && key.data != NULL && key.size <= UINT32_MAX);
    uint64_t hash = XXH3_64bits(key.data, key.size);
    size_t mask = verifier->slot_count - 1;
    size_t slot = (size_t)hash & mask;
    for (; verifier->slots[slot] != VERIFIER_SLOT_FREE; slot = (slot + 1) & mask) {
        verifier_entry *entry = &verifier->entries[verifier->slots[slot]];
        if (entry->hash == hash && alv_view_equal(entry_key(entry), key)) {
            return entry;
        }
    }
    ALV_ASSERT(verifier->count < VERIFIER_SLOT_FREE);
    verifier->slots[slot] = (uint32_t)verifier->count;
    verifier_entry *entry = verifier_add(verifier, key, hash);
    if (verifier->count * 2 > verifier->slot_count) {
        verifier_index(verifier, verifier->slot_count * 2);
    }
    return entry;
}

/* ---- what is there --------------------------------------------------------------------------- */

static uint64_t verifier_digest(alv_verify_side side, alv_view value)
{
    return side == ALV_VERIFY_STORE ? XXH3_64bits(value.data, value.size) : alv_json_digest(value);
}

void alv_verifier_set_position(alv_verifier *verifier, alv_verify_side side, int64_t position)
{
    ALV_ASSERT(verifier->last_offset == ALV_OFFSET_NONE && position >= 0);
    verifier->positions[side] = position;
}

void alv_verifier_hold(alv_verifier *verifier, alv_verify_side side, alv_view key, alv_view value,
                       int64_t offset)
{
    verifier_mark *mark = &verifier_entry_of(verifier, key)->marks[side];
    mark->held = true;
    mark->held_offset = offset;
    mark->held_without_state = value.data == NULL;
    mark->held_digest = value.data != NULL ? verifier_digest(side, value) : 0;
}

void alv_verifier_record(alv_verifier *verifier, alv_view key, alv_view value, int64_t offset)
{
    ALV_ASSERT(offset > verifier->last_offset);
    verifier->last_offset = offset;
    verifier_entry *entry = verifier_entry_of(verifier, key);
    entry->alive = value.data != NULL;
    for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
        verifier_mark *mark = &entry->marks[side];
        if (offset >= verifier->positions[side]) {
            mark->has_later = true;
            continue;
        }
        mark->last_offset = offset;
        mark->last_deleted = value.data == NULL;
        mark->last_digest = value.data != NULL ? verifier_digest((alv_verify_side)side, value) : 0;
    }
}

/* ---- the rule -------------------------------------------------------------------------------- */

typedef enum verifier_verdict {
    VERDICT_ABSENT, /* and must be */
    VERDICT_EQUAL,
    VERDICT_UNTOLD,
    VERDICT_FAULTY,
} verifier_verdict;

static bool postgres_can_hold(alv_view key)
{
    return memchr(key.data, '\0', key.size) == NULL && alv_utf8_valid(key.data, key.size);
}

/* A row from a record behind L: compaction may have removed it, once there is one from P on. */
static bool row_is_from_removed_record(const verifier_mark *mark, int64_t position)
{
    return mark->held_offset > mark->last_offset && mark->held_offset < position && mark->has_later;
}

/* `fault` is set with VERDICT_FAULTY. */
static verifier_verdict verifier_judge_held(const alv_verifier *verifier, alv_verify_side side,
                                            const verifier_mark *mark, alv_verify_fault *fault)
{
    if (side == ALV_VERIFY_POSTGRES &&
        row_is_from_removed_record(mark, verifier->positions[side])) {
        return VERDICT_UNTOLD;
    }
    if (mark->last_deleted) {
        *fault = ALV_VERIFY_SURPLUS;
        return VERDICT_FAULTY;
    }
    if (side == ALV_VERIFY_POSTGRES && mark->held_offset != mark->last_offset) {
        *fault = ALV_VERIFY_OTHER_RECORD;
        return VERDICT_FAULTY;
    }
    if (!mark->held_without_state && mark->held_digest != mark->last_digest) {
        *fault = ALV_VERIFY_OTHER_STATE;
        return VERDICT_FAULTY;
    }
    return VERDICT_EQUAL;
}

static verifier_verdict verifier_judge(const alv_verifier *verifier, alv_verify_side side,
                                       const verifier_entry *entry, alv_verify_fault *fault)
{
    const verifier_mark *mark = &entry->marks[side];
    if (mark->last_offset == ALV_OFFSET_NONE && mark->has_later) {
        return VERDICT_UNTOLD;
    }
    if (mark->held && mark->last_offset != ALV_OFFSET_NONE) {
        return verifier_judge_held(verifier, side, mark, fault);
    }
    if (mark->held) {
        *fault = ALV_VERIFY_SURPLUS;
        return VERDICT_FAULTY;
    }
    if (mark->last_offset == ALV_OFFSET_NONE || mark->last_deleted) {
        return VERDICT_ABSENT;
    }
    if (side == ALV_VERIFY_POSTGRES && !postgres_can_hold(entry_key(entry))) {
        return VERDICT_UNTOLD;
    }
    *fault = ALV_VERIFY_MISSING;
    return VERDICT_FAULTY;
}

/* ---- finish ---------------------------------------------------------------------------------- */

static void verifier_note(alv_verifier *verifier, alv_verify_side side, const verifier_entry *entry,
                          alv_verify_fault fault)
{
    if (verifier->difference_count == verifier->difference_capacity) {
        size_t capacity =
            verifier->difference_capacity > 0 ? verifier->difference_capacity * 2 : 16;
        verifier->differences =
            alv_realloc(verifier->differences, capacity * sizeof(*verifier->differences));
        verifier->difference_capacity = capacity;
    }
    verifier->differences[verifier->difference_count++] = (alv_verify_difference){
        .key = entry_key(entry),
        .side = side,
        .fault = fault,
        .changelog_offset = entry->marks[side].last_offset,
        .held_offset = entry->marks[side].held_offset,
    };
}

static void verifier_compare(alv_verifier *verifier, alv_verify_side side)
{
    alv_verify_tally *tally = &verifier->tallies[side];
    for (size_t i = 0; i < verifier->count; i++) {
        const verifier_entry *entry = &verifier->entries[i];
        alv_verify_fault fault = ALV_VERIFY_MISSING;
        verifier_verdict verdict = verifier_judge(verifier, side, entry, &fault);
        tally->compared += verdict == VERDICT_EQUAL;
        tally->untold += verdict == VERDICT_UNTOLD;
        tally->differences += verdict == VERDICT_FAULTY;
        if (verdict == VERDICT_FAULTY) {
            verifier_note(verifier, side, entry, fault);
        }
    }
}

static int difference_order(const void *left, const void *right)
{
    const alv_verify_difference *a = left;
    const alv_verify_difference *b = right;
    size_t size = a->key.size < b->key.size ? a->key.size : b->key.size;
    int order = memcmp(a->key.data, b->key.data, size);
    if (order == 0) {
        order = (a->key.size > b->key.size) - (a->key.size < b->key.size);
    }
    return order != 0 ? order : (int)a->side - (int)b->side;
}

void alv_verifier_finish(alv_verifier *verifier)
{
    ALV_ASSERT(!verifier->finished);
    verifier->finished = true;
    for (size_t i = 0; i < verifier->count; i++) {
        verifier->alive += verifier->entries[i].alive;
    }
    for (int side = 0; side < ALV_VERIFY_SIDES; side++) {
        if (verifier->positions[side] != ALV_OFFSET_NONE) {
            verifier_compare(verifier, (alv_verify_side)side);
        }
    }
    if (verifier->difference_count > 0) {
        qsort(verifier->differences, verifier->difference_count, sizeof(*verifier->differences),
              difference_order);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

const alv_verify_tally *alv_verifier_tally(const alv_verifier *verifier, alv_verify_side side)
{
    ALV_ASSERT(verifier->finished);
    return &verifier->tallies[side];
}

int64_t alv_verifier_entities(const alv_verifier *verifier)
{
    ALV_ASSERT(verifier->finished);
    return verifier->alive;
}

const alv_verify_difference *alv_verifier_differences(const alv_verifier *verifier,
                                                      size_t *out_count)
{
    ALV_ASSERT(verifier->finished);
    *out_count = verifier->difference_count;
    return verifier->differences;
}

const char *alv_verify_side_name(alv_verify_side side)
{
    static const char *const names[ALV_VERIFY_SIDES] = {"store", "postgres"};
    ALV_ASSERT(side < ALV_VERIFY_SIDES);
    return names[side];
}

const char *alv_verify_fault_name(alv_verify_fault fault)
{
    static const char *const names[] = {"missing", "surplus", "other-state", "other-record"};
    ALV_ASSERT(fault <= ALV_VERIFY_OTHER_RECORD);
    return names[fault];
}
