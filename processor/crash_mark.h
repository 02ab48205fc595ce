/* crash_mark.h — remembers which command was in hand when the process died.
 *
 * Why:    a command that crashes its handler would crash every restart as well, and stop its shard for
 *         ever (I8). The lane notes shard and offset in a small mapped file before it executes a command;
 *         whoever opens the file next finds there what killed its predecessor. After
 *         ALV_CRASHES_MAX deaths at the same command, the command goes to the dead letters.
 * Thread: open, close: main. set, clear: the lane whose number is given. is_poison: any.
 * Owns:   the file `in-flight` in state.dir. It is memory of this process shared with the kernel, so it
 *         survives a crash of the process, not one of the host: then nothing is known, and nothing is
 *         needed, since a command does not crash hosts.
 * Limits: ALV_LANES_MAX lanes; CRASH_MARK_ENTRIES commands are remembered, the oldest is forgotten.
 */
#ifndef ALV_PROCESSOR_CRASH_MARK_H
#define ALV_PROCESSOR_CRASH_MARK_H

#include <stdint.h>

#include "base/status.h"

/* Once may be chance (somebody killed the process), twice a coincidence. */
#define ALV_CRASHES_MAX 3

typedef struct alv_crash_mark alv_crash_mark;

/* Opens or makes the file in `directory`, counts what the last process had in hand, and starts anew.
 * ALV_REJECT: the file cannot be made or mapped. A file that makes no sense is replaced. */
alv_status alv_crash_mark_open(const char *directory, alv_crash_mark **out, alv_error *err);

/* The lane is about to execute this command; two stores to memory. */
void alv_crash_mark_set(alv_crash_mark *mark, int32_t lane, int32_t shard, int64_t offset);

/* The lane has no command in hand. */
void alv_crash_mark_clear(alv_crash_mark *mark, int32_t lane);

/* Whether this command has killed the process ALV_CRASHES_MAX times. */
bool alv_crash_mark_is_poison(const alv_crash_mark *mark, int32_t shard, int64_t offset);

/* A clean end: no lane has anything in hand. NULL is fine. */
void alv_crash_mark_close(alv_crash_mark *mark);

#endif
