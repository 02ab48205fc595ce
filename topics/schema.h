/* schema.h — names, policies and reserved keys of an application's topics.
 *
 * Why:    what flows through Kafka is the contract with everybody else; it stands in one place.
 * Thread: any; pure.
 * Owns:   results are the caller's.
 *
 *   A.commands      entity key -> JSON object with "type"     delete
 *   A.changelog     entity key -> state, plain JSON; null = deleted   compact
 *   A.ledger        entity key -> bookkeeping; reserved key -> position record   compact
 *   A.events        entity key -> facts a behavior published  delete
 *   A.replies       correlation id -> reply                   delete, short
 *   A.dead-letters  the command as it came, why in headers    delete, long
 *
 * Global tables are compacted topics of any name: key -> JSON, null = deleted; see global.tables.
 *
 * A position record lies in every shard of the ledger under ALV_POSITION_KEY and is written by
 * every transaction that consumed from the shard (I11): {"commands":N,"at":MS}; N = next command
 * offset.
 */
#ifndef ALV_TOPICS_SCHEMA_H
#define ALV_TOPICS_SCHEMA_H

#include "base/config.h"
#include "topics/record.h"

/* Starts with a byte that no UTF-8 text contains, so it can never be an entity's key. */
#define ALV_POSITION_KEY \
    "\xff"               \
    "position"

/* Another reserved key of the ledger: a record under it says that the shard is paused. */
#define ALV_PAUSED_KEY \
    "\xff"             \
    "paused"

/* And what reserved keys begin with that have an entity's key behind it: the entity fails, see
 * processor/quarantine.h. */
#define ALV_QUARANTINE_KEY \
    "\xff"                 \
    "quarantine/"

/* Another one: which versions of global tables the handlers of the shard have seen, as table_record.h
 * writes it. */
#define ALV_TABLES_KEY \
    "\xff"             \
    "tables"

/* Header of a record of the changelog: the versions of the global tables that the handlers of its
 * transaction looked at, in the notation of the record above. */
#define ALV_HEADER_TABLES "alluvium-tables"

/* Headers of commands, all optional. */
#define ALV_HEADER_IDEMPOTENCY_KEY "idempotency-key"
#define ALV_HEADER_CORRELATION_ID "correlation-id"
#define ALV_HEADER_REPLY_TO "reply-to"

/* Headers of commands that an entity emitted. */
#define ALV_HEADER_FROM "alluvium-from"         /* its key */
#define ALV_HEADER_ON_REPLY "alluvium-on-reply" /* the command that takes the outcome back to it */

/* Header of a record that is no command: it releases its entity from quarantine. Always "1". */
#define ALV_HEADER_RELEASE "alluvium-release"

/* Header of a dead letter that was no record but a timer: its name. */
#define ALV_HEADER_TIMER "alluvium-timer"

/* Header of a dead letter whose emitter was told that it was refused: it must not be executed any
 * more. Decimal, always "1". */
#define ALV_HEADER_ANSWERED "alluvium-answered"

/* Headers that a dead letter adds to those of the command. */
#define ALV_HEADER_REASON "alluvium-reason"       /* stable code, see dead_letter.h */
#define ALV_HEADER_DETAIL "alluvium-detail"       /* one line for people */
#define ALV_HEADER_ACTION "alluvium-action"       /* what to do about it */
#define ALV_HEADER_TOPIC "alluvium-topic"         /* where it came from */
#define ALV_HEADER_PARTITION "alluvium-partition" /* decimal */
#define ALV_HEADER_OFFSET "alluvium-offset"       /* decimal */
#define ALV_HEADER_TIMESTAMP "alluvium-timestamp" /* decimal, ms since the epoch */

/* Header of the record in the dead letters that says which one, by its offset in the same shard, was put
 * back into the command topic; it has no value. And of the command: "<shard>/<offset>" of the dead letter. */
#define ALV_HEADER_RETRIED "alluvium-retried"
#define ALV_HEADER_RETRY_OF "alluvium-retry-of"

/* The node.id under which dead letters are put back. Not a node's: whoever does it takes the place of who did it
 * before, and fences no lane. */
#define ALV_RETRY_NODE_ID "alluvium-dead-letters"

/* "commands", "changelog", "ledger", "events", "replies", "dead-letters". Static. */
const char *alv_schema_suffix(alv_topic topic);

/* How many topics there are with the global tables: 0 to this exclusive. */
size_t alv_schema_topic_count(const alv_settings *settings);

/* "<application>.<suffix>", NUL-terminated, into `out` of `size` bytes (ALV_TOPIC_NAME_BYTES is
 * always enough: Kafka's limit is 249). */
#define ALV_TOPIC_NAME_BYTES 256
void alv_schema_name(const char *application_id, alv_topic topic, char *out, size_t size);

/* The same for every topic that the settings name, those of global tables included. */
void alv_schema_topic_name(const alv_settings *settings, alv_topic topic, char *out, size_t size);

/* A topic of the application cannot be a global table as well. ALV_REJECT. */
alv_status alv_schema_check_tables(const alv_settings *settings, alv_error *err);

/* Compacted topics hold state; the others are streams with retention. */
bool alv_schema_is_compacted(alv_topic topic);

/* One setting of a topic as it is created. */
typedef struct alv_topic_setting {
    const char *name;
    char value[32];
} alv_topic_setting;

#define ALV_TOPIC_SETTINGS_MAX 8

/* The settings with which a topic is created; the number of them. */
size_t alv_schema_settings(alv_topic topic, const alv_settings *settings,
                           alv_topic_setting out[ALV_TOPIC_SETTINGS_MAX]);

/* Appends a position record's value. */
void alv_schema_write_position(int64_t next_command_offset, int64_t at_ms, alv_bytes *out);

/* Reads it back; ALV_REJECT when it is not one. */
alv_status alv_schema_read_position(alv_view value, int64_t *out_next_command_offset,
                                    int64_t *out_at_ms, alv_error *err);

#endif
