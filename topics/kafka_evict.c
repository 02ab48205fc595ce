/* kafka_evict.c — takes the seats of dead lanes and gives them up, and fences their producers.
 *
 *              subscribe                 all are held: unsubscribe                closed
 *   seat  ---------------> (joining) ------------------------------> (leaving) --------> left
 *   fence ---------------> (asking) ------------------------------------------> fenced
 *
 * One loop serves all handles in turns that block a few ms at most. A seat answers its assignment with
 * an empty one, so nothing is ever fetched and no committed offset asked for. init_transactions goes on
 * in the background when its time is up, and calling it again asks the coordinator at once: in short
 * turns, a transaction that is still being aborted costs its own time, not librdkafka's pause of 500 ms.
 */
#include "topics/kafka_evict.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "topics/kafka_internal.h"
#include "topics/kafka_membership_internal.h"

/* One wait for one handle. With many lanes a round takes longer, and nothing is lost by that. */
#define EVICT_TURN_MS 2

typedef struct evict_job evict_job;

typedef struct evict_lane {
    const evict_job *job;
    alv_seat seat;
    alv_kafka_client member;   /* the consumer in the seat */
    rd_kafka_queue_t *queue;   /* of the consumer */
    rd_kafka_queue_t *closing; /* its last callbacks; NULL = it has not left yet */
    alv_kafka_client producer;
    alv_error notice; /* what went wrong on the way, should time run out */
    alv_evicted times;
} evict_lane;

struct evict_job {
    const alv_config *config;
    int64_t begun_at_ms;
    evict_lane *lanes;
    size_t count;
    size_t next_fence; /* whose turn it is */
    bool has_seats;    /* false: fence only */
    bool is_leaving;
};

static int64_t evict_now_ms(void)
{
    return alv_monotonic_us(alv_clock_system()) / 1000;
}

static int64_t evict_elapsed_ms(const evict_job *job)
{
    return evict_now_ms() - job->begun_at_ms;
}

/* ---- seat ------------------------------------------------------------------------------------ */

/* The opaque is the alv_kafka_client. */
static void seat_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                              rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    (void)partitions;
    evict_lane *lane = ((alv_kafka_client *)opaque)->owner;
    if (alv_kafka_membership_decline(rk, code) && lane->times.seated_ms < 0) {
        lane->times.seated_ms = evict_elapsed_ms(lane->job);
    }
}

static alv_status seat_conf(evict_job *job, evict_lane *lane, rd_kafka_conf_t **out, alv_error *err)
{
    alv_status status =
        alv_kafka_conf_new(job->config, ALV_KAFKA_CONSUMER, &lane->member, out, err);
    if (status != ALV_OK) {
        return status;
    }
    char *instance = alv_format("%s-%d", lane->seat.node_id, (int)lane->seat.lane);
    alv_kafka_conf_set(*out, "group.id", alv_config_settings(job->config)->application_id);
    alv_kafka_conf_set(*out, "group.instance.id", instance);
    alv_free(instance);
    rd_kafka_conf_set_rebalance_cb(*out, seat_on_rebalance);
    return ALV_OK;
}

static alv_status seat_subscribe(evict_job *job, evict_lane *lane, alv_error *err)
{
    char topic[ALV_TOPIC_NAME_BYTES];
    alv_schema_name(alv_config_settings(job->config)->application_id, ALV_TOPIC_COMMANDS, topic,
                    sizeof(topic));
    return alv_kafka_membership_seek(lane->member.rk, topic, err);
}

/* Named as its owner would name it. An owner that takes its seat back while it is held replaces a member of the
 * group, and the group keeps the client.id that the member joined with (GroupMetadataManager replaces the
 * member's id alone): under any other name nobody would know that lane, and what it has, until it leaves. */
static void seat_name(evict_lane *lane)
{
    const alv_seat *seat = &lane->seat;
    (void)snprintf(lane->member.name, sizeof(lane->member.name), "%s@%s/%d", seat->node_id,
                   seat->address != NULL ? seat->address : "none", (int)seat->lane);
}

static alv_status seat_open(evict_job *job, evict_lane *lane, alv_error *err)
{
    rd_kafka_conf_t *conf = NULL;
    alv_kafka_client_init(&lane->member, job->config, "evict", lane);
    seat_name(lane);
    alv_status status = seat_conf(job, lane, &conf, err);
    if (status == ALV_OK) {
        status = alv_kafka_client_open(&lane->member, ALV_KAFKA_CONSUMER, conf, err);
    }
    if (status != ALV_OK) {
        return status;
    }
    (void)rd_kafka_poll_set_consumer(lane->member.rk); /* fails without group.id only */
    lane->queue = rd_kafka_queue_get_consumer(lane->member.rk);
    return seat_subscribe(job, lane, err);
}

static void lane_note(evict_lane *lane, rd_kafka_resp_err_t code, const char *text)
{
    alv_error_clear(&lane->notice);
    (void)alv_kafka_fail(&lane->notice, ALV_RETRY, code, "%s", text);
}

/* Runs callbacks. Records cannot come; errors that are not fatal are tried again by librdkafka. */
static void seat_serve(evict_lane *lane, int timeout_ms)
{
    rd_kafka_queue_t *queue = lane->closing != NULL ? lane->closing : lane->queue;
    rd_kafka_message_t *message = rd_kafka_consume_queue(queue, timeout_ms);
    if (message == NULL) {
        return;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        lane_note(lane, message->err, rd_kafka_message_errstr(message));
    }
    rd_kafka_message_destroy(message);
}

static alv_status seat_check(const evict_lane *lane, alv_error *err)
{
    char text[256];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(lane->member.rk, text, sizeof(text));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return ALV_OK;
    }
    if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || code == RD_KAFKA_RESP_ERR__FENCED) {
        return alv_kafka_fail(err, ALV_FENCED, code, "%s-%d is alive: it took its seat back",
                              lane->seat.node_id, (int)lane->seat.lane);
    }
    return alv_kafka_fail(err, ALV_FATAL, code, "seat %s-%d: %s", lane->seat.node_id,
                          (int)lane->seat.lane, text);
}

/* librdkafka forgets the member id in the moment in which it sends LeaveGroup; closing then waits for
 * the answer. Closing without having left would keep the seat. */
static void seat_go(const evict_job *job, evict_lane *lane)
{
    if (lane->closing == NULL) {
        if (alv_kafka_membership_is_any(lane->member.rk)) {
            return;
        }
        lane->closing = rd_kafka_queue_new(lane->member.rk);
        rd_kafka_error_t *error = rd_kafka_consumer_close_queue(lane->member.rk, lane->closing);
        if (error != NULL) {
            rd_kafka_error_destroy(error); /* fenced meanwhile: seat_check says so */
        }
    } else if (lane->times.left_ms < 0 && rd_kafka_consumer_closed(lane->member.rk)) {
        lane->times.left_ms = evict_elapsed_ms(job);
    }
}

/* ---- fence ----------------------------------------------------------------------------------- */

static alv_status fence_open(evict_job *job, evict_lane *lane, alv_error *err)
{
    rd_kafka_conf_t *conf = NULL;
    alv_kafka_client_init(&lane->producer, job->config, "evict", lane);
    alv_status status =
        alv_kafka_conf_new(job->config, ALV_KAFKA_PRODUCER, &lane->producer, &conf, err);
    if (status != ALV_OK) {
        return status;
    }
    char *id = alv_format("%s-%s-%d", alv_config_settings(job->config)->application_id,
                          lane->seat.node_id, (int)lane->seat.lane);
    alv_kafka_conf_set(conf, "transactional.id", id);
    alv_free(id);
    return alv_kafka_client_open(&lane->producer, ALV_KAFKA_PRODUCER, conf, err);
}

static alv_status fence_failed(const evict_job *job, const evict_lane *lane,
                               const rd_kafka_error_t *error, alv_error *err)
{
    char *id = alv_format("%s-%s-%d", alv_config_settings(job->config)->application_id,
                          lane->seat.node_id, (int)lane->seat.lane);
    const alv_kafka_need need = {ALV_ACCESS_WRITE, ALV_ACCESS_TRANSACTIONAL_ID, id};
    (void)alv_kafka_fail_needing(err, ALV_FATAL, rd_kafka_error_code(error), need,
                                 "fence %s-%d: %s", lane->seat.node_id, (int)lane->seat.lane,
                                 rd_kafka_error_string(error));
    alv_free(id);
    return ALV_FATAL;
}

/* One short turn; the first one sets it going. */
static alv_status fence_serve(const evict_job *job, evict_lane *lane, alv_error *err)
{
    if (lane->times.fenced_ms >= 0) {
        return ALV_OK;
    }
    (void)rd_kafka_poll(lane->producer.rk, 0); /* runs the error callback, so that none pile up */
    rd_kafka_error_t *error = rd_kafka_init_transactions(lane->producer.rk, EVICT_TURN_MS);
    if (error == NULL) {
        lane->times.fenced_ms = evict_elapsed_ms(job);
        return ALV_OK;
    }
    alv_status status = ALV_OK;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    if (!rd_kafka_error_is_retriable(error)) {
        status = fence_failed(job, lane, error, err);
    } else if (code != RD_KAFKA_RESP_ERR__TIMED_OUT) {
        lane_note(lane, code, rd_kafka_error_string(error));
    }
    rd_kafka_error_destroy(error);
    return status;
}

/* ---- seats ----------------------------------------------------------------------------------- */

void alv_seats_add(alv_seats *seats, const alv_member *member)
{
    if (seats->count < ALV_EVICT_LANES_MAX) {
        seats->items[seats->count++] = (alv_seat){
            .node_id = member->node_id, .lane = member->lane, .address = member->address};
    }
}

/* ---- the eviction ---------------------------------------------------------------------------- */

static bool evict_all_seated(const evict_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        if (job->lanes[i].times.seated_ms < 0) {
            return false;
        }
    }
    return true;
}

static bool evict_is_done(const evict_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        const alv_evicted *times = &job->lanes[i].times;
        if (times->fenced_ms < 0 || (job->has_seats && times->left_ms < 0)) {
            return false;
        }
    }
    return true;
}

/* All at once: the coordinator waits for every member that is still there, so that what leaves within
 * a heartbeat's time belongs to one rebalance. */
static void evict_leave(evict_job *job)
{
    ALV_ASSERT(!job->is_leaving);
    job->is_leaving = true;
    for (size_t i = 0; i < job->count; i++) {
        (void)rd_kafka_unsubscribe(job->lanes[i].member.rk); /* fenced: seat_check says so */
    }
}

/* Serves every seat, and waits a moment with the first that is not done. */
static alv_status evict_serve_seats(evict_job *job, alv_error *err)
{
    bool has_waited = false;
    for (size_t i = 0; i < job->count; i++) {
        evict_lane *lane = &job->lanes[i];
        if (lane->times.left_ms >= 0) {
            continue;
        }
        bool is_pending = job->is_leaving || lane->times.seated_ms < 0;
        seat_serve(lane, is_pending && !has_waited ? EVICT_TURN_MS : 0);
        has_waited = has_waited || is_pending;
        alv_status status = seat_check(lane, err);
        if (status != ALV_OK) {
            return status;
        }
        if (job->is_leaving) {
            seat_go(job, lane);
        }
    }
    if (!job->is_leaving && evict_all_seated(job)) {
        evict_leave(job);
    }
    return ALV_OK;
}

static alv_status evict_serve_fences(evict_job *job, alv_error *err)
{
    evict_lane *lane = &job->lanes[job->next_fence];
    job->next_fence = (job->next_fence + 1) % job->count;
    return fence_serve(job, lane, err);
}

/* Names the first step that was not done, and what was heard on the way. */
static alv_status evict_time_out(evict_job *job, alv_error *err)
{
    for (size_t i = 0; i < job->count; i++) {
        evict_lane *lane = &job->lanes[i];
        const alv_evicted *times = &lane->times;
        const char *step = job->has_seats && times->seated_ms < 0 ? "was not seated"
                           : job->has_seats && times->left_ms < 0 ? "did not leave"
                           : times->fenced_ms < 0                 ? "was not fenced"
                                                                  : NULL;
        if (step == NULL) {
            continue;
        }
        if (lane->notice.status == ALV_OK &&
            alv_kafka_client_trouble(&lane->producer, &lane->notice) == ALV_OK) {
            (void)alv_kafka_client_trouble(&lane->member, &lane->notice);
        }
        return alv_kafka_fail(err, ALV_RETRY, lane->notice.code, "%s-%d %s within %d ms: %s",
                              lane->seat.node_id, (int)lane->seat.lane, step, ALV_EVICT_MS,
                              lane->notice.status != ALV_OK ? lane->notice.text : "no answer");
    }
    return ALV_OK;
}

static alv_status evict_run(evict_job *job, alv_error *err)
{
    alv_status status = ALV_OK;
    while (status == ALV_OK && !evict_is_done(job)) {
        if (evict_elapsed_ms(job) >= ALV_EVICT_MS) {
            return evict_time_out(job, err);
        }
        if (job->has_seats) {
            status = evict_serve_seats(job, err);
        }
        if (status == ALV_OK) {
            status = evict_serve_fences(job, err);
        }
    }
    return status;
}

static alv_status evict_open(evict_job *job, const alv_seat *seats, alv_error *err)
{
    alv_status status = ALV_OK;
    for (size_t i = 0; i < job->count && status == ALV_OK; i++) {
        evict_lane *lane = &job->lanes[i];
        lane->job = job;
        lane->seat = seats[i];
        if (job->has_seats) {
            status = seat_open(job, lane, err);
        }
        if (status == ALV_OK) {
            status = fence_open(job, lane, err);
        }
    }
    return status;
}

/* A seat that has not left stays with the group: destroying a static member's handle says nothing. */
static void evict_close(evict_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        evict_lane *lane = &job->lanes[i];
        if (lane->closing != NULL) {
            rd_kafka_queue_destroy(lane->closing);
        }
        if (lane->queue != NULL) {
            rd_kafka_queue_destroy(lane->queue);
        }
        alv_kafka_client_close(&lane->member);
        alv_kafka_client_close(&lane->producer);
    }
    alv_free(job->lanes);
}

static alv_status evict_do(const alv_config *config, const alv_seat *seats, size_t count,
                           bool has_seats, alv_evicted *out, alv_error *err)
{
    ALV_ASSERT(count <= ALV_EVICT_LANES_MAX);
    evict_job job = {
        .config = config,
        .begun_at_ms = evict_now_ms(),
        .lanes = alv_alloc_array(count, sizeof(*job.lanes)),
        .count = count,
        .has_seats = has_seats,
    };
    for (size_t i = 0; i < count; i++) {
        job.lanes[i].times = (alv_evicted){-1, -1, -1};
    }
    alv_status status = evict_open(&job, seats, err);
    if (status == ALV_OK) {
        status = evict_run(&job, err);
    }
    for (size_t i = 0; i < count && out != NULL; i++) {
        out[i] = job.lanes[i].times;
    }
    evict_close(&job);
    return status;
}

alv_status alv_kafka_evict(const alv_config *config, const alv_seat *seats, size_t count,
                           alv_evicted *out, alv_error *err)
{
    return evict_do(config, seats, count, true, out, err);
}

alv_status alv_kafka_fence(const alv_config *config, const alv_seat *seat, alv_error *err)
{
    return evict_do(config, seat, 1, false, NULL, err);
}
