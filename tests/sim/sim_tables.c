#include "tests/sim/sim_tables.h"

#include <jansson.h>
#include <stdio.h>

#include "base/assert.h"

#define TABLE_TOPIC_ID "t1"

int64_t sim_table_value(int row, const sim_version *version)
{
    int64_t end = version->offsets[row % SIM_TABLE_PARTITIONS];
    int64_t last = end - 1;
    if (last >= 0 && last % 2 != row / SIM_TABLE_PARTITIONS) {
        last--;
    }
    return last >= 0 ? last + 1 : 0;
}

bool sim_version_covers(const sim_version *left, const sim_version *right)
{
    for (int i = 0; i < SIM_TABLE_PARTITIONS; i++) {
        if (left->offsets[i] < right->offsets[i]) {
            return false;
        }
    }
    return true;
}

void sim_tables_follow(alv_tables *tables, const sim_version *version)
{
    alv_table table = {.topic_id = TABLE_TOPIC_ID, .partition_count = SIM_TABLE_PARTITIONS};
    alv_table_map_init(&table.rows, 1);
    for (int i = 0; i < SIM_TABLE_PARTITIONS; i++) {
        table.offsets[i] = version->offsets[i];
    }
    for (int row = 0; row < SIM_TABLE_ROWS; row++) {
        int64_t value = sim_table_value(row, version);
        char key[8];
        (void)snprintf(key, sizeof key, "r%d", row);
        if (value > 0) {
            alv_table_map_put(&table.rows, alv_view_of(key),
                              json_pack("{s:I}", "v", (json_int_t)value), 8);
        }
    }
    alv_tables_publish(tables, &table);
    alv_table_map_done(&table.rows);
}

alv_tables *sim_tables_new(const sim_version *version)
{
    alv_table_list list;
    alv_status status = alv_table_list_parse(SIM_TABLE, &list, NULL);
    ALV_ASSERT(status == ALV_OK);
    alv_tables *tables = alv_tables_new(&list);
    sim_tables_follow(tables, version);
    return tables;
}

bool sim_version_read(alv_view text, sim_version *out)
{
    json_t *versions = text.data == NULL ? NULL : json_loadb(text.data, text.size, 0, NULL);
    const json_t *offsets = json_object_get(json_object_get(versions, SIM_TABLE), "offsets");
    bool good = json_array_size(offsets) == SIM_TABLE_PARTITIONS;
    for (size_t i = 0; good && i < SIM_TABLE_PARTITIONS; i++) {
        out->offsets[i] = json_integer_value(json_array_get(offsets, i));
    }
    json_decref(versions);
    return good;
}
