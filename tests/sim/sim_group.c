#include "tests/sim/sim_group.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/assert.h"
#include "tests/sim/sim_trace.h"

/* So long a rebalance waits for members that do not join; then it goes on without them. */
#define GROUP_REBALANCE_MS 20000

void sim_group_init(sim_group *group, int32_t shard_count, int64_t session_ms)
{
    *group = (sim_group){.shard_count = shard_count, .session_ms = session_ms};
}

/* ---- members --------------------------------------------------------------------------------- */

static sim_member *group_member(sim_group *group, int64_t id)
{
    for (int i = 0; i < group->member_count; i++) {
        if (group->members[i].id == id) {
            return &group->members[i];
        }
    }
    return NULL;
}

static sim_member *group_seat(sim_group *group, int node, int lane)
{
    for (int i = 0; i < group->member_count; i++) {
        if (group->members[i].node == node && group->members[i].lane == lane) {
            return &group->members[i];
        }
    }
    return NULL;
}

const sim_member *sim_group_find(const sim_group *group, int64_t id)
{
    for (int i = 0; i < group->member_count; i++) {
        if (group->members[i].id == id) {
            return &group->members[i];
        }
    }
    return NULL;
}

const sim_member *sim_group_find_seat(const sim_group *group, int node, int lane)
{
    for (int i = 0; i < group->member_count; i++) {
        if (group->members[i].node == node && group->members[i].lane == lane) {
            return &group->members[i];
        }
    }
    return NULL;
}

static void group_remove(sim_group *group, sim_member *member)
{
    sim_trace("group: n%d/%d (m%" PRId64 ") is no member any more", member->node, member->lane,
              member->id);
    int at = (int)(member - group->members);
    for (int i = at; i + 1 < group->member_count; i++) {
        group->members[i] = group->members[i + 1];
    }
    group->member_count--;
}

/* ---- who gets what --------------------------------------------------------------------------- */

static int group_count(sim_shards shards)
{
    int count = 0;
    for (; shards != 0; shards &= shards - 1) {
        count++;
    }
    return count;
}

static sim_member *group_extreme(sim_group *group, bool most)
{
    sim_member *found = &group->members[0];
    for (int i = 1; i < group->member_count; i++) {
        int difference = group_count(group->members[i].assigned) - group_count(found->assigned);
        if (most ? difference > 0 : difference < 0) {
            found = &group->members[i];
        }
    }
    return found;
}

static bool group_even_out(sim_group *group)
{
    sim_member *most = group_extreme(group, true);
    sim_member *least = group_extreme(group, false);
    if (group_count(most->assigned) - group_count(least->assigned) < 2) {
        return false;
    }
    sim_shards moved = most->assigned & (~most->assigned + 1);
    most->assigned &= ~moved;
    least->assigned |= moved;
    return true;
}

/* Everybody keeps what it has, what is nobody's goes to those with the least, and then it is evened out.
 * What moves is nobody's until its former owner has joined without it. */
static void group_assign(sim_group *group)
{
    sim_shards owned = 0;
    for (int i = 0; i < group->member_count; i++) {
        sim_member *member = &group->members[i];
        ALV_ASSERT((member->owned & owned) == 0);
        member->assigned = member->owned;
        owned |= member->owned;
    }
    if (group->member_count == 0) {
        return;
    }
    for (int32_t shard = group->shard_count - 1; shard >= 0; shard--) {
        if ((owned >> shard & 1) == 0) {
            group_extreme(group, false)->assigned |= (sim_shards)1 << shard;
        }
    }
    while (group_even_out(group)) {
        continue;
    }
    for (int i = 0; i < group->member_count; i++) {
        group->members[i].assigned &= group->members[i].owned | ~owned;
    }
}

/* ---- rebalances ------------------------------------------------------------------------------ */

static void group_begin_rebalance(sim_group *group, int64_t now_ms)
{
    if (group->is_rebalancing) {
        return;
    }
    group->is_rebalancing = true;
    group->rebalance_ends_ms = now_ms + GROUP_REBALANCE_MS;
    for (int i = 0; i < group->member_count; i++) {
        group->members[i].has_joined = false;
    }
}

static void group_finish_if_complete(sim_group *group)
{
    if (!group->is_rebalancing) {
        return;
    }
    for (int i = 0; i < group->member_count; i++) {
        if (!group->members[i].has_joined) {
            return;
        }
    }
    group->is_rebalancing = false;
    group->generation++;
    group->rebalances++;
    group_assign(group);
    for (int i = 0; i < group->member_count; i++) {
        const sim_member *member = &group->members[i];
        sim_trace("group: generation %" PRId64 ": n%d/%d (m%" PRId64 ") has %02x",
                  group->generation, member->node, member->lane, member->id,
                  (unsigned)member->assigned);
    }
}

/* Whether a shard waits for its former owner to join without it. */
static bool group_has_orphans(const sim_group *group)
{
    sim_shards assigned = 0;
    for (int i = 0; i < group->member_count; i++) {
        assigned |= group->members[i].assigned;
    }
    return assigned != ((sim_shards)1 << group->shard_count) - 1;
}

/* A new life of a static member: it is given the seat, and what belongs to it, at once. If its former life was to
 * give a shard back, and did not get that far, Kafka leaves the shard to nobody until something else makes the
 * group rebalance; here that is at once. */
static int64_t group_take_seat(sim_group *group, int64_t now_ms, sim_member *seat)
{
    seat->id = ++group->last_id;
    seat->session_ends_ms = now_ms + group->session_ms;
    seat->owned = 0;
    if (!group->is_rebalancing && group_has_orphans(group)) {
        group_begin_rebalance(group, now_ms);
    }
    if (group->is_rebalancing) {
        seat->has_joined = true;
        group_finish_if_complete(group);
    }
    sim_trace("group: n%d/%d is m%" PRId64 " now", seat->node, seat->lane, seat->id);
    return seat->id;
}

int64_t sim_group_join(sim_group *group, int64_t now_ms, int node, int lane, int64_t id,
                       sim_shards owned)
{
    sim_member *member = id == 0 ? group_seat(group, node, lane) : group_member(group, id);
    if (id == 0 && member != NULL) {
        return group_take_seat(group, now_ms, member);
    }
    if (member == NULL && id != 0) {
        return 0;
    }
    group_begin_rebalance(group, now_ms);
    if (member == NULL) {
        ALV_ASSERT(group->member_count < SIM_MEMBERS_MAX);
        member = &group->members[group->member_count++];
        *member = (sim_member){.node = node, .lane = lane, .id = ++group->last_id};
        sim_trace("group: n%d/%d joins as m%" PRId64, node, lane, member->id);
    }
    member->has_joined = true;
    member->owned = owned;
    member->session_ends_ms = now_ms + group->session_ms;
    group_finish_if_complete(group);
    return member->id;
}

void sim_group_advertise(sim_group *group, int64_t id, int port)
{
    sim_member *member = group_member(group, id);
    if (member != NULL) {
        member->port = port;
    }
}

bool sim_group_sync(const sim_group *group, int64_t id, int64_t *out_generation,
                    sim_shards *out_assigned)
{
    const sim_member *member = sim_group_find(group, id);
    ALV_ASSERT(member != NULL);
    if (group->is_rebalancing) {
        return false;
    }
    *out_generation = group->generation;
    *out_assigned = member->assigned;
    return true;
}

sim_beat sim_group_beat(sim_group *group, int64_t now_ms, int node, int lane, int64_t id)
{
    sim_member *member = group_member(group, id);
    if (member == NULL) {
        return group_seat(group, node, lane) != NULL ? SIM_BEAT_FENCED : SIM_BEAT_UNKNOWN;
    }
    member->session_ends_ms = now_ms + group->session_ms;
    return group->is_rebalancing && !member->has_joined ? SIM_BEAT_REBALANCE : SIM_BEAT_OK;
}

static void group_expel(sim_group *group, int64_t now_ms, sim_member *member)
{
    group_remove(group, member);
    group_begin_rebalance(group, now_ms);
    group_finish_if_complete(group);
}

void sim_group_leave(sim_group *group, int64_t now_ms, int64_t id)
{
    sim_member *member = group_member(group, id);
    if (member != NULL) {
        group_expel(group, now_ms, member);
    }
}

bool sim_group_takes_offsets(const sim_group *group, int64_t id, int64_t generation)
{
    return sim_group_find(group, id) != NULL && generation == group->generation;
}

void sim_group_tick(sim_group *group, int64_t now_ms)
{
    bool is_late = group->is_rebalancing && now_ms >= group->rebalance_ends_ms;
    for (int i = group->member_count - 1; i >= 0; i--) {
        sim_member *member = &group->members[i];
        if (now_ms >= member->session_ends_ms || (is_late && !member->has_joined)) {
            group_expel(group, now_ms, member);
        }
    }
}
