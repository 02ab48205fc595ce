#include "base/process_usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

/* The numbers of /proc/self/stat behind the name, which may hold blanks and brackets itself: field 3
 * is the first. */
#define STAT_THREADS 20
#define STAT_STARTED 22
#define STAT_VIRTUAL 23
#define STAT_RESIDENT 24

static void usage_read_stat(uint64_t fields[STAT_RESIDENT + 1])
{
    char text[1024] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) {
        return;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file); /* it was only read */
    text[size] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 3; at != NULL && field <= STAT_RESIDENT; field++) {
        at = strchr(at, ' ');
        if (at != NULL) {
            fields[field] = strtoull(++at, NULL, 10); /* the state's letter is none */
        }
    }
}

/* When the host was started, in seconds since the epoch. */
static double usage_boot_s(void)
{
    char line[256];
    double boot_s = 0;
    FILE *file = fopen("/proc/stat", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "btime ", strlen("btime ")) == 0) {
            boot_s = strtod(line + strlen("btime "), NULL);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file); /* it was only read */
    }
    return boot_s;
}

static uint64_t usage_open_files(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(directory);
    return count - 1; /* the one that was open for this */
}

static double usage_cpu_s(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

alv_process_usage alv_process_usage_get(void)
{
    uint64_t fields[STAT_RESIDENT + 1] = {0};
    struct rlimit files = {0, 0};
    usage_read_stat(fields);
    (void)getrlimit(RLIMIT_NOFILE, &files); /* else 0 */
    return (alv_process_usage){
        .cpu_s = usage_cpu_s(),
        .resident_bytes = fields[STAT_RESIDENT] * (uint64_t)sysconf(_SC_PAGESIZE),
        .virtual_bytes = fields[STAT_VIRTUAL],
        .open_files = usage_open_files(),
        .open_files_max = files.rlim_cur,
        .threads = fields[STAT_THREADS],
        .started_at_s =
            usage_boot_s() + (double)fields[STAT_STARTED] / (double)sysconf(_SC_CLK_TCK),
    };
}
