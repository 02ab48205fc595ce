/* properties.h — reads Kafka-style .properties text into key, value, line.
 *
 * Why:    operators of Kafka know the format; the rules are java.util.Properties': `key=value`,
 *         `key: value` or `key value`, `#` and `!` comments, `\` at the end continues a line,
 *         escapes \t \n \r \f \\ \uXXXX. Input is UTF-8.
 * Thread: one at a time.
 * Fails:  ALV_REJECT with "FILE:LINE: what" for a broken escape, an empty key, a key given twice.
 */
#ifndef ALV_BASE_PROPERTIES_H
#define ALV_BASE_PROPERTIES_H

#include "base/bytes.h"
#include "base/status.h"

typedef struct alv_property {
    char *key;
    char *value;
    int line; /* 1-based */
} alv_property;

typedef struct alv_properties {
    alv_property *items; /* in file order */
    size_t count;
} alv_properties;

/* Parses `text`; `name` is the file's name for messages. On failure `out` stays empty. */
alv_status alv_properties_parse(alv_view text, const char *name, alv_properties *out,
                                alv_error *err);

/* Reads and parses a file of at most 1 MiB. ALV_REJECT when it cannot be read. */
alv_status alv_properties_load(const char *path, alv_properties *out, alv_error *err);

void alv_properties_done(alv_properties *properties);

#endif
