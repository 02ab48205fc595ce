/* effects.c — the list of what a handler asked for, and its application to a state.
 *
 * The list holds names as offsets into one growing buffer: names may be gone when the handler
 * returns, and a buffer that is kept costs no allocation from the second command on.
 */
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "processor/effects_internal.h"
#include "processor/text.h"
#include "statestore/codec.h"

alv_effects *alv_effects_new(void)
{
    return alv_alloc(sizeof(alv_effects));
}

static void effects_drop_reply(alv_effects *effects)
{
    json_decref(effects->reply);
    effects->reply = NULL;
}

static void effects_drop_items(alv_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        json_decref(effects->items[i].value);
    }
    effects->count = 0;
    alv_bytes_clear(&effects->fields);
}

void alv_effects_begin(alv_effects *effects, bool reply_wanted)
{
    effects_drop_items(effects);
    alv_effects_drop_outputs(effects);
    effects_drop_reply(effects);
    effects->reply_wanted = reply_wanted;
    effects->rejected = false;
    effects->failed = false;
    effects->has_timers = false;
    effects->deletes = false;
}

void alv_effects_free(alv_effects *effects)
{
    if (effects == NULL) {
        return;
    }
    effects_drop_items(effects);
    effects_drop_reply(effects);
    alv_bytes_done(&effects->fields);
    alv_bytes_done(&effects->texts);
    alv_free(effects->outputs);
    alv_free(effects->items);
    alv_free(effects);
}

/* ---- what handlers call ---------------------------------------------------------------------- */

/* From here on nothing is added. */
static void effects_refuse(alv_effects *effects, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void effects_refuse(alv_effects *effects, const char *format, va_list arguments)
{
    effects->rejected = true;
    (void)alv_text_vprintf(effects->rejection, sizeof effects->rejection, format, arguments);
    effects_drop_items(effects); /* last: the arguments may be theirs */
    alv_effects_drop_outputs(effects);
    effects_drop_reply(effects);
}

void alv_reject(alv_effects *effects, const char *format, ...)
{
    if (effects->rejected) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    effects_refuse(effects, format, arguments);
    va_end(arguments);
}

void alv_fatal(alv_effects *effects, const char *format, ...)
{
    if (effects->failed) {
        return;
    }
    effects->failed = true;
    va_list arguments;
    va_start(arguments, format);
    effects_refuse(effects, format, arguments);
    va_end(arguments);
}

/* Takes `value`. A rejection has emptied the list and keeps it empty. */
static void effects_add(alv_effects *effects, effect_kind kind, size_t field_at, json_t *value)
{
    if (!effects->rejected && effects->count == ALV_EFFECTS_MAX) {
        alv_reject(effects, "more than %d effects", ALV_EFFECTS_MAX);
    }
    if (effects->rejected) {
        json_decref(value);
        return;
    }
    if (effects->count == effects->capacity) {
        effects->capacity = effects->capacity == 0 ? 16 : effects->capacity * 2;
        effects->items = alv_realloc(effects->items, effects->capacity * sizeof(effect));
    }
    effects->items[effects->count++] = (effect){kind, field_at, value};
}

/* Whether `value` is nested at most `depth` deep. Stops in a value that contains itself.
 * NOLINTNEXTLINE(misc-no-recursion): at most `depth` deep */
static bool effects_depth_fits(const json_t *value, unsigned depth)
{
    if (!json_is_array(value) && !json_is_object(value)) {
        return true;
    }
    if (depth == 0) {
        return false;
    }

    size_t index;
    json_t *item;
    json_array_foreach(value, index, item)
    { /* no turn for an object */
        if (!effects_depth_fits(item, depth - 1)) {
            return false;
        }
    }
    void *member = json_object_iter((json_t *)value); /* NULL for an array; changes nothing */
    for (; member != NULL; member = json_object_iter_next((json_t *)value, member)) {
        if (!effects_depth_fits(json_object_iter_value(member), depth - 1)) {
            return false;
        }
    }
    return true;
}

/* What could not be applied later, when it is too late to say no. */
void alv_effects_check_value(alv_effects *effects, const json_t *value)
{
    if (value == NULL) {
        alv_reject(effects, "could not build a value");
    } else if (!effects_depth_fits(value, ALV_EFFECTS_DEPTH_MAX)) {
        alv_reject(effects, "a value is nested more than %d deep", ALV_EFFECTS_DEPTH_MAX);
    }
}

/* The processor's own member of a stored state: with it a client could make an entity unreadable. */
static bool effects_is_reserved(const char *field)
{
    return field[0] == '$' && strcmp(field, ALV_CODEC_VERSION) == 0;
}

/* Where the copy of the name begins; rejects a name that no JSON object can have. */
static size_t effects_keep_field(alv_effects *effects, const char *field)
{
    if (effects->rejected) { /* keeps nothing more, however often the handler goes on asking */
        return 0;
    }
    size_t at = effects->fields.size;
    size_t size = field == NULL ? 0 : strnlen(field, ALV_EFFECTS_FIELD_BYTES_MAX + 1);
    if (field == NULL || size > ALV_EFFECTS_FIELD_BYTES_MAX || !alv_utf8_valid(field, size)) {
        alv_reject(effects, "the name of a member is not UTF-8 of at most %d bytes",
                   ALV_EFFECTS_FIELD_BYTES_MAX);
    } else if (effects_is_reserved(field)) {
        alv_reject(effects, "no member of a state may be named " ALV_CODEC_VERSION);
    } else {
        alv_bytes_append(&effects->fields, field, size + 1);
    }
    return at;
}

void alv_set(alv_effects *effects, const char *field, json_t *value)
{
    alv_effects_check_value(effects, value);
    effects_add(effects, EFFECT_SET, effects_keep_field(effects, field), value);
}

void alv_unset(alv_effects *effects, const char *field)
{
    effects_add(effects, EFFECT_UNSET, effects_keep_field(effects, field), NULL);
}

void alv_replace(alv_effects *effects, json_t *state)
{
    alv_effects_check_value(effects, json_is_object(state) ? state : NULL);
    if (json_object_get(state, ALV_CODEC_VERSION) != NULL) {
        alv_reject(effects, "no member of a state may be named " ALV_CODEC_VERSION);
    }
    effects_add(effects, EFFECT_REPLACE, 0, state);
}

void alv_delete(alv_effects *effects)
{
    effects->deletes = true;
    effects_add(effects, EFFECT_DELETE, 0, NULL);
}

/* A reply that cannot be built must not reject: the outcome would depend on who waits for it. */
void alv_reply(alv_effects *effects, const char *format, ...)
{
    if (!effects->reply_wanted || effects->rejected) {
        return;
    }
    effects_drop_reply(effects);
    va_list arguments;
    va_start(arguments, format);
    effects->reply = json_vpack_ex(NULL, 0, format, arguments);
    va_end(arguments);
    if (effects->reply == NULL) {
        effects->reply = json_pack("{s:s}", "note", "the reply could not be built");
    }
}

const json_t *alv_table_get(alv_effects *effects, const char *table, const char *key)
{
    bool known = false;
    const json_t *row = NULL;
    if (effects->tables.get != NULL && table != NULL && key != NULL) {
        row = effects->tables.get(effects->tables.payload, table, key, &known);
    }
    if (!known) {
        alv_reject(effects, "there is no global table %s", table == NULL ? "NULL" : table);
    }
    return row;
}

void alv_effects_set_tables(alv_effects *effects, alv_table_lookup lookup)
{
    effects->tables = lookup;
}

/* ---- what the shard calls -------------------------------------------------------------------- */

const char *alv_effects_rejection(const alv_effects *effects)
{
    return effects->rejected && !effects->failed ? effects->rejection : NULL;
}

const char *alv_effects_failure(const alv_effects *effects)
{
    return effects->failed ? effects->rejection : NULL;
}

bool alv_effects_changes(const alv_effects *effects, bool exists)
{
    bool exists_now = exists;
    bool touched = false;
    for (size_t i = 0; i < effects->count; i++) {
        switch (effects->items[i].kind) {
        case EFFECT_SET:
        case EFFECT_REPLACE:
            touched = exists_now = true;
            break;
        case EFFECT_UNSET:
            touched = touched || exists_now;
            break;
        case EFFECT_DELETE:
            touched = touched || exists_now;
            exists_now = false;
            break;
        }
    }
    return touched && (exists || exists_now); /* made and deleted at once is nothing */
}

/* A new reference to the object that a new entity starts from. */
static json_t *effects_first_state(const alv_behavior *behavior, const char *key, const char *id)
{
    json_t *state = behavior->init == NULL ? NULL : behavior->init(key, id);
    if (!json_is_object(state)) {
        json_decref(state);
        state = json_object();
    }
    ALV_ASSERT(state != NULL);
    return state;
}

/* Makes the caller's reference the only one, by a shallow copy if need be. */
static void effects_own(json_t **state)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): set makes a state, unset has seen its field */
    if ((*state)->refcount == 1) {
        return;
    }
    json_t *copy = json_copy(*state);
    ALV_ASSERT(copy != NULL);
    json_decref(*state);
    *state = copy;
}

static const char *effects_field(const alv_effects *effects, const effect *item)
{
    ALV_ASSERT(item->field_at < effects->fields.size);
    return effects->fields.data + item->field_at;
}

static void effects_apply_one(alv_effects *effects, effect *item, json_t **state)
{
    switch (item->kind) {
    case EFFECT_SET:
        effects_own(state);
        /* Fails for want of memory only: name and value were checked, and the object is not its own
         * member, because then there would be two references to it. */
        ALV_ASSERT(json_object_set_new_nocheck(*state, effects_field(effects, item), item->value) ==
                   0);
        break;
    case EFFECT_UNSET:
        if (json_object_get(*state, effects_field(effects, item)) == NULL) {
            return;
        }
        effects_own(state);
        ALV_ASSERT(json_object_del(*state, effects_field(effects, item)) == 0);
        break;
    case EFFECT_REPLACE:
        json_decref(*state);
        *state = item->value;
        break;
    case EFFECT_DELETE:
        json_decref(*state);
        *state = NULL;
        break;
    }
    item->value = NULL;
}

void alv_effects_apply(alv_effects *effects, const alv_behavior *behavior, const char *key,
                       const char *id, json_t **state)
{
    ALV_ASSERT(!effects->rejected);
    ALV_ASSERT(*state == NULL || json_is_object(*state));
    for (size_t i = 0; i < effects->count; i++) {
        effect *item = &effects->items[i];
        ALV_ASSERT(item->value != NULL || item->kind == EFFECT_UNSET ||
                   item->kind == EFFECT_DELETE);
        if (*state == NULL && item->kind == EFFECT_SET) {
            *state = effects_first_state(behavior, key, id);
        }
        effects_apply_one(effects, item, state);
    }
}

json_t *alv_effects_reply(alv_effects *effects)
{
    if (effects->rejected && effects->reply == NULL) {
        effects->reply = json_pack("{s:s}", "error", effects->rejection);
    }
    return effects->reply;
}
