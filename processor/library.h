/* library.h — shared objects with behaviors: judged, loaded, and their behaviors in the registry.
 *
 * Why:    what is loaded runs with the rights of the node and in its address space, so a file is judged before a
 *         byte of it runs: who could have put it there. What it says of itself (ABI, tables) is judged next; what is
 *         wrong ends the start with the next step, never with a node that lacks a behavior.
 * Thread: main, before lanes start.
 * Owns:   the loaded objects. Behaviors and texts in them are valid until alv_library_close.
 * Limits: ALV_LIBRARIES_MAX.
 */
#ifndef ALV_PROCESSOR_LIBRARY_H
#define ALV_PROCESSOR_LIBRARY_H

#include "base/status.h"
#include "processor/registry.h"

#define ALV_LIBRARIES_MAX 32

typedef struct alv_library {
    char *path;                 /* absolute, as it was named */
    void *handle;               /* of dlopen */
    alv_behavior_library table; /* as of this version of behavior.h */
    struct alv_library *next;   /* loaded after this one; NULL = none */
} alv_library;

/* Loads the libraries of a list of absolute paths (separated by commas, as the setting behavior.libraries; NULL or
 * empty: none) and adds their behaviors to `registry`, which already has the built-in ones. *out is the first,
 * NULL when there is none. ALV_REJECT, with nothing left loaded and a registry to be thrown away: `err` says which
 * file, what is wrong and what to do: a path that is not absolute; a file, or a folder above it, that everybody may
 * write; a file of an owner other than root or the own user; one that dlopen does not take; no table
 * ALV_LIBRARY_SYMBOL; another ABI; a bad behavior; a type that exists already. */
alv_status alv_library_load(const char *paths, alv_registry *registry, alv_library **out,
                            alv_error *err);

/* Unloads it and those after it. The registry must be gone. NULL is fine. */
void alv_library_close(alv_library *library);

#endif
