/* guard.h — who may ask.
 *
 * Why:    one place decides, before a handler or a body is looked at, whether a request is let in.
 * Thread: the server's.
 * Owns:   nothing.
 *
 *   what                                asked of                          refused with
 *   a certificate of http.tls.client.ca all but open routes               403
 *   Authorization: Bearer <token>       all but open routes               401, WWW-Authenticate
 *   Origin, when there is one           requests that change something    403: must be this server's own
 *   Host                                all, on a loopback address        403: must name this host
 *                                       without certificates and token
 *
 * What is configured is asked for, all of it. The last two are against web pages: a browser sends a
 * foreign page's request to 127.0.0.1, too, and a name that an attacker makes point there (DNS rebinding)
 * would make the answers readable to that page.
 */
#ifndef ALV_API_GUARD_H
#define ALV_API_GUARD_H

#include "api/answer.h"
#include "api/exchange.h"
#include "api/http_security.h"

/* Whether `exchange` may go on; otherwise `refusal` is the answer. `is_open`: the route is for everybody.
 * @thread http */
bool alv_guard_admits(const alv_http_security *security, const alv_exchange *exchange, bool is_open,
                      alv_answer *refusal);

#endif
