/* Goal:   whoever sends slowly, reads slowly or comes in thousands does not keep others out: a request has its
 *         time, a connection too many is told so, ten thousand that are kept are served.
 * Method: the real server with short patience; clients are raw sockets. Ten thousand need a process of their
 *         own, because a process may not open as many files as both sides need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/http_limits.h"
#include "api/http_security.h"
#include "api/http_server.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/http_call.h"
#include "tests/support/wait.h"

#define ANSWER_MS 30000
#define BODY_MAX 100000
#define LARGE_BYTES (32 * 1024 * 1024) /* more than sockets buffer */
#define CONNECTIONS 8
#define GET "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define VITAL "GET /vital HTTP/1.1\r\nHost: localhost\r\n\r\n"

static const alv_settings settings = {.http_listen = "127.0.0.1:0"};
static const alv_http_patience short_patience = {
    .head_ms = 300, .body_ms = 600, .send_ms = 900, .look_ms = 50};
static alv_http_security security;
static alv_http_server *server;

static size_t body_max(void *payload, alv_exchange *exchange)
{
    (void)payload;
    (void)exchange;
    return BODY_MAX;
}

static void handle(void *payload, alv_exchange *exchange)
{
    (void)payload;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_begin_json(&answer, 200);
    if (strcmp(alv_exchange_path(exchange), "/large") == 0)
        while (answer.body.size < LARGE_BYTES)
            alv_bytes_append_text(&answer.body, "0123456789abcdef");
    alv_bytes_append_text(&answer.body, "{}");
    alv_exchange_answer(exchange, &answer);
}

static bool is_vital(void *payload, const alv_exchange *exchange)
{
    (void)payload;
    return strcmp(alv_exchange_path(exchange), "/vital") == 0;
}

static void open_with(const alv_http_patience *patience, unsigned connections_max)
{
    const alv_http_service service = {.body_max = body_max,
                                      .handle = handle,
                                      .is_vital = is_vital,
                                      .patience = patience,
                                      .connections_max = connections_max};
    alv_http_security_init_client(&settings, &security);
    assert_int_equal(alv_http_server_open("127.0.0.1:0", &security, &server, NULL), ALV_OK);
    assert_int_equal(alv_http_server_start(server, &service, NULL), ALV_OK);
}

static int open_impatient(void **state)
{
    (void)state;
    open_with(&short_patience, CONNECTIONS);
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    alv_http_server_stop(server);
    return 0;
}

static int connect_here(void)
{
    return alv_http_raw_open(alv_http_server_address(server));
}

static void expect_served(int fd)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    alv_http_raw_send(fd, GET, sizeof GET - 1);
    assert_int_equal(alv_http_raw_read(fd, ANSWER_MS, &answer), 200);
    alv_bytes_done(&answer);
}

/* Sends a byte every now and then until the server has had enough; the ms that took. */
static int64_t trickle(int fd, const char *text)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    int64_t deadline = alv_wait_deadline(ANSWER_MS);
    size_t at = 0;
    while (!alv_wait_expired(deadline)) {
        if (alv_http_raw_closed(fd, 20)) /* also the pace of the bytes */
            return (alv_monotonic_us(alv_clock_system()) - begin_us) / 1000;
        alv_http_raw_send(fd, text[at] != '\0' ? &text[at++] : "x", 1);
    }
    fail_msg("it was never cut off");
    return 0;
}

static void slow__head_is_cut_off(void **state)
{
    (void)state;
    int other = connect_here();
    expect_served(other);
    int fd = connect_here();
    assert_true(trickle(fd, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ") >= short_patience.head_ms);
    (void)close(fd);
    expect_served(other); /* which was silent all the time, and may be */
    (void)close(other);
}

static void slow__head_of_a_second_request_is_cut_off(void **state)
{
    (void)state;
    int fd = connect_here();
    expect_served(fd);
    assert_true(trickle(fd, "GET / HT") >= short_patience.head_ms);
    (void)close(fd);
}

static void slow__body_is_cut_off(void **state)
{
    (void)state;
    int fd = connect_here();
    assert_true(
        trickle(fd, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n") >=
        short_patience.head_ms);
    (void)close(fd);
}

/* What a new connection gets. */
static int served_status(void)
{
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = connect_here();
    alv_http_raw_send(fd, GET, sizeof GET - 1);
    int status = alv_http_raw_read(fd, ANSWER_MS, &answer);
    (void)close(fd);
    alv_bytes_done(&answer);
    return status;
}

static void wait_for_room(void)
{
    int64_t deadline = alv_wait_deadline(ANSWER_MS);
    while (served_status() != 200) {
        assert_false(alv_wait_expired(deadline));
    }
}

/* What the other side still sends, until it ends or all of a large answer is there. */
static size_t drain(int fd)
{
    static char chunk[65536];
    const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
    size_t taken = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (ssize_t n = 1; n > 0 && taken<LARGE_BYTES; taken += n> 0 ? (size_t)n : 0)
        n = recv(fd, chunk, sizeof chunk, 0);
    return taken;
}

/* Clients that ask for much and take nothing, in all the places there are: others get their turn. */
static void slow__readers_are_cut_off(void **state)
{
    (void)state;
    static const char text[] = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int fds[CONNECTIONS];
    for (size_t i = 0; i < CONNECTIONS; i++) {
        char byte;
        fds[i] = connect_here();
        alv_http_raw_send(fds[i], text, sizeof text - 1);
        assert_int_equal(recv(fds[i], &byte, 1, 0), 1); /* it has begun */
    }
    wait_for_room();
    size_t cut = 0;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        cut += drain(fds[i]) < LARGE_BYTES;
        (void)close(fds[i]);
    }
    assert_true(cut > 0); /* at least those whose places were free again */
}

static void many__one_too_many_is_told_so(void **state)
{
    (void)state;
    int fds[CONNECTIONS];
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_here();
        expect_served(fds[i]);
    }
    int surplus = connect_here();
    alv_bytes answer = ALV_BYTES_EMPTY;
    alv_http_raw_send(surplus, GET, sizeof GET - 1);
    assert_int_equal(alv_http_raw_read(surplus, ANSWER_MS, &answer), 503);
    assert_non_null(memmem(answer.data, answer.size, "Retry-After", 11));
    assert_non_null(memmem(answer.data, answer.size, "too many connections", 20));
    assert_true(alv_http_raw_closed(surplus, ANSWER_MS));
    (void)close(surplus);
    surplus = connect_here(); /* and asks how the node is */
    alv_http_raw_send(surplus, VITAL, sizeof VITAL - 1);
    assert_int_equal(alv_http_raw_read(surplus, ANSWER_MS, &answer), 200);
    assert_true(alv_http_raw_closed(surplus, ANSWER_MS));
    (void)close(surplus);
    surplus = connect_here(); /* and says nothing */
    assert_true(alv_http_raw_closed(surplus, ANSWER_MS));
    (void)close(surplus);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        expect_served(fds[i]); /* they are not disturbed */
        (void)close(fds[i]);
    }
    wait_for_room(); /* once the server has seen them go */
    alv_bytes_done(&answer);
}

/* ---- answers that nobody takes --------------------------------------------------------------- */

#define READERS 16
static_assert((READERS - 4) * (size_t)LARGE_BYTES > ALV_HTTP_ANSWERS_BYTES_MAX, "too much");

/* Who reads slowly has a minute, but not when answers become too much to hold: then he is cut off, nobody is
 * refused for long, and what the node holds was never much more than it may. */
static void slow__readers_do_not_fill_the_memory(void **state)
{
    (void)state;
    static const char text[] = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const alv_http_patience patience = {
        .head_ms = 60000, .body_ms = 60000, .send_ms = 60000, .look_ms = 1000};
    int fds[READERS];
    open_with(&patience, 0);
    for (size_t i = 0; i < READERS; i++) {
        fds[i] = connect_here();
        alv_http_raw_send(fds[i], text, sizeof text - 1);
    }
    int vital = connect_here();
    alv_bytes answer = ALV_BYTES_EMPTY;
    alv_http_raw_send(vital, VITAL, sizeof VITAL - 1);
    assert_int_equal(alv_http_raw_read(vital, ANSWER_MS, &answer), 200);
    wait_for_room();
    int refused = 0;
    int cut = 0;
    for (size_t i = 0; i < READERS; i++) {
        /* From here on whoever was not cut off reads as fast as he can. */
        assert_true(alv_http_raw_read(fds[i], ANSWER_MS, &answer) != 0);
        refused += memmem(answer.data, answer.size, "too many answers", 16) != NULL;
        cut += answer.size < LARGE_BYTES;
        (void)close(fds[i]);
    }
    assert_in_range(refused, 1, READERS - 4);
    assert_true(cut > refused);
    (void)close(vital);
    alv_bytes_done(&answer);
    alv_http_server_stop(server);
}

/* ---- ten thousand ---------------------------------------------------------------------------- */

#define MANY 10000

/* In a process of its own: how many of `count` connections were served twice, each kept all the time. */
static int serve_many(int count)
{
    static int fds[MANY];
    int served = 0;
    for (int i = 0; i < count; i++)
        fds[i] = connect_here();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < count; i++)
            alv_http_raw_send(fds[i], GET, sizeof GET - 1);
        for (int i = 0; i < count; i++) {
            alv_bytes answer = ALV_BYTES_EMPTY;
            served += alv_http_raw_read(fds[i], ANSWER_MS, &answer) == 200;
            alv_bytes_done(&answer);
        }
    }
    return served;
}

static void many__are_kept_and_served(void **state)
{
    (void)state;
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    open_with(NULL, 0);
    unsigned limit = alv_http_connections_limit();
    unsigned room = files.rlim_cur > 200 ? (unsigned)(files.rlim_cur - 200) : 1;
    int count = MANY;
    count = limit < MANY ? (int)limit : count;
    count = room < (unsigned)count ? (int)room : count;
    pid_t pid = fork();
    if (pid == 0)
        _exit(serve_many(count) == 2 * count ? 0 : 1);
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    print_message("%d connections at a time\n", count);
    assert_int_equal(status, 0);
    alv_http_server_stop(server);
}

#define IMPATIENT_TEST(test) cmocka_unit_test_setup_teardown(test, open_impatient, close_server)

int main(void)
{
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        IMPATIENT_TEST(slow__head_is_cut_off),
        IMPATIENT_TEST(slow__head_of_a_second_request_is_cut_off),
        IMPATIENT_TEST(slow__body_is_cut_off),
        IMPATIENT_TEST(slow__readers_are_cut_off),
        IMPATIENT_TEST(many__one_too_many_is_told_so),
        cmocka_unit_test(slow__readers_do_not_fill_the_memory),
        cmocka_unit_test(many__are_kept_and_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
