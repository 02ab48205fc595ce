/* Goal:   the position record of a shard, and the note beside a committed offset, are read only when a lane
 *         has written them, and say then just what was written: a wrong reading would skip commands, or fence
 *         a lane that lives.
 * Method: the input is taken for each of the two; what is accepted is written again and must be the same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/limits.h"
#include "tests/support/fuzz_target.h"
#include "topics/offset_note.h"
#include "topics/schema.h"

static void fuzz_position(alv_view record)
{
    int64_t offset = -7;
    int64_t at_ms = -7;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_schema_read_position(record, &offset, &at_ms, &err);
    if (status != ALV_OK) {
        ALV_ASSERT(status == ALV_REJECT && offset == -7 && at_ms == -7);
        alv_fuzz_check_refusal(&err);
        return;
    }
    alv_bytes written = ALV_BYTES_EMPTY;
    ALV_ASSERT(offset >= 0);
    alv_schema_write_position(offset, at_ms, &written);
    ALV_ASSERT(alv_view_equal(alv_bytes_view(&written), record));
    alv_bytes_done(&written);
}

/* Any times can be read back. */
static void fuzz_write_position(alv_view bytes)
{
    int64_t numbers[2] = {0, 0};
    memcpy(numbers, bytes.data, bytes.size < sizeof numbers ? bytes.size : sizeof numbers);
    alv_bytes written = ALV_BYTES_EMPTY;
    int64_t offset = -7;
    int64_t at_ms = -7;
    alv_schema_write_position(numbers[0] & INT64_MAX, numbers[1], &written);
    ALV_ASSERT(alv_schema_read_position(alv_bytes_view(&written), &offset, &at_ms, NULL) == ALV_OK);
    ALV_ASSERT(offset == (numbers[0] & INT64_MAX) && at_ms == numbers[1]);
    alv_bytes_done(&written);
}

static void fuzz_note(alv_view note)
{
    char node_id[32];
    int32_t lane = -7;
    if (!alv_offset_note_read(note, node_id, sizeof node_id, &lane)) {
        ALV_ASSERT(lane == -7);
        return;
    }
    ALV_ASSERT(lane >= 0 && lane < ALV_LANES_MAX);
    ALV_ASSERT(strlen(node_id) > 0 && strlen(node_id) < sizeof node_id);
    char owner[64];
    (void)snprintf(owner, sizeof owner, "%s-%" PRId32, node_id, lane);
    json_t *read = json_loadb(note.data, note.size, 0, NULL);
    ALV_ASSERT(strcmp(json_string_value(json_object_get(read, "owner")), owner) == 0);
    json_decref(read);

    char node_again[sizeof node_id];
    int32_t lane_again = -7;
    alv_bytes written = ALV_BYTES_EMPTY;
    alv_offset_note_write(owner, &written);
    ALV_ASSERT(
        alv_offset_note_read(alv_bytes_view(&written), node_again, sizeof node_again, &lane_again));
    ALV_ASSERT(strcmp(node_id, node_again) == 0 && lane == lane_again);
    alv_bytes_done(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    alv_view input = alv_fuzz_view(data, size);
    fuzz_position(input);
    fuzz_write_position(input);
    fuzz_note(input);
    return 0;
}
