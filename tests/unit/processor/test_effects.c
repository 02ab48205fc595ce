/* Goal:   effects take hold together, in order, or not at all, and never in a state that others
 *         see.
 * Method: ask for effects as a handler would, apply them, compare the JSON; count references.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "processor/effects.h"

static json_t *init_named(const char *key, const char *id)
{
    return json_pack("{s:s, s:s}", "key", key, "id", id);
}

static json_t *init_badly(const char *key, const char *id)
{
    (void)key;
    (void)id;
    return json_integer(7);
}

static json_t *init_not_at_all(const char *key, const char *id)
{
    (void)key;
    (void)id;
    return NULL;
}

static const alv_behavior plain = {ALV_BEHAVIOR_HEAD, .type = "plain"};
static const alv_behavior named = {ALV_BEHAVIOR_HEAD, .type = "named", .init = init_named};

static int setup(void **state)
{
    alv_effects *effects = alv_effects_new();
    alv_effects_begin(effects, true);
    *state = effects;
    return 0;
}

static int teardown(void **state)
{
    alv_effects_free(*state);
    return 0;
}

static json_t *parsed(const char *text)
{
    json_t *value = text == NULL ? NULL : json_loads(text, JSON_DECODE_ANY, NULL);
    assert_true(text == NULL || value != NULL);
    return value;
}

static void assert_json(const json_t *value, const char *expected)
{
    if (expected == NULL) {
        assert_null(value);
        return;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text); /* jansson's */
}

/* Applies to `before` (NULL = no entity) and compares. */
static void assert_applied(alv_effects *effects, const alv_behavior *behavior, const char *before,
                           const char *after)
{
    json_t *state = parsed(before);
    alv_effects_apply(effects, behavior, "t/1", "1", &state);
    assert_json(state, after);
    assert_true(state == NULL || state->refcount == 1);
    json_decref(state);
}

static void effects__set_keeps_the_order_of_members(void **state)
{
    alv_effects *effects = *state;
    alv_set(effects, "b", json_integer(9));
    alv_set(effects, "new", json_true());
    assert_true(alv_effects_changes(effects, true));
    assert_applied(effects, &plain, "{\"a\":1,\"b\":2,\"c\":3}",
                   "{\"a\":1,\"b\":9,\"c\":3,\"new\":true}");
}

static void effects__set_creates_the_entity_from_init(void **state)
{
    alv_effects *effects = *state;
    alv_set(effects, "a", json_integer(1));
    assert_true(alv_effects_changes(effects, false));
    assert_applied(effects, &named, NULL, "{\"key\":\"t/1\",\"id\":\"1\",\"a\":1}");

    const alv_behavior without[] = {
        plain, {.type = "x", .init = init_badly}, {.type = "x", .init = init_not_at_all}};
    for (size_t i = 0; i < 3; i++) {
        alv_effects_begin(effects, true);
        alv_set(effects, "a", json_integer(1));
        assert_applied(effects, &without[i], NULL, "{\"a\":1}");
    }
}

static void effects__unset_removes_one_member(void **state)
{
    alv_effects *effects = *state;
    alv_unset(effects, "a");
    alv_unset(effects, "absent");
    assert_true(alv_effects_changes(effects, true));
    assert_applied(effects, &plain, "{\"a\":1,\"b\":2}", "{\"b\":2}");

    alv_effects_begin(effects, true);
    alv_unset(effects, "a");
    assert_false(alv_effects_changes(effects, false));
    assert_applied(effects, &named, NULL, NULL);
}

static void effects__replace_takes_the_place_of_everything(void **state)
{
    alv_effects *effects = *state;
    alv_replace(effects, json_pack("{s:i}", "z", 1));
    assert_true(alv_effects_changes(effects, true));
    assert_true(alv_effects_changes(effects, false));
    assert_applied(effects, &plain, "{\"a\":1}", "{\"z\":1}");

    alv_effects_begin(effects, true);
    alv_replace(effects, json_object());
    assert_applied(effects, &named, NULL, "{}"); /* init is for members set one by one */
}

static void effects__delete_removes_what_is_there(void **state)
{
    alv_effects *effects = *state;
    alv_delete(effects);
    assert_true(alv_effects_changes(effects, true));
    assert_false(alv_effects_changes(effects, false));
    assert_applied(effects, &plain, "{\"a\":1}", NULL);

    alv_effects_begin(effects, true);
    alv_delete(effects);
    assert_applied(effects, &plain, NULL, NULL);
}

static void effects__hold_in_the_order_they_were_asked_for(void **state)
{
    alv_effects *effects = *state;
    alv_set(effects, "a", json_integer(1));
    alv_delete(effects);
    assert_true(alv_effects_changes(effects, true));
    assert_false(alv_effects_changes(effects, false)); /* made and deleted at once */
    alv_set(effects, "b", json_integer(2));
    assert_true(alv_effects_changes(effects, false));
    alv_set(effects, "b", json_integer(3));
    alv_unset(effects, "id");
    assert_applied(effects, &named, "{\"old\":1}", "{\"key\":\"t/1\",\"b\":3}");

    alv_effects_begin(effects, true);
    alv_set(effects, "a", json_integer(1));
    alv_replace(effects, json_pack("{s:i}", "z", 1));
    alv_set(effects, "y", json_integer(2));
    assert_applied(effects, &plain, "{\"old\":1}", "{\"z\":1,\"y\":2}");
}

static void effects__none_change_nothing(void **state)
{
    alv_effects *effects = *state;
    assert_false(alv_effects_changes(effects, true));
    assert_false(alv_effects_changes(effects, false));
    assert_null(alv_effects_rejection(effects));
    assert_null(alv_effects_reply(effects));
    assert_applied(effects, &named, "{\"a\":1}", "{\"a\":1}");
}

static void effects__copy_the_names(void **state)
{
    alv_effects *effects = *state;
    char name[32];
    for (int i = 0; i < 100; i++) { /* enough to make the buffer move */
        (void)snprintf(name, sizeof name, "member-%d", i);
        alv_set(effects, name, json_integer(i));
    }
    memset(name, 'x', sizeof name);
    json_t *object = json_object();
    alv_effects_apply(effects, &plain, "k", "k", &object);
    assert_int_equal(json_object_size(object), 100);
    assert_int_equal(json_integer_value(json_object_get(object, "member-0")), 0);
    assert_int_equal(json_integer_value(json_object_get(object, "member-99")), 99);
    json_decref(object);
}

static void effects__leave_a_shared_state_as_it_was(void **state)
{
    alv_effects *effects = *state;
    json_t *before = parsed("{\"a\":1,\"list\":[1]}");
    json_t *current = json_incref(before);
    alv_reply(effects, "{s:O}", "state", current);
    alv_set(effects, "list", json_array());
    alv_unset(effects, "a");
    alv_effects_apply(effects, &plain, "k", "k", &current);
    assert_json(current, "{\"list\":[]}");
    assert_json(before, "{\"a\":1,\"list\":[1]}");
    assert_json(alv_effects_reply(effects), "{\"state\":{\"a\":1,\"list\":[1]}}");
    alv_effects_begin(effects, true);
    assert_int_equal(before->refcount, 1);

    json_t *same = current; /* the only reference: no copy */
    alv_set(effects, "b", json_integer(1));
    alv_effects_apply(effects, &plain, "k", "k", &current);
    assert_ptr_equal(current, same);
    json_decref(current);
    json_decref(before);
}

static void effects__can_hold_the_state_itself(void **state)
{
    alv_effects *effects = *state;
    json_t *current = parsed("{\"a\":1}");
    alv_set(effects, "before", json_incref(current));
    alv_effects_apply(effects, &plain, "k", "k", &current);
    assert_json(current, "{\"a\":1,\"before\":{\"a\":1}}");
    json_decref(current);
}

static void effects__do_not_change_an_object_that_was_handed_in(void **state)
{
    alv_effects *effects = *state;
    json_t *body = parsed("{\"a\":1}");
    json_t *current = NULL;
    alv_replace(effects, json_incref(body));
    alv_set(effects, "b", json_integer(2));
    alv_effects_apply(effects, &plain, "k", "k", &current);
    assert_json(current, "{\"a\":1,\"b\":2}");
    assert_json(body, "{\"a\":1}");
    json_decref(body);
    json_decref(current);
}

/* ---- rejections ------------------------------------------------------------------------------ */

static void assert_rejected(alv_effects *effects, const char *text)
{
    assert_non_null(alv_effects_rejection(effects));
    assert_string_equal(alv_effects_rejection(effects), text);
    assert_false(alv_effects_changes(effects, true));
    assert_false(alv_effects_changes(effects, false));
    assert_string_equal(json_string_value(json_object_get(alv_effects_reply(effects), "error")),
                        text);
}

static void rejection__wins_over_everything_before_and_after(void **state)
{
    alv_effects *effects = *state;
    json_t *value = json_integer(123456);
    alv_set(effects, "a", json_incref(value));
    alv_delete(effects);
    alv_reply(effects, "{s:s}", "event", "done");
    alv_reject(effects, "no %s for %d", "room", 7);
    assert_int_equal(value->refcount, 1);
    alv_reject(effects, "another reason");
    alv_set(effects, "b", json_incref(value));
    alv_replace(effects, json_pack("{s:O}", "b", value));
    alv_unset(effects, "c");
    alv_reply(effects, "{s:O}", "b", value);
    assert_int_equal(value->refcount, 1);
    json_decref(value);
    assert_rejected(effects, "no room for 7");

    alv_effects_begin(effects, true);
    assert_null(alv_effects_rejection(effects));
    assert_null(alv_effects_reply(effects));
}

static void rejection__may_speak_of_values_that_were_set(void **state)
{
    alv_effects *effects = *state;
    json_t *name = json_string("a name of some length");
    alv_set(effects, "a", name);
    alv_reject(effects, "no place for %s", json_string_value(name));
    assert_rejected(effects, "no place for a name of some length");
}

static void rejection__is_one_bounded_line(void **state)
{
    alv_effects *effects = *state;
    alv_reject(effects, "a\nb\xff");
    assert_rejected(effects, "a b?");

    char longer[3000];
    for (size_t i = 0; i + 3 < sizeof longer; i += 3)
        memcpy(longer + i, "\xe2\x82\xac", 4);
    alv_effects_begin(effects, false);
    alv_reject(effects, "%s", longer);
    longer[498] = '\0';
    assert_rejected(effects, longer);
}

static void failure__counts_whatever_else_was_asked_for(void **state)
{
    alv_effects *effects = *state;
    alv_set(effects, "a", json_integer(1));
    alv_reject(effects, "no");
    alv_fatal(effects, "broken: %d", 5);
    alv_fatal(effects, "again");
    alv_set(effects, "b", json_integer(1));
    alv_reject(effects, "no");
    assert_string_equal(alv_effects_failure(effects), "broken: 5");
    assert_null(alv_effects_rejection(effects));
    assert_false(alv_effects_changes(effects, true));
    alv_effects_begin(effects, true);
    assert_null(alv_effects_failure(effects));
    alv_reject(effects, "no");
    assert_null(alv_effects_failure(effects));
}

static void rejection__follows_a_value_that_could_not_be_built(void **state)
{
    alv_effects *effects = *state;
    alv_set(effects, "a", json_string("\xff"));
    assert_rejected(effects, "could not build a value");
    alv_effects_begin(effects, true);
    alv_replace(effects, NULL);
    assert_rejected(effects, "could not build a value");
    alv_effects_begin(effects, true);
    alv_replace(effects, json_array());
    assert_rejected(effects, "could not build a value");
}

static void rejection__follows_a_name_that_json_has_not(void **state)
{
    alv_effects *effects = *state;
    char name[ALV_EFFECTS_FIELD_BYTES_MAX + 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    const char *names[] = {NULL, "\xff", name};
    for (size_t i = 0; i < 3; i++) {
        alv_effects_begin(effects, true);
        alv_set(effects, names[i], json_true());
        assert_rejected(effects, "the name of a member is not UTF-8 of at most 512 bytes");
        alv_effects_begin(effects, true);
        alv_unset(effects, names[i]);
        assert_rejected(effects, "the name of a member is not UTF-8 of at most 512 bytes");
    }
    name[ALV_EFFECTS_FIELD_BYTES_MAX] = '\0';
    alv_effects_begin(effects, true);
    alv_set(effects, name, json_true());
    alv_set(effects, "", json_true());
    assert_null(alv_effects_rejection(effects));
}

/* `depth` arrays (even levels) and objects (odd ones) in each other. */
static json_t *nested(int depth)
{
    json_t *value = json_integer(1);
    for (int i = 0; i < depth; i++)
        value =
            i % 2 == 0 ? json_pack("[i,o]", 0, value) : json_pack("{s:i,s:o}", "b", 0, "a", value);
    return value;
}

static void rejection__follows_values_that_are_nested_too_deep(void **state)
{
    alv_effects *effects = *state;
    alv_set(effects, "a", nested(ALV_EFFECTS_DEPTH_MAX));
    assert_null(alv_effects_rejection(effects));
    alv_set(effects, "a", nested(ALV_EFFECTS_DEPTH_MAX + 1));
    assert_rejected(effects, "a value is nested more than 128 deep");

    json_t *ring = json_array();
    json_t *inner = json_pack("[O]", ring);
    json_array_append(ring, inner);
    alv_effects_begin(effects, true);
    alv_set(effects, "a", json_incref(ring));
    assert_rejected(effects, "a value is nested more than 128 deep");
    json_array_clear(ring);
    json_decref(inner);
    json_decref(ring);
}

static void rejection__follows_too_many_effects(void **state)
{
    alv_effects *effects = *state;
    for (int i = 0; i < ALV_EFFECTS_MAX; i++)
        alv_set(effects, "a", json_true());
    assert_null(alv_effects_rejection(effects));
    alv_set(effects, "a", json_true());
    assert_rejected(effects, "more than 4096 effects");
}

/* ---- replies --------------------------------------------------------------------------------- */

static void reply__is_the_last_one(void **state)
{
    alv_effects *effects = *state;
    json_t *value = json_integer(123456);
    alv_reply(effects, "{s:O}", "a", value);
    alv_reply(effects, "{s:s, s:O?, s:O?}", "event", "done", "value", value, "none", NULL);
    assert_int_equal(value->refcount, 2);
    assert_json(alv_effects_reply(effects), "{\"event\":\"done\",\"value\":123456,\"none\":null}");
    alv_effects_begin(effects, true);
    assert_int_equal(value->refcount, 1);
    json_decref(value);
}

static void reply__is_not_built_when_nobody_waits(void **state)
{
    alv_effects *effects = *state;
    alv_effects_begin(effects, false);
    json_t *value = json_integer(123456);
    alv_reply(effects, "{s:O}", "a", value);
    assert_int_equal(value->refcount, 1);
    assert_null(alv_effects_reply(effects));
    json_decref(value);
}

static void reply__that_cannot_be_built_does_not_undo_the_effects(void **state)
{
    alv_effects *effects = *state;
    alv_set(effects, "a", json_integer(1));
    alv_reply(effects, "{s:s}", "a", "\xff");
    assert_null(alv_effects_rejection(effects));
    assert_json(alv_effects_reply(effects), "{\"note\":\"the reply could not be built\"}");
    assert_applied(effects, &plain, NULL, "{\"a\":1}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(effects__set_keeps_the_order_of_members),
        TEST(effects__set_creates_the_entity_from_init),
        TEST(effects__unset_removes_one_member),
        TEST(effects__replace_takes_the_place_of_everything),
        TEST(effects__delete_removes_what_is_there),
        TEST(effects__hold_in_the_order_they_were_asked_for),
        TEST(effects__none_change_nothing),
        TEST(effects__copy_the_names),
        TEST(effects__leave_a_shared_state_as_it_was),
        TEST(effects__can_hold_the_state_itself),
        TEST(effects__do_not_change_an_object_that_was_handed_in),
        TEST(rejection__wins_over_everything_before_and_after),
        TEST(rejection__may_speak_of_values_that_were_set),
        TEST(rejection__is_one_bounded_line),
        TEST(failure__counts_whatever_else_was_asked_for),
        TEST(rejection__follows_a_value_that_could_not_be_built),
        TEST(rejection__follows_a_name_that_json_has_not),
        TEST(rejection__follows_values_that_are_nested_too_deep),
        TEST(rejection__follows_too_many_effects),
        TEST(reply__is_the_last_one),
        TEST(reply__is_not_built_when_nobody_waits),
        TEST(reply__that_cannot_be_built_does_not_undo_the_effects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
