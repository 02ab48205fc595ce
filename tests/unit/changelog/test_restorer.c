/* Goal:   a restore passes over what says nothing, keeps what it has when a read fails, and says where to go on.
 * Method: records by hand, applied to the memory store, which fails when it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"
#include "changelog/restorer.h"
#include "statestore/ledger.h"
#include "tests/support/faulty_store.h"
#include "topics/schema.h"

#define NOW_MS INT64_C(1700000000000)
#define DUE "{\"due\":7,\"timers\":[]}"

typedef struct fixture {
    alv_config *config;
    alv_faulty_store *faults;
    alv_store *store;
    alv_survey survey;
    alv_restore restore;
} fixture;

static void plan(fixture *f)
{
    assert_int_equal(alv_restorer_plan(f->store, alv_config_settings(f->config), 0, &f->survey,
                                       NOW_MS, &f->restore, NULL),
                     ALV_OK);
}

static int setup(void **state)
{
    static fixture f;
    f.config = alv_config_new();
    assert_int_equal(alv_config_set(f.config, "node.id=a", NULL), ALV_OK);
    assert_int_equal(alv_config_finish(f.config, NULL), ALV_OK);
    f.faults = alv_faulty_store_new(alv_store_memory_new());
    f.store = &f.faults->base;
    f.survey = (alv_survey){.committed = 4,
                            .changelog_end = 10,
                            .ledger_end = 10,
                            .commands_start = 0,
                            .commands_end = 20};
    plan(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    f->store->ops->close(f->store);
    alv_config_free(f->config);
    return 0;
}

static alv_record record_at(alv_topic topic, int64_t offset, alv_view key, alv_view value)
{
    return (alv_record){.topic = topic, .shard = 0, .offset = offset, .key = key, .value = value};
}

static alv_status apply(fixture *f, const alv_record *record)
{
    return alv_restorer_apply(&f->restore, f->store, record, 1, NOW_MS, NULL);
}

static void must_apply(fixture *f, alv_record record)
{
    assert_int_equal(apply(f, &record), ALV_OK);
}

static bool count(void *payload, alv_view key, alv_view value)
{
    (void)key;
    (void)value;
    ++*(int *)payload;
    return true;
}

static int count_entries(fixture *f, alv_store_kind kind)
{
    int entries = 0;
    assert_int_equal(
        f->store->ops->scan(f->store, 0, kind, ALV_VIEW(""), ALV_VIEW(""), count, &entries, NULL),
        ALV_OK);
    return entries;
}

static void restorer__passes_over_records_without_a_key(void **state)
{
    fixture *f = *state;
    must_apply(f, record_at(ALV_TOPIC_CHANGELOG, 0, ALV_VIEW_NONE, ALV_VIEW("{}")));
    must_apply(f, record_at(ALV_TOPIC_LEDGER, 3, ALV_VIEW_NONE, ALV_VIEW(DUE)));
    assert_int_equal(count_entries(f, ALV_STORE_STATE), 0);
    assert_int_equal(count_entries(f, ALV_STORE_LEDGER), 0);
    assert_int_equal(count_entries(f, ALV_STORE_TIMER), 0);
    assert_int_equal(f->restore.position.changelog, 1);
    assert_int_equal(f->restore.position.ledger, 4);
}

/* Somebody deleted it: the group's offset is what is left to go on by. */
static void restorer__a_position_that_was_deleted_says_nothing(void **state)
{
    fixture *f = *state;
    must_apply(f, record_at(ALV_TOPIC_LEDGER, 0, ALV_VIEW(ALV_POSITION_KEY), ALV_VIEW_NONE));
    assert_int_equal(f->restore.position.commands, 4);
    assert_int_equal(f->restore.position.ledger, 1);
    assert_int_equal(count_entries(f, ALV_STORE_LEDGER), 0);
}

/* Where the index has the entity so far must be read; what cannot be read now is not passed over. */
static void restorer__goes_on_where_it_was_after_a_read_that_failed(void **state)
{
    fixture *f = *state;
    static const alv_status statuses[] = {ALV_RETRY, ALV_REJECT};
    must_apply(f, record_at(ALV_TOPIC_LEDGER, 0, ALV_VIEW("m:1"), ALV_VIEW(DUE)));
    for (int64_t i = 0; i < 2; i++) {
        alv_record later =
            record_at(ALV_TOPIC_LEDGER, 1 + i, ALV_VIEW("m:1"),
                      i == 0 ? ALV_VIEW("{\"due\":9,\"timers\":[]}") : ALV_VIEW_NONE);
        alv_faulty_store_fail(f->faults, ALV_STORE_GET, 1, statuses[i]);
        assert_int_equal(apply(f, &later), statuses[i]);
        plan(f);
        assert_int_equal(f->restore.position.ledger, 1 + i);
        assert_int_equal(count_entries(f, ALV_STORE_TIMER), 1);
        must_apply(f, later);
        assert_int_equal(count_entries(f, ALV_STORE_TIMER), 1 - i); /* moved, then gone */
    }
    assert_int_equal(f->faults->wipes, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(restorer__passes_over_records_without_a_key),
        TEST(restorer__a_position_that_was_deleted_says_nothing),
        TEST(restorer__goes_on_where_it_was_after_a_read_that_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
