#include "api/shard_survey.h"

#include <string.h>

#include "api/api_internal.h"

/* What node `index` of the round says of a shard; NULL when it did not answer, or not about this one. */
static const json_t *survey_row(const alv_gathered *round, size_t index, int32_t shard)
{
    return json_array_get(json_object_get(round->nodes[index].view, "shards"), (size_t)shard);
}

static bool survey_is(const json_t *row, const char *name, const char *word)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text != NULL && strcmp(text, word) == 0;
}

/* A copy of a member, null when there is none. */
static json_t *survey_copy(const json_t *row, const char *name)
{
    json_t *member = json_object_get(row, name);
    return member != NULL ? json_deep_copy(member) : json_null();
}

/* ---- the owner ------------------------------------------------------------------------------- */

/* Who says that it has the shard: its own directory is the truth. While a shard moves two may say so for a
 * moment; the one that works counts. NULL: nobody says so. */
static const alv_gathered_node *survey_holder(const alv_gathered *round, int32_t shard,
                                              const json_t **out_row)
{
    const alv_gathered_node *holder = NULL;
    *out_row = NULL;
    for (size_t i = 0; i < round->count; i++) {
        const json_t *row = survey_row(round, i, shard);
        if (row == NULL || survey_is(row, "state", "unassigned")) {
            continue;
        }
        if (holder == NULL || survey_is(row, "state", "active")) {
            holder = &round->nodes[i];
            *out_row = row;
        }
    }
    return holder;
}

static const alv_gathered_node *survey_find(const alv_gathered *round, const char *node_id)
{
    for (size_t i = 0; i < round->count; i++) {
        if (strcmp(round->nodes[i].node_id, node_id) == 0) {
            return &round->nodes[i];
        }
    }
    return NULL;
}

/* Nobody who answered has it: its owner by the group is silent, or it is on its way. */
static json_t *survey_unheld(const alv_api *api, const alv_gathered *round, int32_t shard)
{
    alv_peer owner;
    const char *state = "unassigned";
    json_t *who = json_null();
    if (alv_peers_owner(api->peers, shard, &owner)) {
        const alv_gathered_node *node = survey_find(round, owner.node_id);
        state = node != NULL && node->view != NULL ? "unassigned" : "unknown";
        who = json_pack("{s:s, s:s}", "node", owner.node_id, "address", owner.address);
    }
    return json_pack("{s:i, s:s, s:n, s:o, s:n, s:n, s:n, s:n, s:n, s:n, s:n}", "shard", (int)shard,
                     "state", state, "paused", "owner", who, "lane", "lag", "commands", "position",
                     "restore", "restored", "target");
}

static json_t *survey_held(const alv_gathered_node *holder, const json_t *row, int32_t shard)
{
    return json_pack(
        "{s:i, s:o, s:o, s:{s:s, s:s}, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "shard", (int)shard,
        "state", survey_copy(row, "state"), "paused", survey_copy(row, "paused"), "owner", "node",
        holder->node_id, "address", holder->address, "lane", survey_copy(row, "lane"), "lag",
        survey_copy(row, "commands_lag"), "commands", survey_copy(row, "commands"), "position",
        survey_copy(row, "position"), "restore", survey_copy(row, "restore"), "restored",
        survey_copy(row, "restored"), "target", survey_copy(row, "target"));
}

/* ---- standbys -------------------------------------------------------------------------------- */

/* Behind the owner; or, while it is not heard, behind the end of the changelog that the replica last saw. */
static json_t *survey_standby_lag(const json_t *owner_row, const json_t *row, json_int_t position)
{
    const json_t *at = json_object_get(json_object_get(owner_row, "position"), "changelog");
    if (!json_is_integer(at)) {
        return survey_copy(row, "standby_lag");
    }
    json_int_t lag = json_integer_value(at) - position;
    return json_integer(lag > 0 ? lag : 0); /* the answers are not of the same moment */
}

static json_t *survey_standbys(const alv_gathered *round, int32_t shard, const json_t *owner_row)
{
    json_t *list = json_array();
    for (size_t i = 0; i < round->count; i++) {
        const json_t *row = survey_row(round, i, shard);
        if (!json_is_string(json_object_get(row, "standby"))) {
            continue;
        }
        json_int_t position =
            json_integer_value(json_object_get(json_object_get(row, "position"), "changelog"));
        json_t *standby = json_pack("{s:s, s:o, s:I, s:o, s:o}", "node", round->nodes[i].node_id,
                                    "state", survey_copy(row, "standby"), "position", position,
                                    "lag", survey_standby_lag(owner_row, row, position), "restore",
                                    survey_copy(row, "restore"));
        (void)json_array_append_new(list, standby); /* memory only, here and below */
    }
    return list;
}

void alv_shard_survey_compose(const alv_api *api, const alv_gathered *round, alv_answer *out)
{
    json_t *list = json_array();
    int32_t count = alv_directory_shard_count(api->options.directory);
    for (int32_t shard = 0; shard < count; shard++) {
        const json_t *row = NULL;
        const alv_gathered_node *holder = survey_holder(round, shard, &row);
        json_t *item =
            holder != NULL ? survey_held(holder, row, shard) : survey_unheld(api, round, shard);
        (void)json_object_set_new(item, "quarantined", survey_copy(row, "quarantined"));
        (void)json_object_set_new(item, "standbys", survey_standbys(round, shard, row));
        (void)json_array_append_new(list, item);
    }
    alv_answer_set_json(out, 200, list);
}
