/* kafka_repair.h — the two things that only a person may decide: throwing topics away, and forgetting what
 * was consumed.
 *
 * Why:    `alluvium rebuild` makes a changelog anew; nothing else calls this.
 * Thread: main. Blocks up to some times ALV_KAFKA_CALL_MS.
 * Fails:  ALV_RETRY: brokers away or not done in time, calling again goes on from there;
 *         ALV_REJECT: refused (permissions, members in the group), `err` says why.
 */
#ifndef ALV_TOPICS_KAFKA_REPAIR_H
#define ALV_TOPICS_KAFKA_REPAIR_H

#include "base/config.h"
#include "base/status.h"
#include "topics/record.h"

/* Deletes these topics, all in one request, and creates them again, empty, with the settings of schema.h
 * and the number of shards of the command topic. Those that are missing are only created. */
alv_status alv_kafka_recreate_topics(const alv_config *config, const alv_topic *topics,
                                     size_t count, alv_error *err);

/* Forgets what the group has committed on the command topic. Nothing to forget is ALV_OK. ALV_REJECT: the
 * group has members. */
alv_status alv_kafka_forget_offsets(const alv_config *config, int32_t shard_count, alv_error *err);

#endif
