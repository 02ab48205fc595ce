/* contender.h — what is measured side by side, Alluvium and Kafka Streams, behind the same calls.
 *
 * Why:    a comparison is fair when the same code starts, kills, watches and measures both: nodes of
 *         Alluvium, or instances of the program in bench/kafka-streams, on the same broker.
 * Thread: the one that opened it, which must live as long as the nodes.
 * Owns:   heap object with its nodes' processes and folders. Topics are the caller's.
 * Fails:  what does not work ends the program; the ends of the nodes' logs are printed before.
 */
#ifndef ALV_TESTS_SUPPORT_CONTENDER_H
#define ALV_TESTS_SUPPORT_CONTENDER_H

#include "tests/support/cluster.h"

#define ALV_CONTENDER_NODES_MAX 3
#define ALV_CONTENDER_SHARDS_MAX 256

typedef struct alv_contender alv_contender;

typedef enum alv_contender_kind {
    ALV_CONTENDER_ALLUVIUM,
    ALV_CONTENDER_STREAMS,
} alv_contender_kind;

typedef struct alv_contender_options {
    alv_contender_kind kind;
    const alv_cluster
        *stack;         /* whose broker, programs and folder are used; outlives the contender */
    const char *topics; /* prefix of the topics, which must exist (Alluvium: application.id) */
    int shards;
    const char *const *settings; /* name=value for every node; NULL-terminated, copied */
} alv_contender_options;

/* What its nodes say about the shards. */
typedef struct alv_contender_view {
    int owner[ALV_CONTENDER_SHARDS_MAX]; /* the node where the shard is at work, -1 = nowhere */
    int active;                          /* shards at work */
    int hot;                             /* standbys that are as far as the changelog */
    int64_t restored[ALV_CONTENDER_NODES_MAX]; /* records read for its shards since its start */
    bool calm; /* nodes that are up know of each other, and nothing moves or is going to */
} alv_contender_view;

/* "Alluvium", "Kafka Streams" */
const char *alv_contender_name(alv_contender_kind kind);

/* Makes what topics with that prefix are missing. */
void alv_contender_create_topics(const alv_cluster *stack, const char *topics, int shards);

/* Prepares ALV_CONTENDER_NODES_MAX nodes, numbered from 0, and starts none. */
alv_contender *alv_contender_open(const alv_contender_options *options);

/* Kills what runs and removes all folders. */
void alv_contender_close(alv_contender *contender);

/* ---- nodes ----------------------------------------------------------------------------------- */

void alv_contender_start(alv_contender *contender, int node);

/* Whether all that the node has to do is restored and at work. Fails when the node has ended. */
bool alv_contender_is_ready(alv_contender *contender, int node);

/* Polls it; returns the ms since the call. */
int64_t alv_contender_wait_ready(alv_contender *contender, int node, int timeout_ms);

/* SIGTERM, and waits for the end. */
void alv_contender_stop(alv_contender *contender, int node);

/* SIGKILL; does not wait for the end. */
void alv_contender_kill(alv_contender *contender, int node);

/* Waits for the end of a node that was killed. */
void alv_contender_reap(alv_contender *contender, int node);

/* Removes the state of a node that does not run. */
void alv_contender_wipe(alv_contender *contender, int node);

int alv_contender_count_up(const alv_contender *contender);
pid_t alv_contender_pid(const alv_contender *contender, int node);

/* ---- what is seen of them -------------------------------------------------------------------- */

alv_contender_view alv_contender_look(alv_contender *contender);

/* Every shard is at work, every node that is up has its part, and standbys are hot. */
bool alv_contender_is_settled(alv_contender *contender);

/* Of the restore after the node's last start: records, and the ms it took. Only once it is ready. */
void alv_contender_restore(alv_contender *contender, int node, int64_t *out_records,
                           int64_t *out_ms);

/* The topic in which states appear, and the group that consumes the commands. */
const char *alv_contender_changelog(const alv_contender *contender);
const char *alv_contender_group(const alv_contender *contender);

/* The nodes of Alluvium, for their logs; NULL for Kafka Streams. */
const alv_cluster *alv_contender_cluster(const alv_contender *contender);

/* Without it, alv_contender_close prints the ends of the logs. */
void alv_contender_passed(alv_contender *contender);

#endif
