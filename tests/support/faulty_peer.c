#include "tests/support/faulty_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/listener.h"
#include "base/address.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "tests/support/wait.h"

#define PEER_LINKS_MAX 1024
#define PEER_READ_BYTES 65536
#define PEER_OPEN_MS 30000

const char *const alv_peer_fault_names[ALV_PEER_FAULTS] = {
    [ALV_PEER_REFUSES] = "refuses",
    [ALV_PEER_RESETS] = "resets",
    [ALV_PEER_CLOSES] = "closes",
    [ALV_PEER_CUTS_HEAD] = "cuts-head",
    [ALV_PEER_CUTS_BODY] = "cuts-body",
    [ALV_PEER_IS_SILENT] = "is-silent",
    [ALV_PEER_STALLS] = "stalls",
    [ALV_PEER_BABBLES] = "babbles",
    [ALV_PEER_SPOILS] = "spoils",
    [ALV_PEER_FLOODS] = "floods",
    [ALV_PEER_IS_BROKEN] = "is-broken",
    [ALV_PEER_HAS_NOTHING] = "has-nothing",
    [ALV_PEER_HAS_ALL] = "has-all",
    [ALV_PEER_REDIRECTS] = "redirects",
    [ALV_PEER_SHUTS_OUT] = "shuts-out",
    [ALV_PEER_STRANGER] = "stranger",
    [ALV_PEER_OLD] = "old",
    [ALV_PEER_OTHER] = "other",
};

/* What is said whatever was asked; NULL = it depends. */
static const char *const peer_says[ALV_PEER_FAULTS] = {
    [ALV_PEER_CUTS_HEAD] = "HTTP/1.1 200 OK\r\nAlluvium-Application: mall\r\nContent-Le",
    [ALV_PEER_BABBLES] = "SSH-2.0-OpenSSH_9.2\r\n\r\n\x01\x02\x03\r\n",
    [ALV_PEER_IS_BROKEN] = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n"
                           "Content-Length: 20\r\n\r\n<html>no way</html>\n",
    [ALV_PEER_HAS_NOTHING] = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
                             "Content-Length: 18\r\n\r\n{\"detail\":\"none\"}\n",
    [ALV_PEER_HAS_ALL] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         "Content-Length: 2\r\n\r\n{}",
    [ALV_PEER_REDIRECTS] = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n"
                           "Content-Length: 0\r\n\r\n",
    [ALV_PEER_SHUTS_OUT] = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n"
                           "Content-Length: 0\r\n\r\n",
    [ALV_PEER_FLOODS] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                        "Alluvium-Application: mall\r\n\r\n",
};

typedef struct peer_link {
    alv_faulty_peer *peer;
    pthread_t thread;
    int client;     /* -1 once it is closed */
    int node;       /* the connection to whoever has the seat; -1 = none */
    const char *at; /* whose it is */
} peer_link;

struct alv_faulty_peer {
    alv_peer_faults *faults;
    alv_peer_seats seats;
    char address[ALV_LISTENER_ADDRESS_BYTES];
    int listener;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    bool refuses;         /* the listener has ended */
    peer_link *links[PEER_LINKS_MAX];
    int count;
};

/* ---- which request --------------------------------------------------------------------------- */

void alv_peer_faults_init(alv_peer_faults *faults)
{
    *faults = (alv_peer_faults){.at = -1};
    assert_int_equal(pthread_mutex_init(&faults->lock, NULL), 0);
}

void alv_peer_faults_arm(alv_peer_faults *faults, alv_peer_fault fault, int at, bool always)
{
    pthread_mutex_lock(&faults->lock);
    faults->fault = fault;
    faults->at = at;
    faults->always = always;
    faults->asked = 0;
    faults->failed = 0;
    pthread_mutex_unlock(&faults->lock);
}

int alv_peer_faults_asked(alv_peer_faults *faults)
{
    pthread_mutex_lock(&faults->lock);
    int asked = faults->asked;
    pthread_mutex_unlock(&faults->lock);
    return asked;
}

int alv_peer_faults_disarm(alv_peer_faults *faults)
{
    pthread_mutex_lock(&faults->lock);
    faults->at = -1;
    int failed = faults->failed;
    pthread_mutex_unlock(&faults->lock);
    return failed;
}

/* Counts a request; whether it fails. */
static bool faults_hit(alv_peer_faults *faults, alv_peer_fault *out)
{
    pthread_mutex_lock(&faults->lock);
    int number = faults->asked++;
    bool hit = faults->at >= 0 && (number == faults->at || (faults->always && number > faults->at));
    faults->failed += hit;
    *out = faults->fault;
    pthread_mutex_unlock(&faults->lock);
    return hit;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool read_more(int fd, alv_bytes *out)
{
    static _Thread_local char buffer[PEER_READ_BYTES];
    ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size > 0)
        alv_bytes_append(out, buffer, (size_t)size);
    return size > 0;
}

/* Where the body begins; 0 = the head is not whole. */
static size_t head_size(const alv_bytes *message)
{
    const char *end =
        message->size > 0 ? memmem(message->data, message->size, "\r\n\r\n", 4) : NULL;
    return end != NULL ? (size_t)(end - message->data) + 4 : 0;
}

/* What Content-Length says; -1 = it is not there, and the message ends with its connection. */
static long body_size(const alv_bytes *message, size_t head)
{
    static const char name[] = "\r\nContent-Length: ";
    const char *at = memmem(message->data, head, name, sizeof name - 1);
    return at != NULL ? strtol(at + sizeof name - 1, NULL, 10) : -1;
}

/* Reads a request or an answer; one without a length up to its first bytes of body. */
static bool read_message(int fd, bool is_request, alv_bytes *out, size_t *out_head, bool *out_ends)
{
    size_t head = 0;
    alv_bytes_clear(out);
    while ((head = head_size(out)) == 0) {
        if (!read_more(fd, out))
            return false;
    }
    long body = body_size(out, head);
    *out_ends = body >= 0 || is_request;
    size_t wanted = head + (body >= 0 ? (size_t)body : is_request ? 0 : 1);
    while (out->size < wanted) {
        if (!read_more(fd, out))
            return false;
    }
    *out_head = head;
    return true;
}

/* ---- one connection -------------------------------------------------------------------------- */

/* -1: nobody is there any more; the test is over. */
static int seat_connect(const char *seat)
{
    alv_address to;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_port = htons(alv_address_parse(seat, &to) ? to.port : 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static bool link_reach(peer_link *link, const char *seat)
{
    if (link->at != seat && link->node >= 0) {
        (void)close(link->node);
        link->node = -1;
    }
    if (link->node < 0) {
        int fd = seat_connect(seat);
        pthread_mutex_lock(&link->peer->lock);
        link->node = fd;
        pthread_mutex_unlock(&link->peer->lock);
    }
    link->at = seat;
    return link->node >= 0;
}

/* Until either side ends. */
static void link_relay(peer_link *link)
{
    alv_bytes piece = ALV_BYTES_EMPTY;
    for (bool open = true; open;) {
        struct pollfd fds[] = {{.fd = link->client, .events = POLLIN},
                               {.fd = link->node, .events = POLLIN}};
        (void)poll(fds, 2, -1);
        alv_bytes_clear(&piece);
        open = fds[0].revents == 0 && read_more(link->node, &piece) &&
               send_all(link->client, piece.data, piece.size);
    }
    alv_bytes_done(&piece);
}

/* Waits for the asker to give up. */
static bool link_hang(const peer_link *link)
{
    alv_bytes ignored = ALV_BYTES_EMPTY;
    while (read_more(link->client, &ignored))
        alv_bytes_clear(&ignored);
    alv_bytes_done(&ignored);
    return false;
}

static bool link_flood(const peer_link *link)
{
    char piece[4096];
    memset(piece, 'x', sizeof piece);
    while (send_all(link->client, piece, sizeof piece)) {
    }
    return false;
}

/* With a reset in place of an end. */
static void socket_reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* Asks whoever has the seat; what comes is passed on, whole or as the fault wants it. False: the connection
 * is over. */
static bool link_ask(peer_link *link, const char *seat, const alv_bytes *request, bool is_hit,
                     alv_peer_fault fault)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    size_t head = 0;
    bool ends = false;
    bool goes_on = link_reach(link, seat) && send_all(link->node, request->data, request->size) &&
                   read_message(link->node, false, &answer, &head, &ends);
    if (goes_on && is_hit && fault == ALV_PEER_SPOILS)
        memset(answer.data + head, '?', answer.size - head);
    if (goes_on && is_hit && (fault == ALV_PEER_CUTS_BODY || fault == ALV_PEER_STALLS)) {
        (void)send_all(link->client, answer.data, head + (answer.size - head) / 2);
        goes_on = fault == ALV_PEER_STALLS && link_hang(link);
    } else if (goes_on) {
        goes_on = send_all(link->client, answer.data, answer.size);
        if (goes_on && !ends)
            link_relay(link);
        goes_on = goes_on && ends;
    }
    alv_bytes_done(&answer);
    return goes_on;
}

static void peer_refuse(alv_faulty_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->refuses = true;
    (void)shutdown(peer->listener, SHUT_RDWR); /* from now on there is nobody */
    for (int i = 0; i < peer->count; i++) {
        if (peer->links[i]->client >= 0) {
            socket_reset(peer->links[i]->client);
            (void)shutdown(peer->links[i]->client, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&peer->lock);
}

static bool link_fail(peer_link *link, alv_peer_fault fault, const alv_bytes *request)
{
    const alv_peer_seats *seats = &link->peer->seats;
    const char *seat = fault == ALV_PEER_STRANGER ? seats->stranger
                       : fault == ALV_PEER_OLD    ? seats->old
                       : fault == ALV_PEER_OTHER  ? seats->other
                                                  : seats->node;
    const char *says = seat == NULL ? peer_says[ALV_PEER_IS_BROKEN] : peer_says[fault];
    if (says != NULL) {
        return send_all(link->client, says, strlen(says)) && fault == ALV_PEER_FLOODS &&
               link_flood(link);
    }
    switch (fault) {
    case ALV_PEER_REFUSES:
        peer_refuse(link->peer);
        return false;
    case ALV_PEER_RESETS:
        socket_reset(link->client);
        return false;
    case ALV_PEER_CLOSES:
        return false;
    case ALV_PEER_IS_SILENT:
        return link_hang(link);
    default:
        return link_ask(link, seat, request, true, fault);
    }
}

static void *link_run(void *payload)
{
    peer_link *link = payload;
    alv_faulty_peer *peer = link->peer;
    alv_bytes request = ALV_BYTES_EMPTY;
    alv_peer_fault fault;
    size_t head = 0;
    bool ends = false;
    bool open = true;
    while (open && read_message(link->client, true, &request, &head, &ends)) {
        open = faults_hit(peer->faults, &fault)
                   ? link_fail(link, fault, &request)
                   : link_ask(link, peer->seats.node, &request, false, fault);
    }
    alv_bytes_done(&request);
    pthread_mutex_lock(&peer->lock);
    (void)close(link->client);
    if (link->node >= 0)
        (void)close(link->node);
    link->client = link->node = -1;
    pthread_mutex_unlock(&peer->lock);
    return NULL;
}

/* ---- the listener ---------------------------------------------------------------------------- */

static void peer_take(alv_faulty_peer *peer, int client)
{
    peer_link *link = alv_alloc(sizeof *link);
    *link = (peer_link){.peer = peer, .client = client, .node = -1};
    pthread_mutex_lock(&peer->lock);
    if (peer->count == PEER_LINKS_MAX || pthread_create(&link->thread, NULL, link_run, link) != 0)
        abort();
    peer->links[peer->count++] = link;
    pthread_mutex_unlock(&peer->lock);
}

static void *peer_run(void *payload)
{
    alv_faulty_peer *peer = payload;
    int client;
    while ((client = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        peer_take(peer, client);
    return NULL;
}

typedef struct peer_opening {
    alv_faulty_peer *peer;
    const char *address;
} peer_opening;

static bool peer_opens(void *payload)
{
    const peer_opening *opening = payload;
    return alv_listener_open(opening->address, &opening->peer->listener, opening->peer->address,
                             NULL) == ALV_OK;
}

/* While nobody listened there, a connection to somewhere else may have been given the port. */
static void peer_listen(alv_faulty_peer *peer, const char *address)
{
    peer_opening opening = {peer, address};
    assert_true(alv_wait_until(peer_opens, &opening, PEER_OPEN_MS));
    assert_int_equal(fcntl(peer->listener, F_SETFL, 0), 0); /* it may block */
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

static void peer_close_listener(alv_faulty_peer *peer)
{
    (void)shutdown(peer->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    (void)close(peer->listener);
}

static void peer_end_links(alv_faulty_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    for (int i = 0; i < peer->count; i++) {
        if (peer->links[i]->client >= 0)
            (void)shutdown(peer->links[i]->client, SHUT_RDWR);
        if (peer->links[i]->node >= 0)
            (void)shutdown(peer->links[i]->node, SHUT_RDWR);
    }
    pthread_mutex_unlock(&peer->lock);
}

alv_faulty_peer *alv_faulty_peer_start(alv_peer_faults *faults, const alv_peer_seats *seats)
{
    alv_faulty_peer *peer = alv_alloc(sizeof *peer);
    *peer = (alv_faulty_peer){.faults = faults, .seats = *seats};
    assert_int_equal(pthread_mutex_init(&peer->lock, NULL), 0);
    peer_listen(peer, "127.0.0.1:0");
    return peer;
}

const char *alv_faulty_peer_address(const alv_faulty_peer *peer)
{
    return peer->address;
}

void alv_faulty_peer_mend(alv_faulty_peer *peer)
{
    char address[ALV_LISTENER_ADDRESS_BYTES];
    pthread_mutex_lock(&peer->lock);
    bool refuses = peer->refuses;
    peer->refuses = false;
    pthread_mutex_unlock(&peer->lock);
    if (refuses) {
        peer_close_listener(peer);
        (void)snprintf(address, sizeof address, "%s", peer->address);
        peer_listen(peer, address);
    }
    peer_end_links(peer);
}

void alv_faulty_peer_stop(alv_faulty_peer *peer)
{
    peer_close_listener(peer); /* from now on no connection is added */
    peer_end_links(peer);
    for (int i = 0; i < peer->count; i++) {
        assert_int_equal(pthread_join(peer->links[i]->thread, NULL), 0);
        alv_free(peer->links[i]);
    }
    (void)pthread_mutex_destroy(&peer->lock);
    alv_free(peer);
}
