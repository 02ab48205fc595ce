/* base64url.h — bytes as text that fits URLs and headers (RFC 4648, section 5, without padding).
 *
 * Thread: any; pure.
 * Owns:   results are appended to the caller's buffer.
 */
#ifndef ALV_BASE_BASE64URL_H
#define ALV_BASE_BASE64URL_H

#include "base/bytes.h"

/* Appends `data` encoded: four characters for three bytes. */
void alv_base64url_encode(alv_view data, alv_bytes *out);

/* Appends what `text` encodes. False when it is not the encoding of anything; `out` may have grown
 * then. Each value has one encoding: unused bits must be 0. */
bool alv_base64url_decode(alv_view text, alv_bytes *out);

#endif
