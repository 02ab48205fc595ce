#include "processor/shard.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"

alv_shard *alv_shard_new(int32_t number)
{
    alv_shard *shard = alv_alloc(sizeof *shard);
    shard->number = number;
    alv_timers_start(&shard->timers, 0, 0, 0);
    alv_overlay_init(&shard->overlay);
    return shard;
}

void alv_shard_free(alv_shard *shard)
{
    if (shard == NULL) {
        return;
    }
    alv_overlay_done(&shard->overlay);
    alv_table_record_done(&shard->tables);
    alv_timers_done(&shard->timers);
    alv_quarantine_done(&shard->quarantine);
    alv_free(shard);
}

bool alv_shard_may_start(const alv_shard *shard)
{
    return shard->must_start && !shard->paused && !shard->gives_way;
}

void alv_shard_consumed(alv_shard *shard, int64_t offset)
{
    ALV_ASSERT(offset >= shard->next_offset);
    ALV_ASSERT(shard->touched);
    shard->next_offset = offset + 1;
    shard->commands++;
}

void alv_shard_rewind(alv_shard *shard, alv_cache *cache)
{
    ALV_ASSERT(shard->committed_offset <= shard->next_offset);
    alv_overlay_drop(&shard->overlay, cache);
    alv_table_record_rewind(&shard->tables);
    alv_timers_rewind(&shard->timers, shard->committed_offset, shard->next_offset);
    alv_quarantine_rewind(&shard->quarantine);
    shard->next_offset = shard->committed_offset;
    shard->commands = 0;
    shard->touched = false;
    shard->must_start = !ALV_PLANTED(FORGET_REWIND);
    shard->singletons_begun = false;
}
