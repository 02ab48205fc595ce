#include "changelog/pg_array.h"

#include <endian.h>

#include "base/assert.h"

/* dimensions, "has nulls", element type, then per dimension its length and lower bound */
#define PG_ARRAY_HEADER_BYTES 20

/* PostgreSQL counts microseconds from 2000-01-01 UTC. */
#define PG_EPOCH_MS INT64_C(946684800000)
#define PG_YEAR_9999_END_MS INT64_C(253402300799999)

static void array_append_int4(alv_pg_array *array, int32_t value)
{
    uint32_t big = htobe32((uint32_t)value);
    alv_bytes_append(&array->bytes, &big, sizeof big);
}

static void array_append_int8(alv_pg_array *array, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    alv_bytes_append(&array->bytes, &big, sizeof big);
}

static void array_append_header(alv_pg_array *array)
{
    array_append_int4(array, 1);
    array_append_int4(array, array->has_null ? 1 : 0);
    array_append_int4(array, (int32_t)array->type);
    array_append_int4(array, array->count);
    array_append_int4(array, 1);
}

void alv_pg_array_begin(alv_pg_array *array, alv_pg_type type)
{
    alv_bytes_clear(&array->bytes);
    array->type = type;
    array->count = 0;
    array->has_null = false;
    array_append_header(array); /* holds the place; finish writes it again */
}

/* Every element begins with its length in bytes. */
static void array_begin_element(alv_pg_array *array, alv_pg_type type, size_t size)
{
    ALV_ASSERT(array->type == type && size <= INT32_MAX && array->count < INT32_MAX);
    array->count++;
    array_append_int4(array, (int32_t)size);
}

void alv_pg_array_add_int4(alv_pg_array *array, int32_t value)
{
    array_begin_element(array, ALV_PG_INT4, sizeof value);
    array_append_int4(array, value);
}

void alv_pg_array_add_int8(alv_pg_array *array, int64_t value)
{
    array_begin_element(array, ALV_PG_INT8, sizeof value);
    array_append_int8(array, value);
}

void alv_pg_array_add_text(alv_pg_array *array, alv_view text)
{
    array_begin_element(array, ALV_PG_TEXT, text.size);
    alv_bytes_append(&array->bytes, text.data, text.size);
}

/* jsonb travels as text behind a version byte. */
void alv_pg_array_add_jsonb(alv_pg_array *array, alv_view json)
{
    array_begin_element(array, ALV_PG_JSONB, json.size + 1);
    alv_bytes_append(&array->bytes, "\x01", 1);
    alv_bytes_append(&array->bytes, json.data, json.size);
}

void alv_pg_array_add_timestamptz(alv_pg_array *array, int64_t at_ms)
{
    if (at_ms < 0) {
        at_ms = 0;
    }
    if (at_ms > PG_YEAR_9999_END_MS) {
        at_ms = PG_YEAR_9999_END_MS;
    }
    int64_t at_us = (at_ms - PG_EPOCH_MS) * 1000;
    array_begin_element(array, ALV_PG_TIMESTAMPTZ, sizeof at_us);
    array_append_int8(array, at_us);
}

void alv_pg_array_add_null(alv_pg_array *array)
{
    array->has_null = true;
    array->count++;
    array_append_int4(array, -1);
}

void alv_pg_array_finish(alv_pg_array *array)
{
    ALV_ASSERT(array->count > 0);
    size_t size = array->bytes.size;
    array->bytes.size = 0;
    array_append_header(array);
    ALV_ASSERT(array->bytes.size == PG_ARRAY_HEADER_BYTES);
    array->bytes.size = size;
}

uint32_t alv_pg_array_oid(alv_pg_type type)
{
    switch (type) {
    case ALV_PG_INT8:
        return 1016;
    case ALV_PG_INT4:
        return 1007;
    case ALV_PG_TEXT:
        return 1009;
    case ALV_PG_TIMESTAMPTZ:
        return 1185;
    case ALV_PG_JSONB:
        return 3807;
    }
    alv_assert_failed("type is an alv_pg_type", __FILE__, __LINE__, __func__);
}

void alv_pg_array_done(alv_pg_array *array)
{
    alv_bytes_done(&array->bytes);
}
