/* Goal:   a batch gives its records back exactly once, whatever the order of clear and done.
 * Method: a clear function that counts, in the place of a log's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "topics/record.h"

static void count_clear(alv_batch *batch)
{
    (*(int *)batch->handles)++;
}

static void fill(alv_batch *batch, int *counter)
{
    batch->handles = counter;
    batch->clear = count_clear;
    batch->records[0].offset = 7;
    batch->count = 1;
}

static void batch__is_empty_after_init(void **state)
{
    (void)state;
    alv_batch batch;
    alv_batch_init(&batch, 3);
    assert_int_equal(batch.count, 0);
    assert_int_equal(batch.capacity, 3);
    alv_batch_clear(&batch);
    alv_batch_done(&batch);
    alv_batch_done(&batch);
    alv_batch_done(NULL);
}

static void batch__is_given_back_once_and_can_be_filled_again(void **state)
{
    (void)state;
    int cleared = 0;
    alv_batch batch;
    alv_batch_init(&batch, 2);
    fill(&batch, &cleared);
    alv_batch_clear(&batch);
    alv_batch_clear(&batch);
    assert_int_equal(cleared, 1);
    assert_int_equal(batch.count, 0);
    fill(&batch, &cleared);
    alv_batch_done(&batch);
    assert_int_equal(cleared, 2);
    assert_null(batch.records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch__is_empty_after_init),
        cmocka_unit_test(batch__is_given_back_once_and_can_be_filled_again),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
