/* registry.h — which behavior answers for which entity type.
 *
 * Why:    a key is `type/id`; a key without `/` belongs to the default type (behavior.default).
 * Thread: filled on the main thread before lanes start, read-only afterwards.
 * Owns:   nothing but its list; behaviors are static or live in a loaded library that stays loaded.
 * Limits: ALV_BEHAVIORS_MAX.
 */
#ifndef ALV_PROCESSOR_REGISTRY_H
#define ALV_PROCESSOR_REGISTRY_H

#include "base/bytes.h"
#include "base/status.h"
#include "base/table_list.h"
#include "include/alluvium/behavior.h"

#define ALV_BEHAVIORS_MAX 64

typedef struct alv_registry alv_registry;

/* Where a behavior comes from. */
typedef struct alv_origin {
    const char *library; /* path of the shared object; NULL = it is built in */
    const char *version;
} alv_origin;

alv_registry *alv_registry_new(void);
void alv_registry_free(alv_registry *registry);

/* Takes a behavior after checking its table, so that nobody need check it later. ALV_REJECT:
 * another ABI, or parts of a later version in use; a type that is missing, doubled or holds "/"; a row without name or handler; a
 * doubled command; a field without a name or of no known kind; a singleton
 * with an id that the behavior does not accept, an unknown command or an interval out of range; a state version that
 * nothing migrates to; a name over ALV_NAME_BYTES_MAX; too
 * many behaviors. */
alv_status alv_registry_add(alv_registry *registry, const alv_behavior *behavior, alv_error *err);

/* The same for one that is not built in. The texts of `origin` are borrowed. */
alv_status alv_registry_add_from(alv_registry *registry, const alv_behavior *behavior,
                                 const alv_origin *origin, alv_error *err);

/* Names the type of keys without "/"; ALV_REJECT when no such behavior was added. */
alv_status alv_registry_set_default(alv_registry *registry, const char *type, alv_error *err);

/* The behavior of a key (which may be any bytes), NULL when its type is unknown. *out_id_at, which
 * is set when there is one, is where the id begins in the key: 0 for a key without "/". */
const alv_behavior *alv_registry_find(const alv_registry *registry, alv_view key,
                                      size_t *out_id_at);

/* Whether every table that a behavior names is configured. ALV_REJECT. */
alv_status alv_registry_check_tables(const alv_registry *registry, const alv_table_list *list,
                                     alv_error *err);

/* The behaviors one after another, NULL behind the last. */
const alv_behavior *alv_registry_at(const alv_registry *registry, size_t index);

/* Where that one (index below their number) comes from. */
alv_origin alv_registry_origin(const alv_registry *registry, size_t index);

/* The version of its states: 1 when it does not say. */
uint32_t alv_registry_state_version(const alv_behavior *behavior);

/* The row of a command, NULL when the behavior has none of that name. */
const alv_command_row *alv_registry_row(const alv_behavior *behavior, const char *name);

/* The type part of a key: before "/", or the default type. A view into `key` or of the behavior's
 * own string; empty when the key has no "/" and no default is set. */
alv_view alv_registry_type(const alv_registry *registry, alv_view key);

#endif
