/* partitioner.c — murmur2 as Kafka's Java clients compute it. */
#include "topics/partitioner.h"

#include "base/assert.h"

#define MURMUR2_SEED 0x9747b28cu
#define MURMUR2_MULTIPLIER 0x5bd1e995u
#define MURMUR2_SHIFT 24

/* Little-endian on every machine: the hash is a contract, not an implementation detail. */
static uint32_t murmur2_word(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint32_t alv_partitioner_murmur2(alv_view key)
{
    const unsigned char *at = (const unsigned char *)key.data;
    size_t left = key.size;
    uint32_t hash = MURMUR2_SEED ^ (uint32_t)key.size;

    for (; left >= 4; at += 4, left -= 4) {
        uint32_t word = murmur2_word(at) * MURMUR2_MULTIPLIER;
        word ^= word >> MURMUR2_SHIFT;
        hash = (hash * MURMUR2_MULTIPLIER) ^ (word * MURMUR2_MULTIPLIER);
    }
    for (size_t i = 0; i < left; i++) {
        hash ^= (uint32_t)at[i] << (8 * i);
    }
    if (left > 0) {
        hash *= MURMUR2_MULTIPLIER;
    }

    hash ^= hash >> 13;
    hash *= MURMUR2_MULTIPLIER;
    return hash ^ (hash >> 15);
}

int32_t alv_partitioner_shard(alv_view key, int32_t shard_count)
{
    ALV_ASSERT(key.data != NULL);
    ALV_ASSERT(shard_count > 0);
    /* Kafka clears the sign bit rather than taking the absolute value. */
    return (int32_t)(alv_partitioner_murmur2(key) & 0x7fffffffu) % shard_count;
}
