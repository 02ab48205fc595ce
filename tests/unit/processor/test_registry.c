/* Goal:   a behavior is either sound in every row or not taken, and keys find theirs.
 * Method: one good behavior, and copies of it with one thing wrong each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "processor/registry.h"

static void handle_nothing(const json_t *state, const alv_command *command, int64_t now_ms,
                           alv_effects *effects)
{
    (void)state;
    (void)command;
    (void)now_ms;
    (void)effects;
}

static const alv_command_row good_rows[] = {
    {"open", handle_nothing, {ALV_REQUIRED("name", ALV_FIELD_TEXT)}},
    {"close", handle_nothing, {ALV_OPTIONAL("why", ALV_FIELD_ARRAY)}},
};

static alv_behavior behavior_of(const char *type, const alv_command_row *rows, size_t count)
{
    return (alv_behavior){ALV_BEHAVIOR_HEAD, .type = type, .commands = rows,
                          .command_count = count};
}

static void assert_refused(const alv_behavior *behavior, const char *text)
{
    alv_registry *registry = alv_registry_new();
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_registry_add(registry, behavior, &err), ALV_REJECT);
    assert_string_equal(err.text, text);
    size_t id_at = 99;
    if (behavior->type != NULL) {
        char key[200];
        (void)snprintf(key, sizeof key, "%s/1", behavior->type);
        assert_null(alv_registry_find(registry, alv_view_of(key), &id_at));
        assert_int_equal(id_at, 99);
    }
    alv_registry_free(registry);
}

static void registry__finds_the_behavior_of_a_key(void **unused)
{
    (void)unused;
    alv_registry *registry = alv_registry_new();
    alv_behavior door = behavior_of("door", good_rows, 2);
    alv_behavior gate = behavior_of("gate", good_rows, 1);
    assert_int_equal(alv_registry_add(registry, &door, NULL), ALV_OK);
    assert_int_equal(alv_registry_add(registry, &gate, NULL), ALV_OK);

    size_t id_at = 99;
    assert_null(alv_registry_find(registry, ALV_VIEW("1"), &id_at)); /* no default yet */
    assert_true(alv_view_equal(alv_registry_type(registry, ALV_VIEW("1")), ALV_VIEW("")));
    assert_int_equal(alv_registry_set_default(registry, "gate", NULL), ALV_OK);

    static const struct {
        alv_view key;
        int behavior; /* 0 none, 1 door, 2 gate */
        size_t id_at;
        const char *type;
    } cases[] = {
        {{"door/1", 6}, 1, 5, "door"}, {{"gate/1", 6}, 2, 5, "gate"},
        {{"1", 1}, 2, 0, "gate"},      {{"door/a/b", 8}, 1, 5, "door"},
        {{"door/", 5}, 1, 5, "door"},  {{"/1", 2}, 0, 0, ""},
        {{"doo/1", 5}, 0, 0, "doo"},   {{"doors/1", 7}, 0, 0, "doors"},
        {{"", 0}, 2, 0, "gate"},       {{NULL, 0}, 2, 0, "gate"},
        {{"\xff/1", 3}, 0, 0, "\xff"}, {{"Door/1", 6}, 0, 0, "Door"},
    };
    const alv_behavior *expected[] = {NULL, &door, &gate};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        id_at = 99;
        assert_ptr_equal(alv_registry_find(registry, cases[i].key, &id_at),
                         expected[cases[i].behavior]);
        assert_int_equal(id_at, cases[i].behavior == 0 ? 99 : cases[i].id_at);
        assert_true(
            alv_view_equal(alv_registry_type(registry, cases[i].key), alv_view_of(cases[i].type)));
    }
    alv_registry_free(registry);
}

static void registry__finds_the_row_of_a_command(void **unused)
{
    (void)unused;
    alv_behavior door = behavior_of("door", good_rows, 2);
    assert_ptr_equal(alv_registry_row(&door, "open"), &good_rows[0]);
    assert_ptr_equal(alv_registry_row(&door, "close"), &good_rows[1]);
    assert_null(alv_registry_row(&door, "Open"));
    assert_null(alv_registry_row(&door, ""));
    door.command_count = 1;
    assert_null(alv_registry_row(&door, "close"));
}

static void registry__refuses_another_abi_before_it_looks_further(void **unused)
{
    (void)unused;
    alv_behavior other = behavior_of(NULL, NULL, 7);
    other.abi = ALV_BEHAVIOR_ABI + 1;
    assert_refused(&other, "a behavior was compiled against version 4 of behavior.h, this is 3: "
                           "compile it again with the header of this version");
}

/* What a library has that was compiled when the structs were shorter, or when they had more. */
typedef struct longer_row {
    alv_command_row row;
    void *later;
} longer_row;

typedef struct longer_behavior {
    alv_behavior behavior;
    void *later;
} longer_behavior;

static void registry__takes_structs_of_other_sizes(void **unused)
{
    (void)unused;
    longer_row rows[2] = {{.row = good_rows[0]}, {.row = good_rows[1]}};
    longer_behavior door = {.behavior = behavior_of("door", &rows[0].row, 2)};
    door.behavior.size = sizeof door;
    door.behavior.row_size = sizeof rows[0];
    alv_registry *registry = alv_registry_new();
    assert_int_equal(alv_registry_add(registry, &door.behavior, NULL), ALV_OK);
    size_t id_at;
    const alv_behavior *found = alv_registry_find(registry, ALV_VIEW("door/1"), &id_at);
    assert_string_equal(alv_registry_row(found, "close")->name, "close");
    assert_string_equal(alv_registry_row(found, "close")->fields[0].name, "why");
    alv_registry_free(registry);

    rows[1].later = &rows;
    assert_refused(&door.behavior, "a behavior uses parts of behavior.h that this version does not "
                                   "have: take a newer alluvium");
    rows[1].later = NULL;
    door.later = &rows;
    assert_refused(&door.behavior, "a behavior uses parts of behavior.h that this version does not "
                                   "have: take a newer alluvium");
    door.behavior.size = 8;
    assert_refused(&door.behavior, "a behavior does not begin with ALV_BEHAVIOR_HEAD");
}

static void registry__refuses_bad_types(void **unused)
{
    (void)unused;
    char long_type[ALV_NAME_BYTES_MAX + 2];
    memset(long_type, 'x', sizeof long_type);
    long_type[sizeof long_type - 1] = '\0';
    const char *types[] = {NULL, "", "a/b", "/", "\xff", long_type};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        alv_behavior bad = behavior_of(types[i], good_rows, 2);
        assert_refused(&bad, "a behavior has no type of 1 to 64 bytes without \"/\"");
    }
    alv_registry *registry = alv_registry_new();
    long_type[ALV_NAME_BYTES_MAX] = '\0';
    alv_behavior good = behavior_of(long_type, good_rows, 2);
    assert_int_equal(alv_registry_add(registry, &good, NULL), ALV_OK);
    alv_registry_free(registry);
}

static void registry__refuses_bad_rows(void **unused)
{
    (void)unused;
    alv_command_row rows[2] = {0};
    alv_behavior bad = behavior_of("door", rows, 2);

    memcpy(rows, good_rows, sizeof rows);
    rows[1].name = NULL;
    assert_refused(&bad, "behavior \"door\": command 2 has no name of 1 to 64 bytes");
    rows[1].name = "";
    assert_refused(&bad, "behavior \"door\": command 2 has no name of 1 to 64 bytes");
    rows[1].name = "open";
    assert_refused(&bad, "behavior \"door\" has command \"open\" twice");

    memcpy(rows, good_rows, sizeof rows);
    rows[0].handler = NULL;
    assert_refused(&bad, "behavior \"door\": command \"open\" has no handler");

    memcpy(rows, good_rows, sizeof rows);
    rows[0].fields[0].name = NULL;
    assert_refused(&bad,
                   "behavior \"door\", command \"open\": field 1 has no name of 1 to 64 bytes");

    memcpy(rows, good_rows, sizeof rows);
    int kind = 77;
    memcpy(&rows[0].fields[0].kind, &kind, sizeof kind);
    assert_refused(&bad, "behavior \"door\", command \"open\": field \"name\" is of no known kind");

    bad.commands = NULL;
    assert_refused(&bad, "behavior \"door\" has no table of commands");
}

static bool accepts_digits(const char *id)
{
    return id[0] >= '0' && id[0] <= '9';
}

static void registry__refuses_bad_singletons(void **unused)
{
    (void)unused;
    alv_singleton job = {.id = "7", .command = "open", .every_ms = 1000};
    alv_behavior door = behavior_of("door", good_rows, 2);
    door.accepts = accepts_digits;
    door.singletons = &job;
    door.singleton_count = 1;
    alv_registry *registry = alv_registry_new();
    assert_int_equal(alv_registry_add(registry, &door, NULL), ALV_OK);
    assert_ptr_equal(alv_registry_at(registry, 0), &door);
    assert_null(alv_registry_at(registry, 1));
    alv_registry_free(registry);

    job.id = NULL;
    assert_refused(&door, "behavior \"door\": the id of singleton 1 is no id");
    job.id = "x";
    assert_refused(&door, "behavior \"door\": the id of singleton 1 is no id");
    job.id = "7";
    job.command = "shut";
    assert_refused(&door, "behavior \"door\": the command of singleton \"7\" is unknown");
    job.command = "open";
    job.every_ms = 99;
    assert_refused(&door, "behavior \"door\": singleton \"7\" every 99 ms: say 100 ms to 366 days");
    job.every_ms = INT64_MAX;
    assert_refused(&door,
                   "behavior \"door\": singleton \"7\" every 9223372036854775807 ms: say 100 "
                   "ms to 366 days");
    door.singletons = NULL;
    assert_refused(&door, "behavior \"door\" has no table of singletons");
}

static void registry__wants_a_way_from_older_states(void **unused)
{
    (void)unused;
    alv_behavior door = behavior_of("door", good_rows, 2);
    assert_int_equal(alv_registry_state_version(&door), 1);
    door.state_version = 2;
    assert_int_equal(alv_registry_state_version(&door), 2);
    assert_refused(&door, "behavior \"door\" has states of version 2 and no function migrate for "
                          "older ones");
}

static void registry__refuses_a_bad_expiry(void **unused)
{
    (void)unused;
    static const int64_t bad[] = {-1, 1, 999, INT64_C(36525) * 86400000 + 1, INT64_MAX};
    alv_behavior door = behavior_of("door", good_rows, 2);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char expected[128];
        door.expire_after_ms = bad[i];
        (void)snprintf(expected, sizeof expected,
                       "behavior \"door\" expires after %lld ms: say 1000 ms to 100 years, or 0",
                       (long long)bad[i]);
        assert_refused(&door, expected);
    }
}

static void registry__takes_a_full_list_of_fields(void **unused)
{
    (void)unused;
    alv_command_row row = {.name = "open", .handler = handle_nothing};
    for (size_t i = 0; i < ALV_FIELDS_MAX; i++)
        row.fields[i] = (alv_field)ALV_REQUIRED("name", ALV_FIELD_TEXT);
    alv_behavior full = behavior_of("door", &row, 1);
    alv_registry *registry = alv_registry_new();
    assert_int_equal(alv_registry_add(registry, &full, NULL), ALV_OK);
    alv_registry_free(registry);
}

static void registry__refuses_a_second_behavior_of_a_type(void **unused)
{
    (void)unused;
    alv_registry *registry = alv_registry_new();
    alv_behavior first = behavior_of("door", good_rows, 2);
    alv_behavior second = behavior_of("door", good_rows, 1);
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_registry_add(registry, &first, &err), ALV_OK);
    assert_int_equal(alv_registry_add(registry, &second, &err), ALV_REJECT);
    assert_string_equal(err.text,
                        "there are two behaviors for type \"door\", the other built in: change "
                        "the type, or load one of them only");
    size_t id_at;
    assert_ptr_equal(alv_registry_find(registry, ALV_VIEW("door/1"), &id_at), &first);
    alv_registry_free(registry);
}

static void registry__is_bounded(void **unused)
{
    (void)unused;
    static char types[ALV_BEHAVIORS_MAX + 1][8];
    static alv_behavior behaviors[ALV_BEHAVIORS_MAX + 1];
    alv_registry *registry = alv_registry_new();
    alv_error err = ALV_ERROR_NONE;
    for (size_t i = 0; i <= ALV_BEHAVIORS_MAX; i++) {
        (void)snprintf(types[i], sizeof types[i], "t%zu", i);
        behaviors[i] = behavior_of(types[i], good_rows, 2);
        assert_int_equal(alv_registry_add(registry, &behaviors[i], &err),
                         i < ALV_BEHAVIORS_MAX ? ALV_OK : ALV_REJECT);
    }
    assert_string_equal(err.text, "behavior \"t64\" is one too many: at most 64 fit");
    alv_registry_free(registry);
}

static void registry__refuses_a_default_nobody_answers_for(void **unused)
{
    (void)unused;
    alv_registry *registry = alv_registry_new();
    alv_error err = ALV_ERROR_NONE;
    assert_int_equal(alv_registry_set_default(registry, "do\nor", &err), ALV_REJECT);
    assert_string_equal(err.text, "there is no behavior for type \"do or\"");
    alv_registry_free(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry__finds_the_behavior_of_a_key),
        cmocka_unit_test(registry__finds_the_row_of_a_command),
        cmocka_unit_test(registry__refuses_another_abi_before_it_looks_further),
        cmocka_unit_test(registry__takes_structs_of_other_sizes),
        cmocka_unit_test(registry__refuses_bad_types),
        cmocka_unit_test(registry__refuses_bad_rows),
        cmocka_unit_test(registry__refuses_bad_singletons),
        cmocka_unit_test(registry__wants_a_way_from_older_states),
        cmocka_unit_test(registry__refuses_a_bad_expiry),
        cmocka_unit_test(registry__takes_a_full_list_of_fields),
        cmocka_unit_test(registry__refuses_a_second_behavior_of_a_type),
        cmocka_unit_test(registry__is_bounded),
        cmocka_unit_test(registry__refuses_a_default_nobody_answers_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
