/* lane_tables.c — which versions of global tables a shard has seen, when it comes to this lane. */
#include "processor/lane_internal.h"
#include "topics/schema.h"

alv_status alv_lane_tables_load(const alv_lane *lane, alv_shard *shard, alv_error *err)
{
    alv_store *store = lane->options.store;
    alv_bytes value = ALV_BYTES_EMPTY;
    bool found = false;
    if (lane->pin.tables == NULL) {
        return ALV_OK;
    }
    alv_status status = store->ops->get(store, shard->number, ALV_STORE_LEDGER,
                                        ALV_VIEW(ALV_TABLES_KEY), &found, &value, err);
    if (status != ALV_OK) {
        status = ALV_RETRY;
    } else {
        status = alv_table_record_load(&shard->tables,
                                       found ? alv_bytes_view(&value) : ALV_VIEW_NONE, err);
    }
    alv_bytes_done(&value);
    return status;
}

bool alv_lane_tables_cover(const alv_lane *lane, const alv_shard *shard, alv_error *why)
{
    if (lane->pin.tables == NULL) {
        return true;
    }
    alv_tables_view *view = alv_tables_take(lane->pin.tables);
    bool covered =
        view != NULL &&
        alv_table_record_is_covered(&shard->tables, alv_tables_list(lane->pin.tables), view, why);
    if (view == NULL) {
        (void)alv_fail(why, ALV_RETRY, "the global tables are not restored yet");
    }
    alv_tables_release(view);
    return covered;
}
