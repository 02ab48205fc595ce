#include "api/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/http_limits.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"

#define ANSWER_DETAIL_BYTES 1024

static const struct {
    int status;
    const char *title;
} answer_titles[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

static const char *answer_title(int status)
{
    for (size_t i = 0; i < sizeof answer_titles / sizeof answer_titles[0]; i++) {
        if (answer_titles[i].status == status) {
            return answer_titles[i].title;
        }
    }
    return "Error";
}

void alv_answer_begin(alv_answer *answer, int status, const char *content_type)
{
    alv_bytes_clear(&answer->body);
    *answer = (alv_answer){.status = status, .body = answer->body, .close = answer->close};
    (void)snprintf(answer->content_type, sizeof answer->content_type, "%s", content_type);
}

void alv_answer_begin_json(alv_answer *answer, int status)
{
    alv_answer_begin(answer, status, ALV_ANSWER_JSON);
}

static int answer_append(const char *data, size_t size, void *body)
{
    alv_bytes_append(body, data, size);
    return 0;
}

/* Writes and releases `value`; jansson fails here only for values that we never build. */
static void answer_dump(alv_answer *answer, json_t *value)
{
    ALV_ASSERT(value != NULL);
    int failed = json_dump_callback(value, answer_append, &answer->body,
                                    JSON_COMPACT | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
    ALV_ASSERT(failed == 0);
    json_decref(value);
}

void alv_answer_set_json(alv_answer *answer, int status, json_t *value)
{
    alv_answer_begin_json(answer, status);
    answer_dump(answer, value);
}

/* Takes `members`, which may be NULL. */
static void answer_set_problem(alv_answer *answer, int status, json_t *members, const char *format,
                               va_list arguments)
{
    char detail[ANSWER_DETAIL_BYTES];
    (void)vsnprintf(detail, sizeof detail, format, arguments); /* a longer one is cut */
    alv_utf8_repair(detail);

    alv_answer_begin(answer, status, ALV_ANSWER_PROBLEM);
    if (status == 429 || status == 503) {
        answer->retry_after_s = ALV_HTTP_RETRY_AFTER_S;
    }
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title",
                                answer_title(status), "status", status, "detail", detail);
    if (members != NULL) {
        int failed = json_object_update(problem, members);
        ALV_ASSERT(failed == 0); /* both are objects of ours */
        json_decref(members);
    }
    answer_dump(answer, problem);
}

void alv_answer_set_problem(alv_answer *answer, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    answer_set_problem(answer, status, NULL, format, arguments);
    va_end(arguments);
}

void alv_answer_set_problem_with(alv_answer *answer, int status, json_t *members,
                                 const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    answer_set_problem(answer, status, members, format, arguments);
    va_end(arguments);
}

void alv_answer_append_string(alv_answer *answer, alv_view text)
{
    json_t *value = json_stringn(text.data, text.size);
    if (value == NULL) {
        char *repaired = alv_strndup(text.data, text.size);
        alv_utf8_repair(repaired);
        value = json_string(repaired);
        alv_free(repaired);
    }
    answer_dump(answer, value);
}

void alv_answer_done(alv_answer *answer)
{
    alv_bytes_done(&answer->body);
    *answer = ALV_ANSWER_NONE;
}
