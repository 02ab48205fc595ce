/* Goal:   the list of rights is complete where it must be, and as short as it can be.
 * Method: the lists of all roles for one application. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access__nodes_may_not_create_or_delete),
        cmocka_unit_test(access__operators_have_a_transactional_id_of_their_own),
        cmocka_unit_test(access__senders_and_readers_write_and_read_no_more_than_their_topics),
        cmocka_unit_test(access__global_tables_are_read_by_nodes),
        cmocka_unit_test(access__nothing_is_listed_twice_or_implied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
