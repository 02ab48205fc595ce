/* http_get.h — one blocking HTTP request, for the command line.
 *
 * Why:    a person who asks a node one question needs no connection pool and no event loop.
 * Thread: any, one at a time.
 * Fails:  ALV_RETRY: nobody answers at that address, or not in time; ALV_REJECT: the address is no
 *         address, or the answer is too large. An answer with any HTTP status is ALV_OK.
 */
#ifndef ALV_API_HTTP_GET_H
#define ALV_API_HTTP_GET_H

#include "api/http_security.h"
#include "base/bytes.h"
#include "base/status.h"

#define ALV_HTTP_GET_BYTES_MAX (16 * 1024 * 1024)

/* Appends `text` so that it can stand between the slashes of a path: everything but letters, digits and
 * -._~ becomes %XX. */
void alv_http_get_escape(alv_view text, alv_bytes *out);

/* Asks http(s)://`address``path` (address is host:port, path begins with "/"), waiting up to
 * `timeout_ms`. `out_body` is replaced. */
alv_status alv_http_get(const alv_http_security *security, const char *address, const char *path,
                        int timeout_ms, int *out_http_status, alv_bytes *out_body, alv_error *err);

/* The same with POST: `body` is JSON; `header` ("Name: value") is a further one, or NULL. */
alv_status alv_http_post(const alv_http_security *security, const char *address, const char *path,
                         alv_view body, const char *header, int timeout_ms, int *out_http_status,
                         alv_bytes *out_body, alv_error *err);

#endif
