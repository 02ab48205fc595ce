/* utf8.h — what is well-formed UTF-8 (RFC 3629), and how to write a code point.
 *
 * Why:    keys, messages and settings come from outside; JSON and PostgreSQL refuse text that is
 *         not UTF-8, so it is checked or repaired where it comes in.
 * Thread: any.
 * Fails:  never.
 */
#ifndef ALV_BASE_UTF8_H
#define ALV_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALV_UTF8_BYTES_MAX 4 /* of one code point */

/* Length of the well-formed sequence at the start of `data`: 1..4, or 0 when there is none.
 * Overlong forms, surrogates and code points above U+10FFFF are not well-formed. */
size_t alv_utf8_sequence(const char *data, size_t size);

bool alv_utf8_valid(const char *data, size_t size);

/* Replaces each byte of a NUL-terminated text that is not part of a well-formed sequence by '?'; a
 * sequence cut off by the end of the text goes away whole. */
void alv_utf8_repair(char *text);

/* Writes `code_point` (not a surrogate, at most U+10FFFF) and returns its length. */
size_t alv_utf8_encode(uint32_t code_point, char out[ALV_UTF8_BYTES_MAX]);

#endif
