/* openapi.h — the description of the API for programs: GET /openapi.json.
 *
 * Why:    clients are generated from it, and people read it. It is written by hand, in openapi.json, and part
 *         of the program; a test compares it with the table of routes and with real answers.
 * Thread: the server's.
 */
#ifndef ALV_API_OPENAPI_H
#define ALV_API_OPENAPI_H

#include "api/answer.h"

void alv_openapi_answer(alv_answer *out);

#endif
