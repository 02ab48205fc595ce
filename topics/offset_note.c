#include "topics/offset_note.h"

#include <jansson.h>
#include <string.h>

#include "base/limits.h"

void alv_offset_note_write(const char *owner, alv_bytes *out)
{
    alv_bytes_append_text(out, "{\"owner\":\"");
    for (const char *at = owner; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20) {
            alv_bytes_printf(out, "\\u%04x", (unsigned)(unsigned char)*at);
        } else if (*at == '"' || *at == '\\') {
            alv_bytes_printf(out, "\\%c", *at);
        } else {
            alv_bytes_append(out, at, 1);
        }
    }
    alv_bytes_append_text(out, "\"}");
}

/* Digits as a lane writes them: "07" is the name of no lane, and fencing 7 for it would hit another one. */
static bool note_lane(const char *digits, int32_t *out)
{
    int32_t lane = 0;
    size_t size = strspn(digits, "0123456789");
    if (size == 0 || digits[size] != '\0' || (digits[0] == '0' && size > 1)) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        lane = lane * 10 + (digits[i] - '0');
        if (lane >= ALV_LANES_MAX) {
            return false;
        }
    }
    *out = lane;
    return true;
}

bool alv_offset_note_read(alv_view note, char *node_id, size_t size, int32_t *out_lane)
{
    json_t *read = note.size > 0 ? json_loadb(note.data, note.size, 0, NULL) : NULL;
    const char *owner = json_string_value(json_object_get(read, "owner"));
    const char *dash = owner != NULL ? strrchr(owner, '-') : NULL;
    bool good = dash != NULL && dash > owner && (size_t)(dash - owner) < size &&
                note_lane(dash + 1, out_lane);
    if (good) {
        memcpy(node_id, owner, (size_t)(dash - owner));
        node_id[dash - owner] = '\0';
    }
    json_decref(read);
    return good;
}
