/* http_tls.c — see http_tls_internal.h. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "api/http_connections.h"
#include "api/http_tls_internal.h"

/* GnuTLS' own choice of ciphers, of the two current versions. */
static char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

typedef enum tls_verdict {
    TLS_NOT_JUDGED,
    TLS_CERTIFIED,
    TLS_REFUSED,
} tls_verdict;

unsigned alv_http_tls_options(const alv_http_security *security,
                              struct MHD_OptionItem out[ALV_HTTP_TLS_OPTIONS])
{
    size_t count = 0;
    if (security->certificate != NULL) {
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, security->certificate};
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, security->key};
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, tls_priorities};
    }
    if (security->client_ca != NULL) {
        out[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, security->client_ca};
    }
    out[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return security->certificate != NULL ? (unsigned)MHD_USE_TLS : 0;
}

/* The whole chain, its times, and that it was made for clients, if it says what it was made for. No name:
 * whoever has a certificate of this authority is a node or may do what nodes may. */
static bool tls_judge(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info == NULL || info->tls_session == NULL) {
        return false;
    }
    unsigned char client[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = client};
    unsigned problems = 0;
    int code = gnutls_certificate_verify_peers(info->tls_session, &purpose, 1, &problems);
    return code == GNUTLS_E_SUCCESS && problems == 0;
}

bool alv_http_tls_is_certified(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    alv_http_connection *known = info != NULL ? info->socket_context : NULL;
    if (known == NULL) {
        return tls_judge(connection);
    }
    int *verdict = alv_http_connection_note(known);
    if (*verdict == TLS_NOT_JUDGED) {
        *verdict = tls_judge(connection) ? TLS_CERTIFIED : TLS_REFUSED;
    }
    return *verdict == TLS_CERTIFIED;
}
