/* Goal:   whatever bytes a client sends, it is answered by HTTP or cut off, errors are problem documents, and
 *         the server goes on.
 * Method: a node's whole API over a memory store, on a real socket. The input is what one connection sends.
 *         Whoever gets no answer for a moment goes: the server may wait for the rest of a request. That it still
 *         answers is looked at now and then.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"
#include "tests/support/api_node.h"
#include "tests/support/fuzz_target.h"
#include "tests/support/http_call.h"

/* Answers to whole requests come within a millisecond; waiting longer for those that are not would only mean
 * fewer inputs. */
#define ANSWER_MS 20
/* How often the server is asked whether it is well. */
#define INPUTS_PER_CHECK 64

static const char *fuzz_address(void)
{
    static alv_api_node *node;
    static alv_fake_group group;
    if (node == NULL) {
        alv_log_set_level(ALV_LOG_ERROR);
        alv_fake_group_init(&group);
        node = alv_alloc(sizeof *node);
        alv_api_node_open(node, "node-1", &group);
        alv_api_node_activate_all(node);
        alv_api_node_put(node, "mall-1:u1", ALV_VIEW("{\"balance\":1}"), 1);
        alv_api_node_put(node, "transfer/t1", ALV_VIEW("{\"status\":\"completed\"}"), 2);
    }
    return alv_api_node_address(node);
}

/* Where the body of the first answer begins, "100 Continue" left out; NULL when its head is not whole. */
static const char *fuzz_body(const alv_bytes *answer)
{
    const char *head = answer->data;
    while (head != NULL) {
        const char *end = strstr(head, "\r\n\r\n");
        if (end == NULL || strncmp(head, "HTTP/1.1 100", 12) != 0) {
            return end == NULL ? NULL : end + 4;
        }
        head = end + 4;
    }
    return NULL;
}

/* Whether the first answer is whole, or a stream that never is. `answer` ends with a NUL. */
static bool fuzz_is_answered(alv_view request, const alv_bytes *answer)
{
    const char *body = fuzz_body(answer);
    if (body == NULL) {
        return false;
    }
    const char *length = strstr(answer->data, "Content-Length: ");
    bool has_body =
        length != NULL && length < body && !alv_view_starts_with(request, ALV_VIEW("HEAD"));
    size_t size = has_body ? (size_t)strtoull(length + 16, NULL, 10) : 0;
    return (size_t)(answer->data + answer->size - 1 - body) >= size;
}

/* Up to the end of the first answer, or silence. */
static void fuzz_receive(int fd, alv_view request, alv_bytes *out)
{
    char piece[4096];
    ssize_t count = 0;
    alv_bytes_append(out, "", 1);
    do {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        count = poll(&wait, 1, ANSWER_MS) == 1 ? recv(fd, piece, sizeof piece, 0) : 0;
        if (count > 0) {
            out->size--;
            alv_bytes_append(out, piece, (size_t)count);
            alv_bytes_append(out, "", 1);
        }
    } while (count > 0 && !fuzz_is_answered(request, out));
}

/* A peer that has answered and closed may refuse the rest. */
static void fuzz_send(int fd, alv_view bytes)
{
    while (bytes.size > 0) {
        ssize_t count = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (count <= 0) {
            return;
        }
        bytes = (alv_view){bytes.data + count, bytes.size - (size_t)count};
    }
}

/* An error of ours says what is wrong. */
static void fuzz_check_problem(alv_view body, long status)
{
    json_t *problem = json_loadb(body.data, body.size, JSON_DISABLE_EOF_CHECK, NULL);
    ALV_ASSERT(json_is_object(problem));
    ALV_ASSERT(json_integer_value(json_object_get(problem, "status")) == status);
    ALV_ASSERT(json_string_length(json_object_get(problem, "detail")) > 0);
    ALV_ASSERT(json_string_length(json_object_get(problem, "title")) > 0);
    json_decref(problem);
}

static void fuzz_check_answer(alv_view request, const alv_bytes *answer)
{
    const char *body = fuzz_body(answer);
    if (!fuzz_is_answered(request, answer)) {
        return; /* cut off, or waiting */
    }
    const char *head = strstr(answer->data, "HTTP/1.1 100") == answer->data
                           ? strstr(answer->data, "\r\n\r\n") + 4
                           : answer->data;
    ALV_ASSERT(strncmp(head, "HTTP/1.1 ", 9) == 0 || strncmp(head, "HTTP/1.0 ", 9) == 0);
    long status = strtol(head + 9, NULL, 10);
    ALV_ASSERT(status >= 200 && status < 600 && status != 500);
    const char *type = strstr(head, "application/problem+json");
    if (type != NULL && type < body && !alv_view_starts_with(request, ALV_VIEW("HEAD"))) {
        fuzz_check_problem(alv_view_of(body), status);
    }
}

static void fuzz_check_server(const char *address)
{
    static int inputs;
    if (++inputs % INPUTS_PER_CHECK == 0) {
        alv_http_result result =
            alv_http_call(NULL, "GET", address, "/v1/entities/mall-1:u1", NULL);
        ALV_ASSERT(result.status == 200);
        alv_http_result_done(&result);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *address = fuzz_address();
    alv_view request = alv_fuzz_view(data, size);
    alv_bytes answer = ALV_BYTES_EMPTY;
    int fd = alv_http_raw_open(address);
    ALV_ASSERT(fd >= 0);
    fuzz_send(fd, request);
    fuzz_receive(fd, request, &answer);
    (void)close(fd);
    fuzz_check_answer(request, &answer);
    fuzz_check_server(address);
    alv_bytes_done(&answer);
    return 0;
}
