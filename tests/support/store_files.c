#include "tests/support/store_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"

char *alv_store_newest_table(const char *directory)
{
    char *folder = alv_format("%s/rocksdb", directory);
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    long newest = -1;
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing))
        if (strstr(entry->d_name, ".sst") != NULL && strtol(entry->d_name, NULL, 10) > newest)
            newest = strtol(entry->d_name, NULL, 10);
    assert_int_equal(0, closedir(listing));
    assert_true(newest >= 0);
    char *path = alv_format("%s/%06ld.sst", folder, newest);
    alv_free(folder);
    return path;
}
