/* store_directory.c — lock and version stamp of state.dir. */
#include "statestore/store_directory_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/logger.h"

#define STAMP_NAME "alluvium-state "
#define STAMP_VERSION ALV_STORE_DIRECTORY_FORMAT
#define SMALL_FILE_BYTES 1024 /* lock and VERSION; what is longer is not ours */

/* strerror_r in a form that fits into an argument list. */
static const char *errno_text(int number)
{
    static _Thread_local char text[128];
    return strerror_r(number, text, sizeof text);
}

#define directory_fail(err, what, path)                                                  \
    alv_fail_from((err), ALV_REJECT, "errno", errno, "cannot %s %s: %s", (what), (path), \
                  errno_text(errno))

static alv_status directory_make(const char *directory, alv_error *err)
{
    if (mkdir(directory, 0700) == 0 || errno == EEXIST) {
        return ALV_OK;
    }
    if (errno == ENOENT) {
        /* Not made silently: a missing parent is often a volume that is not mounted. */
        return alv_fail_from(err, ALV_REJECT, "errno", errno,
                             "state.dir %s: its parent directory does not exist; make it, or mount "
                             "the volume it is on",
                             directory);
    }
    return directory_fail(err, "make state.dir", directory);
}

/* Whoever can write there decides what the node takes for its state. Others may be meant to look, and a group
 * to write: a volume of a container often is like that. */
static alv_status directory_check_mode(const char *directory, alv_error *err)
{
    struct stat it;
    if (stat(directory, &it) != 0) {
        return directory_fail(err, "look at state.dir", directory);
    }
    if ((it.st_mode & S_IWOTH) != 0) {
        return alv_fail(err, ALV_REJECT,
                        "state.dir %s: everybody on this host may write there: chmod o-w %s",
                        directory, directory);
    }
    if ((it.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
        alv_log(ALV_LOG_WARN, "state-dir-open",
                "state_dir=%s mode=%03o msg=\"others may look in or write there: chmod 700\"",
                directory, (unsigned)(it.st_mode & 0777));
    }
    return ALV_OK;
}

/* Reads a file of ours into `text`, NUL-terminated, without characters that would break a line of
 * the log other than newlines. Returns its size, or -1 with errno set. */
static ssize_t small_file_read(int file, char text[SMALL_FILE_BYTES])
{
    ssize_t size = pread(file, text, SMALL_FILE_BYTES - 1, 0);
    if (size < 0) {
        return size;
    }
    text[size] = '\0';
    for (ssize_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < ' ' && text[i] != '\n') {
            text[i] = '?';
        }
    }
    return size;
}

/* Another process has the lock: who? The holder may not have written its name yet. */
static alv_status lock_refuse(const char *directory, int lock, alv_error *err)
{
    char holder[SMALL_FILE_BYTES];
    if (small_file_read(lock, holder) <= 0) {
        (void)snprintf(holder, sizeof holder, "another process");
    }
    holder[strcspn(holder, "\n")] = '\0';
    return alv_fail(err, ALV_REJECT,
                    "state.dir %s is in use by %.200s; stop that process, or give this node a "
                    "state.dir of its own",
                    directory, holder);
}

static void lock_sign(int lock, const char *application_id)
{
    char host[256] = "?";
    (void)gethostname(host, sizeof host - 1); /* only for the message */
    char *text =
        alv_format("process %ld on %s, application %s\n", (long)getpid(), host, application_id);
    bool named = ftruncate(lock, 0) == 0 && pwrite(lock, text, strlen(text), 0) > 0;
    (void)named; /* a full disk must not keep a node from starting: the lock holds without it */
    alv_free(text);
}

static alv_status lock_take(const char *directory, const char *application_id, int *out_lock,
                            alv_error *err)
{
    char *path = alv_format("%s/lock", directory);
    alv_status status = ALV_OK;
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) {
        status = directory_fail(err, "open", path);
    } else if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? lock_refuse(directory, lock, err)
                                      : directory_fail(err, "lock", path);
        (void)close(lock); /* nothing was written */
    } else {
        lock_sign(lock, application_id);
        *out_lock = lock;
    }
    alv_free(path);
    return status;
}

/* Puts a file in place whole or not at all, also across a power loss. */
static alv_status stamp_write(const char *directory, const char *path, const char *text,
                              alv_error *err)
{
    char *temporary = alv_format("%s.new", path);
    alv_status status = ALV_OK;
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) {
        status = directory_fail(err, "write", temporary);
        goto out;
    }
    size_t size = strlen(text);
    bool written = write(file, text, size) == (ssize_t)size && fsync(file) == 0;
    int folder = -1;
    if (!written || rename(temporary, path) != 0 ||
        (folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(folder) != 0) {
        status = directory_fail(err, "write", path);
    }
    if (folder >= 0) {
        (void)close(folder); /* read-only */
    }
    (void)close(file); /* synced above, or failed already */
out:
    alv_free(temporary);
    return status;
}

/* Cuts the text after `prefix` out of a line of `stamp`; NULL when no line begins with it. */
static char *stamp_field(const char *stamp, const char *prefix)
{
    size_t length = strlen(prefix);
    for (const char *line = stamp; line != NULL && *line != '\0';) {
        if (strncmp(line, prefix, length) == 0) {
            return alv_strndup(line + length, strcspn(line + length, "\n"));
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return NULL;
}

static alv_status stamp_compare(const char *directory, const char *stamp,
                                const char *application_id, alv_error *err)
{
    alv_status status = ALV_OK;
    char *version = stamp_field(stamp, STAMP_NAME);
    char *application = stamp_field(stamp, "application=");
    if (version == NULL || strcmp(version, STAMP_VERSION) != 0) {
        status = alv_fail(err, ALV_REJECT,
                          "state.dir %s has format %.40s, this program knows %s; use the program "
                          "that wrote it, or move the directory away: a new one is restored from "
                          "the changelog",
                          directory, version == NULL ? "(unreadable)" : version, STAMP_VERSION);
    } else if (application == NULL || strcmp(application, application_id) != 0) {
        status =
            alv_fail(err, ALV_REJECT,
                     "state.dir %s belongs to application.id=%.100s, not %.100s; give this "
                     "node a state.dir of its own, or correct application.id",
                     directory, application == NULL ? "(unreadable)" : application, application_id);
    }
    alv_free(version);
    alv_free(application);
    return status;
}

/* No stamp: the directory is new, or it is somebody else's. */
static alv_status stamp_first(const char *directory, const char *path, const char *application_id,
                              alv_error *err)
{
    char *database = alv_format("%s/rocksdb", directory);
    bool inhabited = access(database, F_OK) == 0;
    alv_free(database);
    if (inhabited) {
        return alv_fail(err, ALV_REJECT,
                        "state.dir %s holds a database without the file VERSION; move the "
                        "directory away: a new one is restored from the changelog",
                        directory);
    }
    char *text = alv_format(STAMP_NAME STAMP_VERSION "\napplication=%s\n", application_id);
    alv_status status = stamp_write(directory, path, text, err);
    alv_free(text);
    return status;
}

/* *out_found is false when there is no such file. */
static alv_status stamp_read(const char *path, char stamp[SMALL_FILE_BYTES], bool *out_found,
                             alv_error *err)
{
    alv_status status = ALV_OK;
    *out_found = false;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return errno == ENOENT ? ALV_OK : directory_fail(err, "read", path);
    }
    if (small_file_read(file, stamp) >= 0) {
        *out_found = true;
    } else {
        status = directory_fail(err, "read", path);
    }
    (void)close(file); /* read-only */
    return status;
}

static alv_status stamp_check(const char *directory, const char *application_id, alv_error *err)
{
    char stamp[SMALL_FILE_BYTES];
    bool found = false;
    char *path = alv_format("%s/VERSION", directory);
    alv_status status = stamp_read(path, stamp, &found, err);
    if (status == ALV_OK) {
        status = found ? stamp_compare(directory, stamp, application_id, err)
                       : stamp_first(directory, path, application_id, err);
    }
    alv_free(path);
    return status;
}

alv_status alv_store_directory_bind(const char *directory, const char *changelog_id, alv_error *err)
{
    char stamp[SMALL_FILE_BYTES];
    bool found = false;
    char *path = alv_format("%s/CHANGELOG", directory);
    char *text = alv_format("%s\n", changelog_id);
    alv_status status = stamp_read(path, stamp, &found, err);
    if (status == ALV_OK && !found) {
        status = stamp_write(directory, path, text, err);
    } else if (status == ALV_OK && strcmp(stamp, text) != 0) {
        stamp[strcspn(stamp, "\n")] = '\0';
        status =
            alv_fail(err, ALV_REJECT,
                     "state.dir %s is a copy of another changelog topic (id %.40s, now %.40s): "
                     "the topic was deleted and made anew; move the directory away, and a new "
                     "one is restored from the changelog there is",
                     directory, stamp, changelog_id);
    }
    alv_free(text);
    alv_free(path);
    return status;
}

alv_status alv_store_directory_read(const char *directory, const char *application_id,
                                    char **out_changelog_id, alv_error *err)
{
    char stamp[SMALL_FILE_BYTES] = "";
    bool found = false;
    char *path = alv_format("%s/VERSION", directory);
    alv_status status = stamp_read(path, stamp, &found, err);
    alv_free(path);
    if (status == ALV_OK) {
        status = stamp_compare(directory, stamp, application_id, err); /* none is unreadable */
    }
    if (status != ALV_OK) {
        return status;
    }
    path = alv_format("%s/CHANGELOG", directory);
    status = stamp_read(path, stamp, &found, err);
    alv_free(path);
    if (status == ALV_OK) {
        *out_changelog_id = found ? alv_strndup(stamp, strcspn(stamp, "\n")) : NULL;
    }
    return status;
}

alv_status alv_store_directory_open(const char *directory, const char *application_id,
                                    int *out_lock, alv_error *err)
{
    int lock = -1;
    alv_status status = directory_make(directory, err);
    if (status == ALV_OK) {
        status = directory_check_mode(directory, err);
    }
    if (status == ALV_OK) {
        status = lock_take(directory, application_id, &lock, err);
    }
    if (status != ALV_OK) {
        return status;
    }
    status = stamp_check(directory, application_id, err);
    if (status != ALV_OK) {
        alv_store_directory_close(lock);
        return status;
    }
    *out_lock = lock;
    return ALV_OK;
}

static bool name_ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name);
    size_t suffix_length = strlen(suffix);
    return length >= suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

void alv_store_directory_sweep(const char *folder, const char *suffix)
{
    DIR *listing = opendir(folder);
    if (listing == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (name_ends_in(entry->d_name, suffix)) {
            (void)unlinkat(dirfd(listing), entry->d_name, 0);
        }
    }
    (void)closedir(listing);
}

void alv_store_directory_close(int lock)
{
    ALV_ASSERT(lock >= 0);
    (void)close(lock); /* the lock goes with the descriptor; there is nothing to write */
}
