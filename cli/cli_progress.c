#include "cli/cli_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define PROGRESS_FIRST_US 500000 /* work that is over by then needs no line */
#define PROGRESS_STEP_US 100000
#define PROGRESS_BAR_COLUMNS 30

void alv_cli_progress_init(alv_cli_progress *progress, const char *what)
{
    int64_t now_us = alv_monotonic_us(alv_clock_system());
    *progress = (alv_cli_progress){
        .what = what,
        .started_at_us = now_us,
        .draw_next_at_us = now_us + PROGRESS_FIRST_US,
        .enabled = isatty(STDERR_FILENO) == 1,
    };
}

static void progress_draw_bar(double fraction)
{
    int filled = (int)(fraction * PROGRESS_BAR_COLUMNS);
    (void)fputs("  [", stderr);
    for (int i = 0; i < PROGRESS_BAR_COLUMNS; i++) {
        (void)fputc(i < filled ? '#' : '.', stderr);
    }
    fprintf(stderr, "] %3.0f %%", fraction * 100);
}

void alv_cli_progress_update(alv_cli_progress *progress, uint64_t count, double fraction)
{
    if (!progress->enabled) {
        return;
    }
    int64_t now_us = alv_monotonic_us(alv_clock_system());
    if (now_us < progress->draw_next_at_us) {
        return;
    }
    progress->draw_next_at_us = now_us + PROGRESS_STEP_US;
    progress->drawn = true;
    double seconds = (double)(now_us - progress->started_at_us) / 1e6;
    fprintf(stderr, "\r\033[K%" PRIu64 " %s, %.0f/s", count, progress->what,
            (double)count / seconds);
    if (fraction >= 0) {
        progress_draw_bar(fraction > 1 ? 1 : fraction);
    }
    (void)fflush(stderr);
}

void alv_cli_progress_done(alv_cli_progress *progress)
{
    if (progress->drawn) {
        (void)fputs("\r\033[K", stderr);
        progress->drawn = false;
    }
}
