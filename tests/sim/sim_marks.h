/* sim_marks.h — the crash marks of all nodes: their files, what may happen to these, and what must be in them.
 *
 * Why:    the mark is the real one (processor/crash_mark.h) over a file of each node. What a lane has in hand when its
 *         node dies is known here by other means: a lane that runs the command that kills has that one; one that
 *         writes a record may have any; one that waits for something else, or takes no turn, has nothing. So after
 *         each death the file says what it must, and a command is given up when it has killed a node as often as
 *         crash_mark.h says, not before and not later.
 *         A process that is killed leaves the file as it is; the ghost that goes on here must not change it.
 * Thread: one.
 * Owns:   a folder under TMPDIR, or in memory, which is gone at the end, also of a run that fails.
 * Fails:  sim_fail.
 */
#ifndef ALV_TESTS_SIM_MARKS_H
#define ALV_TESTS_SIM_MARKS_H

#include "processor/crash_mark.h"
#include "tests/sim/sim_broker.h"

typedef struct sim_marks sim_marks;

sim_marks *sim_marks_new(sim_broker *broker, sim_random *random);

/* All marks are closed. */
void sim_marks_free(sim_marks *marks);

/* A process of the node starts: opens its mark, and compares what it has counted. */
alv_crash_mark *sim_marks_open(sim_marks *marks, int node);

/* The lane waits for a record to be written, or does not any more: only meanwhile can it have something in hand
 * while its node dies. */
void sim_marks_set_writing(sim_marks *marks, int node, int lane, bool writing);

/* The lane executes a command that kills its node, in the next moment; `crashes`: by a fault on its own thread. It
 * must not have killed it too often before. */
void sim_marks_die_with(sim_marks *marks, int node, int lane, int32_t shard, int64_t offset,
                        bool crashes);

/* The process has died. */
void sim_marks_died(sim_marks *marks, int node);

/* Its mark is closed. After a death the file is as it was then; unless `loses` of a thousand times something happens
 * to it before the next start. */
void sim_marks_close(sim_marks *marks, int node, int64_t loses_per_mille);

/* Whether the command has killed this node so often that it is given up there. */
bool sim_marks_is_enough(const sim_marks *marks, int node, int32_t shard, int64_t offset);

typedef struct sim_marks_counts {
    int64_t crashes; /* by commands */
    int64_t deaths;  /* the same */
    int64_t chance;  /* in hand while the node died of something else */
    int64_t damaged; /* files */
} sim_marks_counts;

void sim_marks_count(const sim_marks *marks, sim_marks_counts *out);

#endif
