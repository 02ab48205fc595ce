/* effects_outputs.c — commands, events and timers that a handler asked for, as they will be written.
 *
 * They are encoded at once: what is too large or no JSON is refused while the handler can still be
 * rejected, and nothing of jansson's has to be kept.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "processor/effects_internal.h"
#include "statestore/codec.h"

/* A buffer that has grown beyond this is not kept for the next command. */
#define OUTPUTS_KEEP_BYTES (64 * 1024)

void alv_effects_drop_outputs(alv_effects *effects)
{
    if (effects->texts.size == 0) {
        return; /* the usual command: nothing to do */
    }
    effects->output_count = 0;
    alv_bytes_clear(&effects->texts);
    if (effects->texts.capacity > OUTPUTS_KEEP_BYTES) {
        alv_bytes_done(&effects->texts);
    }
}

static effect_text outputs_keep(alv_effects *effects, const char *data, size_t size)
{
    effect_text text = {.at = effects->texts.size, .size = size, .is_there = true};
    alv_bytes_append(&effects->texts, data, size);
    alv_bytes_append(&effects->texts, "", 1);
    return text;
}

/* A name or key of 1 to `size_max` bytes of UTF-8; `what` is for the rejection. NULL stays absent. */
static effect_text outputs_keep_name(alv_effects *effects, const char *what, const char *name,
                                     size_t size_max)
{
    if (name == NULL || effects->rejected) {
        return (effect_text){0};
    }
    size_t size = strnlen(name, size_max + 1);
    if (size == 0 || size > size_max || !alv_utf8_valid(name, size)) {
        alv_reject(effects, "%s is not UTF-8 of 1 to %zu bytes", what, size_max);
        return (effect_text){0};
    }
    return outputs_keep(effects, name, size);
}

/* Encodes an object. Takes `value`. */
static effect_text outputs_keep_value(alv_effects *effects, const char *what, json_t *value)
{
    effect_text text = {0};
    if (!json_is_object(value)) {
        alv_reject(effects, "%s is no JSON object", what);
    } else {
        alv_effects_check_value(effects, value);
    }
    if (!effects->rejected) {
        text = (effect_text){.at = effects->texts.size, .is_there = true};
        alv_codec_encode(value, &effects->texts);
        text.size = effects->texts.size - text.at;
        alv_bytes_append(&effects->texts, "", 1);
    }
    if (text.size > ALV_OUTPUT_BYTES_MAX || effects->texts.size > ALV_OUTPUTS_BYTES_MAX) {
        alv_reject(effects, "%s is too large: %zu bytes, %zu bytes with what was asked for before",
                   what, text.size, effects->texts.size);
    }
    json_decref(value);
    return text;
}

static void outputs_add(alv_effects *effects, const effect_output *output)
{
    if (!effects->rejected && effects->output_count == ALV_OUTPUTS_MAX) {
        alv_reject(effects, "more than %d commands, events and timers", ALV_OUTPUTS_MAX);
    }
    if (effects->rejected) {
        return;
    }
    if (effects->output_count == effects->output_capacity) {
        effects->output_capacity = effects->output_capacity == 0 ? 8 : effects->output_capacity * 2;
        effects->outputs =
            alv_realloc(effects->outputs, effects->output_capacity * sizeof(effect_output));
    }
    effects->outputs[effects->output_count++] = *output;
}

/* ---- what handlers call ---------------------------------------------------------------------- */

static void outputs_check_command(alv_effects *effects, const char *what, const json_t *command)
{
    if (json_is_object(command) && !json_is_string(json_object_get(command, "type"))) {
        alv_reject(effects, "%s has no member \"type\"", what);
    }
}

void alv_emit(alv_effects *effects, const char *key, json_t *command, const char *idempotency_key,
              const char *on_reply)
{
    static const char what[] = "an emitted command";
    if (key == NULL) {
        alv_reject(effects, "%s has no key", what);
    }
    outputs_check_command(effects, what, command);
    effect_output output = {.kind = ALV_OUTPUT_COMMAND};
    output.key =
        outputs_keep_name(effects, "the key of an emitted command", key, ALV_KEY_BYTES_MAX);
    output.idempotency_key = outputs_keep_name(effects, "an idempotency key", idempotency_key,
                                               ALV_IDEMPOTENCY_KEY_BYTES_MAX);
    output.on_reply =
        outputs_keep_name(effects, "the command for a reply", on_reply, ALV_NAME_BYTES_MAX);
    output.value = outputs_keep_value(effects, what, command);
    outputs_add(effects, &output);
}

void alv_timer_set(alv_effects *effects, const char *name, int64_t due_ms, json_t *command)
{
    static const char what[] = "the command of a timer";
    if (name == NULL) {
        alv_reject(effects, "a timer has no name");
    }
    outputs_check_command(effects, what, command);
    effect_output output = {.kind = ALV_OUTPUT_TIMER_SET, .due_ms = due_ms};
    output.key = outputs_keep_name(effects, "the name of a timer", name, ALV_NAME_BYTES_MAX);
    output.value = outputs_keep_value(effects, what, command);
    outputs_add(effects, &output);
    effects->has_timers = true;
}

void alv_timer_cancel(alv_effects *effects, const char *name)
{
    if (name == NULL) {
        alv_reject(effects, "a timer has no name");
    }
    effect_output output = {.kind = ALV_OUTPUT_TIMER_CANCEL};
    output.key = outputs_keep_name(effects, "the name of a timer", name, ALV_NAME_BYTES_MAX);
    outputs_add(effects, &output);
    effects->has_timers = true;
}

void alv_publish(alv_effects *effects, json_t *event)
{
    effect_output output = {.kind = ALV_OUTPUT_EVENT};
    output.value = outputs_keep_value(effects, "an event", event);
    outputs_add(effects, &output);
}

/* ---- what the executor asks ------------------------------------------------------------------ */

bool alv_effects_has_timers(const alv_effects *effects)
{
    return effects->has_timers && !effects->rejected;
}

bool alv_effects_deletes(const alv_effects *effects)
{
    return effects->deletes && !effects->rejected;
}

size_t alv_effects_output_count(const alv_effects *effects)
{
    return effects->output_count;
}

static alv_view outputs_view(const alv_effects *effects, effect_text text)
{
    ALV_ASSERT(text.at + text.size <= effects->texts.size);
    return text.is_there ? (alv_view){effects->texts.data + text.at, text.size} : ALV_VIEW_NONE;
}

alv_output alv_effects_output(const alv_effects *effects, size_t index)
{
    ALV_ASSERT(index < effects->output_count);
    const effect_output *output = &effects->outputs[index];
    return (alv_output){.kind = output->kind,
                        .key = outputs_view(effects, output->key),
                        .value = outputs_view(effects, output->value),
                        .due_ms = output->due_ms,
                        .idempotency_key = outputs_view(effects, output->idempotency_key),
                        .on_reply = outputs_view(effects, output->on_reply)};
}
