/* offset_note.h — the text beside a committed offset: which lane committed it.
 *
 * Why:    a transaction that a dead lane left open is ended by whoever knows its transactional id, which
 *         derives from this name (log_port.h, commit; kafka_owners.h). The text may be anybody's: any tool
 *         can commit offsets.
 * Thread: any; pure.
 *
 * Text: {"owner": "<node.id>-<lane>"}
 */
#ifndef ALV_TOPICS_OFFSET_NOTE_H
#define ALV_TOPICS_OFFSET_NOTE_H

#include <stdint.h>

#include "base/bytes.h"

/* Appends the text for `owner`, which is UTF-8. */
void alv_offset_note_write(const char *owner, alv_bytes *out);

/* Reads it: the node's id into `node_id` of `size` bytes, NUL-terminated, and the lane. False, and nothing is
 * written, when it is not the note of a lane, or the id does not fit. */
bool alv_offset_note_read(alv_view note, char *node_id, size_t size, int32_t *out_lane);

#endif
