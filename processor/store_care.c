#include "processor/store_care.h"

#include "base/logger.h"

/* So often, or after so many changelog records, whatever comes first: that is what a node reads again after a crash
 * of its process, at some 400,000 records a second. */
#define CARE_EVERY_MS (60 * 1000)
#define CARE_RECORDS 500000

static int64_t care_records(const alv_store_care *care)
{
    int64_t records = 0;
    int32_t count = alv_directory_shard_count(care->directory);
    for (int32_t shard = 0; shard < count; shard++) {
        records += alv_directory_view(care->directory, shard).position.changelog;
    }
    return records;
}

static void care_flush_if_due(alv_store_care *care)
{
    int64_t now_ms = alv_now_ms(care->clock);
    int64_t records = care_records(care);
    if (now_ms < care->due_ms && records - care->flushed < CARE_RECORDS) {
        return;
    }
    care->due_ms = now_ms + CARE_EVERY_MS;
    if (records == care->flushed) {
        return; /* nothing has changed */
    }
    care->flushed = records;
    alv_error err = ALV_ERROR_NONE;
    if (care->store->ops->flush(care->store, &err) != ALV_OK) {
        alv_log_error(ALV_LOG_ERROR, "flush-failed", &err, "state_dir=%s", care->state_dir);
    }
}

alv_status alv_store_care_turn(alv_store_care *care, alv_error *err)
{
    care_flush_if_due(care);
    return care->store->ops->is_writable(care->store, err) ? ALV_OK : ALV_FATAL;
}
