/* peer_verdict.h — which other nodes live: events in, verdicts out, no I/O.
 *
 * Why:    a dead node's shards wait for nothing but this verdict, and a wrong one takes shards from
 *         a node that works. So the rules stand alone, and time is an argument.
 * Thread: the owner's (peer_monitor.c).
 * Source of truth for: what this node thinks of the others. What the group says, it is told.
 *
 *               hello                silent for timeout_ms
 *   UNKNOWN --------------> ALIVE ------------------------> SUSPECTED
 *                           ^ ^ |                            | |   |
 *                           | | +----------- refused --------|-+   | a majority agrees
 *                           | |                              |     v
 *                           | +-- heard ---------------------+    DEAD
 *                           +---- heard (the verdict was wrong, or the node is back) --+
 *   any but UNKNOWN: goodbye -> LEFT -- hello -> ALIVE
 *   any: another address -> UNKNOWN; no member of the group any more -> forgotten
 *
 * Proof and suspicion. A connection that is *refused* proves that no process listens at the address
 * any more, so it is DEAD at once; but only where this node was heard before: an address that never
 * answered (a loopback address that a remote host advertises, a wrong port) proves nothing. Silence
 * proves nothing either: the process may be paused, the network between us broken. Then the suspect
 * is DEAD when more than half of all members, this node included, suspect it or hold it for dead;
 * the suspect and those who are not heard count as not agreeing. So of two nodes neither can
 * convict the other by silence, three can convict one, and two halves of a torn network never
 * convict each other: the group's session time-out decides as it does without verdicts.
 */
#ifndef ALV_API_PEER_VERDICT_H
#define ALV_API_PEER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define ALV_PEER_ID_BYTES 256      /* of a node id, with the NUL; as in alv_member */
#define ALV_PEER_ADDRESS_BYTES 256 /* of "host:port" */
#define ALV_PEER_BOOT_BYTES 33     /* of a boot id: random for each start of a process */

typedef enum alv_peer_state {
    ALV_PEER_UNKNOWN,   /* not heard at this address so far */
    ALV_PEER_ALIVE,     /* heard within the time-out */
    ALV_PEER_SUSPECTED, /* silent */
    ALV_PEER_DEAD,      /* its process is gone, or a majority thinks so */
    ALV_PEER_LEFT,      /* it said goodbye: gone on purpose */
} alv_peer_state;

typedef struct alv_peer_view {
    char node_id[ALV_PEER_ID_BYTES];
    char address[ALV_PEER_ADDRESS_BYTES]; /* empty: it has none that can be used */
    char boot[ALV_PEER_BOOT_BYTES];       /* empty while UNKNOWN */
    alv_peer_state state;
    int64_t heard_at_ms; /* the monitor's clock; 0 = never */
} alv_peer_view;

/* Something has changed: `peer` is as it is now, `from` what it was. Equal states ALIVE mean that
 * the process was started again. A forgotten peer is told as UNKNOWN if it was not. */
typedef void (*alv_peer_changed)(void *payload, const alv_peer_view *peer, alv_peer_state from);

typedef struct alv_peer_verdict alv_peer_verdict;

/* `timeout_ms`: the silence that makes a suspect. */
alv_peer_verdict *alv_peer_verdict_new(int64_t timeout_ms, alv_peer_changed changed, void *payload);
void alv_peer_verdict_free(alv_peer_verdict *verdict);

/* The other nodes of the group are these (only node_id and address are read). */
void alv_peer_verdict_set_members(alv_peer_verdict *verdict, const alv_peer_view *members,
                                  size_t count);

/* Events about a node; those about nodes that are no members are ignored. */
void alv_peer_verdict_hello(alv_peer_verdict *verdict, const char *node_id, const char *boot,
                            int64_t now_ms);

/* It lives, and holds the nodes of `suspects` (ids with a blank between them) for suspect or dead.
 */
void alv_peer_verdict_beat(alv_peer_verdict *verdict, const char *node_id, alv_view suspects,
                           int64_t now_ms);
void alv_peer_verdict_goodbye(alv_peer_verdict *verdict, const char *node_id);
void alv_peer_verdict_refused(alv_peer_verdict *verdict, const char *node_id);

/* Time has passed. Call it after the events that are there, not before: what was heard counts. */
void alv_peer_verdict_tick(alv_peer_verdict *verdict, int64_t now_ms);

/* Borrowed until the next change of members. */
const alv_peer_view *alv_peer_verdict_find(const alv_peer_verdict *verdict, const char *node_id);

/* Copies up to `capacity` peers; the number there are. */
size_t alv_peer_verdict_list(const alv_peer_verdict *verdict, alv_peer_view *out, size_t capacity);

/* Appends the ids of the nodes that are held for suspect or dead, a blank before each: what is said in a beat. */
void alv_peer_verdict_write_suspects(const alv_peer_verdict *verdict, alv_bytes *out);

/* "unknown", "alive", ... Static. */
const char *alv_peer_state_name(alv_peer_state state);

#endif
