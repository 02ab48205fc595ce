/* cart.h — what cart.c and its tests know of each other.
 *
 * Why:    the tests are part of the library, so that `alluvium behavior check` runs them where it is installed; a
 *         program of their own runs them while it is written.
 */
#ifndef CART_H
#define CART_H

#include <alluvium/behavior.h>

#define CART_TESTS 7

extern const alv_behavior cart_behavior;
extern const alv_test_case cart_tests[CART_TESTS];

#endif
