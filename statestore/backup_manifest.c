/* backup_manifest.c — backup.json: what a backup holds, and how far it goes.
 *
 *   {"format": "alluvium-backup", "version": 1, "state": "1",
 *    "application": ..., "node": ..., "changelogId": ..., "takenAt": ms, "bytes": ...,
 *    "shards": [{"shard": 0, "position": {"commands", "changelog", "ledger", "at"}}, ...],
 *    "files": [{"name": "000012.sst", "bytes": 1234}, ...]}
 *
 * "state" is the format of what is in state.dir (VERSION there). A damaged shard has "position": null. It is
 * read like anything from outside: what is wrong with it is said, never asserted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "statestore/backup_internal.h"
#include "statestore/store_directory_internal.h"

#define MANIFEST_NAME "backup.json"
#define MANIFEST_FORMAT "alluvium-backup"
#define MANIFEST_VERSION 1
#define MANIFEST_FILES_MAX 1000000

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *manifest_shards(const alv_backup *backup)
{
    json_t *list = json_array();
    for (size_t i = 0; i < backup->shard_count; i++) {
        const alv_backup_shard *shard = &backup->shards[i];
        const alv_position *at = &shard->position;
        json_t *position =
            shard->is_readable
                ? json_pack("{s:I, s:I, s:I, s:I}", "commands", (json_int_t)at->commands,
                            "changelog", (json_int_t)at->changelog, "ledger",
                            (json_int_t)at->ledger, "at", (json_int_t)at->at_ms)
                : json_null();
        (void)json_array_append_new(
            list, json_pack("{s:i, s:o}", "shard", (int)shard->shard, "position", position));
    }
    return list;
}

static json_t *manifest_files(const alv_backup *backup)
{
    json_t *list = json_array();
    for (size_t i = 0; i < backup->file_count; i++) {
        const alv_backup_file *file = &backup->files[i];
        (void)json_array_append_new(
            list, json_pack("{s:s, s:I}", "name", file->name, "bytes", (json_int_t)file->bytes));
    }
    return list;
}

json_t *alv_backup_json(const alv_backup *backup)
{
    json_t *manifest = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "format", MANIFEST_FORMAT, "version",
        MANIFEST_VERSION, "state", ALV_STORE_DIRECTORY_FORMAT, "application",
        backup->application_id, "node", backup->node_id, "changelogId", backup->changelog_id,
        "takenAt", (json_int_t)backup->taken_at_ms, "bytes", (json_int_t)backup->bytes, "shards",
        manifest_shards(backup), "files", manifest_files(backup));
    ALV_ASSERT(manifest != NULL); /* ids are UTF-8: the configuration checks them */
    return manifest;
}

static alv_status manifest_fail(alv_error *err, const char *path)
{
    return alv_fail_from(err, errno == ENOSPC ? ALV_RETRY : ALV_REJECT, "errno", errno,
                         "cannot write %s: %s", path, strerror(errno));
}

/* Whole or not at all, also across a power loss. */
alv_status alv_backup_manifest_write(const alv_backup *backup, const char *directory,
                                     alv_error *err)
{
    char *path = alv_format("%s/" MANIFEST_NAME, directory);
    char *temporary = alv_format("%s.new", path);
    json_t *manifest = alv_backup_json(backup);
    alv_status status = ALV_OK;
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || json_dumpfd(manifest, file, JSON_INDENT(1)) != 0 || fsync(file) != 0 ||
        rename(temporary, path) != 0) {
        status = manifest_fail(err, path);
    }
    if (file >= 0) {
        (void)close(file); /* synced above, or failed already */
    }
    json_decref(manifest);
    alv_free(temporary);
    alv_free(path);
    return status == ALV_OK ? alv_backup_files_sync(directory, err) : status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static alv_status manifest_refuse(alv_error *err, const char *directory, const char *what)
{
    return alv_fail(err, ALV_REJECT, "%s/" MANIFEST_NAME ": %s", directory, what);
}

static bool manifest_read_shard(json_t *item, alv_backup_shard *out)
{
    json_int_t shard = -1;
    json_int_t commands = -1;
    json_int_t changelog = -1;
    json_int_t ledger = -1;
    json_int_t at_ms = 0;
    json_t *position = NULL;
    if (json_unpack(item, "{s:I, s:o}", "shard", &shard, "position", &position) != 0 || shard < 0 ||
        shard >= ALV_SHARDS_MAX) {
        return false;
    }
    *out = (alv_backup_shard){.shard = (int32_t)shard};
    if (json_is_null(position)) {
        return true;
    }
    if (json_unpack(position, "{s:I, s:I, s:I, s:I}", "commands", &commands, "changelog",
                    &changelog, "ledger", &ledger, "at", &at_ms) != 0 ||
        commands < 0 || changelog < 0 || ledger < 0) {
        return false;
    }
    out->is_readable = true;
    out->position = (alv_position){commands, changelog, ledger, at_ms};
    return true;
}

static bool manifest_read_shards(json_t *list, alv_backup *out)
{
    size_t i;
    json_t *item;
    if (!json_is_array(list) || json_array_size(list) > ALV_SHARDS_MAX) {
        return false;
    }
    out->shards = alv_alloc_array(json_array_size(list), sizeof *out->shards);
    json_array_foreach(list, i, item)
    {
        if (!manifest_read_shard(item, &out->shards[out->shard_count])) {
            return false;
        }
        out->shard_count++;
    }
    return true;
}

/* A name is put behind a directory: it must not lead out of it. */
static bool manifest_is_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static bool manifest_read_files(json_t *list, alv_backup *out)
{
    size_t i;
    json_t *item;
    if (!json_is_array(list) || json_array_size(list) > MANIFEST_FILES_MAX) {
        return false;
    }
    out->files = alv_alloc_array(json_array_size(list), sizeof *out->files);
    json_array_foreach(list, i, item)
    {
        const char *name = NULL;
        json_int_t bytes = -1;
        if (json_unpack(item, "{s:s, s:I}", "name", &name, "bytes", &bytes) != 0 || bytes < 0 ||
            bytes > INT64_MAX / MANIFEST_FILES_MAX || !manifest_is_name(name)) {
            return false;
        }
        out->files[out->file_count++] = (alv_backup_file){alv_strdup(name), bytes};
        out->bytes += bytes;
    }
    return true;
}

/* Formats first: what follows may mean something else in another one. */
static alv_status manifest_check_format(json_t *manifest, const char *directory, alv_error *err)
{
    const char *format = NULL;
    const char *state = "?";
    int version = 0;
    if (json_unpack(manifest, "{s:s, s:i}", "format", &format, "version", &version) != 0 ||
        strcmp(format, MANIFEST_FORMAT) != 0) {
        return manifest_refuse(err, directory, "this is not a backup of Alluvium");
    }
    (void)json_unpack(manifest, "{s:s}", "state", &state);
    if (version != MANIFEST_VERSION || strcmp(state, ALV_STORE_DIRECTORY_FORMAT) != 0) {
        return alv_fail(err, ALV_REJECT,
                        "%s holds a backup of version %d with state of format %.40s, this program "
                        "knows %d and %s; restore it with the program that made it",
                        directory, version, state, MANIFEST_VERSION, ALV_STORE_DIRECTORY_FORMAT);
    }
    return ALV_OK;
}

static alv_status manifest_take(json_t *manifest, const char *directory, alv_backup *out,
                                alv_error *err)
{
    const char *application = NULL;
    const char *node = NULL;
    const char *changelog = NULL;
    json_int_t taken_at_ms = 0;
    alv_status status = manifest_check_format(manifest, directory, err);
    if (status != ALV_OK) {
        return status;
    }
    if (json_unpack(manifest, "{s:s, s:s, s:s, s:I}", "application", &application, "node", &node,
                    "changelogId", &changelog, "takenAt", &taken_at_ms) != 0 ||
        !manifest_read_shards(json_object_get(manifest, "shards"), out) ||
        !manifest_read_files(json_object_get(manifest, "files"), out)) {
        return manifest_refuse(err, directory, "it was changed or damaged; use another backup");
    }
    out->application_id = alv_strdup(application);
    out->node_id = alv_strdup(node);
    out->changelog_id = alv_strdup(changelog);
    out->taken_at_ms = taken_at_ms;
    return ALV_OK;
}

alv_status alv_backup_manifest_read(const char *directory, alv_backup *out, alv_error *err)
{
    char *path = alv_format("%s/" MANIFEST_NAME, directory);
    json_error_t problem;
    bool is_there = access(path, F_OK) == 0;
    json_t *manifest = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    alv_status status;
    if (manifest != NULL) {
        status = manifest_take(manifest, directory, out, err);
    } else if (!is_there) {
        status = alv_fail(err, ALV_REJECT,
                          "there is no backup in %s, or none that was finished: it has no "
                          "file " MANIFEST_NAME,
                          directory);
    } else {
        status = manifest_refuse(err, directory, problem.text);
    }
    json_decref(manifest);
    alv_free(path);
    return status;
}
