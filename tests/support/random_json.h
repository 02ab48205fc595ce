/* random_json.h — JSON of every shape, from a seed, for tests that compare two ways to read or write it.
 *
 * Thread: one per seed.
 * Owns:   the value is a new reference.
 */
#ifndef ALV_TESTS_SUPPORT_RANDOM_JSON_H
#define ALV_TESTS_SUPPORT_RANDOM_JSON_H

#include <jansson.h>

/* A value nested at most `depth` deep: all types, strings with quotes, control characters and letters of one to
 * four bytes, the smallest and largest integers, fractions. */
json_t *alv_random_json(unsigned *seed, int depth);

/* The same, but an object. */
json_t *alv_random_json_object(unsigned *seed, int depth);

#endif
