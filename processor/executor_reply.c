/* executor_reply.c — replies: to the replies topic, or to a node that waits.
 *
 * A record on the replies topic is part of the transaction. What a node waits for is put into the box that the
 * lane hands on after the commit, and clears when there is none (I1, I4, I7).
 */
#include "processor/executor_internal.h"
#include "statestore/codec.h"

/* Told instead of a reply that cannot be passed on; the command itself was executed. */
#define EXECUTOR_REPLY_TOO_LARGE "{\"note\":\"the reply is too large\"}"

void alv_executor_find_waiting_node(execution *run)
{
    alv_view prefix = ALV_VIEW(ALV_REPLY_TO_NODE);
    if (run->correlation_id.data != NULL && alv_view_starts_with(run->reply_to, prefix)) {
        run->waiting_node =
            (alv_view){run->reply_to.data + prefix.size, run->reply_to.size - prefix.size};
    }
}

static void reply_put(execution *run, alv_result_kind kind, alv_reason reason, alv_view text)
{
    const alv_result result = {.kind = kind,
                               .reason = reason,
                               .shard = run->shard->number,
                               .offset = run->record->offset,
                               .node = run->waiting_node,
                               .id = run->correlation_id,
                               .text = text};
    alv_reply_box_add(&run->executor->replies, &result);
}

/* A rejection's reply is {"error": text}, also when it was remembered. */
static void reply_to_node(execution *run)
{
    alv_bytes *scratch = &run->executor->scratch;
    alv_bytes_clear(scratch);
    if (!run->accepted) {
        const char *text = json_string_value(json_object_get(run->reply, "error"));
        reply_put(run, ALV_RESULT_REJECTED, ALV_REASON_NONE,
                  text != NULL ? alv_view_of(text) : ALV_VIEW("rejected"));
        return;
    }
    if (run->reply != NULL) {
        alv_codec_encode(run->reply, scratch);
    }
    if (scratch->size > ALV_STATE_BYTES_MAX) {
        alv_bytes_clear(scratch);
        alv_bytes_append_text(scratch, EXECUTOR_REPLY_TOO_LARGE);
    }
    reply_put(run, ALV_RESULT_DONE, ALV_REASON_NONE, alv_bytes_view(scratch));
}

static alv_status reply_produce(execution *run, const json_t *reply, alv_error *err)
{
    alv_bytes *scratch = &run->executor->scratch;
    alv_bytes_clear(scratch);
    alv_codec_encode(reply, scratch);
    alv_header reply_to = {.name = ALV_HEADER_REPLY_TO, .value = run->reply_to};
    alv_produce record = {.topic = ALV_TOPIC_REPLIES,
                          .shard = -1,
                          .key = run->correlation_id,
                          .value = alv_bytes_view(scratch),
                          .headers = &reply_to,
                          .header_count = 1};
    return run->producer->ops->produce(run->producer, &record, err);
}

/* A reply too large to be written must not stop the shard: the caller learns that it was. */
alv_status alv_executor_reply(execution *run, alv_error *err)
{
    if (run->correlation_id.data == NULL) {
        return ALV_OK;
    }
    if (run->waiting_node.data != NULL) {
        reply_to_node(run);
        return ALV_OK;
    }
    if (run->reply == NULL) {
        return ALV_OK;
    }
    alv_status status = reply_produce(run, run->reply, err);
    if (status == ALV_REJECT) {
        alv_error_clear(err);
        json_t *excuse = json_loads(EXECUTOR_REPLY_TOO_LARGE, 0, NULL);
        status = reply_produce(run, excuse, err);
        json_decref(excuse);
    }
    return status;
}

void alv_executor_reply_dead(execution *run, alv_reason reason, const alv_error *why)
{
    if (run->waiting_node.data != NULL) {
        reply_put(run, ALV_RESULT_DEAD, reason, alv_view_of(why->text));
    }
}
