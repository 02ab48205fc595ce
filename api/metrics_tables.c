/* metrics_tables.c — the copies of the global tables, for the page of metrics. */
#include <stdio.h>

#include "api/metrics_internal.h"

/* What a family says of a table. */
typedef double (*tables_value)(const alv_table_progress *progress);

static double tables_restored(const alv_table_progress *progress)
{
    return progress->is_restored;
}

static double tables_rows(const alv_table_progress *progress)
{
    return (double)progress->rows;
}

static double tables_bytes(const alv_table_progress *progress)
{
    return (double)progress->bytes;
}

static double tables_lag(const alv_table_progress *progress)
{
    return (double)progress->lag;
}

static double tables_unreadable(const alv_table_progress *progress)
{
    return (double)progress->unreadable;
}

static void tables_family(alv_tables *tables, alv_exposition *page, const char *name,
                          const char *help, tables_value value)
{
    alv_exposition_family(page, ALV_METRIC_GAUGE, name, help);
    for (size_t i = 0; i < alv_tables_list(tables)->count; i++) {
        alv_table_progress progress = alv_tables_progress(tables, i);
        alv_exposition_value(page, ALV_LABELS({"table", alv_tables_list(tables)->items[i].name}),
                             value(&progress));
    }
}

/* One number per partition: on all nodes that are not behind, the same ones. */
static void tables_versions(alv_tables *tables, alv_exposition *page)
{
    alv_tables_view *view = alv_tables_take(tables);
    alv_exposition_family(page, ALV_METRIC_GAUGE, "alluvium_table_version_offset",
                          "Version of a global table: up to where its topic is in the copy.");
    for (size_t i = 0; view != NULL && i < view->count; i++) {
        for (int32_t k = 0; k < view->items[i].partition_count; k++) {
            char partition[16];
            (void)snprintf(partition, sizeof partition, "%d", (int)k);
            alv_exposition_value(page,
                                 ALV_LABELS({"table", alv_tables_list(tables)->items[i].name},
                                            {"partition", partition}),
                                 (double)view->items[i].offsets[k]);
        }
    }
    alv_tables_release(view);
}

void alv_metrics_write_tables(const alv_api *api, alv_exposition *page)
{
    alv_tables *tables = api->options.tables;
    if (tables == NULL) {
        return;
    }
    tables_family(tables, page, "alluvium_table_restored",
                  "1 when the copy of a global table has had what was there at the start.",
                  tables_restored);
    tables_family(tables, page, "alluvium_table_rows", "Rows of a global table.", tables_rows);
    tables_family(tables, page, "alluvium_table_bytes",
                  "Memory of a global table's rows, estimated.", tables_bytes);
    tables_family(tables, page, "alluvium_table_lag_records",
                  "Offsets between the copy of a global table and the end of its topic.",
                  tables_lag);
    tables_family(tables, page, "alluvium_table_unreadable_records",
                  "Records of a global table that are not JSON, since it was read.",
                  tables_unreadable);
    tables_versions(tables, page);
}
