/* process_usage.h — what this process takes from its host.
 *
 * Why:    metrics; Prometheus' own client libraries tell the same under the same names.
 * Thread: any.
 * Fails:  never: what the kernel does not tell is 0.
 */
#ifndef ALV_BASE_PROCESS_USAGE_H
#define ALV_BASE_PROCESS_USAGE_H

#include <stdint.h>

typedef struct alv_process_usage {
    double cpu_s; /* user and system, all threads */
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t open_files;
    uint64_t open_files_max;
    uint64_t threads;
    double started_at_s; /* since the Unix epoch */
} alv_process_usage;

alv_process_usage alv_process_usage_get(void);

#endif
