/* Goal:   a library is loaded whole or refused with what to do, before anything of it runs that should not.
 * Method: the shared objects of tests/plugins, some copied to places and given modes that must not be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "behaviors/builtin.h"
#include "processor/effects.h"
#include "processor/library.h"
#include "tests/support/plugin.h"
#include "tests/support/scratch.h"

static alv_registry *registry_with_builtin(void)
{
    alv_registry *registry = alv_registry_new();
    assert_int_equal(alv_builtin_register(registry, NULL), ALV_OK);
    return registry;
}

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    char buffer[65536];
    for (size_t size; (size = fread(buffer, 1, sizeof buffer, in)) > 0;) {
        assert_int_equal(fwrite(buffer, 1, size, out), size);
    }
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
}

/* `text` must be in the error, which must name the path. */
static void assert_refused(const char *path, const char *text)
{
    alv_registry *registry = registry_with_builtin();
    alv_library *library = NULL;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_library_load(path, registry, &library, &err), ALV_REJECT);
    assert_null(library);
    if (strstr(err.text, text) == NULL || strstr(err.text, path) == NULL) {
        fail_msg("expected \"%s\" of %s in: %s", text, path, err.text);
    }
    alv_registry_free(registry);
}

static void assert_plugin_refused(const char *name, const char *text)
{
    char *path = alv_plugin_path(name);
    assert_refused(path, text);
    alv_free(path);
}

static void library__nothing_is_loaded_when_none_is_named(void **state)
{
    (void)state;
    alv_registry *registry = registry_with_builtin();
    alv_library *library = NULL;
    assert_int_equal(alv_library_load(NULL, registry, &library, NULL), ALV_OK);
    assert_null(library);
    assert_int_equal(alv_library_load("", registry, &library, NULL), ALV_OK);
    assert_null(library);
    alv_registry_free(registry);
}

static void library__its_behaviors_answer(void **state)
{
    (void)state;
    char *path = alv_plugin_path("tally");
    alv_registry *registry = registry_with_builtin();
    alv_library *library = NULL;
    assert_int_equal(alv_library_load(path, registry, &library, NULL), ALV_OK);
    assert_string_equal(library->table.name, "tally");
    assert_string_equal(library->table.version, "1.2.3");

    size_t id_at = 0;
    const alv_behavior *tally = alv_registry_find(registry, ALV_VIEW("tally/7"), &id_at);
    assert_non_null(tally);
    assert_ptr_equal(alv_registry_at(registry, 2), tally);
    assert_string_equal(alv_registry_origin(registry, 2).library, path);
    assert_string_equal(alv_registry_origin(registry, 2).version, "1.2.3");
    assert_null(alv_registry_origin(registry, 0).library);
    assert_string_equal(alv_registry_origin(registry, 0).version, ALV_VERSION);

    /* Its handler calls this program's functions. */
    alv_effects *effects = alv_effects_new();
    alv_effects_begin(effects, true);
    json_t *body = json_pack("{s:s, s:i}", "type", "add", "by", 5);
    const alv_command command = {.name = "add", .key = "tally/7", .id = "7", .body = body};
    alv_registry_row(tally, "add")->handler(NULL, &command, 0, effects);
    assert_int_equal(json_integer_value(json_object_get(alv_effects_reply(effects), "count")), 5);
    json_decref(body);
    alv_effects_free(effects);
    alv_registry_free(registry);
    alv_library_close(library);
    alv_free(path);
}

static void library__what_is_wrong_is_told_with_the_next_step(void **state)
{
    (void)state;
    assert_refused("tally.so", "write its whole path");
    assert_refused("./tests/tally.so", "write its whole path");
    assert_refused("/nowhere/tally.so", "No such file or directory: build or install it");
    assert_refused("/tmp", "name the shared object itself");
    assert_plugin_refused("no_table", "exports no \"alluvium_library\": define that table");
    assert_plugin_refused("other_abi", "compile it again with the header of this version");
    assert_plugin_refused("empty_table", "names no behavior");
    assert_plugin_refused("headless", "does not begin with ALV_LIBRARY_HEAD");
    assert_plugin_refused("nameless", "lacks name or version, 1 to 64 bytes");
    assert_plugin_refused("absent_behavior", "behavior 2 of its table is NULL");
    assert_plugin_refused("nameless_command", "behavior \"idle\": command 2 has no name");
    assert_plugin_refused("idle_test", "test 2 of its table lacks name, behavior, key or run");
    assert_plugin_refused("absent_tests", "test 1 of its table lacks name, behavior, key or run");
    assert_plugin_refused("unresolved", "nobody_has_this");
    assert_plugin_refused("taken_type",
                          "two behaviors for type \"user\", the other built in: change the type");
}

static void library__one_that_is_named_twice_is_refused(void **state)
{
    (void)state;
    char *path = alv_plugin_path("tally");
    char *both = alv_format("%s,%s", path, path);
    char *text = alv_format("type \"tally\", the other %s: change", path);
    alv_registry *registry = registry_with_builtin();
    alv_library *library = NULL;
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_library_load(both, registry, &library, &err), ALV_REJECT);
    assert_non_null(strstr(err.text, text));
    alv_registry_free(registry);
    alv_free(text);
    alv_free(both);
    alv_free(path);
}

static void library__no_text_is_loaded_as_code(void **state)
{
    (void)state;
    char *folder = alv_scratch_make();
    char *path = alv_format("%s/text.so", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("no ELF", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_refused(path, "build it for this machine");
    alv_free(path);
    alv_scratch_remove(folder);
}

static void library__what_others_could_have_written_is_not_loaded(void **state)
{
    (void)state;
    char *plugin = alv_plugin_path("tally");
    char *root = alv_scratch_make();
    char *folder = alv_format("%s/lib", root);
    char *path = alv_format("%s/tally.so", folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    copy_file(plugin, path);

    assert_int_equal(chmod(path, 0646), 0);
    assert_refused(path, "every user may write to it: chmod o-w it");
    assert_int_equal(chmod(path, 0664), 0); /* the group's members are chosen */

    assert_int_equal(chmod(folder, 0777), 0);
    assert_refused(path, "every user may exchange files in ");
    assert_int_equal(chmod(folder, 01777), 0); /* as /tmp */

    char *link = alv_format("%s/link.so", root); /* the file counts, not the link to it */
    assert_int_equal(symlink(path, link), 0);
    alv_registry *registry = registry_with_builtin();
    alv_library *library = NULL;
    assert_int_equal(alv_library_load(link, registry, &library, NULL), ALV_OK);
    assert_string_equal(library->path, link);
    alv_registry_free(registry);
    alv_library_close(library);

    if (geteuid() == 0) { /* only root can give a file away */
        assert_int_equal(chown(path, 4711, 4711), 0);
        assert_refused(path, "belongs to user 4711");
    }
    alv_free(link);
    alv_free(path);
    alv_free(folder);
    alv_scratch_remove(root);
    alv_free(plugin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(library__nothing_is_loaded_when_none_is_named),
        cmocka_unit_test(library__its_behaviors_answer),
        cmocka_unit_test(library__what_is_wrong_is_told_with_the_next_step),
        cmocka_unit_test(library__one_that_is_named_twice_is_refused),
        cmocka_unit_test(library__no_text_is_loaded_as_code),
        cmocka_unit_test(library__what_others_could_have_written_is_not_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
