#include "api/letters.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_limits.h"
#include "api/letters_internal.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/inbox.h"
#include "base/limits.h"
#include "base/logger.h"

#define LETTERS_LIMIT_USUAL 100
#define LETTERS_NUMBER_BYTES 24
#define LETTERS_REASON_BYTES 64

/* Without a request for so long the reader is closed. */
#define LETTERS_IDLE_MS 60000

typedef struct letters_request {
    alv_exchange *exchange;
    letters_query query;
} letters_request;

struct alv_letters {
    alv_letters_options options;
    pthread_t thread;
    bool started;       /* and not yet joined; main only */
    alv_inbox *inbox;   /* letters_request */
    alv_reader *reader; /* its thread's; NULL = nobody has asked for a while */
};

static void letters_free_request(letters_request *request)
{
    alv_bytes_done(&request->query.reason);
    alv_bytes_done(&request->query.key);
    alv_free(request);
}

static void letters_refuse(letters_request *request, int status, const char *why)
{
    alv_answer answer = ALV_ANSWER_NONE;
    alv_answer_set_problem(&answer, status, "%s", why);
    alv_exchange_answer(request->exchange, &answer);
    letters_free_request(request);
}

/* ---- the request, on the server's thread ----------------------------------------------------- */

static alv_status letters_number(const alv_exchange *exchange, const char *name, int64_t low,
                                 int64_t high, bool *out_found, int64_t *out, alv_error *err)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_status status =
        alv_exchange_query(exchange, name, LETTERS_NUMBER_BYTES, out_found, &text, err);
    if (status == ALV_OK && *out_found) {
        char *end = NULL;
        alv_bytes_append(&text, "", 1);
        *out = strtoll(text.data, &end, 10);
        if (end == text.data || *end != '\0' || *out < low || *out > high) {
            status = alv_fail(err, ALV_REJECT, "%s must be a number from %lld to %lld", name,
                              (long long)low, (long long)high);
        }
    }
    alv_bytes_done(&text);
    return status;
}

static alv_status letters_read_query(const alv_letters *letters, const alv_exchange *exchange,
                                     letters_query *query, alv_error *err)
{
    bool found = false;
    bool has_shard = false;
    bool has_after = false;
    int64_t limit = LETTERS_LIMIT_USUAL;
    int64_t shard = -1;
    query->before = INT64_MAX;
    alv_status status =
        letters_number(exchange, "limit", 1, ALV_HTTP_LETTERS_LIMIT_MAX, &found, &limit, err);
    if (status == ALV_OK) {
        status = letters_number(exchange, "shard", 0, letters->options.shard_count - 1, &has_shard,
                                &shard, err);
    }
    if (status == ALV_OK) {
        status = letters_number(exchange, "after", 0, INT64_MAX, &has_after, &query->before, err);
    }
    if (status == ALV_OK) {
        status = alv_exchange_query(exchange, "reason", LETTERS_REASON_BYTES, &found,
                                    &query->reason, err);
    }
    if (status == ALV_OK) {
        status = alv_exchange_query(exchange, "key", ALV_KEY_BYTES_MAX, &found, &query->key, err);
    }
    if (status == ALV_OK && has_after && !has_shard) {
        status = alv_fail(err, ALV_REJECT, "after is an offset of one shard: name that as well");
    }
    query->limit = (size_t)limit;
    query->shard = (int32_t)shard;
    return status;
}

void alv_letters_list(alv_letters *letters, alv_exchange *exchange)
{
    letters_request *request = alv_alloc(sizeof *request);
    alv_error err = ALV_ERROR_NONE;
    request->exchange = exchange;
    if (letters_read_query(letters, exchange, &request->query, &err) != ALV_OK) {
        letters_refuse(request, 400, err.text);
    } else if (letters->options.log == NULL) {
        letters_refuse(request, 503, "this node cannot read from Kafka");
    } else {
        alv_exchange_defer(exchange);
        if (!alv_inbox_try_post(letters->inbox, request)) {
            letters_refuse(request, 429, "too many lists of dead letters are under way");
        }
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void letters_close_reader(alv_letters *letters)
{
    if (letters->reader != NULL) {
        letters->reader->ops->close(letters->reader);
        letters->reader = NULL;
    }
}

/* After a failure the next request begins with a new reader. */
static void letters_serve(alv_letters *letters, letters_request *request)
{
    alv_log_port *log = letters->options.log;
    alv_answer answer = ALV_ANSWER_NONE;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = letters->reader != NULL
                            ? ALV_OK
                            : log->ops->open_reader(log, "letters", &letters->reader, &err);
    if (status == ALV_OK) {
        status = alv_letters_read(&letters->options, letters->reader, &request->query,
                                  letters->inbox, &answer, &err);
    }
    if (status == ALV_OK) {
        alv_exchange_answer(request->exchange, &answer);
        letters_free_request(request);
        return;
    }
    if (status != ALV_REJECT) {
        letters_close_reader(letters);
    }
    letters_refuse(request, status == ALV_REJECT ? 400 : 503, err.text);
}

static void *letters_run(void *payload)
{
    alv_letters *letters = payload;
    alv_log_set_thread("http-letters");
    while (!alv_inbox_is_closed(letters->inbox)) {
        letters_request *request = NULL;
        (void)alv_inbox_wait(letters->inbox, LETTERS_IDLE_MS);
        bool any = false;
        while (!alv_inbox_is_closed(letters->inbox) &&
               (request = alv_inbox_take(letters->inbox)) != NULL) {
            letters_serve(letters, request);
            any = true;
        }
        if (!any) {
            letters_close_reader(letters);
        }
    }
    letters_close_reader(letters);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

alv_status alv_letters_start(const alv_letters_options *options, alv_letters **out, alv_error *err)
{
    alv_letters *letters = alv_alloc(sizeof *letters);
    letters->options = *options;
    letters->inbox = alv_inbox_new(ALV_HTTP_LETTERS_WAITING_MAX, NULL);
    int code = pthread_create(&letters->thread, NULL, letters_run, letters);
    letters->started = code == 0;
    if (code != 0) {
        alv_letters_free(letters);
        return alv_fail_from(err, ALV_FATAL, "errno", code, "no thread: %s", strerror(code));
    }
    *out = letters;
    return ALV_OK;
}

void alv_letters_stop(alv_letters *letters)
{
    if (!letters->started) {
        return;
    }
    alv_inbox_close(letters->inbox);
    int failed = pthread_join(letters->thread, NULL);
    ALV_ASSERT(failed == 0);
    letters->started = false;
    letters_request *request = NULL;
    while ((request = alv_inbox_take(letters->inbox)) != NULL) {
        letters_refuse(request, 503, "this node is stopping");
    }
}

void alv_letters_free(alv_letters *letters)
{
    if (letters == NULL) {
        return;
    }
    alv_letters_stop(letters);
    alv_inbox_free(letters->inbox);
    alv_free(letters);
}
