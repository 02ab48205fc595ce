#include "tests/support/plugin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"

#define PLUGIN_PATH_BYTES 4096

/* Cuts off the last part of the path; where it began. */
static char *plugin_cut(char *path)
{
    char *slash = strrchr(path, '/');
    assert_non_null(slash);
    *slash = '\0';
    return slash + 1;
}

/* The program is <build>/tests/<suite>/<name> or <build>/bench/<name>; `out` of PLUGIN_PATH_BYTES becomes
 * <build>. */
static void plugin_build_folder(char *out)
{
    ssize_t length = readlink("/proc/self/exe", out, PLUGIN_PATH_BYTES - 1);
    assert_true(length > 0);
    out[length] = '\0';
    (void)plugin_cut(out);
    if (strcmp(plugin_cut(out), "bench") != 0) {
        (void)plugin_cut(out);
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
