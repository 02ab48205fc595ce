#include "changelog/log_scan.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/limits.h"
#include "topics/schema.h"

#define SCAN_POLL_MS 200
#define SCAN_PATIENCE_US (INT64_C(3) * ALV_TRANSACTION_TIMEOUT_MS * 1000)

static void scan_visit(const alv_batch *batch, int64_t end, alv_log_visit visit, void *payload)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->records[i].offset < end) {
            visit(payload, &batch->records[i]);
        }
    }
}

/* The last trouble is the reason when nothing moves any more. */
static alv_status scan_give_up(const alv_log_range *range, int64_t at, const alv_error *trouble,
                               alv_error *err)
{
    if (trouble->status != ALV_OK) {
        return alv_fail_from(err, ALV_RETRY, trouble->source, trouble->code, "%s", trouble->text);
    }
    return alv_fail(err, ALV_RETRY,
                    "%s of shard %" PRId32 " cannot be read past offset %" PRId64 " of %" PRId64
                    ": a transaction stays open there",
                    alv_schema_suffix(range->topic), range->shard, at, range->end);
}

typedef struct scan_state {
    alv_reader *reader;
    const alv_log_range *range;
    const alv_clock *clock;
    alv_batch batch;
} scan_state;

static int64_t scan_position(const scan_state *scan)
{
    return scan->reader->ops->position(scan->reader, scan->range->topic, scan->range->shard);
}

static alv_status scan_to_end(scan_state *scan, alv_log_visit visit, void *payload, alv_error *err)
{
    int64_t end = scan->range->end;
    int64_t at = scan_position(scan);
    int64_t moved_at_us = alv_monotonic_us(scan->clock);
    alv_error trouble = ALV_ERROR_NONE;
    while (at < end) {
        alv_error poll_err = ALV_ERROR_NONE;
        alv_status status =
            scan->reader->ops->poll(scan->reader, SCAN_POLL_MS, &scan->batch, &poll_err);
        if (status != ALV_OK && status != ALV_RETRY) {
            return alv_fail_from(err, status, poll_err.source, poll_err.code, "%s", poll_err.text);
        }
        if (poll_err.status != ALV_OK) {
            trouble = poll_err; /* it is not said at every poll */
        }
        scan_visit(&scan->batch, end, visit, payload);
        int64_t now_us = alv_monotonic_us(scan->clock);
        int64_t next = scan_position(scan);
        ALV_ASSERT(next >= at);
        if (next > at) {
            moved_at_us = now_us;
            alv_error_clear(&trouble);
        } else if (now_us - moved_at_us > SCAN_PATIENCE_US) {
            return scan_give_up(scan->range, at, &trouble, err);
        }
        at = next;
    }
    return ALV_OK;
}

alv_status alv_log_scan(alv_reader *reader, const alv_log_range *range, const alv_clock *clock,
                        alv_log_visit visit, void *payload, alv_error *err)
{
    if (range->start >= range->end) {
        return ALV_OK;
    }
    alv_status status = reader->ops->assign(reader, range->topic, range->shard, range->start, err);
    if (status != ALV_OK) {
        return status;
    }
    scan_state scan = {.reader = reader, .range = range, .clock = clock};
    alv_batch_init(&scan.batch, ALV_POLL_RECORDS_MAX);
    status = scan_to_end(&scan, visit, payload, err);
    alv_batch_done(&scan.batch);
    reader->ops->unassign(reader, range->topic, range->shard);
    return status;
}
