#include "tests/support/chaos_schedule.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/support/user_model.h"

#define SCHEDULE_START_MS 2000  /* the first thing that happens */
#define SCHEDULE_LAST_MS 6000   /* before the end, nothing new begins */
#define SCHEDULE_GAP_MIN_MS 300 /* between two beginnings */
#define SCHEDULE_GAP_MAX_MS 4500
#define SCHEDULE_REST_MS 1500 /* after its end a target is left alone for that long at least */
#define SCHEDULE_TARGETS_MAX 16

static const char *const act_names[ALV_CHAOS_ACTS] = {
    [ALV_CHAOS_KILL_NODE] = "kill-node",
    [ALV_CHAOS_STOP_NODE] = "stop-node",
    [ALV_CHAOS_PAUSE_NODE] = "pause-node",
    [ALV_CHAOS_RESUME_NODE] = "resume-node",
    [ALV_CHAOS_ARM_KILL] = "arm-kill",
    [ALV_CHAOS_ARM_STOP] = "arm-stop",
    [ALV_CHAOS_START_NODE] = "start-node",
    [ALV_CHAOS_START_EMPTY] = "start-node-empty",
    [ALV_CHAOS_KILL_BROKER] = "kill-broker",
    [ALV_CHAOS_STOP_BROKER] = "stop-broker",
    [ALV_CHAOS_START_BROKER] = "start-broker",
    [ALV_CHAOS_STOP_POSTGRES] = "stop-postgres",
    [ALV_CHAOS_START_POSTGRES] = "start-postgres",
    [ALV_CHAOS_NET_DELAY] = "net-delay",
    [ALV_CHAOS_NET_CUT] = "net-cut",
    [ALV_CHAOS_NET_FREEZE] = "net-freeze",
    [ALV_CHAOS_NET_HOLD_ONE] = "net-hold-one",
    [ALV_CHAOS_NET_LATE_COMMIT] = "net-late-commit",
    [ALV_CHAOS_NET_LOSE_ANSWER] = "net-lose-answer",
    [ALV_CHAOS_NET_CALM] = "net-calm",
    [ALV_CHAOS_LOAD] = "load",
};

const char *alv_chaos_act_name(alv_chaos_act act)
{
    return act_names[act];
}

/* What may begin: how often, what ends it, and how long it lasts. */
typedef enum target_kind {
    ON_NODE,
    ON_EXTRA,
    ON_BROKER,
    ON_POSTGRES,
    ON_NET,
    ON_LOAD
} target_kind;

typedef struct schedule_action {
    unsigned weight;
    target_kind on;
    alv_chaos_act begin;
    alv_chaos_act end;
    int64_t min_ms;
    int64_t max_ms;
} schedule_action;

/* Short ones and long ones are different stories: the session times out after 6 s. */
static const schedule_action actions[] = {
    {14, ON_NODE, ALV_CHAOS_KILL_NODE, ALV_CHAOS_START_NODE, 0, 2000},
    {7, ON_NODE, ALV_CHAOS_KILL_NODE, ALV_CHAOS_START_NODE, 6000, 15000},
    {6, ON_NODE, ALV_CHAOS_KILL_NODE, ALV_CHAOS_START_EMPTY, 0, 8000},
    {12, ON_NODE, ALV_CHAOS_PAUSE_NODE, ALV_CHAOS_RESUME_NODE, 200, 5000},
    {8, ON_NODE, ALV_CHAOS_PAUSE_NODE, ALV_CHAOS_RESUME_NODE, 6500, 15000},
    {14, ON_NODE, ALV_CHAOS_ARM_KILL, ALV_CHAOS_START_NODE, 3000, 9000},
    {8, ON_NODE, ALV_CHAOS_ARM_STOP, ALV_CHAOS_RESUME_NODE, 6500, 15000},
    {8, ON_NODE, ALV_CHAOS_STOP_NODE, ALV_CHAOS_START_NODE, 100, 6000},
    {6, ON_EXTRA, ALV_CHAOS_START_NODE, ALV_CHAOS_STOP_NODE, 5000, 20000},
    {4, ON_EXTRA, ALV_CHAOS_START_EMPTY, ALV_CHAOS_KILL_NODE, 2000, 15000},
    {4, ON_BROKER, ALV_CHAOS_STOP_BROKER, ALV_CHAOS_START_BROKER, 0, 5000},
    {5, ON_BROKER, ALV_CHAOS_KILL_BROKER, ALV_CHAOS_START_BROKER, 0, 5000},
    {5, ON_POSTGRES, ALV_CHAOS_STOP_POSTGRES, ALV_CHAOS_START_POSTGRES, 0, 12000},
    {4, ON_NET, ALV_CHAOS_NET_DELAY, ALV_CHAOS_NET_CALM, 1000, 6000},
    {5, ON_NET, ALV_CHAOS_NET_CUT, ALV_CHAOS_NET_CALM, 0, 0},
    {5, ON_NET, ALV_CHAOS_NET_FREEZE, ALV_CHAOS_NET_CALM, 300, 15000},
    {7, ON_NET, ALV_CHAOS_NET_HOLD_ONE, ALV_CHAOS_NET_CALM, 300, 15000},
    {8, ON_NET, ALV_CHAOS_NET_LATE_COMMIT, ALV_CHAOS_NET_CALM, 500, 12000},
    {6, ON_NET, ALV_CHAOS_NET_LOSE_ANSWER, ALV_CHAOS_NET_CALM, 1000, 3000},
    {6, ON_LOAD, ALV_CHAOS_LOAD, ALV_CHAOS_LOAD, 1000, 6000},
};

#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

typedef struct draft {
    const alv_chaos_plan *plan;
    uint64_t random;
    alv_chaos_event *events;
    size_t count;
    size_t room;
    int64_t free_at_ms[SCHEDULE_TARGETS_MAX]; /* per target: when it is done with the last action */
} draft;

static int64_t schedule_between(draft *schedule, int64_t low, int64_t high)
{
    return low + (int64_t)(alv_user_model_random(&schedule->random) % (uint64_t)(high - low + 1));
}

static void schedule_add(draft *schedule, int64_t at_ms, alv_chaos_act act, int target, int64_t ms)
{
    if (schedule->count == schedule->room) {
        schedule->room = schedule->room * 2 + 64;
        alv_chaos_event *grown = alv_alloc_array(schedule->room, sizeof(*grown));
        if (schedule->count > 0) {
            memcpy(grown, schedule->events, schedule->count * sizeof(*grown));
        }
        alv_free(schedule->events);
        schedule->events = grown;
    }
    schedule->events[schedule->count++] =
        (alv_chaos_event){.at_ms = at_ms, .act = act, .target = target, .ms = ms};
}

/* Partitions without a leader lose their transactions' markers in Kafka 4.3.1 (docs/testing.md), so a
 * cluster keeps two of its three brokers at all times, and a single one is left alone. */
static unsigned schedule_weight(const draft *schedule, size_t action)
{
    bool excluded = actions[action].on == ON_BROKER && schedule->plan->brokers < 3;
    return excluded ? 0 : actions[action].weight;
}

static const schedule_action *schedule_choose_action(draft *schedule)
{
    int64_t sum = 0;
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        sum += schedule_weight(schedule, i);
    }
    int64_t dice = schedule_between(schedule, 0, sum - 1);
    size_t chosen = 0;
    for (; dice >= schedule_weight(schedule, chosen); chosen++) {
        dice -= schedule_weight(schedule, chosen);
    }
    return &actions[chosen];
}

/* Rows of free_at_ms: nodes, the extra node, all brokers together, PostgreSQL, network, load. */
static int schedule_row(const draft *schedule, target_kind on, int target)
{
    int nodes = schedule->plan->nodes + 1;
    switch (on) {
    case ON_NODE:
    case ON_EXTRA:
        return target;
    case ON_BROKER:
    case ON_POSTGRES:
    case ON_NET:
    case ON_LOAD:
        break;
    }
    return nodes + (int)on - (int)ON_BROKER;
}

static int schedule_choose_target(draft *schedule, target_kind on)
{
    switch (on) {
    case ON_NODE:
        return (int)schedule_between(schedule, 0, schedule->plan->nodes - 1);
    case ON_EXTRA:
        return schedule->plan->nodes;
    case ON_BROKER:
        return (int)schedule_between(schedule, 0, schedule->plan->brokers - 1);
    case ON_NET:
        return schedule->plan->proxied;
    case ON_POSTGRES:
    case ON_LOAD:
        break;
    }
    return 0;
}

/* The argument of the beginning: how long, how late or how fast. */
static int64_t schedule_argument(draft *schedule, const schedule_action *action, int64_t lasts_ms)
{
    if (action->begin == ALV_CHAOS_NET_DELAY) {
        return schedule_between(schedule, 5, 600);
    }
    if (action->begin == ALV_CHAOS_ARM_KILL || action->begin == ALV_CHAOS_ARM_STOP) {
        int64_t fault = schedule_between(schedule, ALV_FAULT_NONE + 1, ALV_FAULT_COUNT - 1);
        bool is_rare = fault == ALV_FAULT_IN_REVOKE || fault == ALV_FAULT_AFTER_RESTORE;
        return ALV_CHAOS_ARM(fault, schedule_between(schedule, 1, is_rare ? 2 : 60));
    }
    if (action->begin == ALV_CHAOS_LOAD) {
        return schedule_between(schedule, 0, 2) * 150; /* nothing, a bit more, much more */
    }
    return lasts_ms;
}

/* Begins something at `at_ms`, when the target that is chosen for it is free. */
static void schedule_try(draft *schedule, int64_t at_ms)
{
    const schedule_action *action = schedule_choose_action(schedule);
    int target = schedule_choose_target(schedule, action->on);
    int64_t lasts_ms = schedule_between(schedule, action->min_ms, action->max_ms);
    int64_t argument = schedule_argument(schedule, action, lasts_ms);
    int64_t *free_at_ms = &schedule->free_at_ms[schedule_row(schedule, action->on, target)];
    int64_t end_ms = at_ms + lasts_ms;
    if (*free_at_ms > at_ms) {
        return;
    }
    end_ms = end_ms < schedule->plan->duration_ms ? end_ms : schedule->plan->duration_ms;
    schedule_add(schedule, at_ms, action->begin, target, argument);
    schedule_add(schedule, end_ms, action->end, target, action->end == ALV_CHAOS_LOAD ? 100 : 0);
    *free_at_ms = end_ms + SCHEDULE_REST_MS;
}

/* By time; what is at the same time stays in the order in which it was chosen. */
static void schedule_sort(draft *schedule)
{
    for (size_t i = 1; i < schedule->count; i++) {
        alv_chaos_event event = schedule->events[i];
        size_t j = i;
        for (; j > 0 && schedule->events[j - 1].at_ms > event.at_ms; j--) {
            schedule->events[j] = schedule->events[j - 1];
        }
        schedule->events[j] = event;
    }
}

alv_chaos_event *alv_chaos_schedule(const alv_chaos_plan *plan, size_t *out_count)
{
    draft schedule = {.plan = plan, .random = plan->seed};
    int64_t at_ms = SCHEDULE_START_MS;
    while (at_ms < plan->duration_ms - SCHEDULE_LAST_MS) {
        schedule_try(&schedule, at_ms);
        at_ms +=
            schedule_between(&schedule, SCHEDULE_GAP_MIN_MS, SCHEDULE_GAP_MAX_MS) + plan->calm_ms;
    }
    schedule_sort(&schedule);
    *out_count = schedule.count;
    return schedule.events;
}

void alv_chaos_event_print(const alv_chaos_event *event, FILE *out)
{
    fprintf(out, "%8.3f s  %-16s %d", (double)event->at_ms / 1000, act_names[event->act],
            event->target + 1);
    if (event->act == ALV_CHAOS_ARM_KILL || event->act == ALV_CHAOS_ARM_STOP) {
        fprintf(out, "  %s:%d", alv_fault_name(ALV_CHAOS_ARM_PLACE(event->ms)),
                ALV_CHAOS_ARM_TIMES(event->ms));
    } else if (event->ms != 0) {
        fprintf(out, "  %" PRId64, event->ms);
    }
    fputc('\n', out);
}
