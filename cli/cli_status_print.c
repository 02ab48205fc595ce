/* cli_status_print.c — see cli_status_internal.h. */
#include <inttypes.h>
#include <string.h>

#include "cli/cli_status_internal.h"
#include "cli/cli_table.h"

#define STATUS_BAR_COLUMNS 10

/* ---- pieces ---------------------------------------------------------------------------------- */

static const char *status_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}

/* A number, or "-" where the node knows none. */
static void status_add_number(alv_cli_table *table, const json_t *number)
{
    if (json_is_integer(number)) {
        alv_cli_table_add(table, "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    } else {
        alv_cli_table_add(table, "-");
    }
}

/* ["a","b"] -> "a,b" */
static void status_add_list(alv_cli_table *table, const json_t *list)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        alv_bytes_printf(&text, "%s%s", i > 0 ? "," : "", json_string_value(item));
    }
    alv_cli_table_add(table, "%.*s", (int)text.size, text.size > 0 ? text.data : "");
    alv_bytes_done(&text);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static const char *status_ready(const json_t *node)
{
    const json_t *ready = json_object_get(node, "ready");
    return json_is_boolean(ready) ? (json_is_true(ready) ? "yes" : "no") : "-";
}

static void status_print_nodes(const json_t *cluster, alv_bytes *out)
{
    static const char *const titles[] = {"NODE",   "ADDRESS",  "STATE",   "READY", "LANES",
                                         "SHARDS", "STANDBYS", "VERSION", "ROLES", "DUTIES"};
    alv_cli_table table;
    size_t i;
    json_t *node;
    alv_cli_table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        alv_cli_table_add(&table, "%s", status_text(node, "node"));
        alv_cli_table_add(&table, "%s", status_text(node, "address"));
        alv_cli_table_add(&table, "%s", status_text(node, "state"));
        alv_cli_table_add(&table, "%s", status_ready(node));
        alv_cli_table_add(&table, "%zu", json_array_size(json_object_get(node, "lanes")));
        status_add_number(&table, json_object_get(node, "shards"));
        status_add_number(&table, json_object_get(node, "standbys"));
        alv_cli_table_add(&table, "%s", status_text(node, "version"));
        status_add_list(&table, json_object_get(node, "roles"));
        status_add_list(&table, json_object_get(node, "duties"));
    }
    alv_cli_table_print(&table, out);
    alv_cli_table_done(&table);
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        if (json_is_string(json_object_get(node, "reason"))) {
            alv_bytes_printf(out, "%s: %s\n", status_text(node, "node"),
                             status_text(node, "reason"));
        }
    }
}

/* ---- global tables --------------------------------------------------------------------------- */

/* [12,40] -> "12,40" */
static void status_add_offsets(alv_cli_table *table, const json_t *version)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    size_t i;
    json_t *offset;
    json_array_foreach(json_object_get(version, "offsets"), i, offset)
    {
        alv_bytes_printf(&text, "%s%" JSON_INTEGER_FORMAT, i > 0 ? "," : "",
                         json_integer_value(offset));
    }
    alv_cli_table_add(table, "%.*s", (int)text.size, text.size > 0 ? text.data : "-");
    alv_bytes_done(&text);
}

static void status_add_tables(alv_cli_table *out, const json_t *node)
{
    size_t i;
    json_t *table;
    json_array_foreach(json_object_get(node, "tables"), i, table)
    {
        alv_cli_table_add(out, "%s", status_text(table, "table"));
        alv_cli_table_add(out, "%s", status_text(node, "node"));
        status_add_number(out, json_object_get(table, "rows"));
        status_add_number(out, json_object_get(table, "lag"));
        status_add_offsets(out, json_object_get(table, "version"));
        alv_cli_table_add(out, "%s", status_text(table, "problem"));
    }
}

/* Nothing when no node has any. */
static void status_print_tables(const json_t *cluster, alv_bytes *out)
{
    static const char *const titles[] = {"TABLE", "NODE", "ROWS", "LAG", "VERSION", "PROBLEM"};
    alv_cli_table table;
    size_t i;
    json_t *node;
    size_t shown = 0;
    alv_cli_table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
    {
        shown += json_array_size(json_object_get(node, "tables"));
        status_add_tables(&table, node);
    }
    if (shown > 0) {
        alv_bytes_append_text(out, "\n");
        alv_cli_table_print(&table, out);
    }
    alv_cli_table_done(&table);
}

/* ---- shards ---------------------------------------------------------------------------------- */

/* "###....... 31 %, 12 s left" */
static void status_append_progress(alv_bytes *out, const json_t *restore)
{
    double records = json_number_value(json_object_get(restore, "records"));
    double target = json_number_value(json_object_get(restore, "target"));
    double share = target > 0 ? records / target : 0;
    share = share > 1 ? 1 : share;
    for (int i = 0; i < STATUS_BAR_COLUMNS; i++) {
        alv_bytes_append_text(out, i < (int)(share * STATUS_BAR_COLUMNS) ? "#" : ".");
    }
    alv_bytes_printf(out, " %.0f %%", share * 100);
    const json_t *left_ms = json_object_get(restore, "eta_ms");
    if (json_is_integer(left_ms)) {
        alv_bytes_printf(out, ", %.0f s left", json_number_value(left_ms) / 1000);
    }
}

static void status_add_progress(alv_cli_table *table, const json_t *shard)
{
    const json_t *restore = json_object_get(shard, "restore");
    alv_bytes text = ALV_BYTES_EMPTY;
    if (json_is_object(restore)) {
        status_append_progress(&text, restore);
    }
    alv_cli_table_add(table, "%.*s", (int)text.size, text.size > 0 ? text.data : "");
    alv_bytes_done(&text);
}

/* "node-2 hot 0, node-3 catching-up ####...... 40 %" */
static void status_add_standbys(alv_cli_table *table, const json_t *shard)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    size_t i;
    json_t *standby;
    json_array_foreach(json_object_get(shard, "standbys"), i, standby)
    {
        const json_t *lag = json_object_get(standby, "lag");
        const json_t *restore = json_object_get(standby, "restore");
        alv_bytes_printf(&text, "%s%s %s", i > 0 ? ", " : "", status_text(standby, "node"),
                         status_text(standby, "state"));
        if (json_is_integer(lag)) {
            alv_bytes_printf(&text, " -%" JSON_INTEGER_FORMAT, json_integer_value(lag));
        }
        if (json_is_object(restore)) {
            alv_bytes_append_text(&text, " ");
            status_append_progress(&text, restore);
        }
    }
    alv_cli_table_add(table, "%.*s", (int)text.size, text.size > 0 ? text.data : "-");
    alv_bytes_done(&text);
}

static bool status_is_paused(const json_t *shard)
{
    return json_is_true(json_object_get(shard, "paused"));
}

static bool status_is_quiet(const json_t *shard)
{
    return strcmp(status_text(shard, "state"), "active") == 0 && !status_is_paused(shard);
}

static void status_add_shard(alv_cli_table *table, const json_t *shard)
{
    const json_t *position = json_object_get(shard, "position");
    status_add_number(table, json_object_get(shard, "shard"));
    alv_cli_table_add(table, "%s%s", status_text(shard, "state"),
                      status_is_paused(shard) ? ", paused" : "");
    alv_cli_table_add(table, "%s", status_text(json_object_get(shard, "owner"), "node"));
    status_add_number(table, json_object_get(shard, "lag"));
    status_add_number(table, json_object_get(position, "commands"));
    status_add_number(table, json_object_get(position, "changelog"));
    status_add_standbys(table, shard);
    status_add_progress(table, shard);
}

static void status_print_shards(const json_t *shards, bool all_shards, alv_bytes *out)
{
    static const char *const titles[] = {"SHARD",    "STATE",     "OWNER",    "LAG",
                                         "COMMANDS", "CHANGELOG", "STANDBYS", "RESTORE"};
    alv_cli_table table;
    size_t i;
    json_t *shard;
    size_t shown = 0;
    alv_cli_table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(shards, i, shard)
    {
        if (all_shards || !status_is_quiet(shard)) {
            status_add_shard(&table, shard);
            shown++;
        }
    }
    if (shown > 0) {
        alv_bytes_append_text(out, "\n");
        alv_cli_table_print(&table, out);
    }
    alv_cli_table_done(&table);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static size_t status_count(const json_t *shards, const char *state)
{
    size_t count = 0;
    size_t i;
    json_t *shard;
    json_array_foreach(shards, i, shard)
    {
        count += strcmp(status_text(shard, "state"), state) == 0;
    }
    return count;
}

static void status_print_summary(const json_t *cluster, const json_t *shards, alv_bytes *out)
{
    static const char *const states[] = {"active", "restoring", "stopped", "unassigned", "unknown"};
    size_t i;
    json_t *shard;
    json_int_t lag = 0;
    size_t paused = 0;
    json_array_foreach(shards, i, shard)
    {
        lag += json_integer_value(json_object_get(shard, "lag"));
        paused += status_is_paused(shard);
    }
    alv_bytes_printf(out, "application %s, as %s sees it: %zu shards",
                     status_text(cluster, "application"), status_text(cluster, "node"),
                     json_array_size(shards));
    for (i = 0; i < sizeof states / sizeof states[0]; i++) {
        size_t count = status_count(shards, states[i]);
        if (count > 0) {
            alv_bytes_printf(out, ", %zu %s", count, states[i]);
        }
    }
    if (paused > 0) {
        alv_bytes_printf(out, ", %zu paused", paused);
    }
    alv_bytes_printf(out, "; %" JSON_INTEGER_FORMAT " commands wait\n\n", lag);
}

static void status_print_quarantine(const json_t *shards, alv_bytes *out)
{
    json_int_t count = 0;
    size_t i;
    json_t *shard;
    json_array_foreach(shards, i, shard)
    {
        count += json_integer_value(json_object_get(shard, "quarantined"));
    }
    if (count > 0) {
        alv_bytes_printf(out,
                         "\n%" JSON_INTEGER_FORMAT
                         " entities are quarantined: `alluvium quarantine list` tells why\n",
                         count);
    }
}

void alv_cli_status_print(const json_t *cluster, const json_t *shards, bool all_shards,
                          alv_bytes *out)
{
    size_t i;
    json_t *node;
    status_print_summary(cluster, shards, out);
    status_print_nodes(cluster, out);
    json_array_foreach(json_object_get(cluster, "unknown"), i, node)
    {
        alv_bytes_printf(out, "%s does not answer: what is its own is not known\n",
                         json_string_value(node));
    }
    status_print_tables(cluster, out);
    status_print_shards(shards, all_shards, out);
    status_print_quarantine(shards, out);
}
