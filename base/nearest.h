/* nearest.h — the known word that a mistyped one was probably meant to be.
 *
 * Why:    a typing error is answered with the word that was meant, for settings and subcommands
 *         alike.
 * Thread: any.
 * Limits: words longer than ALV_NEAREST_BYTES_MAX are near to nothing.
 */
#ifndef ALV_BASE_NEAREST_H
#define ALV_BASE_NEAREST_H

#include <stddef.h>

#define ALV_NEAREST_BYTES_MAX 64

/* The name with the smallest edit distance to `word` (the first one of several), or NULL when none
 * is near: at most a third of the word's letters may differ, and at least one may. */
const char *alv_nearest(const char *word, const char *const *names, size_t count);

#endif
