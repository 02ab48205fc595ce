/* chaos_report.c — what a run has done and met. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "tests/support/chaos_internal.h"

#define REPORT_TIMEOUT_MS 30000

/* What is looked for in the logs, and what it is called. A line counts when it has both texts. */
static const struct {
    const char *name;
    const char *text;
    const char *also;
} report_rows[] = {
    {"shards active", "event=shard-state", "state=active"},
    {"shards given up", "event=shard-state", "state=unassigned"},
    {"assignments lost", "event=assignment-lost", ""},
    {"transactions not committed", "event=transaction-not-committed", ""},
    {"transactions uncertain", "event=transaction-uncertain", ""},
    {"  resolved: committed", "event=transaction-resolved", "committed=1"},
    {"  resolved: not committed", "event=transaction-resolved", "committed=0"},
    {"producers renewed", "event=producer-renewed", ""},
    {"calls left behind", "event=producer-left-behind", ""},
    {"lanes that joined again", "event=rejoining", ""},
    {"fenced", "event=transaction-not-committed", "fenced"},
    {"shards stopped", "event=shard-stopped", ""},
    {"stores failed", "event=store-failed", ""},
    {"nodes held for dead", "event=node-dead", ""},
    {"lanes evicted", "event=evicted", ""},
    {"standbys hot", "event=standby-hot", ""},
};

#define REPORT_ROWS (sizeof(report_rows) / sizeof(report_rows[0]))

static void report_scan(const char *path, int64_t *counts)
{
    static char line[8192];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        for (size_t i = 0; i < REPORT_ROWS; i++) {
            counts[i] += strstr(line, report_rows[i].text) != NULL &&
                         strstr(line, report_rows[i].also) != NULL;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

int64_t alv_chaos_count(alv_chaos *chaos, const char *text, const char *also)
{
    static char line[8192];
    int64_t count = 0;
    for (int i = 0; i <= chaos->options.nodes; i++) {
        FILE *file = fopen(chaos->slots[i].node->log_path, "r");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            count += strstr(line, text) != NULL && strstr(line, also) != NULL;
        }
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    return count;
}

static void report_clients(alv_chaos *chaos)
{
    alv_chaos_reader_counts reads = alv_chaos_reader_counted(chaos->reader);
    int64_t hit = 0;
    for (int i = 0; i < chaos->options.brokers; i++) {
        hit += alv_tcp_proxy_commits_hit(chaos->proxies[i]);
    }
    printf("chaos: %" PRId64 " s, %" PRId64 " commands; reads: %" PRId64 " answered, %" PRId64
           " refused, %" PRId64 " silent, %" PRId64 " stale; commits hit by the proxy: %" PRId64
           "\n",
           chaos->run_ms / 1000, alv_chaos_load_sent(chaos->load), reads.answers, reads.refused,
           reads.silent, reads.stale, hit);
}

void alv_chaos_print_counts(alv_chaos *chaos)
{
    int64_t counts[REPORT_ROWS] = {0};
    if (chaos->load == NULL || chaos->reader == NULL) {
        return; /* it never began */
    }
    report_clients(chaos);
    printf("chaos: done:");
    for (int i = 0; i < ALV_CHAOS_ACTS; i++) {
        if (chaos->counts[i] > 0) {
            printf(" %s=%" PRId64, alv_chaos_act_name((alv_chaos_act)i), chaos->counts[i]);
        }
    }
    if (chaos->restarts > 0) {
        printf(" restarted-after-error=%" PRId64, chaos->restarts);
    }
    printf("\nchaos: died at:");
    for (int i = ALV_FAULT_NONE + 1; i < ALV_FAULT_COUNT; i++) {
        printf(" %s=%" PRId64, alv_fault_name((alv_fault)i), chaos->strikes[i]);
    }
    for (int i = 0; i <= chaos->options.nodes; i++) {
        report_scan(chaos->slots[i].node->log_path, counts);
    }
    printf("\nchaos: logs:");
    for (size_t i = 0; i < REPORT_ROWS; i++) {
        printf("%s %s %" PRId64, i > 0 ? "," : "", report_rows[i].name, counts[i]);
    }
    printf("\n");
    (void)fflush(stdout);
}

void alv_chaos_keep_logs(alv_chaos *chaos)
{
    static const char script[] = "cp \"$0\"/*.log \"$0\"/*.properties \"$1\"; "
                                 "for d in \"$0\"/stack/kafka-*/; do n=$(basename \"$d\"); "
                                 "cp \"$d/logs/server.log\" \"$1/$n.log\"; "
                                 "cp -r \"$d/data\" \"$1/$n-data\"; done";
    char kept[] = "/tmp/alluvium-chaos.XXXXXX";
    if (mkdtemp(kept) == NULL) {
        return;
    }
    const char *const argv[] = {"sh", "-c", script, chaos->cluster.directory, kept, NULL};
    (void)alv_process_run(argv, (alv_process_files){.in = NULL}, REPORT_TIMEOUT_MS);
    fprintf(stderr, "chaos: the logs are in %s\n", kept);
}
