#include "tests/support/sse.h"

#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/wait.h"

typedef struct sse_stream {
    alv_sse open; /* first: what tests see */
    alv_sse_set *set;
    CURL *curl;
    struct curl_slist *headers;
    int receive_bytes;
    alv_bytes line;
    char *id;       /* of the event that is being read; counts when it is whole */
    alv_bytes data; /* of the event that is being read */
    bool has_data;
    char type[32];
    struct sse_stream *next;
} sse_stream;

struct alv_sse_set {
    CURLM *multi;
    sse_stream *streams;
    alv_sse_heard heard;
    void *payload;
};

/* ---- reading --------------------------------------------------------------------------------- */

static void sse_dispatch(sse_stream *stream)
{
    if (stream->id != NULL) {
        alv_free(stream->open.last_id);
        stream->open.last_id = stream->id;
        stream->id = NULL;
    }
    if (stream->has_data) {
        alv_bytes_append(&stream->data, "", 1);
        const alv_sse_event event = {
            .type = stream->type[0] != '\0' ? stream->type : "message",
            .data = stream->data.data,
            .id = stream->open.last_id,
        };
        stream->open.events++;
        stream->set->heard(stream->set->payload, &stream->open, &event);
    }
    alv_bytes_clear(&stream->data);
    stream->has_data = false;
    stream->type[0] = '\0';
}

static void sse_field(sse_stream *stream, const char *name, const char *value)
{
    if (strcmp(name, "data") == 0) {
        if (stream->has_data)
            alv_bytes_append_text(&stream->data, "\n");
        alv_bytes_append_text(&stream->data, value);
        stream->has_data = true;
    } else if (strcmp(name, "id") == 0) {
        alv_free(stream->id);
        stream->id = alv_strdup(value);
    } else if (strcmp(name, "event") == 0) {
        (void)snprintf(stream->type, sizeof stream->type, "%s", value);
    } else if (strcmp(name, "retry") == 0) {
        stream->open.retry_ms = atoi(value);
    } else {
        fail_msg("a node sends the field \"%s\"", name);
    }
}

static void sse_line(sse_stream *stream, char *line)
{
    if (line[0] == '\0') {
        sse_dispatch(stream);
        return;
    }
    if (line[0] == ':') {
        stream->open.comments++;
        return;
    }
    char *colon = strchr(line, ':');
    if (colon == NULL)
        fail_msg("a node sends the line \"%.200s\"", line);
    *colon = '\0';
    sse_field(stream, line, colon[1] == ' ' ? colon + 2 : colon + 1);
}

/* Lines end with LF here; a CR or NUL within one would be a fault of the node. */
static size_t sse_read(char *data, size_t size, size_t count, void *payload)
{
    sse_stream *stream = payload;
    long status = 0;
    curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &status);
    stream->open.status = (int)status;
    if (status != 200) {
        alv_bytes_append(&stream->open.problem, data, size * count);
        return size * count;
    }
    const char *end = data + size * count;
    if (memchr(data, '\r', size * count) != NULL || memchr(data, '\0', size * count) != NULL)
        fail_msg("a node sends a byte that no line may have");
    for (const char *at = data; at < end;) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        alv_bytes_append(&stream->line, at, (size_t)((feed != NULL ? feed : end) - at));
        if (feed == NULL)
            break;
        alv_bytes_append(&stream->line, "", 1);
        sse_line(stream, stream->line.data);
        alv_bytes_clear(&stream->line);
        at = feed + 1;
    }
    return size * count;
}

/* ---- connections ----------------------------------------------------------------------------- */

static int sse_socket(void *payload, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    const sse_stream *stream = payload;
    if (stream->receive_bytes > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &stream->receive_bytes,
                         sizeof stream->receive_bytes);
    return CURL_SOCKOPT_OK;
}

alv_sse_set *alv_sse_set_new(alv_sse_heard heard, void *payload)
{
    alv_sse_set *set = alv_alloc(sizeof *set);
    set->multi = curl_multi_init();
    set->heard = heard;
    set->payload = payload;
    curl_multi_setopt(set->multi, CURLMOPT_MAXCONNECTS, 1L); /* none is used again */
    return set;
}

void alv_sse_set_free(alv_sse_set *set)
{
    while (set->streams != NULL)
        alv_sse_close(set, &set->streams->open);
    curl_multi_cleanup(set->multi);
    alv_free(set);
}

alv_sse *alv_sse_open(alv_sse_set *set, const char *address, const char *path, const char *last_id,
                      void *user, int receive_bytes)
{
    sse_stream *stream = alv_alloc(sizeof *stream);
    char *url = alv_format("http://%s%s", address, path);
    stream->set = set;
    stream->open.user = user;
    stream->open.last_id = alv_strdup("");
    stream->receive_bytes = receive_bytes;
    stream->curl = curl_easy_init();
    if (last_id != NULL && last_id[0] != '\0') {
        char *header = alv_format("Last-Event-ID: %s", last_id);
        stream->headers = curl_slist_append(NULL, header);
        alv_free(stream->open.last_id);
        stream->open.last_id = alv_strdup(last_id);
        alv_free(header);
    }
    curl_easy_setopt(stream->curl, CURLOPT_URL, url);
    curl_easy_setopt(stream->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(stream->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(stream->curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(stream->curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(stream->curl, CURLOPT_HTTPHEADER, stream->headers);
    curl_easy_setopt(stream->curl, CURLOPT_WRITEFUNCTION, sse_read);
    curl_easy_setopt(stream->curl, CURLOPT_WRITEDATA, stream);
    curl_easy_setopt(stream->curl, CURLOPT_SOCKOPTFUNCTION, sse_socket);
    curl_easy_setopt(stream->curl, CURLOPT_SOCKOPTDATA, stream);
    curl_easy_setopt(stream->curl, CURLOPT_PRIVATE, stream);
    curl_multi_add_handle(set->multi, stream->curl);
    stream->next = set->streams;
    set->streams = stream;
    alv_free(url);
    return &stream->open;
}

void alv_sse_close(alv_sse_set *set, alv_sse *sse)
{
    sse_stream *stream = (sse_stream *)sse;
    sse_stream **link = &set->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    curl_multi_remove_handle(set->multi, stream->curl);
    curl_easy_cleanup(stream->curl);
    curl_slist_free_all(stream->headers);
    alv_free(stream->open.last_id);
    alv_free(stream->id);
    alv_bytes_done(&stream->open.problem);
    alv_bytes_done(&stream->line);
    alv_bytes_done(&stream->data);
    alv_free(stream);
}

void alv_sse_pause(alv_sse *sse, bool paused)
{
    (void)curl_easy_pause(((sse_stream *)sse)->curl, paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void sse_note_ends(alv_sse_set *set)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(set->multi, &left)) != NULL) {
        sse_stream *stream = NULL;
        long status = 0;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&stream);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        stream->open.status = (int)status;
        stream->open.ended = true;
        stream->open.whole =
            message->data.result == CURLE_OK && stream->line.size == 0 && !stream->has_data;
    }
}

void alv_sse_turn(alv_sse_set *set, int timeout_ms)
{
    int running = 0;
    curl_multi_perform(set->multi, &running);
    sse_note_ends(set);
    curl_multi_poll(set->multi, NULL, 0, timeout_ms, NULL);
    curl_multi_perform(set->multi, &running);
    sse_note_ends(set);
}

bool alv_sse_until(alv_sse_set *set, bool (*condition)(void *payload), void *payload,
                   int timeout_ms)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    while (!condition(payload)) {
        if (alv_wait_expired(deadline))
            return false;
        alv_sse_turn(set, 20);
    }
    return true;
}

static bool sse_is_open(void *payload)
{
    const alv_sse *sse = payload;
    return sse->ended || (sse->comments > 0 && sse->last_id[0] != '\0');
}

int alv_sse_wait_open(alv_sse_set *set, alv_sse *sse, int timeout_ms)
{
    return alv_sse_until(set, sse_is_open, sse, timeout_ms) ? sse->status : 0;
}
