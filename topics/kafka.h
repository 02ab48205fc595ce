/* kafka.h — the door to Kafka: opens the real log, looks after topics and asks about the group.
 *
 * Why:    librdkafka is included in topics/kafka_*.c and nowhere else. Settings that correctness
 *         depends on stand in one table (kafka_conf.c) and cannot be overridden by kafka.*.
 * Thread: alv_kafka_open and the admin calls: main, or a thread of their own; they block up to
 *         ALV_KAFKA_CALL_MS. The log's handles: see log_port.h.
 * Owns:   the log belongs to the caller and is closed after all its handles.
 */
#ifndef ALV_TOPICS_KAFKA_H
#define ALV_TOPICS_KAFKA_H

#include "base/config.h"
#include "topics/access.h"
#include "topics/log_port.h"
#include "topics/schema.h"

/* Prepares a log over the configured brokers; does not connect. `config` must outlive it.
 * ALV_REJECT: a kafka.* key or value that librdkafka does not take. */
alv_status alv_kafka_open(const alv_config *config, alv_log_port **out, alv_error *err);

/* Says how many shards there are: keys are spread over the first so many partitions of the command topic, whatever it
 * has. Otherwise it is `shards` if that was set by hand, or what the topic has. Before anything is sent; a log that
 * alv_kafka_open has opened. */
void alv_kafka_set_shards(alv_log_port *log, int32_t shards);

/* Version of librdkafka in use. Static. */
const char *alv_kafka_library_version(void);

/* ---- what librdkafka counts ------------------------------------------------------------------ */

/* Of one handle, as of its last statistics (kafka.statistics.interval.ms [5000]; 0 = there are none). */
typedef struct alv_kafka_stats {
    const char *kind; /* "consumer" or "producer"; static */
    char lane[16];    /* whose it is */
    double sent_bytes;
    double received_bytes;
    double requests; /* sent */
    double timeouts; /* of requests */
    double disconnects;
    double in_flight;      /* requests without an answer so far */
    double queue_messages; /* fetched and not yet taken; or produced and not yet acknowledged */
    double queue_bytes;
    double rtt_p50_s; /* round trips in the last interval, of the slowest broker */
    double rtt_p99_s;
} alv_kafka_stats;

/* Those of all lanes of this process; the caller frees *out with alv_free. The number of them. Any
 * thread; parses some kilobytes of JSON per handle. */
size_t alv_kafka_stats_list(alv_kafka_stats **out);

/* ---- topics ---------------------------------------------------------------------------------- */

#define ALV_TOPIC_ID_BYTES 32

typedef struct alv_topic_info {
    char name[ALV_TOPIC_NAME_BYTES];
    char id[ALV_TOPIC_ID_BYTES]; /* Kafka's; another one when the topic was deleted and made anew */
    bool exists;
    int32_t shards;             /* partitions */
    int32_t replication_factor; /* of partition 0 */
    char cleanup_policy[32];    /* "compact", "delete", ... */
    char retention_ms[24];
    char problem[256]; /* empty when the topic is as it must be */
    bool is_usable;    /* nodes work in spite of the problem */
} alv_topic_info;

/* Looks at all topics of the application and of its global tables (alv_schema_topic_count of them; the
 * rest of `out` is empty), with `problem` set where one
 * is missing, has another number of partitions than the command topic (or than `shards`, when that
 * was set by hand), the wrong cleanup policy or a max.message.bytes that a state may exceed. `role`: whose rights
 * are named when some are missing.
 * ALV_RETRY: no broker answers; ALV_REJECT: not allowed to look. */
alv_status alv_kafka_describe_topics(const alv_config *config, alv_access_role role,
                                     alv_topic_info out[ALV_TOPICS_MAX], alv_error *err);

/* Creates the topics that are missing; never changes one that exists. The shard count is that of
 * the existing command topic, else `shards`. Waits until they have leaders. `out_created` may be
 * NULL. ALV_RETRY, ALV_REJECT (the broker refuses; `err` says why). */
alv_status alv_kafka_create_topics(const alv_config *config, size_t *out_created, alv_error *err);

/* Creates what is missing when topics.create allows it, checks everything, and says what is there; all
 * topics of the application have the same number of shards, and the client may do on all of them what a node
 * does (access.h). ALV_RETRY: brokers away; ALV_REJECT: something is wrong that a person must decide, `err` names
 * the topic, what is there, what is needed and the next step. */
alv_status alv_kafka_prepare_topics(const alv_config *config, alv_topic_info out[ALV_TOPICS_MAX],
                                    alv_error *err);

/* ---- members of the group -------------------------------------------------------------------- */

/* A lane as the group coordinator knows it; read from client.id `<node.id>@<host:port>/<lane>`. */
typedef struct alv_member {
    char node_id[256];
    char address[256]; /* advertised host:port of the node's HTTP API; "none" when it has none */
    int32_t lane;
    char member_id[256];
    int32_t *shards; /* assigned at the time of asking */
    size_t shard_count;
} alv_member;

typedef struct alv_members {
    alv_member *items;
    size_t count;
} alv_members;

/* A handle for asking again and again over one connection. */
typedef struct alv_group_view alv_group_view;

alv_status alv_group_view_open(const alv_config *config, alv_group_view **out, alv_error *err);

/* Asks the group coordinator who is a member and what is assigned to whom (DescribeGroups).
 * Members that are not lanes of this application's nodes are left out. Blocks up to `timeout_ms`.
 * ALV_RETRY: the coordinator does not answer, or no broker has a group that this view has seen with members
 * in the last seconds; brokers that are away without being the coordinator do not matter, but make it
 * slower. The result is freed with alv_members_done. */
alv_status alv_group_view_members(alv_group_view *view, int timeout_ms, alv_members *out,
                                  alv_error *err);

/* How many nodes come before `node_id`, by their ids, leaving out those of which `left_out` says so (NULL = none
 * are): whose turn it is to do what one node does for all. */
int64_t alv_members_before(const alv_members *members, const char *node_id,
                           bool (*left_out)(const void *payload, const char *node_id),
                           const void *payload);

void alv_members_done(alv_members *members);
void alv_group_view_close(alv_group_view *view);

#endif
