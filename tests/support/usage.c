#include "tests/support/usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
