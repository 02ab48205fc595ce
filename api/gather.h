/* gather.h — asks all nodes what they know of themselves, for answers about the cluster.
 *
 * Why:    whoever asks any node about the cluster gets the whole picture. What a node does not answer in
 *         time is told as unknown, not left out.
 * Thread: ask: the server's. Answers are composed on the server's thread or the client's. start, stop,
 *         free: main.
 * Owns:   its client, the round under way and the last one, the exchanges that wait for it.
 * Limits: one round at a time, whoever asks meanwhile waits for it; one request per node and round;
 *         ALV_GATHER_TIMEOUT_MS for all of them; a round is good for ALV_GATHER_CACHE_MS. Nodes that are
 *         held for dead or suspect are not asked.
 */
#ifndef ALV_API_GATHER_H
#define ALV_API_GATHER_H

#include "api/answer.h"
#include "api/api.h"
#include "api/exchange.h"

typedef struct alv_gather alv_gather;

/* What one node said. */
typedef struct alv_gathered_node {
    char node_id[256];
    char address[256]; /* empty: it has none that can be used */
    json_t *view;      /* as node_view.h; NULL = it did not answer */
} alv_gathered_node;

/* A round: this node first, then the others in the order of their ids. Never changes once it is there. */
typedef struct alv_gathered {
    const alv_gathered_node *nodes;
    size_t count;
} alv_gathered;

/* Makes an answer of a round. Any thread; must not block. */
typedef void (*alv_gather_compose)(const alv_api *api, const alv_gathered *round, alv_answer *out);

/* ALV_FATAL. `api` is borrowed. */
alv_status alv_gather_start(const alv_api *api, alv_gather **out, alv_error *err);

/* Answers `exchange`, now or later, with what `compose` makes of a round. @thread http */
void alv_gather_answer(alv_gather *gather, alv_exchange *exchange, alv_gather_compose compose);

/* Answers what waits, with what is known. */
void alv_gather_stop(alv_gather *gather);

/* Stops if that was not done; the server must have stopped. NULL is fine. */
void alv_gather_free(alv_gather *gather);

#endif
