/* Goal:   a host that cannot be reached is tried by one at a time, at growing distances; one that is back
 *         is tried at once.
 * Method: time is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/http_hosts.h"
#include "api/http_limits.h"

#define HOST ALV_VIEW("10.0.0.1:8090")
#define OTHER ALV_VIEW("10.0.0.2:8090")

static void hosts__unknown_is_tried_at_once(void **state)
{
    (void)state;
    alv_http_hosts *hosts = alv_http_hosts_new();
    assert_int_equal(alv_http_hosts_wait_ms(hosts, HOST, 5), 0);
    assert_int_equal(alv_http_hosts_wait_ms(hosts, HOST, 5), 0);
    alv_http_hosts_free(hosts);
}

static void hosts__pause_grows_and_is_for_one_host(void **state)
{
    (void)state;
    alv_http_hosts *hosts = alv_http_hosts_new();
    int64_t now_ms = 1000;
    int64_t longest_ms = 0;
    alv_http_hosts_failed(hosts, HOST, now_ms);
    int64_t first_ms = alv_http_hosts_wait_ms(hosts, HOST, now_ms);
    assert_in_range(first_ms, ALV_BACKOFF_FIRST_MS / 2, ALV_BACKOFF_FIRST_MS);
    assert_int_equal(alv_http_hosts_wait_ms(hosts, OTHER, now_ms), 0);
    for (int i = 0; i < 12; i++) {
        now_ms += alv_http_hosts_wait_ms(hosts, HOST, now_ms);
        assert_int_equal(alv_http_hosts_wait_ms(hosts, HOST, now_ms), 0);
        alv_http_hosts_failed(hosts, HOST, now_ms);
        longest_ms = alv_http_hosts_wait_ms(hosts, HOST, now_ms);
    }
    assert_in_range(longest_ms, ALV_BACKOFF_MAX_MS / 2, ALV_BACKOFF_MAX_MS);
    alv_http_hosts_free(hosts);
}

/* A hundred requests are under way when the host dies: that is one failure, not a hundred. */
static void hosts__failures_together_count_once(void **state)
{
    (void)state;
    alv_http_hosts *hosts = alv_http_hosts_new();
    for (int i = 0; i < 100; i++)
        alv_http_hosts_failed(hosts, HOST, 1000);
    assert_in_range(alv_http_hosts_wait_ms(hosts, HOST, 1000), 1, ALV_BACKOFF_FIRST_MS);
    alv_http_hosts_free(hosts);
}

static void hosts__one_tries_and_the_others_wait(void **state)
{
    (void)state;
    alv_http_hosts *hosts = alv_http_hosts_new();
    alv_http_hosts_failed(hosts, HOST, 0);
    assert_int_equal(alv_http_hosts_wait_ms(hosts, HOST, 500), 0);
    assert_in_range(alv_http_hosts_wait_ms(hosts, HOST, 500), 1, ALV_HTTP_CONNECT_TIMEOUT_MS);
    alv_http_hosts_forget(hosts, HOST);
    assert_int_equal(alv_http_hosts_wait_ms(hosts, HOST, 500), 0);
    assert_int_equal(alv_http_hosts_wait_ms(hosts, HOST, 500), 0);
    alv_http_hosts_free(hosts);
}

static void hosts__many_do_not_grow(void **state)
{
    (void)state;
    alv_http_hosts *hosts = alv_http_hosts_new();
    for (int i = 0; i < 1000; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "10.0.0.1:%d", i);
        alv_http_hosts_failed(hosts, alv_view_of(address), 1000 + i);
    }
    assert_int_equal(alv_http_hosts_wait_ms(hosts, ALV_VIEW("10.0.0.1:3"), 2000), 0);
    assert_true(alv_http_hosts_wait_ms(hosts, ALV_VIEW("10.0.0.1:999"), 2000) > 0);
    alv_http_hosts_free(hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts__unknown_is_tried_at_once),
        cmocka_unit_test(hosts__pause_grows_and_is_for_one_host),
        cmocka_unit_test(hosts__failures_together_count_once),
        cmocka_unit_test(hosts__one_tries_and_the_others_wait),
        cmocka_unit_test(hosts__many_do_not_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
