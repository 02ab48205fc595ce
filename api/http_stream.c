#include "api/http_stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "api/exchange_internal.h"
#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"

/* What the library is asked to read at a time; lines are short. */
#define STREAM_BLOCK_BYTES 4096

struct alv_http_stream {
    pthread_mutex_t lock; /* guards all below but `references` */
    alv_bytes waiting;    /* written and not yet sent */
    struct MHD_Connection *connection;
    bool suspended; /* the library waits to be told that there is more */
    bool ended;     /* by its holder: nothing comes after `waiting` */
    bool gone;      /* nobody listens any more */
    atomic_int references;
};

static void stream_lock(alv_http_stream *stream)
{
    int failed = pthread_mutex_lock(&stream->lock);
    ALV_ASSERT(failed == 0);
}

static void stream_unlock(alv_http_stream *stream)
{
    int failed = pthread_mutex_unlock(&stream->lock);
    ALV_ASSERT(failed == 0);
}

static void stream_unref(alv_http_stream *stream)
{
    if (atomic_fetch_sub(&stream->references, 1) > 1) {
        return;
    }
    alv_bytes_done(&stream->waiting);
    (void)pthread_mutex_destroy(&stream->lock); /* nobody holds it */
    alv_free(stream);
}

/* Under the lock, so that a resume always meets the suspend it belongs to. */
static void stream_resume(alv_http_stream *stream)
{
    if (!stream->suspended) {
        return;
    }
    stream->suspended = false;
    MHD_resume_connection(stream->connection);
}

/* ---- the library's side ---------------------------------------------------------------------- */

static ssize_t stream_take(alv_http_stream *stream, char *out, size_t capacity)
{
    size_t size = stream->waiting.size < capacity ? stream->waiting.size : capacity;
    memcpy(out, stream->waiting.data, size);
    stream->waiting.size -= size;
    memmove(stream->waiting.data, stream->waiting.data + size, stream->waiting.size);
    return (ssize_t)size;
}

/* Asked by the library for more; nothing and no suspend would make it ask again without a pause. */
static ssize_t stream_read(void *payload, uint64_t position, char *out, size_t capacity)
{
    (void)position;
    alv_http_stream *stream = payload;
    ssize_t size = 0;
    stream_lock(stream);
    if (stream->gone) {
        size = MHD_CONTENT_READER_END_WITH_ERROR; /* too far behind */
    } else if (stream->waiting.size > 0) {
        size = stream_take(stream, out, capacity);
    } else if (stream->ended) {
        size = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        stream->suspended = true;
        MHD_suspend_connection(stream->connection);
    }
    stream_unlock(stream);
    return size;
}

/* The connection is gone, or everything was sent. */
static void stream_release(void *payload)
{
    alv_http_stream *stream = payload;
    stream_lock(stream);
    ALV_ASSERT(!stream->suspended);
    stream->gone = true;
    stream_unlock(stream);
    stream_unref(stream);
}

struct MHD_Response *alv_http_stream_response(alv_http_stream *stream)
{
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read,
                                             stream, stream_release);
}

/* ---- the holder's side ----------------------------------------------------------------------- */

alv_http_stream *alv_http_stream_new(void)
{
    alv_http_stream *stream = alv_alloc(sizeof *stream);
    int failed = pthread_mutex_init(&stream->lock, NULL);
    ALV_ASSERT(failed == 0);
    atomic_store(&stream->references, 1);
    return stream;
}

void alv_http_stream_attach(alv_http_stream *stream, alv_exchange *exchange)
{
    ALV_ASSERT(!exchange->deferred && !exchange->answered && stream->connection == NULL);
    atomic_fetch_add(&stream->references, 1);
    stream->connection = exchange->connection; /* read only once the library asks for more */
    exchange->stream = stream;
    exchange->answered = true;
}

bool alv_http_stream_write(alv_http_stream *stream, alv_view text)
{
    stream_lock(stream);
    ALV_ASSERT(!stream->ended);
    if (stream->waiting.size + text.size > ALV_HTTP_STREAM_BYTES_MAX) {
        stream->gone = true;
    }
    bool listening = !stream->gone;
    if (listening) {
        alv_bytes_append(&stream->waiting, text.data, text.size);
    }
    stream_resume(stream);
    stream_unlock(stream);
    return listening;
}

void alv_http_stream_end(alv_http_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    stream_lock(stream);
    stream->ended = true;
    stream_resume(stream);
    stream_unlock(stream);
    stream_unref(stream);
}
