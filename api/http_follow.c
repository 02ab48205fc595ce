#include "api/http_follow.h"

#include <curl/curl.h>
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

#define FOLLOW_CONNECT_MS 2000
#define FOLLOW_LOOK_MS 200
#define FOLLOW_PROBLEM_BYTES_MAX 4096
#define FOLLOW_TYPE "text/event-stream"

typedef struct follow_run {
    const alv_http_follow *options;
    CURL *curl;
    char error_text[CURL_ERROR_SIZE];
    alv_bytes problem; /* the body of an answer that is no stream */
    long status;       /* 0 = no answer yet */
    bool is_stream;    /* the answer is one of events */
    bool too_much;     /* it is none, and goes on and on */
    bool enough;       /* the listener said so */
    int64_t heard_us;
    struct curl_slist *headers;
} follow_run;

static int64_t follow_now_us(void)
{
    return alv_monotonic_us(alv_clock_system());
}

/* Any server answers 200 to something; a node answers with a stream of events. Without a type the head is not whole:
 * the connection has ended. */
static void follow_read_head(follow_run *run)
{
    const char *content_type = NULL;
    curl_easy_getinfo(run->curl, CURLINFO_RESPONSE_CODE, &run->status);
    curl_easy_getinfo(run->curl, CURLINFO_CONTENT_TYPE, &content_type);
    run->is_stream =
        run->status == 200 &&
        (content_type == NULL || strncmp(content_type, FOLLOW_TYPE, strlen(FOLLOW_TYPE)) == 0);
}

/* At the first byte of the body; an error has one as well. */
static void follow_note_status(follow_run *run)
{
    if (run->status != 0) {
        return;
    }
    follow_read_head(run);
    if (run->is_stream && run->options->opened != NULL) {
        run->options->opened(run->options->payload);
    }
}

/* Called by libcurl; another number than it was given ends the transfer. */
static size_t follow_take(char *data, size_t size, size_t count, void *payload)
{
    follow_run *run = payload;
    size_t bytes = size * count;
    run->heard_us = follow_now_us();
    follow_note_status(run);
    if (!run->is_stream) {
        run->too_much = run->problem.size + bytes > FOLLOW_PROBLEM_BYTES_MAX;
        alv_bytes_append(&run->problem, data, run->too_much ? 0 : bytes);
        return run->too_much ? 0 : bytes;
    }
    if (!alv_sse_parser_feed(run->options->parser, (alv_view){data, bytes})) {
        run->enough = true;
        return 0;
    }
    return bytes;
}

static void follow_configure(follow_run *run, const char *url)
{
    CURL *curl = run->curl;
    const alv_bytes *id = &run->options->parser->id;
    if (id->size > 0) {
        char *header = alv_format("Last-Event-ID: %.*s", (int)id->size, id->data);
        run->headers = curl_slist_append(NULL, header);
        alv_free(header);
    }
    alv_http_security_apply(run->options->security, curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* a node is asked directly */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, run->headers);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)FOLLOW_CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, follow_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, run);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, run->error_text);
}

/* Runs the transfer to its end. False: it was stopped, or has been silent for too long. */
static bool follow_transfer(follow_run *run, CURLM *multi, CURLcode *out)
{
    int running = 1;
    run->heard_us = follow_now_us();
    while (running > 0) {
        (void)curl_multi_perform(multi, &running);
        bool silent = follow_now_us() - run->heard_us > run->options->silent_ms * 1000LL;
        if (running > 0 && (silent || *run->options->stop)) {
            return false;
        }
        if (running > 0) {
            (void)curl_multi_poll(multi, NULL, 0, FOLLOW_LOOK_MS, NULL);
        }
    }
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(multi, &left);
    *out = message != NULL ? message->data.result : CURLE_OK;
    return true;
}

/* An answer that is no stream says why (application/problem+json). */
static alv_status follow_refused(const follow_run *run, alv_error *err)
{
    json_t *problem =
        json_loadb(run->problem.size > 0 ? run->problem.data : "", run->problem.size, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    bool later = run->status == 503 || run->status == 429;
    alv_status status =
        alv_fail(err, later ? ALV_RETRY : ALV_REJECT, "%s answers %ld: %s", run->options->address,
                 run->status, detail != NULL ? detail : "is that an Alluvium node?");
    json_decref(problem);
    return status;
}

static alv_status follow_outcome(const follow_run *run, bool ended, CURLcode code, alv_error *err)
{
    const char *address = run->options->address;
    if (run->enough || *run->options->stop) {
        return ALV_OK;
    }
    if (!ended) {
        return alv_fail(err, ALV_RETRY, "%s is silent", address);
    }
    if (code == CURLE_URL_MALFORMAT) {
        return alv_fail(err, ALV_REJECT, "\"%s\" is not an address (host:port)", address);
    }
    if (run->status != 0 && !run->is_stream && (code == CURLE_OK || run->too_much)) {
        return follow_refused(run, err);
    }
    if (code != CURLE_OK) {
        const char *text = run->error_text[0] != '\0' ? run->error_text : curl_easy_strerror(code);
        return alv_fail_from(err, ALV_RETRY, "curl", (int)code, "%s: %s", address, text);
    }
    return alv_fail(err, ALV_RETRY, "%s has ended the stream", address);
}

alv_status alv_http_follow_run(const alv_http_follow *options, alv_error *err)
{
    follow_run run = {.options = options, .curl = curl_easy_init()};
    CURLM *multi = curl_multi_init();
    if (run.curl == NULL || multi == NULL) {
        curl_easy_cleanup(run.curl);
        (void)curl_multi_cleanup(multi); /* fails for NULL only */
        return alv_fail_from(err, ALV_RETRY, "curl", 0, "libcurl cannot be initialised");
    }
    CURLcode code = CURLE_OK;
    char *url = alv_format("%s://%s%s", options->security->scheme, options->address, options->path);
    alv_sse_parser_restart(options->parser);
    follow_configure(&run, url);
    (void)curl_multi_add_handle(multi, run.curl); /* a fresh handle is taken */
    bool ended = follow_transfer(&run, multi, &code);
    if (run.status == 0) {
        follow_read_head(&run);
    }
    alv_status status = follow_outcome(&run, ended, code, err);
    (void)curl_multi_remove_handle(multi, run.curl);
    curl_easy_cleanup(run.curl);
    (void)curl_multi_cleanup(multi);
    curl_slist_free_all(run.headers);
    alv_bytes_done(&run.problem);
    alv_free(url);
    return status;
}
