/* dashboard.h — the page at "/": one page, no build step, no foreign hosts.
 *
 * Why:    who runs a cluster wants to see it, with nothing installed but the node. The files of
 *         api/dashboard/ are part of the program (cmake/embed.cmake); they hold no data and ask the
 *         API like anybody else.
 * Thread: the server's.
 */
#ifndef ALV_API_DASHBOARD_H
#define ALV_API_DASHBOARD_H

#include "api/answer.h"

/* Answers with a file of api/dashboard/, with headers that confine it; 404 when there is none of this
 * name. */
void alv_dashboard_answer(alv_view name, alv_answer *out);

#endif
