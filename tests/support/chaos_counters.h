/* chaos_counters.h — users whose balance only grows, by 1 at a time, and what an answer about them may say.
 *
 * Why:    a balance can then be judged while everything is in motion: the adds before the position that an
 *         answer names must be in it, and no more than were produced can be.
 * How:    the first users of the model (user_model.h) are counters. Whoever sends adds notes them here,
 *         when they are produced and when they are acknowledged.
 * Thread: any.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_COUNTERS_H
#define ALV_TESTS_SUPPORT_CHAOS_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

/* Counters whose number is a multiple of this get half of the commands. */
#define ALV_CHAOS_COUNTERS_HOT 10

typedef struct alv_chaos_counters alv_chaos_counters;

alv_chaos_counters *alv_chaos_counters_new(int count);

/* NULL is fine. */
void alv_chaos_counters_free(alv_chaos_counters *counters);

int alv_chaos_counters_count(const alv_chaos_counters *counters);

/* An add is about to be produced. */
void alv_chaos_counters_note_produced(alv_chaos_counters *counters, int counter);

/* An add is in the log; those of one counter are noted in the order of their offsets. */
void alv_chaos_counters_note_offset(alv_chaos_counters *counters, int counter, int64_t offset);

/* Adds that were produced, acknowledged or not. */
int64_t alv_chaos_counters_produced(const alv_chaos_counters *counters, int counter);

/* Adds that are acknowledged at an offset below `offset`. */
int64_t alv_chaos_counters_below(alv_chaos_counters *counters, int counter, int64_t offset);

#endif
