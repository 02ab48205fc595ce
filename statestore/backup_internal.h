/* backup_internal.h — the parts of a backup: backup.c the order of things, backup_files.c copying,
 * backup_manifest.c backup.json.
 *
 * Thread: any.
 */
#ifndef ALV_STATESTORE_BACKUP_INTERNAL_H
#define ALV_STATESTORE_BACKUP_INTERNAL_H

#include "statestore/backup.h"

/* ---- backup_files.c -------------------------------------------------------------------------- */

/* Makes a directory that is absent or has nothing but `allowed` (NULL-terminated) in it. ALV_REJECT. */
alv_status alv_backup_files_claim(const char *path, const char *const *allowed, alv_error *err);

/* Lists the files of a directory, by name, into backup->files and backup->bytes. */
alv_status alv_backup_files_list(const char *path, alv_backup *backup, alv_error *err);

/* Makes `to` and copies backup's files from `from` to it: .sst files, which RocksDB never changes, as hard
 * links where that is possible. All of it is on the disk afterwards. */
alv_status alv_backup_files_copy(const alv_backup *backup, const char *from, const char *to,
                                 alv_backup_progress progress, void *payload, alv_error *err);

/* Makes what was renamed or made within a directory last. */
alv_status alv_backup_files_sync(const char *path, alv_error *err);

/* ---- backup_manifest.c ----------------------------------------------------------------------- */

alv_status alv_backup_manifest_write(const alv_backup *backup, const char *directory,
                                     alv_error *err);
alv_status alv_backup_manifest_read(const char *directory, alv_backup *out, alv_error *err);

#endif
