#include "api/node_view.h"

#include <string.h>

#include "api/api_internal.h"
#include "api/shard_list.h"
#include "api/table_view.h"

#define NODE_VIEW_REASON_BYTES 512

/* "a,b" -> ["a","b"] */
static json_t *node_view_roles(const char *roles)
{
    json_t *list = json_array();
    for (const char *at = roles; at != NULL && *at != '\0';) {
        size_t size = strcspn(at, ",");
        (void)json_array_append_new(list, json_stringn(at, size)); /* memory only */
        at += at[size] == ',' ? size + 1 : size;
    }
    return list;
}

/* [{"type", "version", "stateVersion", "library"}], the last null for what is built in. */
static json_t *node_view_behaviors(const alv_registry *registry)
{
    json_t *list = json_array();
    const alv_behavior *behavior;
    for (size_t i = 0; (behavior = alv_registry_at(registry, i)) != NULL; i++) {
        alv_origin origin = alv_registry_origin(registry, i);
        json_t *item =
            json_pack("{s:s, s:s, s:I, s:s?}", "type", behavior->type, "version", origin.version,
                      "stateVersion", (json_int_t)alv_registry_state_version(behavior), "library",
                      origin.library);
        (void)json_array_append_new(list, item);
    }
    return list;
}

json_t *alv_node_view_json(const alv_api *api)
{
    const alv_settings *settings = api->options.settings;
    char why[NODE_VIEW_REASON_BYTES] = "";
    bool ready = api->options.ready(api->options.ready_payload, why, sizeof why);
    return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:I, s:o, s:b, s:s?, s:o, s:o}", "node",
                     settings->node_id, "address", alv_api_advertise(api), "version", ALV_VERSION,
                     "application", settings->application_id, "roles",
                     node_view_roles(settings->node_roles), "lanes", (json_int_t)settings->lanes,
                     "behaviors", node_view_behaviors(api->options.registry), "ready", (int)ready,
                     "reason", ready ? NULL : why, "tables", alv_table_view_json(api), "shards",
                     alv_shard_list_rows(api));
}

void alv_node_view_answer(const alv_api *api, alv_answer *out)
{
    alv_answer_set_json(out, 200, alv_node_view_json(api));
}
