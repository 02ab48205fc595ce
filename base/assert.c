#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void alv_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    fprintf(stderr, "alluvium: %s:%d: %s: must hold: %s\n", file, line, function, condition);
    abort();
}
