#include "tests/sim/sim_monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_limits.h"
#include "api/peer_hearing.h"
#include "api/peer_saying.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_trace.h"

/* To one node; the second half is what the judge knows. */
typedef struct monitor_link {
    alv_peer_hearing hearing;
    int port; /* 0 = it is no member */
    bool is_open;

    int64_t heard_boot; /* of the last process that greeted at this address; 0 = none did */
    bool is_gone;       /* that one said goodbye */
    int64_t heard_ms;   /* when it was heard last */
    sim_nodes said;     /* whom it suspects, as it was heard last */
} monitor_link;

struct sim_monitor {
    sim_monitor_options options;
    alv_peer_verdict *verdict;
    alv_peer_saying saying;
    monitor_link links[SIM_NODES_MAX];
    int ports[SIM_NODES_MAX]; /* of members, as told last */
    int64_t members_at_ms;
    bool is_refused; /* what follows now follows from a refusal */
};

static int64_t monitor_now_ms(const sim_monitor *monitor)
{
    return *monitor->options.network->now_ms;
}

/* Asked for all the time. */
static const char *monitor_id(int number)
{
    static const char *const ids[] = {"n0", "n1", "n2", "n3"};
    _Static_assert(sizeof ids / sizeof ids[0] == SIM_NODES_MAX, "an id each");
    return ids[number];
}

alv_peer_state sim_monitor_state(const sim_monitor *monitor, int other)
{
    const alv_peer_view *view = alv_peer_verdict_find(monitor->verdict, monitor_id(other));
    return view == NULL ? ALV_PEER_UNKNOWN : view->state;
}

/* ---- the judge ------------------------------------------------------------------------------- */

static void judge_proof(const sim_monitor *monitor, int other)
{
    const monitor_link *link = &monitor->links[other];
    int number = monitor->options.number;
    if (link->heard_boot == 0) {
        sim_fail("proof", "n%d holds n%d for dead: it was refused where n%d was never heard",
                 number, other, other);
    }
    if (monitor->options.network->hosts[other].boot == link->heard_boot) {
        sim_fail("proof", "n%d holds n%d for dead: it was refused, and its process runs", number,
                 other);
    }
}

/* Those who are heard have a say, and the node itself. */
static int judge_count_agreeing(const sim_monitor *monitor, int other)
{
    int agreeing = 1;
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        bool is_heard = i != other && i != monitor->options.number && monitor->links[i].port != 0 &&
                        sim_monitor_state(monitor, i) == ALV_PEER_ALIVE;
        agreeing += is_heard && (monitor->links[i].said >> other & 1) != 0;
    }
    return agreeing;
}

static void judge_conviction(const sim_monitor *monitor, int other)
{
    int members = 1;
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        members += monitor->links[i].port != 0;
    }
    int agreeing = judge_count_agreeing(monitor, other);
    if (2 * agreeing <= members) {
        sim_fail("majority", "n%d holds n%d for dead: %d of %d members agree",
                 monitor->options.number, other, agreeing, members);
    }
}

static void judge_death(const sim_monitor *monitor, int other)
{
    sim_monitor_counts *counts = monitor->options.counts;
    if (monitor->links[other].is_gone) {
        sim_fail("goodbye", "n%d holds n%d for dead, which said goodbye", monitor->options.number,
                 other);
    }
    if (monitor->is_refused) {
        judge_proof(monitor, other);
        counts->proofs++;
    } else {
        judge_conviction(monitor, other);
        counts->convictions++;
        counts->wrong += monitor->options.network->hosts[other].boot != 0;
    }
}

static void judge_suspicion(const sim_monitor *monitor, int other)
{
    int64_t silent_ms = monitor_now_ms(monitor) - monitor->links[other].heard_ms;
    if (silent_ms < monitor->options.timeout_ms) {
        sim_fail("silence", "n%d suspects n%d, which it heard %" PRId64 " ms ago",
                 monitor->options.number, other, silent_ms);
    }
    monitor->options.counts->suspicions++;
}

/* Called within the verdict's functions. */
static void monitor_changed(void *payload, const alv_peer_view *peer, alv_peer_state from)
{
    sim_monitor *monitor = payload;
    int other = atoi(peer->node_id + 1);
    sim_trace("n%d: n%d was %s, is %s", monitor->options.number, other, alv_peer_state_name(from),
              alv_peer_state_name(peer->state));
    if (peer->state == ALV_PEER_SUSPECTED) {
        judge_suspicion(monitor, other);
    } else if (peer->state == ALV_PEER_DEAD) {
        judge_death(monitor, other);
        monitor->options.judged(monitor->options.payload, other, true);
    }
    monitor->options.counts->goodbyes += peer->state == ALV_PEER_LEFT;
    monitor->options.counts->restarts += peer->state == from;
    if (from == ALV_PEER_DEAD) {
        monitor->options.counts->revived += peer->state == ALV_PEER_ALIVE;
        monitor->options.judged(monitor->options.payload, other, false);
    }
}

/* What has come was heard, so it counts. */
static void judge_heard(const sim_monitor *monitor, int other, const sim_line *line)
{
    alv_peer_state state = sim_monitor_state(monitor, other);
    alv_peer_state right = line->kind == SIM_LINE_BYE ? ALV_PEER_LEFT : ALV_PEER_ALIVE;
    if (state != right) {
        sim_fail("heard", "n%d has heard n%d, and holds it for %s", monitor->options.number, other,
                 alv_peer_state_name(state));
    }
}

/* ---- members --------------------------------------------------------------------------------- */

/* Another address is another link. */
static void monitor_set_link(sim_monitor *monitor, int other, int port)
{
    monitor_link *link = &monitor->links[other];
    if (link->port == port) {
        return;
    }
    if (sim_monitor_state(monitor, other) != ALV_PEER_UNKNOWN) {
        sim_fail("address", "n%d was not heard by n%d where it is now, and is held for %s", other,
                 monitor->options.number, alv_peer_state_name(sim_monitor_state(monitor, other)));
    }
    sim_network_hang_up(monitor->options.network, monitor->options.number, other);
    alv_peer_hearing_done(&link->hearing);
    *link = (monitor_link){.port = port};
    alv_peer_hearing_init(&link->hearing, monitor_id(other));
}

/* As monitor_look_at_members in api/peer_monitor.c. */
static void monitor_look_at_members(sim_monitor *monitor)
{
    alv_peer_view members[SIM_NODES_MAX];
    size_t count = 0;
    if (monitor_now_ms(monitor) < monitor->members_at_ms) {
        return;
    }
    monitor->members_at_ms = monitor_now_ms(monitor) + ALV_PEER_MEMBERS_LOOK_MS;
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        if (monitor->ports[i] != 0 && i != monitor->options.number) {
            alv_peer_view *member = &members[count++];
            *member = (alv_peer_view){.state = ALV_PEER_UNKNOWN};
            (void)snprintf(member->node_id, sizeof member->node_id, "%s", monitor_id(i));
            (void)snprintf(member->address, sizeof member->address, "n%d:%d", i, monitor->ports[i]);
        }
    }
    alv_peer_verdict_set_members(monitor->verdict, members, count);
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        monitor_set_link(monitor, i, i != monitor->options.number ? monitor->ports[i] : 0);
    }
}

void sim_monitor_set_members(sim_monitor *monitor, const int ports[SIM_NODES_MAX])
{
    memcpy(monitor->ports, ports, sizeof monitor->ports);
}

/* ---- listening ------------------------------------------------------------------------------- */

/* A line may come in two pieces. */
static void monitor_hear_line(sim_monitor *monitor, int other, const sim_line *line)
{
    monitor_link *link = &monitor->links[other];
    sim_random *random = monitor->options.network->random;
    int64_t now_ms = monitor_now_ms(monitor);
    alv_view text = alv_view_of(line->text);
    size_t cut = (size_t)sim_random_below(random, (int64_t)text.size) + 1;
    if (line->kind == SIM_LINE_GREETING) {
        link->heard_boot = line->boot;
        link->is_gone = false;
    }
    link->is_gone = link->is_gone || line->kind == SIM_LINE_BYE;
    link->heard_ms = now_ms;
    link->said = line->suspects;
    bool fine =
        alv_peer_hearing_take(&link->hearing, monitor->verdict, (alv_view){text.data, cut}, now_ms);
    if (fine && cut < text.size) {
        const alv_view rest = {text.data + cut, text.size - cut};
        fine = alv_peer_hearing_take(&link->hearing, monitor->verdict, rest, now_ms);
    }
    if (!fine) {
        sim_fail("heard", "n%d makes nothing of what n%d says: %s", monitor->options.number, other,
                 line->text);
    }
    judge_heard(monitor, other, line);
}

static void monitor_hear(sim_monitor *monitor, int other)
{
    monitor_link *link = &monitor->links[other];
    sim_network *network = monitor->options.network;
    sim_line line;
    sim_news news;
    while ((news = sim_network_take(network, monitor->options.number, other, &line)) !=
           SIM_NEWS_NONE) {
        if (news == SIM_NEWS_LINE) {
            monitor_hear_line(monitor, other, &line);
            continue;
        }
        link->is_open = false;
        alv_peer_hearing_end(&link->hearing, monitor_now_ms(monitor));
        if (news == SIM_NEWS_REFUSED) {
            monitor->is_refused = true;
            alv_peer_verdict_refused(monitor->verdict, link->hearing.node_id);
            monitor->is_refused = false;
        }
    }
}

static int64_t monitor_patience_ms(const sim_monitor *monitor)
{
    int64_t timeout_ms = monitor->options.timeout_ms;
    return timeout_ms > ALV_HTTP_CONNECT_TIMEOUT_MS ? timeout_ms : ALV_HTTP_CONNECT_TIMEOUT_MS;
}

/* As alv_peer_links_turn. */
static void monitor_listen(sim_monitor *monitor, int other)
{
    monitor_link *link = &monitor->links[other];
    sim_network *network = monitor->options.network;
    int64_t now_ms = monitor_now_ms(monitor);
    if (link->port == 0) {
        return;
    }
    monitor_hear(monitor, other);
    if (link->is_open &&
        alv_peer_hearing_is_mute(&link->hearing, monitor_patience_ms(monitor), now_ms)) {
        sim_network_hang_up(network, monitor->options.number, other);
        link->is_open = false;
        alv_peer_hearing_end(&link->hearing, now_ms);
    }
    if (!link->is_open && now_ms >= link->hearing.try_at_ms) {
        alv_peer_hearing_begin(&link->hearing, now_ms);
        sim_network_connect(network, monitor->options.number, other, link->port);
        link->is_open = true;
    }
}

/* ---- speaking -------------------------------------------------------------------------------- */

static sim_line monitor_line(const sim_monitor *monitor, sim_line_kind kind, alv_view text)
{
    sim_line line = {.kind = kind, .boot = monitor->options.boot};
    ALV_ASSERT(text.size < sizeof line.text);
    memcpy(line.text, text.data, text.size);
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        alv_peer_state state = sim_monitor_state(monitor, i);
        if (state == ALV_PEER_SUSPECTED || state == ALV_PEER_DEAD) {
            line.suspects |= (sim_nodes)1 << i;
        }
    }
    return line;
}

static void monitor_greet(sim_monitor *monitor, int listener)
{
    char boot[32];
    alv_bytes hello = ALV_BYTES_EMPTY;
    (void)snprintf(boot, sizeof boot, "b%" PRId64, monitor->options.boot);
    alv_peer_saying_greet(&monitor->saying, monitor_id(monitor->options.number), boot, &hello);
    sim_line line = monitor_line(monitor, SIM_LINE_GREETING, alv_bytes_view(&hello));
    sim_network_greet(monitor->options.network, listener, monitor->options.number, &line);
    alv_bytes_done(&hello);
}

/* As alv_peer_beat_turn. */
static void monitor_speak(sim_monitor *monitor)
{
    sim_network *network = monitor->options.network;
    int number = monitor->options.number;
    if (alv_peer_saying_turn(&monitor->saying, monitor->verdict, monitor->options.timeout_ms,
                             monitor_now_ms(monitor))) {
        sim_line line = monitor_line(monitor, SIM_LINE_BEAT, alv_bytes_view(&monitor->saying.beat));
        sim_network_say(network, number, &line);
    }
    for (int listener = 0; listener < network->node_count; listener++) {
        if (sim_network_waits(network, listener, number)) {
            monitor_greet(monitor, listener);
        }
    }
}

void sim_monitor_say_goodbye(sim_monitor *monitor)
{
    const sim_line line = monitor_line(monitor, SIM_LINE_BYE, ALV_PEER_BYE);
    sim_network_say(monitor->options.network, monitor->options.number, &line);
}

/* ---- turns ----------------------------------------------------------------------------------- */

bool sim_monitor_is_due(const sim_monitor *monitor)
{
    const sim_network *network = monitor->options.network;
    int64_t now_ms = monitor_now_ms(monitor);
    int number = monitor->options.number;
    bool is_due = now_ms >= monitor->members_at_ms || now_ms >= monitor->saying.beat_at_ms;
    for (int i = 0; i < network->node_count && !is_due; i++) {
        const monitor_link *link = &monitor->links[i];
        is_due = sim_network_has_news(network, number, i) ||
                 sim_network_waits(network, i, number) ||
                 (link->port != 0 && !link->is_open && now_ms >= link->hearing.try_at_ms);
    }
    return is_due;
}

/* Hearing comes before judging, as in api/peer_monitor.c. */
void sim_monitor_turn(sim_monitor *monitor)
{
    monitor_look_at_members(monitor);
    for (int i = 0; i < monitor->options.network->node_count; i++) {
        monitor_listen(monitor, i);
    }
    alv_peer_verdict_tick(monitor->verdict, monitor_now_ms(monitor));
    monitor_speak(monitor);
}

/* ---- life ------------------------------------------------------------------------------------ */

sim_monitor *sim_monitor_new(const sim_monitor_options *options)
{
    sim_monitor *monitor = alv_alloc(sizeof *monitor);
    monitor->options = *options;
    monitor->verdict = alv_peer_verdict_new(options->timeout_ms, monitor_changed, monitor);
    return monitor;
}

void sim_monitor_free(sim_monitor *monitor)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        alv_peer_hearing_done(&monitor->links[i].hearing);
    }
    alv_peer_saying_done(&monitor->saying);
    alv_peer_verdict_free(monitor->verdict);
    alv_free(monitor);
}
