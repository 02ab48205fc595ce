#include "api/http_connections.h"

#include <linux/tcp.h> /* struct tcp_info as the kernel has it, with the bytes received */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/inbox.h"
#include "base/logger.h"

const alv_http_patience alv_http_patience_usual = {
    .head_ms = ALV_HTTP_HEAD_MS,
    .body_ms = ALV_HTTP_BODY_MS,
    .send_ms = ALV_HTTP_SEND_MS,
    .look_ms = ALV_HTTP_PATIENCE_LOOK_MS,
};

struct alv_http_connection {
    int fd;
    bool surplus;
    int note;
    atomic_int phase;      /* alv_http_phase; the server's thread writes */
    atomic_uint changes;   /* of the phase */
    unsigned seen_changes; /* all below: the looking thread */
    int64_t since_us;      /* that phase was seen first; of an idle one, the head */
    uint64_t idle_bytes;   /* received when it was seen idle first */
    alv_http_connection *next;
    alv_http_connection *previous;
};

struct alv_http_connections {
    alv_http_patience patience;
    unsigned limit;
    atomic_bool pressing;
    pthread_mutex_t lock; /* guards the list: who is in it has an open socket */
    alv_http_connection *list;
    unsigned count;
    alv_inbox *stop; /* nothing is posted; closing it ends the wait */
    pthread_t thread;
    bool started; /* and not yet joined; main only */
};

/* Connections are files, of which Debian allows a process 1,024 unless it asks for more. */
unsigned alv_http_connections_limit(void)
{
    struct rlimit files;
    const rlim_t wanted = ALV_HTTP_CONNECTIONS_MAX + ALV_HTTP_SURPLUS_MAX + ALV_HTTP_OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return ALV_HTTP_CONNECTIONS_MAX;
    }
    if (files.rlim_cur < wanted) {
        files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* up to the hard limit it is allowed */
    }
    if (files.rlim_cur >= wanted) {
        return ALV_HTTP_CONNECTIONS_MAX;
    }
    rlim_t others =
        files.rlim_cur / 2 < ALV_HTTP_OTHER_FILES ? files.rlim_cur / 2 : ALV_HTTP_OTHER_FILES;
    unsigned limit = (unsigned)(files.rlim_cur - others);
    alv_log(
        ALV_LOG_WARN, "few-files",
        "limit=%llu wanted=%llu connections=%u msg=\"further connections are refused: raise the "
        "limit of open files (ulimit -n, LimitNOFILE)\"",
        (unsigned long long)files.rlim_cur, (unsigned long long)wanted, limit);
    return limit;
}

unsigned alv_http_connections_surplus(unsigned limit)
{
    unsigned surplus = limit / (ALV_HTTP_CONNECTIONS_MAX / ALV_HTTP_SURPLUS_MAX);
    return surplus > ALV_HTTP_SURPLUS_MIN ? surplus : ALV_HTTP_SURPLUS_MIN;
}

/* ---- the looking thread ---------------------------------------------------------------------- */

static uint64_t connection_received(const alv_http_connection *connection)
{
    struct tcp_info info = {.tcpi_state = 0};
    socklen_t size = sizeof info;
    bool known = getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
    return known ? info.tcpi_bytes_received : 0;
}

/* A request was finished since the last look, or the phase is another one: time begins anew. What has been
 * received by then belongs to requests before. */
static void connection_begin_phase(alv_http_connection *connection, unsigned changes,
                                   int64_t now_us)
{
    connection->seen_changes = changes;
    connection->since_us = now_us;
    if (atomic_load(&connection->phase) == ALV_HTTP_IDLE) {
        connection->idle_bytes = connection_received(connection);
    }
}

/* How long it has been at what may not take long, and how long that may take. */
static bool connection_is_late(const alv_http_connections *connections,
                               alv_http_connection *connection, int64_t now_us)
{
    const alv_http_patience *patience = &connections->patience;
    int patience_ms = 0;
    switch ((alv_http_phase)atomic_load(&connection->phase)) {
    case ALV_HTTP_IDLE:
        if (!connection->surplus && connection_received(connection) == connection->idle_bytes) {
            connection->since_us = now_us; /* nothing of a head has come */
            return false;
        }
        patience_ms = connection->surplus ? patience->look_ms : patience->head_ms;
        break;
    case ALV_HTTP_BODY:
        patience_ms = patience->body_ms;
        break;
    case ALV_HTTP_SENDING:
        patience_ms = atomic_load(&connections->pressing) ? patience->look_ms : patience->send_ms;
        break;
    case ALV_HTTP_WORKING:
        return false;
    }
    return now_us - connection->since_us >= patience_ms * INT64_C(1000);
}

/* Under the lock, so that the socket is still this connection's. The server notices the end and closes. */
static void connections_look(alv_http_connections *connections)
{
    int64_t now_us = alv_monotonic_us(alv_clock_system());
    unsigned cut = 0;
    pthread_mutex_lock(&connections->lock);
    for (alv_http_connection *at = connections->list; at != NULL; at = at->next) {
        unsigned changes = atomic_load(&at->changes);
        if (changes != at->seen_changes) {
            connection_begin_phase(at, changes, now_us);
        } else if (connection_is_late(connections, at, now_us)) {
            (void)shutdown(at->fd, SHUT_RDWR); /* fails when it has just ended by itself */
            cut++;
        }
    }
    pthread_mutex_unlock(&connections->lock);
    if (cut > 0) {
        alv_log(ALV_LOG_INFO, "http-cut-off", "connections=%u msg=\"too slow\"", cut);
    }
}

static void *connections_run(void *payload)
{
    alv_http_connections *connections = payload;
    alv_log_set_thread("http-patience");
    while (!alv_inbox_is_closed(connections->stop)) {
        (void)alv_inbox_wait(connections->stop, connections->patience.look_ms);
        connections_look(connections);
    }
    return NULL;
}

/* ---- the server's side ----------------------------------------------------------------------- */

alv_status alv_http_connections_start(unsigned limit, const alv_http_patience *patience,
                                      alv_http_connections **out, alv_error *err)
{
    alv_http_connections *connections = alv_alloc(sizeof *connections);
    connections->patience = *patience;
    connections->limit = limit;
    connections->stop = alv_inbox_new(1, NULL);
    int failed = pthread_mutex_init(&connections->lock, NULL);
    ALV_ASSERT(failed == 0);
    int code = pthread_create(&connections->thread, NULL, connections_run, connections);
    connections->started = code == 0;
    if (code != 0) {
        alv_http_connections_free(connections);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = connections;
    return ALV_OK;
}

alv_http_connection *alv_http_connections_open(alv_http_connections *connections, int fd)
{
    alv_http_connection *connection = alv_alloc(sizeof *connection);
    connection->fd = fd;
    connection->since_us = alv_monotonic_us(alv_clock_system());
    pthread_mutex_lock(&connections->lock);
    connection->surplus = ++connections->count > connections->limit;
    connection->next = connections->list;
    if (connections->list != NULL) {
        connections->list->previous = connection;
    }
    connections->list = connection;
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void alv_http_connections_close(alv_http_connections *connections, alv_http_connection *connection)
{
    pthread_mutex_lock(&connections->lock);
    ALV_ASSERT(connections->count > 0);
    connections->count--;
    if (connection->previous != NULL) {
        connection->previous->next = connection->next;
    } else {
        connections->list = connection->next;
    }
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    pthread_mutex_unlock(&connections->lock);
    alv_free(connection);
}

int *alv_http_connection_note(alv_http_connection *connection)
{
    return &connection->note;
}

bool alv_http_connection_is_surplus(const alv_http_connection *connection)
{
    return connection->surplus;
}

void alv_http_connection_set_phase(alv_http_connection *connection, alv_http_phase phase)
{
    atomic_store_explicit(&connection->phase, (int)phase, memory_order_relaxed);
    atomic_fetch_add_explicit(&connection->changes, 1, memory_order_release);
}

void alv_http_connections_press(alv_http_connections *connections, bool on)
{
    atomic_store_explicit(&connections->pressing, on, memory_order_relaxed);
}

void alv_http_connections_stop(alv_http_connections *connections)
{
    if (!connections->started) {
        return;
    }
    alv_inbox_close(connections->stop);
    int failed = pthread_join(connections->thread, NULL);
    ALV_ASSERT(failed == 0);
    connections->started = false;
}

void alv_http_connections_free(alv_http_connections *connections)
{
    if (connections == NULL) {
        return;
    }
    alv_http_connections_stop(connections);
    ALV_ASSERT(connections->list == NULL);
    (void)pthread_mutex_destroy(&connections->lock); /* nobody holds it */
    alv_inbox_free(connections->stop);
    alv_free(connections);
}
