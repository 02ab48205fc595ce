#include "api/http_get.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>

#include "base/alloc.h"

void alv_http_get_escape(alv_view text, alv_bytes *out)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        bool plain = (byte < 0x80 && isalnum(byte)) || (byte != 0 && strchr("-._~", byte) != NULL);
        if (plain) {
            alv_bytes_append(out, &text.data[i], 1);
        } else {
            alv_bytes_printf(out, "%%%02X", byte);
        }
    }
}

/* curl's callback for the body; another number than it was given makes curl give up. */
static size_t http_get_write(char *data, size_t size, size_t count, void *payload)
{
    alv_bytes *body = payload;
    size_t bytes = size * count;
    if (body->size + bytes > ALV_HTTP_GET_BYTES_MAX) {
        return 0;
    }
    alv_bytes_append(body, data, bytes);
    return bytes;
}

static void http_get_configure(CURL *curl, const char *url, int timeout_ms, alv_bytes *body,
                               char *error_text)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY,
                     ""); /* a node is asked directly, whatever http_proxy says */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, http_get_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
}

static alv_status http_get_fail(CURLcode code, const char *address, const char *error_text,
                                alv_error *err)
{
    const char *text = error_text[0] != '\0' ? error_text : curl_easy_strerror(code);
    switch (code) {
    case CURLE_WRITE_ERROR:
        return alv_fail_from(err, ALV_REJECT, "curl", (int)code,
                             "the answer of %s is larger than %d bytes", address,
                             ALV_HTTP_GET_BYTES_MAX);
    case CURLE_URL_MALFORMAT:
        return alv_fail_from(err, ALV_REJECT, "curl", (int)code,
                             "\"%s\" is not an address (host:port)", address);
    default:
        return alv_fail_from(err, ALV_RETRY, "curl", (int)code, "no answer from %s: %s", address,
                             text);
    }
}

/* Sends what `curl` is set up for. */
static alv_status http_get_perform(CURL *curl, const alv_http_security *security,
                                   const char *address, const char *path, int timeout_ms,
                                   int *out_http_status, alv_bytes *out_body, alv_error *err)
{
    char error_text[CURL_ERROR_SIZE] = "";
    char *url = alv_format("%s://%s%s", security->scheme, address, path);
    alv_bytes_clear(out_body);
    http_get_configure(curl, url, timeout_ms, out_body, error_text);
    alv_http_security_apply(security, curl);
    CURLcode code = curl_easy_perform(curl);
    alv_status status = ALV_OK;
    if (code == CURLE_OK) {
        long http_status = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http_status);
        *out_http_status = (int)http_status;
    } else {
        status = http_get_fail(code, address, error_text, err);
    }
    alv_free(url);
    return status;
}

alv_status alv_http_get(const alv_http_security *security, const char *address, const char *path,
                        int timeout_ms, int *out_http_status, alv_bytes *out_body, alv_error *err)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        return alv_fail_from(err, ALV_RETRY, "curl", 0, "libcurl cannot be initialised");
    }
    alv_status status =
        http_get_perform(curl, security, address, path, timeout_ms, out_http_status, out_body, err);
    curl_easy_cleanup(curl);
    return status;
}

alv_status alv_http_post(const alv_http_security *security, const char *address, const char *path,
                         alv_view body, const char *header, int timeout_ms, int *out_http_status,
                         alv_bytes *out_body, alv_error *err)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        return alv_fail_from(err, ALV_RETRY, "curl", 0, "libcurl cannot be initialised");
    }
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:"); /* no round trip before a large body */
    if (header != NULL) {
        headers = curl_slist_append(headers, header);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
    alv_status status =
        http_get_perform(curl, security, address, path, timeout_ms, out_http_status, out_body, err);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return status;
}
