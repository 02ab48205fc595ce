/* cache_ghosts_internal.h — who left the cache lately: hashes of keys, in the order in which they left.
 *
 * Why:    an entity that is wanted again soon after it was let go has been misjudged, and eviction
 *         (cache_evict.c) makes up for it.
 * Thread: the cache's.
 * Limits: 8 bytes per place. A place may be taken over by another hash, and of two hashes with the same
 *         upper half one may be taken for the other; either costs a wrong guess.
 */
#ifndef ALV_STATESTORE_CACHE_GHOSTS_INTERNAL_H
#define ALV_STATESTORE_CACHE_GHOSTS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct alv_ghost {
    uint32_t mark;    /* the upper half of the hash */
    uint32_t left_at; /* 0 = nobody */
} alv_ghost;

typedef struct alv_ghosts {
    alv_ghost *places;
    size_t mask; /* places - 1; a power of two */
    uint32_t clock;
} alv_ghosts;

/* `count` is a power of two, at least 4. */
void alv_ghosts_init(alv_ghosts *ghosts, size_t count);
void alv_ghosts_done(alv_ghosts *ghosts);

/* Twice as many places. */
void alv_ghosts_grow(alv_ghosts *ghosts);

void alv_ghosts_add(alv_ghosts *ghosts, uint64_t hash);

/* Whether it is among the last `count_max` that left; it is none any more. */
bool alv_ghosts_take(alv_ghosts *ghosts, uint64_t hash, size_t count_max);

#endif
