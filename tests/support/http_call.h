/* http_call.h — HTTP requests of a test: whole ones through libcurl, odd ones byte by byte.
 *
 * Why:    the server is tested with a client that is not ours, and with what no client would send.
 * Thread: any, each call by itself.
 * Owns:   results belong to the caller.
 * Fails:  a request that gets no HTTP answer has status 0.
 */
#ifndef ALV_TESTS_SUPPORT_HTTP_CALL_H
#define ALV_TESTS_SUPPORT_HTTP_CALL_H

#include <curl/curl.h>
#include <jansson.h>

#include "base/bytes.h"

typedef struct alv_http_result {
    long status;
    char content_type[64];
    char allow[64];
    char cache_control[32];
    char authenticate[64]; /* WWW-Authenticate */
    char policy[128];      /* Content-Security-Policy */
    bool is_nosniff;
    int retry_after_s;
    long connects; /* new connections this request needed */
    double total_ms;
    alv_bytes body;
    json_t *json; /* the body, NULL when it is not JSON */
} alv_http_result;

/* Sends METHOD http://address/path; `header` may be NULL. `curl` NULL = a connection of its own. */
alv_http_result alv_http_call(CURL *curl, const char *method, const char *address, const char *path,
                              const char *header);

/* What a client trusts and shows: PEM files; NULL = nothing. */
typedef struct alv_http_identity {
    const char *ca; /* NULL = plain HTTP */
    const char *certificate;
    const char *key;
} alv_http_identity;

/* The same, over a connection of its own. */
alv_http_result alv_http_call_as(const alv_http_identity *identity, const char *method,
                                 const char *address, const char *path, const char *header);

/* The same with a body of application/json; `headers` is a NULL-terminated list, or NULL. */
alv_http_result alv_http_call_post(CURL *curl, const char *address, const char *path,
                                   const char *body, const char *const *headers);
void alv_http_result_done(alv_http_result *result);

/* A string member of the JSON body, "" when there is none. */
const char *alv_http_result_text(const alv_http_result *result, const char *name);

/* A raw connection to "127.0.0.1:port"; the caller closes it. */
int alv_http_raw_open(const char *address);
void alv_http_raw_send(int fd, const void *data, size_t size);

/* Reads until the head of an answer and as many bytes of body as it announces are there, the peer
 * closes, or `timeout_ms` have passed; returns the status code, 0 when there is no answer. */
int alv_http_raw_read(int fd, int timeout_ms, alv_bytes *out);

/* Whether the peer closes within `timeout_ms`; what it still sends is dropped. */
bool alv_http_raw_closed(int fd, int timeout_ms);

#endif
