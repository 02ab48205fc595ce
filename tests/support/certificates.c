#include "tests/support/certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/support/process.h"

#define OPENSSL_TIMEOUT_MS 60000

static void openssl(const char *const *arguments)
{
    alv_process_files files = {.in = NULL, .out = NULL, .err = NULL};
    int status = alv_process_run(arguments, files, OPENSSL_TIMEOUT_MS);
    if (status != 0)
        fail_msg("openssl %s ended with status %d", arguments[1], status);
}

void alv_certificates_make_ca(const char *directory, const char *name)
{
    char *pem = alv_format("%s/%s.pem", directory, name);
    char *key = alv_format("%s/%s.key", directory, name);
    char *subject = alv_format("/CN=%s", name);
    openssl((const char *const[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                  "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                                  subject, "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                                  "-keyout", key, "-out", pem, NULL});
    alv_free(pem);
    alv_free(key);
    alv_free(subject);
}

static void write_extensions(const char *path)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("subjectAltName=IP:127.0.0.1,DNS:localhost\n"
                "extendedKeyUsage=serverAuth,clientAuth\n",
                file);
    assert_int_equal(fclose(file), 0);
}

void alv_certificates_make(const char *directory, const char *ca, const char *name)
{
    char *pem = alv_format("%s/%s.pem", directory, name);
    char *key = alv_format("%s/%s.key", directory, name);
    char *request = alv_format("%s/%s.csr", directory, name);
    char *extensions = alv_format("%s/%s.ext", directory, name);
    char *ca_pem = alv_format("%s/%s.pem", directory, ca);
    char *ca_key = alv_format("%s/%s.key", directory, ca);
    char *subject = alv_format("/CN=%s", name);
    write_extensions(extensions);
    openssl((const char *const[]){"openssl", "req", "-newkey", "ec", "-pkeyopt",
                                  "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject,
                                  "-keyout", key, "-out", request, NULL});
    openssl((const char *const[]){"openssl", "x509", "-req", "-in", request, "-CA", ca_pem,
                                  "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile",
                                  extensions, "-out", pem, NULL});
    alv_free(pem);
    alv_free(key);
    alv_free(request);
    alv_free(extensions);
    alv_free(ca_pem);
    alv_free(ca_key);
    alv_free(subject);
}
