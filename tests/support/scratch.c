#include "tests/support/scratch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"

char *alv_scratch_make(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = alv_format("%s/alluvium-test-XXXXXX", parent == NULL ? "/tmp" : parent);
    assert_non_null(mkdtemp(path));
    return path;
}

static int scratch_remove_one(const char *path, const struct stat *status, int type,
                              struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void alv_scratch_remove(char *path)
{
    if (path == NULL)
        return;
    assert_int_equal(0, nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS));
    alv_free(path);
}
