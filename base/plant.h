/* plant.h — bugs on purpose, so that it can be shown that the simulator finds them.
 *
 * Why:    checks that have never failed prove little. Each bug here is one that somebody could write, at the
 *         place where it would be written; tests/sim/test_planted.c plants one after the other and wants all of
 *         them found.
 * How:    only the simulator's own build defines ALV_PLANT and can choose one. Everywhere else ALV_PLANTED is
 *         the constant false, and nothing of it is left in the code.
 * Thread: the simulator's one.
 */
#ifndef ALV_BASE_PLANT_H
#define ALV_BASE_PLANT_H

#include <stdbool.h>

typedef enum alv_plant {
    ALV_PLANT_NOTHING,
    ALV_PLANT_APPLY_BEFORE_COMMIT, /* the store gets what is not committed yet */
    ALV_PLANT_DROP_POSITION,       /* no position record in the ledger */
    ALV_PLANT_REUSE_EPOCH,         /* after a commit without an answer */
    ALV_PLANT_IGNORE_TAINT,        /* the epoch is used after a time-out */
    ALV_PLANT_GUESS_COMMITTED,     /* a commit without an answer was carried out */
    ALV_PLANT_GUESS_ABORTED,       /* it was not */
    ALV_PLANT_FORGET_REWIND,       /* after an abort the commands are not delivered again */
    ALV_PLANT_KEEP_ABORTED,   /* entities stay in the cache as the aborted transaction left them */
    ALV_PLANT_STAY_AWAY,      /* an entity that was put away is taken for one that does not exist */
    ALV_PLANT_FORGET_PAUSE,   /* a new owner does not read whether its shard is paused */
    ALV_PLANT_JOB_STAYS,      /* a job is sent, and stays due */
    ALV_PLANT_KEEP_CACHE,     /* of a shard that goes to another lane */
    ALV_PLANT_LOSE_WRITE,     /* the last write of a transaction does not get into the store */
    ALV_PLANT_SHORT_RESTORE,  /* a restore ends at the first transaction under way */
    ALV_PLANT_IGNORE_LEDGER,  /* a restore does not heed the position record */
    ALV_PLANT_ALWAYS_WIPE,    /* a store that could be continued is thrown away */
    ALV_PLANT_NO_INDEX,       /* a restore does not index timers */
    ALV_PLANT_LOSE_TIMERS,    /* a new owner does not look for timers that were set before */
    ALV_PLANT_RING_TWICE,     /* a timer that fires stays in the ledger */
    ALV_PLANT_RING_EARLY,     /* timers fire before they are due */
    ALV_PLANT_FORGET_ANSWERS, /* idempotency keys are not looked up */
    ALV_PLANT_REPLY_EARLY,    /* who waits is told before the commit */
    ALV_PLANT_LOSE_EMITTED,   /* emitted commands are not sent */
    ALV_PLANT_LOSE_DEAD_LETTER, /* what cannot be processed vanishes */
    ALV_PLANT_CHECKPOINT_AHEAD, /* the position beside the rows is that of what is not written yet */
    ALV_PLANT_CHECKPOINT_UNFENCED, /* the checkpointer takes another writer's success for its own */
    ALV_PLANT_OLD_GENERATION, /* offsets are sent with group metadata that the broker does not check */
    ALV_PLANT_NO_FENCE,       /* a producer does not fence the one before it */
    ALV_PLANT_COUNT_TWICE,    /* failures of an aborted transaction count as well */
    ALV_PLANT_FORGET_FAILING,     /* a new owner does not read which entities fail */
    ALV_PLANT_RING_HELD,          /* timers of a quarantined entity fire */
    ALV_PLANT_RELEASE_ALONE,      /* a release does not look at the timers that waited */
    ALV_PLANT_EXPIRE_STALE,       /* changes do not move the end of an entity that expires */
    ALV_PLANT_EXPIRE_STATE_ALONE, /* timers of an entity that has expired stay */
    ALV_PLANT_UNPINNED,           /* each lookup sees the newest version of a table */
    ALV_PLANT_UNRECORDED,         /* the version that was seen is not in the ledger */
    ALV_PLANT_UNCOVERED,          /* a shard does not wait for a table that is behind */
    ALV_PLANT_HALF_CONVICTS,      /* half of the members is enough to hold a node for dead */
    ALV_PLANT_TRUST_UNHEARD,      /* a member is taken for alive before it was heard */
    ALV_PLANT_KEEP_SAY,           /* who is silent has a say in who is dead */
    ALV_PLANT_STAY_DEAD,          /* a dead node that is heard stays dead */
    ALV_PLANT_DOUBT_PROOF,        /* a refused connection makes a suspect, no dead node */
    ALV_PLANT_TRUST_MOVED,  /* who was heard at its former address counts as heard at the new one */
    ALV_PLANT_KEEP_MARK,    /* the crash mark stays when the command is over */
    ALV_PLANT_MARK_LATE,    /* the mark is set after the handler */
    ALV_PLANT_FORGET_CRASH, /* a crash counts as a death by chance */
    ALV_PLANT_COUNT,        /* not a bug */
} alv_plant;

#ifdef ALV_PLANT
extern alv_plant alv_planted; /* the one that is planted now */

/* "apply-before-commit", and so on. */
const char *alv_plant_name(alv_plant plant);

#define ALV_PLANTED(bug) (alv_planted == ALV_PLANT_##bug)
#else
#define ALV_PLANTED(bug) false
#endif

#endif
