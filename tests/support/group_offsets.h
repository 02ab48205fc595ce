/* group_offsets.h — how far a consumer group has come, asked again and again.
 *
 * Why:    what is committed is what is done, for every program that consumes in a group; asked from
 *         outside, no program's own counters are believed.
 * Thread: one.
 * Owns:   heap object.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_GROUP_OFFSETS_H
#define ALV_TESTS_SUPPORT_GROUP_OFFSETS_H

#include <stdint.h>

typedef struct alv_group_offsets alv_group_offsets;

alv_group_offsets *alv_group_offsets_open(const char *brokers, const char *group,
                                          const char *topic);

/* Committed offsets, all partitions together. Transactions under way are not waited for. */
int64_t alv_group_offsets_sum(alv_group_offsets *offsets);

void alv_group_offsets_close(alv_group_offsets *offsets);

#endif
