#include "tests/support/random_json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define LETTERS_MAX 12
#define ITEMS_MAX 12

static int below(unsigned *seed, int limit)
{
    return rand_r(seed) % limit;
}

/* Mostly plain letters, so that plain texts are among what comes out. */
static json_t *random_text(unsigned *seed)
{
    static const char *const special[] = {
        "\"", "\\",   "/",    "\n",   "\t",       "\b",           "\f",
        "\r", "\x01", "\x1f", "\x7f", "\xc3\xa4", "\xed\x95\x9c", "\xf0\x9f\x98\x80",
    };
    char text[LETTERS_MAX * 4 + 1] = "";
    bool plain = below(seed, 3) != 0;
    for (int i = below(seed, LETTERS_MAX); i > 0; i--) {
        char letter[2] = {(char)('a' + below(seed, 26)), '\0'};
        size_t pick = (size_t)below(seed, (int)(sizeof special / sizeof special[0]));
        (void)strcat(text, plain || below(seed, 2) == 0 ? letter : special[pick]);
    }
    return json_string(text);
}

static json_t *random_integer(unsigned *seed)
{
    switch (below(seed, 6)) {
    case 0:
        return json_integer(INT64_MIN);
    case 1:
        return json_integer(INT64_MAX);
    case 2:
        return json_integer((int64_t)rand_r(seed) * rand_r(seed) - INT32_MAX);
    default:
        return json_integer(below(seed, 200) - 100);
    }
}

static json_t *random_array(unsigned *seed, int depth)
{
    json_t *array = json_array();
    for (int i = below(seed, ITEMS_MAX); i > 0; i--) {
        ALV_ASSERT(json_array_append_new(array, alv_random_json(seed, depth - 1)) == 0);
    }
    return array;
}

json_t *alv_random_json_object(unsigned *seed, int depth)
{
    json_t *object = json_object();
    for (int i = below(seed, ITEMS_MAX); i > 0; i--) {
        json_t *name = random_text(seed);
        json_t *value = alv_random_json(seed, depth - 1);
        ALV_ASSERT(json_object_set_new(object, json_string_value(name), value) == 0);
        json_decref(name);
    }
    return object;
}

json_t *alv_random_json(unsigned *seed, int depth)
{
    int kind = below(seed, depth > 0 ? 10 : 7);
    switch (kind) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(below(seed, 2));
    case 2:
        return below(seed, 4) == 0 ? json_real(rand_r(seed) / 1024.0) : random_integer(seed);
    case 3:
    case 4:
        return random_integer(seed);
    case 5:
    case 6:
        return random_text(seed);
    case 7:
        return random_array(seed, depth);
    default:
        return alv_random_json_object(seed, depth);
    }
}
