/* cli_dead_letters.c — `alluvium dead-letters list|show|retry`: commands that could not be processed. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/base64url.h"
#include "base/nearest.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/cli_dead_letters_internal.h"
#include "include/alluvium/behavior.h"

#define LETTERS_LIMIT_USUAL 100

/* ---- options --------------------------------------------------------------------------------- */

enum {
    LETTERS_OPTION_ALL = 256,
    LETTERS_OPTION_AGAIN,
    LETTERS_OPTION_REASON,
    LETTERS_OPTION_KEY,
    LETTERS_OPTION_SHARDS,
    LETTERS_OPTION_LIMIT
};

static const struct argp_option letters_argp_options[] = {
    {"reason", LETTERS_OPTION_REASON, "CODE", 0, "Only those with this reason, such as bad-field",
     0},
    {"key", LETTERS_OPTION_KEY, "KEY", 0, "Only those of this entity", 0},
    {"shards", LETTERS_OPTION_SHARDS, "LIST", 0, "Only these shards: 3 or 0,4-7", 0},
    {"limit", LETTERS_OPTION_LIMIT, "N", 0, "list: at most the newest N of each shard (100)", 0},
    {"all", LETTERS_OPTION_ALL, NULL, 0, "retry: all that the other options choose", 0},
    {"again", LETTERS_OPTION_AGAIN, NULL, 0, "retry: also those that were retried before", 0},
    {0},
};

static void letters_take_verb(letter_options *options, const char *word, struct argp_state *state)
{
    static const char *const verbs[] = {"list", "show", "retry"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(word, verbs[i]) == 0) {
            options->verb = verbs[i];
            return;
        }
    }
    const char *nearest = alv_nearest(word, verbs, 3);
    argp_error(state, "cannot \"%s\" dead letters; did you mean \"%s\"?", word,
               nearest != NULL ? nearest : "list");
}

static void letters_take_id(letter_options *options, const char *id, struct argp_state *state)
{
    int32_t shard = 0;
    int64_t offset = 0;
    if (!alv_cli_letter_parse(id, &shard, &offset)) {
        argp_error(state, "\"%s\" names no dead letter: it is SHARD/OFFSET, as list shows it", id);
        return;
    }
    options->ids = alv_realloc(options->ids, (options->id_count + 1) * sizeof *options->ids);
    options->ids[options->id_count++] = id;
}

static void letters_take_limit(letter_options *options, const char *text, struct argp_state *state)
{
    char *end = NULL;
    options->limit = strtol(text, &end, 10);
    if (end == text || *end != '\0' || options->limit < 1 || options->limit > ALV_CLI_LETTERS_MAX) {
        argp_error(state, "--limit is a number from 1 to %d", ALV_CLI_LETTERS_MAX);
    }
}

static void letters_check(const letter_options *options, struct argp_state *state)
{
    if (options->verb == NULL) {
        argp_error(state, "say list, show or retry");
    } else if (strcmp(options->verb, "show") == 0 && options->id_count != 1) {
        argp_error(state, "show takes one dead letter: SHARD/OFFSET");
    } else if (strcmp(options->verb, "retry") == 0 && (options->id_count > 0) == options->all) {
        argp_error(state, "retry takes dead letters, SHARD/OFFSET..., or --all");
    } else if (strcmp(options->verb, "list") == 0 && options->id_count > 0) {
        argp_error(state, "list takes no names; show does");
    }
}

static error_t letters_parse(int key, char *argument, struct argp_state *state)
{
    letter_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case LETTERS_OPTION_REASON:
        options->reason = argument;
        return 0;
    case LETTERS_OPTION_KEY:
        options->key = argument;
        return 0;
    case LETTERS_OPTION_SHARDS:
        if (!alv_cli_shards_add(&options->shards, argument)) {
            argp_error(state, "\"%s\" is no list of shards", argument);
        }
        return 0;
    case LETTERS_OPTION_LIMIT:
        letters_take_limit(options, argument, state);
        return 0;
    case LETTERS_OPTION_ALL:
        options->all = true;
        return 0;
    case LETTERS_OPTION_AGAIN:
        options->again = true;
        return 0;
    case ARGP_KEY_ARG:
        if (options->verb == NULL) {
            letters_take_verb(options, argument, state);
        } else {
            letters_take_id(options, argument, state);
        }
        return 0;
    case ARGP_KEY_END:
        letters_check(options, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp letters_argp = {
    .options = letters_argp_options,
    .parser = letters_parse,
    .args_doc = "list\nshow SHARD/OFFSET\nretry SHARD/OFFSET...|--all",
    .doc =
        "Commands that could not be processed, with the reason.\v"
        "list   shows the newest ones, and which were retried\n"
        "show   shows one as it came, and what to do about it\n"
        "retry  puts commands back into the command topic, each once; a second time needs --again",
    .children = alv_cli_argp_children,
};

/* ---- output ---------------------------------------------------------------------------------- */

static const char *letters_time(int64_t at_ms, char out[ALV_TIMESTAMP_BYTES])
{
    return alv_timestamp_format(at_ms, out) ? out : "?";
}

static json_t *letters_row_json(const letter_row *row)
{
    char at[ALV_TIMESTAMP_BYTES];
    char retried[ALV_TIMESTAMP_BYTES];
    char *id = alv_format("%" PRId32 "/%" PRId64, row->shard, row->offset);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s?}", "id", id, "at",
                  letters_time(row->at_ms, at), "key", row->key, "reason", row->reason, "detail",
                  row->detail, "action", row->action, "origin", row->origin, "retried",
                  row->retried_at_ms != 0 ? letters_time(row->retried_at_ms, retried) : NULL);
    ALV_ASSERT(json != NULL);
    alv_free(id);
    return json;
}

static void letters_print_json(json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

static void letters_print_row(const letter_row *row)
{
    char at[ALV_TIMESTAMP_BYTES];
    char id[48];
    (void)snprintf(id, sizeof id, "%" PRId32 "/%" PRId64, row->shard, row->offset);
    printf("%-10s  %s  %-20s  %-24s  %s%s\n", id, letters_time(row->at_ms, at), row->reason,
           row->key, row->retried_at_ms != 0 ? "[retried] " : "", row->detail);
}

static int letters_list(letter_run *run)
{
    letter_rows rows = {.items = NULL};
    alv_error err = ALV_ERROR_NONE;
    alv_status status = alv_cli_letters_load(run, true, (size_t)run->options->limit, &rows, &err);
    alv_cli_progress_done(&run->progress);
    for (size_t i = 0; i < rows.count && status == ALV_OK; i++) {
        if (run->options->common.json) {
            letters_print_json(letters_row_json(&rows.items[i]));
        } else {
            letters_print_row(&rows.items[i]);
        }
    }
    if (status == ALV_OK && rows.count == 0 && !run->options->common.json) {
        printf("no dead letters\n");
    }
    if (status == ALV_OK && rows.more) {
        fprintf(stderr, "there are older ones; --limit shows more\n");
    }
    alv_cli_letters_done(&rows);
    return status == ALV_OK ? ALV_EXIT_DONE : alv_cli_fail_error(&run->options->common, &err, NULL);
}

/* ---- show ------------------------------------------------------------------------------------ */

typedef struct letters_shown {
    int64_t offset;
    bool found;
    bool has_value;
    alv_bytes value;
} letters_shown;

static void letters_take_value(void *payload, const alv_record *record)
{
    letters_shown *shown = payload;
    if (record->offset == shown->offset) {
        shown->found = true;
        shown->has_value = record->value.data != NULL;
        alv_bytes_set(&shown->value, record->value.data, record->value.size);
    }
}

static void letters_show_json(const letter_row *row, const letters_shown *shown)
{
    json_t *json = letters_row_json(row);
    alv_view value = alv_bytes_view(&shown->value);
    if (!shown->has_value) {
        (void)json_object_set_new(json, "value", json_null());
    } else if (alv_utf8_valid(value.data, value.size)) {
        (void)json_object_set_new(json, "value", json_stringn(value.data, value.size));
    } else {
        alv_bytes encoded = ALV_BYTES_EMPTY;
        alv_base64url_encode(value, &encoded);
        (void)json_object_set_new(json, "value_base64url",
                                  json_stringn(encoded.data, encoded.size));
        alv_bytes_done(&encoded);
    }
    letters_print_json(json);
}

static void letters_show_text(const letter_row *row, const letters_shown *shown)
{
    char at[ALV_TIMESTAMP_BYTES];
    char retried[ALV_TIMESTAMP_BYTES];
    printf("id       %" PRId32 "/%" PRId64 "\n", row->shard, row->offset);
    printf("at       %s\n", letters_time(row->at_ms, at));
    printf("key      %s\n", row->key);
    printf("reason   %s\n", row->reason);
    printf("detail   %s\n", row->detail);
    printf("action   %s\n", row->action);
    printf("origin   %s\n", row->origin);
    printf("retried  %s\n",
           row->retried_at_ms != 0 ? letters_time(row->retried_at_ms, retried) : "no");
    printf("value    ");
    (void)fwrite(shown->has_value ? shown->value.data : "(none)", 1,
                 shown->has_value ? shown->value.size : strlen("(none)"), stdout);
    putchar('\n');
}

static int letters_show(letter_run *run)
{
    const alv_cli_options *common = &run->options->common;
    letter_rows rows = {.items = NULL};
    letters_shown shown = {.found = false};
    alv_error err = ALV_ERROR_NONE;
    int32_t shard = 0;
    (void)alv_cli_letter_parse(run->options->ids[0], &shard, &shown.offset); /* it was checked */
    alv_status status =
        shard < run->shard_count ? alv_cli_letters_load(run, true, 1, &rows, &err) : ALV_OK;
    if (status == ALV_OK && rows.count > 0) {
        status = alv_cli_letters_visit(run, shard, shown.offset, letters_take_value, &shown, &err);
    }
    alv_cli_progress_done(&run->progress);
    int result = ALV_EXIT_DONE;
    if (status != ALV_OK) {
        result = alv_cli_fail_error(common, &err, NULL);
    } else if (rows.count == 0 || !shown.found) {
        result = alv_cli_fail(common, ALV_EXIT_FAILED, "`alluvium dead-letters list` shows them",
                              "there is no dead letter %s", run->options->ids[0]);
    } else if (common->json) {
        letters_show_json(&rows.items[0], &shown);
    } else {
        letters_show_text(&rows.items[0], &shown);
    }
    alv_bytes_done(&shown.value);
    alv_cli_letters_done(&rows);
    return result;
}

/* ---- the subcommand -------------------------------------------------------------------------- */

static int letters_over(letter_run *run, uint64_t *out_retried)
{
    const letter_options *options = run->options;
    alv_error err = ALV_ERROR_NONE;
    if (run->log->ops->open_reader(run->log, "dead-letters", &run->reader, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    alv_cli_progress_init(&run->progress, "dead letters");
    int status = strcmp(options->verb, "list") == 0   ? letters_list(run)
                 : strcmp(options->verb, "show") == 0 ? letters_show(run)
                                                      : alv_cli_letters_retry(run, out_retried);
    run->reader->ops->close(run->reader);
    return status;
}

int alv_cli_letters_run(const letter_options *options, alv_config *config, uint64_t *out_retried)
{
    letter_run run = {.options = options, .config = config};
    alv_error err = ALV_ERROR_NONE;
    alv_topic_info topics[ALV_TOPICS_MAX];
    if (alv_config_set(config, "node.id=" ALV_RETRY_NODE_ID, &err) != ALV_OK ||
        alv_kafka_describe_topics(config, ALV_ACCESS_OPERATOR, topics, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    if (!topics[ALV_TOPIC_DEAD_LETTERS].exists) {
        return alv_cli_fail(&options->common, ALV_EXIT_FAILED, "`alluvium topics create` makes it",
                            "there is no topic %s", topics[ALV_TOPIC_DEAD_LETTERS].name);
    }
    run.shard_count = topics[ALV_TOPIC_DEAD_LETTERS].shards;
    if (alv_kafka_open(config, &run.log, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    int status = letters_over(&run, out_retried);
    run.log->ops->close(run.log);
    return status;
}

int alv_cli_dead_letters_run(int argc, char **argv)
{
    static letter_options options; /* the choice of shards is large */
    options = (letter_options){.limit = LETTERS_LIMIT_USUAL};
    alv_cli_parse(&letters_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        uint64_t retried = 0;
        status = alv_cli_finish(&options.common, alv_cli_letters_run(&options, config, &retried));
    }
    alv_config_free(config);
    alv_free(options.ids);
    alv_cli_options_done(&options.common);
    return status;
}
