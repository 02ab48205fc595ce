/* http_security.h — how this node proves who it is, and what it asks of others: http.tls.*, http.auth.*.
 *
 * Why:    the server, the requests between nodes, the streams of peers and the command line follow the same
 *         settings, so that a cluster is protected as a whole or not at all.
 * Thread: load, done: main. Read-only in between.
 * Owns:   the texts of the files; the settings are borrowed.
 * Fails:  ALV_REJECT: a file cannot be read or is not what it should be; `err` names key and file.
 */
#ifndef ALV_API_HTTP_SECURITY_H
#define ALV_API_HTTP_SECURITY_H

#include "base/config.h"

typedef struct alv_http_security {
    const alv_settings *settings;
    const char *scheme; /* of URLs to nodes: "http" or "https"; static */
    char *certificate;  /* PEM, with its chain; NULL = the server speaks plain HTTP */
    char *key;
    char *client_ca; /* PEM; NULL = clients need no certificate */
} alv_http_security;

/* Reads the files that a server needs. */
alv_status alv_http_security_load(const alv_settings *settings, alv_http_security *out,
                                  alv_error *err);

/* What a client needs, which is nothing but the settings: libcurl reads the files itself. */
void alv_http_security_init_client(const alv_settings *settings, alv_http_security *out);

/* Frees; harmless after a failed load, and more than once. */
void alv_http_security_done(alv_http_security *security);

/* Sets up a libcurl handle for requests to nodes: which protocol, whose certificates are trusted, what is
 * shown to the server. The handle is void so that this header needs no curl.h. */
void alv_http_security_apply(const alv_http_security *security, void *easy);

/* How long connecting may take: with TLS there are more steps. */
long alv_http_security_connect_ms(const alv_http_security *security);

/* Versions of the libraries behind the API. Static texts. */
typedef struct alv_http_versions {
    const char *server; /* libmicrohttpd */
    const char *client; /* libcurl, with its TLS library */
    const char *tls;    /* GnuTLS, the server's */
} alv_http_versions;

void alv_http_versions_get(alv_http_versions *out);

#endif
