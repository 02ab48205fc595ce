/* api_internal.h — what the routes' handlers see of the API.
 *
 * Why:    handlers are plain functions of (api, exchange).
 * Thread: the fields are set before the server starts and do not change while it runs.
 * Owns:   see api.h.
 */
#ifndef ALV_API_API_INTERNAL_H
#define ALV_API_API_INTERNAL_H

#include "api/api.h"
#include "api/ask.h"
#include "api/desk.h"
#include "api/gather.h"
#include "api/http_client.h"
#include "api/http_server.h"
#include "api/letters.h"
#include "api/peer_monitor.h"
#include "api/peers.h"
#include "api/read_floor.h"
#include "api/scan.h"
#include "api/watch_hub.h"

struct alv_api {
    alv_api_options options;
    char boot[ALV_PEER_BOOT_BYTES];
    alv_http_security security;
    char *advertise;       /* a copy: the configuration may be told of the bound address later */
    alv_group_view *group; /* NULL when the members come from elsewhere */
    alv_peers *peers;
    alv_http_client *client;
    alv_log_port *log; /* opened here; NULL when it is the caller's, or there is none */
    alv_read_floor *floor;
    alv_desk *desk;
    alv_ask *ask;
    alv_scan *scan;
    alv_letters *letters;
    alv_peer_monitor *monitor; /* NULL without failover.evict */
    alv_watch_hub *watch;
    alv_gather *gather;
    alv_http_server *server;
};

#endif
