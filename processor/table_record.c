#include "processor/table_record.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "statestore/codec.h"
#include "topics/schema.h"

void alv_table_record_done(alv_table_record *record)
{
    json_decref(record->recorded);
    json_decref(record->next);
    alv_bytes_done(&record->text);
    alv_bytes_done(&record->header);
    *record = (alv_table_record){0};
}

/* ---- one version ------------------------------------------------------------------------------- */

static json_t *version_of(const alv_table *table)
{
    json_t *offsets = json_array();
    for (int32_t i = 0; i < table->partition_count; i++) {
        (void)json_array_append_new(offsets, json_integer(table->offsets[i])); /* memory only */
    }
    json_t *version = json_pack("{s:s, s:o}", "topic", table->topic_id, "offsets", offsets);
    ALV_ASSERT(version != NULL);
    return version;
}

static bool version_is_valid(const json_t *version)
{
    size_t i;
    json_t *offset;
    const json_t *offsets = json_object_get(version, "offsets");
    bool valid = json_is_string(json_object_get(version, "topic")) && json_is_array(offsets) &&
                 json_array_size(offsets) <= ALV_TABLE_PARTITIONS_MAX;
    json_array_foreach(offsets, i, offset)
    {
        valid = valid && json_is_integer(offset);
    }
    return valid;
}

/* Whether the table is of the version's topic, so that the two can be compared. */
static bool version_is_comparable(const json_t *version, const alv_table *table)
{
    const char *topic = json_string_value(json_object_get(version, "topic"));
    return topic != NULL && strcmp(topic, table->topic_id) == 0;
}

/* The first partition of which the table has less than the version says; -1 when there is none. */
static int32_t version_missing(const json_t *version, const alv_table *table)
{
    size_t i;
    json_t *offset;
    json_array_foreach(json_object_get(version, "offsets"), i, offset)
    {
        if (table->offsets[i] < json_integer_value(offset)) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* ---- load, compare ----------------------------------------------------------------------------- */

alv_status alv_table_record_load(alv_table_record *record, alv_view text, alv_error *err)
{
    alv_table_record_done(record);
    if (text.data == NULL) {
        return ALV_OK;
    }
    alv_status status = alv_codec_decode(text, &record->recorded, err);
    const char *name;
    json_t *version;
    json_object_foreach(record->recorded, name, version)
    {
        if (status == ALV_OK && !version_is_valid(version)) {
            status = alv_fail(err, ALV_REJECT,
                              "the ledger's record of table versions is unreadable: something else "
                              "writes to this topic");
        }
    }
    return status;
}

bool alv_table_record_is_covered(const alv_table_record *record, const alv_table_list *list,
                                 const alv_tables_view *view, alv_error *err)
{
    for (size_t i = 0; record->recorded != NULL && i < list->count; i++) {
        const json_t *version = json_object_get(record->recorded, list->items[i].name);
        if (version == NULL || !version_is_comparable(version, &view->items[i])) {
            continue;
        }
        int32_t partition = version_missing(version, &view->items[i]);
        if (partition >= 0) {
            json_int_t seen = json_integer_value(
                json_array_get(json_object_get(version, "offsets"), (size_t)partition));
            (void)alv_fail(err, ALV_RETRY,
                           "this node's copy of global table %s has partition %" PRId32
                           " up to %" PRId64 ", the shard has seen it up to %" PRId64,
                           list->items[i].name, partition, view->items[i].offsets[partition],
                           (int64_t)seen);
            return false;
        }
    }
    return true;
}

/* ---- the open transaction ---------------------------------------------------------------------- */

/* Only what was looked at, so that a table that changes all the time is recorded for those it concerns. */
static json_t *record_versions_read(const alv_table_record *record, const alv_table_list *list,
                                    const alv_tables_view *view)
{
    json_t *versions = json_object();
    for (size_t i = 0; i < view->count; i++) {
        if ((record->read >> i & 1) != 0) {
            (void)json_object_set_new(versions, list->items[i].name,
                                      version_of(&view->items[i])); /* memory only */
        }
    }
    return versions;
}

/* Whether the ledger has these versions already; if it has others of the same topic, they are older (I12). */
static bool record_has(const alv_table_record *record, const alv_table_list *list,
                       const alv_tables_view *view, const json_t *versions)
{
    bool has_all = true;
    for (size_t i = 0; i < view->count; i++) {
        const json_t *now = json_object_get(versions, list->items[i].name);
        const json_t *before = json_object_get(record->recorded, list->items[i].name);
        if (now == NULL) {
            continue;
        }
        ALV_ASSERT(before == NULL || !version_is_comparable(before, &view->items[i]) ||
                   version_missing(before, &view->items[i]) < 0);
        has_all = has_all && before != NULL && json_equal(before, now);
    }
    return has_all;
}

const alv_store_write *alv_table_record_prepare(alv_table_record *record,
                                                const alv_table_list *list,
                                                const alv_tables_view *view)
{
    ALV_ASSERT(record->read != 0 && record->next == NULL);
    json_t *versions = record_versions_read(record, list, view);
    alv_bytes_clear(&record->header);
    alv_codec_encode(versions, &record->header);
    if (record_has(record, list, view, versions)) {
        json_decref(versions);
        return NULL;
    }
    record->next = record->recorded == NULL ? json_object() : json_copy(record->recorded);
    (void)json_object_update(record->next, versions); /* memory only */
    json_decref(versions);
    alv_bytes_clear(&record->text);
    alv_codec_encode(record->next, &record->text);
    record->write = (alv_store_write){.kind = ALV_STORE_LEDGER,
                                      .key = ALV_VIEW(ALV_TABLES_KEY),
                                      .value = alv_bytes_view(&record->text)};
    return &record->write;
}

void alv_table_record_commit(alv_table_record *record)
{
    record->read = 0;
    if (record->next != NULL) {
        json_decref(record->recorded);
        record->recorded = record->next;
        record->next = NULL;
    }
}

void alv_table_record_rewind(alv_table_record *record)
{
    record->read = 0;
    json_decref(record->next);
    record->next = NULL;
}
