/* store_directory_internal.h — the directory a store lives in: made, locked and stamped.
 *
 * Why:    two processes in one directory, or the state of another application or of a later
 *         version, would end in wrong state that is then published. Each is refused before RocksDB
 *         is touched, with words that say what to do.
 * Thread: main.
 * Owns:   the lock, until alv_store_directory_close or the death of the process, however it dies.
 * Fails:  ALV_REJECT.
 *
 *   <directory>/lock      held with flock(2); names the process for whoever is refused
 *   <directory>/VERSION   "alluvium-state 1\napplication=A\n"
 *   <directory>/CHANGELOG the id of the changelog topic that the state is a copy of
 *   <directory>/rocksdb/  the database
 *   <directory>/loading/  files of bulk loads, until RocksDB takes them
 */
#ifndef ALV_STATESTORE_STORE_DIRECTORY_INTERNAL_H
#define ALV_STATESTORE_STORE_DIRECTORY_INTERNAL_H

#include "base/status.h"

/* Makes the directory when it is missing, locks it, checks its stamp or writes one. *out_lock is
 * the descriptor that holds the lock. */
alv_status alv_store_directory_open(const char *directory, const char *application_id,
                                    int *out_lock, alv_error *err);

/* Checks which changelog the directory belongs to, or notes it when that is the first time. */
alv_status alv_store_directory_bind(const char *directory, const char *changelog_id,
                                    alv_error *err);

/* Which changelog the directory belongs to, without making or locking anything, after checking its stamp;
 * *out_changelog_id is NULL when that was never noted, and the caller's to free. */
alv_status alv_store_directory_read(const char *directory, const char *application_id,
                                    char **out_changelog_id, alv_error *err);

/* The format of what is in state.dir; a later one is another number. */
#define ALV_STORE_DIRECTORY_FORMAT "1"

/* Removes the files of `folder` whose names end in `suffix`: what a crash or RocksDB left behind there. What cannot
 * be removed takes up room until the next start. */
void alv_store_directory_sweep(const char *folder, const char *suffix);

/* Lets go of the lock. The file stays: removing it would let two processes lock two different files
 * of that name. */
void alv_store_directory_close(int lock);

#endif
