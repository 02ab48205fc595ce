/* scan.h — lists entities of all shards whose key begins with a prefix, page by page, in key order: all that
 * exist, or those that are quarantined.
 *
 * Why:    people look for what is there, and the shards of a prefix are spread over all nodes.
 * Thread: alv_scan_page_of, alv_scan_local: the server's. Its own reads this node's shards and puts
 *         together what the others answer. start, stop, free: main.
 * Owns:   the requests under way; directory, store, registry, peers, client and floor are borrowed.
 * Fails:  a shard that cannot be read makes it 503, with Retry-After: nothing is left out silently.
 * Limits: ALV_HTTP_SCANS_MAX requests at a time; ALV_HTTP_SCAN_LIMIT_MAX entities and
 *         ALV_HTTP_SCAN_BYTES_MAX per page; one request at a time to each other node; a shard that moves is
 *         waited for ALV_HTTP_HOLD_MS.
 *
 * Every node reads the first keys of its own shards; the first of all these are the page. Each shard is read
 * as it is at one moment, the shards not at the same one. The cursor is the last key, so that a scan goes
 * on where it was whatever has changed: an entity that is there all the time is shown once.
 *
 * Between nodes: GET /v1/local/entities?shards=<a bit per shard, hexadecimal>&prefix=&after=&limit= (or
 * /v1/local/quarantine) is answered with lines, because states are passed on as they are stored:
 *     more 0|1
 *     shard <number> <commands> <changelog>, up to where it is complete   for each
 *     <bytes of the key> <bytes of the text> <key><text>                for each entity
 */
#ifndef ALV_API_SCAN_H
#define ALV_API_SCAN_H

#include "api/exchange.h"
#include "api/http_client.h"
#include "api/peers.h"
#include "api/read_floor.h"
#include "base/clock.h"
#include "processor/directory.h"
#include "processor/registry.h"
#include "statestore/store.h"

typedef struct alv_scan alv_scan;

typedef struct alv_scan_options {
    const char *node_id; /* of this node; borrowed, as all below */
    alv_store *store;
    const alv_directory *directory;
    const alv_registry *registry;
    const alv_clock *clock;
    alv_peers *peers;
    alv_http_client *client;
    alv_read_floor *floor;
} alv_scan_options;

/* ALV_FATAL. */
alv_status alv_scan_start(const alv_scan_options *options, alv_scan **out, alv_error *err);

/* What is listed. */
typedef enum alv_scan_list {
    ALV_SCAN_ENTITIES,   /* {"entities":[{"key","type","shard","state"}...],"cursor"} */
    ALV_SCAN_QUARANTINE, /* {"quarantined":[{"key","type","shard","quarantine"}...],"cursor"} */
} alv_scan_list;

/* Answers `exchange` with a page: parameters prefix, limit, cursor. @thread http */
void alv_scan_page_of(alv_scan *scan, alv_exchange *exchange, alv_scan_list list);

/* Answers `exchange` for another node, from shards of this one. @thread http */
void alv_scan_local(alv_scan *scan, alv_exchange *exchange, alv_scan_list list);

/* Answers what is under way with 503 and ends the thread. The client must have stopped, so that nothing
 * is asked of others any more. */
void alv_scan_stop(alv_scan *scan);

/* Stops if that was not done; the server must have stopped. NULL is fine. */
void alv_scan_free(alv_scan *scan);

#endif
