/* store_care.h — makes what the store has durable from time to time, and notices when it takes no more writes.
 *
 * Why:    the store has no log of its own: what is in memory alone is restored from the changelog after a crash. So
 *         the position of a shard that does little must not stay in memory for hours.
 * Thread: main. Flushing blocks for as long as the disk takes.
 * Owns:   nothing; what it is given is the node's.
 */
#ifndef ALV_PROCESSOR_STORE_CARE_H
#define ALV_PROCESSOR_STORE_CARE_H

#include "base/clock.h"
#include "processor/directory.h"
#include "statestore/store.h"

typedef struct alv_store_care {
    alv_store *store;
    alv_directory *directory;
    const alv_clock *clock;
    const char *state_dir; /* for the log */
    int64_t due_ms;        /* the next flush, unless much is written before; 0 = at once */
    int64_t flushed;       /* changelog records at the last one */
} alv_store_care;

/* Flushes when it is due; a flush that fails is logged, and done again the next time. ALV_FATAL, and `err` says why
 * and what to do: nothing can be written until the store is opened anew. */
alv_status alv_store_care_turn(alv_store_care *care, alv_error *err);

#endif
