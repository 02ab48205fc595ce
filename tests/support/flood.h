/* flood.h — commands to numbered entities, as many as anybody can send, and what must have come of them.
 *
 * Why:    what is overloaded must be right all the same. Every command adds one to a number in the state of its
 *         entity; who sends them counts them.
 * Thread: start, stop, check: one. Commands over Kafka are sent by a thread of its own; note, key, body: any.
 * Owns:   heap object.
 * Fails:  what does not work fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_FLOOD_H
#define ALV_TESTS_SUPPORT_FLOOD_H

#include <stdbool.h>
#include <stdint.h>

#define ALV_FLOOD_KEY_BYTES 48

typedef struct alv_flood alv_flood;

typedef struct alv_flood_options {
    const char *brokers;
    const char *application;
    const char *prefix;  /* keys are <prefix><number> */
    const char *command; /* JSON */
    const char *counter; /* the member of the state that it adds one to */
    int entities;
    int hot_percent; /* of the commands go to entity 0 */
    int32_t shard_count;
    const bool *shards; /* entities are only in shards that are true here; NULL = all */
} alv_flood_options;

/* Borrows all but `shards`, which is copied. */
alv_flood *alv_flood_new(const alv_flood_options *options);
void alv_flood_free(alv_flood *flood);

void alv_flood_key(const alv_flood *flood, int entity, char out[ALV_FLOOD_KEY_BYTES]);
int32_t alv_flood_shard(const alv_flood *flood, int entity);

/* The entity of the command with that number: chosen by chance, the hot one as often as it shall be. */
int alv_flood_entity(const alv_flood *flood, int64_t number);

/* A command for it was sent by somebody else: it is executed for sure, or nobody knows. */
void alv_flood_note(alv_flood *flood, int entity, bool sure);

/* Sends so many commands a second over Kafka until stop; 0 = as fast as can be. */
void alv_flood_start(alv_flood *flood, int rate);

/* Ends that and waits until the broker has all; the commands sent since the start. */
int64_t alv_flood_stop(alv_flood *flood);

/* Sends `count` commands over Kafka and waits until the broker has them. */
void alv_flood_send(alv_flood *flood, int64_t count);

/* So far, since it is there. @thread any */
int64_t alv_flood_sent(const alv_flood *flood);

/* How many entities do not have in the changelog what was sent to them; says the first on stderr. */
int alv_flood_count_wrong(const alv_flood *flood);

#endif
