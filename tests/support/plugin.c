#include "tests/support/plugin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"

/* The program is <build>/tests/<suite>/<name>; `out` of PLUGIN_PATH_BYTES becomes <build>. */
#define PLUGIN_PATH_BYTES 4096
static void plugin_build_folder(char *out)
{
    ssize_t length = readlink("/proc/self/exe", out, PLUGIN_PATH_BYTES - 1);
    assert_true(length > 0);
    out[length] = '\0';
    for (int level = 0; level < 3; level++) {
        char *slash = strrchr(out, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
}

char *alv_plugin_path(const char *name)
{
    char build[PLUGIN_PATH_BYTES];
    plugin_build_folder(build);
    return alv_format("%s/tests/plugins/%s.so", build, name);
}

char *alv_plugin_build_folder(void)
{
    char build[PLUGIN_PATH_BYTES];
    plugin_build_folder(build);
    return alv_strdup(build);
}

char *alv_plugin_test_kit(void)
{
    char build[PLUGIN_PATH_BYTES];
    plugin_build_folder(build);
    return alv_format("%s/liballuvium-test.so", build);
}
