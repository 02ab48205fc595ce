/* fuzz_target.h — what a fuzz target is, and how it takes its input apart.
 *
 * Why:    a target is one function over bytes; libFuzzer calls it with what it makes up, replay.c with the
 *         files of the corpus. Inputs are lines where that is possible, so that people can write and read
 *         them.
 * Thread: one.
 * Fails:  a property that does not hold is an ALV_ASSERT, which aborts; both drivers then name the input.
 */
#ifndef ALV_TESTS_SUPPORT_FUZZ_TARGET_H
#define ALV_TESTS_SUPPORT_FUZZ_TARGET_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* Each tests/fuzz/fuzz_*.c defines it. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

alv_view alv_fuzz_view(const uint8_t *data, size_t size);

/* Takes the first line off `rest`, without its "\n"; all of it when there is none. */
alv_view alv_fuzz_line(alv_view *rest);

/* Takes what stands before `separator` off `rest`, and the separator; all of it when there is none. */
alv_view alv_fuzz_field(alv_view *rest, char separator);

/* Takes the first byte off `rest`; 0 when it is empty. */
unsigned alv_fuzz_byte(alv_view *rest);

/* Who refuses says why, in one line of UTF-8. */
void alv_fuzz_check_refusal(const alv_error *err);

#endif
