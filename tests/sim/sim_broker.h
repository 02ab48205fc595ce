/* sim_broker.h — Kafka as the product depends on it, in memory: partitions, transactions, group offsets.
 *
 * Why:    what is hard about Kafka is what it does between two calls: a transaction that is decided while its
 *         markers are under way, an EndTxn that arrives seconds late and ends another transaction, offsets
 *         that are not stable yet. Here each of these is a line of code, and chance decides when.
 *         As the broker works for clients without KIP-890: an EndTxn carries a producer epoch, and ends
 *         whatever transaction of that epoch is open when it arrives.
 * Thread: one.
 * Owns:   all records, for the whole run: views of them stay valid, also of those that compaction removed.
 * Limits: SIM_SHARDS_MAX shards, SIM_NODES_MAX nodes with SIM_LANES_MAX lanes.
 */
#ifndef ALV_TESTS_SIM_BROKER_H
#define ALV_TESTS_SIM_BROKER_H

#include "tests/sim/sim_group.h"
#include "tests/sim/sim_random.h"
#include "tests/sim/sim_tables.h"
#include "topics/log_port.h"

/* Where simulated time begins, on everybody's wall clock. */
#define SIM_EPOCH_MS INT64_C(1700000000000)

#define SIM_SLOTS ((int)ALV_TOPIC_COUNT * SIM_SHARDS_MAX)

typedef enum sim_decision {
    SIM_UNDECIDED,
    SIM_COMMITTED,
    SIM_ABORTED,
} sim_decision;

/* Where a record is. */
typedef struct sim_place {
    alv_topic topic;
    int32_t shard;
    int64_t offset;
} sim_place;

/* A transaction; stays for the whole run. */
typedef struct sim_transaction {
    int number;
    int producer; /* whose: an index as made by sim_producer_index */
    sim_decision decision;
    int64_t began_ms;
    sim_place *places; /* its records, in the order in which they were written */
    size_t place_count;
    size_t place_capacity;
    uint64_t marked; /* a bit per slot whose marker is written */
    alv_shard_offset offsets[SIM_SHARDS_MAX];
    size_t offset_count;
    bool offsets_marked; /* and so they are the group's */
} sim_transaction;

typedef struct sim_record {
    alv_view key;
    alv_view value;
    const alv_header *headers; /* behind the last one is one without a name */
    size_t header_count;
    int64_t timestamp_ms;
    const sim_transaction *transaction; /* NULL = written outside of any */
    bool is_control;
    bool is_gone; /* removed by compaction: not delivered any more */
} sim_record;

typedef struct sim_partition {
    sim_record *records; /* by offset */
    int64_t end;
    int64_t capacity;
    int64_t stable_end; /* no transaction is open before it, as far as its markers tell */
} sim_partition;

/* One transactional.id. */
typedef struct sim_producer_state {
    int64_t epoch;
    sim_transaction *open;
    sim_transaction *ending; /* decided, and not all its markers are written */
} sim_producer_state;

/* A marker that is under way; slot SIM_SLOTS is that of the offsets. */
typedef struct sim_marker {
    sim_transaction *transaction;
    int slot;
    int64_t due_ms;
} sim_marker;

/* An EndTxn that is still in the network. */
typedef struct sim_late_end {
    int producer;
    int64_t epoch;
    bool commit;
    int64_t due_ms;
} sim_late_end;

#define SIM_LATE_MAX 64

typedef struct sim_broker {
    int32_t shard_count;
    int64_t now_ms;
    sim_random *random; /* borrowed */
    sim_partition partitions[SIM_SLOTS];
    sim_producer_state producers[SIM_MEMBERS_MAX];
    sim_transaction **transactions;
    size_t transaction_count;
    sim_marker *markers;
    size_t marker_count;
    sim_late_end late[SIM_LATE_MAX];
    size_t late_count;
    int64_t committed[SIM_SHARDS_MAX]; /* the group's; ALV_OFFSET_NONE */
    int committed_by[SIM_SHARDS_MAX];  /* which producer; -1 = nobody */
    sim_group group;
    int ports[SIM_NODES_MAX]; /* where nodes listen to each other; consumers pass it on */
    sim_version table;        /* how long the topic of the global table is */
    int64_t late_hits;        /* late EndTxn that ended a transaction they were not sent for */
    int64_t marker_delay_per_mille;
    int64_t
        unsaid_per_mille; /* of answers to produce requests: where the records are is not said */

    /* A transaction is decided. */
    void (*decided)(void *payload, const sim_transaction *transaction);
    void *payload;
} sim_broker;

void sim_broker_init(sim_broker *broker, int32_t shard_count, sim_random *random);
void sim_broker_done(sim_broker *broker);

/* What is due at `now_ms`: markers, late requests, time-outs of transactions and of members. */
void sim_broker_tick(sim_broker *broker, int64_t now_ms);

sim_partition *sim_broker_partition(sim_broker *broker, alv_topic topic, int32_t shard);
int32_t sim_broker_shard(const sim_broker *broker, const alv_produce *record);

/* Writes a record outside of any transaction; its offset. */
int64_t sim_broker_append(sim_broker *broker, const alv_produce *record);

/* Removes records of compacted topics that newer ones replace; the last `spared` of each partition stay. */
void sim_broker_compact(sim_broker *broker, int64_t spared);

/* Whether a read_committed reader is shown the record, once it may see it at all. */
bool sim_record_is_visible(const sim_record *record);

/* Whether the record is committed, also while markers are under way. */
bool sim_record_is_committed(const sim_record *record);

/* Up to where a read_committed reader may see. */
int64_t sim_broker_stable_end(sim_broker *broker, alv_topic topic, int32_t shard);

/* Copies visible records from *next on into `out`, at most `count_max`, and moves *next. */
void sim_broker_deliver(sim_broker *broker, alv_topic topic, int32_t shard, int64_t *next,
                        int64_t count_max, alv_batch *out);

/* ---- sim_coordinator.c ----------------------------------------------------------------------------- */

int sim_producer_index(int node, int lane);

/* InitProducerId: ends what is open, fences whoever had the epoch before. The new epoch. */
int64_t sim_coordinator_init(sim_broker *broker, int producer);

/* ALV_FENCED. */
alv_status sim_coordinator_produce(sim_broker *broker, int producer, int64_t epoch,
                                   const alv_produce *record, int64_t *out_offset);

/* Instead of a member id: the group has nothing to say, as when a client sends no group metadata. */
#define SIM_NO_MEMBER INT64_C(-1)

/* TxnOffsetCommit. ALV_FENCED: of the producer; ALV_ABORT: by the group. */
alv_status sim_coordinator_offsets(sim_broker *broker, int producer, int64_t epoch,
                                   int64_t member_id, int64_t generation,
                                   const alv_shard_offset *offsets, size_t count);

/* ALV_FENCED. */
alv_status sim_coordinator_end(sim_broker *broker, int producer, int64_t epoch, bool commit);

/* The same, to arrive later. */
void sim_coordinator_end_late(sim_broker *broker, int producer, int64_t epoch, bool commit,
                              int64_t due_ms);

/* Whether a transaction has offsets of the shard that are not decided, or not visible yet. */
bool sim_coordinator_is_unstable(const sim_broker *broker, int32_t shard);

/* Markers, late requests and time-outs that are due. */
void sim_coordinator_tick(sim_broker *broker);

#endif
