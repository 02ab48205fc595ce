/* backup.h — a copy of a node's state in a directory of its own, and the way back.
 *
 * Why:    a node that lost its disk is restored from the changelog, which takes as long as reading it. From
 *         a backup it starts with the state as of then and reads the tail only (I6).
 * Thread: any; blocks for as long as the disk takes.
 * Owns:   an alv_backup belongs to the caller, alv_backup_done frees what is in it.
 * Fails:  ALV_RETRY disk full or the like; ALV_REJECT what a person must put right, `err` says how.
 *
 *   <directory>/rocksdb/      the database: .sst files are hard links where that is possible
 *   <directory>/backup.json   written last: without it the backup is not complete
 *
 * A backup never changes: restoring copies from it, so that it can be restored again. Shards in it are
 * complete up to their own positions, each by itself (I2).
 */
#ifndef ALV_STATESTORE_BACKUP_H
#define ALV_STATESTORE_BACKUP_H

#include <jansson.h>
#include <stdint.h>

#include "statestore/store.h"

typedef struct alv_backup_shard {
    int32_t shard;
    bool is_readable;      /* false: damaged as it was in the store; a node restores it */
    alv_position position; /* when it is readable */
} alv_backup_shard;

typedef struct alv_backup_file {
    char *name; /* within rocksdb/ */
    int64_t bytes;
} alv_backup_file;

typedef struct alv_backup {
    char *application_id;
    char *node_id;      /* whose state it is */
    char *changelog_id; /* of the topic that it is a copy of, as Kafka names it */
    int64_t taken_at_ms;
    alv_backup_shard *shards;
    size_t shard_count;
    alv_backup_file *files;
    size_t file_count;
    int64_t bytes; /* of all files */
} alv_backup;

#define ALV_BACKUP_NONE ((alv_backup){.application_id = NULL})

void alv_backup_done(alv_backup *backup);

/* Called as the work goes on. */
typedef void (*alv_backup_progress)(void *payload, int64_t bytes_done, int64_t bytes_total);

/* Whose state it is; texts are borrowed. */
typedef struct alv_backup_source {
    const char *checkpoint; /* see store_checkpoint.h */
    const char *state_dir;  /* that it was made of */
    const char *application_id;
    const char *node_id;
    int64_t taken_at_ms;
} alv_backup_source;

/* Makes `directory` (absent or empty) a backup of a checkpoint, and opens it to see that it can be.
 * ALV_REJECT: the directory holds something, or lies within state.dir; state.dir is of another application
 * or never belonged to a changelog. */
alv_status alv_backup_write(const alv_backup_source *source, const char *directory,
                            alv_backup_progress progress, void *payload, alv_backup *out,
                            alv_error *err);

/* What a directory holds, after checking that all files are there in their length. ALV_REJECT: it is no
 * backup, not a complete one, or of a format that this program does not know. */
alv_status alv_backup_read(const char *directory, alv_backup *out, alv_error *err);

/* Puts a backup into state.dir, which must be absent or empty, and is locked meanwhile. A restore that was
 * cut short may be run again. ALV_REJECT: another application; state.dir is in use or holds something. */
alv_status alv_backup_restore(const alv_backup *backup, const char *directory,
                              const char *application_id, const char *state_dir,
                              alv_backup_progress progress, void *payload, alv_error *err);

/* The backup as JSON, as in backup.json. A new reference. */
json_t *alv_backup_json(const alv_backup *backup);

#endif
