/* desk.h — the reply desk: commands that came over HTTP, and who waits for what becomes of them.
 *
 * Why:    a command goes into the command topic like everybody else's, whichever node it came to; so it
 *         needs no owner to be known, and a shard that moves meanwhile only makes it take longer. What
 *         became of it is told after its commit (I4, I7), by the node that executed it.
 * Thread: start, stop, free: main. Its own sends commands, takes replies and watches the time. The rest
 *         as each says.
 * Owns:   its thread, a sender, the exchanges that wait.
 * Fails:  a client always gets an answer; what cannot be known within ALV_HTTP_COMMAND_WAIT_MS is 504.
 * Limits: ALV_HTTP_COMMANDS_MAX commands at a time, ALV_HTTP_REPLIES_WAITING_MAX parcels of replies on
 *         their way to other nodes.
 *
 *   client -> this node: check, produce (reply-to: node:<this>, correlation-id) -> A.commands
 *   owner: execute, commit -> reply box -> its desk -- this node's --> the exchange is answered
 *                                                  \-- another's --> POST /v1/replies there
 *
 * The correlation id names a slot of the table of those who wait; it begins with a random number of this
 * start of the process, so that nobody else can answer, and a reply to a former start finds nobody.
 */
#ifndef ALV_API_DESK_H
#define ALV_API_DESK_H

#include "api/exchange.h"
#include "api/http_client.h"
#include "api/peers.h"
#include "api/read_floor.h"
#include "base/clock.h"
#include "processor/registry.h"
#include "processor/reply_box.h"
#include "topics/log_port.h"

typedef struct alv_desk alv_desk;

typedef struct alv_desk_options {
    const char *node_id; /* of this node; borrowed, as all below */
    alv_log_port *log;   /* NULL = commands are answered with 503 */
    const alv_registry *registry;
    const alv_clock *clock;
    alv_peers *peers;
    alv_http_client *client;
    alv_read_floor *floor;
    int32_t shard_count;
} alv_desk_options;

/* ALV_FATAL. */
alv_status alv_desk_start(const alv_desk_options *options, alv_desk **out, alv_error *err);

/* Answers `exchange`, now or later: its body is a command for the entity whose percent-encoded key is
 * `encoded_key`. @thread http */
void alv_desk_command(alv_desk *desk, alv_exchange *exchange, alv_view encoded_key);

/* The same with a release of the entity from quarantine in place of a command: it is written into the command
 * topic, executed in its turn, and answered when that is committed. @thread http */
void alv_desk_release(alv_desk *desk, alv_exchange *exchange, alv_view encoded_key);

/* Answers `exchange`: its body holds replies that another node sends. @thread http */
void alv_desk_take_replies(alv_desk *desk, alv_exchange *exchange);

/* Takes the content of `box`: replies to commands that this node has executed and committed.
 * @thread lane @blocks no */
void alv_desk_replied(alv_desk *desk, alv_reply_box *box);

/* Waits up to ALV_HTTP_COMMANDS_DRAIN_MS for replies, answers what is left and ends the thread;
 * commands that come later get 503. */
void alv_desk_stop(alv_desk *desk);

/* Stops if that was not done; server and client must have stopped. NULL is fine. */
void alv_desk_free(alv_desk *desk);

#endif
