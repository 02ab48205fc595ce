/* pg_array.h — a one-dimensional array in PostgreSQL's binary format.
 *
 * Why:    20,000 rows are six parameters of one statement (`unnest`), not 20,000 statements, and
 *         the binary format needs no quoting. The layout is that of array_recv in PostgreSQL's
 *         src/backend/utils/adt/arrayfuncs.c; all numbers are big-endian.
 * Thread: one at a time.
 * Owns:   its bytes, kept from one use to the next.
 */
#ifndef ALV_CHANGELOG_PG_ARRAY_H
#define ALV_CHANGELOG_PG_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* Type numbers as in pg_type.dat; they never change. */
typedef enum alv_pg_type {
    ALV_PG_INT8 = 20,
    ALV_PG_INT4 = 23,
    ALV_PG_TEXT = 25,
    ALV_PG_TIMESTAMPTZ = 1184,
    ALV_PG_JSONB = 3802,
} alv_pg_type;

typedef struct alv_pg_array {
    alv_bytes bytes; /* the parameter, once finished */
    alv_pg_type type;
    int32_t count;
    bool has_null;
} alv_pg_array;

#define ALV_PG_ARRAY_EMPTY ((alv_pg_array){.bytes = ALV_BYTES_EMPTY})

/* Empties it for elements of `type`. */
void alv_pg_array_begin(alv_pg_array *array, alv_pg_type type);

/* Add one element; the type must be the array's. */
void alv_pg_array_add_int4(alv_pg_array *array, int32_t value);
void alv_pg_array_add_int8(alv_pg_array *array, int64_t value);
void alv_pg_array_add_text(alv_pg_array *array, alv_view text);
void alv_pg_array_add_jsonb(alv_pg_array *array, alv_view json);

/* `at_ms` since the Unix epoch; what lies outside of the years 1970 to 9999 is moved to their edge,
 * for the time of a record is whatever its producer wrote. */
void alv_pg_array_add_timestamptz(alv_pg_array *array, int64_t at_ms);

void alv_pg_array_add_null(alv_pg_array *array);

/* Completes the header; at least one element. `bytes` is the parameter until the next begin. */
void alv_pg_array_finish(alv_pg_array *array);

/* The type of an array of `type`. */
uint32_t alv_pg_array_oid(alv_pg_type type);

void alv_pg_array_done(alv_pg_array *array);

#endif
