/* peer_monitor_links.c — listens to the other nodes. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"

#include "api/peer_monitor_internal.h"

/* ---- what is heard --------------------------------------------------------------------------- */

/* Called by libcurl; 0 ends the transfer. */
static size_t link_take(char *data, size_t size, size_t count, void *payload)
{
    peer_link *link = payload;
    if (size * count == 0) {
        return 0;
    }
    alv_peer_monitor *monitor = link->monitor;
    bool fine =
        alv_peer_hearing_take(&link->hearing, monitor->verdict, (alv_view){data, size * count},
                              alv_peer_monitor_now_ms(monitor));
    return fine ? size * count : 0;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static bool link_is_loopback(const struct sockaddr *address)
{
    union {
        const struct sockaddr *any;
        const struct sockaddr_in *v4;
        const struct sockaddr_in6 *v6;
    } at = {address};
    if (address->sa_family == AF_INET) {
        return ntohl(at.v4->sin_addr.s_addr) >> 24 == 127;
    }
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&at.v6->sin6_addr);
}

/* Called by libcurl for each address it tries; notes what a refusal will be worth. */
static curl_socket_t link_open_socket(void *payload, curlsocktype purpose,
                                      struct curl_sockaddr *address)
{
    (void)purpose;
    peer_link *link = payload;
    link->addresses_tried++;
    link->all_loopback = link->all_loopback && link_is_loopback(&address->addr);
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

/* As in http_client.c: everything is said, the environment is not asked. A connection of its own
 * each time: one that was used before may be broken without anybody knowing. */
static void link_set_up(peer_link *link)
{
    CURL *easy = link->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, link);
    curl_easy_setopt(easy, CURLOPT_URL, link->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, link->monitor->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, link_take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, link);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, link_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, link);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    alv_http_security_apply(link->monitor->options.security, easy);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     alv_http_security_connect_ms(link->monitor->options.security));
}

static void link_open(peer_link *link, int64_t now_ms)
{
    ALV_ASSERT(link->easy == NULL);
    link->easy = curl_easy_init();
    ALV_ASSERT(link->easy != NULL);
    alv_peer_hearing_begin(&link->hearing, now_ms);
    link->addresses_tried = 0;
    link->all_loopback = true;
    link_set_up(link);
    CURLMcode code = curl_multi_add_handle(link->monitor->multi, link->easy);
    ALV_ASSERT(code == CURLM_OK);
}

static void link_shut(peer_link *link)
{
    if (link->easy == NULL) {
        return;
    }
    (void)curl_multi_remove_handle(link->monitor->multi, link->easy); /* it is in, so it succeeds */
    curl_easy_cleanup(link->easy);
    link->easy = NULL;
}

/* To be opened again. */
static void link_wait(peer_link *link, int64_t now_ms)
{
    link_shut(link);
    alv_peer_hearing_end(&link->hearing, now_ms);
}

/* Of several addresses libcurl tells the last error only, so another one may not have been refused.
 * Loopback addresses either answer or refuse. */
static bool link_was_refused(const peer_link *link, CURLcode code)
{
    long system_error = 0;
    if (code != CURLE_COULDNT_CONNECT) {
        return false;
    }
    curl_easy_getinfo(link->easy, CURLINFO_OS_ERRNO, &system_error);
    return system_error == ECONNREFUSED && (link->addresses_tried == 1 || link->all_loopback);
}

static void link_ended(peer_link *link, CURLcode code, int64_t now_ms)
{
    bool refused = link_was_refused(link, code);
    alv_log(ALV_LOG_DEBUG, "peer-stream-ended", "node=%s address=%s refused=%d msg=\"%s\"",
            link->hearing.node_id, link->address, refused, curl_easy_strerror(code));
    link_wait(link, now_ms);
    if (refused) {
        alv_peer_verdict_refused(link->monitor->verdict, link->hearing.node_id);
    }
}

/* ---- all links ------------------------------------------------------------------------------- */

static void link_free(peer_link *link)
{
    link_shut(link);
    alv_peer_hearing_done(&link->hearing);
    alv_free(link->url);
    alv_free(link);
}

static peer_link *links_find(const alv_peer_monitor *monitor, const alv_peer_view *member)
{
    for (size_t i = 0; i < monitor->link_count; i++) {
        peer_link *link = monitor->links[i];
        if (strcmp(link->hearing.node_id, member->node_id) == 0 &&
            strcmp(link->address, member->address) == 0) {
            return link;
        }
    }
    return NULL;
}

static peer_link *links_add(alv_peer_monitor *monitor, const alv_peer_view *member)
{
    peer_link *link = alv_alloc(sizeof *link);
    link->monitor = monitor;
    alv_peer_hearing_init(&link->hearing, member->node_id);
    (void)snprintf(link->address, sizeof link->address, "%s", member->address);
    link->url =
        alv_format("%s://%s/v1/peers/stream", monitor->options.security->scheme, member->address);
    monitor->links =
        alv_realloc(monitor->links, (monitor->link_count + 1) * sizeof *monitor->links);
    monitor->links[monitor->link_count++] = link;
    return link;
}

static void links_free_unwanted(alv_peer_monitor *monitor)
{
    size_t kept = 0;
    for (size_t i = 0; i < monitor->link_count; i++) {
        if (monitor->links[i]->wanted) {
            monitor->links[kept++] = monitor->links[i];
        } else {
            link_free(monitor->links[i]);
        }
    }
    monitor->link_count = kept;
}

void alv_peer_links_set_members(alv_peer_monitor *monitor, const alv_peer_view *members,
                                size_t count)
{
    for (size_t i = 0; i < monitor->link_count; i++) {
        monitor->links[i]->wanted = false;
    }
    for (size_t i = 0; i < count; i++) {
        if (members[i].address[0] == '\0') {
            continue;
        }
        peer_link *link = links_find(monitor, &members[i]);
        if (link == NULL) {
            link = links_add(monitor, &members[i]);
        }
        link->wanted = true;
    }
    links_free_unwanted(monitor);
}

static void links_notice_ends(alv_peer_monitor *monitor, int64_t now_ms)
{
    const CURLMsg *message;
    int left = 0;
    while ((message = curl_multi_info_read(monitor->multi, &left)) != NULL) {
        peer_link *link = NULL;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &link);
        link_ended(link, result, now_ms);
    }
}

/* A name may take longer to look up, and a connection to open, than peers may be silent. */
static int64_t links_patience_ms(const alv_peer_monitor *monitor)
{
    int64_t timeout_ms = monitor->options.timeout_ms;
    return timeout_ms > ALV_HTTP_CONNECT_TIMEOUT_MS ? timeout_ms : ALV_HTTP_CONNECT_TIMEOUT_MS;
}

void alv_peer_links_turn(alv_peer_monitor *monitor)
{
    int running = 0;
    CURLMcode code = curl_multi_perform(monitor->multi, &running);
    ALV_ASSERT(code == CURLM_OK);
    int64_t now_ms = alv_peer_monitor_now_ms(monitor);
    links_notice_ends(monitor, now_ms);
    for (size_t i = 0; i < monitor->link_count; i++) {
        peer_link *link = monitor->links[i];
        if (link->easy != NULL &&
            alv_peer_hearing_is_mute(&link->hearing, links_patience_ms(monitor), now_ms)) {
            link_wait(link, now_ms);
        }
        if (link->easy == NULL && now_ms >= link->hearing.try_at_ms) {
            link_open(link, now_ms);
        }
    }
}

int64_t alv_peer_links_due_ms(const alv_peer_monitor *monitor, int64_t until_ms)
{
    for (size_t i = 0; i < monitor->link_count; i++) {
        const peer_link *link = monitor->links[i];
        if (link->easy == NULL && link->hearing.try_at_ms < until_ms) {
            until_ms = link->hearing.try_at_ms;
        }
    }
    return until_ms;
}

void alv_peer_links_close(alv_peer_monitor *monitor)
{
    for (size_t i = 0; i < monitor->link_count; i++) {
        link_free(monitor->links[i]);
    }
    alv_free(monitor->links);
    monitor->links = NULL;
    monitor->link_count = 0;
}
