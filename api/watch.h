/* watch.h — GET /v1/watch: what the request says, checked.
 *
 *     ?key=K | ?prefix=P | ?pattern=G   one of them; an empty prefix is everything
 *     Last-Event-ID: ID                 or ?last_event_id=ID: where to go on; the header wins, since
 *                                       a browser that reconnects sends it with the same URL
 *
 * Why:    the hub knows no HTTP parameters.
 * Thread: the server's.
 */
#ifndef ALV_API_WATCH_H
#define ALV_API_WATCH_H

#include "api/watch_hub.h"

/* Answers `exchange` by the hub, or with 400. HEAD gets the head of the answer and is no watcher. */
void alv_watch_answer(alv_watch_hub *hub, alv_exchange *exchange);

#endif
