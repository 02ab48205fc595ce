/* array_durable.h — a durable store made of arrays, whose calls fail when the test says so.
 *
 * Why:    what the checkpointer does to PostgreSQL's rows and positions is looked at without PostgreSQL.
 * Thread: one.
 * Owns:   the caller's struct; closing it frees nothing, so that it is looked at afterwards.
 * Limits: two shards, keys "k0" to "k4".
 *
 *   flavour of a failed call   0, 3  away
 *                              1     refused, until it is mended
 *                              2     away; a write was done all the same, and nobody hears of it
 */
#ifndef ALV_TESTS_SUPPORT_ARRAY_DURABLE_H
#define ALV_TESTS_SUPPORT_ARRAY_DURABLE_H

#include "changelog/durable_store.h"
#include "tests/support/io_faults.h"

#define ALV_ARRAY_SHARDS 2
#define ALV_ARRAY_KEYS 5

typedef struct alv_array_row {
    char state[32];
    int64_t offset; /* -1 = none was ever there */
    bool is_there;
} alv_array_row;

typedef struct alv_array_durable {
    alv_durable_store store;
    alv_io_faults *faults; /* borrowed */
    int64_t positions[ALV_ARRAY_SHARDS];
    alv_array_row rows[ALV_ARRAY_KEYS];
} alv_array_durable;

void alv_array_durable_init(alv_array_durable *durable, alv_io_faults *faults);

#endif
