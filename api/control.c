#include "api/control.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/control_socket.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/logger.h"
#include "statestore/store_checkpoint.h"

/* An answer fits into a socket's buffer; whoever does not read does not get one. */
#define CONTROL_SEND_MS 1000
#define CONTROL_QUESTION_BYTES 64

struct alv_control {
    alv_control_options options;
    char *checkpoint; /* its path */
    int listener;
    int stop; /* an eventfd; readable: end */
    pthread_t thread;
};

/* ---- waiting --------------------------------------------------------------------------------- */

/* Waits until `fd` (or, with -1, nothing but the stop) has something to be read. False: told to stop, or
 * nothing came in time. */
static bool control_wait(const alv_control *control, int fd, int timeout_ms)
{
    struct pollfd waits[2] = {{.fd = control->stop, .events = POLLIN},
                              {.fd = fd, .events = POLLIN}};
    int ready;
    do {
        ready = poll(waits, 2, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 && waits[0].revents == 0;
}

/* Only whoever runs the node, and root. The directory's permissions say so already; an operator may have
 * made it wider than this program does. */
static bool control_may_ask(int client)
{
    struct ucred who;
    socklen_t size = sizeof who;
    return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
           (who.uid == geteuid() || who.uid == 0);
}

/* Reads one line, without its end. False: none came in time. */
static bool control_read_line(const alv_control *control, int client, char *out, size_t size)
{
    size_t length = 0;
    while (length + 1 < size && control_wait(control, client, ALV_CONTROL_ASK_MS)) {
        ssize_t some = read(client, out + length, size - 1 - length);
        if (some <= 0) {
            return false;
        }
        length += (size_t)some;
        char *end = memchr(out, '\n', length);
        if (end != NULL) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

/* Takes `answer`. */
static void control_answer(int client, json_t *answer)
{
    ALV_ASSERT(answer != NULL);
    struct timeval patience = {.tv_sec = CONTROL_SEND_MS / 1000};
    char *text = json_dumps(answer, JSON_COMPACT);
    char *line = alv_format("%s\n", text);
    (void)setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)send(client, line, strlen(line), MSG_NOSIGNAL); /* whoever has gone needs no answer */
    alv_free(line);
    free(text); /* jansson's */
    json_decref(answer);
}

/* ---- a checkpoint ---------------------------------------------------------------------------- */

/* Until the command has gone. Others are told that they must wait. */
static void control_hold(const alv_control *control, int client)
{
    struct pollfd waits[3] = {{.fd = control->stop, .events = POLLIN},
                              {.fd = client, .events = POLLIN},
                              {.fd = control->listener, .events = POLLIN}};
    for (;;) {
        int ready = poll(waits, 3, -1);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (waits[0].revents != 0 || waits[1].revents != 0) {
            return;
        }
        int other = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
        if (other >= 0) {
            char line[CONTROL_QUESTION_BYTES]; /* unread, it would take the answer with it */
            (void)control_read_line(control, other, line, sizeof line);
            control_answer(other, json_pack("{s:s}", "error",
                                            "another backup or verify is at work on this node; "
                                            "try again when it is done"));
            (void)close(other); /* told */
        }
    }
}

static void control_remove_checkpoint(const alv_control *control)
{
    alv_error err = ALV_ERROR_NONE;
    if (alv_store_checkpoint_remove(control->checkpoint, &err) != ALV_OK) {
        alv_log_error(ALV_LOG_WARN, "checkpoint-stays", &err, "path=%s", control->checkpoint);
    }
}

static void control_serve_checkpoint(const alv_control *control, int client)
{
    alv_error err = ALV_ERROR_NONE;
    const alv_clock *clock = alv_clock_system();
    int64_t begun_at_us = alv_monotonic_us(clock);
    control_remove_checkpoint(control);
    if (alv_store_checkpoint_make(control->options.store, control->checkpoint, &err) != ALV_OK) {
        alv_log_error(ALV_LOG_WARN, "checkpoint-failed", &err, "path=%s", control->checkpoint);
        control_answer(client, json_pack("{s:s}", "error", err.text));
    } else {
        alv_log(ALV_LOG_INFO, "checkpoint-made", "path=%s took_ms=%" PRId64, control->checkpoint,
                (alv_monotonic_us(clock) - begun_at_us) / 1000);
        control_answer(client, json_pack("{s:s}", "node", control->options.node_id));
        control_hold(control, client);
    }
    control_remove_checkpoint(control);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void control_serve(const alv_control *control, int client)
{
    char line[CONTROL_QUESTION_BYTES];
    if (!control_read_line(control, client, line, sizeof line)) {
        return;
    }
    if (!control_may_ask(client)) {
        control_answer(client, json_pack("{s:s}", "error", "only the user who runs the node may"));
    } else if (strcmp(line, "checkpoint") == 0) {
        control_serve_checkpoint(control, client);
    } else {
        control_answer(client,
                       json_pack("{s:s}", "error", "this node does not know that question"));
    }
}

static void *control_main(void *payload)
{
    const alv_control *control = payload;
    alv_log_set_thread("control");
    while (control_wait(control, control->listener, -1)) {
        int client = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0) {
            control_serve(control, client);
            (void)close(client); /* answered */
        }
    }
    return NULL;
}

static alv_status control_listen(alv_control *control, alv_error *err)
{
    const char *state_dir = control->options.state_dir;
    control->checkpoint = alv_format("%s/" ALV_CONTROL_CHECKPOINT, state_dir);
    control_remove_checkpoint(control);
    return alv_control_socket_listen(state_dir, &control->listener, err);
}

alv_status alv_control_start(const alv_control_options *options, alv_control **out, alv_error *err)
{
    alv_control *control = alv_alloc(sizeof *control);
    control->options = *options;
    alv_status status = control_listen(control, err);
    if (status != ALV_OK) {
        alv_free(control->checkpoint);
        alv_free(control);
        return status;
    }
    control->stop = eventfd(0, EFD_CLOEXEC);
    ALV_ASSERT(control->stop >= 0);
    ALV_ASSERT(pthread_create(&control->thread, NULL, control_main, control) == 0);
    *out = control;
    return ALV_OK;
}

void alv_control_stop(alv_control *control)
{
    if (control == NULL) {
        return;
    }
    (void)eventfd_write(control->stop, 1); /* once: it cannot be full */
    ALV_ASSERT(pthread_join(control->thread, NULL) == 0);
    alv_control_socket_remove(control->options.state_dir);
    (void)close(control->listener);
    (void)close(control->stop);
    alv_free(control->checkpoint);
    alv_free(control);
}
