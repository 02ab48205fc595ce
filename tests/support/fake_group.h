/* fake_group.h — a consumer group that says what a test wants it to say.
 *
 * Why:    forwarding depends on who is said to own what; tests change that at will, without Kafka.
 * Thread: any; one lock inside.
 * Owns:   copies of what it was told.
 */
#ifndef ALV_TESTS_SUPPORT_FAKE_GROUP_H
#define ALV_TESTS_SUPPORT_FAKE_GROUP_H

#include <pthread.h>

#include "topics/kafka.h"

#define ALV_FAKE_SHARDS_MAX 8
#define ALV_FAKE_LANES_MAX 4

/* One member; `shards` ends with -1. */
typedef struct alv_fake_lane {
    char node_id[32];
    char address[64];
    int32_t lane;
    int32_t shards[ALV_FAKE_SHARDS_MAX + 1];
} alv_fake_lane;

typedef struct alv_fake_group {
    pthread_mutex_t lock;
    alv_fake_lane lanes[ALV_FAKE_LANES_MAX];
    size_t count;
    bool away; /* the coordinator does not answer */
    int asked; /* times */
} alv_fake_group;

void alv_fake_group_init(alv_fake_group *group);
void alv_fake_group_done(alv_fake_group *group);

/* From now on these are the members. */
void alv_fake_group_say(alv_fake_group *group, const alv_fake_lane *lanes, size_t count);

void alv_fake_group_set_away(alv_fake_group *group, bool away);

int alv_fake_group_asked(alv_fake_group *group);

/* An alv_peers_source; `payload` is the group. */
alv_status alv_fake_group_members(void *payload, int timeout_ms, alv_members *out, alv_error *err);

#endif
