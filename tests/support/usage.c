#include "tests/support/usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int64_t alv_usage_cpu_us(pid_t pid)
{
    char path[64];
    char text[1024] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        (void)fclose(file);
    }
    /* The name of the program, in brackets, may have blanks in it. */
    const char *after_name = strrchr(text, ')');
    int64_t user = 0;
    int64_t system = 0;
    if (after_name != NULL) {
        (void)sscanf(after_name + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNd64 " %" SCNd64, &user,
                     &system);
    }
    return (user + system) * (1000000 / sysconf(_SC_CLK_TCK));
}

/* A line "<name>: <number> kB" of the process's status; 0 without it. */
static int64_t usage_status_kib(pid_t pid, const char *name)
{
    char path[64];
    char line[256];
    int64_t kib = 0;
    size_t size = strlen(name);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, size) == 0 && line[size] == ':') {
            (void)sscanf(line + size + 1, "%" SCNd64, &kib);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib;
}

int64_t alv_usage_resident_kib(pid_t pid)
{
    return usage_status_kib(pid, "VmRSS");
}

int64_t alv_usage_peak_kib(pid_t pid)
{
    return usage_status_kib(pid, "VmHWM");
}
