/* backup_files.c — listing and copying the files of a database. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/backup_internal.h"

#define COPY_BUFFER_BYTES (256 * 1024)

static alv_status files_fail(alv_error *err, const char *doing, const char *path)
{
    int code = errno;
    alv_status status = code == ENOSPC || code == EDQUOT || code == EIO ? ALV_RETRY : ALV_REJECT;
    return alv_fail_from(err, status, "errno", code, "cannot %s %s: %s", doing, path,
                         strerror(code));
}

static bool files_is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- directories ----------------------------------------------------------------------------- */

static bool files_is_among(const char *name, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

alv_status alv_backup_files_claim(const char *path, const char *const *allowed, alv_error *err)
{
    if (mkdir(path, 0700) == 0) {
        return ALV_OK;
    }
    DIR *directory = errno == EEXIST ? opendir(path) : NULL;
    if (directory == NULL) {
        return files_fail(err, "make", path);
    }
    alv_status status = ALV_OK;
    for (struct dirent *entry = readdir(directory); entry != NULL && status == ALV_OK;
         entry = readdir(directory)) {
        if (!files_is_dot(entry->d_name) && !files_is_among(entry->d_name, allowed)) {
            status = alv_fail(err, ALV_REJECT,
                              "%s is not empty: it holds %.100s; name an empty directory, or one "
                              "that does not exist",
                              path, entry->d_name);
        }
    }
    (void)closedir(directory); /* read-only */
    return status;
}

static int files_compare(const void *left, const void *right)
{
    return strcmp(((const alv_backup_file *)left)->name, ((const alv_backup_file *)right)->name);
}

static alv_status files_add(alv_backup *backup, int directory, const char *path, const char *name,
                            alv_error *err)
{
    struct stat about;
    if (fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
        return files_fail(err, "look at a file of", path);
    }
    if (!S_ISREG(about.st_mode)) {
        return alv_fail(err, ALV_REJECT, "%s/%.100s is no file of a database", path, name);
    }
    size_t size = (backup->file_count + 1) * sizeof *backup->files;
    backup->files = alv_realloc(backup->files, size);
    backup->files[backup->file_count++] =
        (alv_backup_file){.name = alv_strdup(name), .bytes = about.st_size};
    backup->bytes += about.st_size;
    return ALV_OK;
}

alv_status alv_backup_files_list(const char *path, alv_backup *backup, alv_error *err)
{
    ALV_ASSERT(backup->file_count == 0);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return files_fail(err, "read", path);
    }
    alv_status status = ALV_OK;
    for (struct dirent *entry = readdir(directory); entry != NULL && status == ALV_OK;
         entry = readdir(directory)) {
        if (!files_is_dot(entry->d_name)) {
            status = files_add(backup, dirfd(directory), path, entry->d_name, err);
        }
    }
    (void)closedir(directory); /* read-only */
    if (backup->file_count > 0) {
        qsort(backup->files, backup->file_count, sizeof *backup->files, files_compare);
    }
    return status;
}

alv_status alv_backup_files_sync(const char *path, alv_error *err)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return files_fail(err, "open", path);
    }
    alv_status status = fsync(directory) == 0 ? ALV_OK : files_fail(err, "sync", path);
    (void)close(directory); /* read-only */
    return status;
}

/* ---- copying --------------------------------------------------------------------------------- */

typedef struct files_copy {
    const alv_backup *backup;
    alv_backup_progress progress;
    void *payload;
    int64_t bytes_done;
    char *buffer;
} files_copy;

static void copy_advance(files_copy *copy, int64_t bytes)
{
    copy->bytes_done += bytes;
    if (copy->progress != NULL) {
        copy->progress(copy->payload, copy->bytes_done, copy->backup->bytes);
    }
}

static bool copy_write(int file, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, data, size);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        size_t some = written > 0 ? (size_t)written : 0;
        data += some;
        size -= some;
    }
    return true;
}

static alv_status copy_bytes(files_copy *copy, int from, const char *from_path, int to,
                             const char *to_path, int64_t expected, alv_error *err)
{
    int64_t bytes = 0;
    for (;;) {
        ssize_t size = read(from, copy->buffer, COPY_BUFFER_BYTES);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return files_fail(err, "read", from_path);
        }
        if (size == 0) {
            break;
        }
        if (!copy_write(to, copy->buffer, (size_t)size)) {
            return files_fail(err, "write", to_path);
        }
        bytes += size;
        copy_advance(copy, size);
    }
    if (bytes != expected) {
        return alv_fail(err, ALV_REJECT, "%s has %lld bytes and should have %lld", from_path,
                        (long long)bytes, (long long)expected);
    }
    return fsync(to) == 0 ? ALV_OK : files_fail(err, "sync", to_path);
}

static alv_status copy_whole(files_copy *copy, const alv_backup_file *file, const char *from_path,
                             const char *to_path, alv_error *err)
{
    int from = open(from_path, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        return files_fail(err, "open", from_path);
    }
    int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    alv_status status = to < 0 ? files_fail(err, "make", to_path)
                               : copy_bytes(copy, from, from_path, to, to_path, file->bytes, err);
    if (to >= 0) {
        (void)close(to); /* synced above, or failed already */
    }
    (void)close(from); /* read-only */
    return status;
}

static bool copy_may_link(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && strcmp(dot, ".sst") == 0;
}

/* Where no link can be made (another file system, somebody else's file) the file is copied. */
static alv_status copy_file(files_copy *copy, const alv_backup_file *file, const char *from,
                            const char *to, alv_error *err)
{
    char *from_path = alv_format("%s/%s", from, file->name);
    char *to_path = alv_format("%s/%s", to, file->name);
    alv_status status = ALV_OK;
    if (copy_may_link(file->name) && link(from_path, to_path) == 0) {
        copy_advance(copy, file->bytes);
    } else {
        status = copy_whole(copy, file, from_path, to_path, err);
    }
    alv_free(from_path);
    alv_free(to_path);
    return status;
}

alv_status alv_backup_files_copy(const alv_backup *backup, const char *from, const char *to,
                                 alv_backup_progress progress, void *payload, alv_error *err)
{
    files_copy copy = {.backup = backup, .progress = progress, .payload = payload};
    if (mkdir(to, 0700) != 0) {
        return files_fail(err, "make", to);
    }
    copy.buffer = alv_alloc(COPY_BUFFER_BYTES);
    alv_status status = ALV_OK;
    for (size_t i = 0; i < backup->file_count && status == ALV_OK; i++) {
        status = copy_file(&copy, &backup->files[i], from, to, err);
    }
    alv_free(copy.buffer);
    return status == ALV_OK ? alv_backup_files_sync(to, err) : status;
}
