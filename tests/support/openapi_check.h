/* openapi_check.h — whether an answer is as the description of the API promises.
 *
 * Why:    answers over a memory store and answers of real nodes are checked alike.
 * Thread: any.
 * Fails:  a status, a media type or a body that is not described fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_OPENAPI_CHECK_H
#define ALV_TESTS_SUPPORT_OPENAPI_CHECK_H

#include "tests/support/http_call.h"

/* What is described for a route, "/v1/entities/{key}"; NULL when nothing is. Borrowed. */
const json_t *alv_openapi_operation(const json_t *description, const char *method,
                                    const char *pattern);

void alv_openapi_check(const json_t *description, const alv_http_result *result, const char *method,
                       const char *pattern);

#endif
