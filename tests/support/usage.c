#include "tests/support/usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What /proc/PID/stat says: clock ticks in user and system mode. */
typedef struct usage_ticks {
    int parent;
    int64_t own;
    int64_t ended_children;
} usage_ticks;

static usage_ticks usage_read_ticks(pid_t pid)
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
    usage_ticks ticks = {0};
    int64_t user = 0;
    int64_t system = 0;
    int64_t children_user = 0;
    int64_t children_system = 0;
    if (after_name != NULL &&
        sscanf(after_name + 1,
               " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNd64 " %" SCNd64 " %" SCNd64
               " %" SCNd64,
               &ticks.parent, &user, &system, &children_user, &children_system) == 5) {
        ticks.own = user + system;
        ticks.ended_children = children_user + children_system;
    }
    return ticks;
}

static int64_t usage_ticks_us(int64_t ticks)
{
    return ticks * (1000000 / sysconf(_SC_CLK_TCK));
}

int64_t alv_usage_cpu_us(pid_t pid)
{
    return usage_ticks_us(usage_read_ticks(pid).own);
}

int64_t alv_usage_family_cpu_us(pid_t pid)
{
    usage_ticks ticks = usage_read_ticks(pid);
    int64_t sum = ticks.own + ticks.ended_children;
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        usage_ticks child = usage_read_ticks((pid_t)strtol(entry->d_name, NULL, 10));
        sum += child.parent == (int)pid ? child.own + child.ended_children : 0;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return usage_ticks_us(sum);
}

/* A line "<name>: <number>" of the process's status; 0 without it. */
static int64_t usage_status(pid_t pid, const char *name)
{
    char path[64];
    char line[256];
    int64_t number = 0;
    size_t size = strlen(name);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, size) == 0 && line[size] == ':') {
            (void)sscanf(line + size + 1, "%" SCNd64, &number);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return number;
}

int64_t alv_usage_resident_kib(pid_t pid)
{
    return usage_status(pid, "VmRSS");
}

int64_t alv_usage_peak_kib(pid_t pid)
{
    return usage_status(pid, "VmHWM");
}

int64_t alv_usage_threads(pid_t pid)
{
    return usage_status(pid, "Threads");
}

/* ---- folders --------------------------------------------------------------------------------- */

static bool usage_is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

int64_t alv_usage_open_files(pid_t pid)
{
    char path[64];
    int64_t count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        count += usage_is_entry(entry);
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

static bool usage_ends_with(const char *name, const char *end)
{
    size_t size = strlen(name);
    return size >= strlen(end) && strcmp(name + size - strlen(end), end) == 0;
}

static void usage_add_folder(alv_usage_folder *usage, const char *path, const char *name_end)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inner[PATH_MAX];
        struct stat status;
        int size = snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (!usage_is_entry(entry) || size >= (int)sizeof(inner) || lstat(inner, &status) != 0) {
            continue;
        }
        if (S_ISDIR(status.st_mode)) {
            usage_add_folder(usage, inner, name_end);
        } else {
            usage->bytes += status.st_size;
            usage->files += usage_ends_with(entry->d_name, name_end);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
}

alv_usage_folder alv_usage_of_folder(const char *path, const char *name_end)
{
    alv_usage_folder usage = {0};
    usage_add_folder(&usage, path, name_end);
    return usage;
}
