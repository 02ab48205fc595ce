/* cli_send.c — `alluvium send`: commands from the command line or from stdin into the command topic.
 *
 * What cannot be a command is refused before it is sent, because here somebody is there to read the
 * reason; in the dead letters it would be found later. `--raw` sends anything. A bad line ends the
 * run: what comes after it may depend on it, and the message says how much was sent before.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "cli/cli_progress.h"
#include "cli/cli_send_internal.h"
#include "topics/kafka.h"

#define SEND_FLUSH_TIMEOUT_MS 30000

/* ---- options --------------------------------------------------------------------------------- */

enum {
    SEND_OPTION_RAW = 256,
    SEND_OPTION_WAIT
};

static const struct argp_option send_argp_options[] = {
    {"header", 'H', "NAME=VALUE", 0, "Add a header to every record. May be repeated", 0},
    {"verbose", 'v', NULL, 0, "Print where each record went", 0},
    {"raw", SEND_OPTION_RAW, NULL, 0, "Send what is no valid command, too", 0},
    {"wait", SEND_OPTION_WAIT, NULL, 0, "Send over HTTP and print the replies", 0},
    {"node", 'n', "HOST:PORT", 0, "--wait: ask this node instead of the configured one", 0},
    {0},
};

static void add_header(send_options *options, char *argument, struct argp_state *state)
{
    char *equals = strchr(argument, '=');
    if (equals == NULL || equals == argument) {
        argp_error(state, "a header is NAME=VALUE, not \"%s\"", argument);
        return;
    }
    if (options->header_count == ALV_HEADERS_MAX) {
        argp_error(state, "more than %d headers", ALV_HEADERS_MAX);
        return;
    }
    *equals = '\0';
    options->headers[options->header_count++] =
        (alv_header){.name = argument, .value = alv_view_of(equals + 1)};
}

static void add_argument(send_options *options, const char *argument, struct argp_state *state)
{
    if (state->arg_num == 0) {
        options->key = argument;
    } else if (state->arg_num == 1) {
        options->value = argument;
    } else {
        argp_error(state, "one key and one command; several come from stdin, one per line");
    }
}

static error_t send_parse(int key, char *argument, struct argp_state *state)
{
    send_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 'H':
        add_header(options, argument, state);
        return 0;
    case 'v':
        options->verbose = true;
        return 0;
    case SEND_OPTION_RAW:
        options->raw = true;
        return 0;
    case SEND_OPTION_WAIT:
        options->wait = true;
        return 0;
    case 'n':
        options->node = argument;
        return 0;
    case ARGP_KEY_ARG:
        add_argument(options, argument, state);
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num == 1) {
            argp_error(state, "the command for \"%s\" is missing", options->key);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp send_argp = {
    .options = send_argp_options,
    .parser = send_parse,
    .args_doc = "KEY JSON\n",
    .doc =
        "Sends a command to an entity, or many: lines KEY<TAB>JSON from stdin.\v"
        "A command is a JSON object with a member \"type\":\n"
        "  alluvium send mall-1:user-1 '{\"type\":\"add_balance\",\"amount\":5}'\n"
        "The first line of stdin that is no command ends the run; it says what was sent.\n"
        "With --wait a node executes the commands one after the other, each once even when it is "
        "sent again, and the replies are printed; one that is rejected makes the exit status 1.",
    .children = alv_cli_argp_children,
};

/* ---- checks ---------------------------------------------------------------------------------- */

static alv_status check_key(alv_view key, alv_error *err)
{
    if (key.size == 0) {
        return alv_fail(err, ALV_REJECT, "the key is empty");
    }
    if (key.size > ALV_KEY_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "the key has %zu bytes; at most %d are possible", key.size,
                        ALV_KEY_BYTES_MAX);
    }
    if (!alv_utf8_valid(key.data, key.size) || memchr(key.data, '\0', key.size) != NULL) {
        return alv_fail(err, ALV_REJECT, "the key is not UTF-8 text");
    }
    return ALV_OK;
}

static alv_status check_value(alv_view value, alv_error *err)
{
    if (value.size > ALV_COMMAND_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "the command has %zu bytes; at most %d are possible",
                        value.size, ALV_COMMAND_BYTES_MAX);
    }
    const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES; /* as strict as a node */
    json_error_t json_error;
    json_t *body = json_loadb(value.data, value.size, flags, &json_error);
    if (body == NULL) {
        return alv_fail(err, ALV_REJECT, "the command is not JSON: %s (column %d)", json_error.text,
                        json_error.column);
    }
    alv_status status = ALV_OK;
    if (!json_is_object(body)) {
        status = alv_fail(err, ALV_REJECT, "the command is JSON, but not an object");
    } else if (!json_is_string(json_object_get(body, "type"))) {
        status = alv_fail(err, ALV_REJECT, "the command has no member \"type\" with a text");
    }
    json_decref(body);
    return status;
}

alv_status alv_cli_send_check(alv_view key, alv_view value, alv_error *err)
{
    alv_status status = check_key(key, err);
    return status == ALV_OK ? check_value(value, err) : status;
}

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct send_run {
    const send_options *options;
    alv_sender *sender;
    uint64_t queued;
    uint64_t sent;
    uint64_t failed;
    alv_error failure; /* of the first record that Kafka did not take */
    alv_cli_progress progress;
} send_run;

/* What the acknowledgement of a record needs to know of it. */
typedef struct send_ticket {
    send_run *run;
    uint64_t number; /* of the record, from 1; the line's when from stdin */
    size_t key_size;
    char key[];
} send_ticket;

static void print_sent(const send_run *run, const send_ticket *ticket, int32_t shard,
                       int64_t offset)
{
    if (run->options->common.json) {
        json_t *key = json_stringn(ticket->key, ticket->key_size); /* NULL when it is not text */
        json_t *line = json_pack("{s:o?, s:i, s:I}", "key", key, "shard", (int)shard, "offset",
                                 (json_int_t)offset);
        ALV_ASSERT(line != NULL);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    } else if (run->options->verbose) {
        printf("%.*s shard=%" PRId32 " offset=%" PRId64 "\n", (int)ticket->key_size, ticket->key,
               shard, offset);
    }
}

static void on_sent(void *payload, alv_status status, int32_t shard, int64_t offset,
                    const char *error_text)
{
    send_ticket *ticket = payload;
    send_run *run = ticket->run;
    if (status == ALV_OK) {
        run->sent++;
        print_sent(run, ticket, shard, offset);
    } else {
        run->failed++;
        (void)alv_fail(&run->failure, status, "record %" PRIu64 ": %s", ticket->number, error_text);
    }
    alv_free(ticket);
}

static alv_status send_record(send_run *run, uint64_t number, alv_view key, alv_view value,
                              alv_error *err)
{
    const send_options *options = run->options;
    if (!options->raw) {
        alv_status status = alv_cli_send_check(key, value, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    send_ticket *ticket = alv_alloc(sizeof(*ticket) + key.size);
    *ticket = (send_ticket){.run = run, .number = number, .key_size = key.size};
    memcpy(ticket->key, key.data, key.size);
    alv_produce record = {
        .topic = ALV_TOPIC_COMMANDS,
        .shard = -1,
        .key = key,
        .value = value,
        .headers = options->headers,
        .header_count = options->header_count,
    };
    alv_status status = run->sender->ops->send(run->sender, &record, on_sent, ticket, err);
    if (status != ALV_OK) {
        alv_free(ticket);
        return status;
    }
    run->queued++;
    run->sender->ops->serve(run->sender, 0);
    return ALV_OK;
}

bool alv_cli_send_read_line(FILE *in, alv_bytes *line)
{
    alv_bytes_clear(line);
    for (int c = getc_unlocked(in); c != EOF; c = getc_unlocked(in)) {
        if (c == '\n') {
            return true;
        }
        char byte = (char)c;
        alv_bytes_append(line, &byte, 1);
        if (line->size > ALV_CLI_LINE_BYTES_MAX) {
            return true; /* whoever splits it refuses it */
        }
    }
    return line->size > 0;
}

alv_status alv_cli_send_split(alv_view line, alv_view *out_key, alv_view *out_value, alv_error *err)
{
    *out_key = ALV_VIEW_NONE;
    *out_value = ALV_VIEW_NONE;
    if (line.size > ALV_CLI_LINE_BYTES_MAX) {
        return alv_fail(err, ALV_REJECT, "longer than %d bytes", ALV_CLI_LINE_BYTES_MAX);
    }
    if (line.size == 0) {
        return ALV_OK; /* an empty line is nobody's command */
    }
    const char *tab = memchr(line.data, '\t', line.size);
    if (tab == NULL) {
        return alv_fail(err, ALV_REJECT, "no tab between key and command");
    }
    *out_key = (alv_view){line.data, (size_t)(tab - line.data)};
    *out_value = (alv_view){tab + 1, line.size - out_key->size - 1};
    return ALV_OK;
}

static alv_status send_line(send_run *run, uint64_t number, alv_view line, alv_error *err)
{
    alv_view key;
    alv_view value;
    alv_status status = alv_cli_send_split(line, &key, &value, err);
    return status == ALV_OK && key.data != NULL ? send_record(run, number, key, value, err)
                                                : status;
}

double alv_cli_send_fraction(uint64_t bytes_read)
{
    struct stat file;
    if (fstat(STDIN_FILENO, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size == 0) {
        return -1;
    }
    return (double)bytes_read / (double)file.st_size;
}

static alv_status send_stdin(send_run *run, alv_error *err)
{
    alv_bytes line = ALV_BYTES_EMPTY;
    alv_status status = ALV_OK;
    uint64_t number = 0;
    uint64_t bytes_read = 0;
    while (status == ALV_OK && run->failed == 0 && alv_cli_send_read_line(stdin, &line)) {
        number++;
        bytes_read += line.size + 1;
        alv_error line_err = ALV_ERROR_NONE;
        status = send_line(run, number, alv_bytes_view(&line), &line_err);
        if (status != ALV_OK) {
            (void)alv_fail(err, status, "line %" PRIu64 ": %s", number, line_err.text);
        }
        if (number % 1024 == 0) {
            alv_cli_progress_update(&run->progress, number, alv_cli_send_fraction(bytes_read));
        }
    }
    if (status == ALV_OK && ferror(stdin)) {
        status = alv_fail(err, ALV_RETRY, "cannot read stdin: %s", strerror(errno));
    }
    alv_bytes_done(&line);
    return status;
}

/* Waits for the acknowledgements and says how it went. `status` and `err` are those of the input. */
static int send_finish(send_run *run, alv_status status, alv_error *err)
{
    const alv_cli_options *common = &run->options->common;
    alv_error flush_err = ALV_ERROR_NONE;
    alv_status flushed = run->sender->ops->flush(run->sender, SEND_FLUSH_TIMEOUT_MS, &flush_err);
    alv_cli_progress_done(&run->progress);
    if (run->failed > 0) {
        (void)alv_cli_fail(common, ALV_EXIT_FAILED, "`alluvium topics check` looks at the topics",
                           "%s", run->failure.text);
    } else if (flushed != ALV_OK) {
        (void)alv_cli_fail_error(common, &flush_err, NULL);
    }
    if (status != ALV_OK) {
        (void)alv_cli_fail_error(common, err,
                                 status == ALV_REJECT ? "--raw sends it as it is" : NULL);
    }
    if (run->failed > 0 || flushed != ALV_OK || status != ALV_OK) {
        uint64_t unknown = run->queued - run->sent - run->failed;
        return alv_cli_fail(common, ALV_EXIT_FAILED, NULL,
                            "%" PRIu64 " sent, %" PRIu64 " failed, %" PRIu64 " without an answer",
                            run->sent, run->failed, unknown);
    }
    if (!common->json) {
        printf("%" PRIu64 " sent\n", run->sent);
    }
    return ALV_EXIT_DONE;
}

static int send_over(const send_options *options, alv_log_port *log)
{
    alv_error err = ALV_ERROR_NONE;
    send_run run = {.options = options};
    if (log->ops->open_sender(log, "send", &run.sender, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    alv_cli_progress_init(&run.progress, "commands sent");
    alv_status status;
    if (options->key != NULL) {
        status = send_record(&run, 1, alv_view_of(options->key), alv_view_of(options->value), &err);
    } else {
        status = send_stdin(&run, &err);
    }
    int result = send_finish(&run, status, &err);
    run.sender->ops->close(run.sender);
    return result;
}

static int send_through_kafka(const send_options *options, const alv_config *config)
{
    alv_error err = ALV_ERROR_NONE;
    alv_log_port *log = NULL;
    if (alv_kafka_open(config, &log, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    int status = send_over(options, log);
    log->ops->close(log);
    return status;
}

int alv_cli_send_run(int argc, char **argv)
{
    send_options options = {0};
    alv_cli_parse(&send_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        status = options.wait ? alv_cli_send_wait(&options, config)
                              : send_through_kafka(&options, config);
        status = alv_cli_finish(&options.common, status);
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
