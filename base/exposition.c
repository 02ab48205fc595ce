#include "base/exposition.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"

void alv_exposition_init(alv_exposition *exposition, alv_bytes *out)
{
    *exposition = (alv_exposition){.out = out};
}

void alv_exposition_done(alv_exposition *exposition)
{
    alv_free(exposition->names);
    exposition->names = NULL;
}

/* ---- names and texts ------------------------------------------------------------------------- */

static bool exposition_ends_with(const char *name, const char *end)
{
    size_t size = strlen(name);
    size_t end_size = strlen(end);
    return size > end_size && strcmp(name + size - end_size, end) == 0;
}

static bool exposition_name_is_good(const char *name)
{
    return *name >= 'a' && *name <= 'z' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* Backslash and line feed, and in label values the quote, are escaped. */
static void exposition_escape(alv_bytes *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            alv_bytes_append_text(out, "\\n");
        } else if (*text == '\\' || *text == '"') {
            alv_bytes_printf(out, "\\%c", *text);
        } else {
            alv_bytes_append(out, text, 1);
        }
    }
}

static void exposition_label(alv_exposition *exposition, const char *name, const char *value)
{
    char *repaired = alv_strdup(value);
    alv_utf8_repair(repaired);
    alv_bytes_printf(exposition->out, "%s=\"", name);
    exposition_escape(exposition->out, repaired);
    alv_bytes_append_text(exposition->out, "\"");
    alv_free(repaired);
}

/* Name and labels of a sample. `bound` is the label "le" of a bucket, NULL elsewhere. */
static void exposition_series(alv_exposition *exposition, const char *suffix,
                              const alv_label *labels, const char *bound)
{
    alv_bytes *out = exposition->out;
    ALV_ASSERT(exposition->name_count > 0);
    alv_bytes_printf(out, "%s%s", exposition->names[exposition->name_count - 1], suffix);
    if (labels->name == NULL && bound == NULL) {
        return;
    }
    const char *before = "{";
    for (const alv_label *label = labels; label->name != NULL; label++) {
        ALV_ASSERT(exposition_name_is_good(label->name));
        alv_bytes_append_text(out, before);
        exposition_label(exposition, label->name, label->value);
        before = ",";
    }
    if (bound != NULL) {
        alv_bytes_append_text(out, before);
        exposition_label(exposition, "le", bound);
    }
    alv_bytes_append_text(out, "}");
}

/* ---- families and samples -------------------------------------------------------------------- */

void alv_exposition_family(alv_exposition *exposition, alv_metric_kind kind, const char *name,
                           const char *help)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    ALV_ASSERT(exposition_name_is_good(name));
    ALV_ASSERT((kind == ALV_METRIC_COUNTER) == exposition_ends_with(name, "_total"));
    for (size_t i = 0; i < exposition->name_count; i++) {
        ALV_ASSERT(strcmp(exposition->names[i], name) != 0);
    }
    size_t size = (exposition->name_count + 1) * sizeof *exposition->names;
    exposition->names = alv_realloc(exposition->names, size);
    exposition->names[exposition->name_count++] = name;
    exposition->kind = kind;
    alv_bytes_printf(exposition->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                     kinds[kind]);
}

void alv_exposition_value(alv_exposition *exposition, const alv_label *labels, double value)
{
    ALV_ASSERT(exposition->kind != ALV_METRIC_HISTOGRAM);
    exposition_series(exposition, "", labels, NULL);
    alv_bytes_printf(exposition->out, " %.15g\n", value);
}

void alv_exposition_count(alv_exposition *exposition, const alv_label *labels, uint64_t value)
{
    ALV_ASSERT(exposition->kind != ALV_METRIC_HISTOGRAM);
    exposition_series(exposition, "", labels, NULL);
    alv_bytes_printf(exposition->out, " %" PRIu64 "\n", value);
}

void alv_exposition_histogram(alv_exposition *exposition, const alv_label *labels,
                              const alv_histogram *histogram)
{
    alv_bytes *out = exposition->out;
    uint64_t count = 0;
    ALV_ASSERT(exposition->kind == ALV_METRIC_HISTOGRAM);
    for (int bucket = 0; bucket < ALV_HISTOGRAM_BOUNDS; bucket++) {
        char *bound = alv_format("%g", (double)alv_histogram_bounds_us[bucket] / 1e6);
        count += alv_counter_get(&histogram->buckets[bucket]);
        exposition_series(exposition, "_bucket", labels, bound);
        alv_bytes_printf(out, " %" PRIu64 "\n", count);
        alv_free(bound);
    }
    count += alv_counter_get(&histogram->buckets[ALV_HISTOGRAM_BOUNDS]);
    exposition_series(exposition, "_bucket", labels, "+Inf");
    alv_bytes_printf(out, " %" PRIu64 "\n", count);
    exposition_series(exposition, "_sum", labels, NULL);
    alv_bytes_printf(out, " %.9g\n", (double)alv_counter_get(&histogram->sum_us) / 1e6);
    exposition_series(exposition, "_count", labels, NULL);
    alv_bytes_printf(out, " %" PRIu64 "\n", count);
}

void alv_exposition_one(alv_exposition *exposition, alv_metric_kind kind, const char *name,
                        const char *help, double value)
{
    alv_exposition_family(exposition, kind, name, help);
    alv_exposition_value(exposition, ALV_LABELS_NONE, value);
}
