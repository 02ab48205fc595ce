#include "api/twin.h"

#include <string.h>

#include "api/api_internal.h"
#include "api/http_get.h"
#include "api/http_limits.h"
#include "base/address.h"
#include "base/logger.h"

/* Whether whoever answers at `address` has this node's id and is another process of the application; the address
 * may be a stranger's by now. */
static bool twin_answers(const alv_api *api, const char *address)
{
    alv_bytes body = ALV_BYTES_EMPTY;
    int http_status = 0;
    if (alv_http_get(&api->security, address, "/v1/peers", ALV_TWIN_ANSWER_MS, &http_status, &body,
                     NULL) != ALV_OK ||
        http_status != 200) {
        alv_bytes_done(&body);
        return false;
    }
    json_t *answer = json_loadb(body.data, body.size, 0, NULL);
    const char *application = json_string_value(json_object_get(answer, "application"));
    const char *node_id = json_string_value(json_object_get(answer, "node"));
    const char *boot = json_string_value(json_object_get(answer, "boot"));
    bool is_twin = application != NULL && node_id != NULL && boot != NULL &&
                   strcmp(application, api->options.settings->application_id) == 0 &&
                   strcmp(node_id, api->options.settings->node_id) == 0 &&
                   strcmp(boot, alv_api_boot(api)) != 0;
    json_decref(answer);
    alv_bytes_done(&body);
    return is_twin;
}

static alv_status twin_check_members(const alv_api *api, const alv_members *members, alv_error *err)
{
    const char *node_id = api->options.settings->node_id;
    const char *asked = alv_api_advertise(api);
    for (size_t i = 0; i < members->count; i++) {
        const alv_member *member = &members->items[i];
        alv_address ignored;
        if (strcmp(member->node_id, node_id) != 0 || strcmp(member->address, asked) == 0 ||
            !alv_address_parse(member->address, &ignored)) {
            continue;
        }
        asked = member->address; /* lanes of one node follow each other more often than not */
        if (twin_answers(api, member->address)) {
            return alv_fail(err, ALV_REJECT,
                            "node.id=%s: a node of this id is running already, at %s; every node "
                            "needs an id of its own",
                            node_id, member->address);
        }
    }
    return ALV_OK;
}

/* With a handle of its own: the peers' thread has the other. */
static alv_status twin_ask_group(const alv_api *api, alv_members *out, alv_error *err)
{
    const alv_api_options *options = &api->options;
    if (options->members != NULL) {
        return options->members(options->members_payload, ALV_PEERS_CALL_MS, out, err);
    }
    alv_group_view *view = NULL;
    alv_status status = alv_group_view_open(options->config, &view, err);
    if (status == ALV_OK) {
        status = alv_group_view_members(view, ALV_PEERS_CALL_MS, out, err);
        alv_group_view_close(view);
    }
    return status;
}

alv_status alv_twin_check(const alv_api *api, alv_members *out, alv_error *err)
{
    *out = (alv_members){.count = 0};
    alv_error why = ALV_ERROR_NONE;
    alv_status status = twin_ask_group(api, out, &why);
    if (status != ALV_OK) {
        alv_log_error(ALV_LOG_WARN, "twin-unknown", &why, "node=%s",
                      api->options.settings->node_id);
        return ALV_OK;
    }
    return twin_check_members(api, out, err);
}
