/* alloc.h — memory that is there or the process is not.
 *
 * Why:    an allocation of bounded size fails only when the host is dying. Aborting with a message
 *         is safe here (I2, I6: nothing that was committed depends on this process), and no other
 *         code needs a path for it. Sizes from outside are checked against limits.h before they get
 *         here.
 * Thread: any.
 * Owns:   the result belongs to the caller and is released with alv_free.
 */
#ifndef ALV_BASE_ALLOC_H
#define ALV_BASE_ALLOC_H

#include <stddef.h>

/* `size` zeroed bytes. Never NULL; size 0 gives a unique pointer. */
void *alv_alloc(size_t size);

/* `count` * `size` zeroed bytes; an overflow of the product aborts. */
void *alv_alloc_array(size_t count, size_t size);

/* Grows or shrinks; the part past the old size is not initialised. */
void *alv_realloc(void *memory, size_t size);

/* A NUL-terminated copy of a string, or of the first `length` bytes of `data`. */
char *alv_strdup(const char *text);
char *alv_strndup(const char *data, size_t length);

/* A formatted string in new memory. */
char *alv_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* NULL is fine. */
void alv_free(void *memory);

#endif
