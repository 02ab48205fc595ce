#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/cache_ghosts_internal.h"

#define GHOSTS_BUCKET 4 /* places in which a hash may be; a power of two */

void alv_ghosts_init(alv_ghosts *ghosts, size_t count)
{
    ALV_ASSERT(count >= GHOSTS_BUCKET && (count & (count - 1)) == 0);
    *ghosts = (alv_ghosts){
        .places = alv_alloc_array(count, sizeof *ghosts->places), .mask = count - 1, .clock = 1};
}

void alv_ghosts_done(alv_ghosts *ghosts)
{
    alv_free(ghosts->places);
    *ghosts = (alv_ghosts){0};
}

static alv_ghost *ghosts_bucket(const alv_ghosts *ghosts, uint32_t mark)
{
    return &ghosts->places[((size_t)mark * GHOSTS_BUCKET) & ghosts->mask];
}

/* How many have left since; the clock goes round, and what is that old is gone long before. */
static uint32_t ghosts_age(const alv_ghosts *ghosts, const alv_ghost *ghost)
{
    return ghost->left_at == 0 ? UINT32_MAX : ghosts->clock - ghost->left_at;
}

static void ghosts_put(alv_ghosts *ghosts, alv_ghost ghost)
{
    alv_ghost *bucket = ghosts_bucket(ghosts, ghost.mark);
    alv_ghost *oldest = bucket;
    for (int i = 1; i < GHOSTS_BUCKET; i++) {
        if (ghosts_age(ghosts, &bucket[i]) > ghosts_age(ghosts, oldest)) {
            oldest = &bucket[i];
        }
    }
    *oldest = ghost;
}

void alv_ghosts_grow(alv_ghosts *ghosts)
{
    alv_ghosts old = *ghosts;
    alv_ghosts_init(ghosts, 2 * (old.mask + 1));
    ghosts->clock = old.clock;
    for (size_t i = 0; i <= old.mask; i++) {
        if (old.places[i].left_at != 0) {
            ghosts_put(ghosts, old.places[i]);
        }
    }
    alv_ghosts_done(&old);
}

void alv_ghosts_add(alv_ghosts *ghosts, uint64_t hash)
{
    ghosts_put(ghosts, (alv_ghost){.mark = (uint32_t)(hash >> 32), .left_at = ghosts->clock});
    ghosts->clock += ghosts->clock == UINT32_MAX ? 2 : 1; /* never 0 */
}

bool alv_ghosts_take(alv_ghosts *ghosts, uint64_t hash, size_t count_max)
{
    uint32_t mark = (uint32_t)(hash >> 32);
    alv_ghost *bucket = ghosts_bucket(ghosts, mark);
    for (int i = 0; i < GHOSTS_BUCKET; i++) {
        if (bucket[i].mark == mark && ghosts_age(ghosts, &bucket[i]) <= count_max) {
            bucket[i] = (alv_ghost){0};
            return true;
        }
    }
    return false;
}
