#include "tests/support/fake_sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pthread.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/inbox.h"
#include "topics/schema.h"

#define FAKE_RECORDS_MAX 4096
#define FAKE_WAIT_MS 20000

typedef struct fake_report {
    alv_sent sent;
    void *payload;
    alv_status status;
    int32_t shard;
    int64_t offset;
    bool held; /* until the sender closes */
} fake_report;

struct alv_fake_sender {
    alv_log_port log;
    alv_sender sender;
    pthread_mutex_t lock; /* guards what follows up to `bell` */
    alv_status status;
    bool silent;
    int count;
    alv_inbox *records;                    /* alv_fake_record */
    alv_inbox *bell;                       /* wakes serve */
    fake_report reports[FAKE_RECORDS_MAX]; /* sender's thread */
    size_t report_count;
    size_t reports_due; /* not held */
};

static char fake_ring;

static alv_fake_sender *fake_of_sender(alv_sender *sender)
{
    return (alv_fake_sender *)(void *)((char *)sender - offsetof(alv_fake_sender, sender));
}

static void fake_copy(char *out, size_t size, alv_view view)
{
    (void)snprintf(out, size, "%.*s", (int)view.size, view.data);
}

static void fake_copy_header(const alv_produce *record, const char *name, char *out, size_t size)
{
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].name, name) == 0)
            fake_copy(out, size, record->headers[i].value);
}

static alv_status fake_send(alv_sender *base, const alv_produce *record, alv_sent sent,
                            void *payload, alv_error *err)
{
    (void)err;
    alv_fake_sender *fake = fake_of_sender(base);
    alv_fake_record *copy = alv_alloc(sizeof *copy);
    copy->shard = record->shard;
    fake_copy(copy->key, sizeof copy->key, record->key);
    fake_copy(copy->value, sizeof copy->value, record->value);
    fake_copy_header(record, ALV_HEADER_REPLY_TO, copy->reply_to, sizeof copy->reply_to);
    fake_copy_header(record, ALV_HEADER_CORRELATION_ID, copy->correlation_id,
                     sizeof copy->correlation_id);
    fake_copy_header(record, ALV_HEADER_IDEMPOTENCY_KEY, copy->idempotency_key,
                     sizeof copy->idempotency_key);
    fake_copy_header(record, ALV_HEADER_RELEASE, copy->release, sizeof copy->release);
    pthread_mutex_lock(&fake->lock);
    copy->offset = fake->count++;
    const fake_report report = {sent,          payload,      fake->status,
                                record->shard, copy->offset, fake->silent};
    pthread_mutex_unlock(&fake->lock);
    assert_true(fake->report_count < FAKE_RECORDS_MAX);
    fake->reports[fake->report_count++] = report;
    fake->reports_due += !report.held;
    assert_true(alv_inbox_try_post(fake->records, copy));
    return ALV_OK;
}

static void fake_report_all(alv_fake_sender *fake, bool held_too)
{
    size_t kept = 0;
    for (size_t i = 0; i < fake->report_count; i++) {
        const fake_report *report = &fake->reports[i];
        if (report->held && !held_too)
            fake->reports[kept++] = *report;
        else
            report->sent(report->payload, report->status, report->shard, report->offset,
                         "no broker");
    }
    fake->report_count = kept;
    fake->reports_due = 0;
}

static void fake_serve(alv_sender *base, int timeout_ms)
{
    alv_fake_sender *fake = fake_of_sender(base);
    if (fake->reports_due == 0) {
        (void)alv_inbox_wait(fake->bell, timeout_ms);
        (void)alv_inbox_take(fake->bell);
    }
    fake_report_all(fake, false);
}

static void fake_wake(alv_sender *base)
{
    (void)alv_inbox_try_post(fake_of_sender(base)->bell, &fake_ring);
}

static void fake_close(alv_sender *base)
{
    fake_report_all(fake_of_sender(base), true);
}

static const alv_sender_ops fake_sender_ops = {
    .send = fake_send, .serve = fake_serve, .wake = fake_wake, .close = fake_close};

static alv_status fake_open(alv_log_port *log, const char *name, alv_sender **out, alv_error *err)
{
    (void)name;
    (void)err;
    *out = &((alv_fake_sender *)(void *)log)->sender;
    return ALV_OK;
}

static const alv_log_ops fake_log_ops = {.open_sender = fake_open};

alv_fake_sender *alv_fake_sender_new(void)
{
    alv_fake_sender *fake = alv_alloc(sizeof *fake);
    fake->log.ops = &fake_log_ops;
    fake->sender.ops = &fake_sender_ops;
    assert_int_equal(pthread_mutex_init(&fake->lock, NULL), 0);
    fake->records = alv_inbox_new(FAKE_RECORDS_MAX, alv_free);
    fake->bell = alv_inbox_new(1, NULL);
    return fake;
}

void alv_fake_sender_free(alv_fake_sender *fake)
{
    alv_inbox_free(fake->records);
    alv_inbox_free(fake->bell);
    (void)pthread_mutex_destroy(&fake->lock);
    alv_free(fake);
}

alv_log_port *alv_fake_sender_log(alv_fake_sender *fake)
{
    return &fake->log;
}

void alv_fake_sender_answer(alv_fake_sender *fake, alv_status status, bool silent)
{
    pthread_mutex_lock(&fake->lock);
    fake->status = status;
    fake->silent = silent;
    pthread_mutex_unlock(&fake->lock);
}

alv_fake_record alv_fake_sender_take(alv_fake_sender *fake)
{
    assert_true(alv_inbox_wait(fake->records, FAKE_WAIT_MS));
    alv_fake_record *record = alv_inbox_take(fake->records);
    assert_non_null(record);
    alv_fake_record copy = *record;
    alv_free(record);
    return copy;
}

int alv_fake_sender_count(alv_fake_sender *fake)
{
    pthread_mutex_lock(&fake->lock);
    int count = fake->count;
    pthread_mutex_unlock(&fake->lock);
    return count;
}
