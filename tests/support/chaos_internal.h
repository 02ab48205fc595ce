/* chaos_internal.h — what the files of tests/support/chaos*.c share. */
#ifndef ALV_TESTS_SUPPORT_CHAOS_INTERNAL_H
#define ALV_TESTS_SUPPORT_CHAOS_INTERNAL_H

#include "tests/support/chaos.h"
#include "tests/support/chaos_load.h"
#include "tests/support/chaos_reader.h"
#include "tests/support/chaos_schedule.h"
#include "tests/support/chaos_servers.h"
#include "tests/support/cluster.h"
#include "tests/support/tcp_proxy.h"

/* A node as the director wants it. */
typedef struct alv_chaos_slot {
    alv_cluster_node *node;
    bool should_run;
    bool start_empty;
    char fault[64]; /* armed with it; empty = not armed */
    alv_fault place;
    bool stopping; /* SIGTERM is on its way */
    int64_t stop_deadline;
} alv_chaos_slot;

struct alv_chaos {
    alv_chaos_options options;
    alv_cluster cluster;
    alv_chaos_slot slots[ALV_CHAOS_NODES_MAX + 1];
    char *proxied_brokers; /* bootstrap.servers of the node behind the proxies */
    alv_tcp_proxy *proxies[ALV_CHAOS_BROKERS_MAX];
    alv_chaos_servers servers;
    alv_chaos_load *load;
    alv_chaos_reader *reader;
    uint64_t random; /* which node is asked at the end */
    alv_chaos_plan plan;
    alv_chaos_event *events; /* of the run under way */
    size_t event_count;
    size_t event_next;
    int64_t counts[ALV_CHAOS_ACTS];
    int64_t restarts;                 /* of nodes that ended by themselves */
    int64_t strikes[ALV_FAULT_COUNT]; /* by place: nodes that died there */
    int64_t run_ms;                   /* all runs together */
    int runs_asked;
    int runs_passed;
};

/* The node that is behind the proxies. */
#define ALV_CHAOS_PROXIED 1

/* Compares all views with the truth; fails the test, after saying where they differ. */
void alv_chaos_check(alv_chaos *chaos);

/* The same for what stopped nodes have on their disks. */
void alv_chaos_verify(alv_chaos *chaos);

/* Prints what was done and what the logs tell. */
void alv_chaos_print_counts(alv_chaos *chaos);

/* Copies the logs to a folder that stays, and prints its name. */
void alv_chaos_keep_logs(alv_chaos *chaos);

#endif
