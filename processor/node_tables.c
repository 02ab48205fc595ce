#include "processor/node_tables.h"

#include <stdio.h>

#include "base/assert.h"

void alv_node_tables_init(alv_node_tables *node_tables, const alv_settings *settings,
                          const alv_topic_info topics[ALV_TOPICS_MAX])
{
    alv_table_list list;
    alv_status status = alv_table_list_parse(settings->global_tables, &list, NULL);
    ALV_ASSERT(status == ALV_OK); /* it was checked with the configuration */
    for (size_t i = 0; i < list.count; i++) {
        const alv_topic_info *topic = &topics[ALV_TOPIC_OF_TABLE(i)];
        alv_table_source *source = &node_tables->sources[i];
        source->partition_count = topic->shards;
        (void)snprintf(source->topic_id, sizeof source->topic_id, "%s", topic->id);
    }
    node_tables->tables = list.count > 0 ? alv_tables_new(&list) : NULL;
}

alv_status alv_node_tables_start(alv_node_tables *node_tables,
                                 const alv_table_follower_options *options, alv_error *err)
{
    if (node_tables->tables == NULL) {
        return ALV_OK;
    }
    alv_table_follower_options all = *options;
    all.tables = node_tables->tables;
    all.sources = node_tables->sources;
    alv_status status = alv_table_follower_new(&all, &node_tables->follower, err);
    if (status == ALV_OK) {
        alv_table_follower_start(node_tables->follower);
    }
    return status;
}

bool alv_node_tables_ready(const alv_node_tables *node_tables, char *why, size_t size)
{
    return node_tables->tables == NULL || alv_tables_ready(node_tables->tables, why, size);
}

void alv_node_tables_stop(alv_node_tables *node_tables)
{
    if (node_tables->follower != NULL) {
        alv_table_follower_stop(node_tables->follower);
    }
}

void alv_node_tables_done(alv_node_tables *node_tables)
{
    alv_table_follower_free(node_tables->follower);
    alv_tables_free(node_tables->tables);
}
