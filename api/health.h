/* health.h — whether this node lives, and whether it is ready.
 *
 * Why:    supervisors restart what is not alive; load balancers and deployments wait for what is
 *         not ready. A node that waits for a broker is alive and not ready.
 * Thread: the server's.
 */
#ifndef ALV_API_HEALTH_H
#define ALV_API_HEALTH_H

#include "api/answer.h"
#include "api/api.h"

/* 200 {"status":"ok"}, as long as anybody answers at all. */
void alv_health_answer_alive(alv_answer *out);

/* 200 {"ready":true}, or 503 with the reason. */
void alv_health_answer_ready(const alv_api *api, alv_answer *out);

#endif
