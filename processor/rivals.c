#include "processor/rivals.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/logger.h"

struct alv_rivals {
    alv_directory *directory;
    const char *node_id;
    const alv_member **owners; /* by shard, during one answer; NULL = nobody is named */
    uint64_t
        *suspected;  /* by shard: its moves when the last answer named another; 0 = it did not */
    bool *elsewhere; /* by shard: said, and logged */
};

alv_rivals *alv_rivals_new(alv_directory *directory, const char *node_id)
{
    alv_rivals *rivals = alv_alloc(sizeof *rivals);
    size_t count = (size_t)alv_directory_shard_count(directory);
    rivals->directory = directory;
    rivals->node_id = node_id;
    rivals->owners = alv_alloc_array(count, sizeof *rivals->owners);
    rivals->suspected = alv_alloc_array(count, sizeof *rivals->suspected);
    rivals->elsewhere = alv_alloc_array(count, sizeof *rivals->elsewhere);
    return rivals;
}

void alv_rivals_free(alv_rivals *rivals)
{
    if (rivals == NULL) {
        return;
    }
    alv_free((void *)rivals->owners);
    alv_free(rivals->suspected);
    alv_free(rivals->elsewhere);
    alv_free(rivals);
}

static void rivals_find_owners(alv_rivals *rivals, const alv_members *members)
{
    int32_t count = alv_directory_shard_count(rivals->directory);
    memset((void *)rivals->owners, 0, (size_t)count * sizeof *rivals->owners);
    for (size_t i = 0; i < members->count; i++) {
        const alv_member *member = &members->items[i];
        for (size_t j = 0; j < member->shard_count; j++) {
            if (member->shards[j] >= 0 && member->shards[j] < count) {
                rivals->owners[member->shards[j]] = member;
            }
        }
    }
}

static void rivals_set(alv_rivals *rivals, int32_t shard, bool is_elsewhere)
{
    if (is_elsewhere && !rivals->elsewhere[shard]) {
        alv_log(ALV_LOG_WARN, "shard-elsewhere",
                "shard=%" PRId32 " node=%s msg=\"the group gave it away; not answered for here\"",
                shard, rivals->owners[shard]->node_id);
    }
    rivals->elsewhere[shard] = is_elsewhere;
    alv_directory_set_elsewhere(rivals->directory, shard, is_elsewhere);
}

static void rivals_look_at(alv_rivals *rivals, int32_t shard)
{
    const alv_member *owner = rivals->owners[shard];
    uint64_t moves = alv_directory_moves(rivals->directory, shard);
    bool is_active = alv_directory_view(rivals->directory, shard).state == ALV_SHARD_ACTIVE;
    if (owner == NULL && is_active && moves == rivals->suspected[shard]) {
        return; /* the group rebalances and names nobody: nothing new */
    }
    bool is_rival = is_active && owner != NULL && strcmp(owner->node_id, rivals->node_id) != 0;
    rivals_set(rivals, shard, is_rival && moves == rivals->suspected[shard]);
    rivals->suspected[shard] = is_rival ? moves : 0;
}

void alv_rivals_members_known(alv_rivals *rivals, const alv_members *members)
{
    rivals_find_owners(rivals, members);
    for (int32_t shard = 0; shard < alv_directory_shard_count(rivals->directory); shard++) {
        rivals_look_at(rivals, shard);
    }
}
