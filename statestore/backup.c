#include "statestore/backup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/backup_internal.h"
#include "statestore/store_checkpoint.h"
#include "statestore/store_directory_internal.h"

/* Beside the database in state.dir while a restore is under way. */
#define RESTORE_NAME "rocksdb.restore"

void alv_backup_done(alv_backup *backup)
{
    for (size_t i = 0; i < backup->file_count; i++) {
        alv_free(backup->files[i].name);
    }
    alv_free(backup->files);
    alv_free(backup->shards);
    alv_free(backup->application_id);
    alv_free(backup->node_id);
    alv_free(backup->changelog_id);
    *backup = ALV_BACKUP_NONE;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A backup within state.dir would be lost with it. Both exist by now. */
static alv_status backup_refuse_inside(const char *directory, const char *state_dir, alv_error *err)
{
    char real_directory[PATH_MAX];
    char real_state_dir[PATH_MAX];
    if (realpath(directory, real_directory) == NULL ||
        realpath(state_dir, real_state_dir) == NULL) {
        return alv_fail_from(err, ALV_REJECT, "errno", errno, "cannot find %s or %s: %s", directory,
                             state_dir, strerror(errno));
    }
    size_t length = strlen(real_state_dir);
    if (strncmp(real_directory, real_state_dir, length) == 0 &&
        (real_directory[length] == '/' || real_directory[length] == '\0')) {
        (void)rmdir(directory); /* only if it is empty: it may have been made just now */
        return alv_fail(err, ALV_REJECT,
                        "%s lies within state.dir and would be lost with it; name a directory "
                        "elsewhere, best on another disk",
                        directory);
    }
    return ALV_OK;
}

/* Positions are read from the copy: what is said about it is what it holds, and it can be opened. */
static alv_status backup_read_positions(const char *database, alv_backup *backup, alv_error *err)
{
    alv_store *store = NULL;
    alv_status status = alv_store_checkpoint_open(database, &store, err);
    if (status != ALV_OK) {
        return status;
    }
    int32_t *numbers = alv_alloc_array(ALV_SHARDS_MAX, sizeof *numbers);
    size_t count = alv_store_checkpoint_shards(store, numbers);
    backup->shards = alv_alloc_array(count, sizeof *backup->shards);
    for (size_t i = 0; i < count && (status == ALV_OK || status == ALV_REJECT); i++) {
        alv_backup_shard *shard = &backup->shards[backup->shard_count++];
        shard->shard = numbers[i];
        alv_error ignored = ALV_ERROR_NONE;
        status = store->ops->open_shard(store, numbers[i], &shard->position, &ignored);
        shard->is_readable = status == ALV_OK;
        if (status != ALV_OK && status != ALV_REJECT) {
            (void)alv_fail_from(err, status, ignored.source, ignored.code, "%s", ignored.text);
        }
    }
    alv_free(numbers);
    store->ops->close(store);
    return status == ALV_REJECT ? ALV_OK : status;
}

static alv_status backup_identify(const alv_backup_source *source, alv_backup *out, alv_error *err)
{
    char *changelog_id = NULL;
    alv_status status =
        alv_store_directory_read(source->state_dir, source->application_id, &changelog_id, err);
    if (status == ALV_OK && changelog_id == NULL) {
        status = alv_fail(err, ALV_REJECT,
                          "state.dir %s was never used by a node: there is nothing to back up",
                          source->state_dir);
    }
    out->application_id = alv_strdup(source->application_id);
    out->node_id = alv_strdup(source->node_id);
    out->changelog_id = changelog_id;
    out->taken_at_ms = source->taken_at_ms;
    return status;
}

alv_status alv_backup_write(const alv_backup_source *source, const char *directory,
                            alv_backup_progress progress, void *payload, alv_backup *out,
                            alv_error *err)
{
    static const char *const nothing[] = {NULL};
    *out = ALV_BACKUP_NONE;
    char *database = alv_format("%s/rocksdb", directory);
    alv_status status = backup_identify(source, out, err);
    if (status == ALV_OK) {
        status = alv_backup_files_claim(directory, nothing, err);
    }
    if (status == ALV_OK) {
        status = backup_refuse_inside(directory, source->state_dir, err);
    }
    if (status == ALV_OK) {
        status = alv_backup_files_list(source->checkpoint, out, err);
    }
    if (status == ALV_OK) {
        status = alv_backup_files_copy(out, source->checkpoint, database, progress, payload, err);
    }
    if (status == ALV_OK) {
        status = backup_read_positions(database, out, err);
    }
    if (status == ALV_OK) {
        status = alv_backup_manifest_write(out, directory, err);
    }
    alv_free(database);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static alv_status backup_check_file(const char *directory, const alv_backup_file *file,
                                    alv_error *err)
{
    struct stat about;
    char *path = alv_format("%s/rocksdb/%s", directory, file->name);
    int found = stat(path, &about);
    alv_free(path);
    if (found != 0 || about.st_size != file->bytes) {
        return alv_fail(err, ALV_REJECT,
                        "the backup in %s is not whole: rocksdb/%.100s is missing or has another "
                        "length; copy it again, or use another backup",
                        directory, file->name);
    }
    return ALV_OK;
}

alv_status alv_backup_read(const char *directory, alv_backup *out, alv_error *err)
{
    *out = ALV_BACKUP_NONE;
    alv_status status = alv_backup_manifest_read(directory, out, err);
    for (size_t i = 0; i < out->file_count && status == ALV_OK; i++) {
        status = backup_check_file(directory, &out->files[i], err);
    }
    return status;
}

/* ---- restoring ------------------------------------------------------------------------------- */

/* What a node that never got to work, or a restore that was cut short, leaves: nothing of it is state. */
static const char *const restore_leftovers[] = {"lock",    "VERSION",    "CHANGELOG", "in-flight",
                                                "control", RESTORE_NAME, NULL};

/* The database is put in place last: without it the directory is that of a new node, which restores all
 * of its state from the changelog. */
static alv_status restore_locked(const alv_backup *backup, const char *directory,
                                 const char *state_dir, alv_backup_progress progress, void *payload,
                                 alv_error *err)
{
    char *from = alv_format("%s/rocksdb", directory);
    char *database = alv_format("%s/rocksdb", state_dir);
    char *fresh = alv_format("%s/" RESTORE_NAME, state_dir);
    alv_status status = alv_store_checkpoint_remove(fresh, err);
    if (status == ALV_OK) {
        status = alv_store_directory_bind(state_dir, backup->changelog_id, err);
    }
    if (status == ALV_OK) {
        status = alv_backup_files_copy(backup, from, fresh, progress, payload, err);
    }
    if (status == ALV_OK && rename(fresh, database) != 0) {
        status = alv_fail_from(err, ALV_REJECT, "errno", errno, "cannot make %s: %s", database,
                               strerror(errno));
    }
    if (status == ALV_OK) {
        status = alv_backup_files_sync(state_dir, err);
    }
    alv_free(fresh);
    alv_free(database);
    alv_free(from);
    return status;
}

/* A node that has the directory is the better reason than what it has put there. */
static alv_status restore_refuse_in_use(const char *state_dir, const char *application_id,
                                        alv_error *err)
{
    char *lock = alv_format("%s/lock", state_dir);
    bool was_used = access(lock, F_OK) == 0;
    alv_free(lock);
    int held = -1;
    alv_status status =
        was_used ? alv_store_directory_open(state_dir, application_id, &held, err) : ALV_OK;
    if (held >= 0) {
        alv_store_directory_close(held);
    }
    return status;
}

alv_status alv_backup_restore(const alv_backup *backup, const char *directory,
                              const char *application_id, const char *state_dir,
                              alv_backup_progress progress, void *payload, alv_error *err)
{
    if (strcmp(backup->application_id, application_id) != 0) {
        return alv_fail(err, ALV_REJECT,
                        "the backup in %s belongs to application.id=%.100s, not %.100s", directory,
                        backup->application_id, application_id);
    }
    int lock = -1;
    alv_status status = restore_refuse_in_use(state_dir, application_id, err);
    if (status == ALV_OK) {
        status = alv_backup_files_claim(state_dir, restore_leftovers, err);
    }
    if (status == ALV_OK) {
        status = alv_store_directory_open(state_dir, application_id, &lock, err);
    }
    if (status != ALV_OK) {
        return status;
    }
    status = restore_locked(backup, directory, state_dir, progress, payload, err);
    alv_store_directory_close(lock);
    return status;
}
