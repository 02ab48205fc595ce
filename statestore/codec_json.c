#include <inttypes.h>

#include "base/assert.h"
#include "base/json_reader.h"
#include "base/json_writer.h"
#include "statestore/codec.h"

/* jansson's memory per encoded byte, and what the smallest object takes. */
#define CODEC_MEMORY_FACTOR 6
#define CODEC_MEMORY_MIN_BYTES 512

void alv_codec_encode(const json_t *state, alv_bytes *out)
{
    ALV_ASSERT(json_is_object(state));
    bool written = alv_json_write(state, out);
    ALV_ASSERT(written);
}

/* {"a":1} becomes {"$version":2,"a":1}: what stands before it takes the place of its brace. */
void alv_codec_encode_version(const json_t *state, uint32_t version, alv_bytes *out)
{
    alv_bytes_printf(out, "{\"" ALV_CODEC_VERSION "\":%" PRIu32, version);
    size_t begin = out->size;
    alv_codec_encode(state, out);
    if (json_object_size(state) > 0) {
        out->data[begin] = ',';
    } else {
        out->data[begin] = '}';
        out->size = begin + 1;
    }
}

size_t alv_codec_size(const json_t *state)
{
    return json_dumpb(state, NULL, 0, JSON_COMPACT);
}

alv_status alv_codec_decode(alv_view encoded, json_t **out, alv_error *err)
{
    json_error_t json_error;
    json_t *state = alv_json_read(encoded, 0, &json_error);
    if (state == NULL) {
        return alv_fail_from(err, ALV_REJECT, "jansson", 0, "state is not JSON: %s",
                             json_error.text);
    }
    if (!json_is_object(state)) {
        json_decref(state);
        return alv_fail(err, ALV_REJECT, "state is not a JSON object");
    }
    *out = state;
    return ALV_OK;
}

size_t alv_codec_memory(size_t encoded_bytes)
{
    return CODEC_MEMORY_MIN_BYTES + encoded_bytes * CODEC_MEMORY_FACTOR;
}
