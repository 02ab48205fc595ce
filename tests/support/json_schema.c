#include "tests/support/json_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define DEPTH_MAX 64

/* One check under way. */
typedef struct schema_check {
    const json_t *document;
    char *why;
    size_t size;
    char path[512]; /* in the value */
    int depth;
} schema_check;

static bool schema_visit(schema_check *check, const json_t *schema, const json_t *value);

__attribute__((format(printf, 2, 3))) static bool schema_fail(schema_check *check,
                                                              const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)snprintf(check->why, check->size, "%s: %s", *check->path ? check->path : "/", text);
    return false;
}

/* ---- references ------------------------------------------------------------------------------ */

/* "~1" stands for "/", "~0" for "~". */
static void schema_unescape(char *token)
{
    char *to = token;
    for (const char *from = token; *from != '\0'; from++) {
        if (from[0] == '~' && (from[1] == '0' || from[1] == '1')) {
            *to++ = *++from == '1' ? '/' : '~';
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

const json_t *alv_json_schema_resolve(const json_t *document, const char *reference)
{
    char copy[256];
    char *rest = NULL;
    if (strncmp(reference, "#/", 2) != 0 || strlen(reference) >= sizeof copy)
        return NULL;
    (void)snprintf(copy, sizeof copy, "%s", reference + 2);
    const json_t *at = document;
    for (char *token = strtok_r(copy, "/", &rest); token != NULL && at != NULL;
         token = strtok_r(NULL, "/", &rest)) {
        schema_unescape(token);
        at = json_object_get(at, token);
    }
    return at;
}

/* ---- keywords -------------------------------------------------------------------------------- */

static bool is_type(const json_t *value, const char *type)
{
    return (strcmp(type, "object") == 0 && json_is_object(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
           (strcmp(type, "null") == 0 && json_is_null(value));
}

static bool check_type(schema_check *check, const json_t *rule, const json_t *value)
{
    if (json_is_string(rule))
        return is_type(value, json_string_value(rule)) ||
               schema_fail(check, "is not of type %s", json_string_value(rule));
    size_t i;
    const json_t *type;
    json_array_foreach(rule, i, type)
    {
        if (is_type(value, json_string_value(type)))
            return true;
    }
    return schema_fail(check, "is of none of the types allowed");
}

static bool check_enum(schema_check *check, const json_t *rule, const json_t *value)
{
    size_t i;
    const json_t *item;
    json_array_foreach(rule, i, item)
    {
        if (json_equal(item, value))
            return true;
    }
    return schema_fail(check, "is none of the values allowed");
}

static bool check_required(schema_check *check, const json_t *rule, const json_t *value)
{
    size_t i;
    const json_t *name;
    json_array_foreach(rule, i, name)
    {
        if (json_is_object(value) && json_object_get(value, json_string_value(name)) == NULL)
            return schema_fail(check, "lacks %s", json_string_value(name));
    }
    return true;
}

/* Appends to the path while a member or item is looked at. */
static bool visit_at(schema_check *check, const json_t *schema, const json_t *value,
                     const char *name)
{
    size_t length = strlen(check->path);
    (void)snprintf(check->path + length, sizeof check->path - length, "/%.60s", name);
    bool good = schema_visit(check, schema, value);
    check->path[length] = '\0';
    return good;
}

static bool check_properties(schema_check *check, const json_t *rule, const json_t *value)
{
    const char *name;
    json_t *schema;
    json_object_foreach((json_t *)rule, name, schema)
    {
        const json_t *member = json_object_get(value, name);
        if (member != NULL && !visit_at(check, schema, member, name))
            return false;
    }
    return true;
}

static bool check_additional(schema_check *check, const json_t *schema, const json_t *rule,
                             const json_t *value)
{
    const char *name;
    json_t *member;
    const json_t *known = json_object_get(schema, "properties");
    if (!json_is_boolean(rule))
        return schema_fail(check, "additionalProperties must be true or false here");
    json_object_foreach((json_t *)value, name, member)
    {
        if (json_is_false(rule) && json_object_get(known, name) == NULL)
            return schema_fail(check, "has %s, which is not described", name);
    }
    return true;
}

static bool check_items(schema_check *check, const json_t *rule, const json_t *value)
{
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        char number[24];
        (void)snprintf(number, sizeof number, "%zu", i);
        if (!visit_at(check, rule, item, number))
            return false;
    }
    return true;
}

static bool check_bound(schema_check *check, const char *keyword, const json_t *rule,
                        const json_t *value)
{
    double bound = json_number_value(rule);
    double number = json_number_value(value);
    if (!json_is_number(value))
        return true;
    bool good = strcmp(keyword, "minimum") == 0 ? number >= bound : number <= bound;
    return good || schema_fail(check, "%g is beyond the %s, %g", number, keyword, bound);
}

static bool check_length(schema_check *check, const char *keyword, const json_t *rule,
                         const json_t *value)
{
    json_int_t bound = json_integer_value(rule);
    json_int_t length = (json_int_t)json_string_length(value);
    if (!json_is_string(value))
        return true;
    bool good = strcmp(keyword, "minLength") == 0 ? length >= bound : length <= bound;
    return good || schema_fail(check, "its length is beyond %s", keyword);
}

static bool check_alternatives(schema_check *check, const json_t *rule, const json_t *value,
                               bool just_one)
{
    size_t i;
    size_t fitting = 0;
    const json_t *schema;
    json_array_foreach(rule, i, schema)
    {
        fitting += schema_visit(check, schema, value);
    }
    if (fitting == 0)
        return false; /* the last one has said why */
    return fitting == 1 || !just_one || schema_fail(check, "fits %zu of oneOf", fitting);
}

static bool check_reference(schema_check *check, const json_t *rule, const json_t *value)
{
    const json_t *schema = alv_json_schema_resolve(check->document, json_string_value(rule));
    return schema != NULL ? schema_visit(check, schema, value)
                          : schema_fail(check, "%s does not exist", json_string_value(rule));
}

static bool check_keyword(schema_check *check, const json_t *schema, const char *keyword,
                          const json_t *rule, const json_t *value)
{
    static const char *const annotations[] = {"description", "title", "examples", "default",
                                              "format"};
    for (size_t i = 0; i < sizeof annotations / sizeof annotations[0]; i++) {
        if (strcmp(annotations[i], keyword) == 0)
            return true;
    }
    if (strcmp(keyword, "type") == 0)
        return check_type(check, rule, value);
    if (strcmp(keyword, "const") == 0)
        return json_equal(rule, value) || schema_fail(check, "is not the one value allowed");
    if (strcmp(keyword, "enum") == 0)
        return check_enum(check, rule, value);
    if (strcmp(keyword, "required") == 0)
        return check_required(check, rule, value);
    if (strcmp(keyword, "properties") == 0)
        return check_properties(check, rule, value);
    if (strcmp(keyword, "additionalProperties") == 0)
        return check_additional(check, schema, rule, value);
    if (strcmp(keyword, "items") == 0)
        return check_items(check, rule, value);
    if (strcmp(keyword, "minimum") == 0 || strcmp(keyword, "maximum") == 0)
        return check_bound(check, keyword, rule, value);
    if (strcmp(keyword, "minLength") == 0 || strcmp(keyword, "maxLength") == 0)
        return check_length(check, keyword, rule, value);
    if (strcmp(keyword, "oneOf") == 0 || strcmp(keyword, "anyOf") == 0)
        return check_alternatives(check, rule, value, keyword[0] == 'o');
    if (strcmp(keyword, "$ref") == 0)
        return check_reference(check, rule, value);
    return schema_fail(check, "the keyword %s is not known to this check", keyword);
}

static bool schema_visit(schema_check *check, const json_t *schema, const json_t *value)
{
    const char *keyword;
    json_t *rule;
    if (json_is_true(schema))
        return true;
    if (!json_is_object(schema) || ++check->depth > DEPTH_MAX)
        return schema_fail(check, "there is no schema, or it is too deep");
    bool good = true;
    json_object_foreach((json_t *)schema, keyword, rule)
    {
        good = good && check_keyword(check, schema, keyword, rule, value);
    }
    check->depth--;
    return good;
}

bool alv_json_schema_check(const json_t *document, const json_t *schema, const json_t *value,
                           char *why, size_t size)
{
    schema_check check = {.document = document, .why = why, .size = size};
    why[0] = '\0';
    return schema_visit(&check, schema, value);
}
