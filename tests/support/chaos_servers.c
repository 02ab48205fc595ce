#include "tests/support/chaos_servers.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

void alv_chaos_servers_init(alv_chaos_servers *servers, alv_cluster *cluster)
{
    *servers = (alv_chaos_servers){.cluster = cluster};
}

void alv_chaos_servers_ask(alv_chaos_servers *servers, const alv_chaos_event *event)
{
    ALV_ASSERT(servers->asked - servers->done < ALV_CHAOS_SERVERS_QUEUE);
    servers->queue[servers->asked++ % ALV_CHAOS_SERVERS_QUEUE] = *event;
}

/* The shell command for an act; the caller frees it. $0 is dev/stack, $1 the folder of the stack. */
static char *servers_script(const alv_chaos_event *event)
{
    const char *verb = NULL;
    switch (event->act) {
    case ALV_CHAOS_KILL_BROKER:
        return alv_format("kill -KILL \"$(cat \"$1/kafka-%d.pid\")\"", event->target + 1);
    case ALV_CHAOS_STOP_BROKER:
        verb = "stop-broker";
        break;
    case ALV_CHAOS_START_BROKER:
        verb = "start-broker";
        break;
    case ALV_CHAOS_STOP_POSTGRES:
        return alv_strdup("exec \"$0\" stop-postgres --dir \"$1\"");
    default:
        ALV_ASSERT(event->act == ALV_CHAOS_START_POSTGRES);
        return alv_strdup("exec \"$0\" start-postgres --dir \"$1\"");
    }
    return alv_format("exec \"$0\" %s %d --dir \"$1\"", verb, event->target + 1);
}

static void servers_start(alv_chaos_servers *servers)
{
    const alv_cluster *cluster = servers->cluster;
    char *script = servers_script(&servers->queue[servers->done % ALV_CHAOS_SERVERS_QUEUE]);
    char *tool = alv_format("%s/dev/stack", cluster->root);
    char *directory = alv_cluster_path(cluster, "stack");
    char *log = alv_cluster_path(cluster, "stack.log");
    const char *const argv[] = {"sh", "-c", script, tool, directory, NULL};
    alv_process_start(&servers->process, argv, (alv_process_files){.out = log, .err = log});
    alv_free(script);
    alv_free(tool);
    alv_free(directory);
    alv_free(log);
}

void alv_chaos_servers_turn(alv_chaos_servers *servers)
{
    if (servers->process.pid != 0 && alv_process_wait(&servers->process, 0)) {
        const alv_chaos_event *event = &servers->queue[servers->done++ % ALV_CHAOS_SERVERS_QUEUE];
        if (servers->process.exit_status != 0 && servers->failure[0] == '\0') {
            (void)snprintf(servers->failure, sizeof(servers->failure),
                           "%s %d: exit status %d, see stack.log", alv_chaos_act_name(event->act),
                           event->target + 1, servers->process.exit_status);
        }
    }
    if (servers->process.pid == 0 && servers->done != servers->asked) {
        servers_start(servers);
    }
}

bool alv_chaos_servers_idle(const alv_chaos_servers *servers)
{
    return servers->done == servers->asked;
}

void alv_chaos_servers_done(alv_chaos_servers *servers)
{
    alv_process_done(&servers->process);
}
