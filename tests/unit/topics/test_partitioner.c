/* Goal:   a key reaches the same shard whoever produces it.
 * Method: golden vectors computed with Kafka's own Java class, murmur2 of
 *         org.apache.kafka.common.utils.Utils in kafka-clients 4.3.1, shards as
 *         Utils.toPositive(hash) % count. They never change: a difference here would send existing
 *         keys to other shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <cmocka.h>

#include "topics/partitioner.h"
#include "topics/schema.h"

typedef struct golden {
    alv_view key;
    uint32_t hash;
    int32_t of_32; /* shard among 32 */
    int32_t of_7;
} golden;

#define GOLDEN(key, hash, of_32, of_7)              \
    {                                               \
        {(key), sizeof(key) - 1}, hash, of_32, of_7 \
    }

static const golden vectors[] = {
    GOLDEN("", 0x106e08d9u, 25, 2),
    GOLDEN("a", 0xa2d0b27cu, 28, 5),
    GOLDEN("ab", 0x12d8262au, 10, 0),
    GOLDEN("abc", 0x1c94221bu, 27, 4),
    GOLDEN("abcd", 0xb11ab5f4u, 20, 5),
    GOLDEN("abcde", 0x1b897eddu, 29, 4),
    GOLDEN("abcdef", 0x6f7fdafcu, 28, 5),
    GOLDEN("abcdefg", 0xeb595499u, 25, 4),
    GOLDEN("abcdefgh", 0xc70d55ddu, 29, 0),
    GOLDEN("user/1", 0x1ea46f7au, 26, 0),
    GOLDEN("mall-7:user-42", 0xd1551010u, 16, 2),
    GOLDEN("user/mall-1:user-1", 0xaa9a2addu, 29, 4),
    GOLDEN("transfer/0001", 0x268d75d9u, 25, 4),
    GOLDEN("\xc3\xa9", 0x0b24f487u, 7, 4),
    GOLDEN("\xec\x82\xac\xec\x9a\xa9\xec\x9e\x90/\xec\x84\x9c\xec\x9a\xb8", 0x4d01b983u, 3, 5),
    GOLDEN("\xf0\x9f\x98\x80", 0x07dc5a91u, 17, 0),
    GOLDEN("21", 0xc5f2f8ecu, 12, 3),
    GOLDEN("foobar", 0xd0e47bbeu, 30, 0),
    GOLDEN("a-little-bit-long-string", 0xc53b1da0u, 0, 1),
    GOLDEN("a-little-bit-longer-string", 0xa768c9c3u, 3, 0),
    GOLDEN("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 0xfc7d49cdu, 13, 3),
    GOLDEN("\xff\x80\x00\x01\xfe", 0xf5a7ad70u, 16, 2),
    GOLDEN(ALV_POSITION_KEY, 0x17e36a20u, 0, 2),
};

static void check(const golden *vector)
{
    uint32_t hash = alv_partitioner_murmur2(vector->key);
    if (hash != vector->hash)
        fail_msg("murmur2(\"%s\") is 0x%08x, Kafka's is 0x%08x", vector->key.data, hash,
                 vector->hash);
    assert_int_equal(alv_partitioner_shard(vector->key, 32), vector->of_32);
    assert_int_equal(alv_partitioner_shard(vector->key, 7), vector->of_7);
    assert_int_equal(alv_partitioner_shard(vector->key, 1), 0);
}

static void partitioner__equals_kafkas_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        check(&vectors[i]);
}

static void partitioner__equals_kafkas_own_for_the_longest_keys(void **state)
{
    (void)state;
    char key[512];
    memset(key, 'x', sizeof(key));
    check(&(golden){{key, 511}, 0x5d7c057cu, 28, 2});
    check(&(golden){{key, 512}, 0xb146898eu, 14, 4});
}

static void partitioner__reads_bytes_wherever_they_lie(void **state)
{
    (void)state;
    char shifted[32];
    for (size_t offset = 0; offset < 8; offset++) {
        memcpy(shifted + offset, "abcdefgh", 8);
        assert_int_equal(alv_partitioner_murmur2((alv_view){shifted + offset, 8}), 0xc70d55ddu);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitioner__equals_kafkas_own),
        cmocka_unit_test(partitioner__equals_kafkas_own_for_the_longest_keys),
        cmocka_unit_test(partitioner__reads_bytes_wherever_they_lie),
    };
    return cmocka_run_group_tests_name("partitioner", tests, NULL, NULL);
}
