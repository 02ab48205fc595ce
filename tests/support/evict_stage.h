/* evict_stage.h — nodes that die, members that live on, and an eviction between them.
 *
 * Why:    an eviction is judged from several sides: the survivor that gets the shards, a reader that waits
 *         behind the dead producer's transaction, the group that must rebalance once.
 * How:    what dies is a process of its own: the test program in another mode, which joins, leaves a
 *         transaction open on each lane and gets SIGKILL. The session time-out is 30 s everywhere, so
 *         whatever comes within seconds was the eviction.
 * Thread: one; an eviction runs on a thread of its own, as the survivors must be polled meanwhile.
 * Fails:  the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_EVICT_STAGE_H
#define ALV_TESTS_SUPPORT_EVICT_STAGE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/process.h"
#include "topics/kafka.h"
#include "topics/kafka_evict.h"

#define ALV_EVICT_SHARDS 6
#define ALV_EVICT_STAGE_LANES 4
#define ALV_EVICT_WAIT_MS 25000 /* less than the session time-out */
/* From the begin of an eviction to the survivor's assigned callback, and to the end of what was open: sooner than
 * anything that would happen without an eviction. How long it really takes is printed. */
#define ALV_EVICT_FAILOVER_MS 9000
static_assert(ALV_EVICT_FAILOVER_MS < ALV_TRANSACTION_TIMEOUT_MS &&
                  ALV_EVICT_FAILOVER_MS < ALV_EVICT_WAIT_MS,
              "an end by time-out is no eviction");
/* A second rebalance would come within this. */
#define ALV_EVICT_QUIET_MS 1500

/* First thing in main: false when there is no broker, which is said: exit with 77. Does not return in a process
 * that is there to die. */
bool alv_evict_start(int argc, char **argv);

int64_t alv_evict_now_ms(void);

/* ---- an application on the broker ------------------------------------------------------------ */

typedef struct alv_evict_node {
    alv_config *config;
    alv_log_port *log;
} alv_evict_node;

alv_config *alv_evict_config(const char *servers, const char *app, const char *node,
                             const char *shards);
alv_evict_node alv_evict_node_open(const char *app, const char *id);
void alv_evict_node_close(alv_evict_node *node);

/* A new application with its topics; this process is its node n1. */
alv_evict_node alv_evict_app_new(char app[64], const char *shards);

/* ---- a member of the group ------------------------------------------------------------------- */

typedef struct alv_evict_member {
    alv_consumer *consumer;
    alv_producer *producer;
    alv_batch batch;
    int owned;
    bool owns[ALV_EVICT_SHARDS];
    int arrivals; /* rebalances that gave it shards: the others tell a member late, when their effect is long there */
    int64_t assigned_at_ms;
    bool was_lost;
    bool was_fenced;
} alv_evict_member;

void alv_evict_member_join(alv_evict_member *member, const alv_evict_node *node, int lane);
void alv_evict_member_close(alv_evict_member *member, bool stay);
void alv_evict_member_poll(alv_evict_member *member, int timeout_ms);

/* Polls until it owns so many shards. */
void alv_evict_member_wait(alv_evict_member *member, int owned);

/* Opens a transaction that has written a record to the changelog of each of its shards. */
void alv_evict_member_begin(alv_evict_member *member, const alv_evict_node *node, int lane);

/* What a living member finds out when it commits. */
alv_status alv_evict_member_commit(alv_evict_member *member, int32_t shard);

/* ---- a node that will die -------------------------------------------------------------------- */

typedef struct alv_evict_doomed {
    alv_process process;
    char *folder;
    char *output;
} alv_evict_doomed;

/* `lanes` lanes that get ready when they own `wanted` shards together. */
void alv_evict_doomed_start(alv_evict_doomed *doomed, const char *app, const char *id,
                            const char *lanes, const char *wanted);

/* Polls a member that lives on, so that the group can settle, until the other is ready. */
void alv_evict_doomed_wait(const alv_evict_doomed *doomed, alv_evict_member *survivor);
void alv_evict_doomed_kill(alv_evict_doomed *doomed);

/* ---- a reader of the changelog --------------------------------------------------------------- */

typedef struct alv_evict_watch {
    alv_reader *reader;
    alv_batch batch;
    int64_t ends[ALV_EVICT_SHARDS]; /* when it began */
    size_t records;
} alv_evict_watch;

void alv_evict_watch_open(alv_evict_watch *watch, const alv_evict_node *node, int32_t shard_count);

/* True when it has got past what was written before it was opened: nothing is open there any more. */
bool alv_evict_watch_is_past(alv_evict_watch *watch);
int alv_evict_watch_open_shards(const alv_evict_watch *watch);
void alv_evict_watch_close(alv_evict_watch *watch);

/* ---- an eviction ----------------------------------------------------------------------------- */

typedef struct alv_evict_run {
    pthread_t thread;
    const alv_config *config;
    const alv_seat *seats;
    size_t count;
    alv_evicted times[ALV_EVICT_STAGE_LANES];
    alv_status status;
    alv_error err;
    int64_t begun_at_ms;
    int64_t took_ms;
    _Atomic bool is_over;
} alv_evict_run;

void alv_evict_run_start(alv_evict_run *eviction, const alv_evict_node *node, const alv_seat *seats,
                         size_t count);
void alv_evict_run_join(alv_evict_run *eviction, alv_status expected);

/* Polls the survivor until it owns everything, the transactions are gone and the call is over; says how long
 * each took. */
void alv_evict_run_expect_takeover(alv_evict_run *eviction, alv_evict_member *survivor, int shards,
                                   alv_evict_watch *watch);

/* For a while no shard comes or goes, and shards have come so many times. */
void alv_evict_expect_quiet(alv_evict_member *survivor, int arrivals);

#endif
