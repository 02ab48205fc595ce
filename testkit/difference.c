#include "testkit/difference.h"

#include <stdint.h>
#include <stdio.h>

#include "base/alloc.h"
#include "processor/text.h"

#define DIFFERENCE_VALUE_BYTES 200
#define DIFFERENCE_DEPTH_MAX 128 /* what is nested deeper is shown as a whole */

typedef struct difference {
    alv_bytes path;
    alv_bytes *out;
    size_t count;
} difference;

void alv_difference_show(const json_t *value, alv_bytes *out)
{
    if (value == NULL) {
        alv_bytes_append_text(out, "nothing");
        return;
    }
    size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_bytes_reserve(&text, size + 1);
    text.size = json_dumpb(value, text.data, size, JSON_COMPACT | JSON_ENCODE_ANY);
    char shown[DIFFERENCE_VALUE_BYTES];
    (void)alv_text_copy(alv_bytes_view(&text), shown, sizeof shown);
    alv_bytes_printf(out, "%s%s", shown, text.size < sizeof shown ? "" : "...");
    alv_bytes_done(&text);
}

static void difference_say(difference *at, const json_t *expected, const json_t *actual)
{
    if (at->count++ >= ALV_DIFFERENCES_MAX) {
        return;
    }
    alv_bytes_append_text(at->out, "\n    ");
    if (at->path.size > 0) {
        alv_bytes_append(at->out, at->path.data, at->path.size);
        alv_bytes_append_text(at->out, ": ");
    }
    alv_bytes_append_text(at->out, "expected ");
    alv_difference_show(expected, at->out);
    alv_bytes_append_text(at->out, ", is ");
    alv_difference_show(actual, at->out);
}

static void difference_walk(difference *at, const json_t *expected, const json_t *actual,
                            int depth);

/* NOLINTBEGIN(misc-no-recursion): at most DIFFERENCE_DEPTH_MAX deep */

/* One step down, and up again. */
static void difference_enter(difference *at, const char *step, const json_t *expected,
                             const json_t *actual, int depth)
{
    size_t size = at->path.size;
    alv_bytes_append_text(&at->path, step);
    difference_walk(at, expected, actual, depth + 1);
    at->path.size = size;
}

static void difference_member(difference *at, const char *name, const json_t *expected,
                              const json_t *actual, int depth)
{
    char *step = alv_format("%s%s", at->path.size > 0 ? "." : "", name);
    difference_enter(at, step, expected, actual, depth);
    alv_free(step);
}

static void difference_objects(difference *at, const json_t *expected, const json_t *actual,
                               int depth)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)expected, name, value)
    {
        difference_member(at, name, value, json_object_get(actual, name), depth);
    }
    json_object_foreach((json_t *)(uintptr_t)actual, name, value)
    {
        if (json_object_get(expected, name) == NULL) {
            difference_member(at, name, NULL, value, depth);
        }
    }
}

static void difference_arrays(difference *at, const json_t *expected, const json_t *actual,
                              int depth)
{
    size_t expected_count = json_array_size(expected);
    size_t actual_count = json_array_size(actual);
    for (size_t i = 0; i < expected_count || i < actual_count; i++) {
        char step[32];
        (void)snprintf(step, sizeof step, "[%zu]", i);
        difference_enter(at, step, json_array_get(expected, i), json_array_get(actual, i), depth);
    }
}

static void difference_walk(difference *at, const json_t *expected, const json_t *actual, int depth)
{
    if (expected == actual || json_equal(expected, actual)) {
        return;
    }
    if (json_is_object(expected) && json_is_object(actual) && depth < DIFFERENCE_DEPTH_MAX) {
        difference_objects(at, expected, actual, depth);
    } else if (json_is_array(expected) && json_is_array(actual) && depth < DIFFERENCE_DEPTH_MAX) {
        difference_arrays(at, expected, actual, depth);
    } else {
        difference_say(at, expected, actual);
    }
}

/* NOLINTEND(misc-no-recursion) */

bool alv_difference(const json_t *expected, const json_t *actual, alv_bytes *out)
{
    difference at = {.path = ALV_BYTES_EMPTY, .out = out};
    difference_walk(&at, expected, actual, 0);
    if (at.count > ALV_DIFFERENCES_MAX) {
        alv_bytes_printf(out, "\n    and %zu more", at.count - ALV_DIFFERENCES_MAX);
    }
    alv_bytes_done(&at.path);
    return at.count > 0;
}
