#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define ADDRESS_PORT_MAX 65535

static bool address_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool address_parse_port(const char *text, uint16_t *out_port)
{
    uint32_t port = 0;
    size_t digits = strlen(text);
    if (digits == 0 || digits > 5) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (!address_is_digit(*text)) {
            return false;
        }
        port = port * 10 + (uint32_t)(*text - '0');
    }
    if (port > ADDRESS_PORT_MAX) {
        return false;
    }
    *out_port = (uint16_t)port;
    return true;
}

static bool address_is_v6(const char *host)
{
    struct in6_addr ignored;
    return inet_pton(AF_INET6, host, &ignored) == 1;
}

/* Letters, digits, '.', '-' and '_': names and IPv4 addresses. */
static bool address_is_name(const char *host)
{
    for (const char *c = host; *c != '\0'; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!letter && !address_is_digit(*c) && strchr(".-_", *c) == NULL) {
            return false;
        }
    }
    return *host != '\0';
}

bool alv_address_parse(const char *text, alv_address *out)
{
    alv_address parsed = {0};
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !address_parse_port(colon + 1, &parsed.port)) {
        return false;
    }
    size_t size = (size_t)(colon - text);
    bool bracketed = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    if (bracketed) {
        text++;
        size -= 2;
    }
    if (size >= sizeof parsed.host) {
        return false;
    }
    memcpy(parsed.host, text, size);
    if (bracketed ? !address_is_v6(parsed.host) : !address_is_name(parsed.host)) {
        return false;
    }
    *out = parsed;
    return true;
}

bool alv_address_is_loopback(const alv_address *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address->host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, address->host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcasecmp(address->host, "localhost") == 0;
}

bool alv_address_is_wildcard(const alv_address *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address->host, &v4) == 1) {
        return v4.s_addr == htonl(INADDR_ANY);
    }
    if (inet_pton(AF_INET6, address->host, &v6) == 1) {
        return IN6_IS_ADDR_UNSPECIFIED(&v6);
    }
    return false;
}
