/* kafka_internal.h — what the files behind the Kafka door share; for topics/kafka_*.c only.
 *
 * Why:    five kinds of handles (consumer, producer, reader, sender, admin) differ in what they do
 *         and are alike in how they are configured, named, logged, and how their messages become
 *         records.
 *           kafka_conf.c     settings
 *           kafka_events.c   librdkafka's own log and error messages
 *           kafka_batch.c    messages -> records
 *           kafka_targets.c  records -> messages
 *           kafka_refusal.c  what a client that is not let in, or not allowed to, needs
 *           kafka_stats.c    librdkafka's own counters
 *           kafka_log.c      the log and its four openers
 *           kafka_admin.c    admin sessions (kafka_admin_internal.h)
 * Thread: as kafka.h and log_port.h say. librdkafka calls the log callback on threads of its own.
 */
#ifndef ALV_TOPICS_KAFKA_INTERNAL_H
#define ALV_TOPICS_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "topics/access.h"
#include "topics/kafka.h"

/* ---- client: one librdkafka handle, whatever it is for --------------------------------------- */

typedef enum alv_kafka_kind {
    ALV_KAFKA_CONSUMER = 1 << 0,
    ALV_KAFKA_PRODUCER = 1 << 1,
    ALV_KAFKA_READER = 1 << 2,
    ALV_KAFKA_SENDER = 1 << 3,
    ALV_KAFKA_ADMIN = 1 << 4,
    ALV_KAFKA_PROBE = 1 << 5, /* a reader's second handle: asks for high watermarks */
} alv_kafka_kind;

#define ALV_KAFKA_CLIENT_NAME_BYTES 600

/* The opaque of every callback of the handle. Never moves while `rk` lives. */
typedef struct alv_kafka_client {
    rd_kafka_t *rk;                         /* NULL = not open */
    void *owner;                            /* the consumer, producer, ... */
    char name[ALV_KAFKA_CLIENT_NAME_BYTES]; /* client.id */
    _Atomic bool indefinite;                /* a request may have been lost or delayed (I10) */
    _Atomic int forbidden;  /* alv_topic that a transaction may not write to; -1 = none was met */
    alv_error trouble;      /* last word of the error callback; ALV_OK = none */
    alv_error refusal;      /* why a broker did not let it in; ALV_OK = none */
    int64_t refused_at_ms;  /* the last time, monotonic */
    const char *stats_kind; /* NULL = it has no statistics; this and below: stats_lock */
    char *stats;            /* librdkafka's last ones, JSON; NULL = none yet */
    struct alv_kafka_client *stats_next;
} alv_kafka_client;

/* Fills client->name: "<node.id>@<http.advertise>/<suffix>". */
void alv_kafka_client_init(alv_kafka_client *client, const alv_config *config, const char *suffix,
                           void *owner);

/* Makes the handle. Takes `conf`. ALV_FATAL: librdkafka refuses the settings. */
alv_status alv_kafka_client_open(alv_kafka_client *client, alv_kafka_kind kind,
                                 rd_kafka_conf_t *conf, alv_error *err);

/* Destroys the handle with what is left in it, without waiting for brokers. Idempotent. */
void alv_kafka_client_close(alv_kafka_client *client);

/* The error callback's last word as a status, once: ALV_OK when there is none. */
alv_status alv_kafka_client_trouble(alv_kafka_client *client, alv_error *err);

/* ---- conf ------------------------------------------------------------------------------------ */

/* Settings of a kind in effect: our choices, over them kafka.*, over them what correctness needs.
 * The caller adds what is particular to one handle (group.id, transactional.id, callbacks).
 * ALV_REJECT: kafka.* names something unknown, wrong or reserved. */
alv_status alv_kafka_conf_new(const alv_config *config, alv_kafka_kind kind,
                              const alv_kafka_client *client, rd_kafka_conf_t **out,
                              alv_error *err);

/* Sets one value that cannot fail but by a bug here. */
void alv_kafka_conf_set(rd_kafka_conf_t *conf, const char *key, const char *value);
void alv_kafka_conf_set_number(rd_kafka_conf_t *conf, const char *key, int64_t value);

/* ---- events ---------------------------------------------------------------------------------- */

/* Callbacks for every handle; their opaque is the alv_kafka_client. */
void alv_kafka_events_log(const rd_kafka_t *rk, int level, const char *facility, const char *text);
void alv_kafka_events_error(rd_kafka_t *rk, int code, const char *reason, void *opaque);

/* ---- refusals: kafka_refusal.c --------------------------------------------------------------- */

/* Notes that a broker does not let the client in, if that is what librdkafka's error says: certificates,
 * user, password. From the error callback. True when nothing else can be meant. */
bool alv_kafka_refusal_note(alv_kafka_client *client, rd_kafka_resp_err_t code, const char *reason);

/* Why nobody answers, when a broker has refused the client in the last seconds, with the next step; else NULL.
 * Its status is ALV_REJECT when nothing else can be meant, else ALV_RETRY. As new as the last poll of the
 * handle. Borrowed until then. */
const alv_error *alv_kafka_refusal(const alv_kafka_client *client);

/* What to say of a call of the handle that ended with `code`: the refusal, when that is why nobody answered,
 * or what librdkafka says. Polls a producer. Borrowed until the next poll. */
const char *alv_kafka_reason(alv_kafka_client *client, rd_kafka_resp_err_t code);

/* The right that a request needs. `name`: of the topic, group, transactional id. */
typedef struct alv_kafka_need {
    alv_access_operation operation;
    alv_access_kind kind;
    const char *name;
} alv_kafka_need;

/* What whoever reads the topic lacks when it is refused with `code`: Read on the group, or on the topic.
 * Borrows from both. */
alv_kafka_need alv_kafka_need_to_read(const alv_config *config, rd_kafka_resp_err_t code,
                                      const char *topic);

/* Whether the code says that a principal lacks a right. */
bool alv_kafka_is_forbidden(rd_kafka_resp_err_t code);

/* As alv_kafka_fail; when `code` says that a right is missing, the message goes on with which and with the
 * next step. */
#define alv_kafka_fail_needing(err, status, code, need, ...) \
    alv_kafka_needing((err), (status), (code), (need), __FILE__, __LINE__, __VA_ARGS__)
alv_status alv_kafka_needing(alv_error *err, alv_status status, rd_kafka_resp_err_t code,
                             alv_kafka_need need, const char *file, int line, const char *format,
                             ...) __attribute__((format(printf, 7, 8)));

/* ---- statistics ------------------------------------------------------------------------------ */

/* For a handle that is polled at least every few seconds as long as it lives. */
void alv_kafka_stats_configure(rd_kafka_conf_t *conf, const alv_config *config);

/* Shows the statistics of a handle that was opened; `kind` is static. Removed when it is closed. */
void alv_kafka_stats_add(alv_kafka_client *client, const char *kind);
void alv_kafka_stats_remove(alv_kafka_client *client);

/* ---- errors ---------------------------------------------------------------------------------- */

#define alv_kafka_fail(err, status, code, ...) \
    alv_fail_from((err), (status), "rdkafka", (int)(code), __VA_ARGS__)

/* True when a broker gave a definite answer; false when nobody knows what became of the request. */
bool alv_kafka_is_definite(rd_kafka_resp_err_t code);

/* ---- messages -> records --------------------------------------------------------------------- */

/* The messages behind a batch. Handles keep a list of theirs, because all messages must be gone
 * before librdkafka's handle can be destroyed, and a batch may outlive it. */
typedef struct alv_kafka_hold {
    struct alv_kafka_hold *next;
    struct alv_kafka_hold **previous; /* NULL = not in a list */
    alv_batch *batch;
    rd_kafka_message_t **messages; /* the kept ones are packed at the front */
    size_t count;
} alv_kafka_hold;

/* Empties `batch`, waits for a first message and takes what else is there. `batch` is held by the
 * list afterwards, even when empty. Ends early, without messages, when a callback asked for it. */
alv_kafka_hold *alv_kafka_hold_fill(alv_kafka_hold **list, rd_kafka_queue_t *queue, int timeout_ms,
                                    alv_batch *batch);

/* Makes message `index` the next record of the batch. */
void alv_kafka_hold_keep(alv_kafka_hold *hold, size_t index, alv_topic topic);

/* Gives message `index` back. */
void alv_kafka_hold_drop(alv_kafka_hold *hold, size_t index);

/* Empties all batches of a handle that is about to go. */
void alv_kafka_hold_clear_all(alv_kafka_hold *list);

/* alv_log_ops.headers */
size_t alv_kafka_headers(const alv_record *record, alv_header *out, size_t capacity);

/* ---- log ------------------------------------------------------------------------------------- */

typedef struct alv_kafka {
    alv_log_port base;
    const alv_config *config;     /* borrowed */
    const alv_settings *settings; /* borrowed from config */
    char names[ALV_TOPICS_MAX][ALV_TOPIC_NAME_BYTES];
    int32_t shards; /* 0 = as many as the command topic has partitions */
} alv_kafka;

alv_status alv_kafka_consumer_open(alv_log_port *log, int lane,
                                   const alv_rebalance_listener *listener, alv_consumer **out,
                                   alv_error *err);
alv_status alv_kafka_producer_open(alv_log_port *log, int lane, alv_producer **out, alv_error *err);
alv_status alv_kafka_reader_open(alv_log_port *log, const char *name, alv_reader **out,
                                 alv_error *err);
alv_status alv_kafka_sender_open(alv_log_port *log, const char *name, alv_sender **out,
                                 alv_error *err);

/* The group's metadata for a commit, to be destroyed by the caller; NULL when the consumer is not, or no
 * longer, the member to which its shards were given (I3). */
rd_kafka_consumer_group_metadata_t *alv_kafka_consumer_group(alv_consumer *base);

/* Makes a handle ask for what it takes for known: which brokers there are and, with a `topic` (else NULL), who leads its
 * shards. Blocks up to `timeout_ms`; what fails shows in the next request. */
void alv_kafka_refresh(rd_kafka_t *rk, const char *topic, int timeout_ms);

/* First offset and end of a shard as the handle's isolation level sees them. */
alv_status alv_kafka_range(rd_kafka_t *rk, const char *topic, int32_t shard, int64_t *out_start,
                           int64_t *out_end, alv_error *err);

/* The ends of several shards of a topic, as the handle's isolation level sees them. */
alv_status alv_kafka_ends(rd_kafka_t *rk, const char *topic, alv_shard_offset *items, size_t count,
                          int timeout_ms, alv_error *err);

/* The group's committed offsets of the command topic, stable ones (the handle is read_committed and
 * has the group's id; it need not be a member). */
alv_status alv_kafka_committed(rd_kafka_t *rk, const char *topic, alv_shard_offset *items,
                               size_t count, int timeout_ms, alv_error *err);

/* ---- targets: where a producer or sender writes ---------------------------------------------- */

typedef struct alv_kafka_targets {
    rd_kafka_topic_t *topics[ALV_TOPICS_MAX]; /* made at first use */
    int32_t shards[ALV_TOPICS_MAX];           /* partition counts, 0 = not asked yet */
} alv_kafka_targets;

/* Queues a record (copied). The result is librdkafka's; _QUEUE_FULL is for the caller to handle.
 * A shard of -1 is resolved by key; the first time that asks the broker for the topic's
 * partition count, unless `log` knows it, and blocks up to ALV_KAFKA_CALL_MS. */
rd_kafka_resp_err_t alv_kafka_targets_produce(alv_kafka_targets *targets, const alv_kafka *log,
                                              rd_kafka_t *rk, const alv_produce *record,
                                              void *message_opaque);

/* The topic of a message in a delivery report. */
alv_topic alv_kafka_targets_topic(const rd_kafka_message_t *message);

void alv_kafka_targets_done(alv_kafka_targets *targets);

#endif
