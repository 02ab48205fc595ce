/* cli_topics.c — `alluvium topics create|check|describe`: the application's topics in Kafka. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/cli_common.h"
#include "topics/kafka.h"

typedef enum topics_verb {
    TOPICS_NONE,
    TOPICS_CREATE,
    TOPICS_CHECK,
    TOPICS_DESCRIBE,
} topics_verb;

typedef struct topics_options {
    alv_cli_options common;
    topics_verb verb;
} topics_options;

static topics_verb topics_verb_of(const char *word, struct argp_state *state)
{
    static const char *const verbs[] = {"create", "check", "describe"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(word, verbs[i]) == 0) {
            return (topics_verb)(TOPICS_CREATE + i);
        }
    }
    const char *nearest = alv_nearest(word, verbs, 3);
    if (nearest != NULL) {
        argp_error(state, "cannot \"%s\" topics; did you mean \"%s\"?", word, nearest);
    } else {
        argp_error(state, "cannot \"%s\" topics", word);
    }
    return TOPICS_NONE;
}

static error_t topics_parse(int key, char *argument, struct argp_state *state)
{
    topics_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) {
            argp_error(state, "one verb at a time");
            return 0;
        }
        options->verb = topics_verb_of(argument, state);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "say create, check or describe");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp topics_argp = {
    .parser = topics_parse,
    .args_doc = "create|check|describe",
    .doc = "Looks after the topics of an application and its global tables.\v"
           "create    makes those that are missing, changes none that exist, and checks all\n"
           "check     says what a node would refuse; exit status 1 if there is something\n"
           "describe  shows them as they are",
    .children = alv_cli_argp_children,
};

/* ---- output ---------------------------------------------------------------------------------- */

/* Those of global tables are behind the application's own; the rest is empty. */
static size_t count_topics(const alv_topic_info *topics)
{
    size_t count = 0;
    while (count < ALV_TOPICS_MAX && topics[count].name[0] != '\0') {
        count++;
    }
    return count;
}

static size_t count_problems(const alv_topic_info *topics)
{
    size_t count = 0;
    for (int i = 0; i < ALV_TOPICS_MAX; i++) {
        count += topics[i].problem[0] != '\0';
    }
    return count;
}

static json_t *topic_to_json(const alv_topic_info *topic)
{
    json_t *object = json_pack("{s:s, s:b}", "name", topic->name, "exists", (int)topic->exists);
    ALV_ASSERT(object != NULL);
    if (topic->exists) {
        json_object_set_new(object, "shards", json_integer(topic->shards));
        json_object_set_new(object, "replicationFactor", json_integer(topic->replication_factor));
        json_object_set_new(object, "cleanupPolicy", json_string(topic->cleanup_policy));
        json_object_set_new(object, "retentionMs", json_string(topic->retention_ms));
    }
    if (topic->problem[0] != '\0') {
        json_object_set_new(object, "problem", json_string(topic->problem));
    }
    return object;
}

static void print_json(const alv_topic_info *topics)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count_topics(topics); i++) {
        json_array_append_new(list, topic_to_json(&topics[i]));
    }
    json_t *answer =
        json_pack("{s:o, s:I}", "topics", list, "problems", (json_int_t)count_problems(topics));
    ALV_ASSERT(answer != NULL);
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(answer);
}

static int longest_name(const alv_topic_info *topics)
{
    size_t longest = strlen("TOPIC");
    for (size_t i = 0; i < count_topics(topics); i++) {
        size_t length = strlen(topics[i].name);
        longest = length > longest ? length : longest;
    }
    return (int)longest;
}

static void print_table(const alv_topic_info *topics)
{
    int width = longest_name(topics);
    printf("%-*s  %6s  %8s  %-10s  %12s\n", width, "TOPIC", "SHARDS", "REPLICAS", "POLICY",
           "RETENTION-MS");
    for (size_t i = 0; i < count_topics(topics); i++) {
        const alv_topic_info *topic = &topics[i];
        if (topic->exists) {
            printf("%-*s  %6d  %8d  %-10s  %12s\n", width, topic->name, topic->shards,
                   topic->replication_factor, topic->cleanup_policy, topic->retention_ms);
        } else {
            printf("%-*s  %6s\n", width, topic->name, "-");
        }
    }
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static int topics_show(const topics_options *options, const alv_config *config)
{
    alv_topic_info topics[ALV_TOPICS_MAX];
    memset(topics, 0, sizeof(topics));
    alv_error err = ALV_ERROR_NONE;
    alv_access_role role = options->verb == TOPICS_CREATE ? ALV_ACCESS_TOPICS : ALV_ACCESS_OPERATOR;
    if (alv_kafka_describe_topics(config, role, topics, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    if (options->common.json) {
        print_json(topics);
    } else {
        print_table(topics);
    }
    if (options->verb == TOPICS_DESCRIBE) {
        return ALV_EXIT_DONE;
    }
    for (size_t i = 0; i < count_topics(topics); i++) {
        if (topics[i].problem[0] != '\0') {
            (void)alv_cli_fail(&options->common, ALV_EXIT_FAILED, NULL, "%s: %s", topics[i].name,
                               topics[i].problem);
        }
    }
    return count_problems(topics) == 0 ? ALV_EXIT_DONE : ALV_EXIT_FAILED;
}

static int topics_create(const topics_options *options, const alv_config *config)
{
    alv_error err = ALV_ERROR_NONE;
    size_t created = 0;
    if (alv_kafka_create_topics(config, &created, &err) != ALV_OK) {
        return alv_cli_fail_error(&options->common, &err, NULL);
    }
    if (!options->common.json) {
        printf("%zu created, %zu were there\n", created,
               alv_schema_topic_count(alv_config_settings(config)) - created);
    }
    return topics_show(options, config);
}

int alv_cli_topics_run(int argc, char **argv)
{
    topics_options options = {0};
    alv_cli_parse(&topics_argp, argc, argv, &options);
    int status = ALV_EXIT_USAGE;
    alv_config *config = alv_cli_config(&options.common);
    if (config != NULL) {
        status = options.verb == TOPICS_CREATE ? topics_create(&options, config)
                                               : topics_show(&options, config);
        status = alv_cli_finish(&options.common, status);
    }
    alv_config_free(config);
    alv_cli_options_done(&options.common);
    return status;
}
