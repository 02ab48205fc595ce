/* Goal:   a reader stops at open transactions, its positions reach the end of the log across control records, and
 *         an offset that is not there is said.
 * Method: each test makes an application of its own on the broker that ALLUVIUM_TEST_KAFKA names
 *         (host:port; tests/support/topic_app.h). Without that variable all is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/topic_app.h"

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static void reader__waits_behind_an_open_transaction(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_bytes seen = ALV_BYTES_EMPTY;
    alv_batch batch;
    int64_t start;
    int64_t end;
    alv_topic_app_new(&app);
    alv_producer *producer = alv_topic_app_producer(&app, 0);
    alv_reader *reader = alv_topic_app_reader(&app);
    alv_batch_init(&batch, 10);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_LEDGER, 0, "a", "open");
    assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK);
    assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_LEDGER, 0), 1);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_LEDGER, 0, 0, NULL), ALV_OK);
    /* The end is the high watermark, which the position must not reach yet. */
    assert_int_equal(reader->ops->range(reader, ALV_TOPIC_LEDGER, 0, &start, &end, NULL), ALV_OK);
    assert_int_equal(end, 1);
    /* Committed ends do not move while it is open. */
    alv_shard_offset ends[] = {{2, -1}, {0, -1}};
    assert_int_equal(
        reader->ops->ends(reader, ALV_TOPIC_LEDGER, ends, 2, ALV_TOPIC_APP_WAIT_MS, NULL), ALV_OK);
    assert_int_equal(ends[0].offset, 0);
    assert_int_equal(ends[1].offset, 0);
    for (int64_t until = now_ms() + 300; now_ms() < until;) {
        assert_int_equal(reader->ops->poll(reader, 50, &batch, NULL), ALV_OK);
        assert_int_equal(batch.count, 0);
        assert_int_equal(reader->ops->position(reader, ALV_TOPIC_LEDGER, 0), 0);
    }
    alv_topic_app_commit(producer);
    alv_topic_app_drain(reader, ALV_TOPIC_LEDGER, 0, &seen);
    assert_true(alv_view_equal(alv_bytes_view(&seen), ALV_VIEW("open;")));
    assert_int_equal(
        reader->ops->ends(reader, ALV_TOPIC_LEDGER, ends, 2, ALV_TOPIC_APP_WAIT_MS, NULL), ALV_OK);
    assert_int_equal(ends[0].offset, 0);
    assert_int_equal(ends[1].offset, 2); /* the record and its marker */
    alv_bytes_done(&seen);
    alv_batch_done(&batch);
    reader->ops->close(reader);
    producer->ops->close(producer);
    alv_topic_app_done(&app);
}

static void reader__can_be_sent_back_and_paused(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_batch batch;
    alv_topic_app_new(&app);
    alv_producer *producer = alv_topic_app_producer(&app, 0);
    alv_reader *reader = alv_topic_app_reader(&app);
    alv_topic_app_begin(producer);
    for (int i = 0; i < 1000; i++)
        alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 2, "k", "v");
    alv_topic_app_commit(producer);
    alv_batch_init(&batch, 7);
    int64_t next = 0;
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 2, 0, NULL), ALV_OK);
    for (int round = 0; round < 200 || next < 1000; round++) {
        assert_int_equal(reader->ops->poll(reader, 100, &batch, NULL), ALV_OK);
        for (size_t i = 0; i < batch.count; i++)
            assert_int_equal(batch.records[i].offset, next++);
        if (round % 20 == 5) {
            reader->ops->pause_all(reader, true);
            assert_int_equal(reader->ops->poll(reader, 1, &batch, NULL), ALV_OK);
            assert_int_equal(batch.count, 0);
            reader->ops->pause_all(reader, false);
        }
        if (round % 20 == 10 && round < 200) {
            next = round % 3 * 100; /* also forwards */
            assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 2, next, NULL),
                             ALV_OK);
            assert_int_equal(reader->ops->position(reader, ALV_TOPIC_CHANGELOG, 2), next);
        }
        assert_true(round < 5000);
    }
    reader->ops->unassign(reader, ALV_TOPIC_CHANGELOG, 2);
    assert_int_equal(reader->ops->poll(reader, 100, &batch, NULL), ALV_OK);
    assert_int_equal(batch.count, 0);
    reader->ops->close(reader);
    alv_batch_done(&batch);
    producer->ops->close(producer);
    alv_topic_app_done(&app);
}

static void reader__reports_an_offset_that_is_not_in_the_log(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    alv_status status = ALV_OK;
    alv_topic_app_new(&app);
    alv_reader *reader = alv_topic_app_reader(&app);
    alv_batch_init(&batch, 10);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 3, 1000, NULL), ALV_OK);
    for (int64_t deadline = now_ms() + ALV_TOPIC_APP_WAIT_MS;
         status == ALV_OK && now_ms() < deadline;)
        status = reader->ops->poll(reader, 100, &batch, &err);
    assert_int_equal(status, ALV_REJECT);
    assert_non_null(strstr(err.text, "changelog shard 3"));
    reader->ops->unassign(reader, ALV_TOPIC_CHANGELOG, 3);
    assert_int_equal(reader->ops->poll(reader, 100, &batch, NULL), ALV_OK);
    alv_batch_done(&batch);
    reader->ops->close(reader);
    alv_topic_app_done(&app);
}

int main(void)
{
    if (alv_topic_app_broker() == NULL) {
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader__waits_behind_an_open_transaction),
        cmocka_unit_test(reader__can_be_sent_back_and_paused),
        cmocka_unit_test(reader__reports_an_offset_that_is_not_in_the_log),
    };
    return cmocka_run_group_tests_name("kafka_reader", tests, NULL, NULL);
}
