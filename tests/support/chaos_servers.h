/* chaos_servers.h — takes servers of a cluster's own stack away and brings them back, in the background.
 *
 * Why:    a broker takes seconds to stop and to start; what else is planned for these seconds happens
 *         meanwhile.
 * How:    a queue of commands for the brokers and one for PostgreSQL, one process at a time of each: a
 *         broker is taken away only when the one before is back.
 * Thread: main.
 * Owns:   the processes that run; the cluster is borrowed.
 */
#ifndef ALV_TESTS_SUPPORT_CHAOS_SERVERS_H
#define ALV_TESTS_SUPPORT_CHAOS_SERVERS_H

#include "tests/support/chaos_schedule.h"
#include "tests/support/cluster.h"

#define ALV_CHAOS_BROKERS_MAX 3
#define ALV_CHAOS_SERVERS_QUEUE 64

typedef struct alv_chaos_server {
    alv_process process;
    alv_chaos_event queue[ALV_CHAOS_SERVERS_QUEUE]; /* a ring: from `done` to `asked` */
    unsigned asked;
    unsigned done;
} alv_chaos_server;

typedef struct alv_chaos_servers {
    alv_cluster *cluster;
    alv_chaos_server brokers;
    alv_chaos_server postgres;
    char failure[256]; /* empty = none */
} alv_chaos_servers;

void alv_chaos_servers_init(alv_chaos_servers *servers, alv_cluster *cluster);

/* Queues one of the acts on brokers or PostgreSQL. */
void alv_chaos_servers_ask(alv_chaos_servers *servers, const alv_chaos_event *event);

/* Looks whether running commands have ended and starts the next. */
void alv_chaos_servers_turn(alv_chaos_servers *servers);

/* Whether all that was asked is done. */
bool alv_chaos_servers_idle(const alv_chaos_servers *servers);

/* Kills the commands that run. */
void alv_chaos_servers_done(alv_chaos_servers *servers);

#endif
