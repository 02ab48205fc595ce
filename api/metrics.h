/* metrics.h — everything that is counted, as one page for Prometheus.
 *
 * Why:    whoever runs nodes wants to see them in the system that watches everything else. All names
 *         begin with alluvium_ (those of the process with process_, as everywhere) and end with their
 *         unit; docs/operations.md says what to look at.
 * Thread: the server's. A page takes about a millisecond, more with very many shards.
 *
 * Shards that are neither here nor kept as a standby here are left out: their node tells of them.
 */
#ifndef ALV_API_METRICS_H
#define ALV_API_METRICS_H

#include "api/answer.h"
#include "api/api.h"

void alv_metrics_answer(const alv_api *api, alv_answer *out);

#endif
