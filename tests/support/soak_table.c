#include "tests/support/soak_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define SOAK_ROOM_FIRST 512

typedef struct soak_sample {
    double at_s;
    double values[ALV_SOAK_ROWS_MAX];
} soak_sample;

struct alv_soak_table {
    char *names[ALV_SOAK_ROWS_MAX];
    alv_trend_slack slacks[ALV_SOAK_ROWS_MAX];
    int row_count;
    soak_sample *samples;
    size_t count;
    size_t room;
};

alv_soak_table *alv_soak_table_new(void)
{
    alv_soak_table *table = alv_alloc(sizeof(*table));
    *table = (alv_soak_table){0};
    return table;
}

void alv_soak_table_free(alv_soak_table *table)
{
    for (int row = 0; row < table->row_count; row++) {
        alv_free(table->names[row]);
    }
    alv_free(table->samples);
    alv_free(table);
}

void alv_soak_table_add_row(alv_soak_table *table, const char *name, alv_trend_slack slack)
{
    ALV_ASSERT(table->row_count < ALV_SOAK_ROWS_MAX && table->count == 0);
    table->names[table->row_count] = alv_strdup(name);
    table->slacks[table->row_count++] = slack;
}

double *alv_soak_table_add_sample(alv_soak_table *table, double at_s)
{
    if (table->count == table->room) {
        table->room = table->room * 2 + SOAK_ROOM_FIRST;
        soak_sample *grown = alv_alloc_array(table->room, sizeof(*grown));
        if (table->count > 0) {
            memcpy(grown, table->samples, table->count * sizeof(*grown));
        }
        alv_free(table->samples);
        table->samples = grown;
    }
    soak_sample *sample = &table->samples[table->count++];
    sample->at_s = at_s;
    for (int row = 0; row < ALV_SOAK_ROWS_MAX; row++) {
        sample->values[row] = NAN;
    }
    return sample->values;
}

static alv_trend soak_trend(const alv_soak_table *table, int row)
{
    alv_trend_point *points = alv_alloc_array(table->count + 1, sizeof(*points));
    for (size_t i = 0; i < table->count; i++) {
        points[i] = (alv_trend_point){table->samples[i].at_s, table->samples[i].values[row]};
    }
    alv_trend trend = alv_trend_of(points, table->count);
    alv_free(points);
    return trend;
}

void alv_soak_table_print(const alv_soak_table *table)
{
    printf("%-34s %10s %10s %10s %10s\n", "mean of a tenth of the samples", "first", "middle",
           "last", "per hour");
    for (int row = 0; row < table->row_count; row++) {
        alv_trend t = soak_trend(table, row);
        printf("%-34s %10.1f %10.1f %10.1f %+10.1f  %s\n", table->names[row], t.first, t.middle,
               t.last, t.per_hour, alv_trend_verdict(&t, &table->slacks[row]));
    }
    (void)fflush(stdout);
}

json_t *alv_soak_table_rows(const alv_soak_table *table)
{
    json_t *rows = json_array();
    for (int row = 0; row < table->row_count; row++) {
        alv_trend t = soak_trend(table, row);
        if (t.count > 0) {
            /* JSON has no NAN: of a single sample there is no slope */
            json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f, s:f, s:s}", "what",
                                                  table->names[row], "first", t.first, "middle",
                                                  t.middle, "last", t.last, "per_hour",
                                                  isnan(t.per_hour) ? 0 : t.per_hour, "verdict",
                                                  alv_trend_verdict(&t, &table->slacks[row])));
        }
    }
    return rows;
}

json_t *alv_soak_table_samples(const alv_soak_table *table)
{
    json_t *samples = json_array();
    for (size_t i = 0; i < table->count; i++) {
        const soak_sample *sample = &table->samples[i];
        json_t *all = json_pack("{s:f}", "at_s", sample->at_s);
        for (int row = 0; row < table->row_count; row++) {
            if (!isnan(sample->values[row])) {
                json_object_set_new(all, table->names[row], json_real(sample->values[row]));
            }
        }
        json_array_append_new(samples, all);
    }
    return samples;
}
