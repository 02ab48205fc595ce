#include <string.h>

#include "base/alloc.h"
#include "topics/kafka_internal.h"
#include "topics/kafka_membership_internal.h"

alv_status alv_kafka_membership_seek(rd_kafka_t *rk, const char *topic, alv_error *err)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return alv_kafka_fail(err, ALV_FATAL, code, "subscribe: %s", rd_kafka_err2str(code));
    }
    return ALV_OK;
}

bool alv_kafka_membership_decline(rd_kafka_t *rk, rd_kafka_resp_err_t code)
{
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);
    bool assigns = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    rd_kafka_error_t *error =
        assigns ? rd_kafka_incremental_assign(rk, none) : rd_kafka_incremental_unassign(rk, none);
    if (error != NULL) {
        rd_kafka_error_destroy(error); /* fenced meanwhile: the fatal error says so */
    }
    rd_kafka_topic_partition_list_destroy(none);
    return assigns;
}

void alv_kafka_membership_done(alv_kafka_membership *membership)
{
    alv_free(membership->id);
    membership->id = NULL;
}

/* The id of a member now, an owned copy; empty while there is none. */
static char *membership_now(rd_kafka_t *rk)
{
    char *id = rd_kafka_memberid(rk);
    char *copy = alv_strdup(id != NULL ? id : "");
    if (id != NULL) {
        rd_kafka_mem_free(rk, id);
    }
    return copy;
}

bool alv_kafka_membership_is_any(rd_kafka_t *rk)
{
    char *now = membership_now(rk);
    bool is_any = *now != '\0';
    alv_free(now);
    return is_any;
}

bool alv_kafka_membership_changed(alv_kafka_membership *membership, rd_kafka_t *rk)
{
    char *now = membership_now(rk);
    if (*now == '\0' || (membership->id != NULL && strcmp(now, membership->id) == 0)) {
        alv_free(now);
        return false;
    }
    bool was_another = membership->id != NULL;
    alv_free(membership->id);
    membership->id = now;
    return was_another;
}

static bool membership_is_now(const alv_kafka_membership *membership, rd_kafka_t *rk)
{
    char *now = membership_now(rk);
    bool is_now = *now != '\0' && membership->id != NULL && strcmp(now, membership->id) == 0;
    alv_free(now);
    return is_now;
}

/* Cooperative rebalances bump the generation without any callback, so it is asked for each time. A broker
 * takes offsets without member and generation from anybody while the group is empty, and those of a member
 * for any shard. So the id is looked at afterwards: why that is enough, the header says. */
rd_kafka_consumer_group_metadata_t *alv_kafka_membership_group(
    const alv_kafka_membership *membership, rd_kafka_t *rk)
{
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(rk);
    if (group != NULL && !membership_is_now(membership, rk)) {
        rd_kafka_consumer_group_metadata_destroy(group);
        return NULL;
    }
    return group;
}
