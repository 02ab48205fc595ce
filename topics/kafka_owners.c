/* kafka_owners.c — looks for open transactions from both sides of the isolation level.
 *
 * The end that a read_committed handle is told is the last stable offset, the end that a read_uncommitted one
 * is told is the high watermark: between them lies an open transaction. The same two handles tell the
 * group's offsets: the first only when no transaction is about to change them, the second always.
 */
#include "topics/kafka_owners.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "topics/kafka_internal.h"
#include "topics/offset_note.h"

struct alv_kafka_owners {
    const alv_config *config;
    alv_kafka_client stable; /* read_committed */
    alv_kafka_client raw;    /* read_uncommitted */
    char names[ALV_TOPIC_COUNT][ALV_TOPIC_NAME_BYTES];
};

alv_kafka_owners *alv_kafka_owners_new(const alv_config *config)
{
    alv_kafka_owners *owners = alv_alloc(sizeof *owners);
    owners->config = config;
    for (int topic = 0; topic < ALV_TOPIC_COUNT; topic++) {
        alv_schema_name(alv_config_settings(config)->application_id, (alv_topic)topic,
                        owners->names[topic], sizeof owners->names[topic]);
    }
    alv_kafka_client_init(&owners->stable, config, "owners", owners);
    alv_kafka_client_init(&owners->raw, config, "owners", owners);
    return owners;
}

void alv_kafka_owners_free(alv_kafka_owners *owners)
{
    if (owners == NULL) {
        return;
    }
    alv_kafka_client_close(&owners->stable);
    alv_kafka_client_close(&owners->raw);
    alv_free(owners);
}

/* A handle with the group's id that never subscribes: it is no member. */
static alv_status owners_open(const alv_kafka_owners *owners, alv_kafka_client *client,
                              alv_kafka_kind kind, alv_error *err)
{
    if (client->rk != NULL) {
        (void)rd_kafka_poll(client->rk, 0); /* runs the error callback, so that none pile up */
        return ALV_OK;
    }
    rd_kafka_conf_t *conf = NULL;
    alv_status status = alv_kafka_conf_new(owners->config, kind, client, &conf, err);
    if (status != ALV_OK) {
        return status;
    }
    alv_kafka_conf_set(conf, "group.id", alv_config_settings(owners->config)->application_id);
    return alv_kafka_client_open(client, kind, conf, err);
}

/* ---- who committed last ---------------------------------------------------------------------- */

static rd_kafka_topic_partition_list_t *owners_list(const alv_kafka_owners *owners,
                                                    const alv_owner *items, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        (void)rd_kafka_topic_partition_list_add(list, owners->names[ALV_TOPIC_COMMANDS],
                                                items[i].shard);
    }
    return list;
}

static alv_status owners_ask_names(const alv_kafka_owners *owners, alv_owner *items, size_t count,
                                   alv_error *err)
{
    rd_kafka_topic_partition_list_t *list = owners_list(owners, items, count);
    rd_kafka_resp_err_t code = rd_kafka_committed(owners->raw.rk, list, ALV_OWNERS_CALL_MS);
    for (size_t i = 0; i < count && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
            list, owners->names[ALV_TOPIC_COMMANDS], items[i].shard);
        ALV_ASSERT(found != NULL);
        code = found->err;
        const alv_view note = {found->metadata, found->metadata_size};
        items[i].is_named =
            alv_offset_note_read(note, items[i].node_id, sizeof items[i].node_id, &items[i].lane);
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        const alv_kafka_need need = {ALV_ACCESS_DESCRIBE, ALV_ACCESS_GROUP,
                                     alv_config_settings(owners->config)->application_id};
        return alv_kafka_fail_needing(err, ALV_RETRY, code, need, "committed offsets: %s",
                                      rd_kafka_err2str(code));
    }
    return ALV_OK;
}

/* ---- what is open ---------------------------------------------------------------------------- */

/* librdkafka waits for unstable offsets by itself until the time is up. */
static void owners_look_at_offsets(const alv_kafka_owners *owners, alv_owner *items, size_t count)
{
    rd_kafka_topic_partition_list_t *list = owners_list(owners, items, count);
    rd_kafka_resp_err_t code = rd_kafka_committed(owners->stable.rk, list, ALV_OWNERS_STABLE_MS);
    rd_kafka_topic_partition_list_destroy(list);
    bool is_unstable =
        code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT;
    for (size_t i = 0; i < count; i++) {
        items[i].is_blocked = items[i].is_blocked || is_unstable;
    }
}

static alv_status owners_look_at_topic(const alv_kafka_owners *owners, alv_topic topic,
                                       alv_owner *items, size_t count, alv_error *err)
{
    alv_shard_offset *ends = alv_alloc_array(count, sizeof *ends);
    alv_shard_offset *stable_ends = alv_alloc_array(count, sizeof *stable_ends);
    for (size_t i = 0; i < count; i++) {
        ends[i].shard = items[i].shard;
        stable_ends[i].shard = items[i].shard;
    }
    /* In this order: what is committed in between makes no difference that is none. */
    alv_status status =
        alv_kafka_ends(owners->raw.rk, owners->names[topic], ends, count, ALV_OWNERS_CALL_MS, err);
    if (status == ALV_OK) {
        status = alv_kafka_ends(owners->stable.rk, owners->names[topic], stable_ends, count,
                                ALV_OWNERS_CALL_MS, err);
    }
    for (size_t i = 0; i < count && status == ALV_OK; i++) {
        items[i].is_blocked = items[i].is_blocked || stable_ends[i].offset < ends[i].offset;
    }
    alv_free(stable_ends);
    alv_free(ends);
    return status;
}

alv_status alv_kafka_owners_ask(alv_kafka_owners *owners, alv_owner *items, size_t count,
                                alv_error *err)
{
    for (size_t i = 0; i < count; i++) {
        items[i] = (alv_owner){.shard = items[i].shard};
    }
    alv_status status = owners_open(owners, &owners->stable, ALV_KAFKA_READER, err);
    if (status == ALV_OK) {
        status = owners_open(owners, &owners->raw, ALV_KAFKA_PROBE, err);
    }
    if (status == ALV_OK) {
        status = owners_look_at_topic(owners, ALV_TOPIC_CHANGELOG, items, count, err);
    }
    if (status == ALV_OK) {
        status = owners_look_at_topic(owners, ALV_TOPIC_LEDGER, items, count, err);
    }
    if (status == ALV_OK) {
        status = owners_ask_names(owners, items, count, err);
    }
    if (status == ALV_OK) {
        owners_look_at_offsets(owners, items, count);
    }
    return status;
}
