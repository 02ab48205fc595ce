/* http_hosts.h — hosts that could not be reached, and when they are tried again.
 *
 * Why:    a node that is gone costs a connection attempt per request; with a pause that grows it costs
 *         one per pause, and whoever asks in between hears at once that it is away.
 * Thread: one.
 * Owns:   its list.
 * Limits: HTTP_HOSTS_MAX in http_hosts.c; beyond that the host whose turn comes first is forgotten.
 */
#ifndef ALV_API_HTTP_HOSTS_H
#define ALV_API_HTTP_HOSTS_H

#include <stdint.h>

#include "base/bytes.h"

typedef struct alv_http_hosts alv_http_hosts;

alv_http_hosts *alv_http_hosts_new(void);
void alv_http_hosts_free(alv_http_hosts *hosts);

/* Milliseconds until `address` may be tried again; 0 = now. A host whose turn it is gets one try: until
 * that has failed or succeeded, the others wait as before. */
int64_t alv_http_hosts_wait_ms(alv_http_hosts *hosts, alv_view address, int64_t now_ms);

/* It could not be connected to, at `now_ms`. */
void alv_http_hosts_failed(alv_http_hosts *hosts, alv_view address, int64_t now_ms);

/* It has answered, or was heard of. */
void alv_http_hosts_forget(alv_http_hosts *hosts, alv_view address);

#endif
