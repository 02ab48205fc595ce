#include "tests/support/http_flood.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/alloc.h"
#include "base/clock.h"

#define FLOOD_EVENTS 256
#define FLOOD_SILENT_US (20 * INT64_C(1000000))
#define FLOOD_WAIT_MS 5
#define FLOOD_TEXT_BYTES 512

typedef struct flood_client {
    int fd; /* -1 = not connected */
    bool asking;
    int64_t number;
    int64_t began_us;
    int64_t next_us; /* when it asks again */
    alv_bytes request;
    size_t request_sent;
    alv_bytes answer;
} flood_client;

struct alv_http_flood {
    alv_http_flood_options options;
    struct sockaddr_in to;
    int epoll;
    flood_client *clients;
    int asking;
    int64_t number;
    atomic_bool stopping;
    pthread_t thread;
    pthread_mutex_t lock; /* guards counts */
    alv_http_flood_counts counts;
};

static int64_t flood_now_us(void)
{
    return alv_monotonic_us(alv_clock_system());
}

/* ---- one connection -------------------------------------------------------------------------- */

static void client_watch(const alv_http_flood *flood, flood_client *client, int operation,
                         uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    assert_int_equal(epoll_ctl(flood->epoll, operation, client->fd, &event), 0);
}

static void client_close(flood_client *client)
{
    if (client->fd >= 0) {
        (void)close(client->fd); /* leaves the epoll set as well */
    }
    client->fd = -1;
}

static bool client_connect(const alv_http_flood *flood, flood_client *client)
{
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    if (connect(client->fd, (const struct sockaddr *)&flood->to, sizeof flood->to) != 0 &&
        errno != EINPROGRESS) {
        client_close(client); /* no port is free, or the node is gone: later */
        return false;
    }
    client_watch(flood, client, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    return true;
}

/* The request is over. */
static void client_end(alv_http_flood *flood, flood_client *client, int status)
{
    int64_t now_us = flood_now_us();
    int64_t took_us = now_us - client->began_us;
    client->asking = false;
    client->next_us = now_us + flood->options.pause_ms * INT64_C(1000);
    flood->asking--;
    pthread_mutex_lock(&flood->lock);
    flood->counts.answered[status]++;
    if (took_us > flood->counts.max_us[status]) {
        flood->counts.max_us[status] = took_us;
    }
    pthread_mutex_unlock(&flood->lock);
    if (flood->options.answered != NULL) {
        flood->options.answered(flood->options.payload, client->number, status);
    }
}

static void client_break(alv_http_flood *flood, flood_client *client)
{
    client_close(client);
    if (client->asking) {
        client_end(flood, client, 0);
    }
}

static void client_write(alv_http_flood *flood, flood_client *client)
{
    size_t left = client->request.size - client->request_sent;
    ssize_t n = send(client->fd, client->request.data + client->request_sent, left, MSG_NOSIGNAL);
    if (n > 0) {
        client->request_sent += (size_t)n;
    } else if (errno != EAGAIN && errno != ENOTCONN) {
        return; /* the node has had enough; its answer may be there */
    }
    bool more = client->request_sent < client->request.size;
    client_watch(flood, client, EPOLL_CTL_MOD, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void client_ask(alv_http_flood *flood, flood_client *client)
{
    if (client->fd < 0 && !client_connect(flood, client)) {
        client->next_us = flood_now_us() + 10000;
        return;
    }
    client->asking = true;
    client->number = flood->number++;
    client->began_us = flood_now_us();
    client->request_sent = 0;
    alv_bytes_clear(&client->request);
    alv_bytes_clear(&client->answer);
    flood->options.write(flood->options.payload, client->number, &client->request);
    flood->asking++;
    pthread_mutex_lock(&flood->lock);
    flood->counts.sent++;
    pthread_mutex_unlock(&flood->lock);
    client_write(flood, client);
}

/* The status once the answer is whole, else 0. */
static int client_status(const alv_bytes *answer, bool *out_closes)
{
    char *end = memmem(answer->data, answer->size, "\r\n\r\n", 4);
    if (end == NULL || answer->size < 12) {
        return 0;
    }
    size_t head = (size_t)(end - answer->data) + 4;
    const char *length = memmem(answer->data, head, "Content-Length: ", 16);
    size_t body = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
    *out_closes = memmem(answer->data, head, "Connection: close", 17) != NULL;
    return answer->size >= head + body ? (int)strtol(answer->data + 9, NULL, 10) : 0;
}

static void client_read(alv_http_flood *flood, flood_client *client)
{
    char chunk[16384];
    ssize_t n = recv(client->fd, chunk, sizeof chunk, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            client_break(flood, client);
        }
        return;
    }
    alv_bytes_append(&client->answer, chunk, (size_t)n);
    bool closes = false;
    int status = client->asking ? client_status(&client->answer, &closes) : 0;
    if (status > 0 && status < ALV_HTTP_FLOOD_STATUS_MAX) {
        if (closes || client->request_sent < client->request.size) {
            client_close(client);
        }
        client_end(flood, client, status);
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void flood_turn(alv_http_flood *flood)
{
    struct epoll_event events[FLOOD_EVENTS];
    int count = epoll_wait(flood->epoll, events, FLOOD_EVENTS, FLOOD_WAIT_MS);
    for (int i = 0; i < count; i++) {
        flood_client *client = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0 && client->fd >= 0) {
            client_write(flood, client);
        }
        if ((events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && client->fd >= 0) {
            client_read(flood, client);
        }
    }
}

static void flood_ask_all(alv_http_flood *flood)
{
    int64_t now_us = flood_now_us();
    for (int i = 0; i < flood->options.connections; i++) {
        flood_client *client = &flood->clients[i];
        if (!client->asking && client->next_us <= now_us) {
            client_ask(flood, client);
        }
    }
}

static void flood_give_up(alv_http_flood *flood)
{
    int64_t now_us = flood_now_us();
    for (int i = 0; i < flood->options.connections; i++) {
        flood_client *client = &flood->clients[i];
        if (client->asking && now_us - client->began_us > FLOOD_SILENT_US) {
            client_break(flood, client);
        }
    }
}

static void *flood_run(void *payload)
{
    alv_http_flood *flood = payload;
    while (!atomic_load(&flood->stopping)) {
        flood_ask_all(flood);
        flood_turn(flood);
        flood_give_up(flood);
    }
    while (flood->asking > 0) {
        flood_turn(flood);
        flood_give_up(flood);
    }
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

alv_http_flood *alv_http_flood_start(const alv_http_flood_options *options)
{
    alv_address parsed;
    alv_http_flood *flood = alv_alloc(sizeof *flood);
    flood->options = *options;
    assert_true(alv_address_parse(options->address, &parsed));
    flood->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(parsed.port)};
    flood->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    flood->epoll = epoll_create1(EPOLL_CLOEXEC);
    flood->clients = alv_alloc_array((size_t)options->connections, sizeof *flood->clients);
    for (int i = 0; i < options->connections; i++) {
        flood->clients[i].fd = -1;
    }
    assert_int_equal(pthread_mutex_init(&flood->lock, NULL), 0);
    assert_int_equal(pthread_create(&flood->thread, NULL, flood_run, flood), 0);
    return flood;
}

void alv_http_flood_look(alv_http_flood *flood, alv_http_flood_counts *out)
{
    pthread_mutex_lock(&flood->lock);
    *out = flood->counts;
    pthread_mutex_unlock(&flood->lock);
}

void alv_http_flood_stop(alv_http_flood *flood, alv_http_flood_counts *out)
{
    atomic_store(&flood->stopping, true);
    assert_int_equal(pthread_join(flood->thread, NULL), 0);
    if (out != NULL) {
        *out = flood->counts;
    }
    for (int i = 0; i < flood->options.connections; i++) {
        client_close(&flood->clients[i]);
        alv_bytes_done(&flood->clients[i].request);
        alv_bytes_done(&flood->clients[i].answer);
    }
    (void)close(flood->epoll);
    (void)pthread_mutex_destroy(&flood->lock);
    alv_free(flood->clients);
    alv_free(flood);
}

const char *alv_http_flood_text(const alv_http_flood_counts *counts)
{
    static char text[FLOOD_TEXT_BYTES];
    size_t size = 0;
    text[0] = '\0';
    for (int status = 0; status < ALV_HTTP_FLOOD_STATUS_MAX && size < sizeof text; status++) {
        if (counts->answered[status] > 0) {
            size +=
                (size_t)snprintf(text + size, sizeof text - size,
                                 "%s%d: %" PRId64 " (max %" PRId64 " ms)", size > 0 ? ", " : "",
                                 status, counts->answered[status], counts->max_us[status] / 1000);
        }
    }
    return text;
}
