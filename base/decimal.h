/* decimal.h — whole numbers in records of ours, as they are written there.
 *
 * Why:    strtoll takes blanks, a plus sign and zeros in front, needs a NUL behind the text, and says in errno
 *         that a number was too large. Records are compared with what we would have written.
 * Thread: any; pure.
 */
#ifndef ALV_BASE_DECIMAL_H
#define ALV_BASE_DECIMAL_H

#include <stdint.h>

#include "base/bytes.h"

/* Takes a number off the front of `text`: all int64_t as "%lld" writes them, and nothing else (no "007", "-0",
 * "+1"). False, with nothing changed, when there is none or it is out of range. */
bool alv_decimal_take(alv_view *text, int64_t *out);

#endif
