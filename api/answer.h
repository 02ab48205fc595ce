/* answer.h — an HTTP answer: status, a few headers, a body.
 *
 * Why:    routes, peers and errors all make one; the server only sends it. Errors are
 *         application/problem+json (RFC 9457): {"type","title","status","detail"}.
 * Thread: one at a time; an answer moves between threads with the request it belongs to.
 * Owns:   its body.
 */
#ifndef ALV_API_ANSWER_H
#define ALV_API_ANSWER_H

#include <jansson.h>
#include <stdint.h>

#include "api/read_floor.h"
#include "base/bytes.h"
#include "base/status.h"

#define ALV_ANSWER_JSON "application/json"
#define ALV_ANSWER_PROBLEM "application/problem+json"

typedef struct alv_answer {
    int status;                 /* HTTP's; 0 = there is no answer yet */
    char content_type[96];      /* media type of the body */
    char allow[32];             /* with 405: the methods there are; else empty */
    int retry_after_s;          /* 0 = no such header */
    alv_read_position position; /* up to where the state in it is complete; zeros = none */
    bool close;                 /* the connection ends with this answer */
    const char *policy; /* Content-Security-Policy of a page; static; NULL = it may load nothing */
    alv_bytes body;
} alv_answer;

#define ALV_ANSWER_NONE ((alv_answer){.status = 0})

/* An answer whose body the caller appends to `answer->body`. */
void alv_answer_begin(alv_answer *answer, int status, const char *content_type);

/* The same; the body will be JSON text. */
void alv_answer_begin_json(alv_answer *answer, int status);

/* An answer with `value` as its body. Steals `value`. */
void alv_answer_set_json(alv_answer *answer, int status, json_t *value);

/* An error. `format` is one sentence for people: what is wrong, and what to do when it is not
 * obvious. 429 and 503 get a Retry-After. */
void alv_answer_set_problem(alv_answer *answer, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with further members for programs, which come last. Steals `members`, an object. */
void alv_answer_set_problem_with(alv_answer *answer, int status, json_t *members,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Appends `text` as a JSON string; bytes that are not UTF-8 become '?'. */
void alv_answer_append_string(alv_answer *answer, alv_view text);

void alv_answer_done(alv_answer *answer);

#endif
