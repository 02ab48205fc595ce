#include "api/shard_list.h"

#include "api/api_internal.h"
#include "topics/record.h"

/* Whoever the group says; a shard that is here is ours even before the group's answer says so. */
static json_t *shard_list_owner(const alv_api *api, int32_t shard, const alv_shard_view *view)
{
    alv_peer peer;
    if (view->state != ALV_SHARD_UNASSIGNED) {
        return json_pack("{s:s, s:s, s:i}", "node", api->options.settings->node_id, "address",
                         alv_api_advertise(api), "lane", (int)view->lane);
    }
    if (alv_peers_owner(api->peers, shard, &peer)) {
        return json_pack("{s:s, s:s, s:i}", "node", peer.node_id, "address", peer.address, "lane",
                         (int)peer.lane);
    }
    return json_null();
}

/* What this node keeps of a shard that is another's. */
static json_t *shard_list_standby(const alv_shard_view *view)
{
    if (!view->is_standby) {
        return json_null();
    }
    return json_string(view->is_hot ? "hot" : "catching-up");
}

/* What was seen of the topic's end may be older than the position. */
static json_t *shard_list_commands_lag(const alv_api *api, int32_t shard)
{
    alv_shard_view view = alv_directory_view(api->options.directory, shard);
    if (view.state != ALV_SHARD_ACTIVE || view.commands_end == ALV_OFFSET_NONE) {
        return json_null();
    }
    int64_t lag = view.commands_end - view.position.commands;
    return json_integer(lag > 0 ? lag : 0);
}

/* Entities that are; null where nobody knows, because the shard is not executed here. */
static json_t *shard_list_quarantined(const alv_api *api, int32_t shard)
{
    alv_shard_view view = alv_directory_view(api->options.directory, shard);
    return view.state == ALV_SHARD_ACTIVE ? json_integer(view.quarantined) : json_null();
}

/* How far the restore, or the standby that catches up, is; null while there is neither. */
static json_t *shard_list_restore(const alv_shard_view *view)
{
    if (!alv_shard_view_is_behind(view)) {
        return json_null();
    }
    json_t *eta = view->restore_eta_ms < 0 ? json_null() : json_integer(view->restore_eta_ms);
    double share = view->restore_target > 0
                       ? (double)view->restored_records / (double)view->restore_target
                       : 0.0;
    return json_pack("{s:I, s:I, s:I, s:f, s:o}", "records", (json_int_t)view->restored_records,
                     "target", (json_int_t)view->restore_target, "bytes",
                     (json_int_t)view->restored_bytes, "share", share > 1 ? 1.0 : share, "eta_ms",
                     eta);
}

/* How far the replica here is behind the owner; null when there is none. */
static json_t *shard_list_standby_lag(const alv_shard_view *view)
{
    return view->is_standby ? json_integer(alv_shard_view_lag(view)) : json_null();
}

static json_t *shard_list_row(const alv_api *api, int32_t shard)
{
    alv_shard_view view = alv_directory_view(api->options.directory, shard);
    json_t *lane = view.lane < 0 ? json_null() : json_integer(view.lane);
    return json_pack(
        "{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}, s:I, s:I, s:I}", "shard",
        (int)shard, "state", alv_shard_state_name(view.state), "lane", lane, "owner",
        shard_list_owner(api, shard, &view), "standby", shard_list_standby(&view), "standby_lag",
        shard_list_standby_lag(&view), "restore", shard_list_restore(&view), "position", "commands",
        (json_int_t)view.position.commands, "changelog", (json_int_t)view.position.changelog,
        "ledger", (json_int_t)view.position.ledger, "commands", (json_int_t)view.commands_done,
        "restored", (json_int_t)view.restored_records, "target", (json_int_t)view.restore_target);
}

json_t *alv_shard_list_rows(const alv_api *api)
{
    json_t *list = json_array();
    int32_t count = alv_directory_shard_count(api->options.directory);
    for (int32_t shard = 0; shard < count; shard++) {
        json_t *row = shard_list_row(api, shard);
        bool paused = alv_directory_view(api->options.directory, shard).is_paused;
        (void)json_object_set_new(row, "paused", json_boolean(paused));
        (void)json_object_set_new(row, "quarantined", shard_list_quarantined(api, shard));
        (void)json_object_set_new(row, "commands_lag", shard_list_commands_lag(api, shard));
        (void)json_array_append_new(list, row); /* out of memory only, here and above */
    }
    return list;
}
