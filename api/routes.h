/* routes.h — which request goes where: one table, one loop.
 *
 * Why:    adding a request is a row, a handler and a test. A path nobody knows is 404, a path with
 *         another method 405 with Allow; HEAD is answered like GET, without the body. A body of
 *         another kind than application/json is 415, one that nobody asked for 400.
 * Thread: the server's.
 * Owns:   nothing.
 */
#ifndef ALV_API_ROUTES_H
#define ALV_API_ROUTES_H

#include "api/exchange.h"

typedef struct alv_api alv_api;

/* `parameter` is the part of the path that stands for "{...}", not decoded; absent without one. */
typedef void (*alv_route_handler)(alv_api *api, alv_exchange *exchange, alv_view parameter);

typedef struct alv_route {
    const char *method;
    const char *pattern; /* a path; one "{name}" in it stands for any text, "/" included */
    alv_route_handler handler;
    size_t body_bytes_max; /* it takes a JSON body of up to so many bytes; 0 = none */
} alv_route;

typedef struct alv_route_match {
    const alv_route *route; /* NULL: none */
    alv_view parameter;     /* into the path */
    char allow[32];         /* the methods of this path; empty: nobody knows the path */
} alv_route_match;

/* Finds the row for a request. */
alv_route_match alv_routes_match(const alv_route *routes, size_t count, const char *method,
                                 alv_view path);

/* As alv_http_service says. */
size_t alv_routes_body_max(alv_api *api, alv_exchange *exchange);

/* What row `route` of the table is for. Static. */
typedef struct alv_route_name {
    const char *method; /* NULL: past the end */
    const char *pattern;
} alv_route_name;

alv_route_name alv_routes_name(int route);

/* As alv_http_service says. */
bool alv_routes_is_vital(const alv_exchange *exchange);

/* Answers `exchange` by the table. */
void alv_routes_handle(alv_api *api, alv_exchange *exchange);

#endif
