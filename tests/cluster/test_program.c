/* Goal:   what ships is hardened as docs/security.md says, its list of libraries is complete, and its state is for its
 *         user alone.
 * Method: the program that was built, looked at with readelf; dev/sbom's document beside what the program needs;
 *         folders that others may write to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "tests/support/cluster.h"

#define TOOL_MS 240000

static struct {
    alv_cluster cluster;
    char *headers; /* what readelf says of the program */
    int tests_passed;
} fixture;

/* What a program prints; the caller frees it. */
static char *output_of(const char *const *argv)
{
    char *path = alv_cluster_path(&fixture.cluster, "output");
    (void)remove(path);
    if (alv_process_run(argv, (alv_process_files){.out = path, .err = "/dev/stderr"}, TOOL_MS) !=
        0) {
        fail_msg("%s failed", argv[0]);
    }
    alv_bytes text = ALV_BYTES_EMPTY;
    char buffer[65536];
    size_t size;
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while ((size = fread(buffer, 1, sizeof buffer, file)) > 0) {
        alv_bytes_append(&text, buffer, size);
    }
    (void)fclose(file);
    alv_bytes_append(&text, "", 1);
    alv_free(path);
    return text.data;
}

static char *readelf(const char *options, const char *more)
{
    const char *const argv[] = {"readelf", "-W", options, fixture.cluster.binary, more, NULL};
    return output_of(argv);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not there", part);
    }
}

/* Sanitizers bring run-time checks of their own, and are built without some of these. */
static bool is_sanitized(void)
{
    return strstr(fixture.headers, "libasan") != NULL || strstr(fixture.headers, "libtsan") != NULL;
}

/* ---- hardening -------------------------------------------------------------------------------- */

static void program__is_loaded_anywhere_and_its_tables_are_read_only(void **state)
{
    (void)state;
    assert_has(fixture.headers, "Type:                              DYN");
    assert_has(fixture.headers, "PIE");
    assert_has(fixture.headers, "BIND_NOW");
    assert_has(fixture.headers, "GNU_RELRO");
    assert_null(strstr(fixture.headers, "RPATH"));
    assert_null(strstr(fixture.headers, "RUNPATH"));
    fixture.tests_passed++;
}

static void program__has_no_memory_that_is_written_and_executed(void **state)
{
    (void)state;
    const char *stack = strstr(fixture.headers, "GNU_STACK");
    assert_non_null(stack);
    const char *flags = strstr(stack, " RW");
    assert_true(flags != NULL && flags < strchr(stack, '\n') && flags[3] != 'E');
    assert_null(strstr(fixture.headers, "RWE"));
    fixture.tests_passed++;
}

static void program__checks_its_stack_and_its_buffers(void **state)
{
    (void)state;
    if (!is_sanitized()) {
        char *symbols = readelf("--dyn-syms", NULL);
        assert_has(symbols, "__stack_chk_fail");
        assert_has(symbols, "printf_chk");
        alv_free(symbols);
    }
    fixture.tests_passed++;
}

/* gcc writes down how it was called; "C11" is what our own code is compiled as. clang writes nothing. */
static void program__is_compiled_with_every_flag(void **state)
{
    (void)state;
    char *info = readelf("--debug-dump=info", "--dwarf-depth=1");
    int count = 0;
    for (const char *at = info; (at = strstr(at, "GNU C11 ")) != NULL;) {
        char line[1024];
        size_t length = strcspn(at, "\n");
        (void)snprintf(line, sizeof line, "%.*s", (int)length, at);
        assert_has(line, "-fstack-protector-strong");
        assert_has(line, "-fstack-clash-protection");
#if defined(__x86_64__)
        assert_has(line, "-fcf-protection");
#endif
        count++;
        at += length;
    }
    alv_free(info);
#if !defined(__clang__)
    assert_true(count > 100);
#endif
    fixture.tests_passed++;
}

/* ---- the list of libraries -------------------------------------------------------------------- */

static const char *component_linked_as(json_t *component)
{
    json_t *property = json_array_get(json_object_get(component, "properties"), 0);
    return json_string_value(json_object_get(property, "value"));
}

static json_t *find_component(json_t *sbom, const char *library)
{
    size_t i;
    json_t *component;
    json_array_foreach(json_object_get(sbom, "components"), i, component)
    {
        if (strcmp(component_linked_as(component), library) == 0) {
            return component;
        }
    }
    return NULL;
}

static void assert_text(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || *text == '\0') {
        fail_msg("a component has no %s", name);
    }
}

static void assert_component_is_whole(json_t *component)
{
    assert_text(component, "name");
    assert_text(component, "version");
    assert_text(component, "purl");
    assert_text(json_object_get(component, "supplier"), "name");
    json_t *licence = json_array_get(json_object_get(component, "licenses"), 0);
    assert_text(json_object_get(licence, "license"), "name");
}

/* Each "(NEEDED) Shared library: [NAME]" of the program. */
static void assert_all_needed_are_listed(json_t *sbom)
{
    int count = 0;
    for (const char *at = fixture.headers; (at = strstr(at, "Shared library: [")) != NULL;) {
        at += strlen("Shared library: [");
        char name[128];
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "]"), at);
        if (find_component(sbom, name) == NULL) {
            fail_msg("%s is not in the list", name);
        }
        count++;
    }
    assert_true(count >= 6);
}

/* Whatever a component needs is a component. */
static void assert_dependencies_are_listed(json_t *sbom)
{
    json_t *known = json_object();
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(sbom, "components"), i, item)
    {
        json_object_set_new(known, json_string_value(json_object_get(item, "bom-ref")),
                            json_true());
    }
    json_array_foreach(json_object_get(sbom, "dependencies"), i, item)
    {
        size_t j;
        json_t *needed;
        json_array_foreach(json_object_get(item, "dependsOn"), j, needed)
        {
            if (json_object_get(known, json_string_value(needed)) == NULL) {
                fail_msg("%s is needed and not listed", json_string_value(needed));
            }
        }
    }
    json_decref(known);
}

static void sbom__lists_every_library_with_version_supplier_and_licence(void **state)
{
    (void)state;
    char *tool = alv_format("%s/dev/sbom", fixture.cluster.root);
    const char *const argv[] = {tool, fixture.cluster.binary, NULL};
    if (!is_sanitized()) { /* those libraries never ship */
        char *text = output_of(argv);
        json_t *sbom = json_loads(text, 0, NULL);
        assert_non_null(sbom);
        assert_string_equal(json_string_value(json_object_get(sbom, "bomFormat")), "CycloneDX");
        assert_string_equal(json_string_value(json_object_get(sbom, "specVersion")), "1.5");
        size_t i;
        json_t *component;
        json_array_foreach(json_object_get(sbom, "components"), i, component)
        {
            assert_component_is_whole(component);
        }
        assert_all_needed_are_listed(sbom);
        assert_dependencies_are_listed(sbom);
        json_decref(sbom);
        alv_free(text);
    }
    alv_free(tool);
    fixture.tests_passed++;
}

/* ---- state.dir -------------------------------------------------------------------------------- */

static alv_cluster_result start_in(const char *directory)
{
    char *setting = alv_format("state.dir=%s", directory);
    alv_cluster_result result =
        alv_cluster_run(&fixture.cluster, NULL,
                        (const char *const[]){"node", "-X", setting, "-X", "http.listen=none", "-X",
                                              "kafka.sasl.mechanism=none", "-X",
                                              "kafka.security.protocol=nothing", NULL});
    alv_free(setting);
    return result;
}

/* Everybody may not write there; a group may, which is said. The brokers' setting that is wrong ends it. */
static void state_dir__that_others_may_write_to_is_refused(void **state)
{
    (void)state;
    char *directory = alv_cluster_path(&fixture.cluster, "open-state");
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(chmod(directory, 0777), 0);
    alv_cluster_result result = start_in(directory);
    assert_int_equal(result.exit_status, 1);
    assert_has(result.err, "everybody on this host may write there: chmod o-w");
    alv_cluster_result_done(&result);
    assert_int_equal(chmod(directory, 0770), 0);
    result = start_in(directory);
    assert_int_equal(result.exit_status, 1);
    assert_has(result.err, "event=state-dir-open");
    assert_has(result.err, "kafka.s");
    alv_cluster_result_done(&result);
    alv_free(directory);
    fixture.tests_passed++;
}

/* Whatever umask the caller has; the start above has written lock, stamp and RocksDB's files. */
static void state_dir__is_for_its_user_alone(void **state)
{
    (void)state;
    char *directory = alv_cluster_path(&fixture.cluster, "state");
    alv_cluster_result result = start_in(directory);
    alv_cluster_result_done(&result);
    const char *const argv[] = {"find", directory, "-perm", "/077", NULL};
    char *open = output_of(argv);
    assert_string_equal(open, "");
    alv_free(open);
    const char *const all[] = {"find", directory, "-type", "f", NULL};
    char *files = output_of(all);
    assert_has(files, "lock");
    alv_free(files);
    alv_free(directory);
    fixture.cluster.passed = ++fixture.tests_passed == 7;
}

/* ---- fixture ---------------------------------------------------------------------------------- */

static int start_fixture(void **state)
{
    (void)state;
    (void)umask(0);
    alv_cluster_open_alone(&fixture.cluster, "program");
    fixture.headers = readelf("-hld", NULL);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    alv_cluster_close(&fixture.cluster);
    alv_free(fixture.headers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program__is_loaded_anywhere_and_its_tables_are_read_only),
        cmocka_unit_test(program__has_no_memory_that_is_written_and_executed),
        cmocka_unit_test(program__checks_its_stack_and_its_buffers),
        cmocka_unit_test(program__is_compiled_with_every_flag),
        cmocka_unit_test(sbom__lists_every_library_with_version_supplier_and_licence),
        cmocka_unit_test(state_dir__that_others_may_write_to_is_refused),
        cmocka_unit_test(state_dir__is_for_its_user_alone),
    };
    return cmocka_run_group_tests(tests, start_fixture, end_fixture);
}
