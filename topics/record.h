/* record.h — one record of a topic, and a batch of them as a poll returns it.
 *
 * Why:    the lane, the replicator and the checkpointer speak of records; only the Kafka door knows
 *         librdkafka's messages.
 * Thread: the one that polled.
 * Owns:   nothing: the views of a record are valid until its batch is cleared, polled into again or
 *         its consumer or reader is closed.
 */
#ifndef ALV_TOPICS_RECORD_H
#define ALV_TOPICS_RECORD_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

/* The topics of an application; see schema.h for their names and settings. */
typedef enum alv_topic {
    ALV_TOPIC_COMMANDS,
    ALV_TOPIC_CHANGELOG,
    ALV_TOPIC_LEDGER,
    ALV_TOPIC_EVENTS,
    ALV_TOPIC_REPLIES,
    ALV_TOPIC_DEAD_LETTERS,
    ALV_TOPIC_COUNT, /* not a topic */
} alv_topic;

/* The topic of global table `number`, as global.tables lists them. It is not one of the application's own:
 * only readers and senders take it, and its "shards" are partitions of a number of its own. */
#define ALV_TOPIC_OF_TABLE(number) ((alv_topic)(ALV_TOPIC_COUNT + (number)))
#define ALV_TOPICS_MAX (ALV_TOPIC_COUNT + ALV_TABLES_MAX)

/* No offset known. Offsets are Kafka's, and "end" offsets are exclusive, always. */
#define ALV_OFFSET_NONE ((int64_t)-1)

/* Names are NUL-terminated; both are borrowed. */
typedef struct alv_header {
    const char *name;
    alv_view value;
} alv_header;

typedef struct alv_record {
    alv_topic topic;
    int32_t shard;
    int64_t offset;
    int64_t timestamp_ms; /* the record's time, ms since the epoch; never the wall clock */
    alv_view key;         /* data NULL = the record has no key */
    alv_view value;       /* data NULL = a tombstone */
    const void *handle;   /* the log's own, for alv_record_headers */
} alv_record;

/* Records in the order of each shard; shards may alternate. */
typedef struct alv_batch {
    alv_record *records;
    size_t count;
    size_t capacity;                        /* a poll returns at most this many */
    void *handles;                          /* the log's own */
    void (*clear)(struct alv_batch *batch); /* set by the log that filled it, NULL when empty */
} alv_batch;

void alv_batch_init(alv_batch *batch, size_t capacity);

/* Gives the records back to the log; the batch is empty and can be polled into again. */
void alv_batch_clear(alv_batch *batch);

/* Clears and frees. */
void alv_batch_done(alv_batch *batch);

#endif
