/* exposition.h — writes metrics in the text format that Prometheus reads (version 0.0.4).
 *
 * Why:    the format has rules that are easy to break one line at a time: HELP and TYPE once per family,
 *         all samples of a family together, no series twice, escapes, cumulated buckets. They are kept
 *         here, and the callers name families and values.
 * Thread: one at a time.
 * Owns:   nothing; text is appended to the caller's bytes. Names, helps and label names are literals.
 * Fails:  never; a name that is not allowed, or a family that was begun before, is a bug and asserted.
 */
#ifndef ALV_BASE_EXPOSITION_H
#define ALV_BASE_EXPOSITION_H

#include "base/bytes.h"
#include "base/metric.h"

#define ALV_EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

typedef enum alv_metric_kind {
    ALV_METRIC_COUNTER,
    ALV_METRIC_GAUGE,
    ALV_METRIC_HISTOGRAM,
} alv_metric_kind;

/* A list of labels ends with one without a name. */
typedef struct alv_label {
    const char *name;  /* a literal */
    const char *value; /* any text; bytes that are not UTF-8 become '?' */
} alv_label;

#define ALV_LABELS_NONE ((const alv_label[]){{NULL, NULL}})
#define ALV_LABELS(...) ((const alv_label[]){__VA_ARGS__, {NULL, NULL}})

typedef struct alv_exposition {
    alv_bytes *out;     /* the caller's */
    const char **names; /* of the families so far */
    size_t name_count;
    alv_metric_kind kind; /* of the family under way */
} alv_exposition;

void alv_exposition_init(alv_exposition *exposition, alv_bytes *out);
void alv_exposition_done(alv_exposition *exposition);

/* Begins a family; its samples follow. `name` ends with its unit, a counter's with "_total" besides. */
void alv_exposition_family(alv_exposition *exposition, alv_metric_kind kind, const char *name,
                           const char *help);

/* A sample of the family under way. */
void alv_exposition_value(alv_exposition *exposition, const alv_label *labels, double value);
void alv_exposition_count(alv_exposition *exposition, const alv_label *labels, uint64_t value);
void alv_exposition_histogram(alv_exposition *exposition, const alv_label *labels,
                              const alv_histogram *histogram);

/* A family of one sample without labels. */
void alv_exposition_one(alv_exposition *exposition, alv_metric_kind kind, const char *name,
                        const char *help, double value);

#endif
