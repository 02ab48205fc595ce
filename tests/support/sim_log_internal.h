/* sim_log_internal.h — what the parts of the log in memory share: sim_log.c has partitions and what tests do to them,
 * sim_log_consumer.c, sim_log_producer.c and sim_log_reader.c the three ports.
 *
 * Thread: one.
 */
#ifndef ALV_TESTS_SUPPORT_SIM_LOG_INTERNAL_H
#define ALV_TESTS_SUPPORT_SIM_LOG_INTERNAL_H

#include "tests/support/sim_log.h"

#define SIM_LANES_MAX 8
#define SIM_EVENTS_MAX 64

typedef enum sim_fate {
    SIM_OPEN,
    SIM_COMMITTED,
    SIM_ABORTED,
    SIM_CONTROL
} sim_fate;

typedef struct sim_record {
    char *key;
    size_t key_size;
    char *value; /* NUL-terminated for the tests' sake */
    size_t value_size;
    int64_t timestamp_ms;
    alv_header *headers; /* behind the last one is one without a name; they stay where they are */
    size_t header_count;
    sim_fate fate;
} sim_record;

typedef struct sim_partition {
    sim_record *records;
    size_t count;
    size_t capacity;
    int64_t start; /* what is before is gone */
} sim_partition;

typedef struct sim_event {
    int lane;
    int32_t shard;
    bool assign;
    bool lost;
} sim_event;

struct alv_sim_log {
    alv_log_port port;
    int32_t shard_count;
    sim_partition *partitions; /* topic * shard_count + shard */
    int64_t *committed;        /* by shard */
    sim_event events[SIM_EVENTS_MAX];
    size_t event_count;
    alv_sim_fault fault;
    bool tainted;
    int epochs;
    int64_t now_ms;
};

/* topic * shard_count + shard. */
size_t alv_sim_slot(const alv_sim_log *log, alv_topic topic, int32_t shard);
sim_partition *alv_sim_partition_of(const alv_sim_log *log, alv_topic topic, int32_t shard);

/* A record without content behind the last one, and its content, which is copied. */
sim_record *alv_sim_append(alv_sim_log *log, alv_topic topic, int32_t shard, sim_fate fate);
void alv_sim_fill(sim_record *record, alv_view key, alv_view value, int64_t timestamp_ms,
                  const alv_header *headers, size_t header_count);

/* The last stable offset: read_committed goes no further. */
int64_t alv_sim_stable_end(const alv_sim_log *log, alv_topic topic, int32_t shard);

/* Copies committed records from *next on into `out`, as far as there is room. */
void alv_sim_deliver(const alv_sim_log *log, alv_topic topic, int32_t shard, int64_t *next,
                     alv_batch *out);

/* Whether this call is the one that fails. */
bool alv_sim_takes_fault(alv_sim_log *log, alv_sim_fault fault);

/* Of the log port. */
alv_status alv_sim_open_consumer(alv_log_port *port, int lane,
                                 const alv_rebalance_listener *listener, alv_consumer **out,
                                 alv_error *err);
alv_status alv_sim_open_producer(alv_log_port *port, int lane, alv_producer **out, alv_error *err);
alv_status alv_sim_open_reader(alv_log_port *port, const char *name, alv_reader **out,
                               alv_error *err);

#endif
