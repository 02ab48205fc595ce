#include "tests/support/tcp_proxy.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "tests/support/user_model.h"

#define PROXY_LINKS_MAX 256
#define PROXY_READ_BYTES 65536
#define PROXY_QUEUE_BYTES_MAX (4 << 20) /* then the sender has to wait, as for a full socket */
#define PROXY_END_TXN 26                /* the number of this request in Kafka's protocol */
#define PROXY_HEAD_BYTES 6              /* of a request: its length, then its number */

enum {
    CLIENT,
    BROKER
};

/* Bytes that were read together. */
typedef struct proxy_piece {
    struct proxy_piece *next;
    int64_t due_us;
    size_t size;
    size_t sent;
    char data[];
} proxy_piece;

/* One direction of a connection. */
typedef struct proxy_flow {
    proxy_piece *first;
    proxy_piece *last;
    size_t bytes;
    bool ended; /* the sender has closed */
} proxy_flow;

/* Where in the stream of requests a client is. */
typedef struct request_head {
    unsigned char bytes[PROXY_HEAD_BYTES];
    size_t size;
    size_t left; /* of the request, after the head */
} request_head;

typedef struct proxy_link {
    int fds[2];
    proxy_flow from[2]; /* CLIENT: from the client to the broker */
    request_head head;
    int64_t held_until_us;
    bool loses_answer;
    bool is_cut;
} proxy_link;

struct alv_tcp_proxy {
    int listener;
    int wake_fd;
    int target_port;
    pthread_t thread;
    pthread_mutex_t lock; /* everything below; not held in poll */
    bool stopping;
    proxy_link *links[PROXY_LINKS_MAX];
    int count;
    int64_t delay_us;
    int64_t frozen_until_us;
    int64_t late_commit_us; /* 0 = not wanted */
    bool lose_answer;
    int64_t commits_hit;
    uint64_t random;
};

static int64_t proxy_now(void)
{
    return alv_monotonic_us(alv_clock_system());
}

/* ---- sockets --------------------------------------------------------------------------------- */

static struct sockaddr_in proxy_address(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int proxy_listen(int port)
{
    struct sockaddr_in address = proxy_address(port);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 64) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* On this machine a connection is there at once or refused. */
static int proxy_connect(int port)
{
    struct sockaddr_in address = proxy_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void link_open(alv_tcp_proxy *proxy)
{
    int on = 1;
    int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
    int broker = client >= 0 ? proxy_connect(proxy->target_port) : -1;
    if (broker < 0 || proxy->count == PROXY_LINKS_MAX) {
        if (client >= 0) {
            (void)close(client);
        }
        if (broker >= 0) {
            (void)close(broker);
        }
        return;
    }
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(broker, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    proxy_link *link = alv_alloc(sizeof(*link));
    *link = (proxy_link){.fds = {client, broker}};
    proxy->links[proxy->count++] = link;
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void flow_drop_first(proxy_flow *flow)
{
    proxy_piece *first = flow->first;
    flow->first = first->next;
    flow->bytes -= first->size;
    alv_free(first);
}

static void flow_append(proxy_flow *flow, const char *data, size_t size, int64_t due_us)
{
    proxy_piece *piece = alv_alloc(sizeof(*piece) + size);
    piece->next = NULL;
    piece->due_us = due_us;
    piece->size = size;
    piece->sent = 0;
    memcpy(piece->data, data, size);
    if (flow->first == NULL) {
        flow->first = piece;
    } else {
        flow->last->next = piece;
    }
    flow->last = piece;
    flow->bytes += size;
}

static void link_close(proxy_link *link)
{
    for (int side = 0; side < 2; side++) {
        (void)close(link->fds[side]);
        while (link->from[side].first != NULL) {
            flow_drop_first(&link->from[side]);
        }
    }
    alv_free(link);
}

/* ---- what is in the stream ------------------------------------------------------------------- */

/* Follows a client's requests; whether an EndTxn begins in these bytes. */
static bool head_sees_end_txn(request_head *head, const char *data, size_t size)
{
    bool seen = false;
    while (size > 0) {
        if (head->size < PROXY_HEAD_BYTES) {
            head->bytes[head->size++] = (unsigned char)*data++;
            size--;
            if (head->size == PROXY_HEAD_BYTES) {
                const unsigned char *b = head->bytes;
                size_t length = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
                head->left = length > 2 ? length - 2 : 0;
                seen = seen || (b[4] << 8 | b[5]) == PROXY_END_TXN;
            }
        } else {
            size_t part = head->left < size ? head->left : size;
            data += part;
            size -= part;
            head->left -= part;
        }
        if (head->size == PROXY_HEAD_BYTES && head->left == 0) {
            head->size = 0;
        }
    }
    return seen;
}

/* When bytes that were just read may go on. */
static int64_t proxy_due(alv_tcp_proxy *proxy, proxy_link *link, int side, const char *data,
                         size_t size)
{
    int64_t due = proxy_now();
    if (proxy->delay_us > 0) {
        due += (int64_t)(alv_user_model_random(&proxy->random) % (uint64_t)proxy->delay_us);
    }
    if (side == CLIENT && head_sees_end_txn(&link->head, data, size)) {
        if (proxy->late_commit_us > 0) {
            due += proxy->late_commit_us;
            proxy->late_commit_us = 0;
            proxy->commits_hit++;
        } else if (proxy->lose_answer) {
            link->loses_answer = true;
            proxy->lose_answer = false;
            proxy->commits_hit++;
        }
    }
    return due;
}

/* ---- moving bytes ---------------------------------------------------------------------------- */

static void link_read(alv_tcp_proxy *proxy, proxy_link *link, int side)
{
    static _Thread_local char buffer[PROXY_READ_BYTES];
    ssize_t size = recv(link->fds[side], buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        link->from[side].ended = true;
        return;
    }
    if (side == BROKER && link->loses_answer && link->from[CLIENT].first == NULL) {
        link->is_cut = true; /* it has answered what it was asked, and nobody will know */
        return;
    }
    int64_t due = proxy_due(proxy, link, side, buffer, (size_t)size);
    flow_append(&link->from[side], buffer, (size_t)size, due);
}

/* When the first piece of a queue may go; INT64_MAX when there is none. */
static int64_t link_next_us(const alv_tcp_proxy *proxy, const proxy_link *link, int side)
{
    if (link->from[side].first == NULL) {
        return INT64_MAX;
    }
    int64_t due = link->from[side].first->due_us;
    due = link->held_until_us > due ? link->held_until_us : due;
    return proxy->frozen_until_us > due ? proxy->frozen_until_us : due;
}

static void link_write(alv_tcp_proxy *proxy, proxy_link *link, int side)
{
    proxy_flow *flow = &link->from[side];
    while (link_next_us(proxy, link, side) <= proxy_now()) {
        proxy_piece *piece = flow->first;
        ssize_t size = send(link->fds[!side], piece->data + piece->sent, piece->size - piece->sent,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        piece->sent += size > 0 ? (size_t)size : 0;
        if (size < 0 || piece->sent == piece->size) { /* nobody there: the bytes are lost */
            flow_drop_first(flow);
        }
    }
}

/* Either side has closed, and all that it said before is delivered. */
static bool link_is_over(const proxy_link *link)
{
    bool over = link->is_cut;
    for (int side = 0; side < 2; side++) {
        over = over || (link->from[side].ended && link->from[side].first == NULL);
    }
    return over;
}

static void proxy_sweep(alv_tcp_proxy *proxy)
{
    for (int i = 0; i < proxy->count;) {
        if (link_is_over(proxy->links[i])) {
            link_close(proxy->links[i]);
            proxy->links[i] = proxy->links[--proxy->count];
        } else {
            i++;
        }
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

#define PROXY_POLL_FIRST 2 /* listener and wake_fd come before the links */
#define PROXY_POLL_MAX (PROXY_POLL_FIRST + 2 * PROXY_LINKS_MAX)

/* Fills `fds`; returns after how many ms something is due. */
static int proxy_prepare_poll(alv_tcp_proxy *proxy, struct pollfd *fds)
{
    int64_t now = proxy_now();
    int64_t next = now + 1000000;
    fds[0] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = proxy->wake_fd, .events = POLLIN};
    for (int i = 0; i < proxy->count; i++) {
        const proxy_link *link = proxy->links[i];
        for (int side = 0; side < 2; side++) {
            const proxy_flow *in = &link->from[side];
            int64_t due = link_next_us(proxy, link, !side);
            short events = !in->ended && in->bytes < PROXY_QUEUE_BYTES_MAX ? POLLIN : 0;
            events = (short)(events | (due <= now ? POLLOUT : 0));
            fds[PROXY_POLL_FIRST + 2 * i + side] =
                (struct pollfd){.fd = events != 0 ? link->fds[side] : -1, .events = events};
            next = due > now && due < next ? due : next;
        }
    }
    return (int)((next - now + 999) / 1000);
}

static void proxy_serve(alv_tcp_proxy *proxy, const struct pollfd *fds, int count)
{
    for (int i = 0; i < count; i++) {
        for (int side = 0; side < 2; side++) {
            if ((fds[PROXY_POLL_FIRST + 2 * i + side].revents & (POLLIN | POLLHUP | POLLERR)) !=
                0) {
                link_read(proxy, proxy->links[i], side);
            }
            link_write(proxy, proxy->links[i], side);
        }
    }
    proxy_sweep(proxy);
    if ((fds[0].revents & POLLIN) != 0) {
        link_open(proxy);
    }
}

static void *proxy_main(void *payload)
{
    alv_tcp_proxy *proxy = payload;
    static _Thread_local struct pollfd fds[PROXY_POLL_MAX];
    (void)pthread_mutex_lock(&proxy->lock);
    while (!proxy->stopping) {
        int count = proxy->count;
        int timeout_ms = proxy_prepare_poll(proxy, fds);
        (void)pthread_mutex_unlock(&proxy->lock);
        (void)poll(fds, (nfds_t)(PROXY_POLL_FIRST + 2 * count), timeout_ms);
        (void)pthread_mutex_lock(&proxy->lock);
        if ((fds[1].revents & POLLIN) != 0) {
            eventfd_t value;
            (void)eventfd_read(proxy->wake_fd, &value);
        }
        proxy_serve(proxy, fds, count);
    }
    (void)pthread_mutex_unlock(&proxy->lock);
    return NULL;
}

/* ---- for others ------------------------------------------------------------------------------ */

alv_tcp_proxy *alv_tcp_proxy_start(int port, int target_port)
{
    int listener = proxy_listen(port);
    if (listener < 0) {
        return NULL;
    }
    alv_tcp_proxy *proxy = alv_alloc(sizeof(*proxy));
    *proxy = (alv_tcp_proxy){
        .listener = listener,
        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .target_port = target_port,
        .random = 88172645463325252U,
    };
    ALV_ASSERT(proxy->wake_fd >= 0);
    ALV_ASSERT(pthread_mutex_init(&proxy->lock, NULL) == 0);
    ALV_ASSERT(pthread_create(&proxy->thread, NULL, proxy_main, proxy) == 0);
    return proxy;
}

static void proxy_calm(alv_tcp_proxy *proxy)
{
    proxy->delay_us = 0;
    proxy->frozen_until_us = 0;
    proxy->late_commit_us = 0;
    proxy->lose_answer = false;
    for (int i = 0; i < proxy->count; i++) {
        proxy->links[i]->held_until_us = 0;
    }
}

static void proxy_apply(alv_tcp_proxy *proxy, alv_disturbance disturbance, int64_t ms)
{
    int64_t until_us = proxy_now() + ms * 1000;
    switch (disturbance) {
    case ALV_DISTURB_DELAY:
        proxy->delay_us = ms * 1000;
        break;
    case ALV_DISTURB_CUT:
        for (int i = 0; i < proxy->count; i++) {
            proxy->links[i]->is_cut = true;
        }
        break;
    case ALV_DISTURB_FREEZE:
        proxy->frozen_until_us = until_us;
        break;
    case ALV_DISTURB_HOLD_ONE:
        if (proxy->count > 0) {
            uint64_t chosen = alv_user_model_random(&proxy->random) % (uint64_t)proxy->count;
            proxy->links[chosen]->held_until_us = until_us;
        }
        break;
    case ALV_DISTURB_LATE_COMMIT:
        proxy->late_commit_us = ms * 1000;
        break;
    case ALV_DISTURB_LOSE_ANSWER:
        proxy->lose_answer = true;
        break;
    case ALV_DISTURB_CALM:
        proxy_calm(proxy);
        break;
    }
}

void alv_tcp_proxy_disturb(alv_tcp_proxy *proxy, alv_disturbance disturbance, int64_t ms)
{
    (void)pthread_mutex_lock(&proxy->lock);
    proxy_apply(proxy, disturbance, ms);
    (void)pthread_mutex_unlock(&proxy->lock);
    (void)eventfd_write(proxy->wake_fd, 1);
}

int64_t alv_tcp_proxy_commits_hit(alv_tcp_proxy *proxy)
{
    (void)pthread_mutex_lock(&proxy->lock);
    int64_t hit = proxy->commits_hit;
    (void)pthread_mutex_unlock(&proxy->lock);
    return hit;
}

void alv_tcp_proxy_stop(alv_tcp_proxy *proxy)
{
    if (proxy == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&proxy->lock);
    proxy->stopping = true;
    (void)pthread_mutex_unlock(&proxy->lock);
    (void)eventfd_write(proxy->wake_fd, 1);
    (void)pthread_join(proxy->thread, NULL);
    for (int i = 0; i < proxy->count; i++) {
        link_close(proxy->links[i]);
    }
    (void)close(proxy->listener);
    (void)close(proxy->wake_fd);
    (void)pthread_mutex_destroy(&proxy->lock);
    alv_free(proxy);
}
