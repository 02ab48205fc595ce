/* access.h — what each kind of client needs to be allowed in Kafka, and no more.
 *
 * Why:    under an authorizer (ACLs) every program should have as few rights as it can work with. This list
 *         is the only one: `alluvium acls` prints it, the check at the start of a node reads it, messages
 *         about refusals point to it, cluster/kafka_security grants exactly it, and cluster/kafka_rights less.
 * Thread: any; pure.
 * Owns:   the caller's array.
 */
#ifndef ALV_TOPICS_ACCESS_H
#define ALV_TOPICS_ACCESS_H

#include "topics/schema.h"

/* Who. One principal may be several of them. */
typedef enum alv_access_role {
    ALV_ACCESS_NODE,
    ALV_ACCESS_TOPICS, /* creates topics: `alluvium topics`, a node with topics.create and none there */
    ALV_ACCESS_SENDER, /* any program that produces commands: `alluvium send` */
    ALV_ACCESS_READER, /* any program that reads states or events from Kafka */
    ALV_ACCESS_OPERATOR, /* looks and repairs: `topics check`, `dead-letters`, `verify`, `table put` */
    ALV_ACCESS_REBUILD, /* `alluvium rebuild`: may delete */
    ALV_ACCESS_ROLE_COUNT,
} alv_access_role;

typedef enum alv_access_kind {
    ALV_ACCESS_TOPIC,
    ALV_ACCESS_GROUP,
    ALV_ACCESS_TRANSACTIONAL_ID,
} alv_access_kind;

/* Kafka's own operations. Read, Write and Delete bring Describe with them. */
typedef enum alv_access_operation {
    ALV_ACCESS_READ,
    ALV_ACCESS_WRITE,
    ALV_ACCESS_CREATE,
    ALV_ACCESS_DELETE,
    ALV_ACCESS_DESCRIBE,
    ALV_ACCESS_DESCRIBE_CONFIGS,
} alv_access_operation;

/* One right. */
typedef struct alv_access {
    alv_access_kind kind;
    alv_access_operation operation;
    bool is_prefix;                  /* `name` is what the resource's name begins with */
    char name[ALV_TOPIC_NAME_BYTES]; /* of the topic or group; of transactional ids their prefix */
    alv_topic topic;                 /* which one, when it is a topic */
    const char *purpose;             /* static: what it is for */
} alv_access;

#define ALV_ACCESS_MAX (24 + 4 * ALV_TABLES_MAX)

/* What `role` needs in the application; the number of rights. Those on one resource stand together. */
size_t alv_access_list(alv_access_role role, const alv_settings *settings,
                       alv_access out[ALV_ACCESS_MAX]);

/* "node", "topics", ... Static. */
const char *alv_access_role_name(alv_access_role role);

/* What it is, for a person. Static. */
const char *alv_access_role_meaning(alv_access_role role);

/* "topic", "group", "transactional id". Static. */
const char *alv_access_kind_name(alv_access_kind kind);

/* As Kafka's tools spell it: "Read", "DescribeConfigs". Static. */
const char *alv_access_operation_name(alv_access_operation operation);

#endif
