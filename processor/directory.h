/* directory.h — the node's table of shards: what each one is doing here, readable from any thread.
 *
 * Why:    the HTTP server, readiness and the status page ask about shards while lanes change them. One
 *         atomic row per shard answers without a lock on the command path.
 * Thread: a row is written by the lane that holds the shard (state, positions) and by the replicator
 *         (restore progress); anyone reads.
 * Source of truth for: which lane of this node holds a shard, and in which state.
 *
 *                    assigned              restored
 *     UNASSIGNED ---------------> RESTORING ----------> ACTIVE
 *         ^                         |   ^                 |
 *         |                         |   +-- store failed -+
 *         |                         v   |                 |
 *         |                      STOPPED                  |
 *         |                         |                     |
 *         +-------- revoked --------+-------- revoked ----+      (from RESTORING as well)
 *
 * All moves are made in processor/rebalance.c.
 *
 * RESTORING: nobody's commands run; the store is being brought to the changelog's end.
 * ACTIVE:    the store is complete up to the last committed transaction; reads are answered (I4).
 * STOPPED:   something a person must decide (a gap in the commands, topics that were recreated); the
 *            reason is in the log, and the other shards go on (I8). Back to RESTORING when what was
 *            missing (a copy of a global table) has come after all.
 */
#ifndef ALV_PROCESSOR_DIRECTORY_H
#define ALV_PROCESSOR_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "statestore/store.h"

typedef enum alv_shard_state {
    ALV_SHARD_UNASSIGNED,
    ALV_SHARD_RESTORING,
    ALV_SHARD_ACTIVE,
    ALV_SHARD_STOPPED,
} alv_shard_state;

/* "unassigned", "restoring", "active", "stopped". Static. */
const char *alv_shard_state_name(alv_shard_state state);

typedef struct alv_directory alv_directory;

alv_directory *alv_directory_new(int32_t shard_count);
void alv_directory_free(alv_directory *directory);
int32_t alv_directory_shard_count(const alv_directory *directory);

/* A row as it is now. */
typedef struct alv_shard_view {
    alv_shard_state state;
    int32_t lane;          /* -1 when unassigned */
    alv_position position; /* of the store, as of the last finished transaction */
    int64_t commands_end;  /* end of the command topic when last seen; ALV_OFFSET_NONE = unknown */
    int64_t commands_done; /* since the start of the node */
    int64_t quarantined;   /* entities of it that are, while it is ACTIVE here */
    bool is_paused;        /* it is ACTIVE here, and nothing of it is executed */
    bool is_standby;       /* this node keeps a replica of it for another node */
    bool is_hot;           /* the replica follows the end of the changelog */
    int64_t restored_records; /* of the restore under way, or of the last one */
    int64_t restore_target;   /* records it started with; an upper bound */
    int64_t restored_bytes;   /* keys and values of restored_records */
    int64_t restore_eta_ms;   /* until it has its target; -1 = not known. 0 when it has */
    int64_t changelog_end;    /* the last high watermark the replicator saw; 0 = none yet */
} alv_shard_view;

/* How far a restore or standby is, as the replicator says. */
typedef struct alv_restore_progress {
    int64_t records;
    int64_t target;
    int64_t bytes;
    int64_t eta_ms;
    int64_t changelog_end;
} alv_restore_progress;

alv_shard_view alv_directory_view(const alv_directory *directory, int32_t shard);

/* Whether a restore or a standby of the shard has not reached the end of the changelog yet. */
bool alv_shard_view_is_behind(const alv_shard_view *view);

/* Records of the changelog that a standby is behind, as far as is known here; 0 for other shards. */
int64_t alv_shard_view_lag(const alv_shard_view *view);

/* How many shards of this node are in `state`. */
int32_t alv_directory_count(const alv_directory *directory, alv_shard_state state);

/* The lane is alive: it has begun a turn at `now_us` (monotonic). By the lane. */
void alv_directory_lane_turned(alv_directory *directory, int32_t lane, int64_t now_us);

/* How long ago that was; 0 when it has not begun one yet. Any thread. */
int64_t alv_directory_lane_silent_ms(const alv_directory *directory, int32_t lane, int64_t now_us);

/* Whether the shard is ACTIVE, its lane has turned within ALV_LANE_SILENT_MS and the group does not name
 * another owner. A lane that hangs in a call to Kafka, or has not found its coordinator again, does not hear
 * that its shards were given to others; what the store has is then an old truth (I4). Any thread. */
bool alv_directory_is_current(const alv_directory *directory, int32_t shard, int64_t now_us);

/* Takes the row of an unassigned shard for `lane`; false while another lane of this node holds it: the
 * group may give a shard to a second lane before the first has noticed that it lost it, and until then
 * the shard's store is the first one's. */
bool alv_directory_claim(alv_directory *directory, int32_t shard, int32_t lane);

/* Moves a shard that `lane` holds to `state`; asserts that the move is in the picture above. Moving to
 * UNASSIGNED lets go of the row. */
void alv_directory_set_state(alv_directory *directory, int32_t shard, int32_t lane,
                             alv_shard_state state);

/* How often the shard has changed its state here. Any thread. */
uint64_t alv_directory_moves(const alv_directory *directory, int32_t shard);

/* Whether the group names another owner of a shard that is ACTIVE here; see processor/rivals.h. Forgotten
 * when the shard changes its state. By the thread that asks the group. */
void alv_directory_set_elsewhere(alv_directory *directory, int32_t shard, bool is_elsewhere);

void alv_directory_set_position(alv_directory *directory, int32_t shard,
                                const alv_position *position);
/* By the lane: the end of the shard's commands as its consumer last saw it. */
void alv_directory_set_end(alv_directory *directory, int32_t shard, int64_t commands_end);
void alv_directory_set_quarantined(alv_directory *directory, int32_t shard, int64_t count);
void alv_directory_set_paused(alv_directory *directory, int32_t shard, bool paused);
void alv_directory_add_commands(alv_directory *directory, int32_t shard, int64_t count);
void alv_directory_set_restore(alv_directory *directory, int32_t shard,
                               const alv_restore_progress *progress);

/* By the replicator: what it keeps of a shard that no lane of this node has. */
void alv_directory_set_standby(alv_directory *directory, int32_t shard, bool is_standby,
                               bool is_hot);

#endif
