#include "api/control_client.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/control.h"
#include "api/control_socket.h"
#include "base/alloc.h"

struct alv_control_client {
    int socket;
    char *checkpoint;
    json_t *answer;
};

/* Reads up to the end of the line; each wait is bounded. */
static alv_status client_read(int socket, char *out, size_t size, alv_error *err)
{
    size_t length = 0;
    while (length < size) {
        struct pollfd wait = {.fd = socket, .events = POLLIN};
        int ready = poll(&wait, 1, ALV_CONTROL_ANSWER_MS);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        ssize_t some = ready > 0 ? read(socket, out + length, size - length) : -1;
        if (some <= 0) {
            return alv_fail(err, ALV_RETRY, "%s",
                            ready == 0 ? "the node does not answer"
                                       : "the node ended before it had answered");
        }
        length += (size_t)some;
        if (out[length - 1] == '\n') {
            out[length - 1] = '\0';
            return ALV_OK;
        }
    }
    return alv_fail(err, ALV_RETRY, "the node's answer is too long");
}

static alv_status client_take_answer(alv_control_client *client, const char *text, alv_error *err)
{
    client->answer = json_loads(text, 0, NULL);
    const char *error = json_string_value(json_object_get(client->answer, "error"));
    if (error != NULL) {
        return alv_fail(err, ALV_RETRY, "the node says: %s", error);
    }
    if (alv_control_client_node(client) == NULL) {
        return alv_fail(err, ALV_RETRY, "the node's answer makes no sense: %.100s", text);
    }
    return ALV_OK;
}

static alv_status client_ask(alv_control_client *client, alv_error *err)
{
    static const char question[] = "checkpoint\n";
    char text[ALV_CONTROL_LINE_BYTES];
    if (send(client->socket, question, sizeof question - 1, MSG_NOSIGNAL) < 0) {
        return alv_fail_from(err, ALV_RETRY, "errno", errno, "the node does not listen: %s",
                             strerror(errno));
    }
    alv_status status = client_read(client->socket, text, sizeof text, err);
    return status == ALV_OK ? client_take_answer(client, text, err) : status;
}

alv_status alv_control_client_open(const char *state_dir, alv_control_client **out, alv_error *err)
{
    alv_control_client *client = alv_alloc(sizeof *client);
    client->socket = -1;
    client->checkpoint = alv_format("%s/" ALV_CONTROL_CHECKPOINT, state_dir);
    alv_status status = alv_control_socket_connect(state_dir, &client->socket, err);
    if (status == ALV_OK) {
        status = client_ask(client, err);
    }
    if (status != ALV_OK) {
        alv_control_client_close(client);
        return status;
    }
    *out = client;
    return ALV_OK;
}

const char *alv_control_client_checkpoint(const alv_control_client *client)
{
    return client->checkpoint;
}

const char *alv_control_client_node(const alv_control_client *client)
{
    return json_string_value(json_object_get(client->answer, "node"));
}

bool alv_control_client_holds(const alv_control_client *client)
{
    struct pollfd end = {.fd = client->socket, .events = POLLIN};
    return poll(&end, 1, 0) == 0; /* the node says nothing more; only its end can be read */
}

void alv_control_client_close(alv_control_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->socket >= 0) {
        (void)close(client->socket);
    }
    json_decref(client->answer);
    alv_free(client->checkpoint);
    alv_free(client);
}
