/* http_tls_internal.h — the server's side of TLS: options of the HTTP library, and who the client is.
 *
 * Why:    the library speaks TLS but does not judge certificates. A verdict costs some signatures, so it is
 *         made once per connection.
 * Thread: the server's.
 * Owns:   nothing; its verdict is the note of a connection (http_connections.h).
 */
#ifndef ALV_API_HTTP_TLS_INTERNAL_H
#define ALV_API_HTTP_TLS_INTERNAL_H

#include <microhttpd.h>

#include "api/http_security.h"

#define ALV_HTTP_TLS_OPTIONS 5

/* Fills `out` with the options for MHD_OPTION_ARRAY, none without TLS; the flag to start with. What they
 * point to is borrowed from `security`. */
unsigned alv_http_tls_options(const alv_http_security *security,
                              struct MHD_OptionItem out[ALV_HTTP_TLS_OPTIONS]);

/* Whether the client's certificate is good and of an authority that is trusted. */
bool alv_http_tls_is_certified(struct MHD_Connection *connection);

#endif
