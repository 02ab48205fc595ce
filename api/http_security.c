#include "api/http_security.h"

#include <curl/curl.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "api/http_limits.h"
#include "base/alloc.h"

/* A chain of certificates, or all that a company trusts. */
#define SECURITY_FILE_BYTES_MAX (1024 * 1024)

/* ---- files ----------------------------------------------------------------------------------- */

static alv_status security_read(const char *key, const char *path, char **out, alv_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int code = errno;
        return alv_fail_from(err, ALV_REJECT, "errno", code, "%s=%s: %s", key, path,
                             strerror(code));
    }
    char *text = alv_alloc(SECURITY_FILE_BYTES_MAX + 1);
    size_t size = fread(text, 1, SECURITY_FILE_BYTES_MAX, file);
    bool failed = ferror(file) != 0 || size == 0 || size == SECURITY_FILE_BYTES_MAX;
    (void)fclose(file); /* it was only read */
    if (failed) {
        alv_free(text);
        return alv_fail(err, ALV_REJECT, "%s=%s: cannot be read, is empty or too large", key, path);
    }
    *out = text;
    return ALV_OK;
}

/* The HTTP library says nothing but "failed" about a file it cannot use, so they are looked at here. */
static alv_status security_check_pair(const alv_http_security *security, alv_error *err)
{
    const alv_settings *settings = security->settings;
    gnutls_certificate_credentials_t pair;
    if (gnutls_certificate_allocate_credentials(&pair) < 0) {
        return alv_fail_from(err, ALV_FATAL, "gnutls", 0, "no memory for certificates");
    }
    gnutls_datum_t certificate = {(unsigned char *)security->certificate,
                                  (unsigned)strlen(security->certificate)};
    gnutls_datum_t key = {(unsigned char *)security->key, (unsigned)strlen(security->key)};
    int code = gnutls_certificate_set_x509_key_mem(pair, &certificate, &key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(pair);
    if (code < 0) {
        return alv_fail_from(err, ALV_REJECT, "gnutls", code,
                             "http.tls.cert=%s and http.tls.key=%s are not a certificate and its "
                             "key in PEM: %s",
                             settings->http_tls_cert, settings->http_tls_key,
                             gnutls_strerror(code));
    }
    return ALV_OK;
}

static alv_status security_check_ca(const alv_http_security *security, alv_error *err)
{
    gnutls_x509_trust_list_t list;
    if (gnutls_x509_trust_list_init(&list, 0) < 0) {
        return alv_fail_from(err, ALV_FATAL, "gnutls", 0, "no memory for certificates");
    }
    gnutls_datum_t ca = {(unsigned char *)security->client_ca,
                         (unsigned)strlen(security->client_ca)};
    int count = gnutls_x509_trust_list_add_trust_mem(list, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    gnutls_x509_trust_list_deinit(list, 1);
    if (count <= 0) {
        return alv_fail_from(err, ALV_REJECT, "gnutls", count,
                             "http.tls.client.ca=%s: there is no certificate in it, in PEM",
                             security->settings->http_tls_client_ca);
    }
    return ALV_OK;
}

/* ---- public ---------------------------------------------------------------------------------- */

void alv_http_security_init_client(const alv_settings *settings, alv_http_security *out)
{
    bool tls = settings->http_tls_cert != NULL || settings->http_tls_ca != NULL;
    *out = (alv_http_security){.settings = settings, .scheme = tls ? "https" : "http"};
}

alv_status alv_http_security_load(const alv_settings *settings, alv_http_security *out,
                                  alv_error *err)
{
    alv_status status = ALV_OK;
    alv_http_security_init_client(settings, out);
    if (settings->http_tls_cert == NULL) {
        out->scheme = "http"; /* a CA alone is for the command line */
        return ALV_OK;
    }
    status = security_read("http.tls.cert", settings->http_tls_cert, &out->certificate, err);
    if (status == ALV_OK) {
        status = security_read("http.tls.key", settings->http_tls_key, &out->key, err);
    }
    if (status == ALV_OK) {
        status = security_check_pair(out, err);
    }
    if (status == ALV_OK && settings->http_tls_client_ca != NULL) {
        status =
            security_read("http.tls.client.ca", settings->http_tls_client_ca, &out->client_ca, err);
        status = status == ALV_OK ? security_check_ca(out, err) : status;
    }
    return status;
}

void alv_http_security_done(alv_http_security *security)
{
    if (security->key != NULL) {
        explicit_bzero(security->key, strlen(security->key));
    }
    alv_free(security->certificate);
    alv_free(security->key);
    alv_free(security->client_ca);
    *security = (alv_http_security){.settings = NULL};
}

/* A server's name must be in its certificate: libcurl's default, said here because all depends on it. */
static void security_apply_tls(const alv_settings *settings, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    const char *ca =
        settings->http_tls_ca != NULL ? settings->http_tls_ca : settings->http_tls_client_ca;
    if (ca != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* nobody else is trusted */
    }
    if (settings->http_tls_cert != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, settings->http_tls_cert);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, settings->http_tls_key);
    }
}

void alv_http_security_apply(const alv_http_security *security, void *easy)
{
    const alv_settings *settings = security->settings;
    curl_easy_setopt((CURL *)easy, CURLOPT_PROTOCOLS_STR, security->scheme);
    if (strcmp(security->scheme, "https") == 0) {
        security_apply_tls(settings, easy);
    }
    if (settings->http_auth_token != NULL) {
        curl_easy_setopt((CURL *)easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt((CURL *)easy, CURLOPT_XOAUTH2_BEARER, settings->http_auth_token);
    }
}

long alv_http_security_connect_ms(const alv_http_security *security)
{
    return strcmp(security->scheme, "https") == 0 ? ALV_HTTP_TLS_CONNECT_TIMEOUT_MS
                                                  : ALV_HTTP_CONNECT_TIMEOUT_MS;
}

void alv_http_versions_get(alv_http_versions *out)
{
    *out = (alv_http_versions){
        .server = MHD_get_version(), .client = curl_version(), .tls = gnutls_check_version(NULL)};
}
