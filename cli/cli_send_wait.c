/* cli_send_wait.c — `alluvium send --wait`: commands over HTTP, one after the other, with their replies.
 *
 * Each has an idempotency key, made up unless one was given: when a node does not answer, or says that the
 * outcome is unknown, the command is sent again under the same key, so it is executed once whatever happens on
 * the way.
 */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include "api/http_get.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "cli/cli_progress.h"
#include "cli/cli_send_internal.h"
#include "topics/schema.h"

#define WAIT_CALL_MS 15000  /* above what a node takes to say that it does not know */
#define WAIT_TRIES_MS 60000 /* then no node is there that could */
#define WAIT_ID_BYTES 33

typedef struct wait_run {
    const send_options *options;
    alv_http_security security;
    const char *address;
    alv_backoff backoff;
    uint64_t done;
    uint64_t rejected;
    alv_cli_progress progress;
} wait_run;

/* What a node said. */
typedef struct wait_answer {
    int http_status;
    alv_bytes body;
    json_t *json; /* NULL = none */
} wait_answer;

static void wait_answer_done(wait_answer *answer)
{
    alv_bytes_done(&answer->body);
    json_decref(answer->json);
}

static void wait_make_id(char out[WAIT_ID_BYTES])
{
    unsigned char random[(WAIT_ID_BYTES - 1) / 2];
    ssize_t size = getrandom(random, sizeof random, 0);
    ALV_ASSERT(size == (ssize_t)sizeof random); /* so few bytes always come */
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", random[i]);
    }
}

/* The one that was given, or `made`. */
static const char *wait_idempotency_key(const send_options *options, const char *made)
{
    for (size_t i = 0; i < options->header_count; i++) {
        if (strcmp(options->headers[i].name, ALV_HEADER_IDEMPOTENCY_KEY) == 0) {
            return options->headers[i].value.data; /* of argv, so it ends with a NUL */
        }
    }
    return made;
}

/* ---- one command ----------------------------------------------------------------------------- */

static alv_status wait_call(wait_run *run, const char *path, const char *header, alv_view value,
                            wait_answer *out, alv_error *err)
{
    json_decref(out->json);
    out->json = NULL;
    out->http_status = 0;
    alv_status status = alv_http_post(&run->security, run->address, path, value, header,
                                      WAIT_CALL_MS, &out->http_status, &out->body, err);
    if (status == ALV_OK) {
        alv_view body = alv_bytes_view(&out->body);
        out->json = json_loadb(body.data, body.size, 0, NULL);
    }
    return status;
}

static bool wait_is_worth_another_try(alv_status status, int http_status)
{
    return status == ALV_RETRY ||
           (status == ALV_OK && (http_status == 429 || http_status == 503 || http_status == 504));
}

/* Until there is an answer that says what became of the command. */
static alv_status wait_send(wait_run *run, alv_view key, alv_view value, wait_answer *out,
                            alv_error *err)
{
    const alv_clock *clock = alv_clock_system();
    char made[WAIT_ID_BYTES];
    alv_bytes path = ALV_BYTES_EMPTY;
    wait_make_id(made);
    char *header = alv_format("Idempotency-Key: %s", wait_idempotency_key(run->options, made));
    alv_bytes_append_text(&path, "/v1/entities/");
    alv_http_get_escape(key, &path);
    alv_bytes_append(&path, "/commands", sizeof "/commands"); /* with the NUL */
    int64_t now_ms = alv_monotonic_us(clock) / 1000;
    int64_t until_ms = now_ms + WAIT_TRIES_MS;
    alv_status status;
    for (;;) {
        alv_error_clear(err);
        status = wait_call(run, path.data, header, value, out, err);
        now_ms = alv_monotonic_us(clock) / 1000;
        if (!wait_is_worth_another_try(status, out->http_status) || now_ms >= until_ms) {
            break;
        }
        (void)poll(NULL, 0, (int)(alv_backoff_failed(&run->backoff, now_ms) - now_ms));
    }
    alv_backoff_succeeded(&run->backoff);
    alv_bytes_done(&path);
    alv_free(header);
    return status;
}

/* ---- what is printed ------------------------------------------------------------------------- */

static void wait_print_json(alv_view key, const wait_answer *answer)
{
    json_t *line =
        json_pack("{s:s%, s:i}", "key", key.data, key.size, "http_status", answer->http_status);
    ALV_ASSERT(line != NULL);
    if (json_is_object(answer->json)) {
        (void)json_object_update_missing(line, answer->json);
    }
    (void)json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

static void wait_print_reply(const wait_run *run, alv_view key, const wait_answer *answer)
{
    if (run->options->key == NULL) {
        printf("%.*s\t", (int)key.size, key.data);
    }
    json_t *reply = json_object_get(answer->json, "reply");
    (void)json_dumpf(reply != NULL ? reply : json_null(), stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
}

static const char *wait_detail(const wait_answer *answer)
{
    const char *text = json_string_value(json_object_get(answer->json, "detail"));
    return text != NULL ? text : "no reason given";
}

/* A rejection is an outcome: the next command is sent all the same. Anything else ends the run. */
static alv_status wait_settle(wait_run *run, alv_view key, const wait_answer *answer,
                              alv_error *err)
{
    if (run->options->common.json) {
        wait_print_json(key, answer);
    } else if (answer->http_status == 200) {
        wait_print_reply(run, key, answer);
    }
    if (answer->http_status == 200) {
        run->done++;
        return ALV_OK;
    }
    if (answer->http_status == 422) {
        run->rejected++;
        (void)alv_cli_fail(&run->options->common, ALV_EXIT_FAILED, NULL, "%.*s: %s", (int)key.size,
                           key.data, wait_detail(answer));
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT, "%.*s: HTTP status %d: %s", (int)key.size, key.data,
                    answer->http_status, wait_detail(answer));
}

static alv_status wait_command(wait_run *run, alv_view key, alv_view value, alv_error *err)
{
    alv_status status =
        run->options->raw ? ALV_OK : alv_cli_send_check(key, value, err); /* as without --wait */
    if (status != ALV_OK) {
        return status;
    }
    wait_answer answer = {.json = NULL};
    status = wait_send(run, key, value, &answer, err);
    if (status == ALV_OK) {
        status = wait_settle(run, key, &answer, err);
    }
    wait_answer_done(&answer);
    return status;
}

/* ---- the run --------------------------------------------------------------------------------- */

static alv_status wait_line(wait_run *run, uint64_t number, alv_view line, alv_error *err)
{
    alv_view key;
    alv_view value;
    alv_error why = ALV_ERROR_NONE;
    alv_status status = alv_cli_send_split(line, &key, &value, &why);
    if (status == ALV_OK && key.data != NULL) {
        status = wait_command(run, key, value, &why);
    }
    return status == ALV_OK ? ALV_OK
                            : alv_fail(err, status, "line %" PRIu64 ": %s", number, why.text);
}

static alv_status wait_stdin(wait_run *run, alv_error *err)
{
    alv_bytes line = ALV_BYTES_EMPTY;
    alv_status status = ALV_OK;
    uint64_t bytes_read = 0;
    for (uint64_t number = 1; status == ALV_OK && alv_cli_send_read_line(stdin, &line); number++) {
        bytes_read += line.size + 1;
        status = wait_line(run, number, alv_bytes_view(&line), err);
        alv_cli_progress_update(&run->progress, number, alv_cli_send_fraction(bytes_read));
    }
    if (status == ALV_OK && ferror(stdin)) {
        status = alv_fail(err, ALV_RETRY, "cannot read stdin");
    }
    alv_bytes_done(&line);
    return status;
}

static int wait_finish(wait_run *run, alv_status status, const alv_error *err)
{
    const alv_cli_options *common = &run->options->common;
    alv_cli_progress_done(&run->progress);
    if (status != ALV_OK) {
        (void)alv_cli_fail_error(
            common, err, status == ALV_RETRY ? "--node HOST:PORT names another node" : NULL);
    }
    if (status == ALV_OK && run->rejected == 0) {
        return ALV_EXIT_DONE;
    }
    if (run->options->key == NULL) {
        (void)alv_cli_fail(common, ALV_EXIT_FAILED, NULL, "%" PRIu64 " done, %" PRIu64 " rejected",
                           run->done, run->rejected);
    }
    return ALV_EXIT_FAILED;
}

int alv_cli_send_wait(const send_options *options, const alv_config *config)
{
    const alv_cli_options *common = &options->common;
    wait_run run = {.options = options};
    for (size_t i = 0; i < options->header_count; i++) {
        if (strcmp(options->headers[i].name, ALV_HEADER_IDEMPOTENCY_KEY) != 0) {
            return alv_cli_fail(common, ALV_EXIT_USAGE, "without --wait every header goes along",
                                "with --wait only the header " ALV_HEADER_IDEMPOTENCY_KEY
                                " can be set");
        }
    }
    if (options->key == NULL && options->header_count > 0) {
        return alv_cli_fail(common, ALV_EXIT_USAGE, NULL,
                            "one idempotency key for all lines would execute the first alone");
    }
    run.address = alv_cli_node_address(common, options->node, config);
    if (run.address == NULL) {
        return ALV_EXIT_USAGE;
    }
    alv_http_security_init_client(alv_config_settings(config), &run.security);
    alv_backoff_init(&run.backoff, (uint64_t)alv_monotonic_us(alv_clock_system()));
    alv_cli_progress_init(&run.progress, "commands done");
    alv_error err = ALV_ERROR_NONE;
    alv_status status = options->key != NULL ? wait_command(&run, alv_view_of(options->key),
                                                            alv_view_of(options->value), &err)
                                             : wait_stdin(&run, &err);
    return wait_finish(&run, status, &err);
}
