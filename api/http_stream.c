#include "api/http_stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "api/exchange_internal.h"
#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"

/* What the library is asked to read at a time; its buffer for an answer is not much larger. */
#define STREAM_READ_BYTES 4096

struct alv_http_stream {
    pthread_mutex_t lock;    /* guards all below but `references` */
    alv_http_block **blocks; /* written and not yet sent: a ring */
    size_t capacity;         /* a power of two, or 0 */
    size_t first;
    size_t count;
    size_t sent;    /* bytes of the first block */
    size_t waiting; /* bytes of all blocks, without those that are sent */
    size_t waiting_max;
    const char *content_type;
    struct MHD_Connection *connection; /* while the response lives */
    bool suspended;                    /* the library waits to be told that there is more */
    bool ended;                        /* by its holder: nothing comes after what waits */
    bool gone;                         /* nobody listens any more */
    bool cut;                          /* because it was too far behind */
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

/* ---- what waits ------------------------------------------------------------------------------ */

static void stream_grow(alv_http_stream *stream)
{
    size_t capacity = stream->capacity > 0 ? 2 * stream->capacity : 4;
    alv_http_block **blocks = alv_alloc_array(capacity, sizeof(alv_http_block *));
    for (size_t i = 0; i < stream->count; i++) {
        blocks[i] = stream->blocks[(stream->first + i) & (stream->capacity - 1)];
    }
    alv_free(stream->blocks);
    stream->blocks = blocks;
    stream->capacity = capacity;
    stream->first = 0;
}

/* Takes over a reference. */
static void stream_push(alv_http_stream *stream, alv_http_block *block)
{
    if (stream->count == stream->capacity) {
        stream_grow(stream);
    }
    stream->blocks[(stream->first + stream->count) & (stream->capacity - 1)] = block;
    stream->count++;
    stream->waiting += alv_http_block_text(block).size;
}

static void stream_drop_first(alv_http_stream *stream)
{
    alv_http_block *block = stream->blocks[stream->first];
    stream->waiting -= alv_http_block_text(block).size - stream->sent;
    stream->first = (stream->first + 1) & (stream->capacity - 1);
    stream->count--;
    stream->sent = 0;
    alv_http_block_unref(block);
}

static void stream_drop_all(alv_http_stream *stream)
{
    while (stream->count > 0) {
        stream_drop_first(stream);
    }
    ALV_ASSERT(stream->waiting == 0);
}

static void stream_unref(alv_http_stream *stream)
{
    if (atomic_fetch_sub(&stream->references, 1) > 1) {
        return;
    }
    stream_drop_all(stream);
    alv_free(stream->blocks);
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

/* A client that does not read keeps the library waiting for its socket; without this, until the
 * idle time-out. The library gives the response back before it closes the socket, so under the lock
 * it is still this connection's. */
static void stream_give_up(alv_http_stream *stream)
{
    stream->cut = stream->cut || !stream->gone;
    stream->gone = true;
    stream_drop_all(stream);
    if (stream->connection == NULL) {
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    ALV_ASSERT(info != NULL);
    (void)shutdown(info->connect_fd, SHUT_RDWR); /* the client may have done it before */
    stream_resume(stream);
}

/* ---- the library's side ---------------------------------------------------------------------- */

static ssize_t stream_take(alv_http_stream *stream, char *out, size_t capacity)
{
    size_t taken = 0;
    while (stream->count > 0 && taken < capacity) {
        alv_view text = alv_http_block_text(stream->blocks[stream->first]);
        size_t left = text.size - stream->sent;
        size_t size = left < capacity - taken ? left : capacity - taken;
        memcpy(out + taken, text.data + stream->sent, size);
        taken += size;
        stream->sent += size;
        stream->waiting -= size;
        if (size == left) {
            stream_drop_first(stream);
        }
    }
    return (ssize_t)taken;
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
    } else if (stream->waiting > 0) {
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
    stream->connection = NULL;
    stream->gone = true;
    stream_drop_all(stream);
    stream_unlock(stream);
    stream_unref(stream);
}

struct MHD_Response *alv_http_stream_response(alv_http_stream *stream,
                                              struct MHD_Connection *connection)
{
    stream_lock(stream);
    stream->connection = connection;
    stream_unlock(stream);
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_READ_BYTES, stream_read,
                                             stream, stream_release);
}

const char *alv_http_stream_content_type(const alv_http_stream *stream)
{
    return stream->content_type;
}

void alv_http_stream_abandon(alv_http_stream *stream)
{
    stream_release(stream);
}

/* ---- the holder's side ----------------------------------------------------------------------- */

alv_http_stream *alv_http_stream_new(size_t bytes_max)
{
    alv_http_stream *stream = alv_alloc(sizeof *stream);
    int failed = pthread_mutex_init(&stream->lock, NULL);
    ALV_ASSERT(failed == 0);
    stream->waiting_max = bytes_max;
    atomic_store(&stream->references, 1);
    return stream;
}

/* The exchange is resumed last: from then on the server's thread may send and free it. */
void alv_http_stream_attach(alv_http_stream *stream, alv_exchange *exchange,
                            const char *content_type)
{
    ALV_ASSERT(!exchange->answered && stream->content_type == NULL);
    atomic_fetch_add(&stream->references, 1);
    stream->content_type = content_type;
    exchange->stream = stream;
    exchange->answered = true;
    if (exchange->deferred) {
        MHD_resume_connection(exchange->connection);
    }
}

bool alv_http_stream_share(alv_http_stream *stream, alv_http_block *block)
{
    size_t size = alv_http_block_text(block).size;
    stream_lock(stream);
    ALV_ASSERT(!stream->ended);
    if (stream->waiting > 0 && stream->waiting + size > stream->waiting_max) {
        stream_give_up(stream);
    }
    bool listening = !stream->gone;
    if (listening) {
        stream_push(stream, alv_http_block_ref(block));
        stream_resume(stream);
    }
    stream_unlock(stream);
    return listening;
}

bool alv_http_stream_write(alv_http_stream *stream, alv_view text)
{
    alv_http_block *block = alv_http_block_new(text, NULL);
    bool listening = alv_http_stream_share(stream, block);
    alv_http_block_unref(block);
    return listening;
}

size_t alv_http_stream_waiting(alv_http_stream *stream)
{
    stream_lock(stream);
    size_t waiting = stream->waiting;
    stream_unlock(stream);
    return waiting;
}

bool alv_http_stream_listening(alv_http_stream *stream)
{
    stream_lock(stream);
    bool listening = !stream->gone;
    stream_unlock(stream);
    return listening;
}

bool alv_http_stream_was_cut(alv_http_stream *stream)
{
    stream_lock(stream);
    bool cut = stream->cut;
    stream_unlock(stream);
    return cut;
}

void alv_http_stream_cut(alv_http_stream *stream)
{
    stream_lock(stream);
    stream_give_up(stream);
    stream_unlock(stream);
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
