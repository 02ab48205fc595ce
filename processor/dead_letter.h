/* dead_letter.h — the record that says why a command could not be processed.
 *
 * Why:    what cannot be processed must not stop its shard (I8) nor vanish: it goes to the dead
 *         letters as it came, with headers that tell a person what is wrong, where it stood and
 *         what to do.
 * Thread: one lane; one alv_dead_letter is reused for all of its dead letters. Pure.
 * Owns:   the texts and the list of headers; key, value and original headers stay the record's.
 * Limits: ALV_HEADERS_MAX original headers, the first ones; what is added stays below
 *         ALV_DEAD_LETTER_HEADER_BYTES_MAX, names included.
 */
#ifndef ALV_PROCESSOR_DEAD_LETTER_H
#define ALV_PROCESSOR_DEAD_LETTER_H

#include "base/limits.h"
#include "processor/command.h"
#include "topics/log_port.h"
#include "topics/schema.h"

#define ALV_DEAD_LETTER_DETAIL_BYTES 1024 /* with the NUL; more is cut between characters */
#define ALV_DEAD_LETTER_HEADERS 7         /* added to the original ones */

typedef struct alv_dead_letter alv_dead_letter;

alv_dead_letter *alv_dead_letter_new(void);
void alv_dead_letter_free(alv_dead_letter *letter);

/* The dead letter of `record`: same shard, key and value; its headers first, then those of
 * topics/schema.h, which replace any of the same name (of a dead letter that was retried and failed
 * again). The time is left to the log, so that an old command is not deleted at once; the command's
 * own time is in a header. `topic_name` is where the record came from; `detail` may be NULL.
 * Borrowed from `letter` until it is used again, and only while the record's batch is held. */
const alv_produce *alv_dead_letter_build(alv_dead_letter *letter, const alv_record *record,
                                         const alv_header *headers, size_t header_count,
                                         const char *topic_name, alv_reason reason,
                                         const char *detail);

/* For a dead letter just built that the log refuses as too large: leaves out the value and the
 * original headers, and says so in the detail. The command itself is still where the headers say it
 * came from, until retention takes it. Borrowed as above. */
const alv_produce *alv_dead_letter_shorten(alv_dead_letter *letter);

#endif
