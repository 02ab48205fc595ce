/* Goal:   what is aborted is never seen, what is committed is seen as it was written and where the producer says,
 *         and a second producer fences the first; a sender places records by key.
 * Method: each test makes an application of its own on the broker that ALLUVIUM_TEST_KAFKA names
 *         (host:port; tests/support/topic_app.h). Without that variable all is skipped. What a
 *         healthy broker does not do, time-outs and lost answers, is in test_kafka_faults.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/logger.h"
#include "tests/support/topic_app.h"
#include "topics/partitioner.h"

static int64_t now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static void transaction__is_seen_after_commit_and_never_after_abort(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_bytes seen = ALV_BYTES_EMPTY;
    alv_topic_app_new(&app);
    alv_producer *producer = alv_topic_app_producer(&app, 0);
    alv_reader *reader = alv_topic_app_reader(&app);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "one");
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 1, "b", "two");
    alv_topic_app_commit(producer);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "never");
    assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK); /* it is in the log */
    alv_topic_app_abort(producer);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "three");
    alv_topic_app_commit(producer);
    alv_topic_app_begin(producer);
    alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 1, "a", "never");
    assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK);
    alv_topic_app_abort(producer);

    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 1, 0, NULL), ALV_OK);
    alv_topic_app_drain(reader, ALV_TOPIC_CHANGELOG, 1, &seen);
    assert_true(alv_view_equal(alv_bytes_view(&seen), ALV_VIEW("one;two;three;")));
    /* 3 records, 2 aborted ones, 4 markers */
    assert_int_equal(reader->ops->position(reader, ALV_TOPIC_CHANGELOG, 1), 9);
    alv_bytes_done(&seen);
    reader->ops->close(reader);
    producer->ops->close(producer);
    alv_topic_app_done(&app);
}

static void records__keep_headers_keys_times_and_absence(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_batch batch;
    alv_error err = ALV_ERROR_NONE;
    alv_topic_app_new(&app);
    alv_producer *producer = alv_topic_app_producer(&app, 0);
    alv_reader *reader = alv_topic_app_reader(&app);
    const alv_header headers[] = {{"reply-to", {"somewhere", 9}},
                                  {"empty", {"", 0}},
                                  {"null", ALV_VIEW_NONE},
                                  {"bytes", {"a\0b", 3}}};
    const alv_produce full = {.topic = ALV_TOPIC_EVENTS,
                              .shard = 0,
                              .timestamp_ms = 1700000000123,
                              .key = ALV_VIEW("k\0y"),
                              .value = ALV_VIEW("value"),
                              .headers = headers,
                              .header_count = 4};
    alv_topic_app_begin(producer);
    assert_int_equal(producer->ops->produce(producer, &full, &err), ALV_OK);
    alv_topic_app_produce(producer, ALV_TOPIC_EVENTS, 0, "gone", NULL);
    alv_topic_app_produce(producer, ALV_TOPIC_EVENTS, 0, NULL, "");
    alv_topic_app_commit(producer);

    alv_batch_init(&batch, 10);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_EVENTS, 0, 0, NULL), ALV_OK);
    alv_record records[3];
    for (int64_t deadline = now_ms() + ALV_TOPIC_APP_WAIT_MS;
         batch.count < 3 && now_ms() < deadline;)
        assert_int_equal(reader->ops->poll(reader, 200, &batch, NULL), ALV_OK);
    assert_int_equal(batch.count, 3);
    memcpy(records, batch.records, sizeof(records));
    assert_true(alv_view_equal(records[0].key, full.key));
    assert_true(alv_view_equal(records[0].value, full.value));
    assert_int_equal(records[0].timestamp_ms, 1700000000123);
    assert_true(alv_view_equal(records[1].key, ALV_VIEW("gone")));
    assert_null(records[1].value.data);
    assert_null(records[2].key.data);
    assert_non_null(records[2].value.data);
    assert_int_equal(records[2].value.size, 0);

    alv_header found[8];
    assert_int_equal(app.log->ops->headers(&records[0], found, 8), 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(found[i].name, headers[i].name);
        assert_true(alv_view_equal(found[i].value, headers[i].value));
    }
    assert_int_equal(app.log->ops->headers(&records[0], found, 2), 4);
    assert_int_equal(app.log->ops->headers(&records[1], found, 8), 0);
    reader->ops->close(reader); /* empties the batch that is still held */
    assert_int_equal(batch.count, 0);
    alv_batch_done(&batch);
    producer->ops->close(producer);
    alv_topic_app_done(&app);
}

static void producer__refuses_only_what_can_never_be_written(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_bytes seen = ALV_BYTES_EMPTY;
    alv_topic_app_new(&app);
    alv_producer *producer = alv_topic_app_producer(&app, 0);
    alv_reader *reader = alv_topic_app_reader(&app);
    char *value = alv_alloc(2000000);
    memset(value, 'x', 2000000);
    alv_produce record = {.topic = ALV_TOPIC_CHANGELOG, .key = ALV_VIEW("k")};
    record.value = (alv_view){value, 2000000};
    alv_topic_app_begin(producer);
    assert_int_equal(producer->ops->produce(producer, &record, NULL), ALV_REJECT);
    record.value.size = 1000 * 1000; /* ALV_STATE_BYTES_MAX */
    assert_int_equal(producer->ops->produce(producer, &record, NULL), ALV_OK);
    alv_topic_app_commit(producer);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 0, 0, NULL), ALV_OK);
    alv_topic_app_drain(reader, ALV_TOPIC_CHANGELOG, 0, &seen);
    assert_int_equal(seen.size, 1000 * 1000 + 1);
    alv_free(value);
    alv_bytes_done(&seen);
    reader->ops->close(reader);
    producer->ops->close(producer);
    alv_topic_app_done(&app);
}

static void producer__knows_where_it_wrote(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_topic_app_new(&app);
    alv_producer *producer = alv_topic_app_producer(&app, 0);
    for (int64_t round = 0; round < 3; round++) {
        alv_topic_app_begin(producer);
        for (int32_t shard = 0; shard < ALV_TOPIC_APP_SHARDS; shard++)
            assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_CHANGELOG, shard),
                             ALV_OFFSET_NONE);
        for (int i = 0; i < 10; i++)
            alv_topic_app_produce(producer, ALV_TOPIC_CHANGELOG, 3, "k", "v");
        assert_int_equal(producer->ops->flush(producer, NULL), ALV_OK);
        assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_CHANGELOG, 3),
                         round * 11 + 10);
        assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_LEDGER, 3),
                         ALV_OFFSET_NONE);
        alv_topic_app_commit(producer);
        assert_int_equal(producer->ops->written_end(producer, ALV_TOPIC_CHANGELOG, 3),
                         round * 11 + 10);
    }
    producer->ops->close(producer);
    alv_topic_app_done(&app);
}

static void producer__is_fenced_by_another_of_the_same_name(void **state)
{
    (void)state;
    alv_topic_app app;
    alv_error err = ALV_ERROR_NONE;
    alv_bytes seen = ALV_BYTES_EMPTY;
    alv_topic_app_new(&app);
    alv_producer *zombie = alv_topic_app_producer(&app, 0);
    alv_topic_app_begin(zombie);
    alv_topic_app_produce(zombie, ALV_TOPIC_CHANGELOG, 0, "k", "zombie");
    assert_int_equal(zombie->ops->flush(zombie, NULL), ALV_OK);
    alv_producer *owner = alv_topic_app_producer(&app, 0); /* aborts what the zombie left open */
    assert_int_equal(zombie->ops->commit(zombie, NULL, NULL, 0, "n1-0", &err), ALV_COMMIT_UNKNOWN);
    assert_int_equal(err.status, ALV_RETRY);
    assert_true(zombie->ops->tainted(zombie));
    assert_int_equal(zombie->ops->begin(zombie, NULL), ALV_FENCED);

    alv_topic_app_begin(owner);
    alv_topic_app_produce(owner, ALV_TOPIC_CHANGELOG, 0, "k", "owner");
    alv_topic_app_commit(owner);
    alv_topic_app_begin(owner);
    alv_topic_app_produce(owner, ALV_TOPIC_CHANGELOG, 0, "k", "owner, aborted by the renewal");
    assert_int_equal(owner->ops->flush(owner, NULL), ALV_OK);
    assert_int_equal(zombie->ops->renew(zombie, NULL), ALV_OK);
    assert_false(zombie->ops->tainted(zombie));
    alv_topic_app_begin(zombie);
    alv_topic_app_produce(zombie, ALV_TOPIC_CHANGELOG, 0, "k", "renewed");
    alv_topic_app_commit(zombie);
    err = ALV_ERROR_NONE;
    alv_topic_app_produce(owner, ALV_TOPIC_CHANGELOG, 1, "k", "late");
    assert_int_equal(owner->ops->flush(owner, &err), ALV_FENCED);

    alv_reader *reader = alv_topic_app_reader(&app);
    assert_int_equal(reader->ops->assign(reader, ALV_TOPIC_CHANGELOG, 0, 0, NULL), ALV_OK);
    alv_topic_app_drain(reader, ALV_TOPIC_CHANGELOG, 0, &seen);
    assert_true(alv_view_equal(alv_bytes_view(&seen), ALV_VIEW("owner;renewed;")));
    alv_bytes_done(&seen);
    reader->ops->close(reader);
    owner->ops->close(owner);
    zombie->ops->close(zombie);
    alv_topic_app_done(&app);
}

/* ---- sender ---------------------------------------------------------------------------------- */

typedef struct test_receipt {
    int calls;
    alv_status status;
    int32_t shard;
    int64_t offset;
} test_receipt;

static void note_receipt(void *payload, alv_status status, int32_t shard, int64_t offset,
                         const char *error_text)
{
    (void)error_text;
    test_receipt *receipt = payload;
    receipt->calls++;
    receipt->status = status;
    receipt->shard = shard;
    receipt->offset = offset;
}

static void sender__places_by_key_and_reports_each_record(void **state)
{
    (void)state;
    enum {
        KEYS = 50
    };
    alv_topic_app app;
    alv_sender *sender = NULL;
    test_receipt receipts[KEYS] = {{0}};
    alv_error err = ALV_ERROR_NONE;
    alv_topic_app_new(&app);
    assert_int_equal(app.log->ops->open_sender(app.log, "sender", &sender, NULL), ALV_OK);
    char keys[KEYS][32];
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "user/%d", i);
        const alv_produce record = {.topic = ALV_TOPIC_COMMANDS,
                                    .shard = -1,
                                    .key = alv_view_of(keys[i]),
                                    .value = ALV_VIEW("{}")};
        if (sender->ops->send(sender, &record, note_receipt, &receipts[i], &err) != ALV_OK)
            fail_msg("send: %s", err.text);
    }
    assert_int_equal(sender->ops->flush(sender, ALV_TOPIC_APP_WAIT_MS, &err), ALV_OK);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(receipts[i].calls, 1);
        assert_int_equal(receipts[i].status, ALV_OK);
        assert_int_equal(receipts[i].shard,
                         alv_partitioner_shard(alv_view_of(keys[i]), ALV_TOPIC_APP_SHARDS));
        assert_true(receipts[i].offset >= 0);
    }
    char *huge = alv_alloc(2000000);
    const alv_produce record = {.topic = ALV_TOPIC_COMMANDS, .shard = 0, .value = {huge, 2000000}};
    assert_int_equal(sender->ops->send(sender, &record, note_receipt, &receipts[0], NULL),
                     ALV_REJECT);
    assert_int_equal(receipts[0].calls, 1);
    alv_free(huge);
    sender->ops->close(sender);
    alv_topic_app_done(&app);
}

int main(void)
{
    if (alv_topic_app_broker() == NULL) {
        return 77;
    }
    alv_log_set_level(ALV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transaction__is_seen_after_commit_and_never_after_abort),
        cmocka_unit_test(records__keep_headers_keys_times_and_absence),
        cmocka_unit_test(producer__refuses_only_what_can_never_be_written),
        cmocka_unit_test(producer__knows_where_it_wrote),
        cmocka_unit_test(producer__is_fenced_by_another_of_the_same_name),
        cmocka_unit_test(sender__places_by_key_and_reports_each_record),
    };
    return cmocka_run_group_tests_name("kafka_writes", tests, NULL, NULL);
}
