#include "tests/support/openapi_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/json_schema.h"

const json_t *alv_openapi_operation(const json_t *description, const char *method,
                                    const char *pattern)
{
    char lower[16] = "";
    for (size_t i = 0; method[i] != '\0' && i < sizeof lower - 1; i++)
        lower[i] = (char)(method[i] | 0x20);
    const json_t *path = json_object_get(json_object_get(description, "paths"), pattern);
    return json_object_get(path, lower);
}

/* The description's response for a status: itself, or what it refers to. */
static const json_t *response_of(const json_t *description, const char *method, const char *pattern,
                                 long status)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%ld", status);
    const json_t *response = json_object_get(
        json_object_get(alv_openapi_operation(description, method, pattern), "responses"), number);
    const char *reference = json_string_value(json_object_get(response, "$ref"));
    return reference != NULL ? alv_json_schema_resolve(description, reference) : response;
}

void alv_openapi_check(const json_t *description, const alv_http_result *result, const char *method,
                       const char *pattern)
{
    char why[512];
    char type[64];
    const json_t *response = response_of(description, method, pattern, result->status);
    if (response == NULL)
        fail_msg("%s %s: status %ld is not described", method, pattern, result->status);
    (void)snprintf(type, sizeof type, "%.*s", (int)strcspn(result->content_type, ";"),
                   result->content_type);
    const json_t *content = json_object_get(json_object_get(response, "content"), type);
    if (content == NULL)
        fail_msg("%s %s: %ld with %s is not described", method, pattern, result->status, type);
    if (strstr(type, "json") != NULL &&
        !alv_json_schema_check(description, json_object_get(content, "schema"), result->json, why,
                               sizeof why))
        fail_msg("%s %s: the answer with %ld is not as described: %s\n%.*s", method, pattern,
                 result->status, why, (int)result->body.size, result->body.data);
}
