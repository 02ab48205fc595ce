/* Goal:   a state that can be read can be written and read again as the same, in the size that was announced;
 *         everything else is refused with a reason. Equal states have equal digests.
 * Method: the input is an encoded state.
 */
#include "base/assert.h"
#include "changelog/json_digest.h"
#include "statestore/codec.h"
#include "tests/support/fuzz_target.h"

static void fuzz_round_trip(alv_view encoded, json_t *state)
{
    alv_bytes out = ALV_BYTES_EMPTY;
    json_t *again = NULL;
    alv_codec_encode(state, &out);
    ALV_ASSERT(out.size == alv_codec_size(state));
    ALV_ASSERT(alv_codec_decode(alv_bytes_view(&out), &again, NULL) == ALV_OK);
    ALV_ASSERT(json_equal(state, again));
    ALV_ASSERT(alv_json_digest(encoded) == alv_json_digest(alv_bytes_view(&out)));
    ALV_ASSERT(alv_codec_memory(encoded.size) >= encoded.size);
    json_decref(again);
    alv_bytes_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_view encoded = alv_fuzz_view(data, size);
    alv_error err = ALV_ERROR_NONE;
    json_t *state = NULL;
    ALV_ASSERT(alv_json_digest(encoded) == alv_json_digest(encoded));
    alv_status status = alv_codec_decode(encoded, &state, &err);
    if (status != ALV_OK) {
        ALV_ASSERT(status == ALV_REJECT && state == NULL);
        alv_fuzz_check_refusal(&err);
        return 0;
    }
    fuzz_round_trip(encoded, state);
    json_decref(state);
    return 0;
}
