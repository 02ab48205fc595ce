/* watch_index.h — who watches a key: by name, by prefix, by pattern.
 *
 * Why:    a change is compared with what is watched, not with every watcher: keys are looked up,
 *         prefixes are looked up once for each length that is in use, patterns are tried when what
 *         they begin with fits. Watchers of the same are kept together.
 * Thread: one.
 * Owns:   copies of the texts. Members are the caller's, who removes them before they go.
 */
#ifndef ALV_API_WATCH_INDEX_H
#define ALV_API_WATCH_INDEX_H

#include "base/bytes.h"

typedef enum alv_watch_kind {
    ALV_WATCH_KEY,     /* the text is the key */
    ALV_WATCH_PREFIX,  /* the key begins with the text; all keys begin with "" */
    ALV_WATCH_PATTERN, /* the text is a checked pattern (base/glob.h) that the key matches */
} alv_watch_kind;

typedef struct alv_watch_index alv_watch_index;
typedef struct alv_watch_group alv_watch_group;

/* Part of a watcher. Zero while it is in no index. */
typedef struct alv_watch_member {
    alv_watch_group *group;
    struct alv_watch_member *next;
    struct alv_watch_member **previous;
} alv_watch_member;

alv_watch_index *alv_watch_index_new(void);

/* It must be empty. NULL is fine. */
void alv_watch_index_free(alv_watch_index *index);

/* `text` has at most ALV_KEY_BYTES_MAX bytes. */
void alv_watch_index_add(alv_watch_index *index, alv_watch_kind kind, alv_view text,
                         alv_watch_member *member);

/* Nothing happens when it is in no index. */
void alv_watch_index_remove(alv_watch_index *index, alv_watch_member *member);

typedef void (*alv_watch_visit)(void *payload, alv_watch_member *member);

/* Visits all who watch `key`. The index must not be changed meanwhile. */
void alv_watch_index_match(const alv_watch_index *index, alv_view key, alv_watch_visit visit,
                           void *payload);

#endif
