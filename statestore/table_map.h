/* table_map.h — the rows of one global table: a map from keys to JSON of which a snapshot costs nothing.
 *
 * Why:    one thread follows a topic while lanes look rows up, each for a whole transaction in the same
 *         version. A map here is a tree whose nodes never change once two maps share them: a snapshot is a
 *         reference to the root, and the next put copies the nodes on its way, some twenty of a million. Readers take
 *         no lock, and nobody waits for anybody.
 * Thread: a map belongs to one thread. Snapshots of it may be read, shared and done with by others at the
 *         same time; references are counted atomically, those of jansson's values too.
 * Owns:   keys and values; a value that was handed out is good as long as the map it is from.
 *
 * The tree is a treap: ordered by key, so that rows can be listed; balanced by random priorities, so that no
 * order of keys makes it deep.
 */
#ifndef ALV_STATESTORE_TABLE_MAP_H
#define ALV_STATESTORE_TABLE_MAP_H

#include <jansson.h>
#include <stdint.h>

#include "base/bytes.h"

typedef struct alv_table_row alv_table_row;

typedef struct alv_table_map {
    alv_table_row *root;
    size_t count; /* rows */
    size_t bytes; /* memory of the rows, estimated */
    uint64_t random;
} alv_table_map;

/* `seed`: any number; two maps with the same one get the same shape from the same puts. */
void alv_table_map_init(alv_table_map *map, uint64_t seed);
void alv_table_map_done(alv_table_map *map);

/* The map as it is now: later changes of either are not seen by the other. */
alv_table_map alv_table_map_share(const alv_table_map *map);

/* Sets a row. Copies the key, steals `value`. `encoded_bytes` is its size as JSON, for the estimate. */
void alv_table_map_put(alv_table_map *map, alv_view key, json_t *value, size_t encoded_bytes);

/* Nothing happens when there is none. */
void alv_table_map_remove(alv_table_map *map, alv_view key);

/* Borrowed; NULL when there is none. */
json_t *alv_table_map_get(const alv_table_map *map, alv_view key);

/* Memory of the row, estimated; 0 when there is none. */
size_t alv_table_map_bytes(const alv_table_map *map, alv_view key);

/* The first row behind `after` in the order of bytes; absent: the first of all. False: there is none. What
 * is filled in is borrowed. */
bool alv_table_map_next(const alv_table_map *map, alv_view after, alv_view *out_key,
                        json_t **out_value);

#endif
