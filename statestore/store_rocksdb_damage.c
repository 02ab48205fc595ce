/* store_rocksdb_damage.c — what cannot be read any more costs the shard that it belongs to, and no other.
 *
 * Damage is found in three ways:
 *   - a read meets it: the shard is refused until whoever has it wipes and restores it;
 *   - RocksDB meets it when it opens (a file that is missing or has another length): it refuses to open as
 *     a whole. It is then opened without its checks once, every shard is read, and those that cannot be are
 *     dropped;
 *   - a compaction meets it: RocksDB takes no more writes, of any shard, until it is opened anew. A file
 *     tells the next start to look at every shard, because nothing else would: the damage may lie where
 *     opening does not look.
 * A disk that fails once while RocksDB writes has the same effect, without any damage: what it was about to write
 * is lost, as in a crash. Nothing of any shard can be written then, so the node ends (processor/node.c).
 * The checks are not left out for good: with them, a full disk is an error of the write that met it.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "statestore/store_rocksdb_internal.h"

static char *damage_mark(const alv_rocksdb *rocks)
{
    return alv_format("%s/DAMAGED", rocks->directory);
}

/* ---- a shard --------------------------------------------------------------------------------- */

alv_status alv_rocksdb_note_read(alv_rocksdb *rocks, int32_t shard, alv_status status)
{
    if (status == ALV_REJECT) {
        atomic_store(&rocks->damaged[shard], true);
    }
    return status;
}

bool alv_rocksdb_is_damaged(alv_rocksdb *rocks, int32_t shard, alv_error *err)
{
    if (!atomic_load_explicit(&rocks->damaged[shard], memory_order_relaxed)) {
        return false;
    }
    (void)alv_fail(err, ALV_REJECT, "a part of shard %d cannot be read", (int)shard);
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void damage_leave_word(const alv_rocksdb *rocks)
{
    char *path = damage_mark(rocks);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) {
        (void)close(file); /* being there is all it says */
    }
    alv_free(path);
}

/* Replaces what `err` says by what it means. */
static alv_status damage_refuse(alv_rocksdb *rocks, bool is_damage, alv_error *err)
{
    alv_error found = *err;
    alv_error_clear(err);
    alv_status status = alv_fail_from(
        err, ALV_FATAL, found.source, found.code,
        "state.dir %s: RocksDB writes no more, because %s (%.200s); %s", rocks->directory,
        is_damage ? "it has found damage" : "the disk has failed", found.text,
        is_damage
            ? "start the node again: it looks for the shard that is damaged and restores that one"
            : "look at the disk and start the node again");
    if (!atomic_exchange(&rocks->refuses, true)) {
        rocks->refusal = *err;
        atomic_store(&rocks->refusal_ready, true);
    }
    return status;
}

alv_status alv_rocksdb_check_write(alv_rocksdb *rocks, char *text, const char *doing, int32_t shard,
                                   alv_error *err)
{
    bool passes = alv_rocksdb_error_passes(text);
    alv_error ignored = ALV_ERROR_NONE;
    alv_error *why = err != NULL ? err : &ignored;
    alv_status status = alv_rocksdb_check(text, doing, shard, why);
    if (status == ALV_REJECT) {
        damage_leave_word(rocks);
    }
    return status == ALV_REJECT || !passes ? damage_refuse(rocks, status == ALV_REJECT, why)
                                           : status;
}

/* An empty batch writes nothing, and is refused as any other. */
static alv_status damage_probe(alv_rocksdb *rocks, int32_t shard, alv_error *err)
{
    char *text = NULL;
    rocksdb_writebatch_t *nothing = rocksdb_writebatch_create();
    rocksdb_write(rocks->db, rocks->write_options, nothing, &text);
    rocksdb_writebatch_destroy(nothing);
    return alv_rocksdb_check_write(rocks, text, "write", shard, err);
}

alv_status alv_rocksdb_check_ingest(alv_rocksdb *rocks, char *text, int32_t shard, alv_error *err)
{
    static const char doing[] = "take a file into";
    if (alv_rocksdb_error_passes(text)) {
        return alv_rocksdb_check_write(rocks, text, doing, shard, err);
    }
    alv_error refused = ALV_ERROR_NONE;
    if (damage_probe(rocks, shard, &refused) != ALV_FATAL) {
        return alv_rocksdb_check(text, doing, shard, err);
    }
    rocksdb_free(text);
    return alv_fail_from(err, ALV_FATAL, refused.source, refused.code, "%s", refused.text);
}

bool alv_rocksdb_is_writable(alv_store *store, alv_error *err)
{
    const alv_rocksdb *rocks = (const alv_rocksdb *)store;
    if (!atomic_load(&rocks->refusal_ready)) {
        return true;
    }
    if (err != NULL) {
        *err = rocks->refusal;
    }
    return false;
}

bool alv_rocksdb_must_salvage(const alv_rocksdb *rocks, alv_status status)
{
    char *path = damage_mark(rocks);
    bool was_told = access(path, F_OK) == 0;
    alv_free(path);
    return was_told || status == ALV_REJECT;
}

/* ---- salvage --------------------------------------------------------------------------------- */

/* Every block is read and its checksum compared. */
static alv_status salvage_read(alv_rocksdb *rocks, const alv_rocksdb_shard *shard)
{
    char *text = NULL;
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(options, 0);
    rocksdb_readoptions_set_verify_checksums(options, 1);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(rocks->db, options, shard->family);
    rocksdb_iter_seek_to_first(iterator);
    while (rocksdb_iter_valid(iterator)) {
        rocksdb_iter_next(iterator);
    }
    rocksdb_iter_get_error(iterator, &text);
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(options);
    return alv_rocksdb_check(text, "read all of", shard->number, NULL);
}

static alv_status salvage_drop(alv_rocksdb *rocks, const alv_rocksdb_shard *shard, alv_error *err)
{
    char *text = NULL;
    rocksdb_drop_column_family(rocks->db, shard->family, &text);
    atomic_store(&rocks->damaged[shard->number], true);
    return alv_rocksdb_check(text, "drop", shard->number, err);
}

/* RocksDB compares the lengths of all files when it opens; reading does not need to notice. */
static void salvage_check_files(alv_rocksdb *rocks, const char *path)
{
    const rocksdb_livefiles_t *files = rocksdb_livefiles(rocks->db);
    int count = rocksdb_livefiles_count(files);
    for (int i = 0; i < count; i++) {
        struct stat about;
        int32_t shard = alv_rocksdb_family_shard(rocksdb_livefiles_column_family_name(files, i));
        const char *name = rocksdb_livefiles_name(files, i); /* with a slash in front */
        char *file = alv_format("%s/%s", path, *name == '/' ? name + 1 : name);
        bool is_whole = stat(file, &about) == 0 &&
                        (uint64_t)about.st_size == (uint64_t)rocksdb_livefiles_size(files, i);
        alv_free(file);
        if (shard >= 0 && !is_whole) {
            atomic_store(&rocks->damaged[shard], true);
        }
    }
    rocksdb_livefiles_destroy(files);
}

/* A disk that fails in passing is no damage: then nothing is dropped, and the start fails. */
static alv_status salvage_shards(alv_rocksdb *rocks, alv_error *err)
{
    alv_status status = ALV_OK;
    for (int32_t number = 0; number < ALV_SHARDS_MAX && status == ALV_OK; number++) {
        const alv_rocksdb_shard *shard = rocks->shards[number];
        if (shard == NULL) {
            continue;
        }
        status =
            alv_rocksdb_is_damaged(rocks, number, NULL) ? ALV_REJECT : salvage_read(rocks, shard);
        if (status == ALV_REJECT) {
            status = salvage_drop(rocks, shard, err);
        } else if (status != ALV_OK) {
            (void)alv_fail(err, status, "shard %d cannot be read now", (int)number);
        }
    }
    return status;
}

alv_status alv_rocksdb_salvage(alv_rocksdb *rocks, const char *path, alv_error *err)
{
    ALV_ASSERT(rocks->db == NULL && !rocks->read_only);
    rocksdb_options_set_paranoid_checks(rocks->options, 0);
    rocksdb_options_set_disable_auto_compactions(rocks->options,
                                                 1); /* they would meet it as well */
    alv_status status = alv_rocksdb_database_open(rocks, path, err);
    if (status == ALV_OK) {
        salvage_check_files(rocks, path);
        status = salvage_shards(rocks, err);
        alv_rocksdb_database_close(rocks);
    }
    rocksdb_options_set_paranoid_checks(rocks->options, 1);
    rocksdb_options_set_disable_auto_compactions(rocks->options, 0);
    if (status == ALV_OK) {
        char *mark = damage_mark(rocks);
        (void)unlink(mark); /* mostly not there */
        alv_free(mark);
    }
    return status;
}
