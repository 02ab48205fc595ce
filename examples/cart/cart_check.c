/* cart_check.c — runs the tests of the cart while it is written: `make check`. */
#include <alluvium/behavior_test.h>

#include "cart.h"

int main(void)
{
    return alv_test_run(cart_tests, CART_TESTS) > 0;
}
