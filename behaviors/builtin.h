/* builtin.h — the behaviors that every node brings along.
 *
 * Why:    one call at start makes them known, before those of behavior.libraries are loaded.
 * Thread: main.
 */
#ifndef ALV_BEHAVIORS_BUILTIN_H
#define ALV_BEHAVIORS_BUILTIN_H

#include "processor/registry.h"

/* Adds them to `registry`. ALV_REJECT: one of the types is taken. */
alv_status alv_builtin_register(alv_registry *registry, alv_error *err);

#endif
