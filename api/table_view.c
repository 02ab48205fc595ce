#include "api/table_view.h"

#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/url.h"
#include "base/alloc.h"

#define TABLE_VIEW_KEY_BYTES_MAX 2048 /* of keys that can be asked for */
#define TABLE_VIEW_LIMIT_USUAL 100
#define TABLE_VIEW_LIMIT_MAX 1000
#define TABLE_VIEW_NUMBER_BYTES 8
/* A page ends behind the row that takes it beyond this, in the memory of the rows. */
#define TABLE_VIEW_PAGE_BYTES (4 * 1024 * 1024)

/* ---- tables ------------------------------------------------------------------------------------ */

static json_t *table_view_version(const alv_table *table)
{
    json_t *offsets = json_array();
    for (int32_t i = 0; i < table->partition_count; i++) {
        (void)json_array_append_new(offsets, json_integer(table->offsets[i])); /* memory only */
    }
    return json_pack("{s:s, s:o}", "topic", table->topic_id, "offsets", offsets);
}

static json_t *table_view_row(alv_tables *tables, const alv_tables_view *view, size_t number)
{
    const alv_table_item *item = &alv_tables_list(tables)->items[number];
    alv_table_progress progress = alv_tables_progress(tables, number);
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:s?, s:o}", "table", item->name, "topic",
                     item->topic, "restored", (int)progress.is_restored, "rows",
                     (json_int_t)progress.rows, "bytes", (json_int_t)progress.bytes, "unreadable",
                     (json_int_t)progress.unreadable, "lag", (json_int_t)progress.lag, "problem",
                     progress.problem[0] == '\0' ? NULL : progress.problem, "version",
                     view == NULL ? json_null() : table_view_version(&view->items[number]));
}

json_t *alv_table_view_json(const alv_api *api)
{
    alv_tables *tables = api->options.tables;
    json_t *list = json_array();
    if (tables == NULL) {
        return list;
    }
    alv_tables_view *view = alv_tables_take(tables);
    for (size_t i = 0; i < alv_tables_list(tables)->count; i++) {
        (void)json_array_append_new(list, table_view_row(tables, view, i)); /* memory only */
    }
    alv_tables_release(view);
    return list;
}

void alv_table_view_answer_all(const alv_api *api, alv_exchange *exchange)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_json(&answer, 200,
                        json_pack("{s:s, s:o}", "node", api->options.settings->node_id, "tables",
                                  alv_table_view_json(api)));
    alv_exchange_answer(exchange, &answer);
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* What a request asks for. */
typedef struct table_question {
    bool has_key;
    bool has_after;
    alv_bytes key;
    alv_bytes after;
    long limit;
} table_question;

static alv_status table_view_read_limit(const alv_exchange *exchange, long *out, alv_error *err)
{
    bool found = false;
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_status status =
        alv_exchange_query(exchange, "limit", TABLE_VIEW_NUMBER_BYTES, &found, &text, err);
    *out = TABLE_VIEW_LIMIT_USUAL;
    if (status == ALV_OK && found) {
        char *end = NULL;
        alv_bytes_append(&text, "", 1);
        *out = strtol(text.data, &end, 10);
        if (*end != '\0' || *out < 1 || *out > TABLE_VIEW_LIMIT_MAX) {
            status = alv_fail(err, ALV_REJECT, "limit must be a number from 1 to %d",
                              TABLE_VIEW_LIMIT_MAX);
        }
    }
    alv_bytes_done(&text);
    return status;
}

static alv_status table_view_read(const alv_exchange *exchange, table_question *out, alv_error *err)
{
    alv_status status = alv_exchange_query(exchange, "key", TABLE_VIEW_KEY_BYTES_MAX, &out->has_key,
                                           &out->key, err);
    if (status == ALV_OK) {
        status = alv_exchange_query(exchange, "after", TABLE_VIEW_KEY_BYTES_MAX, &out->has_after,
                                    &out->after, err);
    }
    if (status == ALV_OK) {
        status = table_view_read_limit(exchange, &out->limit, err);
    }
    if (status == ALV_OK && out->has_key && out->has_after) {
        status = alv_fail(err, ALV_REJECT, "key asks for one row, after for a list: not both");
    }
    return status;
}

/* Keys of topics may be any bytes; JSON has texts only. */
static json_t *table_view_key(alv_view key)
{
    json_t *text = json_stringn(key.data, key.size);
    return text != NULL ? text : json_null();
}

static json_t *table_view_page(const alv_table *table, const table_question *question)
{
    json_t *rows = json_array();
    alv_view at = question->has_after ? alv_bytes_view(&question->after) : ALV_VIEW_NONE;
    alv_view key = ALV_VIEW_NONE;
    json_t *value = NULL;
    size_t bytes = 0;
    bool more = alv_table_map_next(&table->rows, at, &key, &value);
    for (long i = 0; more && i < question->limit && bytes < TABLE_VIEW_PAGE_BYTES; i++) {
        (void)json_array_append_new(rows, json_pack("{s:o, s:O}", "key", table_view_key(key),
                                                    "value", value)); /* memory only */
        bytes += alv_table_map_bytes(&table->rows, key);
        at = key;
        more = alv_table_map_next(&table->rows, at, &key, &value);
    }
    return json_pack("{s:o, s:o}", "rows", rows, "after",
                     more && at.data != NULL ? table_view_key(at) : json_null());
}

static void table_view_tell(const alv_api *api, const alv_table_item *item, const alv_table *table,
                            const table_question *question, alv_answer *out)
{
    json_t *body = NULL;
    if (question->has_key) {
        alv_view key = alv_bytes_view(&question->key);
        json_t *value = alv_table_map_get(&table->rows, key);
        if (value == NULL) {
            alv_answer_set_problem(out, 404, "global table %s has no row %.*s", item->name,
                                   (int)key.size, key.data);
            return;
        }
        body = json_pack("{s:o, s:O}", "key", table_view_key(key), "value", value);
    } else {
        body = table_view_page(table, question);
    }
    (void)json_object_set_new(body, "table", json_string(item->name)); /* memory only */
    (void)json_object_set_new(body, "node", json_string(api->options.settings->node_id));
    (void)json_object_set_new(body, "version", table_view_version(table));
    alv_answer_set_json(out, 200, body);
}

/* ALV_TABLE_NONE when there is none. */
static size_t table_view_find(const alv_api *api, alv_view encoded)
{
    alv_bytes name = ALV_BYTES_EMPTY;
    size_t number = ALV_TABLE_NONE;
    if (api->options.tables != NULL &&
        alv_url_decode(encoded, ALV_TABLE_NAME_BYTES, &name, NULL) == ALV_OK) {
        alv_bytes_append(&name, "", 1);
        number = alv_table_list_find(alv_tables_list(api->options.tables), name.data);
    }
    alv_bytes_done(&name);
    return number;
}

static void table_view_look(const alv_api *api, const alv_exchange *exchange, size_t number,
                            alv_answer *out)
{
    table_question question = {.key = ALV_BYTES_EMPTY};
    alv_error err = ALV_ERROR_NONE;
    alv_tables_view *view = alv_tables_take(api->options.tables);
    if (table_view_read(exchange, &question, &err) != ALV_OK) {
        alv_answer_set_problem(out, 400, "%s", err.text);
    } else if (view == NULL) {
        alv_answer_set_problem(out, 503, "the global tables are being restored");
    } else {
        table_view_tell(api, &alv_tables_list(api->options.tables)->items[number],
                        &view->items[number], &question, out);
    }
    alv_tables_release(view);
    alv_bytes_done(&question.key);
    alv_bytes_done(&question.after);
}

void alv_table_view_answer(const alv_api *api, alv_exchange *exchange, alv_view table)
{
    alv_answer answer = ALV_ANSWER_NONE;
    size_t number = table_view_find(api, table);
    if (number == ALV_TABLE_NONE) {
        alv_answer_set_problem(&answer, 404, "there is no global table %.*s: see /v1/tables",
                               (int)table.size, table.data);
    } else {
        table_view_look(api, exchange, number, &answer);
    }
    alv_exchange_answer(exchange, &answer);
}
