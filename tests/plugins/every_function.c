/* A library that refers to every function of the installed headers: it loads only where all of them are. */
#include <alluvium/behavior_test.h>

typedef void (*any_function)(void);

/* Read through `volatile`, so that no compiler leaves the references out. */
static const volatile any_function functions[] = {
    (any_function)alv_set,
    (any_function)alv_unset,
    (any_function)alv_replace,
    (any_function)alv_delete,
    (any_function)alv_reply,
    (any_function)alv_emit,
    (any_function)alv_timer_set,
    (any_function)alv_timer_cancel,
    (any_function)alv_publish,
    (any_function)alv_reject,
    (any_function)alv_fatal,
    (any_function)alv_table_get,
    (any_function)alv_timestamp_format,
    (any_function)alv_test_json,
    (any_function)alv_test_new,
    (any_function)alv_test_free,
    (any_function)alv_test_on_failure,
    (any_function)alv_test_run,
    (any_function)alv_test_given,
    (any_function)alv_test_given_row,
    (any_function)alv_test_given_version,
    (any_function)alv_test_at,
    (any_function)alv_test_when,
    (any_function)alv_test_when_from,
    (any_function)alv_test_run_timer_at,
    (any_function)alv_test_on_reply_at,
    (any_function)alv_test_on_refusal_at,
    (any_function)alv_test_expect_state_at,
    (any_function)alv_test_expect_reply_at,
    (any_function)alv_test_expect_rejected_at,
    (any_function)alv_test_expect_dead_letter_at,
    (any_function)alv_test_expect_emitted_at,
    (any_function)alv_test_expect_published_at,
    (any_function)alv_test_expect_timer_at,
    (any_function)alv_test_expect_no_timer_at,
    (any_function)alv_test_expect_deleted_at,
    (any_function)alv_test_expect_nothing_more_at,
    (any_function)alv_test_state,
    (any_function)alv_test_reply,
    (any_function)alv_test_now,
};

static bool any_accepts(const char *id)
{
    return id[0] != '\0' && functions[0] != NULL;
}

static const alv_behavior any = {ALV_BEHAVIOR_HEAD, .type = "any", .accepts = any_accepts};
static const alv_behavior *const behaviors[] = {&any};
const alv_behavior_library alluvium_library = {ALV_LIBRARY_HEAD, .name = "any", .version = "1",
                                               .behaviors = behaviors, .behavior_count = 1};
