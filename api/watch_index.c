#include "api/watch_index.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/glob.h"
#include "base/limits.h"

#define WATCH_INDEX_BUCKETS_FIRST 64

/* All members that watch the same. It is found by the hash of its stem: the key, the prefix, or what
 * a pattern begins with. */
struct alv_watch_group {
    alv_watch_kind kind;
    alv_bytes text;
    size_t stem; /* bytes of the text */
    uint32_t hash;
    alv_watch_group *next; /* in its bucket */
    alv_watch_member *members;
};

struct alv_watch_index {
    alv_watch_group **buckets;
    size_t bucket_count; /* a power of two */
    size_t group_count;
    size_t
        stems[ALV_KEY_BYTES_MAX + 1]; /* groups of prefixes and patterns, by length of the stem */
};

/* ---- hashes ---------------------------------------------------------------------------------- */

#define WATCH_INDEX_HASH_FIRST 2166136261U

/* Of one byte more, so that the hashes of all beginnings of a key cost one walk over it. */
static uint32_t index_hash_byte(uint32_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * 16777619U;
}

static uint32_t index_hash(alv_view text)
{
    uint32_t hash = WATCH_INDEX_HASH_FIRST;
    for (size_t i = 0; i < text.size; i++) {
        hash = index_hash_byte(hash, text.data[i]);
    }
    return hash;
}

static alv_watch_group **index_bucket(const alv_watch_index *index, uint32_t hash)
{
    return &index->buckets[(hash ^ hash >> 15) & (index->bucket_count - 1)];
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void index_resize(alv_watch_index *index, size_t bucket_count)
{
    alv_watch_group **old = index->buckets;
    size_t old_count = index->bucket_count;
    index->buckets = alv_alloc_array(bucket_count, sizeof(alv_watch_group *));
    index->bucket_count = bucket_count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            alv_watch_group *group = old[i];
            alv_watch_group **bucket = index_bucket(index, group->hash);
            old[i] = group->next;
            group->next = *bucket;
            *bucket = group;
        }
    }
    alv_free(old);
}

static alv_watch_group *index_make_group(alv_watch_index *index, alv_watch_kind kind, alv_view text,
                                         size_t stem, uint32_t hash)
{
    if (index->group_count >= index->bucket_count) {
        index_resize(index, 2 * index->bucket_count);
    }
    alv_watch_group **bucket = index_bucket(index, hash);
    alv_watch_group *group = alv_alloc(sizeof *group);
    group->kind = kind;
    group->stem = stem;
    group->hash = hash;
    alv_bytes_set(&group->text, text.data, text.size);
    group->next = *bucket;
    *bucket = group;
    index->group_count++;
    index->stems[stem] += kind != ALV_WATCH_KEY;
    return group;
}

static alv_watch_group *index_find_or_make(alv_watch_index *index, alv_watch_kind kind,
                                           alv_view text)
{
    size_t stem = kind == ALV_WATCH_PATTERN ? alv_glob_literal(text) : text.size;
    uint32_t hash = index_hash((alv_view){text.data, stem});
    ALV_ASSERT(text.size <= ALV_KEY_BYTES_MAX);
    for (alv_watch_group *group = *index_bucket(index, hash); group != NULL; group = group->next) {
        if (group->hash == hash && group->kind == kind &&
            alv_view_equal(alv_bytes_view(&group->text), text)) {
            return group;
        }
    }
    return index_make_group(index, kind, text, stem, hash);
}

static void index_drop_group(alv_watch_index *index, alv_watch_group *group)
{
    alv_watch_group **link = index_bucket(index, group->hash);
    while (*link != group) {
        ALV_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = group->next;
    index->group_count--;
    index->stems[group->stem] -= group->kind != ALV_WATCH_KEY;
    alv_bytes_done(&group->text);
    alv_free(group);
}

/* ---- members --------------------------------------------------------------------------------- */

alv_watch_index *alv_watch_index_new(void)
{
    alv_watch_index *index = alv_alloc(sizeof *index);
    index_resize(index, WATCH_INDEX_BUCKETS_FIRST);
    return index;
}

void alv_watch_index_free(alv_watch_index *index)
{
    if (index == NULL) {
        return;
    }
    ALV_ASSERT(index->group_count == 0);
    alv_free(index->buckets);
    alv_free(index);
}

void alv_watch_index_add(alv_watch_index *index, alv_watch_kind kind, alv_view text,
                         alv_watch_member *member)
{
    ALV_ASSERT(member->group == NULL);
    alv_watch_group *group = index_find_or_make(index, kind, text);
    member->group = group;
    member->next = group->members;
    member->previous = &group->members;
    if (group->members != NULL) {
        group->members->previous = &member->next;
    }
    group->members = member;
}

void alv_watch_index_remove(alv_watch_index *index, alv_watch_member *member)
{
    alv_watch_group *group = member->group;
    if (group == NULL) {
        return;
    }
    *member->previous = member->next;
    if (member->next != NULL) {
        member->next->previous = member->previous;
    }
    *member = (alv_watch_member){.group = NULL};
    if (group->members == NULL) {
        index_drop_group(index, group);
    }
}

/* ---- matching -------------------------------------------------------------------------------- */

static void index_visit(const alv_watch_group *group, alv_watch_visit visit, void *payload)
{
    for (alv_watch_member *member = group->members; member != NULL; member = member->next) {
        visit(payload, member);
    }
}

static bool index_fits(const alv_watch_group *group, alv_view key, size_t stem, uint32_t hash)
{
    return group->hash == hash && group->stem == stem &&
           (stem == 0 || memcmp(group->text.data, key.data, stem) == 0) &&
           (group->kind != ALV_WATCH_PATTERN || alv_glob_match(alv_bytes_view(&group->text), key));
}

/* The groups of one bucket whose stem is the first `stem` bytes of the key. */
static void index_look(const alv_watch_index *index, alv_view key, size_t stem, uint32_t hash,
                       bool keys, alv_watch_visit visit, void *payload)
{
    const alv_watch_group *group = *index_bucket(index, hash);
    for (; group != NULL; group = group->next) {
        if ((group->kind == ALV_WATCH_KEY) == keys && index_fits(group, key, stem, hash)) {
            index_visit(group, visit, payload);
        }
    }
}

void alv_watch_index_match(const alv_watch_index *index, alv_view key, alv_watch_visit visit,
                           void *payload)
{
    uint32_t hash = WATCH_INDEX_HASH_FIRST;
    for (size_t stem = 0;; stem++) {
        if (stem <= ALV_KEY_BYTES_MAX && index->stems[stem] > 0) {
            index_look(index, key, stem, hash, false, visit, payload);
        }
        if (stem == key.size) {
            break;
        }
        hash = index_hash_byte(hash, key.data[stem]);
    }
    index_look(index, key, key.size, hash, true, visit, payload);
}
