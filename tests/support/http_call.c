#include "tests/support/http_call.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/alloc.h"
#include "tests/support/wait.h"

static size_t http_call_body(char *data, size_t size, size_t count, void *payload)
{
    alv_bytes_append(payload, data, size * count);
    return size * count;
}

static void http_call_copy(char *out, size_t size, const char *value, size_t length)
{
    while (length > 0 && (value[length - 1] == '\r' || value[length - 1] == '\n'))
        length--;
    (void)snprintf(out, size, "%.*s", (int)length, value);
}

/* Copies the value of a header line that begins with `name`. */
static void http_call_keep(const char *line, size_t length, const char *name, char *out,
                           size_t size)
{
    size_t skip = strlen(name);
    if (length > skip && strncasecmp(line, name, skip) == 0)
        http_call_copy(out, size, line + skip, length - skip);
}

static size_t http_call_header(char *data, size_t size, size_t count, void *payload)
{
    alv_http_result *result = payload;
    size_t length = size * count;
    char nosniff[16] = "";
    http_call_keep(data, length, "Allow: ", result->allow, sizeof result->allow);
    http_call_keep(data, length, "Cache-Control: ", result->cache_control,
                   sizeof result->cache_control);
    http_call_keep(data, length, "WWW-Authenticate: ", result->authenticate,
                   sizeof result->authenticate);
    http_call_keep(data, length, "Content-Security-Policy: ", result->policy,
                   sizeof result->policy);
    http_call_keep(data, length, "X-Content-Type-Options: ", nosniff, sizeof nosniff);
    result->is_nosniff = result->is_nosniff || strcmp(nosniff, "nosniff") == 0;
    return length;
}

static void http_call_perform(CURL *curl, alv_http_result *result)
{
    const char *content_type = NULL;
    curl_off_t retry_after = 0;
    double total_s = 0;
    if (curl_easy_perform(curl) != CURLE_OK)
        return;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &result->status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &content_type);
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &result->connects);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &total_s);
    result->retry_after_s = (int)retry_after;
    result->total_ms = total_s * 1000;
    (void)snprintf(result->content_type, sizeof result->content_type, "%s",
                   content_type != NULL ? content_type : "");
    result->json = json_loadb(result->body.data, result->body.size, 0, NULL);
}

static void http_call_set_up(CURL *curl, const char *method, alv_http_result *result)
{
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 20000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, http_call_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &result->body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, http_call_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, result);
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static alv_http_result http_call_send(CURL *curl, const alv_http_identity *identity,
                                      const char *method, const char *address, const char *path,
                                      const char *header)
{
    alv_http_result result = {.status = 0};
    bool tls = identity->ca != NULL;
    struct curl_slist *headers = header != NULL ? curl_slist_append(NULL, header) : NULL;
    char *url = alv_format("%s://%s%s", tls ? "https" : "http", address, path);
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (tls)
        curl_easy_setopt(curl, CURLOPT_CAINFO, identity->ca);
    if (identity->certificate != NULL) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, identity->certificate);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, identity->key);
    }
    http_call_set_up(curl, method, &result);
    http_call_perform(curl, &result);
    alv_free(url);
    curl_slist_free_all(headers);
    return result;
}

alv_http_result alv_http_call(CURL *curl, const char *method, const char *address, const char *path,
                              const char *header)
{
    static const alv_http_identity nobody = {.ca = NULL};
    CURL *own = curl == NULL ? curl_easy_init() : NULL;
    alv_http_result result =
        http_call_send(curl != NULL ? curl : own, &nobody, method, address, path, header);
    curl_easy_cleanup(own);
    return result;
}

alv_http_result alv_http_call_as(const alv_http_identity *identity, const char *method,
                                 const char *address, const char *path, const char *header)
{
    CURL *curl = curl_easy_init();
    alv_http_result result = http_call_send(curl, identity, method, address, path, header);
    curl_easy_cleanup(curl);
    return result;
}

alv_http_result alv_http_call_post(CURL *curl, const char *address, const char *path,
                                   const char *body, const char *const *headers)
{
    alv_http_result result = {.status = 0};
    CURL *own = curl == NULL ? curl_easy_init() : NULL;
    CURL *used = curl != NULL ? curl : own;
    struct curl_slist *list = NULL;
    bool typed = false;
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i++) {
        list = curl_slist_append(list, headers[i]);
        typed = typed || strncasecmp(headers[i], "Content-Type:", 13) == 0;
    }
    if (!typed)
        list = curl_slist_append(list, "Content-Type: application/json");
    char *url = alv_format("http://%s%s", address, path);
    curl_easy_reset(used);
    curl_easy_setopt(used, CURLOPT_URL, url);
    curl_easy_setopt(used, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(used, CURLOPT_POSTFIELDS, body);
    http_call_set_up(used, "POST", &result);
    http_call_perform(used, &result);
    alv_free(url);
    curl_easy_cleanup(own);
    curl_slist_free_all(list);
    return result;
}

void alv_http_result_done(alv_http_result *result)
{
    alv_bytes_done(&result->body);
    json_decref(result->json);
    result->json = NULL;
}

const char *alv_http_result_text(const alv_http_result *result, const char *name)
{
    const char *text = json_string_value(json_object_get(result->json, name));
    return text != NULL ? text : "";
}

int alv_http_raw_open(const char *address)
{
    alv_address parsed;
    assert_true(alv_address_parse(address, &parsed));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(parsed.port)};
    assert_int_equal(inet_pton(AF_INET, parsed.host, &to.sin_addr), 1);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void alv_http_raw_send(int fd, const void *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the peer has had enough; its answer tells */
        sent += (size_t)n;
    }
}

/* Reads what is there within the deadline; false when there is nothing or the end has come. */
static bool http_raw_more(int fd, int64_t deadline, alv_bytes *out)
{
    char chunk[4096];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (!alv_wait_expired(deadline)) {
        if (poll(&wait, 1, 10) <= 0)
            continue;
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n > 0)
            alv_bytes_append(out, chunk, (size_t)n);
        return n > 0;
    }
    return false;
}

/* Bytes the answer has in all, 0 while that is not known. */
static size_t http_raw_size(const alv_bytes *answer)
{
    char *end = memmem(answer->data, answer->size, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - answer->data) + 4;
    const char *length = memmem(answer->data, head, "Content-Length: ", 16);
    return length == NULL ? head : head + strtoul(length + 16, NULL, 10);
}

int alv_http_raw_read(int fd, int timeout_ms, alv_bytes *out)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    alv_bytes_clear(out);
    alv_bytes_reserve(out, 1);
    do {
        size_t size = http_raw_size(out);
        if (size > 0 && out->size >= size)
            break;
    } while (http_raw_more(fd, deadline, out));
    if (out->size < 12 || memcmp(out->data, "HTTP/1.", 7) != 0)
        return 0;
    return (int)strtol(out->data + 9, NULL, 10);
}

bool alv_http_raw_closed(int fd, int timeout_ms)
{
    int64_t deadline = alv_wait_deadline(timeout_ms);
    alv_bytes dropped = ALV_BYTES_EMPTY;
    while (http_raw_more(fd, deadline, &dropped))
        alv_bytes_clear(&dropped);
    alv_bytes_done(&dropped);
    return !alv_wait_expired(deadline);
}
