/* Goal:   the list of rights is complete where it must be, and as short as it can be.
 * Method: the lists of all roles for one application, and the table in docs/security.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "topics/access.h"

static const alv_settings settings = {.application_id = "mall"};

static bool has(alv_access_role role, alv_access_kind kind, const char *name,
                alv_access_operation operation)
{
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(role, &settings, rights);
    for (size_t i = 0; i < count; i++) {
        if (rights[i].kind == kind && rights[i].operation == operation &&
            strcmp(rights[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void access__nodes_may_not_create_or_delete(void **state)
{
    (void)state;
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(ALV_ACCESS_NODE, &settings, rights);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(rights[i].operation, ALV_ACCESS_CREATE);
        assert_int_not_equal(rights[i].operation, ALV_ACCESS_DELETE);
    }
    assert_true(has(ALV_ACCESS_NODE, ALV_ACCESS_TOPIC, "mall.commands", ALV_ACCESS_READ));
    assert_true(has(ALV_ACCESS_NODE, ALV_ACCESS_GROUP, "mall", ALV_ACCESS_READ));
    assert_true(has(ALV_ACCESS_NODE, ALV_ACCESS_TRANSACTIONAL_ID, "mall-", ALV_ACCESS_WRITE));
}

/* An operator who could use any transactional id could fence lanes. */
static void access__operators_have_a_transactional_id_of_their_own(void **state)
{
    (void)state;
    assert_true(has(ALV_ACCESS_OPERATOR, ALV_ACCESS_TRANSACTIONAL_ID, "mall-alluvium-dead-letters-",
                    ALV_ACCESS_WRITE));
    assert_false(has(ALV_ACCESS_OPERATOR, ALV_ACCESS_TRANSACTIONAL_ID, "mall-", ALV_ACCESS_WRITE));
}

/* Whoever looks and repairs reads topics, without a group. */
static void access__operators_have_no_right_to_the_group(void **state)
{
    (void)state;
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(ALV_ACCESS_OPERATOR, &settings, rights);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(rights[i].kind, ALV_ACCESS_GROUP);
    }
}

static void access__senders_and_readers_write_and_read_no_more_than_their_topics(void **state)
{
    (void)state;
    alv_access rights[ALV_ACCESS_MAX];
    assert_int_equal(alv_access_list(ALV_ACCESS_SENDER, &settings, rights), 2);
    assert_true(has(ALV_ACCESS_SENDER, ALV_ACCESS_TOPIC, "mall.commands", ALV_ACCESS_WRITE));
    assert_int_equal(alv_access_list(ALV_ACCESS_READER, &settings, rights), 2);
    assert_true(has(ALV_ACCESS_READER, ALV_ACCESS_TOPIC, "mall.changelog", ALV_ACCESS_READ));
}

static void access__global_tables_are_read_by_nodes(void **state)
{
    (void)state;
    const alv_settings with_table = {.application_id = "mall",
                                     .global_tables = "prices=shop.prices"};
    alv_access rights[ALV_ACCESS_MAX];
    size_t count = alv_access_list(ALV_ACCESS_NODE, &with_table, rights);
    size_t on_it = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rights[i].name, "shop.prices") == 0) {
            assert_int_not_equal(rights[i].operation, ALV_ACCESS_WRITE);
            assert_int_equal(rights[i].topic, ALV_TOPIC_OF_TABLE(0));
            on_it++;
        }
    }
    assert_int_equal(on_it, 2);
}

/* Read, Write and Delete bring Describe; to grant it as well says nothing. */
static void access__nothing_is_listed_twice_or_implied(void **state)
{
    (void)state;
    for (int role = 0; role < ALV_ACCESS_ROLE_COUNT; role++) {
        alv_access rights[ALV_ACCESS_MAX];
        size_t count = alv_access_list((alv_access_role)role, &settings, rights);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; j < i; j++) {
                bool same =
                    rights[i].kind == rights[j].kind && strcmp(rights[i].name, rights[j].name) == 0;
                assert_false(same && rights[i].operation == rights[j].operation);
                assert_false(same && rights[i].operation == ALV_ACCESS_DESCRIBE &&
                             rights[j].operation <= ALV_ACCESS_WRITE);
            }
            assert_non_null(rights[i].purpose);
        }
    }
}

/* ---- documentation --------------------------------------------------------------------------- */

/* The rights on one resource as a row of the table; the number of them. */
static size_t describe_resource(alv_access_role role, const alv_access *rights, size_t count,
                                alv_bytes *out)
{
    size_t same = 0;
    alv_bytes_clear(out);
    alv_bytes_printf(out, "| %s | %s `%s%s` | ", alv_access_role_name(role),
                     alv_access_kind_name(rights->kind), rights->name,
                     rights->is_prefix ? "*" : "");
    for (; same < count && rights[same].kind == rights->kind &&
           strcmp(rights[same].name, rights->name) == 0;
         same++) {
        alv_bytes_printf(out, "%s%s", same == 0 ? "" : ", ",
                         alv_access_operation_name(rights[same].operation));
    }
    alv_bytes_append(out, " |\n", sizeof " |\n"); /* with the NUL */
    return same;
}

/* This program is build/tests/unit/access. */
static char *read_documentation(void)
{
    char path[4096];
    const char *root = getenv("ALLUVIUM_ROOT");
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(size > 0);
    path[size] = '\0';
    for (int level = 0; level < 4; level++)
        *strrchr(path, '/') = '\0';
    char *name = alv_format("%s/docs/security.md", root != NULL ? root : path);
    FILE *file = fopen(name, "re");
    assert_non_null(file);
    alv_bytes text = ALV_BYTES_EMPTY;
    char line[512];
    while (fgets(line, sizeof line, file) != NULL)
        alv_bytes_append_text(&text, line);
    (void)fclose(file);
    alv_free(name);
    alv_bytes_append(&text, "", 1);
    return text.data;
}

/* The table in docs/security.md says what the code says. */
static void access__is_documented(void **state)
{
    (void)state;
    const alv_settings documented = {.application_id = "A"};
    char *documentation = read_documentation();
    alv_bytes row = ALV_BYTES_EMPTY;
    for (int role = 0; role < ALV_ACCESS_ROLE_COUNT; role++) {
        alv_access rights[ALV_ACCESS_MAX];
        size_t count = alv_access_list((alv_access_role)role, &documented, rights);
        for (size_t i = 0; i < count;) {
            i += describe_resource((alv_access_role)role, &rights[i], count - i, &row);
            if (strstr(documentation, row.data) == NULL) {
                fail_msg("docs/security.md lacks this row: %s", row.data);
            }
        }
    }
    alv_bytes_done(&row);
    alv_free(documentation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access__is_documented),
        cmocka_unit_test(access__nodes_may_not_create_or_delete),
        cmocka_unit_test(access__operators_have_a_transactional_id_of_their_own),
        cmocka_unit_test(access__operators_have_no_right_to_the_group),
        cmocka_unit_test(access__senders_and_readers_write_and_read_no_more_than_their_topics),
        cmocka_unit_test(access__global_tables_are_read_by_nodes),
        cmocka_unit_test(access__nothing_is_listed_twice_or_implied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
