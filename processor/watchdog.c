#include "processor/watchdog.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/logger.h"

/* The call that a lane was seen in at the last look. */
typedef struct watched_lane {
    alv_crash_hand hand;
    int64_t seen_ms; /* for so long */
} watched_lane;

struct alv_watchdog {
    alv_watchdog_options options;
    int64_t looked_us;
    watched_lane lanes[ALV_LANES_MAX];
};

alv_watchdog *alv_watchdog_new(const alv_watchdog_options *options)
{
    alv_watchdog *watchdog = alv_alloc(sizeof *watchdog);
    watchdog->options = *options;
    watchdog->looked_us = alv_monotonic_us(options->clock);
    return watchdog;
}

void alv_watchdog_free(alv_watchdog *watchdog)
{
    alv_free(watchdog);
}

/* Since the last look. */
static int64_t watchdog_passed_ms(alv_watchdog *watchdog)
{
    int64_t now_us = alv_monotonic_us(watchdog->options.clock);
    int64_t passed_ms = (now_us - watchdog->looked_us) / 1000;
    watchdog->looked_us = now_us;
    return passed_ms < ALV_WATCHDOG_LOOK_MS ? passed_ms : ALV_WATCHDOG_LOOK_MS;
}

/* Offsets do not come twice, so the same one is the same call: a lane whose transaction is undone again and again
 * executes a command anew, but is not found inside of it at every look. */
static bool watchdog_is_same(const alv_crash_hand *now, const alv_crash_hand *before)
{
    return now->is_in_handler && before->is_in_handler && now->shard == before->shard &&
           now->offset == before->offset;
}

static void watchdog_look_at(alv_watchdog *watchdog, int32_t lane, int64_t passed_ms)
{
    watched_lane *watched = &watchdog->lanes[lane];
    alv_crash_hand hand = alv_crash_mark_hand(watchdog->options.mark, lane);
    watched->seen_ms = watchdog_is_same(&hand, &watched->hand) ? watched->seen_ms + passed_ms : 0;
    watched->hand = hand;
    if (watched->seen_ms >= watchdog->options.timeout_ms) {
        alv_log(
            ALV_LOG_ERROR, "handler-stuck",
            "lane=%" PRId32 " shard=%" PRId32 " offset=%" PRId64 " ms=%" PRId64
            " msg=\"it does not return: this process ends as by a crash; see handler.timeout.ms\"",
            lane, hand.shard, hand.offset, watched->seen_ms);
        watched->seen_ms = 0;
        watchdog->options.stuck(watchdog->options.payload, lane);
    }
}

void alv_watchdog_look(alv_watchdog *watchdog)
{
    if (watchdog->options.timeout_ms == 0) {
        return;
    }
    int64_t passed_ms = watchdog_passed_ms(watchdog);
    for (int32_t lane = 0; lane < watchdog->options.lane_count; lane++) {
        watchdog_look_at(watchdog, lane, passed_ms);
    }
}
