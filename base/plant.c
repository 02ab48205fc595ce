#include "base/plant.h"

#ifdef ALV_PLANT

#include "base/assert.h"

alv_plant alv_planted = ALV_PLANT_NOTHING;

const char *alv_plant_name(alv_plant plant)
{
    static const char *const names[ALV_PLANT_COUNT] = {
        [ALV_PLANT_NOTHING] = "nothing",
        [ALV_PLANT_APPLY_BEFORE_COMMIT] = "apply-before-commit",
        [ALV_PLANT_DROP_POSITION] = "drop-position",
        [ALV_PLANT_REUSE_EPOCH] = "reuse-epoch",
        [ALV_PLANT_IGNORE_TAINT] = "ignore-taint",
        [ALV_PLANT_GUESS_COMMITTED] = "guess-committed",
        [ALV_PLANT_GUESS_ABORTED] = "guess-aborted",
        [ALV_PLANT_FORGET_REWIND] = "forget-rewind",
        [ALV_PLANT_KEEP_ABORTED] = "keep-aborted",
        [ALV_PLANT_STAY_AWAY] = "stay-away",
        [ALV_PLANT_FORGET_PAUSE] = "forget-pause",
        [ALV_PLANT_JOB_STAYS] = "job-stays",
        [ALV_PLANT_KEEP_CACHE] = "keep-cache",
        [ALV_PLANT_LOSE_WRITE] = "lose-write",
        [ALV_PLANT_SHORT_RESTORE] = "short-restore",
        [ALV_PLANT_IGNORE_LEDGER] = "ignore-ledger",
        [ALV_PLANT_ALWAYS_WIPE] = "always-wipe",
        [ALV_PLANT_NO_INDEX] = "no-index",
        [ALV_PLANT_LOSE_TIMERS] = "lose-timers",
        [ALV_PLANT_RING_TWICE] = "ring-twice",
        [ALV_PLANT_RING_EARLY] = "ring-early",
        [ALV_PLANT_FORGET_ANSWERS] = "forget-answers",
        [ALV_PLANT_REPLY_EARLY] = "reply-early",
        [ALV_PLANT_LOSE_EMITTED] = "lose-emitted",
        [ALV_PLANT_LOSE_DEAD_LETTER] = "lose-dead-letter",
        [ALV_PLANT_CHECKPOINT_AHEAD] = "checkpoint-ahead",
        [ALV_PLANT_CHECKPOINT_UNFENCED] = "checkpoint-unfenced",
        [ALV_PLANT_OLD_GENERATION] = "old-generation",
        [ALV_PLANT_NO_FENCE] = "no-fence",
        [ALV_PLANT_COUNT_TWICE] = "count-twice",
        [ALV_PLANT_FORGET_FAILING] = "forget-failing",
        [ALV_PLANT_RING_HELD] = "ring-held",
        [ALV_PLANT_RELEASE_ALONE] = "release-alone",
        [ALV_PLANT_EXPIRE_STALE] = "expire-stale",
        [ALV_PLANT_EXPIRE_STATE_ALONE] = "expire-state-alone",
        [ALV_PLANT_UNPINNED] = "unpinned",
        [ALV_PLANT_UNRECORDED] = "unrecorded",
        [ALV_PLANT_UNCOVERED] = "uncovered",
        [ALV_PLANT_HALF_CONVICTS] = "half-convicts",
        [ALV_PLANT_TRUST_UNHEARD] = "trust-unheard",
        [ALV_PLANT_KEEP_SAY] = "keep-say",
        [ALV_PLANT_STAY_DEAD] = "stay-dead",
        [ALV_PLANT_DOUBT_PROOF] = "doubt-proof",
        [ALV_PLANT_TRUST_MOVED] = "trust-moved",
        [ALV_PLANT_KEEP_MARK] = "keep-mark",
        [ALV_PLANT_MARK_LATE] = "mark-late",
        [ALV_PLANT_FORGET_CRASH] = "forget-crash",
    };
    ALV_ASSERT(plant >= 0 && plant < ALV_PLANT_COUNT && names[plant] != 0);
    return names[plant];
}

#endif
