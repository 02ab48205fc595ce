#include "statestore/tables.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* `lock` is a leaf lock around `view` and `progress`. */
struct alv_tables {
    alv_table_list list;
    pthread_mutex_t lock;
    alv_tables_view *view; /* NULL before the first */
    alv_table_progress progress[ALV_TABLES_MAX];
};

alv_tables *alv_tables_new(const alv_table_list *list)
{
    alv_tables *tables = alv_alloc(sizeof *tables);
    tables->list = *list;
    pthread_mutex_init(&tables->lock, NULL);
    return tables;
}

void alv_tables_free(alv_tables *tables)
{
    if (tables == NULL) {
        return;
    }
    alv_tables_release(tables->view);
    pthread_mutex_destroy(&tables->lock);
    alv_free(tables);
}

const alv_table_list *alv_tables_list(const alv_tables *tables)
{
    return &tables->list;
}

/* ---- views ------------------------------------------------------------------------------------- */

bool alv_table_covers(const alv_table *left, const alv_table *right)
{
    if (strcmp(left->topic_id, right->topic_id) != 0) {
        return false;
    }
    for (size_t i = 0; i < ALV_TABLE_PARTITIONS_MAX; i++) {
        if (left->offsets[i] < right->offsets[i]) {
            return false;
        }
    }
    return true;
}

void alv_tables_release(alv_tables_view *view)
{
    if (view == NULL || atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (size_t i = 0; i < view->count; i++) {
        alv_table_map_done(&view->items[i].rows);
    }
    alv_free(view);
}

void alv_tables_publish(alv_tables *tables, const alv_table *items)
{
    size_t count = tables->list.count;
    alv_tables_view *view = alv_alloc(sizeof *view + count * sizeof view->items[0]);
    alv_tables_view *before = tables->view; /* nobody else changes it */
    atomic_init(&view->references, 1);
    view->serial = before == NULL ? 1 : before->serial + 1;
    view->count = count;
    for (size_t i = 0; i < count; i++) {
        ALV_ASSERT(before == NULL || alv_table_covers(&items[i], &before->items[i])); /* I12 */
        view->items[i] = items[i];
        view->items[i].rows = alv_table_map_share(&items[i].rows);
    }
    pthread_mutex_lock(&tables->lock);
    tables->view = view;
    pthread_mutex_unlock(&tables->lock);
    alv_tables_release(before);
}

alv_tables_view *alv_tables_take(alv_tables *tables)
{
    pthread_mutex_lock(&tables->lock);
    alv_tables_view *view = tables->view;
    if (view != NULL) {
        (void)atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&tables->lock);
    return view;
}

/* ---- progress ---------------------------------------------------------------------------------- */

void alv_tables_set_progress(alv_tables *tables, size_t table, const alv_table_progress *progress)
{
    ALV_ASSERT(table < tables->list.count);
    pthread_mutex_lock(&tables->lock);
    tables->progress[table] = *progress;
    pthread_mutex_unlock(&tables->lock);
}

alv_table_progress alv_tables_progress(alv_tables *tables, size_t table)
{
    ALV_ASSERT(table < tables->list.count);
    pthread_mutex_lock(&tables->lock);
    alv_table_progress progress = tables->progress[table];
    pthread_mutex_unlock(&tables->lock);
    return progress;
}

bool alv_tables_ready(alv_tables *tables, char *why, size_t size)
{
    for (size_t i = 0; i < tables->list.count; i++) {
        alv_table_progress progress = alv_tables_progress(tables, i);
        const char *name = tables->list.items[i].name;
        if (progress.problem[0] != '\0') {
            (void)snprintf(why, size, "global table %s: %s", name, progress.problem);
            return false;
        }
        if (!progress.is_restored) {
            (void)snprintf(why, size,
                           "global table %s is being restored: %" PRId64 " of %" PRId64 " records",
                           name, progress.read, progress.to_read);
            return false;
        }
    }
    return true;
}
