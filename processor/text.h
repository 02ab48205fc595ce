/* text.h — text from outside, made fit for one line of a log, a header or a reply.
 *
 * Why:    keys, commands and a behavior's own words end up in messages for operators. They must not
 *         bring control characters along, nor broken UTF-8, nor more than a bounded number of
 *         bytes.
 * Thread: any; pure.
 * Owns:   nothing; results are in the caller's memory.
 */
#ifndef ALV_PROCESSOR_TEXT_H
#define ALV_PROCESSOR_TEXT_H

#include <stdarg.h>

#include "base/bytes.h"

/* Copies `text` into `out` of `size` > 0 bytes, NUL-terminated: cut between characters, every
 * control character (NUL is one) a space, every byte that is not UTF-8 a "?". Returns the
 * length. */
size_t alv_text_copy(alv_view text, char *out, size_t size);

/* The same for a formatted text, of which at most 1,023 bytes are looked at. */
size_t alv_text_vprintf(char *out, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* A value in quotes, as messages show it: "text", or "te..." when it is long. */
#define ALV_TEXT_QUOTED_BYTES 80
typedef struct alv_quoted {
    char text[ALV_TEXT_QUOTED_BYTES];
} alv_quoted;

alv_quoted alv_text_quote(alv_view text);

#endif
