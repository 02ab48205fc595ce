#include "topics/access.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define NODE (1u << ALV_ACCESS_NODE)
#define TOPICS (1u << ALV_ACCESS_TOPICS)
#define SENDER (1u << ALV_ACCESS_SENDER)
#define READER (1u << ALV_ACCESS_READER)
#define OPERATOR (1u << ALV_ACCESS_OPERATOR)
#define REBUILD (1u << ALV_ACCESS_REBUILD)

typedef struct access_rule {
    unsigned roles;
    alv_access_operation operation;
    const char *purpose;
} access_rule;

#define RULES_MAX 10

/* In the order in which they are printed. A rule without roles ends a row. */
static const access_rule access_topics[ALV_TOPIC_COUNT][RULES_MAX] = {
    [ALV_TOPIC_COMMANDS] =
        {
            {NODE, ALV_ACCESS_READ, "execute commands"},
            {NODE, ALV_ACCESS_WRITE, "commands over HTTP, commands that entities emit, timers"},
            {SENDER, ALV_ACCESS_WRITE, "send commands"},
            {OPERATOR, ALV_ACCESS_WRITE, "put dead letters back"},
            {REBUILD, ALV_ACCESS_READ, "forget what was consumed"},
        },
    [ALV_TOPIC_CHANGELOG] =
        {
            {NODE, ALV_ACCESS_READ, "restore, standbys, checkpoints, watches"},
            {NODE, ALV_ACCESS_WRITE, "publish states"},
            {READER, ALV_ACCESS_READ, "read states"},
            {OPERATOR | REBUILD, ALV_ACCESS_READ, "compare and count states"},
            {REBUILD, ALV_ACCESS_WRITE, "write the states of PostgreSQL"},
            {REBUILD, ALV_ACCESS_CREATE, "--wipe"},
            {REBUILD, ALV_ACCESS_DELETE, "--wipe"},
        },
    [ALV_TOPIC_LEDGER] =
        {
            {NODE, ALV_ACCESS_READ, "restore"},
            {NODE, ALV_ACCESS_WRITE, "publish positions, timers, answers to be repeated"},
            {REBUILD, ALV_ACCESS_READ, "see positions"},
            {REBUILD, ALV_ACCESS_WRITE, "write positions"},
            {REBUILD, ALV_ACCESS_CREATE, "--wipe"},
            {REBUILD, ALV_ACCESS_DELETE, "--wipe"},
        },
    [ALV_TOPIC_EVENTS] =
        {
            {NODE, ALV_ACCESS_WRITE, "publish events of behaviors"},
            {READER, ALV_ACCESS_READ, "read events"},
        },
    [ALV_TOPIC_REPLIES] =
        {
            {NODE, ALV_ACCESS_WRITE, "replies to commands sent with reply-to"},
            {SENDER, ALV_ACCESS_READ, "replies, for senders that ask for them"},
        },
    [ALV_TOPIC_DEAD_LETTERS] =
        {
            {NODE, ALV_ACCESS_READ, "show the newest over HTTP"},
            {NODE, ALV_ACCESS_WRITE, "commands that cannot be executed"},
            {OPERATOR, ALV_ACCESS_READ, "list and show them"},
            {OPERATOR, ALV_ACCESS_WRITE, "note which were put back"},
        },
};

/* On every topic. */
static const access_rule access_every_topic[] = {
    {TOPICS, ALV_ACCESS_CREATE, "create what is missing"},
    {TOPICS | OPERATOR | REBUILD, ALV_ACCESS_DESCRIBE, "see what is there"},
    {NODE | TOPICS | OPERATOR | REBUILD, ALV_ACCESS_DESCRIBE_CONFIGS, "check its settings"},
};

static const access_rule access_table[] = {
    {NODE, ALV_ACCESS_READ, "copy the global table"},
    {OPERATOR, ALV_ACCESS_WRITE, "change its rows"},
};

static const access_rule access_group[] = {
    {NODE, ALV_ACCESS_READ, "be a member, take the seats of dead lanes, commit"},
    {REBUILD, ALV_ACCESS_DELETE, "see and forget what was consumed"},
};

static const access_rule access_transactional_ids[] = {
    {NODE, ALV_ACCESS_WRITE, "transactions of its lanes, and fencing those of dead ones"},
};

static const access_rule access_retry_ids[] = {
    {OPERATOR, ALV_ACCESS_WRITE, "put dead letters back, each once"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct access_sink {
    alv_access_role role;
    alv_access *out;
    size_t count;
} access_sink;

static bool access_is_implied(const access_sink *sink, const access_rule *rule,
                              const alv_access *like)
{
    for (size_t i = 0; i < sink->count && rule->operation == ALV_ACCESS_DESCRIBE; i++) {
        const alv_access *other = &sink->out[i];
        bool brings_describe = other->operation == ALV_ACCESS_READ ||
                               other->operation == ALV_ACCESS_WRITE ||
                               other->operation == ALV_ACCESS_DELETE;
        if (other->kind == like->kind && brings_describe && strcmp(other->name, like->name) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds the rules that concern the role; `like` says on what. */
static void access_add(access_sink *sink, const access_rule *rules, size_t count,
                       const alv_access *like)
{
    for (size_t i = 0; i < count && rules[i].roles != 0; i++) {
        if ((rules[i].roles & (1u << sink->role)) == 0 ||
            access_is_implied(sink, &rules[i], like)) {
            continue;
        }
        ALV_ASSERT(sink->count < ALV_ACCESS_MAX);
        alv_access *access = &sink->out[sink->count++];
        *access = *like;
        access->operation = rules[i].operation;
        access->purpose = rules[i].purpose;
    }
}

size_t alv_access_list(alv_access_role role, const alv_settings *settings,
                       alv_access out[ALV_ACCESS_MAX])
{
    access_sink sink = {.role = role, .out = out};
    size_t topic_count = alv_schema_topic_count(settings);
    for (size_t topic = 0; topic < topic_count; topic++) {
        alv_access like = {.kind = ALV_ACCESS_TOPIC, .topic = (alv_topic)topic};
        alv_schema_topic_name(settings, like.topic, like.name, sizeof(like.name));
        if (topic < ALV_TOPIC_COUNT) {
            access_add(&sink, access_topics[topic], RULES_MAX, &like);
        } else {
            access_add(&sink, access_table, COUNT(access_table), &like);
        }
        access_add(&sink, access_every_topic, COUNT(access_every_topic), &like);
    }
    alv_access group = {.kind = ALV_ACCESS_GROUP};
    (void)snprintf(group.name, sizeof(group.name), "%s", settings->application_id);
    access_add(&sink, access_group, COUNT(access_group), &group);

    /* "<application>-<node.id>-<lane>": a node fences those of all others. */
    alv_access ids = {.kind = ALV_ACCESS_TRANSACTIONAL_ID, .is_prefix = true};
    (void)snprintf(ids.name, sizeof(ids.name), "%s-", settings->application_id);
    access_add(&sink, access_transactional_ids, COUNT(access_transactional_ids), &ids);
    (void)snprintf(ids.name, sizeof(ids.name), "%s-%s-", settings->application_id,
                   ALV_RETRY_NODE_ID);
    access_add(&sink, access_retry_ids, COUNT(access_retry_ids), &ids);
    return sink.count;
}

const char *alv_access_role_name(alv_access_role role)
{
    static const char *const names[ALV_ACCESS_ROLE_COUNT] = {"node",   "topics",   "sender",
                                                             "reader", "operator", "rebuild"};
    ALV_ASSERT(role < ALV_ACCESS_ROLE_COUNT);
    return names[role];
}

const char *alv_access_role_meaning(alv_access_role role)
{
    static const char *const meanings[ALV_ACCESS_ROLE_COUNT] = {
        "a node, when the topics are there",
        "creates the topics: `alluvium topics create`, or nodes with topics.create=true",
        "any program that produces commands: `alluvium send`",
        "any program that reads states or events from Kafka; with a group of its own, Read on that",
        "`alluvium topics check`, `dead-letters`, `quarantine`, `verify`, `table put|delete`",
        "`alluvium rebuild`, which may delete",
    };
    ALV_ASSERT(role < ALV_ACCESS_ROLE_COUNT);
    return meanings[role];
}

const char *alv_access_kind_name(alv_access_kind kind)
{
    static const char *const names[] = {"topic", "group", "transactional id"};
    ALV_ASSERT((size_t)kind < COUNT(names));
    return names[kind];
}

const char *alv_access_operation_name(alv_access_operation operation)
{
    static const char *const names[] = {"Read",   "Write",    "Create",
                                        "Delete", "Describe", "DescribeConfigs"};
    ALV_ASSERT((size_t)operation < COUNT(names));
    return names[operation];
}
