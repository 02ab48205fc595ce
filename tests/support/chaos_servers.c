#include "tests/support/chaos_servers.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

void alv_chaos_servers_init(alv_chaos_servers *servers, alv_cluster *cluster)
{
    *servers = (alv_chaos_servers){.cluster = cluster};
}

static alv_chaos_server *servers_find(alv_chaos_servers *servers, const alv_chaos_event *event)
{
    bool is_broker = event->act < ALV_CHAOS_STOP_POSTGRES;
    return is_broker ? &servers->brokers : &servers->postgres;
}

void alv_chaos_servers_ask(alv_chaos_servers *servers, const alv_chaos_event *event)
{
    alv_chaos_server *server = servers_find(servers, event);
    ALV_ASSERT(server->asked - server->done < ALV_CHAOS_SERVERS_QUEUE);
    server->queue[server->asked++ % ALV_CHAOS_SERVERS_QUEUE] = *event;
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

static void servers_start(const alv_cluster *cluster, alv_chaos_server *server)
{
    char *script = servers_script(&server->queue[server->done % ALV_CHAOS_SERVERS_QUEUE]);
    char *tool = alv_format("%s/dev/stack", cluster->root);
    char *directory = alv_cluster_path(cluster, "stack");
    char *log = alv_cluster_path(cluster, "stack.log");
    const char *const argv[] = {"sh", "-c", script, tool, directory, NULL};
    alv_process_start(&server->process, argv, (alv_process_files){.out = log, .err = log});
    alv_free(script);
    alv_free(tool);
    alv_free(directory);
    alv_free(log);
}

static void servers_turn_one(alv_chaos_servers *servers, alv_chaos_server *server)
{
    if (server->process.pid != 0 && alv_process_wait(&server->process, 0)) {
        const alv_chaos_event *event = &server->queue[server->done++ % ALV_CHAOS_SERVERS_QUEUE];
        if (server->process.exit_status != 0 && servers->failure[0] == '\0') {
            (void)snprintf(servers->failure, sizeof(servers->failure),
                           "%s %d: exit status %d, see stack.log", alv_chaos_act_name(event->act),
                           event->target + 1, server->process.exit_status);
        }
    }
    if (server->process.pid == 0 && server->done != server->asked) {
        servers_start(servers->cluster, server);
    }
}

void alv_chaos_servers_turn(alv_chaos_servers *servers)
{
    servers_turn_one(servers, &servers->brokers);
    servers_turn_one(servers, &servers->postgres);
}

bool alv_chaos_servers_idle(const alv_chaos_servers *servers)
{
    return servers->brokers.done == servers->brokers.asked &&
           servers->postgres.done == servers->postgres.asked;
}

void alv_chaos_servers_done(alv_chaos_servers *servers)
{
    alv_process_done(&servers->brokers.process);
    alv_process_done(&servers->postgres.process);
}
