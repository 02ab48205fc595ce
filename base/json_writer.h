/* json_writer.h — compact text of jansson's values, several times faster than jansson writes it.
 *
 * Why:    a changed state is written once per transaction, and jansson's way took as long as executing three commands.
 * Rule:   the text is the one that json_dumpb writes with JSON_COMPACT | JSON_ENCODE_ANY: members in their order,
 *         the same escapes. Fractions, strings that are not UTF-8 and deep nesting are left to jansson.
 * Thread: any; pure.
 */
#ifndef ALV_BASE_JSON_WRITER_H
#define ALV_BASE_JSON_WRITER_H

#include <jansson.h>

#include "base/bytes.h"

/* Appends the text of a value. False, and `out` is as it was, for a value that JSON cannot express: one
 * that contains itself, or a string that is not UTF-8. */
bool alv_json_write(const json_t *value, alv_bytes *out);

#endif
