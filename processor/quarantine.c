/* quarantine.c — a short list of rows, by key; each has what it is in the open transaction and what it was before.
 *
 * Changes are rare (something failed), rows are few, so the list is an array that is searched by halves.
 */
#include "processor/quarantine.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/logger.h"
#include "base/plant.h"
#include "processor/text.h"
#include "topics/schema.h"

/* An entry, or none. */
typedef struct quarantine_state {
    bool exists;
    alv_quarantine_entry entry;
} quarantine_state;

typedef struct quarantine_row {
    quarantine_state now;
    quarantine_state before; /* of a dirty row: as committed */
    bool is_dirty;
    alv_bytes value; /* scratch: the record as it is written */
    size_t key_size; /* of the record's key, prefix included */
    char key[];
} quarantine_row;

#define PREFIX_SIZE (sizeof ALV_QUARANTINE_KEY - 1)

/* ---- rows ------------------------------------------------------------------------------------ */

static alv_view row_key(const quarantine_row *row)
{
    return (alv_view){row->key + PREFIX_SIZE, row->key_size - PREFIX_SIZE};
}

static void row_free(quarantine_row *row)
{
    alv_bytes_done(&row->value);
    alv_free(row);
}

void alv_quarantine_done(alv_quarantine *quarantine)
{
    for (size_t i = 0; i < quarantine->count; i++) {
        row_free(quarantine->rows[i]);
    }
    alv_free(quarantine->rows);
    *quarantine = (alv_quarantine){.rows = NULL};
}

static int quarantine_compare(alv_view left, alv_view right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size > 0 ? memcmp(left.data, right.data, size) : 0;
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

/* The place of the first row whose key is not before `key`. */
static size_t quarantine_place(const alv_quarantine *quarantine, alv_view key)
{
    size_t low = 0;
    size_t high = quarantine->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (quarantine_compare(row_key(quarantine->rows[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static quarantine_row *quarantine_row_of(const alv_quarantine *quarantine, alv_view key)
{
    size_t at = quarantine_place(quarantine, key);
    bool found = at < quarantine->count && alv_view_equal(row_key(quarantine->rows[at]), key);
    return found ? quarantine->rows[at] : NULL;
}

static quarantine_row *quarantine_insert(alv_quarantine *quarantine, alv_view key)
{
    size_t at = quarantine_place(quarantine, key);
    if (quarantine->count == quarantine->capacity) {
        quarantine->capacity = quarantine->capacity == 0 ? 8 : 2 * quarantine->capacity;
        quarantine->rows =
            alv_realloc(quarantine->rows, quarantine->capacity * sizeof *quarantine->rows);
    }
    quarantine_row *row = alv_alloc(sizeof *row + PREFIX_SIZE + key.size);
    memcpy(row->key, ALV_QUARANTINE_KEY, PREFIX_SIZE);
    memcpy(row->key + PREFIX_SIZE, key.data, key.size);
    row->key_size = PREFIX_SIZE + key.size;
    memmove(quarantine->rows + at + 1, quarantine->rows + at,
            (quarantine->count - at) * sizeof(quarantine_row *));
    quarantine->rows[at] = row;
    quarantine->count++;
    return row;
}

static void quarantine_dirty(alv_quarantine *quarantine, quarantine_row *row)
{
    if (!row->is_dirty) {
        row->before = row->now;
        row->is_dirty = true;
        quarantine->is_dirty = true;
    }
}

/* ---- in the open transaction ------------------------------------------------------------------- */

const alv_quarantine_entry *alv_quarantine_find(const alv_quarantine *quarantine, alv_view key)
{
    const quarantine_row *row = quarantine_row_of(quarantine, key);
    return row != NULL && row->now.exists ? &row->now.entry : NULL;
}

bool alv_quarantine_is_suspect(const alv_quarantine *quarantine, alv_view key)
{
    return quarantine_row_of(quarantine, key) != NULL;
}

/* When all places are taken, somebody whose failures are only counted loses the count. */
static bool quarantine_make_room(alv_quarantine *quarantine)
{
    if (quarantine->count < ALV_QUARANTINE_ROWS_MAX) {
        return true;
    }
    for (size_t i = 0; i < quarantine->count; i++) {
        quarantine_row *row = quarantine->rows[i];
        if (row->now.exists && row->now.entry.since_ms == 0) {
            quarantine_dirty(quarantine, row);
            row->now.exists = false; /* leaves with the commit; until then there is one more */
            return true;
        }
    }
    return false;
}

alv_quarantine_entry *alv_quarantine_change(alv_quarantine *quarantine, alv_view key)
{
    quarantine_row *row = quarantine_row_of(quarantine, key);
    if (row == NULL) {
        if (!quarantine_make_room(quarantine)) {
            return NULL;
        }
        row = quarantine_insert(quarantine, key);
    }
    quarantine_dirty(quarantine, row);
    if (!row->now.exists) {
        row->now = (quarantine_state){.exists = true};
    }
    return &row->now.entry;
}

void alv_quarantine_remove(alv_quarantine *quarantine, alv_view key)
{
    quarantine_row *row = quarantine_row_of(quarantine, key);
    if (row != NULL && row->now.exists) {
        quarantine_dirty(quarantine, row);
        row->now.exists = false;
    }
}

/* ---- its end ----------------------------------------------------------------------------------- */

/* Rows without an entry go; counts those that are quarantined. */
static void quarantine_settle(alv_quarantine *quarantine, bool committed)
{
    if (!quarantine->is_dirty) {
        return;
    }
    size_t kept = 0;
    quarantine->held = 0;
    for (size_t i = 0; i < quarantine->count; i++) {
        quarantine_row *row = quarantine->rows[i];
        if (row->is_dirty && !committed && !ALV_PLANTED(COUNT_TWICE)) {
            row->now = row->before;
        }
        row->is_dirty = false;
        alv_bytes_done(&row->value);
        if (row->now.exists) {
            quarantine->held += row->now.entry.since_ms != 0;
            quarantine->rows[kept++] = row;
        } else {
            row_free(row);
        }
    }
    quarantine->count = kept;
    quarantine->is_dirty = false;
}

void alv_quarantine_commit(alv_quarantine *quarantine)
{
    quarantine_settle(quarantine, true);
}

void alv_quarantine_rewind(alv_quarantine *quarantine)
{
    quarantine_settle(quarantine, false);
}

/* ---- store and log --------------------------------------------------------------------------- */

void alv_quarantine_write(alv_quarantine *quarantine, alv_overlay *overlay)
{
    for (size_t i = 0; quarantine->is_dirty && i < quarantine->count; i++) {
        quarantine_row *row = quarantine->rows[i];
        if (!row->is_dirty || (!row->now.exists && !row->before.exists)) {
            continue;
        }
        alv_store_write write = {.kind = ALV_STORE_LEDGER, .key = {row->key, row->key_size}};
        alv_bytes_clear(&row->value);
        if (row->now.exists) {
            alv_quarantine_encode(&row->now.entry, &row->value);
            write.value = alv_bytes_view(&row->value);
        }
        alv_overlay_add_write(overlay, &write);
    }
}

/* What somebody else wrote there is passed over. */
static bool quarantine_visit(void *payload, alv_view key, alv_view value)
{
    alv_quarantine *quarantine = payload;
    quarantine_state state = {.exists = true};
    alv_view entity_key = alv_quarantine_entity(key);
    if (!alv_quarantine_decode(value, &state.entry)) {
        alv_log(ALV_LOG_WARN, "quarantine-unreadable", "key=%s", alv_text_quote(entity_key).text);
        return true;
    }
    quarantine_insert(quarantine, entity_key)->now = state;
    quarantine->held += state.entry.since_ms != 0;
    return true;
}

alv_status alv_quarantine_load(alv_quarantine *quarantine, alv_store *store, int32_t shard,
                               alv_error *err)
{
    alv_quarantine_done(quarantine);
    if (ALV_PLANTED(FORGET_FAILING)) {
        return ALV_OK;
    }
    return store->ops->scan(store, shard, ALV_STORE_LEDGER, ALV_VIEW(ALV_QUARANTINE_KEY),
                            ALV_VIEW_NONE, quarantine_visit, quarantine, err);
}
