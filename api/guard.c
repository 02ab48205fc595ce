#include "api/guard.h"

#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/alloc.h"
#include "base/secret.h"

#define GUARD_BEARER "Bearer "

/* ---- certificate and token ------------------------------------------------------------------- */

static bool guard_has_token(const alv_settings *settings, const alv_exchange *exchange)
{
    const char *given = alv_exchange_header(exchange, "Authorization");
    size_t size = strlen(GUARD_BEARER);
    if (given == NULL || strncasecmp(given, GUARD_BEARER, size) != 0) {
        return false;
    }
    alv_view token = alv_view_of(given + size);
    return alv_secret_equal(alv_view_of(settings->http_auth_token), token) ||
           (settings->http_auth_token_also != NULL &&
            alv_secret_equal(alv_view_of(settings->http_auth_token_also), token));
}

static bool guard_check_identity(const alv_http_security *security, const alv_exchange *exchange,
                                 alv_answer *refusal)
{
    const alv_settings *settings = security->settings;
    if (settings->http_tls_client_ca != NULL && !alv_exchange_is_certified(exchange)) {
        alv_answer_set_problem(refusal, 403,
                               "a client certificate that http.tls.client.ca trusts is needed");
        return false;
    }
    if (settings->http_auth_token != NULL && !guard_has_token(settings, exchange)) {
        alv_answer_set_problem(refusal, 401,
                               "the header Authorization: Bearer with the token of "
                               "http.auth.token is needed");
        return false;
    }
    return true;
}

/* ---- web pages ------------------------------------------------------------------------------- */

/* Host without its port, of "name", "name:port", "[v6]", "[v6]:port". */
static bool guard_host_of(const char *text, alv_address *out)
{
    if (alv_address_parse(text, out)) {
        return true;
    }
    char *with_port = alv_format("%s:1", text);
    bool parsed = alv_address_parse(with_port, out);
    alv_free(with_port);
    return parsed;
}

/* Names of this host: of the loopback interface, or the ones that somebody wrote into the settings. */
static bool guard_names_us(const alv_settings *settings, const char *text)
{
    alv_address host;
    alv_address ours;
    if (!guard_host_of(text, &host)) {
        return false;
    }
    if (alv_address_is_loopback(&host)) {
        return true;
    }
    if (alv_address_parse(settings->http_listen, &ours) && strcasecmp(ours.host, host.host) == 0) {
        return true;
    }
    return settings->http_advertise != NULL && alv_address_parse(settings->http_advertise, &ours) &&
           strcasecmp(ours.host, host.host) == 0;
}

static bool guard_check_host(const alv_settings *settings, const alv_exchange *exchange,
                             alv_answer *refusal)
{
    alv_address listen;
    const char *host = alv_exchange_header(exchange, "Host");
    bool is_local =
        alv_address_parse(settings->http_listen, &listen) && alv_address_is_loopback(&listen);
    bool is_protected = settings->http_tls_client_ca != NULL || settings->http_auth_token != NULL;
    if (!is_local || is_protected || host == NULL || guard_names_us(settings, host)) {
        return true;
    }
    alv_answer_set_problem(refusal, 403,
                           "the header Host names another host; use the address of http.listen or "
                           "http.advertise");
    return false;
}

/* "scheme://host[:port]" against "host[:port]"; browsers leave out the port that goes without saying on
 * both sides. */
static bool guard_check_origin(const alv_http_security *security, const alv_exchange *exchange,
                               alv_answer *refusal)
{
    const char *method = alv_exchange_method(exchange);
    const char *origin = alv_exchange_header(exchange, "Origin");
    const char *host = alv_exchange_header(exchange, "Host");
    if (origin == NULL || strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        return true;
    }
    char *own = alv_format("%s://%s", security->scheme, host != NULL ? host : "");
    bool is_own = strcasecmp(origin, own) == 0;
    alv_free(own);
    if (!is_own) {
        alv_answer_set_problem(refusal, 403, "pages of another origin may not do this");
    }
    return is_own;
}

bool alv_guard_admits(const alv_http_security *security, const alv_exchange *exchange, bool is_open,
                      alv_answer *refusal)
{
    return guard_check_host(security->settings, exchange, refusal) &&
           guard_check_origin(security, exchange, refusal) &&
           (is_open || guard_check_identity(security, exchange, refusal));
}
