#include "tests/support/metrics_text.h"

#include <ctype.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was seen so far. */
typedef struct page_check {
    json_t *helps;  /* by family */
    json_t *types;  /* by family */
    json_t *ended;  /* families whose samples are over */
    json_t *series; /* every one */
    char family[128];
    double bucket; /* the last one of the series of buckets under way */
    bool is_last_infinite;
} page_check;

/* ---- pieces of a line ------------------------------------------------------------------------ */

static size_t name_size(const char *text)
{
    size_t size = 0;
    while (isalnum((unsigned char)text[size]) || text[size] == '_' || text[size] == ':')
        size++;
    return isdigit((unsigned char)*text) ? 0 : size;
}

/* The size of `{name="value",...}`, 0 when it is none. */
static size_t labels_size(const char *text)
{
    const char *at = text + 1;
    for (;;) {
        size_t size = name_size(at);
        if (size == 0 || at[size] != '=' || at[size + 1] != '"')
            return 0;
        for (at += size + 2; *at != '"'; at++) {
            if (*at == '\0' || *at == '\n')
                return 0;
            if (*at == '\\' && strchr("\\\"n", *++at) == NULL)
                return 0;
        }
        if (*++at == '}')
            return (size_t)(at + 1 - text);
        if (*at++ != ',')
            return 0;
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    return size > strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void check_comment(page_check *check, const char *line)
{
    char family[128];
    char word[16];
    int end = 0;
    if (sscanf(line, "# %15s %127s %n", word, family, &end) != 2 || line[end] == '\0')
        fail_msg("neither HELP nor TYPE: %s", line);
    if (name_size(family) != strlen(family))
        fail_msg("a bad name: %s", line);
    json_t *seen = strcmp(word, "HELP") == 0 ? check->helps : check->types;
    if (json_object_get(seen, family) != NULL)
        fail_msg("twice: %s", line);
    json_object_set_new(seen, family, json_string(line + end));
    if (seen == check->types) {
        bool is_counter = strcmp(line + end, "counter") == 0;
        if (is_counter != ends_with(family, "_total"))
            fail_msg("counters, and nothing else, end with _total: %s", line);
    }
}

/* A histogram's samples bear the family's name with one of three ends. */
static void family_of(const page_check *check, const char *name, char out[128])
{
    static const char *const ends[] = {"_bucket", "_sum", "_count"};
    (void)snprintf(out, 128, "%s", name);
    for (size_t i = 0; i < 3 && json_object_get(check->types, out) == NULL; i++) {
        if (ends_with(name, ends[i]))
            (void)snprintf(out, 128, "%.*s", (int)(strlen(name) - strlen(ends[i])), name);
    }
}

static void check_bucket(page_check *check, const char *line, const char *name, double value)
{
    if (ends_with(name, "_bucket")) {
        if (strstr(line, "le=\"0.0001\"") != NULL)
            check->bucket = 0; /* the first one */
        if (value < check->bucket)
            fail_msg("buckets must grow: %s", line);
        check->bucket = value;
        check->is_last_infinite = strstr(line, "le=\"+Inf\"") != NULL;
    } else if (ends_with(name, "_count")) {
        if (!check->is_last_infinite || value != check->bucket)
            fail_msg("the last bucket is not the count: %s", line);
    }
}

static void check_sample(page_check *check, const char *line)
{
    char name[128];
    char family[128];
    size_t size = name_size(line);
    if (size == 0 || size >= sizeof name)
        fail_msg("no name: %s", line);
    (void)snprintf(name, sizeof name, "%.*s", (int)size, line);
    size += line[size] == '{' ? labels_size(line + size) : 0;
    char *end = NULL;
    double value = line[size] == ' ' ? strtod(line + size + 1, &end) : 0;
    if (end == NULL || end == line + size + 1 || *end != '\0')
        fail_msg("labels or value are wrong: %s", line);
    json_t *series = json_stringn(line, size);
    if (json_object_get(check->series, json_string_value(series)) != NULL)
        fail_msg("a series twice: %s", line);
    json_object_set_new(check->series, json_string_value(series), json_true());
    json_decref(series);
    family_of(check, name, family);
    if (json_object_get(check->types, family) == NULL ||
        json_object_get(check->helps, family) == NULL)
        fail_msg("without HELP and TYPE: %s", line);
    if (strcmp(family, check->family) != 0) {
        if (json_object_get(check->ended, family) != NULL)
            fail_msg("samples of a family must stand together: %s", line);
        json_object_set_new(check->ended, check->family, json_true());
        (void)snprintf(check->family, sizeof check->family, "%s", family);
    }
    if (strcmp(json_string_value(json_object_get(check->types, family)), "histogram") == 0)
        check_bucket(check, line, name, value);
}

void alv_metrics_text_check(const char *text)
{
    page_check check = {.helps = json_object(),
                        .types = json_object(),
                        .ended = json_object(),
                        .series = json_object()};
    char *copy = strdup(text);
    char *rest = NULL;
    assert_true(ends_with(text, "\n"));
    for (const char *line = strtok_r(copy, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (*line == '#')
            check_comment(&check, line);
        else
            check_sample(&check, line);
    }
    free(copy);
    json_decref(check.helps);
    json_decref(check.types);
    json_decref(check.ended);
    json_decref(check.series);
}

/* ---- values ---------------------------------------------------------------------------------- */

bool alv_metrics_text_find(const char *text, const char *series, double *out)
{
    size_t size = strlen(series);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, series, size) == 0 && line[size] == ' ') {
            *out = strtod(line + size, NULL);
            return true;
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return false;
}

double alv_metrics_text_sum(const char *text, const char *name)
{
    double sum = 0;
    size_t size = strlen(name);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, name, size) == 0 && (line[size] == ' ' || line[size] == '{')) {
            const char *at = line + size + (line[size] == '{' ? labels_size(line + size) : 0);
            sum += strtod(at, NULL);
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return sum;
}
