/* store.c — positions and keys of the index of timers: comparing, encoding and checking them. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "base/assert.h"
#include "statestore/store_internal.h"

#define CHECKED_BYTES (ALV_POSITION_BYTES - 4) /* what the checksum covers */

bool alv_position_covers(const alv_position *later, const alv_position *earlier)
{
    return later->commands >= earlier->commands && later->changelog >= earlier->changelog &&
           later->ledger >= earlier->ledger;
}

/* The one place that says what a believable position is: asserted before it is written, rejected
 * after it was read. at_ms is the wall clock's business. */
static bool position_valid(const alv_position *position)
{
    return position->commands >= 0 && position->changelog >= 0 && position->ledger >= 0;
}

static void position_put(char *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[i] = (char)(unsigned char)(value >> (8 * i));
    }
}

static uint64_t position_take(const char *data, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)(unsigned char)data[i] << (8 * i);
    }
    return value;
}

static uint32_t position_checksum(const char *data)
{
    return (uint32_t)XXH3_64bits(data, CHECKED_BYTES);
}

void alv_position_encode(const alv_position *position, char out[ALV_POSITION_BYTES])
{
    ALV_ASSERT(position_valid(position));
    position_put(out, ALV_POSITION_VERSION, 4);
    position_put(out + 4, (uint64_t)position->commands, 8);
    position_put(out + 12, (uint64_t)position->changelog, 8);
    position_put(out + 20, (uint64_t)position->ledger, 8);
    position_put(out + 28, (uint64_t)position->at_ms, 8);
    position_put(out + CHECKED_BYTES, position_checksum(out), 4);
}

alv_status alv_position_decode(alv_view encoded, alv_position *out, alv_error *err)
{
    if (encoded.data == NULL || encoded.size != ALV_POSITION_BYTES) {
        return alv_fail(err, ALV_REJECT, "stored position has %zu bytes instead of %d",
                        encoded.size, ALV_POSITION_BYTES);
    }
    uint64_t version = position_take(encoded.data, 4);
    if (version != ALV_POSITION_VERSION) {
        return alv_fail(err, ALV_REJECT, "stored position has version %u, known is %d",
                        (unsigned)version, ALV_POSITION_VERSION);
    }
    if (position_take(encoded.data + CHECKED_BYTES, 4) != position_checksum(encoded.data)) {
        return alv_fail(err, ALV_REJECT, "stored position fails its checksum");
    }
    alv_position position = {
        .commands = (int64_t)position_take(encoded.data + 4, 8),
        .changelog = (int64_t)position_take(encoded.data + 12, 8),
        .ledger = (int64_t)position_take(encoded.data + 20, 8),
        .at_ms = (int64_t)position_take(encoded.data + 28, 8),
    };
    if (!position_valid(&position)) {
        return alv_fail(err, ALV_REJECT, "stored position has a negative offset");
    }
    *out = position;
    return ALV_OK;
}

/* ---- the index of timers ------------------------------------------------------------------------- */

#define TIMER_DUE_BYTES 8
#define TIMER_SIGN (UINT64_C(1) << 63)

void alv_store_timer_key(int64_t due_ms, alv_view entity_key, alv_bytes *out)
{
    uint64_t ordered = (uint64_t)due_ms ^ TIMER_SIGN;
    char bytes[TIMER_DUE_BYTES];
    for (size_t i = 0; i < TIMER_DUE_BYTES; i++) {
        bytes[i] = (char)(unsigned char)(ordered >> (8 * (TIMER_DUE_BYTES - 1 - i)));
    }
    alv_bytes_append(out, bytes, sizeof bytes);
    alv_bytes_append(out, entity_key.data, entity_key.size);
}

bool alv_store_timer_key_read(alv_view key, int64_t *out_due_ms, alv_view *out_entity_key)
{
    if (key.data == NULL || key.size <= TIMER_DUE_BYTES) {
        return false;
    }
    uint64_t ordered = 0;
    for (size_t i = 0; i < TIMER_DUE_BYTES; i++) {
        ordered = ordered << 8 | (unsigned char)key.data[i];
    }
    *out_due_ms = (int64_t)(ordered ^ TIMER_SIGN);
    *out_entity_key = (alv_view){key.data + TIMER_DUE_BYTES, key.size - TIMER_DUE_BYTES};
    return true;
}
