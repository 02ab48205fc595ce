/* kafka_topics.c — creates and checks the topics of an application. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "topics/kafka_admin_internal.h"

/* How often a fresh topic is looked at until all its leaders are known. */
#define LEADERS_POLL_MS 20
/* A stock broker's max.message.bytes; states and dead letters are sized for it (limits.h). */
#define MESSAGE_BYTES_NEEDED 1048588

/* Of the topic of a global table, when it is created here: a table fits every node's memory. */
#define TABLE_PARTITIONS 1

/* What is known of a topic beyond alv_topic_info. */
typedef struct topics_seen {
    bool has_leaders;
    int64_t max_message_bytes; /* 0 = not told */
    bool is_hidden;            /* may not even be looked at, so that nothing is known of it */
    unsigned allowed;          /* bits of alv_access_operation */
} topics_seen;

/* With those of global tables. */
static int topics_count(const alv_kafka_admin *admin)
{
    return (int)alv_schema_topic_count(admin->settings);
}

static int64_t topics_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* ---- describe: rights ------------------------------------------------------------------------ */

static unsigned topics_right(rd_kafka_AclOperation_t operation)
{
    switch (operation) {
    case RD_KAFKA_ACL_OPERATION_READ:
        return 1u << ALV_ACCESS_READ;
    case RD_KAFKA_ACL_OPERATION_WRITE:
        return 1u << ALV_ACCESS_WRITE;
    case RD_KAFKA_ACL_OPERATION_CREATE:
        return 1u << ALV_ACCESS_CREATE;
    case RD_KAFKA_ACL_OPERATION_DELETE:
        return 1u << ALV_ACCESS_DELETE;
    case RD_KAFKA_ACL_OPERATION_DESCRIBE:
        return 1u << ALV_ACCESS_DESCRIBE;
    case RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS:
        return 1u << ALV_ACCESS_DESCRIBE_CONFIGS;
    default:
        return 0;
    }
}

/* A broker that does not tell may allow everything. */
static void topics_note_rights(const rd_kafka_TopicDescription_t *topic, topics_seen *seen)
{
    size_t count = 0;
    const rd_kafka_AclOperation_t *operations =
        rd_kafka_TopicDescription_authorized_operations(topic, &count);
    seen->allowed = operations == NULL ? ~0u : 0;
    for (size_t i = 0; i < count && operations != NULL; i++) {
        seen->allowed |= topics_right(operations[i]);
    }
}

/* Whether the right is missing. Of a topic that may not be looked at only those are known to be missing that
 * would have brought Describe with them. */
static bool topics_lacks(const topics_seen *seen, alv_access_operation operation)
{
    bool is_apart = operation == ALV_ACCESS_CREATE || operation == ALV_ACCESS_DESCRIBE_CONFIGS;
    return seen->is_hidden ? !is_apart : (seen->allowed & (1u << operation)) == 0;
}

/* Names all that is missing on the topics that are `hidden` or not, so that it can be granted at once. */
static alv_status topics_check_rights(const alv_kafka_admin *admin, alv_access_role role,
                                      const topics_seen seen[ALV_TOPICS_MAX], bool hidden,
                                      alv_error *err)
{
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(role, admin->settings, rights);
    alv_bytes missing = ALV_BYTES_EMPTY;
    for (size_t i = 0; i < count; i++) {
        const alv_access *right = &rights[i];
        if (right->kind == ALV_ACCESS_TOPIC && seen[right->topic].is_hidden == hidden &&
            topics_lacks(&seen[right->topic], right->operation)) {
            alv_bytes_printf(&missing, "%s%s on topic %s", missing.size > 0 ? ", " : "",
                             alv_access_operation_name(right->operation), right->name);
        }
    }
    alv_status status = ALV_OK;
    if (missing.size > 0) {
        status = alv_kafka_fail(err, ALV_REJECT, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                                "this client's user lacks %.*s (`alluvium acls %s` prints all that "
                                "is needed)",
                                (int)missing.size, missing.data, alv_access_role_name(role));
    }
    alv_bytes_done(&missing);
    return status;
}

/* What to say when a right to look at or create a topic is missing. */
static alv_kafka_need topics_need(alv_access_operation operation, const char *name)
{
    return (alv_kafka_need){operation, ALV_ACCESS_TOPIC, name};
}

/* ---- describe: partitions -------------------------------------------------------------------- */

static void topics_note_partitions(const rd_kafka_TopicDescription_t *topic, alv_topic_info *info,
                                   topics_seen *seen)
{
    size_t partition_count = 0;
    const rd_kafka_TopicPartitionInfo_t **partitions =
        rd_kafka_TopicDescription_partitions(topic, &partition_count);
    const char *id = rd_kafka_Uuid_base64str(rd_kafka_TopicDescription_topic_id(topic));
    snprintf(info->id, sizeof(info->id), "%s", id != NULL ? id : "");
    info->exists = true;
    info->shards = (int32_t)partition_count;
    seen->has_leaders = partition_count > 0;
    topics_note_rights(topic, seen);
    for (size_t i = 0; i < partition_count; i++) {
        size_t replica_count = 0;
        (void)rd_kafka_TopicPartitionInfo_replicas(partitions[i], &replica_count);
        if (rd_kafka_TopicPartitionInfo_partition(partitions[i]) == 0) {
            info->replication_factor = (int32_t)replica_count;
        }
        const rd_kafka_Node_t *leader = rd_kafka_TopicPartitionInfo_leader(partitions[i]);
        if (leader == NULL || rd_kafka_Node_id(leader) < 0) {
            seen->has_leaders = false;
        }
    }
}

/* A topic that does not exist is an answer; anything else that is wrong is an error. */
static alv_status topics_read_partitions(const rd_kafka_event_t *event,
                                         alv_topic_info info[ALV_TOPICS_MAX],
                                         topics_seen seen[ALV_TOPICS_MAX], alv_error *err)
{
    size_t count = 0;
    const rd_kafka_TopicDescription_t **topics = rd_kafka_DescribeTopics_result_topics(
        rd_kafka_event_DescribeTopics_result((rd_kafka_event_t *)event), &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_TopicDescription_name(topics[i]);
        int topic = 0;
        while (topic < ALV_TOPICS_MAX && strcmp(info[topic].name, name) != 0) {
            topic++;
        }
        if (topic == ALV_TOPICS_MAX) {
            continue;
        }
        const rd_kafka_error_t *error = rd_kafka_TopicDescription_error(topics[i]);
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            topics_note_partitions(topics[i], &info[topic], &seen[topic]);
        } else if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
            seen[topic].is_hidden = true;
        } else if (code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            return alv_kafka_fail(err, ALV_RETRY, code, "topic %s: %s", name,
                                  rd_kafka_error_string(error));
        }
    }
    return ALV_OK;
}

static alv_status topics_ask_partitions(alv_kafka_admin *admin, alv_topic_info info[ALV_TOPICS_MAX],
                                        topics_seen seen[ALV_TOPICS_MAX], alv_error *err)
{
    const char *names[ALV_TOPICS_MAX];
    int count = topics_count(admin);
    for (int topic = 0; topic < count; topic++) {
        names[topic] = info[topic].name;
    }
    rd_kafka_TopicCollection_t *collection =
        rd_kafka_TopicCollection_of_topic_names(names, (size_t)count);
    rd_kafka_AdminOptions_t *options =
        alv_kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    rd_kafka_error_t *error = rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
    ALV_ASSERT(error == NULL);
    rd_kafka_DescribeTopics(admin->client.rk, collection, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_TopicCollection_destroy(collection);

    rd_kafka_event_t *event = NULL;
    alv_status status = alv_kafka_admin_answer(admin, "describe topics", &event, err);
    if (status != ALV_OK) {
        return status;
    }
    status = topics_read_partitions(event, info, seen, err);
    rd_kafka_event_destroy(event);
    return status;
}

/* ---- describe: settings ---------------------------------------------------------------------- */

static void topics_note_setting(const char *name, const char *value, alv_topic_info *info,
                                topics_seen *seen)
{
    if (value == NULL) {
        return;
    }
    if (strcmp(name, "cleanup.policy") == 0) {
        snprintf(info->cleanup_policy, sizeof(info->cleanup_policy), "%s", value);
    } else if (strcmp(name, "retention.ms") == 0) {
        snprintf(info->retention_ms, sizeof(info->retention_ms), "%s", value);
    } else if (strcmp(name, "max.message.bytes") == 0) {
        seen->max_message_bytes = strtoll(value, NULL, 10);
    }
}

static alv_status topics_read_settings(const rd_kafka_event_t *event,
                                       alv_topic_info info[ALV_TOPICS_MAX],
                                       topics_seen seen[ALV_TOPICS_MAX], alv_error *err)
{
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)event), &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConfigResource_name(resources[i]);
        rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[i]);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return alv_kafka_fail_needing(err, alv_kafka_admin_status(code), code,
                                          topics_need(ALV_ACCESS_DESCRIBE_CONFIGS, name),
                                          "settings of topic %s: %s", name, rd_kafka_err2str(code));
        }
        int topic = 0;
        while (topic < ALV_TOPICS_MAX && strcmp(info[topic].name, name) != 0) {
            topic++;
        }
        size_t entry_count = 0;
        const rd_kafka_ConfigEntry_t **entries =
            rd_kafka_ConfigResource_configs(resources[i], &entry_count);
        for (size_t j = 0; j < entry_count && topic < ALV_TOPICS_MAX; j++) {
            topics_note_setting(rd_kafka_ConfigEntry_name(entries[j]),
                                rd_kafka_ConfigEntry_value(entries[j]), &info[topic], &seen[topic]);
        }
    }
    return ALV_OK;
}

/* Of the topics that exist. */
static alv_status topics_ask_settings(alv_kafka_admin *admin, alv_topic_info info[ALV_TOPICS_MAX],
                                      topics_seen seen[ALV_TOPICS_MAX], alv_error *err)
{
    rd_kafka_ConfigResource_t *resources[ALV_TOPICS_MAX];
    size_t count = 0;
    for (int topic = 0; topic < topics_count(admin); topic++) {
        if (info[topic].exists) {
            resources[count++] =
                rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, info[topic].name);
        }
    }
    if (count == 0) {
        return ALV_OK;
    }
    rd_kafka_AdminOptions_t *options =
        alv_kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_DescribeConfigs(admin->client.rk, resources, count, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy_array(resources, count);

    rd_kafka_event_t *event = NULL;
    alv_status status = alv_kafka_admin_answer(admin, "describe settings of topics", &event, err);
    if (status != ALV_OK) {
        return status;
    }
    status = topics_read_settings(event, info, seen, err);
    rd_kafka_event_destroy(event);
    return status;
}

/* ---- check ----------------------------------------------------------------------------------- */

/* Whether the command topic has more partitions than there are shards, by what the nodes have made for these.
 * Partitions cannot be taken away again, so a node must be able to go on without those that somebody has added. */
static bool topics_is_surplus(const alv_topic_info info[ALV_TOPICS_MAX], int32_t shards)
{
    const alv_topic_info *changelog = &info[ALV_TOPIC_CHANGELOG];
    const alv_topic_info *ledger = &info[ALV_TOPIC_LEDGER];
    return info[ALV_TOPIC_COMMANDS].exists && info[ALV_TOPIC_COMMANDS].shards > shards &&
           changelog->exists && changelog->shards == shards && ledger->exists &&
           ledger->shards == shards;
}

/* The number of partitions that a topic must have, and who says so. */
static int32_t topics_expected_shards(const alv_kafka_admin *admin,
                                      const alv_topic_info info[ALV_TOPICS_MAX],
                                      const char **out_source)
{
    if (alv_config_is_set(admin->config, "shards") || !info[ALV_TOPIC_COMMANDS].exists) {
        *out_source = "shards";
        return (int32_t)admin->settings->shards;
    }
    if (topics_is_surplus(info, info[ALV_TOPIC_CHANGELOG].shards)) {
        *out_source = "the changelog";
        return info[ALV_TOPIC_CHANGELOG].shards;
    }
    *out_source = "the command topic";
    return info[ALV_TOPIC_COMMANDS].shards;
}

/* "compact,delete" throws state away after its retention; "compact" on a stream loses records. */
static bool topics_is_policy_good(alv_topic topic, const char *policy)
{
    return strcmp(policy, alv_schema_is_compacted(topic) ? "compact" : "delete") == 0;
}

/* A global table has as many partitions as whoever made it wanted, and rows of any size. */
static void topics_find_table_problem(alv_topic_info *info)
{
    char *out = info->problem;
    size_t size = sizeof(info->problem);
    if (!info->exists) {
        snprintf(out, size,
                 "does not exist: run `alluvium topics create` or set topics.create=true");
    } else if (info->shards > ALV_TABLE_PARTITIONS_MAX) {
        snprintf(out, size, "has %d partitions; a global table may have %d", (int)info->shards,
                 ALV_TABLE_PARTITIONS_MAX);
    } else if (strcmp(info->cleanup_policy, "compact") != 0) {
        snprintf(out, size,
                 "has cleanup.policy=%s and a global table needs compact: set it with "
                 "kafka-configs --alter",
                 info->cleanup_policy);
    }
}

static void topics_find_problem(const alv_kafka_admin *admin, alv_topic topic,
                                const alv_topic_info all[ALV_TOPICS_MAX], const topics_seen *seen,
                                alv_topic_info *info)
{
    char *out = info->problem;
    size_t size = sizeof(info->problem);
    const char *source;
    int32_t expected = topics_expected_shards(admin, all, &source);
    if (topic >= ALV_TOPIC_COUNT) {
        topics_find_table_problem(info);
    } else if (!info->exists) {
        snprintf(out, size,
                 "does not exist: run `alluvium topics create` or set topics.create=true");
    } else if (topic == ALV_TOPIC_COMMANDS && topics_is_surplus(all, expected)) {
        info->is_usable = true;
        snprintf(
            out, size,
            "has %d partitions, but %s says %d: what is sent to the others is not executed; let "
            "senders use the first %d, or move to a new application.id",
            (int)info->shards, source, (int)expected, (int)expected);
    } else if (info->shards != expected) {
        snprintf(out, size,
                 "has %d partitions, but %s says %d: set shards to what is there, or move to a new "
                 "application.id; the number cannot be changed without moving keys",
                 (int)info->shards, source, (int)expected);
    } else if (!topics_is_policy_good(topic, info->cleanup_policy)) {
        snprintf(out, size, "has cleanup.policy=%s and needs %s: set it with kafka-configs --alter",
                 info->cleanup_policy, alv_schema_is_compacted(topic) ? "compact" : "delete");
    } else if (seen->max_message_bytes > 0 && seen->max_message_bytes < MESSAGE_BYTES_NEEDED) {
        snprintf(out, size,
                 "has max.message.bytes=%lld and needs at least %d: set it with kafka-configs "
                 "--alter",
                 (long long)seen->max_message_bytes, MESSAGE_BYTES_NEEDED);
    }
}

/* For somebody who has `role`. */
static alv_status topics_describe(alv_kafka_admin *admin, alv_access_role role,
                                  alv_topic_info out[ALV_TOPICS_MAX],
                                  topics_seen seen[ALV_TOPICS_MAX], alv_error *err)
{
    memset(out, 0, sizeof(alv_topic_info) * ALV_TOPICS_MAX);
    memset(seen, 0, sizeof(topics_seen) * ALV_TOPICS_MAX);
    int count = topics_count(admin);
    for (int topic = 0; topic < count; topic++) {
        alv_schema_topic_name(admin->settings, (alv_topic)topic, out[topic].name,
                              sizeof(out[topic].name));
    }
    alv_status status = alv_schema_check_tables(admin->settings, err);
    if (status == ALV_OK) {
        status = topics_ask_partitions(admin, out, seen, err);
    }
    if (status == ALV_OK) {
        status = topics_check_rights(admin, role, seen, true, err);
    }
    if (status == ALV_OK) {
        status = topics_ask_settings(admin, out, seen, err);
    }
    for (int topic = 0; topic < count && status == ALV_OK; topic++) {
        topics_find_problem(admin, (alv_topic)topic, out, &seen[topic], &out[topic]);
    }
    return status;
}

/* ---- create ---------------------------------------------------------------------------------- */

static rd_kafka_NewTopic_t *topics_new(const alv_kafka_admin *admin, alv_topic topic,
                                       const char *name, int32_t shards, alv_error *err)
{
    char text[256];
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(
        name, shards, (int)admin->settings->topics_replication_factor, text, sizeof(text));
    if (wanted == NULL) {
        (void)alv_fail_from(err, ALV_REJECT, "rdkafka", 0, "topic %s: %s", name, text);
        return NULL;
    }
    alv_topic_setting settings[ALV_TOPIC_SETTINGS_MAX];
    size_t count = alv_schema_settings(topic, admin->settings, settings);
    for (size_t i = 0; i < count; i++) {
        (void)rd_kafka_NewTopic_set_config(wanted, settings[i].name, settings[i].value);
    }
    return wanted;
}

/* Another node that creates the same topics at the same time is as good as we are. */
static alv_status topics_read_created(const rd_kafka_event_t *event, size_t *out_created,
                                      alv_error *err)
{
    size_t count = 0;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(
        rd_kafka_event_CreateTopics_result((rd_kafka_event_t *)event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            (*out_created)++;
        } else if (code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                   code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
                   code == RD_KAFKA_RESP_ERR_NOT_CONTROLLER) {
            return alv_kafka_fail(err, ALV_RETRY, code, "create topic %s: %s",
                                  rd_kafka_topic_result_name(results[i]), rd_kafka_err2str(code));
        } else if (code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            const char *name = rd_kafka_topic_result_name(results[i]);
            return alv_kafka_fail_needing(
                err, ALV_REJECT, code, topics_need(ALV_ACCESS_CREATE, name), "create topic %s: %s",
                name, rd_kafka_topic_result_error_string(results[i]));
        }
    }
    return ALV_OK;
}

static alv_status topics_create_list(alv_kafka_admin *admin, rd_kafka_NewTopic_t **wanted,
                                     size_t count, size_t *out_created, alv_error *err)
{
    char text[256];
    rd_kafka_AdminOptions_t *options =
        alv_kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, ALV_KAFKA_CALL_MS, text,
                                                      sizeof(text)); /* the value is in range */
    rd_kafka_CreateTopics(admin->client.rk, wanted, count, options, admin->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_event_t *event = NULL;
    alv_status status = alv_kafka_admin_answer(admin, "create topics", &event, err);
    if (status != ALV_OK) {
        return status;
    }
    status = topics_read_created(event, out_created, err);
    rd_kafka_event_destroy(event);
    return status;
}

static alv_status topics_create_missing(alv_kafka_admin *admin,
                                        const alv_topic_info info[ALV_TOPICS_MAX],
                                        size_t *out_created, alv_error *err)
{
    rd_kafka_NewTopic_t *wanted[ALV_TOPICS_MAX];
    size_t count = 0;
    alv_status status = ALV_OK;
    const char *ignored;
    int32_t shards = topics_expected_shards(admin, info, &ignored);
    for (int topic = 0; topic < topics_count(admin) && status == ALV_OK; topic++) {
        if (info[topic].exists) {
            continue;
        }
        int32_t partitions = topic < ALV_TOPIC_COUNT ? shards : TABLE_PARTITIONS;
        wanted[count] = topics_new(admin, (alv_topic)topic, info[topic].name, partitions, err);
        if (wanted[count] == NULL) {
            status = ALV_REJECT;
        } else {
            count++;
        }
    }
    if (status == ALV_OK && count > 0) {
        status = topics_create_list(admin, wanted, count, out_created, err);
    }
    rd_kafka_NewTopic_destroy_array(wanted, count);
    return status;
}

/* A topic exists for its creator before every broker knows it and its leaders are elected. */
static alv_status topics_wait_for_leaders(alv_kafka_admin *admin, alv_access_role role,
                                          alv_topic_info info[ALV_TOPICS_MAX],
                                          topics_seen seen[ALV_TOPICS_MAX], alv_error *err)
{
    int64_t deadline_ms = topics_now_ms() + ALV_KAFKA_CALL_MS;
    for (;;) {
        alv_status status = topics_describe(admin, role, info, seen, err);
        int topic = 0;
        while (topic < topics_count(admin) && info[topic].exists && seen[topic].has_leaders) {
            topic++;
        }
        if (status != ALV_OK || topic == topics_count(admin)) {
            return status;
        }
        if (topics_now_ms() >= deadline_ms) {
            return alv_fail(err, ALV_RETRY, "topic %s has no leader for some partition yet",
                            info[topic].name);
        }
        rd_kafka_poll(admin->client.rk, LEADERS_POLL_MS);
    }
}

static alv_status topics_create(alv_kafka_admin *admin, alv_access_role role,
                                alv_topic_info info[ALV_TOPICS_MAX],
                                topics_seen seen[ALV_TOPICS_MAX], size_t *out_created,
                                alv_error *err)
{
    alv_status status = topics_describe(admin, role, info, seen, err);
    if (status == ALV_OK) {
        status = topics_create_missing(admin, info, out_created, err);
    }
    if (status == ALV_OK) {
        status = topics_wait_for_leaders(admin, role, info, seen, err);
    }
    return status;
}

/* ---- public ---------------------------------------------------------------------------------- */

alv_status alv_kafka_describe_topics(const alv_config *config, alv_access_role role,
                                     alv_topic_info out[ALV_TOPICS_MAX], alv_error *err)
{
    alv_kafka_admin admin;
    topics_seen seen[ALV_TOPICS_MAX];
    alv_status status = alv_kafka_admin_open(&admin, config, "topics", err);
    if (status == ALV_OK) {
        status = topics_describe(&admin, role, out, seen, err);
    }
    alv_kafka_admin_close(&admin);
    return status;
}

alv_status alv_kafka_create_topics(const alv_config *config, size_t *out_created, alv_error *err)
{
    alv_kafka_admin admin;
    alv_topic_info info[ALV_TOPICS_MAX];
    topics_seen seen[ALV_TOPICS_MAX];
    size_t created = 0;
    alv_status status = alv_kafka_admin_open(&admin, config, "topics", err);
    if (status == ALV_OK) {
        status = topics_create(&admin, ALV_ACCESS_TOPICS, info, seen, &created, err);
    }
    alv_kafka_admin_close(&admin);
    if (status == ALV_OK && out_created != NULL) {
        *out_created = created;
    }
    return status;
}

static alv_status topics_check(const alv_topic_info info[ALV_TOPICS_MAX], alv_error *err)
{
    for (int topic = 0; topic < ALV_TOPICS_MAX; topic++) {
        if (info[topic].problem[0] != '\0' && !info[topic].is_usable) {
            return alv_fail(err, ALV_REJECT, "topic %s %s", info[topic].name, info[topic].problem);
        }
    }
    return ALV_OK;
}

alv_status alv_kafka_prepare_topics(const alv_config *config, alv_topic_info out[ALV_TOPICS_MAX],
                                    alv_error *err)
{
    alv_kafka_admin admin;
    topics_seen seen[ALV_TOPICS_MAX];
    size_t created = 0;
    alv_status status = alv_kafka_admin_open(&admin, config, "topics", err);
    if (status == ALV_OK && admin.settings->topics_create) {
        status = topics_create(&admin, ALV_ACCESS_NODE, out, seen, &created, err);
    } else if (status == ALV_OK) {
        status = topics_describe(&admin, ALV_ACCESS_NODE, out, seen, err);
    }
    if (status == ALV_OK) {
        status = topics_check(out, err);
    }
    if (status == ALV_OK) {
        status = topics_check_rights(&admin, ALV_ACCESS_NODE, seen, false, err);
    }
    alv_kafka_admin_close(&admin);
    return status;
}
