/* peer_saying.h — what a node says to those who listen to it, and when; no I/O.
 *
 * Why:    the same is said over real connections (peer_monitor_beat.c) and simulated ones (tests/sim). The lines
 *         are described in peer_monitor.h.
 * Thread: the owner's.
 * Owns:   the last beat.
 */
#ifndef ALV_API_PEER_SAYING_H
#define ALV_API_PEER_SAYING_H

#include "api/peer_verdict.h"

typedef struct alv_peer_saying {
    alv_bytes beat;     /* the line that says what we think now; empty before the first turn */
    int64_t beat_at_ms; /* the next one */
} alv_peer_saying;

#define ALV_PEER_BYE ALV_VIEW("bye\n")

/* Appends what is said first of all to one who has come; the beat follows. */
void alv_peer_saying_greet(const alv_peer_saying *saying, const char *node_id, const char *boot,
                           alv_bytes *out);

/* Says what the verdict is now. True when all who listen are to be told: it is news, or a beat is due. */
bool alv_peer_saying_turn(alv_peer_saying *saying, const alv_peer_verdict *verdict,
                          int64_t timeout_ms, int64_t now_ms);

void alv_peer_saying_done(alv_peer_saying *saying);

#endif
