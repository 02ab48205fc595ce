/* json_schema.h — whether a JSON value is as a schema says: the part of JSON Schema 2020-12 that
 * api/openapi.json uses.
 *
 * Why:    a description that nobody checks is wrong after a while. No library for this can be relied upon
 *         everywhere, and the part that is needed is small. A keyword that is not known here fails the check,
 *         so that nothing is passed over in silence.
 * Thread: any.
 * Owns:   nothing.
 * Limits: type, const, enum, properties, required, additionalProperties (true, false), items, minimum, maximum,
 *         minLength, maxLength, oneOf, anyOf, $ref to a place in the same document; annotations.
 */
#ifndef ALV_TESTS_SUPPORT_JSON_SCHEMA_H
#define ALV_TESTS_SUPPORT_JSON_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

/* The value that a reference ("#/components/...") stands for; NULL when there is none. Borrowed. */
const json_t *alv_json_schema_resolve(const json_t *document, const char *reference);

/* False: `why` says what is wrong, and where in the value. */
bool alv_json_schema_check(const json_t *document, const json_t *schema, const json_t *value,
                           char *why, size_t size);

#endif
