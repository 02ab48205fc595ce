#include "statestore/table_map.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* Values are shared by threads that count their references. */
static_assert(JSON_HAVE_ATOMIC_BUILTINS, "jansson counts references atomically");

/* jansson's memory per encoded byte, and what the smallest value takes; see codec_json.c. */
#define TABLE_VALUE_FACTOR 6
#define TABLE_VALUE_BYTES_MIN 64

/* Changed only while there is one reference to it, which then is the map's that changes. */
struct alv_table_row {
    _Atomic uint32_t references;
    uint32_t priority; /* above its children's, or the same */
    alv_table_row *left;
    alv_table_row *right;
    json_t *value;
    size_t bytes;
    size_t key_size;
    char key[];
};

static alv_table_row *row_retain(alv_table_row *row)
{
    if (row != NULL) {
        (void)atomic_fetch_add_explicit(&row->references, 1, memory_order_relaxed);
    }
    return row;
}

/* As deep as the tree, which is some 2.5 times the logarithm of its size.
 * NOLINTNEXTLINE(misc-no-recursion): so never deep */
static void row_release(alv_table_row *row)
{
    if (row == NULL || atomic_fetch_sub_explicit(&row->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    row_release(row->left);
    row_release(row->right);
    json_decref(row->value);
    alv_free(row);
}

static alv_table_row *row_new(alv_view key, json_t *value, size_t bytes, uint32_t priority)
{
    alv_table_row *row = alv_alloc(sizeof *row + key.size);
    atomic_init(&row->references, 1);
    row->priority = priority;
    row->value = value;
    row->bytes = bytes;
    row->key_size = key.size;
    if (key.size > 0) {
        memcpy(row->key, key.data, key.size);
    }
    return row;
}

static alv_view row_key(const alv_table_row *row)
{
    return (alv_view){row->key, row->key_size};
}

/* Takes a reference and gives back one to a row of the same content that nobody else has. */
static alv_table_row *row_own(alv_table_row *row)
{
    if (atomic_load_explicit(&row->references, memory_order_acquire) == 1) {
        return row;
    }
    alv_table_row *copy = row_new(row_key(row), json_incref(row->value), row->bytes, row->priority);
    copy->left = row_retain(row->left);
    copy->right = row_retain(row->right);
    row_release(row);
    return copy;
}

static int key_compare(alv_view left, alv_view right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size == 0 ? 0 : memcmp(left.data, right.data, size);
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

/* ---- life -------------------------------------------------------------------------------------- */

void alv_table_map_init(alv_table_map *map, uint64_t seed)
{
    *map = (alv_table_map){.random = seed | 1};
}

void alv_table_map_done(alv_table_map *map)
{
    row_release(map->root);
    alv_table_map_init(map, map->random);
}

alv_table_map alv_table_map_share(const alv_table_map *map)
{
    alv_table_map copy = *map;
    (void)row_retain(copy.root);
    return copy;
}

/* ---- changing ---------------------------------------------------------------------------------- */

/* xorshift64*: priorities need no more than to be independent of the keys. */
static uint32_t map_random(alv_table_map *map)
{
    map->random ^= map->random >> 12;
    map->random ^= map->random << 25;
    map->random ^= map->random >> 27;
    return (uint32_t)((map->random * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

/* `row` and its left child are ours: the child takes its place. */
static alv_table_row *row_rotate_right(alv_table_row *row)
{
    alv_table_row *top = row->left;
    row->left = top->right;
    top->right = row;
    return top;
}

static alv_table_row *row_rotate_left(alv_table_row *row)
{
    alv_table_row *top = row->right;
    row->right = top->left;
    top->left = row;
    return top;
}

static void row_set_value(alv_table_map *map, alv_table_row *row, json_t *value, size_t bytes)
{
    json_decref(row->value);
    map->bytes = map->bytes - row->bytes + bytes;
    row->value = value;
    row->bytes = bytes;
}

/* NOLINTBEGIN(misc-no-recursion): as row_release */

/* Takes the subtree and gives back the one with the row in it. */
static alv_table_row *map_insert(alv_table_map *map, alv_table_row *row, alv_view key,
                                 json_t *value, size_t bytes)
{
    if (row == NULL) {
        map->count++;
        map->bytes += bytes;
        return row_new(key, value, bytes, map_random(map));
    }
    row = row_own(row);
    int order = key_compare(key, row_key(row));
    if (order == 0) {
        row_set_value(map, row, value, bytes);
    } else if (order < 0) {
        row->left = map_insert(map, row->left, key, value, bytes);
        return row->left->priority > row->priority ? row_rotate_right(row) : row;
    } else {
        row->right = map_insert(map, row->right, key, value, bytes);
        return row->right->priority > row->priority ? row_rotate_left(row) : row;
    }
    return row;
}

void alv_table_map_put(alv_table_map *map, alv_view key, json_t *value, size_t encoded_bytes)
{
    ALV_ASSERT(value != NULL);
    size_t bytes = sizeof(alv_table_row) + key.size + TABLE_VALUE_BYTES_MIN +
                   encoded_bytes * TABLE_VALUE_FACTOR;
    map->root = map_insert(map, map->root, key, value, bytes);
}

/* Takes two subtrees, all keys of the left one before those of the right one. */
static alv_table_row *map_join(alv_table_row *left, alv_table_row *right)
{
    if (left == NULL || right == NULL) {
        return left == NULL ? right : left;
    }
    if (left->priority >= right->priority) {
        left = row_own(left);
        left->right = map_join(left->right, right);
        return left;
    }
    right = row_own(right);
    right->left = map_join(left, right->left);
    return right;
}

/* Takes the subtree, which has the key. */
static alv_table_row *map_delete(alv_table_map *map, alv_table_row *row, alv_view key)
{
    row = row_own(row);
    int order = key_compare(key, row_key(row));
    if (order < 0) {
        row->left = map_delete(map, row->left, key);
        return row;
    }
    if (order > 0) {
        row->right = map_delete(map, row->right, key);
        return row;
    }
    alv_table_row *joined = map_join(row->left, row->right);
    map->count--;
    map->bytes -= row->bytes;
    row->left = NULL;
    row->right = NULL;
    row_release(row);
    return joined;
}

/* NOLINTEND(misc-no-recursion) */

void alv_table_map_remove(alv_table_map *map, alv_view key)
{
    if (alv_table_map_get(map, key) != NULL) { /* else the way would be copied for nothing */
        map->root = map_delete(map, map->root, key);
    }
}

/* ---- looking ----------------------------------------------------------------------------------- */

static const alv_table_row *map_find(const alv_table_map *map, alv_view key)
{
    const alv_table_row *row = map->root;
    int order = 0;
    while (row != NULL && (order = key_compare(key, row_key(row))) != 0) {
        row = order < 0 ? row->left : row->right;
    }
    return row;
}

json_t *alv_table_map_get(const alv_table_map *map, alv_view key)
{
    const alv_table_row *row = map_find(map, key);
    return row == NULL ? NULL : row->value;
}

size_t alv_table_map_bytes(const alv_table_map *map, alv_view key)
{
    const alv_table_row *row = map_find(map, key);
    return row == NULL ? 0 : row->bytes;
}

bool alv_table_map_next(const alv_table_map *map, alv_view after, alv_view *out_key,
                        json_t **out_value)
{
    const alv_table_row *found = NULL;
    const alv_table_row *row = map->root;
    while (row != NULL) {
        if (after.data == NULL || key_compare(row_key(row), after) > 0) {
            found = row;
            row = row->left;
        } else {
            row = row->right;
        }
    }
    if (found != NULL) {
        *out_key = row_key(found);
        *out_value = found->value;
    }
    return found != NULL;
}
