#include "api/watch_id.h"

#include <string.h>

#include "api/http_limits.h"
#include "base/assert.h"
#include "base/base64url.h"

#define WATCH_ID_VERSION 1
#define WATCH_ID_NUMBER_BYTES 4

/* ---- hashes ---------------------------------------------------------------------------------- */

static uint32_t watch_id_hash(alv_view data)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < data.size; i++) {
        hash = (hash ^ (unsigned char)data.data[i]) * 16777619U;
    }
    return hash;
}

uint32_t alv_watch_id_changelog(const char *topic_id)
{
    return watch_id_hash(alv_view_of(topic_id));
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Into a buffer of the largest size: an id is made for each event. */
typedef struct watch_id_writer {
    unsigned char bytes[ALV_WATCH_ID_BYTES_MAX];
    size_t size;
} watch_id_writer;

static void watch_id_put(watch_id_writer *writer, unsigned byte)
{
    ALV_ASSERT(writer->size < sizeof writer->bytes);
    writer->bytes[writer->size++] = (unsigned char)byte;
}

static void watch_id_put_number(watch_id_writer *writer, uint32_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        watch_id_put(writer, number >> shift & 0xff);
    }
}

static void watch_id_put_varint(watch_id_writer *writer, int64_t value)
{
    ALV_ASSERT(value >= 0);
    uint64_t left = (uint64_t)value;
    while (left >= 0x80) {
        watch_id_put(writer, (unsigned)(left & 0x7f) | 0x80);
        left >>= 7;
    }
    watch_id_put(writer, (unsigned)left);
}

static alv_view watch_id_written(const watch_id_writer *writer)
{
    return (alv_view){(const char *)writer->bytes, writer->size};
}

void alv_watch_id_encode(const alv_watch_id *id, alv_bytes *out)
{
    watch_id_writer writer;
    writer.size = 0;
    watch_id_put(&writer, WATCH_ID_VERSION);
    watch_id_put_number(&writer, id->changelog);
    watch_id_put_varint(&writer, id->as_of_s);
    watch_id_put_varint(&writer, id->shard_count);
    watch_id_put_varint(&writer, id->shard + 1);
    int32_t count = id->shard < 0 ? id->shard_count : 1;
    for (int32_t i = 0; i < count; i++) {
        watch_id_put_varint(&writer, id->offsets[i]);
    }
    watch_id_put_number(&writer, watch_id_hash(watch_id_written(&writer)));
    alv_base64url_encode(watch_id_written(&writer), out);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool watch_id_take(alv_view *rest, unsigned *out)
{
    if (rest->size == 0) {
        return false;
    }
    *out = (unsigned char)*rest->data;
    *rest = (alv_view){rest->data + 1, rest->size - 1};
    return true;
}

static bool watch_id_take_number(alv_view *rest, uint32_t *out)
{
    uint32_t number = 0;
    unsigned byte = 0;
    for (int i = 0; i < WATCH_ID_NUMBER_BYTES; i++) {
        if (!watch_id_take(rest, &byte)) {
            return false;
        }
        number = number << 8 | byte;
    }
    *out = number;
    return true;
}

static bool watch_id_take_varint(alv_view *rest, int64_t *out)
{
    uint64_t value = 0;
    unsigned byte = 0x80;
    for (unsigned shift = 0; (byte & 0x80) != 0; shift += 7) {
        if (shift > 56 || !watch_id_take(rest, &byte)) { /* at most 63 bits */
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
    }
    *out = (int64_t)value;
    return true;
}

/* Checks the sum at the end and cuts it off. */
static bool watch_id_cut_checksum(alv_view *bytes)
{
    if (bytes->size < WATCH_ID_NUMBER_BYTES) {
        return false;
    }
    alv_view body = {bytes->data, bytes->size - WATCH_ID_NUMBER_BYTES};
    alv_view sum = {body.data + body.size, WATCH_ID_NUMBER_BYTES};
    uint32_t expected = 0;
    (void)watch_id_take_number(&sum, &expected); /* it is there */
    *bytes = body;
    return watch_id_hash(body) == expected;
}

/* The head of an id, once it is known to be one. */
static alv_status watch_id_check(const alv_watch_id *id, const alv_watch_id *wanted, alv_error *err)
{
    if (id->changelog != wanted->changelog) {
        return alv_fail(err, ALV_REJECT,
                        "the event id belongs to another application, or to a changelog that was "
                        "deleted since: watch without an id");
    }
    if (id->shard_count != wanted->shard_count) {
        return alv_fail(err, ALV_REJECT, "the event id is of %d shards, here there are %d",
                        (int)id->shard_count, (int)wanted->shard_count);
    }
    if (id->shard >= 0 && wanted->shard < 0) {
        return alv_fail(err, ALV_REJECT,
                        "the event id comes from the watch of a key, not of a prefix or pattern");
    }
    if (id->shard >= 0 && id->shard != wanted->shard) {
        return alv_fail(err, ALV_REJECT,
                        "the event id comes from the watch of a key of shard %d, this one is of "
                        "shard %d",
                        (int)id->shard, (int)wanted->shard);
    }
    return ALV_OK;
}

static bool watch_id_take_head(alv_view *rest, alv_watch_id *out)
{
    unsigned version = 0;
    int64_t shard_count = 0;
    int64_t shard_after = 0;
    bool fine =
        watch_id_take(rest, &version) && version == WATCH_ID_VERSION &&
        watch_id_take_number(rest, &out->changelog) && watch_id_take_varint(rest, &out->as_of_s) &&
        watch_id_take_varint(rest, &shard_count) && watch_id_take_varint(rest, &shard_after) &&
        shard_count <= ALV_SHARDS_MAX && shard_after <= shard_count;
    out->shard_count = (int32_t)shard_count;
    out->shard = (int32_t)shard_after - 1;
    return fine;
}

/* Of an id of all shards, a watch of one takes its own. */
static bool watch_id_take_offsets(alv_view rest, const alv_watch_id *id, int32_t wanted,
                                  int64_t *out)
{
    int32_t count = id->shard < 0 ? id->shard_count : 1;
    for (int32_t i = 0; i < count; i++) {
        int64_t offset = 0;
        if (!watch_id_take_varint(&rest, &offset)) {
            return false;
        }
        if (wanted < 0) {
            out[i] = offset;
        } else if (id->shard >= 0 || i == wanted) {
            out[0] = offset;
        }
    }
    return rest.size == 0;
}

static alv_status watch_id_read(alv_view bytes, const alv_watch_id *wanted, int64_t *out_offsets,
                                int64_t *out_as_of_s, alv_error *err)
{
    alv_watch_id id = {.shard = -1};
    bool sound = watch_id_cut_checksum(&bytes) && watch_id_take_head(&bytes, &id);
    alv_status status = sound ? watch_id_check(&id, wanted, err) : ALV_OK;
    if (status != ALV_OK) {
        return status;
    }
    if (!sound || !watch_id_take_offsets(bytes, &id, wanted->shard, out_offsets)) {
        return alv_fail(err, ALV_REJECT, "that is not the id of an event, or not all of it");
    }
    *out_as_of_s = id.as_of_s;
    return ALV_OK;
}

alv_status alv_watch_id_decode(alv_view text, const alv_watch_id *wanted, int64_t *out_offsets,
                               int64_t *out_as_of_s, alv_error *err)
{
    alv_bytes bytes = ALV_BYTES_EMPTY;
    if (text.size > ALV_WATCH_ID_BYTES_MAX * 2 || !alv_base64url_decode(text, &bytes)) {
        alv_bytes_clear(&bytes); /* which no id is */
    }
    alv_status status =
        watch_id_read(alv_bytes_view(&bytes), wanted, out_offsets, out_as_of_s, err);
    alv_bytes_done(&bytes);
    return status;
}
