/* Goal:   who may ask is decided before anything is answered: tokens, client certificates, names of hosts and
 *         origins of web pages; and what is refused says why without telling anything else.
 * Method: a real server over the memory store, with certificates made by openssl for this run; libcurl as
 *         the client, with the right, the wrong and no credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/http_security.h"
#include "base/alloc.h"
#include "tests/support/api_node.h"
#include "tests/support/certificates.h"
#include "tests/support/http_call.h"
#include "tests/support/scratch.h"

#define TOKEN "a-token-of-32-characters-exactly"
#define ENTITY "/v1/entities/7:42"

static char *directory;
static alv_fake_group group;
static alv_api_node node;

/* A file of the scratch directory; valid for a few calls. */
static const char *file(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void open_node(void (*configure)(alv_settings *settings))
{
    alv_settings settings = {.node_id = "node-1", .http_listen = "127.0.0.1:0"};
    if (configure != NULL)
        configure(&settings);
    alv_fake_group_init(&group);
    alv_api_node_open_with(&node, &settings, &group);
    alv_api_node_activate_all(&node);
    alv_api_node_put(&node, "7:42", ALV_VIEW("{\"a\":1}"), 1);
}

static void close_node(void)
{
    alv_api_node_close(&node);
    alv_fake_group_done(&group);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* What a client shows and trusts; NULL = nothing. */
typedef struct identity {
    const char *name; /* of its certificate */
    const char *ca;
    const char *header;
} identity;

/* The status of a request, 0 when there is no answer. */
static long ask(const char *method, const char *path, identity as)
{
    char *name = alv_format("%s.pem", as.name != NULL ? as.name : "none");
    char *key = alv_format("%s.key", as.name != NULL ? as.name : "none");
    const alv_http_identity shown = {.ca = as.ca != NULL ? file(as.ca) : NULL,
                                     .certificate = as.name != NULL ? file(name) : NULL,
                                     .key = file(key)};
    alv_http_result result =
        alv_http_call_as(&shown, method, alv_api_node_address(&node), path, as.header);
    long status = result.status;
    if (status >= 400) {
        assert_string_equal(result.content_type, "application/problem+json");
        assert_null(strstr(alv_http_result_text(&result, "detail"), TOKEN));
    }
    assert_true(status == 0 || result.is_nosniff);
    assert_true(status == 0 || strstr(result.policy, "default-src 'none'") != NULL);
    alv_http_result_done(&result);
    alv_free(name);
    alv_free(key);
    return status;
}

static long get(const char *path, const char *header)
{
    return ask("GET", path, (identity){.header = header});
}

/* ---- token ----------------------------------------------------------------------------------- */

static void with_token(alv_settings *settings)
{
    settings->http_auth_token = TOKEN;
}

static void token__is_asked_for_everywhere_but_for_health(void **state)
{
    (void)state;
    open_node(with_token);
    static const char *const paths[] = {ENTITY,          "/v1/shards",       "/v1/cluster",
                                        "/v1/peers",     "/v1/peers/stream", "/metrics",
                                        "/v1/entities/", "/nothing",         "/v1/shards/"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_int_equal(get(paths[i], NULL), 401);
    assert_int_equal(get("/healthz", NULL), 200);
    assert_int_equal(get("/readyz", NULL), 200);
    assert_int_equal(get(ENTITY, "Authorization: Bearer " TOKEN), 200);
    assert_int_equal(get(ENTITY, "authorization: bearer " TOKEN), 200);
    close_node();
}

static void token__a_wrong_one_is_refused(void **state)
{
    (void)state;
    open_node(with_token);
    static const char *const headers[] = {
        "Authorization: Bearer a-token-of-32-characters-exactlY",
        "Authorization: Bearer a-token-of-32-characters-exactl",
        "Authorization: Bearer " TOKEN "x",
        "Authorization: Bearer ",
        "Authorization: Bearer",
        "Authorization: Basic " TOKEN,
        "Authorization: " TOKEN,
        "X-Token: " TOKEN,
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        assert_int_equal(get(ENTITY, headers[i]), 401);
    close_node();
}

static void with_two_tokens(alv_settings *settings)
{
    settings->http_auth_token = TOKEN;
    settings->http_auth_token_also = "the-other-token-of-two-that-count";
}

static void token__each_of_two_is_let_in(void **state)
{
    (void)state;
    open_node(with_two_tokens);
    assert_int_equal(get(ENTITY, "Authorization: Bearer " TOKEN), 200);
    assert_int_equal(get(ENTITY, "Authorization: Bearer the-other-token-of-two-that-count"), 200);
    assert_int_equal(get(ENTITY, "Authorization: Bearer the-third-token-of-two-that-count"), 401);
    assert_int_equal(get(ENTITY, "Authorization: Bearer "), 401);
    assert_int_equal(get(ENTITY, NULL), 401);
    close_node();
}

static void token__401_says_what_is_asked_for(void **state)
{
    (void)state;
    open_node(with_token);
    alv_http_result result = alv_http_call(NULL, "GET", alv_api_node_address(&node), ENTITY, NULL);
    assert_int_equal(result.status, 401);
    assert_non_null(strstr(result.authenticate, "Bearer"));
    alv_http_result_done(&result);
    close_node();
}

/* ---- TLS and certificates -------------------------------------------------------------------- */

static void with_tls(alv_settings *settings)
{
    settings->http_tls_cert = alv_strdup(file("node.pem"));
    settings->http_tls_key = alv_strdup(file("node.key"));
}

static void with_mutual_tls(alv_settings *settings)
{
    with_tls(settings);
    settings->http_tls_client_ca = alv_strdup(file("ca.pem"));
}

static void close_tls_node(void)
{
    char *texts[] = {(char *)node.settings.http_tls_cert, (char *)node.settings.http_tls_key,
                     (char *)node.settings.http_tls_client_ca};
    close_node();
    for (size_t i = 0; i < 3; i++)
        alv_free(texts[i]);
}

static void tls__plain_requests_get_no_answer(void **state)
{
    (void)state;
    open_node(with_tls);
    assert_int_equal(ask("GET", ENTITY, (identity){.ca = "ca.pem"}), 200);
    assert_int_equal(ask("GET", ENTITY, (identity){.ca = "other-ca.pem"}), 0); /* not our CA */
    assert_int_equal(get(ENTITY, NULL), 0);
    close_tls_node();
}

static void tls__a_certificate_of_the_right_authority_is_needed(void **state)
{
    (void)state;
    open_node(with_mutual_tls);
    assert_int_equal(ask("GET", ENTITY, (identity){.ca = "ca.pem", .name = "client"}), 200);
    assert_int_equal(ask("GET", ENTITY, (identity){.ca = "ca.pem"}), 403);
    assert_int_equal(ask("GET", ENTITY, (identity){.ca = "ca.pem", .name = "stranger"}), 403);
    assert_int_equal(ask("GET", "/v1/shards", (identity){.ca = "ca.pem"}), 403);
    assert_int_equal(ask("GET", "/nothing", (identity){.ca = "ca.pem"}), 403);
    assert_int_equal(ask("GET", "/healthz", (identity){.ca = "ca.pem"}), 200);
    assert_int_equal(ask("GET", "/readyz", (identity){.ca = "ca.pem", .name = "stranger"}), 200);
    close_tls_node();
}

static void with_both(alv_settings *settings)
{
    with_mutual_tls(settings);
    with_token(settings);
}

static void tls__what_is_configured_is_asked_for_all_of_it(void **state)
{
    (void)state;
    const char *header = "Authorization: Bearer " TOKEN;
    open_node(with_both);
    assert_int_equal(ask("GET", ENTITY, (identity){"client", "ca.pem", header}), 200);
    assert_int_equal(ask("GET", ENTITY, (identity){"client", "ca.pem", NULL}), 401);
    assert_int_equal(ask("GET", ENTITY, (identity){NULL, "ca.pem", header}), 403);
    close_tls_node();
}

static void expect_refused(const char *certificate, const char *key, const char *ca,
                           const char *named)
{
    alv_settings settings = {.node_id = "node-1",
                             .http_listen = "127.0.0.1:0",
                             .http_tls_cert = certificate,
                             .http_tls_key = key,
                             .http_tls_client_ca = ca};
    alv_http_security security;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_http_security_load(&settings, &security, &err), ALV_REJECT);
    if (strstr(err.text, named) == NULL)
        fail_msg("\"%s\" is not in: %s", named, err.text);
    alv_http_security_done(&security);
}

static void tls__files_that_cannot_be_used_are_named(void **state)
{
    (void)state;
    expect_refused(file("none.pem"), file("node.key"), NULL, "http.tls.cert=");
    expect_refused(file("node.pem"), file("none.key"), NULL, "http.tls.key=");
    expect_refused(file("node.pem"), file("client.key"), NULL, "http.tls.key=");
    expect_refused(file("node.key"), file("node.key"), NULL, "http.tls.cert=");
    expect_refused(file("node.pem"), file("node.key"), file("none.pem"), "http.tls.client.ca=");
    expect_refused(file("node.pem"), file("node.key"), file("node.key"), "http.tls.client.ca=");
}

/* ---- web pages ------------------------------------------------------------------------------- */

static void page__a_foreign_name_is_refused_on_loopback(void **state)
{
    (void)state;
    open_node(NULL);
    assert_int_equal(get(ENTITY, "Host: evil.example:8090"), 403);
    assert_int_equal(get(ENTITY, "Host: evil.example"), 403);
    assert_int_equal(get("/healthz", "Host: evil.example"), 403);
    assert_int_equal(get(ENTITY, "Host: 127.0.0.1.evil.example"), 403);
    assert_int_equal(get(ENTITY, "Host: localhost:8090"), 200);
    assert_int_equal(get(ENTITY, "Host: 127.0.0.1"), 200);
    assert_int_equal(get(ENTITY, "Host: [::1]:8090"), 200);
    close_node();
}

static void page__another_origin_may_not_change_anything(void **state)
{
    (void)state;
    open_node(NULL);
    const char *path = ENTITY "/commands";
    char *own = alv_format("Origin: http://%s", alv_api_node_address(&node));
    assert_int_equal(ask("POST", path, (identity){.header = "Origin: http://evil.example"}), 403);
    assert_int_equal(ask("POST", path, (identity){.header = "Origin: null"}), 403);
    assert_int_equal(ask("POST", path, (identity){.header = "Origin: http://127.0.0.1:1"}), 403);
    assert_int_not_equal(ask("POST", path, (identity){.header = own}), 403);
    assert_int_equal(get(ENTITY, "Origin: http://evil.example"), 200); /* it cannot read this */
    alv_free(own);
    close_node();
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int make_certificates(void **state)
{
    (void)state;
    directory = alv_scratch_make();
    alv_certificates_make_ca(directory, "ca");
    alv_certificates_make_ca(directory, "other-ca");
    alv_certificates_make(directory, "ca", "node");
    alv_certificates_make(directory, "ca", "client");
    alv_certificates_make(directory, "other-ca", "stranger");
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    alv_scratch_remove(directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token__is_asked_for_everywhere_but_for_health),
        cmocka_unit_test(token__a_wrong_one_is_refused),
        cmocka_unit_test(token__each_of_two_is_let_in),
        cmocka_unit_test(token__401_says_what_is_asked_for),
        cmocka_unit_test(tls__plain_requests_get_no_answer),
        cmocka_unit_test(tls__a_certificate_of_the_right_authority_is_needed),
        cmocka_unit_test(tls__what_is_configured_is_asked_for_all_of_it),
        cmocka_unit_test(tls__files_that_cannot_be_used_are_named),
        cmocka_unit_test(page__a_foreign_name_is_refused_on_loopback),
        cmocka_unit_test(page__another_origin_may_not_change_anything),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
