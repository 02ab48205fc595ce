/* ask.h — answers for an entity, wherever it lives.
 *
 * Why:    the caller need not know which node owns an entity. What is here is read here; what is
 *         elsewhere is asked there, with one hop at most; what is on its way between two nodes is
 *         waited for a moment.
 * Thread: alv_ask_entity: the server's. Its own looks again at requests that wait. start, stop,
 *         free: main.
 * Owns:   the requests that wait; directory, store, registry, peers and client are borrowed.
 * Limits: a request waits ALV_HTTP_HOLD_MS for its shard and is looked at every
 *         ALV_HTTP_HOLD_LOOK_MS; ALV_HTTP_FORWARD_TIMEOUT_MS for the owner's answer. Then 503 with
 *         Retry-After.
 *
 *   the shard is here and      active                    200 or 404
 *                              stopped                   503
 *                              being restored            wait
 *   not here, and the request  takes any state, and a
 *                              hot standby is here       200 or 404, with the standby's lag
 *                              was forwarded to us       503 (the sender knows what to do)
 *                              its owner is known        forward: pass its answer on; none, 503 or
 *                                                        one that is too old (read_floor.h): ask for
 *                                                        peers again, wait
 *                              nobody, or we are said to,
 *                              or its node is silent     ask for peers again, wait
 */
#ifndef ALV_API_ASK_H
#define ALV_API_ASK_H

#include "api/exchange.h"
#include "api/http_client.h"
#include "api/peers.h"
#include "api/read_floor.h"
#include "base/clock.h"
#include "processor/directory.h"
#include "processor/registry.h"
#include "statestore/store.h"

typedef struct alv_ask alv_ask;

typedef struct alv_ask_options {
    const char *node_id; /* of this node; borrowed, as all below */
    alv_store *store;
    const alv_directory *directory;
    const alv_registry *registry;
    const alv_clock *clock;
    alv_peers *peers;
    alv_http_client *client;
    alv_read_floor *floor;
} alv_ask_options;

/* ALV_FATAL. */
alv_status alv_ask_start(const alv_ask_options *options, alv_ask **out, alv_error *err);

/* Answers `exchange`, now or later, for the entity whose percent-encoded key is `encoded_key`. With the
 * parameter consistency=any a hot standby of this node may answer for an owner elsewhere.
 * @thread http */
void alv_ask_entity(alv_ask *ask, alv_exchange *exchange, alv_view encoded_key);

/* Answers what waits with 503 and ends the thread; requests that come later and cannot be answered
 * at once get 503. */
void alv_ask_stop(alv_ask *ask);

/* Stops if that was not done; server and client must have stopped. NULL is fine. */
void alv_ask_free(alv_ask *ask);

#endif
