/* kafka_owners.h — whether a transaction that somebody left open keeps shards from being restored, and whose.
 *
 * Why:    a transaction without an end holds up the group's stable offsets and everybody who reads committed
 *         records, until the broker ends it after ALV_TRANSACTION_TIMEOUT_MS. Whoever owns the shard next can
 *         end it at once, if it knows the transactional id: the offsets that were committed last say by whom
 *         (log_port.h, commit).
 * Thread: one at a time; blocks up to some times ALV_OWNERS_CALL_MS.
 * Owns:   its handles, opened at the first question.
 * Fails:  ALV_RETRY: brokers away; ALV_REJECT, ALV_FATAL: settings.
 */
#ifndef ALV_TOPICS_KAFKA_OWNERS_H
#define ALV_TOPICS_KAFKA_OWNERS_H

#include "base/config.h"
#include "topics/log_port.h"

#define ALV_OWNERS_CALL_MS 2000
/* Offsets that are not given within this are taken for unstable; the broker was heard just before. */
#define ALV_OWNERS_STABLE_MS 300

/* What is known of a shard. */
typedef struct alv_owner {
    int32_t shard;   /* by the caller */
    bool is_blocked; /* a transaction is open in its changelog or ledger, or on offsets asked for */
    bool is_named;   /* the offset committed last says by whom; that may be a former owner still */
    char node_id[256];
    int32_t lane;
} alv_owner;

typedef struct alv_kafka_owners alv_kafka_owners;

alv_kafka_owners *alv_kafka_owners_new(const alv_config *config);

/* Fills the items. Unstable offsets are seen for all shards that are asked for together: nobody tells of which
 * one. */
alv_status alv_kafka_owners_ask(alv_kafka_owners *owners, alv_owner *items, size_t count,
                                alv_error *err);

/* NULL is fine. */
void alv_kafka_owners_free(alv_kafka_owners *owners);

#endif
