/* peers.h — who holds which shard, as the group coordinator says.
 *
 * Why:    any node answers for any entity, so it must know the owner's address. Kafka knows the
 *         members of the group; a thread asks it every ALV_PEERS_INTERVAL_MS, and soon after
 *         somebody says that things have changed.
 * Thread: its own for asking. start, stop, free: main. Everything else: any.
 * Source of truth for: nothing. It is a picture of the group, up to ALV_PEERS_INTERVAL_MS old;
 *         whether a node really holds a shard, only its directory knows.
 * Owns:   its picture, copied out under a leaf mutex.
 * Fails:  while Kafka does not answer, the last picture stays; asking goes on with backoff.
 *
 * While the group rebalances, the coordinator tells no assignments. Lanes go on with what they have
 * (cooperative rebalancing), so a shard that nobody is said to hold keeps its last known owner as
 * long as that lane is a member.
 */
#ifndef ALV_API_PEERS_H
#define ALV_API_PEERS_H

#include "base/clock.h"
#include "topics/kafka.h"

typedef struct alv_peers alv_peers;

/* Fills `out` as alv_group_view_members does. Called on the peers' thread, may block
 * `timeout_ms`. */
typedef alv_status (*alv_peers_source)(void *payload, int timeout_ms, alv_members *out,
                                       alv_error *err);

typedef struct alv_peers_options {
    alv_peers_source source;
    void *payload;          /* for source */
    const alv_clock *clock; /* borrowed */
    int32_t shard_count;

    /* Told of every answer, on the peers' thread. May be NULL. */
    void (*known)(void *payload, const alv_members *members);
    void *known_payload;
} alv_peers_options;

/* A lane of some node, maybe of this one. */
#define ALV_PEER_ADDRESS_BYTES 256
typedef struct alv_peer {
    char node_id[256];
    char address
        [ALV_PEER_ADDRESS_BYTES]; /* host:port of its API; empty when it has none that can be used */
    int32_t lane;
    bool silent; /* its node is not heard; filled by alv_peers_owner alone */
} alv_peer;

/* Starts asking; nothing is known before the first answer. ALV_FATAL. */
alv_status alv_peers_start(const alv_peers_options *options, alv_peers **out, alv_error *err);

/* The lane that holds `shard`; false when nobody is known to. @thread any @blocks no */
bool alv_peers_owner(alv_peers *peers, int32_t shard, alv_peer *out);

/* How long ago Kafka last told who is a member, in ms; -1 = never yet. Far above ALV_PEERS_INTERVAL_MS: it does not
 * answer. @thread any @blocks no */
int64_t alv_peers_age_ms(const alv_peers *peers);

/* The address of a node that is a member, or was within ALV_PEERS_REMEMBER_MS: one that is stopping has
 * left the group and still waits for answers. False when it has none or is not known; ask for a refresh
 * then. @thread any @blocks no */
bool alv_peers_address(alv_peers *peers, alv_view node_id, char out[ALV_PEER_ADDRESS_BYTES]);

/* Copies up to `capacity` lanes of the group into `out`, which may be NULL with 0; the number there are.
 * @thread any */
size_t alv_peers_list(alv_peers *peers, alv_peer *out, size_t capacity);

/* From now on a node is not heard, or is heard again: whoever asks it would wait in vain.
 * @thread any @blocks no */
void alv_peers_set_silent(alv_peers *peers, const char *node_id, bool silent);

/* The picture may be wrong: ask again, at once if the last answer is older than ALV_PEERS_GAP_MS.
 * @thread any @blocks no */
void alv_peers_refresh_soon(alv_peers *peers);

/* Ends the thread (within the time of one question); the last picture stays readable. */
void alv_peers_stop(alv_peers *peers);

/* Stops if that was not done. NULL is fine. */
void alv_peers_free(alv_peers *peers);

#endif
