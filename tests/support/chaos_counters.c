#include "tests/support/chaos_counters.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* The offsets of the adds to one counter, ascending. */
typedef struct add_list {
    int64_t *offsets;
    size_t count;
    size_t room;
} add_list;

struct alv_chaos_counters {
    int count;
    _Atomic int64_t *produced;
    pthread_mutex_t lock; /* adds */
    add_list *adds;
};

alv_chaos_counters *alv_chaos_counters_new(int count)
{
    alv_chaos_counters *counters = alv_alloc(sizeof(*counters));
    counters->count = count;
    counters->produced = alv_alloc_array((size_t)count, sizeof(*counters->produced));
    counters->adds = alv_alloc_array((size_t)count, sizeof(*counters->adds));
    for (int i = 0; i < count; i++) {
        counters->produced[i] = 0;
        counters->adds[i] = (add_list){.offsets = NULL};
    }
    ALV_ASSERT(pthread_mutex_init(&counters->lock, NULL) == 0);
    return counters;
}

void alv_chaos_counters_free(alv_chaos_counters *counters)
{
    if (counters == NULL) {
        return;
    }
    for (int i = 0; i < counters->count; i++) {
        alv_free(counters->adds[i].offsets);
    }
    (void)pthread_mutex_destroy(&counters->lock);
    alv_free(counters->adds);
    alv_free((void *)counters->produced);
    alv_free(counters);
}

int alv_chaos_counters_count(const alv_chaos_counters *counters)
{
    return counters->count;
}

void alv_chaos_counters_note_produced(alv_chaos_counters *counters, int counter)
{
    counters->produced[counter]++;
}

void alv_chaos_counters_note_offset(alv_chaos_counters *counters, int counter, int64_t offset)
{
    (void)pthread_mutex_lock(&counters->lock);
    add_list *list = &counters->adds[counter];
    if (list->count == list->room) {
        list->room = list->room == 0 ? 16 : list->room * 2;
        int64_t *grown = alv_alloc_array(list->room, sizeof(*grown));
        if (list->count > 0) {
            memcpy(grown, list->offsets, list->count * sizeof(*grown));
        }
        alv_free(list->offsets);
        list->offsets = grown;
    }
    list->offsets[list->count++] = offset;
    (void)pthread_mutex_unlock(&counters->lock);
}

int64_t alv_chaos_counters_produced(const alv_chaos_counters *counters, int counter)
{
    return counters->produced[counter];
}

int64_t alv_chaos_counters_below(alv_chaos_counters *counters, int counter, int64_t offset)
{
    (void)pthread_mutex_lock(&counters->lock);
    const add_list *list = &counters->adds[counter];
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->offsets[middle] < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (void)pthread_mutex_unlock(&counters->lock);
    return (int64_t)low;
}
