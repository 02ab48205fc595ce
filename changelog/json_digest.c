#include "changelog/json_digest.h"

#include <jansson.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"

/* Integers become doubles as well: 100 and 1e2 are one number, and only one of them is an integer to
 * jansson. A number that no double holds makes the text something that is not JSON to us. */
#define DIGEST_DECODE (JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL)
#define DIGEST_ENCODE (JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS)

/* jsonb knows no negative zero.
 * NOLINTNEXTLINE(misc-no-recursion): values nest as deep as jansson's parser allows (2048) */
static void digest_drop_signed_zeros(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_real(value) && json_real_value(value) == 0) {
        (void)json_real_set(value, 0.0); /* fails for NaN and infinity only */
    }
    json_object_foreach(value, name, member)
    {
        digest_drop_signed_zeros(member);
    }
    json_array_foreach(value, i, member)
    {
        digest_drop_signed_zeros(member);
    }
}

static int digest_take(const char *text, size_t size, void *payload)
{
    return XXH64_update(payload, text, size) == XXH_OK ? 0 : -1;
}

uint64_t alv_json_digest(alv_view json)
{
    ALV_ASSERT(json.data != NULL || json.size == 0);
    json_t *value = json_loadb(json.data != NULL ? json.data : "", json.size, DIGEST_DECODE, NULL);
    if (value == NULL) {
        return XXH64(json.data, json.size, 0);
    }
    XXH64_state_t state;
    (void)XXH64_reset(&state, 0);
    digest_drop_signed_zeros(value);
    (void)json_dump_callback(value, digest_take, &state,
                             DIGEST_ENCODE); /* to memory: cannot fail */
    json_decref(value);
    return XXH64_digest(&state);
}
