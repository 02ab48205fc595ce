#include "tests/support/chaos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "tests/support/chaos_internal.h"
#include "tests/support/chaos_load_kind.h"
#include "tests/support/wait.h"

#define CHAOS_TICK_MS 10
#define CHAOS_SESSION_MS 6000
#define CHAOS_STOP_TIMEOUT_MS 90000    /* the brokers may be away meanwhile */
#define CHAOS_SETTLE_TIMEOUT_MS 300000 /* brokers start one after the other on a busy machine */
#define CHAOS_ARMED_MS 30000           /* until an armed node has stopped, and goes on, at most */
#define CHAOS_STALE_AFTER_MS 20000     /* how long a node may take to learn that it is no owner */

/* ---- nodes ----------------------------------------------------------------------------------- */

static void slot_start(alv_chaos *chaos, alv_chaos_slot *slot)
{
    char lanes[16];
    (void)snprintf(lanes, sizeof(lanes), "lanes=%d",
                   slot == &chaos->slots[0] ? chaos->options.lanes : 1);
    char *bootstrap = alv_format("bootstrap.servers=%s", slot == &chaos->slots[ALV_CHAOS_PROXIED]
                                                             ? chaos->proxied_brokers
                                                             : chaos->cluster.brokers);
    int session_ms = chaos->options.session_ms > 0 ? chaos->options.session_ms : CHAOS_SESSION_MS;
    char *session = alv_format("kafka.session.timeout.ms=%d", session_ms);
    char *shutdown = alv_format(
        "shutdown=%s", chaos->options.shutdown != NULL ? chaos->options.shutdown : "leave");
    const char *const settings[] = {bootstrap,
                                    "shards=12",
                                    lanes,
                                    session,
                                    shutdown,
                                    "passivate.after.ms=5000",
                                    "passivate.check.ms=1000",
                                    NULL};
    if (slot->start_empty) {
        alv_cluster_remove(slot->node->state_dir);
        slot->start_empty = false;
    }
    slot->node->fault = slot->fault[0] != '\0' ? slot->fault : NULL;
    alv_cluster_start_node(slot->node, settings);
    alv_free(shutdown);
    alv_free(session);
    alv_free(bootstrap);
}

/* An armed node that ended by SIGKILL did what it was armed for. */
static bool slot_has_struck(alv_chaos *chaos, alv_chaos_slot *slot)
{
    if (slot->fault[0] == '\0' || slot->node->process.exit_status != -SIGKILL) {
        return false;
    }
    chaos->strikes[slot->place]++;
    return true;
}

/* Starts what should run and does not, once it has ended. Fails when a node ended by itself, unless
 * somebody supervises; and even then a crash is a crash. */
static void slot_turn(alv_chaos *chaos, alv_chaos_slot *slot)
{
    alv_process *process = &slot->node->process;
    if (process->pid != 0 && alv_process_wait(process, 0)) {
        bool was_asked =
            (slot->stopping && process->exit_status == 0) || slot_has_struck(chaos, slot);
        if (!was_asked && chaos->options.supervise && process->exit_status > 0) {
            chaos->restarts++;
        } else if (!was_asked) {
            fail_msg("%s ended with status %d %s", slot->node->id, process->exit_status,
                     slot->stopping ? "when it was asked to stop" : "by itself");
        }
        slot->stopping = false;
        slot->fault[0] = '\0';
    }
    if (slot->stopping && alv_wait_expired(slot->stop_deadline)) {
        alv_process_signal(process, SIGABRT); /* a core tells where it hangs */
        fail_msg("%s does not stop", slot->node->id);
    }
    if (process->pid == 0 && slot->should_run) {
        slot_start(chaos, slot);
    }
}

static void slot_stop(alv_chaos_slot *slot)
{
    slot->should_run = false;
    if (slot->node->process.pid != 0 && !slot->stopping) { /* a second SIGTERM ends it at once */
        slot->stopping = true;
        slot->stop_deadline = alv_wait_deadline(CHAOS_STOP_TIMEOUT_MS);
        alv_process_signal(&slot->node->process, SIGTERM);
        alv_process_signal(&slot->node->process, SIGCONT); /* it may have stopped itself */
    }
}

static void slot_kill(alv_chaos_slot *slot)
{
    slot->should_run = false;
    slot->stopping = false;
    slot->fault[0] = '\0';
    alv_process_kill(&slot->node->process);
}

/* Dies now, and starts as one that will die again, or stand still, at a chosen place. */
static void slot_arm(alv_chaos_slot *slot, const alv_chaos_event *event)
{
    slot_kill(slot);
    slot->place = ALV_CHAOS_ARM_PLACE(event->ms);
    (void)snprintf(slot->fault, sizeof(slot->fault), "%s:%d:%s", alv_fault_name(slot->place),
                   ALV_CHAOS_ARM_TIMES(event->ms),
                   event->act == ALV_CHAOS_ARM_KILL ? "kill" : "stop");
    slot->should_run = true;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void chaos_disturb(alv_chaos *chaos, alv_disturbance disturbance, int64_t ms)
{
    for (int i = 0; i < chaos->options.brokers; i++) {
        alv_tcp_proxy_disturb(chaos->proxies[i], disturbance, ms);
    }
}

static void chaos_act_on_node(alv_chaos *chaos, const alv_chaos_event *event)
{
    alv_chaos_slot *slot = &chaos->slots[event->target];
    switch (event->act) {
    case ALV_CHAOS_KILL_NODE:
        slot_kill(slot);
        break;
    case ALV_CHAOS_STOP_NODE:
        slot_stop(slot);
        break;
    case ALV_CHAOS_ARM_KILL:
    case ALV_CHAOS_ARM_STOP:
        slot_arm(slot, event);
        break;
    case ALV_CHAOS_PAUSE_NODE:
        alv_process_signal(&slot->node->process, SIGSTOP);
        break;
    case ALV_CHAOS_RESUME_NODE:
        alv_process_signal(&slot->node->process, SIGCONT);
        break;
    default:
        slot->should_run = true;
        slot->start_empty = event->act == ALV_CHAOS_START_EMPTY;
        break;
    }
}

static void chaos_act_on_net(alv_chaos *chaos, const alv_chaos_event *event)
{
    static const alv_disturbance disturbances[ALV_CHAOS_ACTS] = {
        [ALV_CHAOS_NET_DELAY] = ALV_DISTURB_DELAY,
        [ALV_CHAOS_NET_CUT] = ALV_DISTURB_CUT,
        [ALV_CHAOS_NET_FREEZE] = ALV_DISTURB_FREEZE,
        [ALV_CHAOS_NET_HOLD_ONE] = ALV_DISTURB_HOLD_ONE,
        [ALV_CHAOS_NET_LATE_COMMIT] = ALV_DISTURB_LATE_COMMIT,
        [ALV_CHAOS_NET_LOSE_ANSWER] = ALV_DISTURB_LOSE_ANSWER,
        [ALV_CHAOS_NET_CALM] = ALV_DISTURB_CALM,
    };
    chaos_disturb(chaos, disturbances[event->act], event->ms);
}

static void chaos_act(alv_chaos *chaos, const alv_chaos_event *event)
{
    chaos->counts[event->act]++;
    if (event->act == ALV_CHAOS_LOAD) {
        alv_chaos_load_set_rate(chaos->load, (int)(chaos->options.rate * event->ms / 100));
    } else if (event->act <= ALV_CHAOS_START_EMPTY) {
        if (event->act == ALV_CHAOS_PAUSE_NODE || event->act == ALV_CHAOS_ARM_STOP) {
            int64_t stopped_ms = event->act == ALV_CHAOS_PAUSE_NODE ? event->ms : CHAOS_ARMED_MS;
            alv_chaos_reader_allow_stale(chaos->reader, stopped_ms + CHAOS_STALE_AFTER_MS);
        }
        chaos_act_on_node(chaos, event);
    } else if (event->act <= ALV_CHAOS_START_POSTGRES) {
        alv_chaos_servers_ask(&chaos->servers, event);
    } else {
        alv_chaos_reader_allow_stale(chaos->reader, event->ms + CHAOS_STALE_AFTER_MS);
        chaos_act_on_net(chaos, event);
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

/* What cannot wait: nodes and servers that have ended, and whatever has gone wrong. */
static void chaos_turn(alv_chaos *chaos)
{
    for (int i = 0; i <= chaos->options.nodes; i++) {
        slot_turn(chaos, &chaos->slots[i]);
    }
    alv_chaos_servers_turn(&chaos->servers);
    const char *failure = alv_chaos_load_failure(chaos->load);
    failure = failure != NULL ? failure : alv_chaos_reader_failure(chaos->reader);
    if (failure == NULL && chaos->servers.failure[0] != '\0') {
        failure = chaos->servers.failure;
    }
    if (failure != NULL) {
        fail_msg("%s", failure);
    }
    (void)poll(NULL, 0, CHAOS_TICK_MS);
}

static void chaos_play(alv_chaos *chaos)
{
    int64_t begin_us = alv_monotonic_us(alv_clock_system());
    int64_t end_us = begin_us + chaos->plan.duration_ms * 1000;
    for (int64_t now_us = begin_us; now_us < end_us || chaos->event_next < chaos->event_count;
         now_us = alv_monotonic_us(alv_clock_system())) {
        while (chaos->event_next < chaos->event_count &&
               begin_us + chaos->events[chaos->event_next].at_ms * 1000 <= now_us) {
            chaos_act(chaos, &chaos->events[chaos->event_next++]);
        }
        chaos_turn(chaos);
    }
}

/* Whether the nodes that are to stay run, the extra one does not, and all servers are back. */
static bool chaos_is_quiet(const alv_chaos *chaos)
{
    bool quiet = alv_chaos_servers_idle(&chaos->servers);
    for (int i = 0; i <= chaos->options.nodes; i++) {
        const alv_chaos_slot *slot = &chaos->slots[i];
        quiet = quiet && !slot->stopping && slot->should_run == (i < chaos->options.nodes) &&
                slot->should_run == (slot->node->process.pid != 0);
    }
    return quiet;
}

/* Nodes that are still armed start again as usual ones. */
static void chaos_disarm(alv_chaos *chaos)
{
    for (int i = 0; i <= chaos->options.nodes; i++) {
        alv_chaos_slot *slot = &chaos->slots[i];
        if (slot->fault[0] != '\0') {
            bool should_run = slot->should_run;
            slot_kill(slot);
            slot->should_run = should_run;
        }
    }
}

/* Everybody is back, everything is sent. The schedule has ended all that it has begun. */
static void chaos_settle(alv_chaos *chaos)
{
    int64_t deadline = alv_wait_deadline(CHAOS_SETTLE_TIMEOUT_MS);
    chaos_disturb(chaos, ALV_DISTURB_CALM, 0);
    chaos_disarm(chaos);
    do {
        chaos_turn(chaos);
        if (alv_wait_expired(deadline)) {
            fail_msg("nodes and servers are not back after %d ms", CHAOS_SETTLE_TIMEOUT_MS);
        }
    } while (!chaos_is_quiet(chaos));
    for (int i = 0; i < chaos->options.nodes; i++) {
        alv_cluster_wait_ready(chaos->slots[i].node);
    }
    if (!alv_chaos_load_settle(chaos->load, CHAOS_SETTLE_TIMEOUT_MS)) {
        fail_msg("commands are still not acknowledged after %d ms", CHAOS_SETTLE_TIMEOUT_MS);
    }
}

static void chaos_plan(alv_chaos *chaos, uint64_t seed, int64_t duration_ms)
{
    alv_free(chaos->events);
    chaos->plan = (alv_chaos_plan){
        .seed = seed,
        .duration_ms = duration_ms,
        .nodes = chaos->options.nodes,
        .brokers = chaos->options.brokers,
        .proxied = ALV_CHAOS_PROXIED,
    };
    chaos->events = alv_chaos_schedule(&chaos->plan, &chaos->event_count);
    chaos->event_next = 0;
}

void alv_chaos_run(alv_chaos *chaos, uint64_t seed, int64_t duration_ms)
{
    chaos->runs_asked++;
    chaos->run_ms += duration_ms;
    chaos_plan(chaos, seed, duration_ms);
    alv_chaos_load_set_rate(chaos->load, chaos->options.rate);
    chaos_play(chaos);
    chaos_settle(chaos);
    alv_chaos_check(chaos);
    chaos_turn(chaos); /* a reader may have met something meanwhile */
    chaos->runs_passed++;
}

static void chaos_restart_node(alv_chaos *chaos, alv_chaos_slot *slot)
{
    slot_stop(slot);
    while (slot->node->process.pid != 0) {
        chaos_turn(chaos);
    }
    slot->should_run = true;
    chaos_turn(chaos);
    alv_cluster_wait_ready(slot->node);
    chaos_turn(chaos);
}

void alv_chaos_roll(alv_chaos *chaos, const char *shutdown)
{
    chaos->runs_asked++;
    chaos->options.shutdown = shutdown;
    alv_chaos_load_set_rate(chaos->load, chaos->options.rate);
    for (int i = 0; i < chaos->options.nodes; i++) {
        chaos_restart_node(chaos, &chaos->slots[i]);
    }
    chaos_settle(chaos);
    alv_chaos_check(chaos);
    chaos_turn(chaos);
    chaos->runs_passed++;
}

void alv_chaos_list(const alv_chaos_options *options, uint64_t seed, int64_t duration_ms)
{
    alv_chaos chaos = {.options = *options};
    chaos_plan(&chaos, seed, duration_ms);
    for (size_t i = 0; i < chaos.event_count; i++) {
        alv_chaos_event_print(&chaos.events[i], stdout);
    }
    alv_free(chaos.events);
}

/* ---- open ------------------------------------------------------------------------------------ */

static void chaos_start_proxies(alv_chaos *chaos)
{
    alv_bytes brokers = ALV_BYTES_EMPTY;
    for (int i = 0; i < chaos->options.brokers; i++) {
        char name[16];
        int port = 0;
        int target = 0;
        (void)snprintf(name, sizeof(name), "PROXY_%d", i + 1);
        char *ports = alv_cluster_stack_setting(&chaos->cluster, name);
        assert_int_equal(sscanf(ports, "%d:%d", &port, &target), 2);
        chaos->proxies[i] = alv_tcp_proxy_start(port, target);
        assert_non_null(chaos->proxies[i]);
        alv_bytes_printf(&brokers, "%s127.0.0.1:%d", i > 0 ? "," : "", port);
        alv_free(ports);
    }
    chaos->proxied_brokers = alv_strndup(brokers.data, brokers.size);
    alv_bytes_done(&brokers);
}

static void chaos_start_servers(alv_chaos *chaos)
{
    char brokers[8];
    (void)snprintf(brokers, sizeof(brokers), "%d", chaos->options.brokers);
    const char *const stack[] = {"--proxied", "--brokers", brokers, NULL};
    alv_cluster_open_alone(&chaos->cluster, "chaos");
    alv_cluster_start_stack_with(&chaos->cluster, stack);
    alv_chaos_servers_init(&chaos->servers, &chaos->cluster);
    chaos_start_proxies(chaos);
}

static void chaos_start_nodes(alv_chaos *chaos)
{
    for (int i = 0; i <= chaos->options.nodes; i++) {
        chaos->slots[i].node = alv_cluster_add_node(&chaos->cluster);
        if (i < chaos->options.nodes) {
            chaos->slots[i].should_run = true;
            slot_start(chaos, &chaos->slots[i]);
        }
    }
    for (int i = 0; i < chaos->options.nodes; i++) {
        alv_cluster_wait_ready(chaos->slots[i].node);
    }
}

static void chaos_start_clients(alv_chaos *chaos)
{
    const alv_chaos_load_options load = {
        .kind = chaos->options.load,
        .brokers = chaos->cluster.brokers,
        .topic = alv_cluster_topic(&chaos->cluster, "commands"),
        .seed = chaos->options.seed,
        .users = chaos->options.users,
    };
    const char *addresses[ALV_CHAOS_NODES_MAX + 1];
    for (int i = 0; i <= chaos->options.nodes; i++) {
        addresses[i] = chaos->slots[i].node->address;
    }
    chaos->load = alv_chaos_load_start(&load);
    assert_non_null(chaos->load);
    chaos->reader = alv_chaos_reader_start(alv_chaos_load_counters(chaos->load), addresses,
                                           chaos->options.nodes + 1);
}

static void chaos_choose_load(alv_chaos_options *options)
{
    options->load = options->load != NULL ? options->load : &alv_chaos_load_users;
    options->users = options->users != 0 ? options->users : options->load->users;
    options->rate = options->rate != 0 ? options->rate : options->load->rate;
}

alv_chaos *alv_chaos_open(const alv_chaos_options *options)
{
    assert_in_range(options->nodes, 2, ALV_CHAOS_NODES_MAX);
    assert_in_range(options->brokers, 1, ALV_CHAOS_BROKERS_MAX);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    alv_chaos *chaos = alv_alloc(sizeof(*chaos));
    memset(chaos, 0, sizeof(*chaos));
    chaos->options = *options;
    chaos_choose_load(&chaos->options);
    chaos->random = options->seed;
    chaos_start_servers(chaos);
    chaos_start_nodes(chaos);
    chaos_start_clients(chaos);
    return chaos;
}

/* ---- the end --------------------------------------------------------------------------------- */

void alv_chaos_finish(alv_chaos *chaos)
{
    if (chaos->runs_passed != chaos->runs_asked) {
        skip(); /* some may be down or frozen */
    }
    for (int i = 0; i < chaos->options.nodes; i++) {
        chaos->slots[i].should_run = false;
        alv_cluster_stop_node(chaos->slots[i].node);
    }
    alv_chaos_verify(chaos);
    alv_chaos_print_counts(chaos);
    if (chaos->options.keep_logs) {
        alv_chaos_keep_logs(chaos);
    }
    chaos->cluster.passed = true;
}

static void chaos_tell_failure(alv_chaos *chaos)
{
    fprintf(stderr,
            "chaos: %s, seed %" PRIu64 ", %" PRId64 " ms, %d nodes, %d brokers; done so far:\n",
            chaos->options.load->name, chaos->plan.seed, chaos->plan.duration_ms,
            chaos->options.nodes, chaos->options.brokers);
    for (size_t i = 0; i < chaos->event_next; i++) {
        alv_chaos_event_print(&chaos->events[i], stderr);
    }
    alv_chaos_print_counts(chaos);
    alv_chaos_keep_logs(chaos);
}

void alv_chaos_close(alv_chaos *chaos)
{
    if (chaos == NULL) {
        return;
    }
    if (!chaos->cluster.passed) {
        chaos_tell_failure(chaos);
    }
    for (int i = 0; i <= chaos->options.nodes; i++) {
        alv_process_kill(&chaos->slots[i].node->process); /* nobody waits for a frozen answer */
    }
    alv_chaos_reader_stop(chaos->reader);
    alv_chaos_load_stop(chaos->load);
    alv_chaos_servers_done(&chaos->servers);
    for (int i = 0; i < ALV_CHAOS_BROKERS_MAX; i++) {
        alv_tcp_proxy_stop(chaos->proxies[i]);
    }
    alv_cluster_close(&chaos->cluster);
    alv_free(chaos->proxied_brokers);
    alv_free(chaos->events);
    alv_free(chaos);
}
