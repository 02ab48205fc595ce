/* url.h — percent-encoding of keys in paths (RFC 3986).
 *
 * Why:    a key is any UTF-8 text and may contain "/", "?" and "%". It is decoded exactly once;
 *         twice would make "%2541" and "%41" the same entity.
 * Thread: any.
 * Fails:  ALV_REJECT, with what is wrong and where.
 */
#ifndef ALV_API_URL_H
#define ALV_API_URL_H

#include "base/bytes.h"
#include "base/status.h"

/* Replaces the content of `out` by `encoded` with its %XX decoded. "+" is itself. ALV_REJECT: a
 * broken escape, a NUL byte, not UTF-8, empty, or longer than `size_max` bytes when decoded. */
alv_status alv_url_decode(alv_view encoded, size_t size_max, alv_bytes *out, alv_error *err);

/* Appends `text` with every byte encoded that is not a letter, a digit or one of "-._~". */
void alv_url_encode(alv_view text, alv_bytes *out);

#endif
