/* crash_mark.h — remembers which command was in hand when the process died, and how it died.
 *
 * Why:    a command that crashes its handler would crash every restart as well, and stop its shard for
 *         ever (I8). The lane notes shard and offset in a small mapped file before it executes a command;
 *         whoever opens the file next finds there what killed its predecessor.
 *           A *crash* is a fault or an abort on the lane's own thread (SIGSEGV, SIGBUS, SIGILL, SIGFPE,
 *         SIGABRT): a signal handler notes it beside the command, and the process dies as it would have.
 *         After ALV_CRASHES_MAX of them the command goes to the dead letters.
 *           A *death* without that note is mostly chance: somebody killed the process (kill -9, a crash on
 *         another thread, power), and some command is always in hand on a busy node. But it may be the
 *         command too: memory without end until the kernel kills, a handler that calls exit, a stack so
 *         broken that no handler runs. So it counts for less: ALV_DEATHS_MAX of them at the same offset,
 *         which chance does not bring about, since a node that works gets past an offset.
 * Thread: open, close: main. enter, set, clear: the lane whose number is given. is_poison: any.
 * Owns:   the file `in-flight` in state.dir. It is memory of this process shared with the kernel, so it
 *         survives a crash of the process, not one of the host: then nothing is known, and nothing is
 *         needed, since a command does not crash hosts. And the process's handlers of the five signals, from
 *         the first open on; those that were there before are called as if ours had never been.
 *           Zeros in it mean nothing: a file of which a part is lost, as after the end of a host, forgets, and
 *         accuses nobody.
 * Limits: ALV_LANES_MAX lanes; CRASH_MARK_ENTRIES commands are remembered, the one that killed longest ago is forgotten.
 */
#ifndef ALV_PROCESSOR_CRASH_MARK_H
#define ALV_PROCESSOR_CRASH_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Once may be the hardware or other code of the process, twice a coincidence. A mix counts by its parts:
 * two crashes and four deaths are enough. */
#define ALV_CRASHES_MAX 3
#define ALV_DEATHS_MAX 10

typedef struct alv_crash_mark alv_crash_mark;

/* Opens or makes the file in `directory`, counts what the last process had in hand, and starts anew.
 * ALV_REJECT: the file cannot be made or mapped. A file that makes no sense is replaced. */
alv_status alv_crash_mark_open(const char *directory, alv_crash_mark **out, alv_error *err);

/* The calling thread is this lane's from now on: its crashes are its command's. Gives it a stack for the
 * handler, unless it has one, so that a stack overflow is seen as well. It must leave before close. */
void alv_crash_mark_enter(alv_crash_mark *mark, int32_t lane);
void alv_crash_mark_leave(void);

/* The lane is about to execute this command; two stores to memory. */
void alv_crash_mark_set(alv_crash_mark *mark, int32_t lane, int32_t shard, int64_t offset);

/* The lane has no command in hand. */
void alv_crash_mark_clear(alv_crash_mark *mark, int32_t lane);

/* Code of a behavior is called for it, or has returned; one store to memory. */
void alv_crash_mark_enter_handler(alv_crash_mark *mark, int32_t lane);
void alv_crash_mark_leave_handler(alv_crash_mark *mark, int32_t lane);

/* What a lane has in hand at the moment. */
typedef struct alv_crash_hand {
    bool is_in_handler; /* false: shard and offset mean nothing */
    int32_t shard;
    int64_t offset;
} alv_crash_hand;

/* Any thread. */
alv_crash_hand alv_crash_mark_hand(const alv_crash_mark *mark, int32_t lane);

/* Whether this command has killed the process often enough. */
bool alv_crash_mark_is_poison(const alv_crash_mark *mark, int32_t shard, int64_t offset);

/* What the signal handler does: the calling thread crashes, with whatever its lane has in hand. Nothing on threads
 * that have not entered. Safe in a signal handler. */
void alv_crash_mark_note_crash(void);

/* A command that was in hand when a process died. */
typedef struct alv_crash_count {
    int64_t offset;
    int32_t shard;
    int crashes;
    int deaths;
} alv_crash_count;

/* Copies up to `capacity` of those that are remembered; the number there are. */
size_t alv_crash_mark_list(const alv_crash_mark *mark, alv_crash_count *out, size_t capacity);

/* A clean end: no lane has anything in hand. NULL is fine. */
void alv_crash_mark_close(alv_crash_mark *mark);

#endif
