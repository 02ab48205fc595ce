/* sim_network.h — what is between the nodes: the streams by which they hear each other, and what becomes of them.
 *
 * Why:    a verdict follows from what a connection does: it speaks, is silent, ends, or is refused. Each of these
 *         has a cause here, a process that is gone, frozen or on a host without power, a cut of one direction or
 *         of both, and the cause is known to whoever judges the verdict.
 *         As TCP does it: lines come in their order, late, and after a cut; a process that ends closes its
 *         connections and its port, unless its host is gone with it; one that is frozen still lets others connect.
 * Thread: one.
 * Limits: SIM_NETWORK_LINES_MAX lines wait in a stream; one that is full ends.
 */
#ifndef ALV_TESTS_SIM_NETWORK_H
#define ALV_TESTS_SIM_NETWORK_H

#include "base/bytes.h"
#include "tests/sim/sim_group.h"
#include "tests/sim/sim_random.h"

#define SIM_NETWORK_LINES_MAX 128
#define SIM_NETWORK_TEXT_BYTES 64

/* Sets of nodes, a bit each. */
typedef uint32_t sim_nodes;

typedef enum sim_line_kind {
    SIM_LINE_GREETING, /* hello, and a beat behind it */
    SIM_LINE_BEAT,
    SIM_LINE_BYE,
} sim_line_kind;

/* What is said, and beside its text what is true of it, by other means than the text. */
typedef struct sim_line {
    sim_line_kind kind;
    int64_t boot;       /* of the process that says it */
    sim_nodes suspects; /* whom it holds for suspect or dead */
    int64_t due_ms;     /* when it is there */
    char text[SIM_NETWORK_TEXT_BYTES];
} sim_line;

typedef enum sim_stream_state {
    SIM_STREAM_NONE,
    SIM_STREAM_CONNECTING, /* until the request arrives */
    SIM_STREAM_HANGING,    /* it never arrived; whoever connects gives up in the end */
    SIM_STREAM_REFUSED,
    SIM_STREAM_OPEN,
} sim_stream_state;

/* From a speaker to the one who has opened it. */
typedef struct sim_stream {
    sim_stream_state state;
    int port;       /* where it leads to */
    int64_t due_ms; /* CONNECTING: when the request arrives; HANGING, REFUSED: when that is known */
    bool is_accepted;  /* the speaker's process speaks on it */
    bool is_abandoned; /* the speaker's host is gone: nothing comes any more, not even an end */
    bool has_end;      /* behind what waits in it */
    int64_t last_ms;   /* when the last of it is there */
    sim_line lines[SIM_NETWORK_LINES_MAX];
    int first;
    int count;
} sim_stream;

typedef struct sim_host {
    int64_t boot;   /* of the process that runs, 0 = none does; never given twice */
    int port;       /* where it listens, or did; 0 = never did */
    bool is_off;    /* answers nothing at all */
    bool is_hidden; /* the address it gives is wrong: whoever connects there is refused */
} sim_host;

typedef struct sim_network {
    const int64_t *now_ms; /* borrowed */
    sim_random *random;    /* borrowed */
    int node_count;
    int64_t last_boot;
    int64_t slow_per_mille; /* lines that take longer than usual */
    sim_host hosts[SIM_NODES_MAX];
    int64_t cut_until_ms[SIM_NODES_MAX][SIM_NODES_MAX]; /* from, to; 0 = it is not */
    sim_stream streams[SIM_NODES_MAX][SIM_NODES_MAX];   /* listener, speaker */
} sim_network;

void sim_network_init(sim_network *network, int node_count, const int64_t *now_ms,
                      sim_random *random);

/* A process starts and listens, where the last one did or somewhere else. Its boot. */
int64_t sim_network_start(sim_network *network, int node);

/* It is gone; `power`: its host as well, and so nobody hears of it. */
void sim_network_end(sim_network *network, int node, bool power);

/* Nothing gets from one to the other until then. */
void sim_network_cut(sim_network *network, int from, int to, int64_t until_ms);

/* Cuts that have lasted long enough are mended; with `all`, all are. */
void sim_network_mend(sim_network *network, bool all);

/* Requests arrive that are due. */
void sim_network_tick(sim_network *network);

/* ---- who listens */

void sim_network_connect(sim_network *network, int listener, int speaker, int port);
void sim_network_hang_up(sim_network *network, int listener, int speaker);

typedef enum sim_news {
    SIM_NEWS_NONE,
    SIM_NEWS_LINE,
    SIM_NEWS_ENDED,   /* it closed, or could not be opened */
    SIM_NEWS_REFUSED, /* nobody listens there */
} sim_news;

/* Takes what has come; each but the first ends or moves on, so it is to be called until there is none. */
sim_news sim_network_take(sim_network *network, int listener, int speaker, sim_line *out);

/* Whether there is something to take. */
bool sim_network_has_news(const sim_network *network, int listener, int speaker);

/* ---- who speaks */

/* Whether `listener` has come and is not spoken to yet. */
bool sim_network_waits(const sim_network *network, int listener, int speaker);

/* Says it to one, who is spoken to from then on. */
void sim_network_greet(sim_network *network, int listener, int speaker, const sim_line *line);

/* Says it to all who are spoken to. */
void sim_network_say(sim_network *network, int speaker, const sim_line *line);

#endif
