/* json_reader.h — jansson's values from text, several times faster than jansson reads it.
 *
 * Why:    reading commands and states was half of what a command cost: jansson takes a text byte by byte
 *         through four layers of functions. Here the plain texts, which are nearly all, are read in one pass.
 * Rule:   what is read is what jansson would have made of it. Whatever is not plain — an escape in a string, a
 *         fraction or an exponent, a number of more than 18 digits, a member given twice, a long name, deep nesting,
 *         anything wrong — is left to jansson from the start, so its rules and its error texts hold everywhere.
 * Thread: any; pure.
 */
#ifndef ALV_BASE_JSON_READER_H
#define ALV_BASE_JSON_READER_H

#include <jansson.h>

#include "base/bytes.h"

/* As json_loadb with these flags; a new reference, NULL with `error` filled in. `text` may be absent, which is an empty one. */
json_t *alv_json_read(alv_view text, size_t flags, json_error_t *error);

#endif
