#include <string.h>

#include "base/alloc.h"
#include "topics/kafka_membership_internal.h"

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
