/* glob.h — matches text against a pattern with wildcards.
 *
 * Why:    people name groups of keys as they do in a shell. fnmatch(3) depends on the locale, treats
 *         bytes that are not text in it as no match, and takes exponential time for some patterns;
 *         patterns here come from anybody.
 * Thread: any; pure.
 * Fails:  ALV_REJECT: not a pattern, `err` says why and where.
 * Limits: time is at most length of pattern times length of text.
 *
 *     *         any run of characters, also none; "/" is nothing special
 *     ?         one character (a code point of UTF-8)
 *     [a-z_]    one of these; [!a-z] one that is not; "]" comes first, "-" first or last
 *     \x        x itself
 */
#ifndef ALV_BASE_GLOB_H
#define ALV_BASE_GLOB_H

#include "base/bytes.h"
#include "base/status.h"

/* Whether `text` is a pattern: UTF-8, every "[" closed, nothing missing behind the last "\". */
alv_status alv_glob_check(alv_view text, alv_error *err);

/* Whether the whole `text` (UTF-8) matches. `pattern` must have been checked. */
bool alv_glob_match(alv_view pattern, alv_view text);

/* The length of what every matching text begins with, as bytes of the pattern: up to the first
 * wildcard or "\". */
size_t alv_glob_literal(alv_view pattern);

#endif
