/* sim_group.h — the consumer group as its coordinator sees it: members, generations, who has what.
 *
 * Why:    zombies, evictions and rebalances in the middle of a transaction are what ownership must survive.
 *         As Kafka's classic protocol does it for static members with the cooperative-sticky assignor: whoever
 *         joins with the name of a member takes its seat, without a rebalance; a shard that moves belongs to
 *         nobody until its former owner has given it back and joined again.
 * Thread: one.
 * Limits: members as below. The assignor keeps what members have and evens out, but is not librdkafka's.
 */
#ifndef ALV_TESTS_SIM_GROUP_H
#define ALV_TESTS_SIM_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/sim_random.h"

#define SIM_SHARDS_MAX 8
#define SIM_NODES_MAX 4
#define SIM_LANES_MAX 2
#define SIM_MEMBERS_MAX (SIM_NODES_MAX * SIM_LANES_MAX)

/* Sets of shards, a bit each. */
typedef uint32_t sim_shards;

typedef struct sim_member {
    int node; /* node and lane are its group.instance.id */
    int lane;
    int64_t id; /* the member.id; never given twice */
    int64_t session_ends_ms;
    int port;         /* of its node's address, as it said itself */
    bool has_joined;  /* since the rebalance under way began */
    sim_shards owned; /* what it said it has when it joined */
    sim_shards assigned;
} sim_member;

typedef struct sim_group {
    sim_member members[SIM_MEMBERS_MAX];
    int member_count;
    int32_t shard_count;
    int64_t generation;
    bool is_rebalancing;
    int64_t rebalance_ends_ms;
    int64_t last_id;
    int64_t session_ms;
    int64_t rebalances;
} sim_group;

typedef enum sim_beat {
    SIM_BEAT_OK,
    SIM_BEAT_REBALANCE, /* join again */
    SIM_BEAT_UNKNOWN,   /* the session has ended */
    SIM_BEAT_FENCED,    /* somebody else has the seat */
} sim_beat;

void sim_group_init(sim_group *group, int32_t shard_count, int64_t session_ms);

/* Joins as a new member (`id` 0), or again. The member's id; 0 when it is unknown. */
int64_t sim_group_join(sim_group *group, int64_t now_ms, int node, int lane, int64_t id,
                       sim_shards owned);

/* Where the node of a member can be asked; who takes a seat for another one does not say. */
void sim_group_advertise(sim_group *group, int64_t id, int port);

/* The assignment, once the rebalance that the member joined is over; until then false. The member must be
 * known. */
bool sim_group_sync(const sim_group *group, int64_t id, int64_t *out_generation,
                    sim_shards *out_assigned);

sim_beat sim_group_beat(sim_group *group, int64_t now_ms, int node, int lane, int64_t id);

/* A member that is not known any more may leave as well. */
void sim_group_leave(sim_group *group, int64_t now_ms, int64_t id);

/* Whether offsets may be committed with these. */
bool sim_group_takes_offsets(const sim_group *group, int64_t id, int64_t generation);

/* NULL when it is not a member. */
const sim_member *sim_group_find(const sim_group *group, int64_t id);
const sim_member *sim_group_find_seat(const sim_group *group, int node, int lane);

/* Sessions and rebalances that run out. */
void sim_group_tick(sim_group *group, int64_t now_ms);

#endif
