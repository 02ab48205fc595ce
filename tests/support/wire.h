/* wire.h — Kafka as any other program sees it: plain librdkafka, none of the product's code.
 *
 * Why:    what a test sends and reads back must not pass through the code under test.
 * Thread: one.
 * Fails:  a call that does not succeed fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_WIRE_H
#define ALV_TESTS_SUPPORT_WIRE_H

#include <jansson.h>
#include <stdint.h>

#include "base/bytes.h"

/* ---- sending --------------------------------------------------------------------------------- */

typedef struct alv_wire alv_wire;

typedef struct alv_wire_header {
    const char *name;
    const char *value;
} alv_wire_header;

typedef struct alv_wire_record {
    const char *topic;
    int32_t partition;    /* -1 = by key, as Kafka's own clients do (murmur2_random) */
    int64_t timestamp_ms; /* 0 = now */
    alv_view key;         /* data NULL = none */
    alv_view value;       /* data NULL = none */
    const alv_wire_header *headers;
    size_t header_count;
} alv_wire_record;

/* A producer of its own; the caller closes it. */
alv_wire *alv_wire_open(const char *brokers);

/* Copies the record into the queue. */
void alv_wire_send(alv_wire *wire, const alv_wire_record *record);

/* Waits until everything is acknowledged. */
void alv_wire_flush(alv_wire *wire);

void alv_wire_close(alv_wire *wire);

/* ---- reading --------------------------------------------------------------------------------- */

/* Valid during the visit. */
typedef struct alv_wire_message {
    int32_t partition;
    int64_t offset;
    alv_view key;
    alv_view value;
    const void *handle;
} alv_wire_message;

/* The value of a header, ALV_VIEW_NONE when there is none of that name. */
alv_view alv_wire_message_header(const alv_wire_message *message, const char *name);

typedef void (*alv_wire_visit)(void *payload, const alv_wire_message *message);

/* Visits all committed records of a topic, up to its end at the time of the call. Waits for
 * transactions that are still open. */
void alv_wire_read(const char *brokers, const char *topic, alv_wire_visit visit, void *payload);

/* The last value of each key as {key: JSON}, without keys whose last record is a tombstone: what a
 * compacted topic says. A new reference. */
json_t *alv_wire_last_values(const char *brokers, const char *topic);

/* ---- group and topics ------------------------------------------------------------------------ */

/* The offsets a group has committed on a topic, summed up over its partitions; those of partitions
 * without one count as 0. */
int64_t alv_wire_committed(const char *brokers, const char *group, const char *topic);

/* The ends of a topic's partitions, summed up. */
int64_t alv_wire_end(const char *brokers, const char *topic);

/* Makes a topic with `partitions` and the given cleanup.policy. */
void alv_wire_create_topic(const char *brokers, const char *topic, int partitions,
                           const char *cleanup_policy);

/* Gives a topic more partitions, `partitions` in all. */
void alv_wire_add_partitions(const char *brokers, const char *topic, int partitions);

/* Deletes a group without members, and with it its offsets; nothing to do when there is none. */
void alv_wire_delete_group(const char *brokers, const char *group);

/* Deletes the topics whose name starts with `prefix`; never fails. */
void alv_wire_delete_topics(const char *brokers, const char *prefix);

#endif
