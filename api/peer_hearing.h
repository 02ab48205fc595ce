/* peer_hearing.h — one stream of another node, as it is heard: lines in, events for the verdict out, no I/O.
 *
 * Why:    what a line means, and when a stream is opened again, is the same over a real connection
 *         (peer_monitor_links.c) and a simulated one (tests/sim).
 * Thread: the owner's.
 * Owns:   the line that is not complete yet.
 * Limits: ALV_PEER_LINE_BYTES_MAX per line; waits between ALV_PEER_RETRY_FIRST_MS and _MAX_MS.
 */
#ifndef ALV_API_PEER_HEARING_H
#define ALV_API_PEER_HEARING_H

#include "api/peer_verdict.h"

typedef struct alv_peer_hearing {
    char node_id[ALV_PEER_ID_BYTES]; /* who should speak */
    bool greeted;
    int64_t heard_at_ms; /* or opened */
    int64_t try_at_ms;   /* while no stream is open: when to open the next one */
    int64_t retry_ms;    /* the wait after this stream; 0 once a beat was heard */
    alv_bytes line;      /* what came of a line that is not complete */
} alv_peer_hearing;

/* The first stream may be opened at once. */
void alv_peer_hearing_init(alv_peer_hearing *hearing, const char *node_id);
void alv_peer_hearing_done(alv_peer_hearing *hearing);

/* A stream is being opened. */
void alv_peer_hearing_begin(alv_peer_hearing *hearing, int64_t now_ms);

/* These bytes came. False: not a line that may come here, or somebody else; the stream is of no use. */
bool alv_peer_hearing_take(alv_peer_hearing *hearing, alv_peer_verdict *verdict, alv_view bytes,
                           int64_t now_ms);

/* Whether nothing has come for so long that the stream should be opened anew. */
bool alv_peer_hearing_is_mute(const alv_peer_hearing *hearing, int64_t patience_ms, int64_t now_ms);

/* The stream has ended, or was given up: the next one may be opened at once after one that worked, else later
 * and later. */
void alv_peer_hearing_end(alv_peer_hearing *hearing, int64_t now_ms);

#endif
