#include "api/http_hosts.h"

#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/backoff.h"

#define HTTP_HOSTS_MAX 64

typedef struct http_host {
    char *address;
    alv_backoff backoff;
    bool trying; /* somebody is finding out */
} http_host;

struct alv_http_hosts {
    http_host items[HTTP_HOSTS_MAX];
    size_t count;
    uint64_t seed;
};

alv_http_hosts *alv_http_hosts_new(void)
{
    alv_http_hosts *hosts = alv_alloc(sizeof *hosts);
    hosts->seed = (uint64_t)(uintptr_t)hosts; /* differs between nodes, which is all it is for */
    return hosts;
}

void alv_http_hosts_free(alv_http_hosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    for (size_t i = 0; i < hosts->count; i++) {
        alv_free(hosts->items[i].address);
    }
    alv_free(hosts);
}

static http_host *hosts_find(alv_http_hosts *hosts, alv_view address)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (alv_view_equal(alv_view_of(hosts->items[i].address), address)) {
            return &hosts->items[i];
        }
    }
    return NULL;
}

static void hosts_remove(alv_http_hosts *hosts, http_host *host)
{
    alv_free(host->address);
    *host = hosts->items[--hosts->count];
}

static http_host *hosts_add(alv_http_hosts *hosts, alv_view address)
{
    if (hosts->count == HTTP_HOSTS_MAX) {
        http_host *first = &hosts->items[0];
        for (size_t i = 1; i < hosts->count; i++) {
            http_host *other = &hosts->items[i];
            first = other->backoff.next_try_at_ms < first->backoff.next_try_at_ms ? other : first;
        }
        hosts_remove(hosts, first);
    }
    http_host *host = &hosts->items[hosts->count++];
    host->address = alv_strndup(address.data, address.size);
    alv_backoff_init(&host->backoff, ++hosts->seed);
    return host;
}

int64_t alv_http_hosts_wait_ms(alv_http_hosts *hosts, alv_view address, int64_t now_ms)
{
    http_host *host = hosts_find(hosts, address);
    if (host == NULL) {
        return 0;
    }
    if (!alv_backoff_due(&host->backoff, now_ms)) {
        return host->backoff.next_try_at_ms - now_ms;
    }
    host->backoff.next_try_at_ms = now_ms + ALV_HTTP_CONNECT_TIMEOUT_MS; /* for everybody else */
    host->trying = true;
    return 0;
}

void alv_http_hosts_failed(alv_http_hosts *hosts, alv_view address, int64_t now_ms)
{
    http_host *host = hosts_find(hosts, address);
    if (host == NULL) {
        host = hosts_add(hosts, address);
    } else if (!host->trying) {
        return; /* it was under way together with one that was counted */
    }
    host->trying = false;
    (void)alv_backoff_failed(&host->backoff, now_ms);
}

void alv_http_hosts_forget(alv_http_hosts *hosts, alv_view address)
{
    http_host *host = hosts_find(hosts, address);
    if (host != NULL) {
        hosts_remove(hosts, host);
    }
}
