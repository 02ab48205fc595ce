/* partitioner.h — which shard a key belongs to.
 *
 * Why:    any Kafka client may produce commands, so the rule is the one of Kafka's own default
 *         partitioner: murmur2 of the key bytes (seed 0x9747b28c, as in
 *         org.apache.kafka.common.utils.Utils.murmur2), sign bit cleared, modulo the partition
 *         count. Frozen by golden vectors in tests/unit/topics/test_partitioner.c.
 * Thread: any; pure.
 */
#ifndef ALV_TOPICS_PARTITIONER_H
#define ALV_TOPICS_PARTITIONER_H

#include <stdint.h>

#include "base/bytes.h"

/* `key` must not be absent; `shard_count` > 0. */
int32_t alv_partitioner_shard(alv_view key, int32_t shard_count);

/* The hash itself, before the modulo: 32 bits, as Java's int. */
uint32_t alv_partitioner_murmur2(alv_view key);

#endif
