#include "tests/support/group_offsets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/wait.h"

#define OFFSETS_TIMEOUT_MS 30000
#define OFFSETS_RETRY_MS 20

struct alv_group_offsets {
    rd_kafka_t *client;
    rd_kafka_topic_partition_list_t *partitions;
};

static rd_kafka_t *offsets_client(const char *brokers, const char *group)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    (void)rd_kafka_conf_set(conf, "group.id", group, NULL, 0);
    (void)rd_kafka_conf_set(conf, "isolation.level", "read_uncommitted", NULL, 0);
    (void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (client == NULL) {
        fail_msg("librdkafka: %s", text);
    }
    return client;
}

alv_group_offsets *alv_group_offsets_open(const char *brokers, const char *group, const char *topic)
{
    alv_group_offsets *offsets = alv_alloc(sizeof(*offsets));
    offsets->client = offsets_client(brokers, group);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(offsets->client, topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(offsets->client, 0, handle, &metadata, OFFSETS_TIMEOUT_MS);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR || metadata->topics[0].partition_cnt == 0) {
        fail_msg("no metadata of %s: %s", topic, rd_kafka_err2str(error));
    }
    int count = metadata->topics[0].partition_cnt;
    offsets->partitions = rd_kafka_topic_partition_list_new(count);
    for (int i = 0; i < count; i++) {
        rd_kafka_topic_partition_list_add(offsets->partitions, topic, i);
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return offsets;
}

/* A broker that has just made its topic of offsets is not a group's coordinator at once. */
static void offsets_ask(alv_group_offsets *offsets)
{
    int64_t deadline = alv_wait_deadline(OFFSETS_TIMEOUT_MS);
    rd_kafka_resp_err_t error;
    while ((error = rd_kafka_committed(offsets->client, offsets->partitions, OFFSETS_TIMEOUT_MS)) !=
           RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (alv_wait_expired(deadline)) {
            fail_msg("no committed offsets: %s", rd_kafka_err2str(error));
        }
        (void)poll(NULL, 0, OFFSETS_RETRY_MS);
    }
}

int64_t alv_group_offsets_sum(alv_group_offsets *offsets)
{
    int64_t sum = 0;
    offsets_ask(offsets);
    for (int i = 0; i < offsets->partitions->cnt; i++) {
        int64_t offset = offsets->partitions->elems[i].offset;
        sum += offset > 0 ? offset : 0;
    }
    return sum;
}

void alv_group_offsets_close(alv_group_offsets *offsets)
{
    rd_kafka_topic_partition_list_destroy(offsets->partitions);
    rd_kafka_destroy(offsets->client);
    alv_free(offsets);
}
