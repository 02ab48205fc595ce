#include "tests/support/array_durable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static alv_status array_fail(const alv_array_durable *durable, alv_error *err)
{
    return alv_fail(err, durable->faults->flavour == 1 ? ALV_REJECT : ALV_RETRY,
                    "%s fails, as the test wants it", durable->faults->call);
}

static alv_status array_position(alv_durable_store *store, int32_t shard, int64_t *out,
                                 alv_error *err)
{
    alv_array_durable *durable = (alv_array_durable *)store;
    if (alv_io_faults_hit(durable->faults, "durable.position")) {
        return array_fail(durable, err);
    }
    *out = durable->positions[shard];
    return ALV_OK;
}

/* "k<number>" */
static alv_array_row *array_row(alv_array_durable *durable, alv_view key)
{
    assert_int_equal(key.size, 2);
    int number = key.data[1] - '0';
    assert_in_range(number, 0, ALV_ARRAY_KEYS - 1);
    return &durable->rows[number];
}

static void array_write_row(alv_array_durable *durable, alv_checkpoint_row *row)
{
    alv_array_row *stored = array_row(durable, row->key);
    row->outcome = ALV_ROW_STORED;
    if (row->changelog_offset <= stored->offset) {
        return; /* as the guard in PostgreSQL has it */
    }
    stored->offset = row->changelog_offset;
    stored->is_there = row->state.data != NULL;
    (void)snprintf(stored->state, sizeof stored->state, "%.*s", (int)row->state.size,
                   row->state.data != NULL ? row->state.data : "");
}

static bool array_is_fenced(const alv_array_durable *durable, alv_checkpoint_position *positions,
                            size_t count)
{
    bool fenced = false;
    for (size_t i = 0; i < count; i++) {
        positions[i].fenced = durable->positions[positions[i].shard] != positions[i].expected;
        fenced = fenced || positions[i].fenced;
    }
    return fenced;
}

static alv_status array_write(alv_durable_store *store, alv_checkpoint_row *rows, size_t row_count,
                              alv_checkpoint_position *positions, size_t position_count,
                              alv_error *err)
{
    alv_array_durable *durable = (alv_array_durable *)store;
    bool hit = alv_io_faults_hit(durable->faults, "durable.write");
    if (hit && durable->faults->flavour != 2) {
        return array_fail(durable, err);
    }
    if (array_is_fenced(durable, positions, position_count)) {
        return alv_fail(err, ALV_FENCED, "another writer");
    }
    for (size_t i = 0; i < row_count; i++) {
        array_write_row(durable, &rows[i]);
    }
    for (size_t i = 0; i < position_count; i++) {
        int64_t *position = &durable->positions[positions[i].shard];
        assert_true(positions[i].changelog_offset >= *position);
        *position = positions[i].changelog_offset;
    }
    return hit ? array_fail(durable, err) : ALV_OK; /* written, and nobody hears of it */
}

static void array_close(alv_durable_store *store)
{
    (void)store;
}

static const alv_durable_store_ops array_ops = {
    .position = array_position, .write = array_write, .close = array_close};

void alv_array_durable_init(alv_array_durable *durable, alv_io_faults *faults)
{
    *durable = (alv_array_durable){.store.ops = &array_ops, .faults = faults};
    for (int i = 0; i < ALV_ARRAY_KEYS; i++) {
        durable->rows[i].offset = -1;
    }
}
