/* cli_global_table.c — `alluvium table list|get|put|delete`: rows of global tables.
 *
 * Reading asks a node over HTTP, because its copy is what its handlers see. Writing goes to the topic, as any
 * Kafka client's would.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/http_get.h"
#include "base/alloc.h"
#include "base/nearest.h"
#include "base/table_list.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "cli/cli_table.h"
#include "topics/kafka.h"

#define TABLE_TIMEOUT_MS 15000
#define TABLE_PAGE 500

typedef enum table_verb {
    TABLE_LIST,
    TABLE_GET,
    TABLE_PUT,
    TABLE_DELETE,
} table_verb;

/* What each takes behind it, at least and at most. */
static const struct {
    const char *name;
    unsigned arguments_min;
    unsigned arguments_max;
} table_verbs[] = {
    [TABLE_LIST] = {"list", 0, 1},
    [TABLE_GET] = {"get", 2, 2},
    [TABLE_PUT] = {"put", 3, 3},
    [TABLE_DELETE] = {"delete", 2, 2},
};

typedef struct table_options {
    alv_cli_options common;
    const char *node;
    table_verb verb;
    const char *arguments[3]; /* table, key, value */
} table_options;

static const struct argp_option table_argp_options[] = {
    {"node", 'n', "HOST:PORT", 0, "Ask this node instead of the one the configuration names", 0},
    {0},
};

static table_verb table_verb_of(const char *word, struct argp_state *state)
{
    const char *names[4];
    for (int i = 0; i < 4; i++) {
        names[i] = table_verbs[i].name;
        if (strcmp(word, names[i]) == 0) {
            return (table_verb)i;
        }
    }
    const char *nearest = alv_nearest(word, names, 4);
    argp_error(state, "cannot \"%s\" tables; did you mean \"%s\"?", word,
               nearest != NULL ? nearest : "list");
    return TABLE_LIST;
}

static error_t table_parse(int key, char *argument, struct argp_state *state)
{
    table_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case 'n':
        options->node = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) {
            options->verb = table_verb_of(argument, state);
        } else if (state->arg_num > table_verbs[options->verb].arguments_max) {
            argp_error(state, "too many arguments");
        } else {
            options->arguments[state->arg_num - 1] = argument;
        }
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num == 0 || state->arg_num - 1 < table_verbs[options->verb].arguments_min) {
            argp_error(state,
                       "say list [TABLE], get TABLE KEY, put TABLE KEY JSON or delete TABLE KEY");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp table_argp = {
    .options = table_argp_options,
    .parser = table_parse,
    .args_doc = "list [TABLE]\nget TABLE KEY\nput TABLE KEY JSON\ndelete TABLE KEY",
    .doc = "Shows or changes global tables.\v"
           "list    the tables of a node; of one table its rows: key, tab, value\n"
           "get     a row as a node has it; with --json the whole answer, with its version\n"
           "put     writes a row to the table's topic; nodes have it some milliseconds later\n"
           "delete  writes a tombstone",
    .children = alv_cli_argp_children,
};

/* ---- reading ----------------------------------------------------------------------------------- */

/* The answer as JSON; NULL when there is none, which has then been said. Clears the path. */
static json_t *table_ask(const table_options *options, const alv_config *config, alv_bytes *path)
{
    alv_http_security security;
    alv_bytes body = ALV_BYTES_EMPTY;
    alv_error err = ALV_ERROR_NONE;
    int http_status = 0;
    json_t *answer = NULL;
    const char *address = alv_cli_node_address(&options->common, options->node, config);
    alv_http_security_init_client(alv_config_settings(config), &security);
    alv_bytes_append(path, "", 1);
    if (address != NULL && alv_http_get(&security, address, path->data, TABLE_TIMEOUT_MS,
                                        &http_status, &body, &err) != ALV_OK) {
        (void)alv_cli_fail_error(&options->common, &err, "--node HOST:PORT names another node");
    } else if (address != NULL) {
        answer = json_loadb(body.size > 0 ? body.data : "", body.size, 0, NULL);
        if (http_status != 200 || answer == NULL) {
            const char *detail = json_string_value(json_object_get(answer, "detail"));
            (void)alv_cli_fail(&options->common, ALV_EXIT_FAILED, NULL, "HTTP status %d: %s",
                               http_status, detail != NULL ? detail : "no reason given");
            json_decref(answer);
            answer = NULL;
        }
    }
    alv_bytes_clear(path);
    alv_bytes_done(&body);
    return answer;
}

static void table_print_json(const json_t *value, size_t flags)
{
    (void)json_dumpf(value, stdout, flags | JSON_ENCODE_ANY);
    putchar('\n');
}

static void table_print_tables(const json_t *answer)
{
    static const char *const titles[] = {"TABLE", "TOPIC", "ROWS", "LAG", "PROBLEM"};
    alv_cli_table out;
    alv_bytes text = ALV_BYTES_EMPTY;
    size_t i;
    json_t *table;
    alv_cli_table_init(&out, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "tables"), i, table)
    {
        const char *problem = json_string_value(json_object_get(table, "problem"));
        alv_cli_table_add(&out, "%s", json_string_value(json_object_get(table, "table")));
        alv_cli_table_add(&out, "%s", json_string_value(json_object_get(table, "topic")));
        alv_cli_table_add(&out, "%" JSON_INTEGER_FORMAT,
                          json_integer_value(json_object_get(table, "rows")));
        alv_cli_table_add(&out, "%" JSON_INTEGER_FORMAT,
                          json_integer_value(json_object_get(table, "lag")));
        alv_cli_table_add(&out, "%s", problem != NULL ? problem : "-");
    }
    alv_cli_table_print(&out, &text);
    (void)fwrite(text.data, 1, text.size, stdout);
    alv_cli_table_done(&out);
    alv_bytes_done(&text);
}

static int table_list_all(const table_options *options, const alv_config *config)
{
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&path, "/v1/tables");
    json_t *answer = table_ask(options, config, &path);
    alv_bytes_done(&path);
    if (answer == NULL) {
        return ALV_EXIT_FAILED;
    }
    if (options->common.json) {
        table_print_json(answer, JSON_INDENT(2));
    } else {
        table_print_tables(answer);
    }
    json_decref(answer);
    return ALV_EXIT_DONE;
}

static void table_print_rows(const table_options *options, const json_t *answer)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(answer, "rows"), i, row)
    {
        if (options->common.json) {
            table_print_json(row, JSON_COMPACT);
        } else {
            printf("%s\t", json_string_value(json_object_get(row, "key")));
            table_print_json(json_object_get(row, "value"), JSON_COMPACT);
        }
    }
}

/* Page by page; each is of the version at its moment. */
static int table_list_rows(const table_options *options, const alv_config *config)
{
    alv_bytes path = ALV_BYTES_EMPTY;
    char *after = NULL;
    bool more = true;
    int status = ALV_EXIT_DONE;
    while (more && status == ALV_EXIT_DONE) {
        alv_bytes_append_text(&path, "/v1/tables/");
        alv_http_get_escape(alv_view_of(options->arguments[0]), &path);
        alv_bytes_printf(&path, "?limit=%d", TABLE_PAGE);
        if (after != NULL) {
            alv_bytes_append_text(&path, "&after=");
            alv_http_get_escape(alv_view_of(after), &path);
        }
        json_t *answer = table_ask(options, config, &path);
        status = answer != NULL ? ALV_EXIT_DONE : ALV_EXIT_FAILED;
        table_print_rows(options, answer);
        const char *next = json_string_value(json_object_get(answer, "after"));
        more = next != NULL;
        alv_free(after);
        after = more ? alv_strdup(next) : NULL;
        json_decref(answer);
    }
    alv_free(after);
    alv_bytes_done(&path);
    return status;
}

static int table_get(const table_options *options, const alv_config *config)
{
    alv_bytes path = ALV_BYTES_EMPTY;
    alv_bytes_append_text(&path, "/v1/tables/");
    alv_http_get_escape(alv_view_of(options->arguments[0]), &path);
    alv_bytes_append_text(&path, "?key=");
    alv_http_get_escape(alv_view_of(options->arguments[1]), &path);
    json_t *answer = table_ask(options, config, &path);
    alv_bytes_done(&path);
    if (answer == NULL) {
        return ALV_EXIT_FAILED;
    }
    table_print_json(options->common.json ? answer : json_object_get(answer, "value"),
                     JSON_INDENT(2));
    json_decref(answer);
    return ALV_EXIT_DONE;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static void table_written(void *payload, alv_status status, int32_t partition, int64_t offset,
                          const char *error_text)
{
    alv_error *outcome = payload;
    (void)partition;
    (void)offset;
    if (status != ALV_OK) {
        (void)alv_fail(outcome, status, "%s", error_text);
    }
}

static alv_status table_write(const alv_config *config, const alv_produce *record, alv_error *err)
{
    alv_log_port *log = NULL;
    alv_sender *sender = NULL;
    alv_error outcome = ALV_ERROR_NONE;
    alv_status status = alv_kafka_open(config, &log, err);
    if (status != ALV_OK) {
        return status;
    }
    status = log->ops->open_sender(log, "table", &sender, err);
    if (status == ALV_OK) {
        status = sender->ops->send(sender, record, table_written, &outcome, err);
        status = status == ALV_OK ? sender->ops->flush(sender, TABLE_TIMEOUT_MS, err) : status;
        sender->ops->close(sender);
    }
    log->ops->close(log);
    if (status == ALV_OK && outcome.status != ALV_OK) {
        status = alv_fail(err, outcome.status, "%s", outcome.text);
    }
    return status;
}

static int table_change(const table_options *options, const alv_config *config)
{
    alv_table_list list;
    alv_error err = ALV_ERROR_NONE;
    alv_view value = alv_view_of(options->arguments[2]);
    (void)alv_table_list_parse(alv_config_settings(config)->global_tables, &list, NULL);
    size_t number = alv_table_list_find(&list, options->arguments[0]);
    if (number == ALV_TABLE_NONE) {
        return alv_cli_fail(&options->common, ALV_EXIT_USAGE, "global.tables names them",
                            "there is no global table %s", options->arguments[0]);
    }
    if (value.data != NULL) {
        json_t *json = json_loadb(value.data, value.size, JSON_DECODE_ANY, NULL);
        if (json == NULL) {
            return alv_cli_fail(&options->common, ALV_EXIT_USAGE, NULL, "this is not JSON: %s",
                                value.data);
        }
        json_decref(json);
    }
    const alv_produce record = {.topic = ALV_TOPIC_OF_TABLE(number),
                                .shard = -1,
                                .key = alv_view_of(options->arguments[1]),
                                .value = value};
    if (table_write(config, &record, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    return ALV_EXIT_DONE;
}

/* ---- the subcommand ---------------------------------------------------------------------------- */

static int table_run(const table_options *options, const alv_config *config)
{
    switch (options->verb) {
    case TABLE_LIST:
        return options->arguments[0] == NULL ? table_list_all(options, config)
                                             : table_list_rows(options, config);
    case TABLE_GET:
        return table_get(options, config);
    case TABLE_PUT:
    case TABLE_DELETE:
        break;
    }
    return table_change(options, config);
}

int alv_cli_global_table_run(int argc, char **argv)
{
    table_options options = {.node = NULL};
    alv_cli_parse(&table_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        status = alv_cli_finish(&options.common, table_run(&options, config));
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
