/* cli_progress.h — a line on stderr that tells how far long work has come.
 *
 * Why:    somebody who waits wants to know that something happens; a script does not want to read it.
 *         So it is drawn only when stderr is a terminal, and only when the work takes a while.
 * Thread: one.
 */
#ifndef ALV_CLI_CLI_PROGRESS_H
#define ALV_CLI_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct alv_cli_progress {
    const char *what;      /* "commands sent"; borrowed */
    int64_t started_at_us; /* monotonic */
    int64_t draw_next_at_us;
    bool enabled;
    bool drawn;
} alv_cli_progress;

void alv_cli_progress_init(alv_cli_progress *progress, const char *what);

/* Tells that `count` are done; `fraction` of all, from 0 to 1, or negative when nobody knows. Draws
 * at most some times a second; cheap enough to be called for each item. */
void alv_cli_progress_update(alv_cli_progress *progress, uint64_t count, double fraction);

/* Takes the line away, if there is one, so that what follows stands alone. */
void alv_cli_progress_done(alv_cli_progress *progress);

#endif
