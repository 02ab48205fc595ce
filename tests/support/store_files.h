/* store_files.h — the files of a RocksDB store, for tests that damage them.
 *
 * Thread: any.
 * Fails:  what is not as a store leaves it fails the running cmocka test.
 */
#ifndef ALV_TESTS_SUPPORT_STORE_FILES_H
#define ALV_TESTS_SUPPORT_STORE_FILES_H

/* The path of the newest table file (.sst) of the store in `directory`: the one with the largest number. To be freed
 * with alv_free. */
char *alv_store_newest_table(const char *directory);

#endif
