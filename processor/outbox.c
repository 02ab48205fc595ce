#include "processor/outbox.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/plant.h"
#include "statestore/codec.h"
#include "topics/schema.h"

#define OUTBOX_HEADERS_MAX 3

static void outbox_add_header(alv_header *headers, size_t *count, const char *name, alv_view value)
{
    if (value.data != NULL) {
        ALV_ASSERT(*count < OUTBOX_HEADERS_MAX);
        headers[(*count)++] = (alv_header){name, value};
    }
}

/* A command for the shard its key belongs to. */
static alv_status outbox_send_command(alv_producer *producer, alv_view from,
                                      const alv_output *output, alv_error *err)
{
    alv_header headers[OUTBOX_HEADERS_MAX];
    size_t count = 0;
    outbox_add_header(headers, &count, ALV_HEADER_FROM, from);
    outbox_add_header(headers, &count, ALV_HEADER_IDEMPOTENCY_KEY, output->idempotency_key);
    outbox_add_header(headers, &count, ALV_HEADER_ON_REPLY, output->on_reply);
    const alv_produce record = {.topic = ALV_TOPIC_COMMANDS,
                                .shard = -1,
                                .key = output->key,
                                .value = output->value,
                                .headers = headers,
                                .header_count = count};
    return producer->ops->produce(producer, &record, err);
}

static alv_status outbox_send_event(alv_producer *producer, int32_t shard, alv_view from,
                                    const alv_output *output, alv_error *err)
{
    const alv_produce record = {
        .topic = ALV_TOPIC_EVENTS, .shard = shard, .key = from, .value = output->value};
    return producer->ops->produce(producer, &record, err);
}

/* The sizes were checked when they were asked for, so a refusal is not about this command: the transaction
 * runs again. */
static alv_status outbox_status(alv_status status)
{
    return status == ALV_REJECT ? ALV_ABORT : status;
}

alv_status alv_outbox_send(alv_producer *producer, int32_t shard, alv_view from,
                           const alv_effects *effects, alv_error *err)
{
    size_t count = alv_effects_output_count(effects);
    alv_status status = ALV_OK;
    for (size_t i = 0; status == ALV_OK && i < count; i++) {
        alv_output output = alv_effects_output(effects, i);
        if (output.kind == ALV_OUTPUT_COMMAND && !ALV_PLANTED(LOSE_EMITTED)) {
            status = outbox_send_command(producer, from, &output, err);
        } else if (output.kind == ALV_OUTPUT_EVENT) {
            status = outbox_send_event(producer, shard, from, &output, err);
        } /* timers are the ledger's */
    }
    return outbox_status(status);
}

alv_status alv_outbox_command(alv_producer *producer, alv_view key, const json_t *command,
                              alv_error *err)
{
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_codec_encode(command, &text);
    const alv_output output = {
        .kind = ALV_OUTPUT_COMMAND, .key = key, .value = alv_bytes_view(&text)};
    alv_status status = outbox_send_command(producer, ALV_VIEW_NONE, &output, err);
    alv_bytes_done(&text);
    return outbox_status(status);
}

/* ---- outcomes ---------------------------------------------------------------------------------- */

static json_t *outbox_text(alv_view text)
{
    json_t *value = text.data == NULL ? json_null() : json_stringn(text.data, text.size);
    return value != NULL ? value : json_null(); /* not UTF-8: a header may hold anything */
}

/* The command that tells it; without the reply when that makes it too large. */
static json_t *outbox_outcome(const alv_outcome *outcome)
{
    json_t *body =
        json_pack("{s:o, s:o, s:o, s:b}", "type", outbox_text(outcome->on_reply), "from",
                  outbox_text(outcome->from), "idempotencyKey",
                  outbox_text(outcome->idempotency_key), "accepted", (int)outcome->accepted);
    ALV_ASSERT(body != NULL);
    if (!outcome->accepted) {
        json_object_set(body, "error", json_object_get(outcome->reply, "error"));
    } else if (outcome->reply == NULL || alv_codec_size(outcome->reply) > ALV_OUTPUT_BYTES_MAX) {
        json_object_set_new(body, "reply", json_null());
    } else {
        json_object_set(body, "reply", (json_t *)(uintptr_t)outcome->reply); /* counts only */
    }
    return body;
}

static bool outbox_fits(alv_view text, size_t size_max)
{
    return text.data != NULL && text.size > 0 && text.size <= size_max;
}

/* Headers come from outside and may hold anything; what no entity could have written is not answered. */
static bool outbox_is_wanted(const alv_outcome *outcome)
{
    return outbox_fits(outcome->to, ALV_KEY_BYTES_MAX) &&
           outbox_fits(outcome->from, ALV_KEY_BYTES_MAX) &&
           outbox_fits(outcome->on_reply, ALV_NAME_BYTES_MAX) &&
           outcome->idempotency_key.size <= ALV_IDEMPOTENCY_KEY_BYTES_MAX;
}

alv_status alv_outbox_answer(alv_producer *producer, const alv_outcome *outcome, alv_error *err)
{
    if (!outbox_is_wanted(outcome)) {
        return ALV_OK;
    }
    json_t *body = outbox_outcome(outcome);
    alv_bytes text = ALV_BYTES_EMPTY;
    alv_codec_encode(body, &text);
    json_decref(body);
    const alv_output output = {
        .kind = ALV_OUTPUT_COMMAND, .key = outcome->to, .value = alv_bytes_view(&text)};
    alv_status status = outbox_send_command(producer, outcome->from, &output, err);
    alv_bytes_done(&text);
    return outbox_status(status);
}
