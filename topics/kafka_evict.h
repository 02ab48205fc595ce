/* kafka_evict.h — takes a dead node's lanes out of the group, without waiting for its session to end.
 *
 * Why:    the group coordinator believes in a member until session.timeout.ms have passed, and a
 *         transaction that it left open blocks readers until ALV_TRANSACTION_TIMEOUT_MS have passed. Who
 *         knows better can say so with the ordinary protocol:
 *           seat   a consumer that joins with the dead lane's group.instance.id is given that lane's
 *                  seat, without a rebalance; when all seats are held, all of them leave together, and the
 *                  group rebalances once. (One after the other would give a seat's shards to the next
 *                  seat, and librdkafka joins only once a second.)
 *           fence  a producer with the dead lane's transactional.id has its open transaction aborted and
 *                  its epoch ended.
 *         Both go on side by side. The seats do not wait for the fences: a member whose seat was taken
 *         cannot commit offsets any more, and what it committed before that is valid.
 * Thread: any that may block; not a lane. Uses one thread, and those of librdkafka.
 * Owns:   nothing after the call. The seats never fetch anything.
 * Fails:  as each call says. What was done stays done: calling again is fine, with the members read anew.
 * Limits: ALV_EVICT_MS plus closing handles (some 10 ms each); ALV_EVICT_LANES_MAX lanes at a time.
 */
#ifndef ALV_TOPICS_KAFKA_EVICT_H
#define ALV_TOPICS_KAFKA_EVICT_H

#include "base/config.h"
#include "base/limits.h"
#include "base/status.h"
#include "topics/kafka.h"

#define ALV_EVICT_MS 5000
/* Each lane costs two librdkafka handles while it lasts. */
#define ALV_EVICT_LANES_MAX ALV_LANES_MAX

/* A lane of a node of this application. */
typedef struct alv_seat {
    const char *node_id;
    int32_t lane;
    const char *address; /* of the node's API, as alv_member has it; NULL = not known */
} alv_seat;

/* Those of one eviction. */
typedef struct alv_seats {
    alv_seat items[ALV_EVICT_LANES_MAX];
    size_t count;
} alv_seats;

/* Adds the seat of a member, whose texts are borrowed; what finds no room is for the next eviction. Any thread. */
void alv_seats_add(alv_seats *seats, const alv_member *member);

/* When each step was done, in ms since the call began; -1 = it was not. */
typedef struct alv_evicted {
    int64_t seated_ms; /* the seat was held */
    int64_t left_ms;   /* the group knows that the member has left */
    int64_t fenced_ms; /* the open transaction is aborted, its producer fenced */
} alv_evicted;

/* Evicts lanes, of one node or of several that died together (give all of them to one call: a rebalance
 * waits for every member that is still seated). They must be members at the moment; for one that is not,
 * the seat is new and the group rebalances twice. `out` has `count` items and may be NULL.
 * ALV_OK:     all have left and are fenced.
 * ALV_FENCED: a seat is alive: somebody took it back while it was held. No seat was given up; those that
 *             were held stay with the group until their owners rejoin or the session time-out.
 * ALV_RETRY:  time is up or brokers are away; `out` says what was done.
 * ALV_REJECT, ALV_FATAL: settings or permissions. */
alv_status alv_kafka_evict(const alv_config *config, const alv_seat *seats, size_t count,
                           alv_evicted *out, alv_error *err);

/* Fences the producer alone: for a transaction that keeps offsets unstable while its owner has already
 * left the group. ALV_RETRY, ALV_REJECT, ALV_FATAL. Blocks up to ALV_EVICT_MS. */
alv_status alv_kafka_fence(const alv_config *config, const alv_seat *seat, alv_error *err);

#endif
