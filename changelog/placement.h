/* placement.h — who will get a dead node's shards, so that a hot replica waits there.
 *
 * Why:    when a node dies, the group's leader runs librdkafka's cooperative-sticky assignor, and that is
 *         a plain function of what DescribeConsumerGroups tells everybody. Who computes it beforehand
 *         can keep the replica on the node that will need it. A wrong guess costs a restore.
 *
 *         The rule, as in rdkafka_sticky_assignor.c of 2.15.1, for members that all subscribe to the
 *         command topic alone: every lane keeps what it has. The shards that nobody has any more are
 *         given out one by one, the highest number first, each to the lane with the fewest shards at
 *         that moment; among equals, to the one whose member id comes first in byte order. (When no
 *         lane that is left has any shard, the lowest number goes first.) Lanes that differ by
 *         more than one shard are then evened out, but with shards that had an owner all along.
 *
 *         What it cannot know: a second death, a join or a leave in the same rebalance; a rebalance that
 *         was not over when the members were asked; members of the group that are no lanes; racks
 *         (with kafka.client.rack set and replicas that are not on all racks, the assignor looks at
 *         them first); a leader with another version of librdkafka, or another client.
 * Thread: any; pure functions.
 * Owns:   nothing; results are written to the caller's memory.
 * Limits: one prediction costs O(shards * log lanes). Standbys cost one per node for the first replica,
 *         at most one per shard for each further one: 4096 shards on 64 nodes take 1 ms and 10 ms.
 *         Load follows from the rule: nodes whose member ids come late can hold fewer replicas.
 */
#ifndef ALV_CHANGELOG_PLACEMENT_H
#define ALV_CHANGELOG_PLACEMENT_H

#include "topics/kafka.h"

/* No lane: nobody is left, or the shard is not concerned. */
#define ALV_PLACEMENT_NONE (-1)

/* For every shard of `dead_node`, when all lanes of that node leave together: which member gets it, as
 * an index into members->items. ALV_PLACEMENT_NONE for the shards of others.
 * `out_receivers` has `shard_count` items. */
void alv_placement_receivers(const alv_members *members, int32_t shard_count, const char *dead_node,
                             int32_t *out_receivers);

/* Which shards `node_id` should hold as a standby when there are `replicas` of each: the first is on
 * the node that gets the shard when its owner's node dies, the second on the one that gets it when that
 * one dies after it, and so on. Never on the owner's node; as many as there are other nodes.
 * `standbys` has `shard_count` items. Where a shard has no owner at the moment, which passes, the item
 * is left as it is: that keeps a replica through a rebalance instead of dropping and restoring it. */
void alv_placement_standbys(const alv_members *members, int32_t shard_count, const char *node_id,
                            int64_t replicas, bool *standbys);

#endif
