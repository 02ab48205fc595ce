#include "tests/sim/sim_network.h"

#include <string.h>

#include "api/http_limits.h"
#include "base/assert.h"

void sim_network_init(sim_network *network, int node_count, const int64_t *now_ms,
                      sim_random *random)
{
    memset(network, 0, sizeof *network);
    network->node_count = node_count;
    network->now_ms = now_ms;
    network->random = random;
}

static bool network_is_cut(const sim_network *network, int from, int to)
{
    return network->cut_until_ms[from][to] > *network->now_ms;
}

/* How long something is under way. */
static int64_t network_delay(sim_network *network)
{
    return sim_random_chance(network->random, network->slow_per_mille)
               ? sim_random_between(network->random, 3, 400)
               : sim_random_between(network->random, 0, 2);
}

/* ---- processes ------------------------------------------------------------------------------- */

int64_t sim_network_start(sim_network *network, int node)
{
    sim_host *host = &network->hosts[node];
    ALV_ASSERT(host->boot == 0);
    host->is_off = false;
    host->boot = ++network->last_boot;
    host->port += host->port == 0 || sim_random_chance(network->random, 300);
    return host->boot;
}

/* Nothing overtakes what was said before. */
static int64_t stream_due(sim_network *network, sim_stream *stream)
{
    int64_t due_ms = *network->now_ms + network_delay(network);
    stream->last_ms = due_ms > stream->last_ms ? due_ms : stream->last_ms;
    return stream->last_ms;
}

static void stream_end(sim_network *network, sim_stream *stream)
{
    stream->has_end = true;
    stream->is_accepted = false;
    (void)stream_due(network, stream);
}

void sim_network_end(sim_network *network, int node, bool power)
{
    network->hosts[node].boot = 0;
    network->hosts[node].is_off = power;
    for (int other = 0; other < network->node_count; other++) {
        sim_stream *from_it = &network->streams[other][node];
        network->streams[node][other].state = SIM_STREAM_NONE;
        if (from_it->state == SIM_STREAM_OPEN && power) {
            from_it->is_abandoned = true;
            from_it->is_accepted = false;
        } else if (from_it->state == SIM_STREAM_OPEN && !from_it->is_abandoned) {
            stream_end(network, from_it);
        }
    }
}

/* ---- cuts ------------------------------------------------------------------------------------ */

void sim_network_cut(sim_network *network, int from, int to, int64_t until_ms)
{
    network->cut_until_ms[from][to] = until_ms;
}

void sim_network_mend(sim_network *network, bool all)
{
    for (int from = 0; from < network->node_count; from++) {
        for (int to = 0; to < network->node_count; to++) {
            if (all || network->cut_until_ms[from][to] <= *network->now_ms) {
                network->cut_until_ms[from][to] = 0;
            }
        }
    }
}

/* ---- connecting ------------------------------------------------------------------------------ */

void sim_network_connect(sim_network *network, int listener, int speaker, int port)
{
    sim_stream *stream = &network->streams[listener][speaker];
    ALV_ASSERT(stream->state == SIM_STREAM_NONE);
    stream->state = SIM_STREAM_CONNECTING;
    stream->port = port;
    stream->due_ms = *network->now_ms + network_delay(network);
    stream->last_ms = 0;
    stream->is_accepted = stream->is_abandoned = stream->has_end = false;
    stream->first = stream->count = 0;
}

void sim_network_hang_up(sim_network *network, int listener, int speaker)
{
    network->streams[listener][speaker].state = SIM_STREAM_NONE;
}

static void stream_arrive(sim_network *network, int listener, int speaker)
{
    sim_stream *stream = &network->streams[listener][speaker];
    const sim_host *host = &network->hosts[speaker];
    bool lost =
        network_is_cut(network, listener, speaker) || network_is_cut(network, speaker, listener);
    if (!host->is_hidden && (lost || host->is_off)) {
        stream->state = SIM_STREAM_HANGING;
        stream->due_ms = *network->now_ms + ALV_HTTP_CONNECT_TIMEOUT_MS;
    } else if (host->is_hidden || host->boot == 0 || host->port != stream->port) {
        stream->state = SIM_STREAM_REFUSED;
        stream->due_ms = *network->now_ms + network_delay(network);
    } else {
        stream->state = SIM_STREAM_OPEN;
    }
}

void sim_network_tick(sim_network *network)
{
    for (int listener = 0; listener < network->node_count; listener++) {
        for (int speaker = 0; speaker < network->node_count; speaker++) {
            const sim_stream *stream = &network->streams[listener][speaker];
            if (stream->state == SIM_STREAM_CONNECTING && stream->due_ms <= *network->now_ms) {
                stream_arrive(network, listener, speaker);
            }
        }
    }
}

/* ---- who listens ----------------------------------------------------------------------------- */

/* What is said is kept while the way is cut, and comes afterwards. */
static sim_news network_next(const sim_network *network, int listener, int speaker)
{
    const sim_stream *stream = &network->streams[listener][speaker];
    int64_t now_ms = *network->now_ms;
    if (stream->state == SIM_STREAM_HANGING || stream->state == SIM_STREAM_REFUSED) {
        bool refused = stream->state == SIM_STREAM_REFUSED;
        return stream->due_ms > now_ms ? SIM_NEWS_NONE
               : refused               ? SIM_NEWS_REFUSED
                                       : SIM_NEWS_ENDED;
    }
    if (stream->state != SIM_STREAM_OPEN || stream->is_abandoned ||
        network_is_cut(network, speaker, listener)) {
        return SIM_NEWS_NONE;
    }
    if (stream->count > 0) {
        return stream->lines[stream->first].due_ms <= now_ms ? SIM_NEWS_LINE : SIM_NEWS_NONE;
    }
    return stream->has_end && stream->last_ms <= now_ms ? SIM_NEWS_ENDED : SIM_NEWS_NONE;
}

bool sim_network_has_news(const sim_network *network, int listener, int speaker)
{
    return network_next(network, listener, speaker) != SIM_NEWS_NONE;
}

sim_news sim_network_take(sim_network *network, int listener, int speaker, sim_line *out)
{
    sim_stream *stream = &network->streams[listener][speaker];
    sim_news news = network_next(network, listener, speaker);
    if (news == SIM_NEWS_LINE) {
        *out = stream->lines[stream->first];
        stream->first = (stream->first + 1) % SIM_NETWORK_LINES_MAX;
        stream->count--;
    } else if (news != SIM_NEWS_NONE) {
        stream->state = SIM_STREAM_NONE;
    }
    return news;
}

/* ---- who speaks ------------------------------------------------------------------------------ */

static void stream_add(sim_network *network, sim_stream *stream, const sim_line *line)
{
    if (stream->count == SIM_NETWORK_LINES_MAX) {
        stream_end(network, stream);
        return;
    }
    sim_line *added = &stream->lines[(stream->first + stream->count++) % SIM_NETWORK_LINES_MAX];
    *added = *line;
    added->due_ms = stream_due(network, stream);
}

bool sim_network_waits(const sim_network *network, int listener, int speaker)
{
    const sim_stream *stream = &network->streams[listener][speaker];
    return stream->state == SIM_STREAM_OPEN && !stream->is_accepted && !stream->is_abandoned &&
           !stream->has_end;
}

void sim_network_greet(sim_network *network, int listener, int speaker, const sim_line *line)
{
    sim_stream *stream = &network->streams[listener][speaker];
    stream->is_accepted = true;
    stream_add(network, stream, line);
}

void sim_network_say(sim_network *network, int speaker, const sim_line *line)
{
    for (int listener = 0; listener < network->node_count; listener++) {
        sim_stream *stream = &network->streams[listener][speaker];
        if (stream->state == SIM_STREAM_OPEN && stream->is_accepted) {
            stream_add(network, stream, line);
        }
    }
}
