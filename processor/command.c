#include "processor/command.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/json_reader.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "processor/text.h"
#include "topics/partitioner.h"

static const struct {
    const char *code;
    const char *action;
} reasons[ALV_REASON_COUNT] = {
    [ALV_REASON_NONE] = {"none", "nothing to do"},
    [ALV_REASON_NO_KEY] = {"no-key", "produce the command with the entity's key as record key"},
    [ALV_REASON_KEY_TOO_LONG] = {"key-too-long", "use keys of at most 512 bytes"},
    [ALV_REASON_KEY_NOT_UTF8] = {"key-not-utf8",
                                 "produce keys as UTF-8 text (a string serializer), without NUL"},
    [ALV_REASON_BAD_KEY] = {"bad-key", "see which ids the behavior of this entity type accepts"},
    [ALV_REASON_UNKNOWN_ENTITY_TYPE] = {"unknown-entity-type",
                                        "correct the part of the key before \"/\", or load the "
                                        "behavior with behavior.libraries; then retry"},
    [ALV_REASON_WRONG_SHARD] = {"wrong-shard",
                                "use the partitioner murmur2_random in the producer and name no "
                                "partition; a retry puts the command where it belongs"},
    [ALV_REASON_TOO_LARGE] = {"too-large", "split the command, or pass a reference to the data"},
    [ALV_REASON_NOT_JSON] = {"not-json", "correct the producer: a value is one JSON object"},
    [ALV_REASON_NOT_AN_OBJECT] = {"not-an-object",
                                  "correct the producer: a value is one JSON object"},
    [ALV_REASON_NO_TYPE] = {"no-type", "name the command in the member \"type\""},
    [ALV_REASON_UNKNOWN_TYPE] = {"unknown-type",
                                 "correct \"type\", or retry once all nodes run a version that "
                                 "knows the command"},
    [ALV_REASON_BAD_FIELD] = {"bad-field", "correct the field that the detail names"},
    [ALV_REASON_STATE_TOO_LARGE] = {"state-too-large",
                                    "make the entity's state smaller before a retry"},
    [ALV_REASON_STATE_UNREADABLE] = {"state-unreadable",
                                     "repair the entity's record in the changelog, then retry"},
    [ALV_REASON_CRASHED_NODE] =
        {"crashed-node", "find out why its handler crashes (core dump), mend it, then retry"},
    [ALV_REASON_BAD_IDEMPOTENCY_KEY] = {"bad-idempotency-key",
                                        "use idempotency keys of 1 to 1,024 bytes of UTF-8 text"},
    [ALV_REASON_STATE_VERSION] = {"state-version",
                                  "load the library that wrote the state, or one that can migrate "
                                  "it, on all nodes; then retry"},
    [ALV_REASON_ALREADY_ANSWERED] = {"already-answered",
                                     "nothing: the entity that emitted it was told that it failed; "
                                     "let that one start anew"},
    [ALV_REASON_FAILED] = {"failed",
                           "mend the entity or its behavior as the detail says, then retry"},
    [ALV_REASON_QUARANTINED] = {"quarantined",
                                "mend what `alluvium quarantine list` says of the entity, then "
                                "`alluvium quarantine release KEY --retry`"},
};

const char *alv_reason_code(alv_reason reason)
{
    ALV_ASSERT(reason >= ALV_REASON_NONE && reason < ALV_REASON_COUNT);
    return reasons[reason].code;
}

const char *alv_reason_action(alv_reason reason)
{
    ALV_ASSERT(reason >= ALV_REASON_NONE && reason < ALV_REASON_COUNT);
    return reasons[reason].action;
}

/* Leaves the detail in `err` and gives the reason, so that refusing is one line. */
#define command_refuse(err, reason, ...) ((void)alv_fail((err), ALV_REJECT, __VA_ARGS__), (reason))

/* ---- the key --------------------------------------------------------------------------------- */

static alv_reason command_check_key_bytes(alv_view key, alv_error *err)
{
    if (key.data == NULL || key.size == 0) {
        return command_refuse(err, ALV_REASON_NO_KEY, "the record has %s key",
                              key.data == NULL ? "no" : "an empty");
    }
    if (key.size > ALV_KEY_BYTES_MAX) {
        return command_refuse(err, ALV_REASON_KEY_TOO_LONG,
                              "key %s has %zu bytes, at most %d are allowed",
                              alv_text_quote(key).text, key.size, ALV_KEY_BYTES_MAX);
    }
    if (memchr(key.data, '\0', key.size) != NULL) {
        return command_refuse(err, ALV_REASON_KEY_NOT_UTF8, "key %s holds a NUL byte",
                              alv_text_quote(key).text);
    }
    if (!alv_utf8_valid(key.data, key.size)) {
        return command_refuse(err, ALV_REASON_KEY_NOT_UTF8, "key %s is not UTF-8",
                              alv_text_quote(key).text);
    }
    return ALV_REASON_NONE;
}

static bool command_accepts(const alv_behavior *behavior, alv_view id)
{
    if (behavior->accepts == NULL) {
        return true;
    }
    char text[ALV_KEY_BYTES_MAX + 1];
    ALV_ASSERT(id.size < sizeof text);
    memcpy(text, id.data, id.size);
    text[id.size] = '\0';
    return behavior->accepts(text);
}

alv_reason alv_command_check_key(const alv_registry *registry, alv_view key, int32_t shard,
                                 int32_t shard_count, const alv_behavior **out_behavior,
                                 size_t *out_id_at, alv_error *err)
{
    ALV_ASSERT(shard >= 0 && shard < shard_count);
    alv_reason reason = command_check_key_bytes(key, err);
    if (reason != ALV_REASON_NONE) {
        return reason;
    }

    size_t id_at = 0;
    const alv_behavior *behavior = alv_registry_find(registry, key, &id_at);
    if (behavior == NULL) {
        return command_refuse(
            err, ALV_REASON_UNKNOWN_ENTITY_TYPE, "key %s is of type %s, which has no behavior",
            alv_text_quote(key).text, alv_text_quote(alv_registry_type(registry, key)).text);
    }
    int32_t home = alv_partitioner_shard(key, shard_count);
    if (home != shard) {
        return command_refuse(err, ALV_REASON_WRONG_SHARD,
                              "key %s belongs to shard %" PRId32 " of %" PRId32
                              ", the record is in %" PRId32,
                              alv_text_quote(key).text, home, shard_count, shard);
    }
    if (!command_accepts(behavior, (alv_view){key.data + id_at, key.size - id_at})) {
        return command_refuse(err, ALV_REASON_BAD_KEY, "behavior \"%s\" does not accept key %s",
                              behavior->type, alv_text_quote(key).text);
    }
    *out_behavior = behavior;
    *out_id_at = id_at;
    return ALV_REASON_NONE;
}

/* ---- the fields ------------------------------------------------------------------------------ */

static const char *const kinds[] = {
    [ALV_FIELD_TEXT] = "a string",          [ALV_FIELD_BOOLEAN] = "true or false",
    [ALV_FIELD_INTEGER] = "a whole number", [ALV_FIELD_POSITIVE] = "a whole number > 0",
    [ALV_FIELD_OBJECT] = "an object",       [ALV_FIELD_ARRAY] = "an array",
};

static bool command_is_kind(const json_t *value, alv_field_kind kind)
{
    switch (kind) {
    case ALV_FIELD_TEXT:
        return json_is_string(value);
    case ALV_FIELD_BOOLEAN:
        return json_is_boolean(value);
    case ALV_FIELD_INTEGER:
        return json_is_integer(value);
    case ALV_FIELD_POSITIVE:
        return json_is_integer(value) && json_integer_value(value) > 0;
    case ALV_FIELD_OBJECT:
        return json_is_object(value);
    case ALV_FIELD_ARRAY:
        return json_is_array(value);
    case ALV_FIELD_NONE:
        break;
    }
    return false;
}

/* A value as a message shows it; never long, whatever came. */
static alv_quoted command_show(const json_t *value)
{
    alv_quoted shown = {""};
    if (json_is_string(value)) {
        return alv_text_quote((alv_view){json_string_value(value), json_string_length(value)});
    }
    if (json_is_object(value)) {
        return (alv_quoted){"an object"};
    }
    if (json_is_array(value)) {
        return (alv_quoted){"an array"};
    }
    /* null, true, false or a number: short. The last byte stays NUL. */
    (void)json_dumpb(value, shown.text, sizeof shown.text - 1,
                     JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    return shown;
}

static alv_reason command_check_fields(const alv_command_row *row, const json_t *body,
                                       alv_error *err)
{
    for (size_t i = 0; i < ALV_FIELDS_MAX && row->fields[i].kind != ALV_FIELD_NONE; i++) {
        const alv_field *field = &row->fields[i];
        const json_t *value = json_object_get(body, field->name);
        if (command_is_kind(value, field->kind)) {
            continue;
        }
        if (field->optional && (value == NULL || json_is_null(value))) {
            continue;
        }
        if (value == NULL) {
            return command_refuse(err, ALV_REASON_BAD_FIELD, "field \"%s\" must be %s, is missing",
                                  field->name, kinds[field->kind]);
        }
        return command_refuse(err, ALV_REASON_BAD_FIELD, "field \"%s\" must be %s, is %s",
                              field->name, kinds[field->kind], command_show(value).text);
    }
    return ALV_REASON_NONE;
}

/* ---- the value ------------------------------------------------------------------------------- */

static alv_reason command_refuse_json(alv_view value, const json_error_t *json, alv_error *err)
{
    switch (json_error_code(json)) {
    case json_error_numeric_overflow: /* good JSON, but no number of ours */
        return command_refuse(err, ALV_REASON_BAD_FIELD, "a number is out of range at byte %d: %s",
                              json->position, json->text);
    case json_error_null_character:
        return command_refuse(err, ALV_REASON_NOT_JSON, "a string holds \\u0000 at byte %d",
                              json->position);
    default:
        return command_refuse(err, ALV_REASON_NOT_JSON, "byte %d of %zu: %s", json->position,
                              value.size, json->text);
    }
}

/* A member given twice is refused: readers of JSON disagree about which of the two counts, and a
 * command that means one amount here and another there must not be executed. */
static alv_reason command_parse(alv_view value, json_t **out_body, alv_error *err)
{
    if (value.data == NULL) {
        return command_refuse(err, ALV_REASON_NOT_JSON, "the record has no value");
    }
    if (value.size > ALV_COMMAND_BYTES_MAX) {
        return command_refuse(err, ALV_REASON_TOO_LARGE,
                              "the value has %zu bytes, at most %d are allowed", value.size,
                              ALV_COMMAND_BYTES_MAX);
    }
    json_error_t json;
    json_t *body = alv_json_read(value, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &json);
    if (body == NULL) {
        return command_refuse_json(value, &json, err);
    }
    if (!json_is_object(body)) {
        alv_quoted shown = command_show(body);
        json_decref(body);
        return command_refuse(err, ALV_REASON_NOT_AN_OBJECT, "the value must be an object, is %s",
                              shown.text);
    }
    *out_body = body;
    return ALV_REASON_NONE;
}

static alv_reason command_find_row(const alv_behavior *behavior, const json_t *body,
                                   const alv_command_row **out_row, alv_error *err)
{
    const json_t *type = json_object_get(body, "type");
    if (type == NULL) {
        return command_refuse(err, ALV_REASON_NO_TYPE, "the command has no member \"type\"");
    }
    if (!json_is_string(type)) {
        return command_refuse(err, ALV_REASON_NO_TYPE, "member \"type\" must be a string, is %s",
                              command_show(type).text);
    }
    *out_row = alv_registry_row(behavior, json_string_value(type));
    if (*out_row == NULL) {
        return command_refuse(err, ALV_REASON_UNKNOWN_TYPE, "behavior \"%s\" has no command %s",
                              behavior->type, command_show(type).text);
    }
    return ALV_REASON_NONE;
}

alv_reason alv_command_decode(const alv_behavior *behavior, alv_view value, alv_decoded *out,
                              alv_error *err)
{
    *out = (alv_decoded){0};
    json_t *body = NULL;
    const alv_command_row *row = NULL;
    alv_reason reason = command_parse(value, &body, err);
    if (reason == ALV_REASON_NONE) {
        reason = command_find_row(behavior, body, &row, err);
    }
    if (reason == ALV_REASON_NONE) {
        reason = command_check_fields(row, body, err);
    }
    if (reason != ALV_REASON_NONE) {
        json_decref(body);
        return reason;
    }
    *out = (alv_decoded){.body = body, .row = row};
    return ALV_REASON_NONE;
}

void alv_decoded_done(alv_decoded *decoded)
{
    if (decoded == NULL) {
        return;
    }
    json_decref(decoded->body);
    *decoded = (alv_decoded){0};
}
