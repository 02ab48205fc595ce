#include "tests/support/node_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_LOG_DAY_MS ((int64_t)24 * 60 * 60 * 1000)
#define NODE_LOG_LINE_BYTES 4096

/* The time of day of a log line, -1 when it does not begin with a time. */
static int64_t line_time_ms(const char *line)
{
    int hour = 0;
    int minute = 0;
    int second = 0;
    int ms = 0;
    if (sscanf(line, "%*d-%*d-%*dT%d:%d:%d.%dZ", &hour, &minute, &second, &ms) != 4) {
        return -1;
    }
    return ((int64_t)hour * 60 + minute) * 60000 + (int64_t)second * 1000 + ms;
}

/* The last such line after `since_ms`, and when; -1 and an empty line when there is none. */
static int64_t find_last(const alv_cluster_node *node, const char *text, int64_t since_ms,
                         char out_line[NODE_LOG_LINE_BYTES])
{
    char line[NODE_LOG_LINE_BYTES];
    int64_t found_ms = -1;
    out_line[0] = '\0';
    FILE *file = fopen(node->log_path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        int64_t time_ms = strstr(line, text) != NULL ? line_time_ms(line) : -1;
        int64_t after_ms =
            (time_ms - since_ms % NODE_LOG_DAY_MS + NODE_LOG_DAY_MS) % NODE_LOG_DAY_MS;
        if (time_ms >= 0 && after_ms < NODE_LOG_DAY_MS / 2) { /* else it was before */
            found_ms = after_ms;
            memcpy(out_line, line, sizeof(line));
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found_ms;
}

int64_t alv_node_log_last(const alv_cluster_node *node, const char *text, int64_t since_ms)
{
    char line[NODE_LOG_LINE_BYTES];
    return find_last(node, text, since_ms, line);
}

int64_t alv_node_log_value(const alv_cluster_node *node, const char *text, const char *name,
                           int64_t since_ms)
{
    char line[NODE_LOG_LINE_BYTES];
    (void)find_last(node, text, since_ms, line);
    const char *at = strstr(line, name);
    return at != NULL ? strtoll(at + strlen(name), NULL, 10) : -1;
}
