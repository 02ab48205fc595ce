/* usage.h — what a process has used, as the kernel counts it.
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

/* The memory it has now (resident set). 0 when there is no such process. */
int64_t alv_usage_resident_kib(pid_t pid);

/* The most memory it had at one time (resident set). */
int64_t alv_usage_peak_kib(pid_t pid);

#endif
