#include "processor/registry.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"
#include "processor/abi.h"
#include "processor/text.h"

struct alv_registry {
    const alv_behavior *behaviors[ALV_BEHAVIORS_MAX];
    alv_behavior *copies[ALV_BEHAVIORS_MAX]; /* of those with structs of another size; else NULL */
    alv_view types[ALV_BEHAVIORS_MAX];       /* of the behavior at the same place */
    alv_origin origins[ALV_BEHAVIORS_MAX];
    size_t count;
    const alv_behavior *fallback; /* answers for keys without "/"; NULL = nobody does */
};

alv_registry *alv_registry_new(void)
{
    return alv_alloc(sizeof(alv_registry));
}

/* Takes a copy and its rows. */
static void registry_free_copy(alv_behavior *copy)
{
    if (copy != NULL) {
        alv_free((alv_command_row *)(uintptr_t)copy->commands);
        alv_free(copy);
    }
}

void alv_registry_free(alv_registry *registry)
{
    for (size_t i = 0; registry != NULL && i < ALV_BEHAVIORS_MAX; i++) {
        registry_free_copy(registry->copies[i]);
    }
    alv_free(registry);
}

/* ---- checking a behavior --------------------------------------------------------------------- */

static bool registry_is_name(const char *name)
{
    if (name == NULL || name[0] == '\0') {
        return false;
    }
    size_t size = strnlen(name, ALV_NAME_BYTES_MAX + 1);
    return size <= ALV_NAME_BYTES_MAX && alv_utf8_valid(name, size);
}

static alv_status registry_check_fields(const alv_behavior *behavior, const alv_command_row *row,
                                        alv_error *err)
{
    for (size_t i = 0; i < ALV_FIELDS_MAX && row->fields[i].kind != ALV_FIELD_NONE; i++) {
        const alv_field *field = &row->fields[i];
        if (!registry_is_name(field->name)) {
            return alv_fail(
                err, ALV_REJECT,
                "behavior \"%s\", command \"%s\": field %zu has no name of 1 to %d bytes",
                behavior->type, row->name, i + 1, ALV_NAME_BYTES_MAX);
        }
        /* Unsigned, because a library may hold any number here. */
        if ((unsigned)field->kind > ALV_FIELD_ARRAY) {
            return alv_fail(err, ALV_REJECT,
                            "behavior \"%s\", command \"%s\": field \"%s\" is of no known kind",
                            behavior->type, row->name, field->name);
        }
    }
    return ALV_OK;
}

static alv_status registry_check_rows(const alv_behavior *behavior, alv_error *err)
{
    if (behavior->commands == NULL && behavior->command_count > 0) {
        return alv_fail(err, ALV_REJECT, "behavior \"%s\" has no table of commands",
                        behavior->type);
    }

    for (size_t i = 0; i < behavior->command_count; i++) {
        const alv_command_row *row = &behavior->commands[i];
        if (!registry_is_name(row->name)) {
            return alv_fail(err, ALV_REJECT,
                            "behavior \"%s\": command %zu has no name of 1 to %d bytes",
                            behavior->type, i + 1, ALV_NAME_BYTES_MAX);
        }
        if (row->handler == NULL) {
            return alv_fail(err, ALV_REJECT, "behavior \"%s\": command \"%s\" has no handler",
                            behavior->type, row->name);
        }
        if (alv_registry_row(behavior, row->name) != row) { /* looks no further than this row */
            return alv_fail(err, ALV_REJECT, "behavior \"%s\" has command \"%s\" twice",
                            behavior->type, row->name);
        }
        alv_status status = registry_check_fields(behavior, row, err);
        if (status != ALV_OK) {
            return status;
        }
    }
    return ALV_OK;
}

#define REGISTRY_EVERY_MIN_MS INT64_C(100)
#define REGISTRY_EVERY_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)
#define REGISTRY_SINGLETON_ID_BYTES_MAX 256 /* with type and prefix it is a key of the ledger */

static alv_status registry_check_singletons(const alv_behavior *behavior, alv_error *err)
{
    for (size_t i = 0; behavior->singletons != NULL && i < behavior->singleton_count; i++) {
        const alv_singleton *singleton = &behavior->singletons[i];
        size_t size =
            singleton->id == NULL ? 0 : strnlen(singleton->id, REGISTRY_SINGLETON_ID_BYTES_MAX + 1);
        if (size == 0 || size > REGISTRY_SINGLETON_ID_BYTES_MAX ||
            !alv_utf8_valid(singleton->id, size) ||
            (behavior->accepts != NULL && !behavior->accepts(singleton->id))) {
            return alv_fail(err, ALV_REJECT, "behavior \"%s\": the id of singleton %zu is no id",
                            behavior->type, i + 1);
        }
        if (singleton->command == NULL || alv_registry_row(behavior, singleton->command) == NULL) {
            return alv_fail(err, ALV_REJECT,
                            "behavior \"%s\": the command of singleton \"%s\" is unknown",
                            behavior->type, singleton->id);
        }
        if (singleton->every_ms < REGISTRY_EVERY_MIN_MS ||
            singleton->every_ms > REGISTRY_EVERY_MAX_MS) {
            return alv_fail(
                err, ALV_REJECT,
                "behavior \"%s\": singleton \"%s\" every %lld ms: say 100 ms to 366 days",
                behavior->type, singleton->id, (long long)singleton->every_ms);
        }
    }
    return ALV_OK;
}

#define REGISTRY_EXPIRE_MIN_MS INT64_C(1000)
#define REGISTRY_EXPIRE_MAX_MS (INT64_C(36525) * 24 * 3600 * 1000)

static alv_status registry_check_expiry(const alv_behavior *behavior, alv_error *err)
{
    int64_t after_ms = behavior->expire_after_ms;
    if (after_ms == 0 ||
        (after_ms >= REGISTRY_EXPIRE_MIN_MS && after_ms <= REGISTRY_EXPIRE_MAX_MS)) {
        return ALV_OK;
    }
    return alv_fail(err, ALV_REJECT,
                    "behavior \"%s\" expires after %lld ms: say 1000 ms to 100 years, or 0",
                    behavior->type, (long long)after_ms);
}

static const alv_behavior *registry_by_type(const alv_registry *registry, alv_view type)
{
    for (size_t i = 0; i < registry->count; i++) {
        if (alv_view_equal(registry->types[i], type)) {
            return registry->behaviors[i];
        }
    }
    return NULL;
}

/* Where the behavior of a type comes from; NULL when there is none. */
static const alv_origin *registry_origin_of(const alv_registry *registry, alv_view type)
{
    for (size_t i = 0; i < registry->count; i++) {
        if (alv_view_equal(registry->types[i], type)) {
            return &registry->origins[i];
        }
    }
    return NULL;
}

/* ---- structs of another size ----------------------------------------------------------------- */

/* What the first version of this layout had: less cannot be. */
#define REGISTRY_BEHAVIOR_BYTES_MIN \
    (offsetof(alv_behavior, accepts) + sizeof(((alv_behavior *)0)->accepts))
#define REGISTRY_ROW_BYTES_MIN \
    (offsetof(alv_command_row, fields) + sizeof(((alv_command_row *)0)->fields))

/* A behavior compiled against an older or newer version of the same ABI, as one of this version. */
static alv_behavior *registry_translate(const alv_behavior *behavior, alv_error *err)
{
    alv_behavior *copy = alv_alloc(sizeof *copy);
    bool known = alv_abi_copy(behavior, behavior->size, copy, sizeof *copy);
    size_t count = copy->commands == NULL ? 0 : copy->command_count;
    alv_command_row *rows = alv_alloc_array(count + 1, sizeof *rows);
    const char *from = (const char *)copy->commands;
    for (size_t i = 0; i < count; i++) {
        known = alv_abi_copy(from + i * behavior->row_size, behavior->row_size, &rows[i],
                             sizeof *rows) &&
                known;
    }
    copy->commands = copy->commands == NULL ? NULL : rows;
    if (copy->commands == NULL) {
        alv_free(rows);
    }
    if (!known) {
        registry_free_copy(copy);
        (void)alv_fail(err, ALV_REJECT, "a behavior %s", ALV_ABI_TOO_NEW);
        return NULL;
    }
    return copy;
}

/* ---- adding ---------------------------------------------------------------------------------- */

static alv_status registry_check(const alv_registry *registry, const alv_behavior *behavior,
                                 alv_error *err)
{
    if (!registry_is_name(behavior->type) || strchr(behavior->type, '/') != NULL) {
        return alv_fail(err, ALV_REJECT, "a behavior has no type of 1 to %d bytes without \"/\"",
                        ALV_NAME_BYTES_MAX);
    }
    const alv_origin *other = registry_origin_of(registry, alv_view_of(behavior->type));
    if (other != NULL) {
        return alv_fail(
            err, ALV_REJECT,
            "there are two behaviors for type \"%s\", the other %s: change the type, or "
            "load one of them only",
            behavior->type, other->library == NULL ? "built in" : other->library);
    }
    if (registry->count == ALV_BEHAVIORS_MAX) {
        return alv_fail(err, ALV_REJECT, "behavior \"%s\" is one too many: at most %d fit",
                        behavior->type, ALV_BEHAVIORS_MAX);
    }
    if (behavior->singletons == NULL && behavior->singleton_count > 0) {
        return alv_fail(err, ALV_REJECT, "behavior \"%s\" has no table of singletons",
                        behavior->type);
    }
    if (behavior->state_version > 1 && behavior->migrate == NULL) {
        return alv_fail(err, ALV_REJECT,
                        "behavior \"%s\" has states of version %" PRIu32
                        " and no function migrate for older ones",
                        behavior->type, behavior->state_version);
    }
    alv_status status = registry_check_rows(behavior, err);
    if (status == ALV_OK) {
        status = registry_check_singletons(behavior, err);
    }
    return status == ALV_OK ? registry_check_expiry(behavior, err) : status;
}

alv_status alv_registry_add(alv_registry *registry, const alv_behavior *behavior, alv_error *err)
{
    const alv_origin built_in = {.library = NULL, .version = ALV_VERSION};
    return alv_registry_add_from(registry, behavior, &built_in, err);
}

alv_status alv_registry_add_from(alv_registry *registry, const alv_behavior *behavior,
                                 const alv_origin *origin, alv_error *err)
{
    /* First of all: with another ABI nothing else in the struct means what it says. */
    if (behavior->abi != ALV_BEHAVIOR_ABI) {
        return alv_fail(err, ALV_REJECT, "a behavior " ALV_ABI_OTHER, behavior->abi,
                        ALV_BEHAVIOR_ABI);
    }
    if (behavior->size < REGISTRY_BEHAVIOR_BYTES_MIN ||
        behavior->row_size < REGISTRY_ROW_BYTES_MIN) {
        return alv_fail(err, ALV_REJECT, "a behavior does not begin with ALV_BEHAVIOR_HEAD");
    }
    alv_behavior *copy = NULL;
    if (behavior->size != sizeof *behavior || behavior->row_size != sizeof(alv_command_row)) {
        copy = registry_translate(behavior, err);
        if (copy == NULL) {
            return ALV_REJECT;
        }
        behavior = copy;
    }
    alv_status status = registry_check(registry, behavior, err);
    if (status != ALV_OK) {
        registry_free_copy(copy);
        return status;
    }
    registry->behaviors[registry->count] = behavior;
    registry->copies[registry->count] = copy;
    registry->types[registry->count] = alv_view_of(behavior->type);
    registry->origins[registry->count] = *origin;
    registry->count++;
    return ALV_OK;
}

alv_status alv_registry_set_default(alv_registry *registry, const char *type, alv_error *err)
{
    const alv_behavior *behavior = registry_by_type(registry, alv_view_of(type));
    if (behavior == NULL) {
        return alv_fail(err, ALV_REJECT, "there is no behavior for type %s",
                        alv_text_quote(alv_view_of(type)).text);
    }
    registry->fallback = behavior;
    return ALV_OK;
}

alv_status alv_registry_check_tables(const alv_registry *registry, const alv_table_list *list,
                                     alv_error *err)
{
    for (size_t i = 0; i < registry->count; i++) {
        const alv_behavior *behavior = registry->behaviors[i];
        for (size_t k = 0; behavior->tables != NULL && k < behavior->table_count; k++) {
            if (!registry_is_name(behavior->tables[k]) ||
                alv_table_list_find(list, behavior->tables[k]) == ALV_TABLE_NONE) {
                return alv_fail(err, ALV_REJECT,
                                "behavior \"%s\" needs a global table that is not configured: "
                                "add %.64s to global.tables",
                                behavior->type,
                                behavior->tables[k] == NULL ? "it" : behavior->tables[k]);
            }
        }
    }
    return ALV_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The "/" of a key, NULL when it has none. */
static const char *registry_slash(alv_view key)
{
    return key.size == 0 ? NULL : memchr(key.data, '/', key.size);
}

const alv_behavior *alv_registry_find(const alv_registry *registry, alv_view key, size_t *out_id_at)
{
    const char *slash = registry_slash(key);
    const alv_behavior *behavior = registry->fallback;
    size_t id_at = 0;
    if (slash != NULL) {
        size_t type_size = (size_t)(slash - key.data);
        behavior = registry_by_type(registry, (alv_view){key.data, type_size});
        id_at = type_size + 1;
    }
    if (behavior != NULL) {
        *out_id_at = id_at;
    }
    return behavior;
}

const alv_behavior *alv_registry_at(const alv_registry *registry, size_t index)
{
    return index < registry->count ? registry->behaviors[index] : NULL;
}

alv_origin alv_registry_origin(const alv_registry *registry, size_t index)
{
    ALV_ASSERT(index < registry->count);
    return registry->origins[index];
}

uint32_t alv_registry_state_version(const alv_behavior *behavior)
{
    return behavior->state_version > 1 ? behavior->state_version : 1;
}

const alv_command_row *alv_registry_row(const alv_behavior *behavior, const char *name)
{
    for (size_t i = 0; i < behavior->command_count; i++) {
        if (strcmp(behavior->commands[i].name, name) == 0) {
            return &behavior->commands[i];
        }
    }
    return NULL;
}

alv_view alv_registry_type(const alv_registry *registry, alv_view key)
{
    const char *slash = registry_slash(key);
    if (slash != NULL) {
        return (alv_view){key.data, (size_t)(slash - key.data)};
    }
    return registry->fallback == NULL ? ALV_VIEW("") : alv_view_of(registry->fallback->type);
}
