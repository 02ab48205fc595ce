/* Goal:   host:port is read as people write it, and loopback and wildcard addresses are told apart.
 * Method: a table of spellings, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"

static void parse__takes_names_and_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        bool loopback;
        bool wildcard;
    } cases[] = {
        {"127.0.0.1:8090", "127.0.0.1", 8090, true, false},
        {"127.9.8.7:1", "127.9.8.7", 1, true, false},
        {"LocalHost:0", "LocalHost", 0, true, false},
        {"[::1]:65535", "::1", 65535, true, false},
        {"0.0.0.0:80", "0.0.0.0", 80, false, true},
        {"[::]:80", "::", 80, false, true},
        {"10.0.0.1:80", "10.0.0.1", 80, false, false},
        {"[fe80::1]:80", "fe80::1", 80, false, false},
        {"node-1.example.org:8090", "node-1.example.org", 8090, false, false},
        {"localhost.example.org:1", "localhost.example.org", 1, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        alv_address address;
        assert_true(alv_address_parse(cases[i].text, &address));
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
        assert_int_equal(alv_address_is_loopback(&address), cases[i].loopback);
        assert_int_equal(alv_address_is_wildcard(&address), cases[i].wildcard);
    }
}

static void parse__refuses_everything_else(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",        "host",    ":8090",    "host:",      "host:65536",    "host:-1",    "host:+1",
        "host:1x", "host: 1", "::1:8090", "[::1]",      "[::1:8090",     "[]:1",       "[host]:1",
        "ho st:1", "a/b:1",   "a@b:1",    "http://h:1", "host:00001234", "[::1%lo]:1",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        alv_address address = {.port = 7};
        if (alv_address_parse(cases[i], &address))
            fail_msg("taken: %s", cases[i]);
        assert_int_equal(address.port, 7);
    }
}

static void parse__refuses_names_that_are_too_long(void **state)
{
    (void)state;
    char text[512];
    alv_address address;
    memset(text, 'a', sizeof text);
    (void)snprintf(text + ALV_ADDRESS_HOST_BYTES - 1, 8, ":1");
    assert_true(alv_address_parse(text, &address));
    text[ALV_ADDRESS_HOST_BYTES - 1] = 'a';
    (void)snprintf(text + ALV_ADDRESS_HOST_BYTES, 8, ":1");
    assert_false(alv_address_parse(text, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__takes_names_and_addresses),
        cmocka_unit_test(parse__refuses_everything_else),
        cmocka_unit_test(parse__refuses_names_that_are_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
