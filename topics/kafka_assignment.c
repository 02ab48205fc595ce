#include "topics/kafka_assignment_internal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define SEEK_MS 1000
/* Seeks that librdkafka keeps refusing: its fetcher has stopped and must be set up anew. */
#define SEEK_REFUSALS_MAX 50

void alv_kafka_assignment_done(alv_kafka_assignment *assignment)
{
    alv_free(assignment->shards);
    assignment->shards = NULL;
    assignment->shard_count = 0;
}

static alv_kafka_assigned *assignment_find(alv_kafka_assignment *assignment, int32_t shard)
{
    if (shard < 0 || shard >= assignment->shard_count || !assignment->shards[shard].assigned) {
        return NULL;
    }
    return &assignment->shards[shard];
}

static void assignment_make_room(alv_kafka_assignment *assignment, int32_t shard)
{
    ALV_ASSERT(shard >= 0);
    if (shard < assignment->shard_count) {
        return;
    }
    int32_t count = shard + 16;
    assignment->shards =
        alv_realloc(assignment->shards, (size_t)count * sizeof(*assignment->shards));
    memset(assignment->shards + assignment->shard_count, 0,
           (size_t)(count - assignment->shard_count) * sizeof(*assignment->shards));
    assignment->shard_count = count;
}

/* ---- what the group gives and takes ---------------------------------------------------------- */

void alv_kafka_assignment_check(rd_kafka_error_t *error, const char *what, alv_error *notice)
{
    if (error == NULL) {
        return;
    }
    if (notice->status == ALV_OK) {
        (void)alv_kafka_fail(notice, ALV_FATAL, rd_kafka_error_code(error), "%s: %s", what,
                             rd_kafka_error_string(error));
    }
    rd_kafka_error_destroy(error);
}

/* The offset given here is never read: the pause comes before any fetch from it can be delivered.
 * An explicit one keeps librdkafka from asking for committed offsets, which it would wait for as
 * long as a transaction of the previous owner is open. */
void alv_kafka_assignment_add(alv_kafka_assignment *assignment,
                              rd_kafka_topic_partition_list_t *partitions, alv_error *notice)
{
    for (int i = 0; i < partitions->cnt; i++) {
        int32_t shard = partitions->elems[i].partition;
        partitions->elems[i].offset = 0;
        assignment_make_room(assignment, shard);
        assignment->shards[shard] = (alv_kafka_assigned){.assigned = true, .next = ALV_OFFSET_NONE};
    }
    alv_kafka_assignment_check(rd_kafka_incremental_assign(assignment->rk, partitions),
                               "incremental assign", notice);
    (void)rd_kafka_pause_partitions(assignment->rk, partitions); /* unknown ones only fail */
}

void alv_kafka_assignment_remove(alv_kafka_assignment *assignment, int32_t number)
{
    alv_kafka_assigned *shard = assignment_find(assignment, number);
    if (shard != NULL) {
        shard->assigned = false;
    }
}

void alv_kafka_assignment_renew(alv_kafka_assignment *assignment, int32_t number)
{
    alv_kafka_assigned *shard = assignment_find(assignment, number);
    ALV_ASSERT(shard != NULL);
    *shard =
        (alv_kafka_assigned){.assigned = true, .running = shard->running, .next = ALV_OFFSET_NONE};
    assignment->dirty = true; /* one that runs is paused */
}

int32_t *alv_kafka_assignment_list(const alv_kafka_assignment *assignment, size_t *out_count)
{
    int32_t *numbers = alv_alloc_array((size_t)assignment->shard_count + 1, sizeof(*numbers));
    *out_count = 0;
    for (int32_t shard = 0; shard < assignment->shard_count; shard++) {
        if (assignment->shards[shard].assigned) {
            numbers[(*out_count)++] = shard;
        }
    }
    return numbers;
}

bool alv_kafka_assignment_is_any(const alv_kafka_assignment *assignment)
{
    for (int32_t shard = 0; shard < assignment->shard_count; shard++) {
        if (assignment->shards[shard].assigned) {
            return true;
        }
    }
    return false;
}

/* ---- what the lane wants --------------------------------------------------------------------- */

alv_status alv_kafka_assignment_start(alv_kafka_assignment *assignment, int32_t number,
                                      int64_t offset, alv_error *err)
{
    alv_kafka_assigned *shard = assignment_find(assignment, number);
    ALV_ASSERT(offset >= 0);
    if (shard == NULL) {
        return alv_fail(err, ALV_RETRY, "shard %d is not assigned", (int)number);
    }
    shard->started = true;
    shard->seek_due = true;
    shard->next = offset;
    assignment->dirty = true;
    return ALV_OK;
}

alv_status alv_kafka_assignment_pause(alv_kafka_assignment *assignment, int32_t number,
                                      alv_error *err)
{
    alv_kafka_assigned *shard = assignment_find(assignment, number);
    if (shard == NULL) {
        return alv_fail(err, ALV_RETRY, "shard %d is not assigned", (int)number);
    }
    shard->started = false;
    shard->seek_due = false;
    assignment->dirty = true;
    return ALV_OK;
}

bool alv_kafka_assignment_stopped(alv_kafka_assignment *assignment, int32_t number)
{
    alv_kafka_assigned *shard = assignment_find(assignment, number);
    if (shard == NULL) {
        return true;
    }
    if (shard->seek_due) {
        return false;
    }
    shard->broken = true;
    shard->started = false;
    assignment->dirty = true;
    return true;
}

bool alv_kafka_assignment_takes(alv_kafka_assignment *assignment, int32_t number, int64_t offset)
{
    alv_kafka_assigned *shard = assignment_find(assignment, number);
    if (shard == NULL || !shard->started || shard->seek_due || offset < shard->next) {
        return false;
    }
    shard->next = offset + 1;
    return true;
}

/* ---- carrying it out ------------------------------------------------------------------------- */

static rd_kafka_topic_partition_t *assignment_list_add(rd_kafka_topic_partition_list_t *list,
                                                       const alv_kafka_assignment *assignment,
                                                       int32_t shard)
{
    return rd_kafka_topic_partition_list_add(list, assignment->topic, shard);
}

/* The one way out of a fetcher that stopped on an error (offset out of range): a seek is refused
 * in that state. The group does not notice. */
static void assignment_revive(alv_kafka_assignment *assignment, int32_t number, alv_error *notice)
{
    alv_kafka_assigned *shard = &assignment->shards[number];
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    assignment_list_add(list, assignment, number)->offset = shard->next;
    alv_kafka_assignment_check(rd_kafka_incremental_unassign(assignment->rk, list), "unassign",
                               notice);
    alv_kafka_assignment_check(rd_kafka_incremental_assign(assignment->rk, list), "assign", notice);
    (void)rd_kafka_pause_partitions(assignment->rk, list); /* cannot fail */
    rd_kafka_topic_partition_list_destroy(list);
    shard->running = false;
    shard->broken = false;
    shard->seek_refusals = 0;
}

static void assignment_apply_pauses(alv_kafka_assignment *assignment)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new(assignment->shard_count);
    for (int32_t i = 0; i < assignment->shard_count; i++) {
        alv_kafka_assigned *shard = &assignment->shards[i];
        if (shard->assigned && !shard->started && shard->running) {
            assignment_list_add(list, assignment, i);
            shard->running = false;
        }
    }
    if (list->cnt > 0) {
        (void)rd_kafka_pause_partitions(assignment->rk, list); /* cannot fail */
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* True when it has been done; a refusal is tried again at the next poll. */
static bool assignment_sought(alv_kafka_assigned *shard,
                              const rd_kafka_topic_partition_t *partition)
{
    if (partition->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        shard->seek_due = false;
        shard->seek_refusals = 0;
        return true;
    }
    if (partition->err != RD_KAFKA_RESP_ERR__IN_PROGRESS &&
        ++shard->seek_refusals > SEEK_REFUSALS_MAX) {
        shard->broken = true;
    }
    return false;
}

/* Seeks those on the list and resumes those of them that are paused. False when some remain. */
static bool assignment_seek(alv_kafka_assignment *assignment, rd_kafka_topic_partition_list_t *list)
{
    bool done = true;
    rd_kafka_topic_partition_list_t *resumed = rd_kafka_topic_partition_list_new(list->cnt);
    rd_kafka_error_t *error = rd_kafka_seek_partitions(assignment->rk, list, SEEK_MS);
    if (error != NULL) {
        rd_kafka_error_destroy(error); /* timed out: each partition says whether it is done */
    }
    for (int i = 0; i < list->cnt; i++) {
        alv_kafka_assigned *shard = &assignment->shards[list->elems[i].partition];
        if (!assignment_sought(shard, &list->elems[i])) {
            done = false;
        } else if (!shard->running) {
            assignment_list_add(resumed, assignment, list->elems[i].partition);
            shard->running = true;
        }
    }
    if (resumed->cnt > 0) {
        (void)rd_kafka_resume_partitions(assignment->rk, resumed); /* cannot fail */
    }
    rd_kafka_topic_partition_list_destroy(resumed);
    return done;
}

void alv_kafka_assignment_apply(alv_kafka_assignment *assignment, alv_error *notice)
{
    if (!assignment->dirty) {
        return;
    }
    assignment_apply_pauses(assignment);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new(assignment->shard_count);
    for (int32_t i = 0; i < assignment->shard_count; i++) {
        alv_kafka_assigned *shard = &assignment->shards[i];
        if (!shard->assigned || !shard->started || !shard->seek_due) {
            continue;
        }
        if (shard->broken) {
            assignment_revive(assignment, i, notice);
        }
        assignment_list_add(list, assignment, i)->offset = shard->next;
    }
    assignment->dirty = list->cnt > 0 && !assignment_seek(assignment, list);
    rd_kafka_topic_partition_list_destroy(list);
}
