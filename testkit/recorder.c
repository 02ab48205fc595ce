#include "testkit/recorder.h"

#include <string.h>

#include "base/assert.h"
#include "topics/schema.h"

/* ---- taking down ------------------------------------------------------------------------------- */

/* What a behavior sends has been encoded by us; what a dead letter's headers say, too. */
static json_t *recorder_json(alv_view text)
{
    json_t *value = json_loadb(text.data, text.size, JSON_ALLOW_NUL, NULL);
    ALV_ASSERT(value != NULL);
    return value;
}

static json_t *recorder_text(alv_view text)
{
    return text.data == NULL ? json_null() : json_stringn_nocheck(text.data, text.size);
}

static alv_view recorder_header(const alv_produce *record, const char *name)
{
    for (size_t i = record->header_count; i > 0; i--) { /* ours come after the producer's */
        if (strcmp(record->headers[i - 1].name, name) == 0) {
            return record->headers[i - 1].value;
        }
    }
    return ALV_VIEW_NONE;
}

static json_t *recorder_command(const alv_produce *record)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "key", recorder_text(record->key), "command",
                     recorder_json(record->value), "idempotencyKey",
                     recorder_text(recorder_header(record, ALV_HEADER_IDEMPOTENCY_KEY)), "onReply",
                     recorder_text(recorder_header(record, ALV_HEADER_ON_REPLY)));
}

static json_t *recorder_letter(const alv_produce *record)
{
    return json_pack("{s:o, s:o}", "reason",
                     recorder_text(recorder_header(record, ALV_HEADER_REASON)), "detail",
                     recorder_text(recorder_header(record, ALV_HEADER_DETAIL)));
}

static alv_status recorder_produce(alv_producer *producer, const alv_produce *record,
                                   alv_error *err)
{
    (void)err;
    alv_recorder *recorder = (alv_recorder *)producer;
    switch (record->topic) {
    case ALV_TOPIC_COMMANDS:
        json_array_append_new(recorder->emitted, recorder_command(record));
        break;
    case ALV_TOPIC_EVENTS:
        json_array_append_new(recorder->published, recorder_json(record->value));
        break;
    case ALV_TOPIC_DEAD_LETTERS:
        json_array_append_new(recorder->letters, recorder_letter(record));
        break;
    case ALV_TOPIC_CHANGELOG:
        recorder->deleted = record->value.data == NULL;
        break;
    case ALV_TOPIC_LEDGER:
    case ALV_TOPIC_REPLIES:
    case ALV_TOPIC_COUNT:
        break; /* the store has the ledger, and nobody waits at the topic */
    }
    return ALV_OK;
}

/* ---- transactions ------------------------------------------------------------------------------ */

static json_t *recorder_list(alv_recorder *recorder, int number)
{
    json_t *lists[] = {recorder->emitted, recorder->published, recorder->letters};
    return lists[number];
}

static alv_status recorder_begin(alv_producer *producer, alv_error *err)
{
    (void)err;
    alv_recorder *recorder = (alv_recorder *)producer;
    for (int i = 0; i < 3; i++) {
        recorder->marks[i] = json_array_size(recorder_list(recorder, i));
    }
    return ALV_OK;
}

static alv_status recorder_abort(alv_producer *producer, alv_error *err)
{
    (void)err;
    alv_recorder *recorder = (alv_recorder *)producer;
    for (int i = 0; i < 3; i++) {
        json_t *list = recorder_list(recorder, i);
        while (json_array_size(list) > recorder->marks[i]) {
            json_array_remove(list, json_array_size(list) - 1);
        }
    }
    return ALV_OK;
}

static alv_status recorder_flush(alv_producer *producer, alv_error *err)
{
    (void)producer;
    (void)err;
    return ALV_OK;
}

static int64_t recorder_written_end(const alv_producer *producer, alv_topic topic, int32_t shard)
{
    (void)producer;
    (void)topic;
    (void)shard;
    return ALV_OFFSET_NONE;
}

static alv_commit_outcome recorder_commit(alv_producer *producer, alv_consumer *consumer,
                                          const alv_shard_offset *offsets, size_t count,
                                          const char *owner, alv_error *err)
{
    (void)producer;
    (void)consumer;
    (void)offsets;
    (void)count;
    (void)owner;
    (void)err;
    return ALV_COMMIT_DONE;
}

static bool recorder_tainted(const alv_producer *producer)
{
    (void)producer;
    return false;
}

static void recorder_serve(alv_producer *producer)
{
    (void)producer;
}

static size_t recorder_headers(const alv_record *record, alv_header *out, size_t capacity)
{
    const alv_recorder_headers *headers = record->handle;
    size_t count = headers == NULL ? 0 : headers->count;
    for (size_t i = 0; i < count && i < capacity; i++) {
        out[i] = headers->items[i];
    }
    return count < capacity ? count : capacity;
}

/* ---- life -------------------------------------------------------------------------------------- */

static const alv_producer_ops recorder_producer_ops = {
    .begin = recorder_begin,
    .produce = recorder_produce,
    .flush = recorder_flush,
    .written_end = recorder_written_end,
    .commit = recorder_commit,
    .abort = recorder_abort,
    .tainted = recorder_tainted,
    .renew = recorder_flush, /* never needed: nothing is uncertain here */
    .serve = recorder_serve,
    .close = recorder_serve,
};

static const alv_log_ops recorder_log_ops = {.headers = recorder_headers};

void alv_recorder_init(alv_recorder *recorder)
{
    *recorder = (alv_recorder){.producer = {&recorder_producer_ops},
                               .log = {&recorder_log_ops},
                               .emitted = json_array(),
                               .published = json_array(),
                               .letters = json_array()};
}

void alv_recorder_done(alv_recorder *recorder)
{
    json_decref(recorder->emitted);
    json_decref(recorder->published);
    json_decref(recorder->letters);
}

void alv_recorder_clear(alv_recorder *recorder)
{
    for (int i = 0; i < 3; i++) {
        json_array_clear(recorder_list(recorder, i));
    }
    recorder->deleted = false;
}
