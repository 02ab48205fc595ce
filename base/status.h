/* status.h — what a call decided, and why.
 *
 * Why:    the return value is the decision, the error struct is the diagnosis. A caller switches
 *         over six reactions and never needs to know the codes of librdkafka, RocksDB or libpq.
 * Thread: any. An alv_error belongs to the caller, usually on its stack.
 * Fails:  never.
 */
#ifndef ALV_BASE_STATUS_H
#define ALV_BASE_STATUS_H

#include <stdbool.h>

typedef enum alv_status {
    ALV_OK,     /* done */
    ALV_RETRY,  /* not done; the same call may succeed later */
    ALV_REJECT, /* this input is bad: refuse or dead-letter it, go on with the next */
    ALV_ABORT,  /* the open transaction must be aborted, its input replayed */
    ALV_FENCED, /* another owner has taken over: drop the work and the shards */
    ALV_FATAL,  /* this component cannot go on */
} alv_status;

#define ALV_ERROR_TEXT_BYTES 512

/* Fixed-size diagnosis. Zero-initialise it (ALV_ERROR_NONE); the first error set wins, so that a
 * clean-up which fails as well does not hide the cause. Every function takes NULL for "not
 * wanted". */
typedef struct alv_error {
    alv_status status;
    const char *source; /* static: "alluvium", "rdkafka", "rocksdb", "libpq", "errno", ... */
    int code;           /* the source's own number, 0 when it has none */
    const char *file;   /* static, where it was set */
    int line;
    char text[ALV_ERROR_TEXT_BYTES]; /* one line, no capital, no full stop */
} alv_error;

#define ALV_ERROR_NONE ((alv_error){.status = ALV_OK})

/* Fills `err` (when not NULL and still empty) and returns `status`, so that failing is one line:
 *     return alv_fail(err, ALV_RETRY, "broker %s does not answer", name);
 */
#define alv_fail(err, status, ...) \
    alv_error_set((err), (status), "alluvium", 0, __FILE__, __LINE__, __VA_ARGS__)

/* The same for a failure that another library reported, with that library's own code. */
#define alv_fail_from(err, status, source, code, ...) \
    alv_error_set((err), (status), (source), (code), __FILE__, __LINE__, __VA_ARGS__)

alv_status alv_error_set(alv_error *err, alv_status status, const char *source, int code,
                         const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* Empties `err` so that it can take the next diagnosis. NULL is fine. */
void alv_error_clear(alv_error *err);

/* "ok", "retry", ... Static string. */
const char *alv_status_name(alv_status status);

#endif
