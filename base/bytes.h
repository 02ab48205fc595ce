/* bytes.h — borrowed and owned runs of bytes.
 *
 * Why:    keys and values come from Kafka, RocksDB and HTTP with a length and without a NUL. A view
 *         borrows them, an alv_bytes owns a growable copy; the type says which.
 * Thread: any, one at a time.
 * Owns:   alv_bytes owns its memory until alv_bytes_done; alv_view owns nothing, and whoever hands
 *         one out says until when it is valid.
 */
#ifndef ALV_BASE_BYTES_H
#define ALV_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>

/* data == NULL means "absent" (a null key, a tombstone), which is not the same as empty. */
typedef struct alv_view {
    const char *data;
    size_t size; /* bytes */
} alv_view;

#define ALV_VIEW_NONE ((alv_view){NULL, 0})
#define ALV_VIEW(literal) ((alv_view){(literal), sizeof(literal) - 1})
#define ALV_VIEW_LITERAL(literal)      \
    {                                  \
        (literal), sizeof(literal) - 1 \
    } /* in a static initialiser */

/* A view of a NUL-terminated string, valid as long as the string; NULL gives ALV_VIEW_NONE. */
alv_view alv_view_of(const char *text);

/* Equal length and content. Two absent views are equal; absent and empty are not. */
bool alv_view_equal(alv_view left, alv_view right);

bool alv_view_starts_with(alv_view view, alv_view prefix);

typedef struct alv_bytes {
    char *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
} alv_bytes;

#define ALV_BYTES_EMPTY ((alv_bytes){NULL, 0, 0})

/* Makes room for at least `capacity` bytes in all. */
void alv_bytes_reserve(alv_bytes *bytes, size_t capacity);

/* `data` must not lie inside `bytes`. */
void alv_bytes_append(alv_bytes *bytes, const void *data, size_t size);
void alv_bytes_append_text(alv_bytes *bytes, const char *text);
void alv_bytes_printf(alv_bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Replaces the content. */
void alv_bytes_set(alv_bytes *bytes, const void *data, size_t size);

/* Empties it and keeps the memory for the next use. */
void alv_bytes_clear(alv_bytes *bytes);

/* Valid until the next change of `bytes`. Never absent: without content it is an empty view, so
 * that an empty buffer cannot become a tombstone by accident. */
alv_view alv_bytes_view(const alv_bytes *bytes);

/* Frees the memory; the struct is empty and usable again. NULL is fine. */
void alv_bytes_done(alv_bytes *bytes);

#endif
