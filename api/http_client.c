#include "api/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/exchange.h"
#include "api/http_hosts.h"
#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/inbox.h"
#include "base/logger.h"

/* The thread wakes at once for a new call, an answer or a stop; this is only how long it sleeps
 * when there is nothing at all to do. */
#define CLIENT_IDLE_MS 10000

/* What somebody asked for; travels through the inbox to the client's thread. */
typedef enum client_wish {
    CLIENT_CALL,
    CLIENT_GIVE_UP, /* those to this address */
    CLIENT_BACK,    /* the address answers again */
} client_wish;

typedef struct client_call {
    client_wish wish;
    char *url;
    size_t host_at; /* where host:port is in it */
    size_t host_size;
    bool is_post;
    alv_bytes body;
    struct curl_slist *headers; /* of a POST, all; NULL = those that every request has */
    alv_http_reply reply;
    void *payload;
} client_call;

/* A call under way; used again for the next one, with the libcurl handle as it was set up. */
typedef struct client_transfer {
    CURL *easy;
    client_call *call;
    alv_answer answer;
    char error[CURL_ERROR_SIZE];
    struct client_transfer *next; /* in `active` or `idle` */
    struct client_transfer *previous;
} client_transfer;

struct alv_http_client {
    const alv_http_security *security;
    CURLM *multi;
    bool is_node;
    struct curl_slist *headers; /* of every request */
    int timeout_ms;
    alv_http_hosts *hosts; /* client's thread */
    pthread_t thread;
    bool started; /* and not yet joined; main only */
    atomic_bool stopping;
    atomic_int call_count; /* accepted and not yet replied to */
    alv_inbox *inbox;      /* client_call */
    client_transfer *active;
    client_transfer *idle;
    int idle_count;
};

static pthread_once_t client_library_once = PTHREAD_ONCE_INIT;

static void client_init_library(void)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    ALV_ASSERT(code == CURLE_OK);
}

/* ---- calls and transfers --------------------------------------------------------------------- */

static void client_free_call(client_call *call)
{
    alv_bytes_done(&call->body);
    curl_slist_free_all(call->headers);
    alv_free(call->url);
    alv_free(call);
}

/* The host:port of a call. */
static alv_view client_host(const client_call *call)
{
    return (alv_view){call->url + call->host_at, call->host_size};
}

static int64_t client_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

/* The end of every call: replies and frees it. */
static void client_reply(alv_http_client *client, client_call *call, alv_status status,
                         alv_answer *answer, const alv_error *err)
{
    atomic_fetch_sub(&client->call_count, 1);
    call->reply(call->payload, status, answer, err);
    client_free_call(call);
}

static void client_give_up(alv_http_client *client, client_call *call, const char *why)
{
    alv_answer none = ALV_ANSWER_NONE;
    alv_error err = ALV_ERROR_NONE;
    (void)alv_fail(&err, ALV_RETRY, "%s", why);
    client_reply(client, call, ALV_RETRY, &none, &err);
}

static size_t client_take_body(char *data, size_t size, size_t count, void *payload)
{
    client_transfer *transfer = payload;
    size_t more = size * count;
    if (more > ALV_HTTP_ANSWER_BYTES_MAX - transfer->answer.body.size) {
        return 0; /* ends the transfer with CURLE_WRITE_ERROR */
    }
    alv_bytes_append(&transfer->answer.body, data, more);
    return more;
}

/* Every setting that matters is said, the environment (http_proxy, .netrc) is not asked, and the
 * path goes out as it is: a key may be "..". libcurl refuses none of these options in the version
 * we need, so results are not looked at one by one; a request that cannot be sent fails by
 * itself. */
static void client_set_up(const alv_http_client *client, client_transfer *transfer)
{
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, client_take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    alv_http_security_apply(client->security, easy);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     alv_http_security_connect_ms(client->security));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)client->timeout_ms);
}

static client_transfer *client_take_transfer(alv_http_client *client)
{
    client_transfer *transfer = client->idle;
    if (transfer != NULL) {
        client->idle = transfer->next;
        client->idle_count--;
        return transfer;
    }
    transfer = alv_alloc(sizeof *transfer);
    transfer->easy = curl_easy_init();
    ALV_ASSERT(transfer->easy != NULL);
    client_set_up(client, transfer);
    return transfer;
}

static void client_free_transfer(client_transfer *transfer)
{
    curl_easy_cleanup(transfer->easy);
    alv_answer_done(&transfer->answer);
    alv_free(transfer);
}

static void client_keep_transfer(alv_http_client *client, client_transfer *transfer)
{
    alv_answer_done(&transfer->answer);
    if (client->idle_count >= ALV_HTTP_FORWARD_CONNECTIONS_MAX) {
        client_free_transfer(transfer);
        return;
    }
    transfer->next = client->idle;
    client->idle = transfer;
    client->idle_count++;
}

static void client_link(alv_http_client *client, client_transfer *transfer)
{
    transfer->previous = NULL;
    transfer->next = client->active;
    if (client->active != NULL) {
        client->active->previous = transfer;
    }
    client->active = transfer;
}

static void client_unlink(alv_http_client *client, client_transfer *transfer)
{
    if (transfer->previous != NULL) {
        transfer->previous->next = transfer->next;
    } else {
        client->active = transfer->next;
    }
    if (transfer->next != NULL) {
        transfer->next->previous = transfer->previous;
    }
}

static void client_set_method(const alv_http_client *client, CURL *easy, const client_call *call)
{
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER,
                     call->headers != NULL ? call->headers : client->headers);
    if (call->is_post) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, alv_bytes_view(&call->body).data);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
}

static void client_begin(alv_http_client *client, client_call *call)
{
    int64_t wait_ms = alv_http_hosts_wait_ms(client->hosts, client_host(call), client_now_ms());
    if (wait_ms > 0) {
        client_give_up(client, call, "it could not be reached a moment ago");
        return;
    }
    client_transfer *transfer = client_take_transfer(client);
    transfer->call = call;
    transfer->error[0] = '\0';
    curl_easy_setopt(transfer->easy, CURLOPT_URL, call->url);
    client_set_method(client, transfer->easy, call);
    CURLMcode code = curl_multi_add_handle(client->multi, transfer->easy);
    ALV_ASSERT(code == CURLM_OK);
    client_link(client, transfer);
}

/* Takes a transfer out of libcurl's hands; its call is the caller's to reply to. */
static client_call *client_detach(alv_http_client *client, client_transfer *transfer)
{
    (void)curl_multi_remove_handle(client->multi, transfer->easy); /* it is in, so it succeeds */
    client_unlink(client, transfer);
    client_call *call = transfer->call;
    transfer->call = NULL;
    return call;
}

static alv_read_position client_read_position(CURL *easy)
{
    struct curl_header *header = NULL;
    alv_read_position position = {0, 0};
    if (curl_easy_header(easy, ALV_EXCHANGE_POSITION, 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
        char *end = NULL;
        position.commands = strtoll(header->value, &end, 10);
        position.changelog = strtoll(end, NULL, 10);
    }
    return position;
}

/* Whether the peer could not even be connected to. */
static bool client_was_unreachable(CURL *easy, CURLcode code)
{
    curl_off_t connected_us = 0;
    curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
           (code == CURLE_OPERATION_TIMEDOUT && connected_us == 0);
}

/* Reads what the peer said beside the body. */
static void client_read_head(client_transfer *transfer)
{
    long status = 0;
    const char *content_type = NULL;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &content_type);
    curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    alv_answer *answer = &transfer->answer;
    answer->status = (int)status;
    answer->retry_after_s = retry_after_s > 0 && retry_after_s < 3600 ? (int)retry_after_s : 0;
    answer->position = client_read_position(transfer->easy);
    (void)snprintf(answer->content_type, sizeof answer->content_type, "%s",
                   content_type != NULL ? content_type : ALV_ANSWER_JSON);
}

/* An address that a peer had may be another server's by now, which answers as well as it can. And when a peer dies
 * within the head of an answer, libcurl takes what has come for a whole one without a body: nodes always say how long
 * theirs is. */
static alv_status client_check_peer(const alv_http_client *client, client_transfer *transfer,
                                    alv_error *err)
{
    struct curl_header *header = NULL;
    int status = transfer->answer.status;
    if (!client->is_node) {
        return ALV_OK;
    }
    if (status == 401 || status == 403) {
        return alv_fail(err, ALV_RETRY, "it answers %d: http.auth.* and http.tls.* do not fit",
                        status);
    }
    curl_off_t size = -1;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    if (size < 0) {
        return alv_fail(err, ALV_RETRY, "its answer (%d) is not whole", status);
    }
    const char *application = client->security->settings->application_id;
    if (curl_easy_header(transfer->easy, ALV_EXCHANGE_APPLICATION, 0, CURLH_HEADER, -1, &header) !=
            CURLHE_OK ||
        strcmp(header->value, application) != 0) {
        return alv_fail(err, ALV_RETRY, "what answers there (%d) is no node of %s", status,
                        application);
    }
    return ALV_OK;
}

static void client_finish(alv_http_client *client, client_transfer *transfer, CURLcode code)
{
    bool unreachable = client_was_unreachable(transfer->easy, code);
    client_call *call = client_detach(client, transfer);
    alv_error err = ALV_ERROR_NONE;
    alv_status status;
    if (unreachable) {
        alv_http_hosts_failed(client->hosts, client_host(call), client_now_ms());
    }
    if (code == CURLE_OK) {
        alv_http_hosts_forget(client->hosts, client_host(call));
        client_read_head(transfer);
        status = client_check_peer(client, transfer, &err);
    } else {
        status =
            alv_fail_from(&err, ALV_RETRY, "libcurl", (int)code, "%s",
                          transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code));
    }
    if (status != ALV_OK) {
        alv_answer_done(&transfer->answer);
    }
    client_reply(client, call, status, &transfer->answer, &err);
    client_keep_transfer(client, transfer);
}

/* The peer that was meant is dead. */
static void client_give_up_peer(alv_http_client *client, const client_call *wish)
{
    for (client_transfer *next, *transfer = client->active; transfer != NULL; transfer = next) {
        next = transfer->next;
        if (alv_view_equal(client_host(transfer->call), client_host(wish))) {
            client_give_up(client, client_detach(client, transfer), "the peer is dead");
            client_keep_transfer(client, transfer);
        }
    }
}

static void client_take(alv_http_client *client, client_call *call)
{
    switch (call->wish) {
    case CLIENT_CALL:
        client_begin(client, call);
        return;
    case CLIENT_GIVE_UP:
        client_give_up_peer(client, call);
        break;
    case CLIENT_BACK:
        alv_http_hosts_forget(client->hosts, client_host(call));
        break;
    }
    client_free_call(call);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* One turn: 1. begin what was asked; 2. let libcurl work; 3. reply to what ended; 4. wait. */
static void client_turn(alv_http_client *client)
{
    client_call *call;
    while ((call = alv_inbox_take(client->inbox)) != NULL) {
        client_take(client, call);
    }
    int running = 0;
    CURLMcode code = curl_multi_perform(client->multi, &running);
    ALV_ASSERT(code == CURLM_OK);
    const CURLMsg *message;
    int left = 0;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        client_transfer *transfer = NULL;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        client_finish(client, transfer, result);
    }
    code = curl_multi_poll(client->multi, NULL, 0, CLIENT_IDLE_MS, NULL);
    ALV_ASSERT(code == CURLM_OK);
}

static void *client_run(void *payload)
{
    alv_http_client *client = payload;
    alv_log_set_thread("http-client");
    while (!atomic_load(&client->stopping)) {
        client_turn(client);
    }
    while (client->active != NULL) {
        client_transfer *transfer = client->active;
        client_give_up(client, client_detach(client, transfer), "this node is stopping");
        client_keep_transfer(client, transfer);
    }
    client_call *call;
    while ((call = alv_inbox_take(client->inbox)) != NULL) {
        if (call->wish == CLIENT_CALL) {
            client_give_up(client, call, "this node is stopping");
        } else {
            client_free_call(call);
        }
    }
    return NULL;
}

static void client_wake(void *payload)
{
    alv_http_client *client = payload;
    (void)curl_multi_wakeup(client->multi); /* fails only when a wake-up is pending already */
}

/* ---- public ---------------------------------------------------------------------------------- */

/* A copy, because libcurl borrows the list for as long as a call lasts. */
static struct curl_slist *client_headers(const alv_http_client *client, struct curl_slist *list)
{
    for (const struct curl_slist *each = client->headers; each != NULL; each = each->next) {
        list = curl_slist_append(list, each->data);
    }
    return list;
}

static void client_introduce(alv_http_client *client)
{
    char *application =
        alv_format("%s: %s", ALV_EXCHANGE_APPLICATION, client->security->settings->application_id);
    client->headers = curl_slist_append(NULL, ALV_EXCHANGE_FORWARDED ": 1");
    client->headers = curl_slist_append(client->headers, application);
    alv_free(application);
}

alv_status alv_http_client_start(const alv_http_security *security, bool is_node, int timeout_ms,
                                 alv_http_client **out, alv_error *err)
{
    int failed = pthread_once(&client_library_once, client_init_library);
    ALV_ASSERT(failed == 0);
    alv_http_client *client = alv_alloc(sizeof *client);
    client->security = security;
    client->multi = curl_multi_init();
    ALV_ASSERT(client->multi != NULL);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)ALV_HTTP_FORWARD_CONNECTIONS_MAX);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)ALV_HTTP_FORWARDS_MAX);
    client->timeout_ms = timeout_ms;
    client->hosts = alv_http_hosts_new();
    client->is_node = is_node;
    if (is_node) {
        client_introduce(client);
    }
    client->inbox = alv_inbox_new(ALV_HTTP_FORWARDS_MAX, NULL);
    alv_inbox_set_wake(client->inbox, client_wake, client);
    int code = pthread_create(&client->thread, NULL, client_run, client);
    client->started = code == 0;
    if (code != 0) {
        alv_http_client_free(client);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = client;
    return ALV_OK;
}

static client_call *client_call_new(const alv_http_client *client, client_wish wish,
                                    const char *address, alv_view path)
{
    client_call *call = alv_alloc(sizeof *call);
    call->wish = wish;
    const char *scheme = client->security->scheme;
    call->url = alv_format("%s://%s%.*s", scheme, address, (int)path.size, path.data);
    call->host_at = strlen(scheme) + strlen("://");
    call->host_size = strlen(address);
    return call;
}

/* The count, not the inbox, is what bounds: a call leaves the inbox when it is begun. */
static bool client_post(alv_http_client *client, client_call *call, alv_http_reply reply,
                        void *payload)
{
    call->reply = reply;
    call->payload = payload;
    if (atomic_fetch_add(&client->call_count, 1) < ALV_HTTP_FORWARDS_MAX &&
        alv_inbox_try_post(client->inbox, call)) {
        return true;
    }
    atomic_fetch_sub(&client->call_count, 1);
    client_free_call(call);
    return false;
}

bool alv_http_client_get(alv_http_client *client, const char *address, alv_view path,
                         alv_http_reply reply, void *payload)
{
    return client_post(client, client_call_new(client, CLIENT_CALL, address, path), reply, payload);
}

/* An empty "Expect:" keeps libcurl from waiting for a 100 before it sends a large body. */
bool alv_http_client_post(alv_http_client *client, const char *address, alv_view path,
                          alv_bytes *body, const char *const *headers, size_t header_count,
                          alv_http_reply reply, void *payload)
{
    client_call *call = client_call_new(client, CLIENT_CALL, address, path);
    call->is_post = true;
    call->body = *body;
    *body = ALV_BYTES_EMPTY;
    call->headers = curl_slist_append(NULL, "Content-Type: " ALV_ANSWER_JSON);
    call->headers = curl_slist_append(call->headers, "Expect:");
    call->headers = client_headers(client, call->headers);
    for (size_t i = 0; i < header_count; i++) {
        call->headers = curl_slist_append(call->headers, headers[i]);
    }
    return client_post(client, call, reply, payload);
}

/* With no room for the wish the time-out, or the end of the pause, will do. */
static void client_wish_for(alv_http_client *client, client_wish wish, const char *address)
{
    client_call *call = client_call_new(client, wish, address, ALV_VIEW("/"));
    if (!alv_inbox_try_post(client->inbox, call)) {
        client_free_call(call);
    }
}

void alv_http_client_give_up(alv_http_client *client, const char *address)
{
    client_wish_for(client, CLIENT_GIVE_UP, address);
}

void alv_http_client_back(alv_http_client *client, const char *address)
{
    client_wish_for(client, CLIENT_BACK, address);
}

void alv_http_client_stop(alv_http_client *client)
{
    if (!client->started) {
        return;
    }
    alv_inbox_close(client->inbox); /* first: nothing can be posted after the thread's last look */
    atomic_store(&client->stopping, true);
    client_wake(client);
    int failed = pthread_join(client->thread, NULL);
    ALV_ASSERT(failed == 0);
    client->started = false;
    ALV_ASSERT(atomic_load(&client->call_count) == 0);
}

void alv_http_client_free(alv_http_client *client)
{
    if (client == NULL) {
        return;
    }
    alv_http_client_stop(client);
    while (client->idle != NULL) {
        client_transfer *transfer = client->idle;
        client->idle = transfer->next;
        client_free_transfer(transfer);
    }
    (void)curl_multi_cleanup(client->multi); /* no handle is in it any more */
    curl_slist_free_all(client->headers);
    alv_http_hosts_free(client->hosts);
    alv_inbox_free(client->inbox);
    alv_free(client);
}
