/* node.h — a running node: lanes, replicator, checkpointer and what they share.
 *
 * Why:    one place starts everything in order and stops it in the reverse order.
 * Thread: main. `alv_node_request_stop` is for signal handlers and any thread.
 * Owns:   log, store, directory, lanes, replicator, checkpointer.
 * Limits: one node per process: a signal handler has no other way to say which one it means.
 *
 *   STARTING  topics are created or checked (again and again while brokers are away), the store is open
 *   RUNNING   global tables are restored, then lanes are members of the group
 *   STOPPING  lanes drain, commit and leave; replicator and checkpointer stop; the store is flushed
 *   STOPPED   everything is freed but the node itself
 */
#ifndef ALV_PROCESSOR_NODE_H
#define ALV_PROCESSOR_NODE_H

#include "base/clock.h"
#include "base/config.h"
#include "changelog/checkpointer.h"
#include "processor/directory.h"
#include "processor/meter.h"
#include "processor/registry.h"
#include "processor/reply_box.h"
#include "statestore/tables.h"
#include "topics/kafka.h"
#include "topics/log_port.h"

typedef struct alv_node alv_node;

typedef struct alv_node_options {
    const alv_config *config;     /* borrowed */
    const alv_registry *registry; /* borrowed, with its default set */
    const alv_clock *clock;       /* borrowed */

    /* Called on lane threads after every change of assignment; must not block. May be NULL. */
    void (*assignment_changed)(void *payload);

    /* As alv_lane_options.replied. May be NULL. */
    void (*replied)(void *payload, alv_reply_box *box);
    void *payload;
} alv_node_options;

/* Opens the store and waits for Kafka: creates or checks the topics, retrying with backoff and a clear
 * message while brokers are away, until `alv_node_request_stop`. Nothing runs yet.
 * ALV_REJECT: a person must decide (topics, state.dir); ALV_RETRY: told to stop while waiting. */
alv_status alv_node_open(const alv_node_options *options, alv_node **out, alv_error *err);

/* Borrowed; valid until alv_node_close. */
alv_directory *alv_node_directory(alv_node *node);
alv_store *alv_node_store(alv_node *node);
const alv_meter *alv_node_meter(const alv_node *node);

/* This node's copies of the global tables; NULL when there are none. Borrowed. */
alv_tables *alv_node_global_tables(alv_node *node);

/* The log, from start to close. Borrowed. */
alv_log_port *alv_node_log(alv_node *node);

/* The changelog's id in Kafka. Borrowed. */
const char *alv_node_changelog_id(const alv_node *node);

/* Starts the threads. http.advertise must be in the configuration by now: peers are told. The lanes follow
 * when the global tables are restored, within alv_node_wait: until then the node is no member of the group. */
alv_status alv_node_start(alv_node *node, alv_error *err);

/* Who is a member of the group now, and has what: the node places its standbys by it. One thread at a
 * time, between open and close. */
void alv_node_members_known(alv_node *node, const alv_members *members);

/* Stops or goes on with the commands of a shard that this node executes; `done` as in lane.h. False: it is
 * not here, or its lane takes no wishes. Any thread, between start and stop. */
bool alv_node_set_paused(const alv_node *node, int32_t shard, bool paused,
                         void (*done)(void *payload, alv_status status), void *payload);

/* What the checkpointer has done, and up to where PostgreSQL has each shard (as
 * alv_checkpointer_position; one item per shard). False, and nothing filled, without postgres.url and
 * while the node starts. Any thread, but not once alv_node_stop was called. */
bool alv_node_checkpoints(const alv_node *node, alv_checkpointer_status *out_status,
                          int64_t *out_positions);

/* Whether every shard of this node is active and its lanes are members of the group; otherwise `why`
 * (one line) says what is missing. Any thread. */
bool alv_node_ready(const alv_node *node, char *why, size_t size);

/* Waits until somebody asks for a stop, or a lane or the store cannot go on, and logs meanwhile when the node becomes
 * ready. ALV_OK: asked; ALV_FATAL: `err` has the reason. */
alv_status alv_node_wait(alv_node *node, alv_error *err);

/* Async-signal-safe. Any thread; also ends alv_node_open. */
void alv_node_request_stop(void);

/* Clean stop: lanes drain, commit and leave the group (shutdown=stay: keep their seats, unless the node cannot go on). ALV_RETRY when
 * it did not end within ALV_STOP_TIMEOUT_MS: the process should exit at once, state on disk is good. */
alv_status alv_node_stop(alv_node *node, alv_error *err);

/* Frees a node that is stopped or never started. NULL is fine. */
void alv_node_close(alv_node *node);

#endif
