/* store_rocksdb_error.c — what RocksDB's texts mean for the caller.
 *
 * The C interface gives nothing but Status::ToString(): "<kind>: <detail>". The kinds are part of
 * RocksDB's format of old, and an unknown one stops the node rather than being retried for ever.
 */
#include <string.h>

#include "base/assert.h"
#include "statestore/store_rocksdb_internal.h"

typedef struct error_row {
    const char *prefix;
    alv_status status;
} error_row;

/* The first match counts. */
static const error_row error_rows[] = {
    {"Corruption", ALV_REJECT},
    /* A file that is gone stays gone: the same as damaged. */
    {"IO error: No such file", ALV_REJECT},
    /* No space, a passing failure of the disk. RocksDB writes again by itself when there is room.
     * */
    {"IO error", ALV_RETRY},
    {"Resource busy", ALV_RETRY},
    {"Operation timed out", ALV_RETRY},
    {"Operation failed. Try again", ALV_RETRY},
    {"Result incomplete", ALV_RETRY}, /* stalled write */
};

static alv_status error_status(const char *text)
{
    for (size_t i = 0; i < sizeof error_rows / sizeof error_rows[0]; i++) {
        if (strncmp(text, error_rows[i].prefix, strlen(error_rows[i].prefix)) == 0) {
            return error_rows[i].status;
        }
    }
    return ALV_FATAL;
}

/* Of what its files are refused, RocksDB gets over a full disk alone: that is what db/error_handler.cc of 7.8 tries
 * again (tests/component/test_store_disk.c says when another version does otherwise). */
bool alv_rocksdb_error_passes(const char *text)
{
    static const char io[] = "IO error: ";
    static const char full[] = "IO error: No space left";
    return text == NULL || strncmp(text, io, strlen(io)) != 0 ||
           strncmp(text, full, strlen(full)) == 0;
}

alv_status alv_rocksdb_check(char *text, const char *doing, int32_t shard, alv_error *err)
{
    if (text == NULL) {
        return ALV_OK;
    }
    alv_status status = error_status(text);
    ALV_ASSERT(status != ALV_OK);
    if (shard >= 0) {
        (void)alv_fail_from(err, status, "rocksdb", 0, "%s shard %d: %s", doing, (int)shard, text);
    } else {
        (void)alv_fail_from(err, status, "rocksdb", 0, "%s: %s", doing, text);
    }
    rocksdb_free(text);
    return status;
}
