#include "processor/quarantine_record.h"

#include <jansson.h>
#include <string.h>

#include "base/assert.h"
#include "processor/text.h"
#include "statestore/codec.h"
#include "topics/schema.h"

#define PREFIX_SIZE (sizeof ALV_QUARANTINE_KEY - 1)
#define HELD_BEGIN "{\"quarantined\":true,"

void alv_quarantine_key(alv_view entity_key, alv_bytes *out)
{
    alv_bytes_append(out, ALV_QUARANTINE_KEY, PREFIX_SIZE);
    alv_bytes_append(out, entity_key.data, entity_key.size);
}

alv_view alv_quarantine_entity(alv_view record_key)
{
    ALV_ASSERT(record_key.size >= PREFIX_SIZE);
    return (alv_view){record_key.data + PREFIX_SIZE, record_key.size - PREFIX_SIZE};
}

bool alv_quarantine_is_held(alv_view record)
{
    return record.data != NULL && alv_view_starts_with(record, ALV_VIEW(HELD_BEGIN));
}

/* "quarantined" comes first, see alv_quarantine_is_held. */
void alv_quarantine_encode(const alv_quarantine_entry *entry, alv_bytes *out)
{
    json_t *record =
        json_pack("{s:b, s:I, s:s, s:s, s:I, s:I, s:I}", "quarantined", entry->since_ms != 0,
                  "failures", (json_int_t)entry->failures, "reason", alv_reason_code(entry->reason),
                  "detail", entry->detail, "since", (json_int_t)entry->since_ms, "offset",
                  (json_int_t)entry->offset, "waiting", (json_int_t)entry->waiting);
    ALV_ASSERT(record != NULL); /* the detail was made UTF-8 */
    alv_codec_encode(record, out);
    json_decref(record);
}

/* A reason that this version does not have counts as the plainest one. */
static alv_reason quarantine_reason(const char *code)
{
    for (int reason = 0; code != NULL && reason < ALV_REASON_COUNT; reason++) {
        if (strcmp(alv_reason_code((alv_reason)reason), code) == 0) {
            return (alv_reason)reason;
        }
    }
    return ALV_REASON_FAILED;
}

bool alv_quarantine_decode(alv_view record, alv_quarantine_entry *out)
{
    json_t *body = json_loadb(record.data, record.size, 0, NULL);
    int held = 0;
    const char *reason = NULL;
    const char *detail = NULL;
    json_int_t failures = 0;
    json_int_t since = 0;
    json_int_t offset = 0;
    json_int_t waiting = 0;
    bool good = json_unpack(body, "{s:b, s:I, s:s, s:s, s:I, s:I, s:I}", "quarantined", &held,
                            "failures", &failures, "reason", &reason, "detail", &detail, "since",
                            &since, "offset", &offset, "waiting", &waiting) == 0 &&
                (held != 0) == (since != 0);
    if (good) {
        *out = (alv_quarantine_entry){.failures = failures,
                                      .reason = quarantine_reason(reason),
                                      .since_ms = since,
                                      .offset = offset,
                                      .waiting = waiting};
        (void)alv_text_copy(alv_view_of(detail), out->detail, sizeof out->detail);
    }
    json_decref(body);
    return good;
}
