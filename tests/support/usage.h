/* usage.h — what a process has used, as the kernel counts it, and what a folder holds.
 *
 * Why:    a cost is that of the whole process, its library's and virtual machine's threads included.
 * Thread: any.
 */
#ifndef ALV_TESTS_SUPPORT_USAGE_H
#define ALV_TESTS_SUPPORT_USAGE_H

#include <stdint.h>
#include <sys/types.h>

/* CPU time so far, user and system. 0 when there is no such process. */
int64_t alv_usage_cpu_us(pid_t pid);

/* The same with its children, those that have ended included: a PostgreSQL is a family of processes. */
int64_t alv_usage_family_cpu_us(pid_t pid);

/* The memory it has now (resident set). 0 when there is no such process. */
int64_t alv_usage_resident_kib(pid_t pid);

/* The most memory it had at one time (resident set). */
int64_t alv_usage_peak_kib(pid_t pid);

/* Its threads, and the files, sockets and the like that it has open. 0 when there is no such process. */
int64_t alv_usage_threads(pid_t pid);
int64_t alv_usage_open_files(pid_t pid);

typedef struct alv_usage_folder {
    int64_t bytes; /* of all files in it, as long as they say they are */
    int64_t files; /* whose names end with the given text */
} alv_usage_folder;

/* With all folders in it. What goes away meanwhile does not count; empty when it is not there. */
alv_usage_folder alv_usage_of_folder(const char *path, const char *name_end);

#endif
