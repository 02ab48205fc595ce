/* Goal:   a resume id is taken only when an event of this changelog had it, and then means what it meant;
 *         whatever else a client sends is refused with a reason.
 * Method: the first byte says which watch resumes. The rest is read as the text of an id; as the bytes of one,
 *         with the checksum that a chance hit would need; and as offsets, which are written and read.
 */
#include <string.h>

#include "api/http_limits.h"
#include "api/watch_id.h"
#include "base/assert.h"
#include "base/base64url.h"
#include "tests/support/fuzz_target.h"

#define SHARDS 5

/* Reads `text` for a watch of all shards or of one; what is accepted is written and read again. */
static void fuzz_read(alv_view text, int32_t shard)
{
    const alv_watch_id wanted = {
        .changelog = alv_watch_id_changelog("topic-1"), .shard_count = SHARDS, .shard = shard};
    int64_t offsets[SHARDS + 1] = {-1, -1, -1, -1, -1, -1};
    int64_t as_of_s = -1;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_watch_id_decode(text, &wanted, offsets, &as_of_s, &err);
    if (status != ALV_OK) {
        ALV_ASSERT(status == ALV_REJECT && as_of_s == -1);
        alv_fuzz_check_refusal(&err);
        return;
    }
    int count = shard < 0 ? SHARDS : 1;
    ALV_ASSERT(as_of_s >= 0);
    for (int i = 0; i <= SHARDS; i++) {
        ALV_ASSERT(i < count ? offsets[i] >= 0 : offsets[i] == -1);
    }
    alv_watch_id id = wanted;
    id.as_of_s = as_of_s;
    id.offsets = offsets;
    int64_t again[SHARDS];
    int64_t as_of_again_s = -1;
    alv_bytes written = ALV_BYTES_EMPTY;
    alv_watch_id_encode(&id, &written);
    ALV_ASSERT(written.size <= ALV_WATCH_ID_BYTES_MAX * 2);
    ALV_ASSERT(alv_watch_id_decode(alv_bytes_view(&written), &wanted, again, &as_of_again_s,
                                   NULL) == ALV_OK);
    ALV_ASSERT(as_of_again_s == as_of_s);
    ALV_ASSERT(memcmp(offsets, again, (size_t)count * sizeof *again) == 0);
    alv_bytes_done(&written);
}

/* The input behind a head that belongs to this changelog, with the right sum. */
static void fuzz_read_bytes(alv_view bytes, int32_t shard)
{
    uint32_t changelog = alv_watch_id_changelog("topic-1");
    alv_bytes id = ALV_BYTES_EMPTY;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes_append(&id, "\1", 1);
    for (int shift = 24; shift >= 0; shift -= 8) {
        char byte = (char)(changelog >> shift & 0xff);
        alv_bytes_append(&id, &byte, 1);
    }
    alv_bytes_append(&id, bytes.data, bytes.size);
    uint32_t sum = 2166136261U; /* FNV-1a */
    for (size_t i = 0; i < id.size; i++) {
        sum = (sum ^ (unsigned char)id.data[i]) * 16777619U;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        char byte = (char)(sum >> shift & 0xff);
        alv_bytes_append(&id, &byte, 1);
    }
    alv_base64url_encode(alv_bytes_view(&id), &text);
    fuzz_read(alv_bytes_view(&text), shard);
    alv_bytes_done(&text);
    alv_bytes_done(&id);
}

static void fuzz_base64url(alv_view data)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes back = ALV_BYTES_EMPTY;
    alv_base64url_encode(data, &text);
    ALV_ASSERT(alv_base64url_decode(alv_bytes_view(&text), &back));
    ALV_ASSERT(alv_view_equal(alv_bytes_view(&back), data));
    alv_bytes_clear(&text);
    alv_bytes_clear(&back);
    if (alv_base64url_decode(data, &back)) { /* each value has one encoding */
        alv_base64url_encode(alv_bytes_view(&back), &text);
        ALV_ASSERT(alv_view_equal(alv_bytes_view(&text), data));
    }
    alv_bytes_done(&back);
    alv_bytes_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_view input = alv_fuzz_view(data, size);
    int32_t shard = (int32_t)(alv_fuzz_byte(&input) % (SHARDS + 1)) - 1;
    fuzz_read(input, shard);
    fuzz_read_bytes(input, shard);
    fuzz_base64url(input);
    return 0;
}
