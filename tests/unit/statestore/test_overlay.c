/* Goal:   what a transaction changed is written as it was last, once per entity, whenever it was encoded; what was
 *         put away comes back as it was, and leaves the cache when the transaction is committed.
 * Method: a cache and an overlay alone; the writes are compared as texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "statestore/codec.h"
#include "statestore/overlay.h"

/* So little that the second entity finds it nearly full. */
#define TIGHT_BYTES 1024

static alv_cache *cache;
static alv_overlay overlay;

static int begin(void **state)
{
    (void)state;
    cache = alv_cache_new(TIGHT_BYTES);
    alv_overlay_init(&overlay);
    return 0;
}

static int end(void **state)
{
    (void)state;
    alv_overlay_drop(&overlay, cache);
    alv_overlay_done(&overlay);
    alv_cache_free(cache);
    return 0;
}

static void set_value(alv_entity *entity, int value)
{
    json_decref(entity->state);
    entity->state = json_pack("{s:i}", "value", value);
}

/* As an executor does it: the entity has been read, and is used. */
static alv_entity *use(const char *key)
{
    alv_view view = {key, strlen(key)};
    alv_entity *entity = alv_cache_find(cache, view);
    if (entity == NULL) {
        entity = alv_cache_insert(cache, view, 0);
        alv_cache_set_cost(cache, entity, TIGHT_BYTES);
    }
    alv_cache_touch(cache, entity, 1);
    return entity;
}

static alv_entity *change(const char *key, int value)
{
    alv_entity *entity = use(key);
    set_value(entity, value);
    alv_overlay_note(&overlay, entity);
    return entity;
}

static void assert_write(size_t at, const char *key, const char *value)
{
    assert_true(at < overlay.write_count);
    const alv_store_write *write = &overlay.writes[at];
    assert_int_equal(write->kind, ALV_STORE_STATE);
    assert_int_equal(write->key.size, strlen(key));
    assert_memory_equal(write->key.data, key, write->key.size);
    assert_int_equal(write->value.size, value == NULL ? 0 : strlen(value));
    if (value == NULL)
        assert_null(write->value.data);
    else
        assert_memory_equal(write->value.data, value, write->value.size);
}

static void encode(void)
{
    assert_int_equal(alv_overlay_encode(&overlay, NULL), ALV_OK);
}

static void overlay__writes_what_was_changed_last(void **state)
{
    (void)state;
    (void)change("k/1", 1);
    (void)change("k/2", 2);
    (void)change("k/1", 3); /* after it was encoded */
    (void)change("k/1", 4);
    encode();
    assert_int_equal(overlay.write_count, 2);
    assert_write(0, "k/1", "{\"value\":4}");
    assert_write(1, "k/2", "{\"value\":2}");
}

static void overlay__writes_a_deletion(void **state)
{
    (void)state;
    alv_entity *entity = change("k/1", 1);
    json_decref(entity->state);
    entity->state = NULL;
    alv_overlay_note(&overlay, entity);
    encode();
    assert_int_equal(overlay.write_count, 1);
    assert_write(0, "k/1", NULL);
    alv_overlay_finish(&overlay, cache);
    assert_null(alv_cache_find(cache, ALV_VIEW("k/1")));
}

static void overlay__puts_a_state_away_and_gives_it_back(void **state)
{
    (void)state;
    alv_entity *entity = change("k/1", 7);
    assert_true(alv_cache_is_passing(cache, entity));
    assert_true(alv_overlay_put_away(&overlay, entity));
    assert_null(entity->state);
    (void)change("k/2", 2);

    assert_true(alv_codec_decode(alv_overlay_away(&overlay, entity), &entity->state, NULL) ==
                ALV_OK);
    entity->is_away = false;
    assert_int_equal(json_integer_value(json_object_get(entity->state, "value")), 7);
    (void)change("k/1", 8);
    assert_false(alv_overlay_put_away(&overlay, entity)); /* what is encoded is not true any more */
    assert_false(alv_cache_is_passing(cache, entity));
    encode();
    assert_write(0, "k/1", "{\"value\":8}");
    assert_write(1, "k/2", "{\"value\":2}");
    alv_overlay_finish(&overlay, cache);
    assert_ptr_equal(alv_cache_find(cache, ALV_VIEW("k/1")), entity);
}

static void overlay__lets_go_of_what_is_away_and_remembers_it(void **state)
{
    (void)state;
    alv_entity *entity = change("k/1", 1);
    assert_true(alv_overlay_put_away(&overlay, entity));
    encode();
    assert_write(0, "k/1", "{\"value\":1}");
    alv_overlay_finish(&overlay, cache);
    assert_null(alv_cache_find(cache, ALV_VIEW("k/1")));
    assert_int_equal(alv_cache_stats_get(cache).evictions, 1);

    entity = use("k/1");
    assert_int_equal(alv_cache_stats_get(cache).admissions, 1);
    assert_false(alv_cache_is_passing(cache, entity)); /* it came back: it stays */
}

static void overlay__has_nothing_to_put_away_but_changed_states(void **state)
{
    (void)state;
    assert_false(alv_overlay_put_away(&overlay, use("k/1")));
}

static void overlay__forgets_what_was_away_when_it_is_dropped(void **state)
{
    (void)state;
    assert_true(alv_overlay_put_away(&overlay, change("k/1", 1)));
    alv_overlay_drop(&overlay, cache);
    assert_null(alv_cache_find(cache, ALV_VIEW("k/1")));
    assert_int_equal(overlay.count, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(overlay__writes_what_was_changed_last, begin, end),
        cmocka_unit_test_setup_teardown(overlay__writes_a_deletion, begin, end),
        cmocka_unit_test_setup_teardown(overlay__puts_a_state_away_and_gives_it_back, begin, end),
        cmocka_unit_test_setup_teardown(overlay__lets_go_of_what_is_away_and_remembers_it, begin,
                                        end),
        cmocka_unit_test_setup_teardown(overlay__has_nothing_to_put_away_but_changed_states, begin,
                                        end),
        cmocka_unit_test_setup_teardown(overlay__forgets_what_was_away_when_it_is_dropped, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
