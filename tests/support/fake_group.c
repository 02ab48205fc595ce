#include "tests/support/fake_group.h"

#include <stdio.h>

#include "base/alloc.h"

void alv_fake_group_init(alv_fake_group *group)
{
    *group = (alv_fake_group){.count = 0};
    (void)pthread_mutex_init(&group->lock, NULL); /* cannot fail for a default mutex */
}

void alv_fake_group_done(alv_fake_group *group)
{
    (void)pthread_mutex_destroy(&group->lock);
}

void alv_fake_group_say(alv_fake_group *group, const alv_fake_lane *lanes, size_t count)
{
    pthread_mutex_lock(&group->lock);
    group->count = count <= ALV_FAKE_LANES_MAX ? count : ALV_FAKE_LANES_MAX;
    for (size_t i = 0; i < group->count; i++)
        group->lanes[i] = lanes[i];
    pthread_mutex_unlock(&group->lock);
}

void alv_fake_group_set_away(alv_fake_group *group, bool away)
{
    pthread_mutex_lock(&group->lock);
    group->away = away;
    pthread_mutex_unlock(&group->lock);
}

int alv_fake_group_asked(alv_fake_group *group)
{
    pthread_mutex_lock(&group->lock);
    int asked = group->asked;
    pthread_mutex_unlock(&group->lock);
    return asked;
}

static void fake_group_fill(alv_member *member, const alv_fake_lane *lane)
{
    (void)snprintf(member->node_id, sizeof member->node_id, "%s", lane->node_id);
    (void)snprintf(member->address, sizeof member->address, "%s", lane->address);
    member->lane = lane->lane;
    member->shards = alv_alloc_array(ALV_FAKE_SHARDS_MAX, sizeof *member->shards);
    for (; lane->shards[member->shard_count] != -1; member->shard_count++)
        member->shards[member->shard_count] = lane->shards[member->shard_count];
}

alv_status alv_fake_group_members(void *payload, int timeout_ms, alv_members *out, alv_error *err)
{
    (void)timeout_ms;
    alv_fake_group *group = payload;
    pthread_mutex_lock(&group->lock);
    group->asked++;
    bool away = group->away;
    if (!away) {
        out->items = alv_alloc_array(group->count, sizeof *out->items);
        out->count = group->count;
        for (size_t i = 0; i < group->count; i++)
            fake_group_fill(&out->items[i], &group->lanes[i]);
    }
    pthread_mutex_unlock(&group->lock);
    return away ? alv_fail(err, ALV_RETRY, "no broker") : ALV_OK;
}
